"""Small models of the usual kinds, with random weights, for the tests of the PyTorch importer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class UNet(nn.Module):
    """Down and up again, with skips; all common layers of image models."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()

        def block(inner: int, outer: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(),
                nn.Conv2d(outer, outer, 3, padding=1), nn.GroupNorm(2, outer), nn.SiLU(),
            )  # fmt: skip

        self.down = nn.ModuleList([block(3, width), block(width, 2 * width)])
        self.middle = block(2 * width, 4 * width)
        self.up = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.join = nn.ModuleList([block(4 * width, 2 * width), block(3 * width, width)])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.down[0](x)
        second = self.down[1](F.max_pool2d(first, 2))
        low = self.join[0](torch.cat([self.up(self.middle(F.avg_pool2d(second, 2))), second], 1))
        return self.head(self.join[1](torch.cat([F.interpolate(low, scale_factor=2, mode="bilinear"), first], 1)))


class Tagger(nn.Module):
    """Tags of the words of a sentence, by a recurrent layer."""

    def __init__(self, layer: Callable[..., nn.Module], both: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.layer = layer(16, 12, 2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(24 if both else 12, 7)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.words(words))[0]).log_softmax(-1)


class Decoder(nn.Module):
    """A decoder layer that keeps keys and values of the last `length` steps in buffers."""

    def __init__(self, width: int = 16, length: int = 32) -> None:
        super().__init__()
        self.length = length
        self.norm = nn.RMSNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.register_buffer("keys", torch.zeros(1, length, width))
        self.register_buffer("values", torch.zeros(1, length, width))
        self.register_buffer("step", torch.zeros(1, dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        at = self.step % self.length
        self.keys.index_copy_(1, at, self.key(y))
        self.values.index_copy_(1, at, self.value(y))
        filled = torch.arange(self.length)[None, None] <= self.step
        self.step.add_(1)
        attended = F.scaled_dot_product_attention(self.query(y), self.keys, self.values, filled)
        return x + self.out(attended)


class Call(nn.Module):
    """A model whose result is picked out of what it returns."""

    def __init__(self, model: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.call(self.model, *inputs)


def _text(*shape: int) -> torch.Tensor:
    return torch.randint(3, 90, shape)


def bert() -> tuple[nn.Module, tuple[Any, ...]]:
    """BERT, with a mask."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=100,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = Call(BertModel(config).eval(), lambda m, x, a: m(input_ids=x, attention_mask=a).last_hidden_state)
    return model, (_text(2, 16), torch.ones(2, 16, dtype=torch.long))


def gpt2() -> tuple[nn.Module, tuple[Any, ...]]:
    """GPT-2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100, n_positions=64)
    return Call(GPT2LMHeadModel(config).eval(), lambda m, x: m(input_ids=x, use_cache=False).logits), (_text(2, 9),)


def llama() -> tuple[nn.Module, tuple[Any, ...]]:
    """A Llama-style decoder with grouped keys."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    return Call(LlamaForCausalLM(config).eval(), lambda m, x: m(input_ids=x, use_cache=False).logits), (_text(2, 9),)


def vit() -> tuple[nn.Module, tuple[Any, ...]]:
    """A vision transformer."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8
    )
    return Call(ViTModel(config).eval(), lambda m, x: m(pixel_values=x).last_hidden_state), (torch.randn(2, 3, 32, 32),)


def whisper() -> tuple[nn.Module, tuple[Any, ...]]:
    """An encoder and a decoder of speech."""
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        vocab_size=100, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=20,
        max_target_positions=16, num_mel_bins=8, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    model = WhisperModel(config).eval()
    wrapped = Call(model, lambda m, x, t: m(input_features=x, decoder_input_ids=t, use_cache=False).last_hidden_state)
    return wrapped, (torch.randn(1, 8, 40), _text(1, 7))


def resnet() -> tuple[nn.Module, tuple[Any, ...]]:
    """ResNet."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic")
    model = Call(ResNetModel(config).eval(), lambda m, x: m(pixel_values=x).pooler_output)
    return model, (torch.randn(2, 3, 33, 33),)


def mobilenet() -> tuple[nn.Module, tuple[Any, ...]]:
    """MobileNetV2."""
    from transformers import MobileNetV2Config, MobileNetV2Model

    model = MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25)).eval()
    return Call(model, lambda m, x: m(pixel_values=x).pooler_output), (torch.randn(1, 3, 32, 32),)
