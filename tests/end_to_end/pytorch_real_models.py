"""PyTorch models at their real sizes, with random weights; `tests.end_to_end.framework_models` runs them."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.memory import PeakMemory
from tests.end_to_end.pytorch_models import Call, UNet

Made = tuple[nn.Module, tuple[Any, ...]]


def _image(size: int = 224, batch: int = 1) -> tuple[torch.Tensor]:
    return (torch.randn(batch, 3, size, size),)


def _words(*shape: int) -> torch.Tensor:
    return torch.randint(3, 5000, shape)


def resnet18() -> Made:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", num_labels=1000)
    return Call(ResNetForImageClassification(config), lambda m, x: m(pixel_values=x).logits), _image()


def resnet50() -> Made:
    from transformers import ResNetConfig, ResNetForImageClassification

    return Call(
        ResNetForImageClassification(ResNetConfig(num_labels=1000)), lambda m, x: m(pixel_values=x).logits
    ), _image()


def mobilenet_v2() -> Made:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    model = MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=1000))
    return Call(model, lambda m, x: m(pixel_values=x).logits), _image()


class _Squeeze(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(8, (width // 4 + 4) // 8 * 8)
        self.down, self.up = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return x * scale


class _Inverted(nn.Module):
    def __init__(self, width: int, inner: int, outer: int, kernel: int, stride: int, squeeze: bool, hard: bool) -> None:
        super().__init__()
        act = nn.Hardswish if hard else nn.ReLU
        layers: list[nn.Module] = []
        if inner != width:
            layers += [nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), act()]
        layers += [
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False), nn.BatchNorm2d(inner),
            act(),
        ]  # fmt: skip
        if squeeze:
            layers.append(_Squeeze(inner))
        layers += [nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)]
        self.block, self.skip = nn.Sequential(*layers), stride == 1 and width == outer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x) if self.skip else self.block(x)


def mobilenet_v3() -> Made:
    """MobileNetV3-large."""
    rows = (
        (16, 16, 3, 1, 0, 0), (64, 24, 3, 2, 0, 0), (72, 24, 3, 1, 0, 0), (72, 40, 5, 2, 1, 0), (120, 40, 5, 1, 1, 0),
        (120, 40, 5, 1, 1, 0), (240, 80, 3, 2, 0, 1), (200, 80, 3, 1, 0, 1), (184, 80, 3, 1, 0, 1),
        (184, 80, 3, 1, 0, 1), (480, 112, 3, 1, 1, 1), (672, 112, 3, 1, 1, 1), (672, 160, 5, 2, 1, 1),
        (960, 160, 5, 1, 1, 1), (960, 160, 5, 1, 1, 1),
    )  # fmt: skip
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()]
    width = 16
    for inner, outer, kernel, stride, squeeze, hard in rows:
        layers.append(_Inverted(width, inner, outer, kernel, stride, bool(squeeze), bool(hard)))
        width = outer
    layers += [nn.Conv2d(160, 960, 1, bias=False), nn.BatchNorm2d(960), nn.Hardswish(), nn.AdaptiveAvgPool2d(1)]
    layers += [nn.Flatten(), nn.Linear(960, 1280), nn.Hardswish(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers), _image()


def efficientnet_b0() -> Made:
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    config = EfficientNetConfig(
        num_labels=1000, width_coefficient=1.0, depth_coefficient=1.0, image_size=224, hidden_dim=1280
    )
    return Call(EfficientNetForImageClassification(config), lambda m, x: m(pixel_values=x).logits), _image()


def vit_b16() -> Made:
    from transformers import ViTConfig, ViTForImageClassification

    return Call(ViTForImageClassification(ViTConfig(num_labels=1000)), lambda m, x: m(pixel_values=x).logits), _image()


def swin_tiny() -> Made:
    from transformers import SwinConfig, SwinForImageClassification

    return Call(
        SwinForImageClassification(SwinConfig(num_labels=1000)), lambda m, x: m(pixel_values=x).logits
    ), _image()


def convnext_tiny() -> Made:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return Call(
        ConvNextForImageClassification(ConvNextConfig(num_labels=1000)), lambda m, x: m(pixel_values=x).logits
    ), _image()


def unet() -> Made:
    return UNet(32), _image(256)


def bert_base() -> Made:
    from transformers import BertConfig, BertModel

    model = Call(BertModel(BertConfig()), lambda m, x, a: m(input_ids=x, attention_mask=a).last_hidden_state)
    mask = torch.ones(1, 128, dtype=torch.long)
    mask[:, 100:] = 0
    return model, (_words(1, 128), mask)


def distilbert() -> Made:
    from transformers import DistilBertConfig, DistilBertModel

    model = Call(
        DistilBertModel(DistilBertConfig()), lambda m, x, a: m(input_ids=x, attention_mask=a).last_hidden_state
    )
    return model, (_words(1, 128), torch.ones(1, 128, dtype=torch.long))


def gpt2() -> Made:
    """Prefill."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return Call(GPT2LMHeadModel(GPT2Config()), lambda m, x: m(input_ids=x, use_cache=False).logits), (_words(1, 64),)


