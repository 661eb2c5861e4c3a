"""Whole models out of PyTorch, with random weights: configurations of transformers, or written out here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.models.built import Built


class Part(nn.Module):
    """A model of transformers that returns the first of its outputs."""

    def __init__(
        self, model: nn.Module, pick: Callable[[Any], Any] = lambda outputs: outputs[0], **options: Any
    ) -> None:
        super().__init__()
        self.model, self.pick, self.options = model, pick, options

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.pick(self.model(*inputs, **self.options))


def to_onnx(make: Callable[[], tuple[nn.Module, Sequence[torch.Tensor]]], names: Sequence[str]) -> Built:
    """The ONNX form of a module in inference mode, and the inputs it came with.

    Args:
      make: makes the module and its example inputs; weights follow the seed that is set before.
      names: of the inputs.
    """
    torch.manual_seed(0)
    module, inputs = make()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for norm in module.modules():
            # As after training: a fresh batch norm is the identity, which compilers may drop.
            if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.6, 1.4)
        program = torch.onnx.export(
            module.eval(), tuple(inputs), dynamo=True, input_names=list(names), opset_version=18, verbose=False
        )
        assert program is not None
    model = program.model_proto
    given = {value.name for value in model.graph.input}
    return model, {name: value.numpy() for name, value in zip(names, inputs, strict=True) if name in given}


def _labelled(config: Any) -> Any:
    config.num_labels = 1000  # as ImageNet has
    return config


def _images(size: int = 224) -> tuple[torch.Tensor]:
    return (torch.randn(1, 3, size, size),)


def _words(length: int, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, count, (1, length)))


def _mobilenet_v2() -> tuple[nn.Module, Sequence[torch.Tensor]]:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    return Part(MobileNetV2ForImageClassification(_labelled(MobileNetV2Config()))), _images()


def _efficientnet_b0() -> tuple[nn.Module, Sequence[torch.Tensor]]:
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    config = EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0, image_size=224, hidden_dim=1280)
    return Part(EfficientNetForImageClassification(_labelled(config))), _images()


def resnet50() -> Built:
    """ResNet-50 in the opset that quantizing tools want; the light model is older."""
    from transformers import ResNetConfig, ResNetForImageClassification

    def make() -> tuple[nn.Module, Sequence[torch.Tensor]]:
        return Part(ResNetForImageClassification(_labelled(ResNetConfig()))), _images()

    return to_onnx(make, ["pixels"])


def _vit_b16() -> tuple[nn.Module, Sequence[torch.Tensor]]:
    from transformers import ViTConfig, ViTForImageClassification

    return Part(ViTForImageClassification(_labelled(ViTConfig()))), _images()


def _convnext_tiny() -> tuple[nn.Module, Sequence[torch.Tensor]]:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return Part(ConvNextForImageClassification(_labelled(ConvNextConfig()))), _images()


def _bert_base(length: int) -> tuple[nn.Module, Sequence[torch.Tensor]]:
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(), add_pooling_layer=False)
    return Part(model), (_words(length, 30522), torch.ones(1, length, dtype=torch.int64))


def _whisper_tiny_encoder() -> tuple[nn.Module, Sequence[torch.Tensor]]:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536)
    return Part(WhisperEncoder(config)), (torch.randn(1, 80, 3000),)


class _Gate(nn.Module):
    """Squeeze and excite with a hard sigmoid, as MobileNetV3 has it (Howard et al., 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _of_eight(channels / 4)
        self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def _of_eight(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _conv(inner: int, outer: int, size: int, stride: int, act: type[nn.Module] | None, groups: int = 1) -> nn.Module:
    layers = [nn.Conv2d(inner, outer, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outer)]
    return nn.Sequential(*layers, *([act()] if act else []))


class _Inverted(nn.Module):
    """MobileNetV3's block: widen, depthwise, gate, narrow; a residual where shapes agree."""

    def __init__(self, inner: int, wide: int, outer: int, size: int, stride: int, gate: bool, hard: bool) -> None:
        super().__init__()
        act = nn.Hardswish if hard else nn.ReLU
        widen = [] if wide == inner else [_conv(inner, wide, 1, 1, act)]
        gates = [_Gate(wide)] if gate else []
        self.body = nn.Sequential(*widen, _conv(wide, wide, size, stride, act, wide), *gates,
                                  _conv(wide, outer, 1, 1, None))  # fmt: skip
        self.residual = stride == 1 and inner == outer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.residual else self.body(x)


# Table 1 of "Searching for MobileNetV3" (arXiv:1905.02244): kernel, width, out, gate, hard swish, stride.
_MOBILENET_V3_LARGE = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip


def _mobilenet_v3_large() -> tuple[nn.Module, Sequence[torch.Tensor]]:
    layers: list[nn.Module] = [_conv(3, 16, 3, 2, nn.Hardswish)]
    inner = 16
    for size, wide, outer, gate, hard, stride in _MOBILENET_V3_LARGE:
        layers.append(_Inverted(inner, wide, outer, size, stride, gate, hard))
        inner = outer
    layers += [
        _conv(160, 960, 1, 1, nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(960, 1280), nn.Hardswish(), nn.Linear(1280, 1000),
    ]  # fmt: skip
    return nn.Sequential(*layers), _images()


class _UNet(nn.Module):
    """Ronneberger et al. 2015 with padding and batch norm, four levels, 256x256 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()

        def block(inner: int, outer: int) -> nn.Module:
            return nn.Sequential(_conv(inner, outer, 3, 1, nn.ReLU), _conv(outer, outer, 3, 1, nn.ReLU))

        widths = [width << level for level in range(5)]
        self.down = nn.ModuleList([block(a, b) for a, b in zip([3, *widths], widths, strict=False)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1])])
        self.join = nn.ModuleList([block(2 * w, w) for w in reversed(widths[:-1])])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, reversed(kept[:-1]), strict=True):
            x = join(torch.cat([up(x), skip], 1))
        return self.head(x)


MODELS: dict[str, Callable[[], Built]] = {
    "mobilenet_v2": lambda: to_onnx(_mobilenet_v2, ["pixels"]),
    "mobilenet_v3_large": lambda: to_onnx(_mobilenet_v3_large, ["pixels"]),
    "efficientnet_b0": lambda: to_onnx(_efficientnet_b0, ["pixels"]),
    "convnext_tiny": lambda: to_onnx(_convnext_tiny, ["pixels"]),
    "unet": lambda: to_onnx(lambda: (_UNet(), _images(256)), ["pixels"]),
    "vit_b16": lambda: to_onnx(_vit_b16, ["pixels"]),
    **{
        f"bert_base_{length}": lambda length=length: to_onnx(lambda: _bert_base(length), ["words", "mask"])
        for length in (8, 128, 384)
    },
    "whisper_tiny_encoder": lambda: to_onnx(_whisper_tiny_encoder, ["features"]),
}