def gpt2_decode() -> Made:
    """A step with the keys and values of 64 words before."""
    from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

    config = GPT2Config()

    def step(model: Any, word: torch.Tensor, *past: torch.Tensor) -> Any:
        pairs = [(past[2 * i], past[2 * i + 1]) for i in range(config.n_layer)]
        cache = DynamicCache(pairs)
        logits = model(input_ids=word, past_key_values=cache, use_cache=True).logits
        return logits, [(layer.keys, layer.values) for layer in cache.layers]

    past = [torch.randn(1, 12, 64, 64) for _ in range(2 * config.n_layer)]
    return Call(GPT2LMHeadModel(config), step), (_words(1, 1), *past)


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=12, max_position_embeddings=1024,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def llama_110m() -> Made:
    """Prefill."""
    return Call(_llama(), lambda m, x: m(input_ids=x, use_cache=False).logits), (_words(1, 64),)


def llama_110m_decode() -> Made:
    """A step on a cache in buffers."""
    from transformers import GenerationConfig
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    model = _llama().eval()
    model.generation_config = GenerationConfig(
        use_cache=True, cache_implementation="static", cache_config={"batch_size": 1, "max_cache_len": 128}
    )
    wrapped = TorchExportableModuleWithStaticCache(model, 1, 128)
    return Call(wrapped, lambda m, x, p: m(input_ids=x, cache_position=p)), (_words(1, 1), torch.tensor([3]))


def whisper_tiny() -> Made:
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6, decoder_attention_heads=6,
        encoder_ffn_dim=1536, decoder_ffn_dim=1536,
    )  # fmt: skip
    model = WhisperModel(config)
    call = Call(model, lambda m, x, t: m(input_features=x, decoder_input_ids=t, use_cache=False).last_hidden_state)
    return call, (torch.randn(1, 80, 3000), _words(1, 8))


def t5_small() -> Made:
    from transformers import T5Config, T5Model

    model = T5Model(T5Config())
    call = Call(model, lambda m, x, t: m(input_ids=x, decoder_input_ids=t, use_cache=False).last_hidden_state)
    return call, (_words(1, 64), _words(1, 8))


def mamba() -> Made:
    """A state-space model of 130 million parameters' shape, four layers of it."""
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(num_hidden_layers=4, use_mambapy=False))
    return Call(model, lambda m, x: m(input_ids=x, use_cache=False).logits), (_words(1, 32),)


MODELS: dict[str, Callable[[], Made]] = {
    make.__name__: make
    for make in (
        resnet18, resnet50, mobilenet_v2, mobilenet_v3, efficientnet_b0, vit_b16, swin_tiny, convnext_tiny, unet,
        bert_base, distilbert, gpt2, gpt2_decode, llama_110m, llama_110m_decode, whisper_tiny, t5_small, mamba,
    )
}  # fmt: skip


def _best(call: Callable[[], Any], times: int = 5) -> float:
    spent: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return min(spent)


def _calibrate(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Statistics of batch norms from the data: with random weights, results would vanish without them."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.momentum = 1.0
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        model.train()(*(torch.cat([x, x.flip(-1)]) for x in inputs))


def measure(name: str) -> dict[str, Any]:
    """Compiles and runs a model beside eager PyTorch.

    Returns:
      The largest difference from eager's results, relative to the largest of them; seconds to compile, bytes of the
      module, the most memory that took, milliseconds of a call next to eager's, and how far both are from f64.
    """
    import mlirage

    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    _calibrate(model, inputs)
    model = model.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A copy of the state: a step may change the cache.
        before = {key: value.clone() for key, value in model.named_buffers()}
        wanted = torch.utils._pytree.tree_leaves(model(*inputs))
        eager = _best(lambda: model(*inputs))
        for key, value in model.named_buffers():
            value.copy_(before[key])
        with PeakMemory() as peak:
            start = time.perf_counter()
            compiled = mlirage.compile(model, inputs, cache_dir="off")
            seconds = time.perf_counter() - start
            run = mlirage.load(compiled)
            results = torch.utils._pytree.tree_leaves(run(*inputs))
        error = max(
            float((have - want).abs().max() / want.abs().max().clamp(min=1e-6))
            for have, want in zip(results, wanted, strict=True)
        )
        mine = _best(lambda: run(*inputs))
        for key, value in model.named_buffers():
            value.copy_(before[key])
        distances = _distances_from_double(model, inputs, results, wanted)
    return {
        "error": error, "compile_s": seconds, "peak_bytes": peak.bytes, "module_bytes": len(compiled), "ms": mine * 1e3,
        "eager_ms": eager * 1e3, **distances,
    }  # fmt: skip


def _distances_from_double(model: nn.Module, inputs: Any, results: list[Any], wanted: list[Any]) -> dict[str, float]:
    """How far mlirage's results and eager's are from those of f64: a net that enlarges rounding does so for both."""
    double = [x.double() if x.dtype.is_floating_point else x for x in inputs]
    try:
        right = torch.utils._pytree.tree_leaves(copy.deepcopy(model).double()(*double))
    except RuntimeError:  # tensors of f32 inside
        return {}

    def distance(found: list[Any]) -> float:
        pairs = zip(found, right, strict=True)
        return max(float((x - y).abs().max() / y.abs().max().clamp(min=1e-6)) for x, y in pairs)

    return {"error_f64": distance(results), "framework_error_f64": distance(wanted)}
