"""Quantized PyTorch programs: contractions of bytes in the IR, results within a step of the float simulation."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

import mlirage
from mlirage.importers import Model, import_source
from mlirage.options import make_options

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import torch.ao.quantization.fx._decomposed
    from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations
qd = torch.ops.quantized_decomposed


def _quantized(x: torch.Tensor, scale: float, zero: int, low: int, high: int, dtype: torch.dtype) -> torch.Tensor:
    """To integers and back, as PT2E writes it between operators."""
    q = qd.quantize_per_tensor(x, scale, zero, low, high, dtype)
    return qd.dequantize_per_tensor(q, scale, zero, low, high, dtype)


class _Weight(nn.Module):
    """A weight as bytes with a scale per row, or one for all."""

    def __init__(self, weight: torch.Tensor, per_row: bool) -> None:
        super().__init__()
        flat = weight.detach().flatten(1)
        self.per_row = per_row
        size = flat.abs().amax(1) if per_row else flat.abs().amax().repeat(len(flat))
        scales = size / 127
        self.register_buffer(
            "q", (weight / scales.view(-1, *[1] * (weight.dim() - 1))).round().clamp(-127, 127).to(torch.int8)
        )
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(flat), dtype=torch.int64))
        self.one = float(scales[0])

    def forward(self) -> torch.Tensor:
        if self.per_row:
            return qd.dequantize_per_channel(self.q, self.scales, self.zeros, 0, -127, 127, torch.int8)
        return qd.dequantize_per_tensor(self.q, self.one, 0, -127, 127, torch.int8)


class Network(nn.Module):
    """Convolutions of all kinds, addition, pooling, and a linear layer, on bytes of one type."""

    def __init__(self, dtype: torch.dtype, per_row: bool) -> None:
        super().__init__()
        self.low, self.high, self.zero = (0, 255, 119) if dtype == torch.uint8 else (-128, 127, -9)
        self.dtype = dtype
        layers = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=2), nn.Linear(8 * 25, 7)]
        self.weights = nn.ModuleList(_Weight(layer.weight, per_row) for layer in layers)
        self.biases = nn.ParameterList(layer.bias for layer in layers)

    def at(self, x: torch.Tensor, scale: float = 0.03) -> torch.Tensor:
        return _quantized(x, scale, self.zero, self.low, self.high, self.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        conv = nn.functional.conv2d
        x = self.at(x)
        x = self.at(conv(x, self.weights[0](), self.biases[0], padding=1).relu())
        y = self.at(conv(x, self.weights[1](), self.biases[1], padding=1, stride=2, groups=8))
        z = self.at(nn.functional.max_pool2d(x, 3, 2, 1))
        x = self.at(y + z)
        x = self.at(conv(x, self.weights[2](), self.biases[2], dilation=2, groups=2))
        x = self.at(nn.functional.hardswish(x)).flatten(1)
        return self.at(nn.functional.linear(x, self.weights[3](), self.biases[3]))


def _contractions(model: nn.Module, inputs: tuple[Any, ...]) -> list[str]:
    """Element types of the operands and the result of each contraction in the imported IR."""
    text = str(import_source(Model(model, inputs), make_options()).module)
    found = re.findall(r"linalg\.(?:\w*conv\w*|\w*matmul)\b.*ins\((.*)\) outs\((.*?)\) ->", text)
    return [" ".join(re.findall(r"x([a-z]+\d+)>", " ".join(pair))) for pair in found]


@pytest.mark.parametrize(("dtype", "per_row"), [(torch.int8, True), (torch.uint8, False)])
def test_network(dtype: torch.dtype, per_row: bool) -> None:
    torch.manual_seed(0)
    model, x = Network(dtype, per_row).eval(), torch.randn(2, 3, 17, 17)
    assert _contractions(model, (x,)) == ["i8 i8 i32"] * 4
    run = mlirage.load(mlirage.compile(model, (x,), opt_level=1), device="local-sync")
    difference = (run(x) - model(x)).detach().abs()
    assert difference.max() <= 0.03 * 1.001
    assert (difference > 1e-6).float().mean() < 0.05  # nearly all are the same


def test_products_of_activations() -> None:
    """Both operands have zero points; batches, and an open extent."""

    def attend(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = _quantized(x, 0.02, 13, -128, 127, torch.int8)
        c = _quantized(y, 0.04, 77, 0, 255, torch.uint8)
        return a @ c.transpose(-1, -2)

    x, y = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    assert _contractions(attend, (x, y)) == ["i8 i8 i32"]  # pyright: ignore[reportArgumentType]
    batch = torch.export.Dim("batch", max=64)
    shapes = ({0: batch}, {0: batch})
    run = mlirage.load(mlirage.compile(attend, (x, y), dynamic_shapes=shapes, opt_level=1), device="local-sync")
    for count in (0, 1, 2, 5):
        x, y = torch.randn(count, 3, 5, 8), torch.randn(count, 3, 7, 8)
        torch.testing.assert_close(run(x, y), attend(x, y), rtol=1e-5, atol=1e-5)


def test_dynamic_quantization() -> None:
    """Scale and zero point come from the data."""
    weight = _Weight(torch.randn(6, 10), True)

    class Dynamic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scale, zero = qd.choose_qparams.tensor(x, -128, 127, 1e-6, torch.int8)
            q = qd.quantize_per_tensor.tensor(x, scale, zero, -128, 127, torch.int8)
            a = qd.dequantize_per_tensor.tensor(q, scale, zero, -128, 127, torch.int8)
            return nn.functional.linear(a, self.weight())

    model, x = Dynamic(), torch.randn(4, 10) + 0.5
    assert _contractions(model, (x,)) == ["i8 i8 i32"]
    run = mlirage.load(mlirage.compile(model, (x,), opt_level=1), device="local-sync")
    torch.testing.assert_close(run(x), model(x), rtol=1e-5, atol=float(x.abs().max()) / 100)


def test_weights_alone() -> None:
    """Small weights stay small in the module."""

    class WeightOnly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randint(-127, 127, (128, 256), dtype=torch.int8))
            self.register_buffer("scales", torch.rand(128))
            self.register_buffer("table", torch.randint(-127, 127, (90, 256), dtype=torch.int8))
            self.register_buffer("rows", torch.rand(90) / 50)
            self.register_buffer("nothing", torch.zeros(90, dtype=torch.int64))

        def forward(self, words: torch.Tensor) -> Any:
            table = qd.dequantize_per_channel(self.table, self.rows, self.nothing, 0, -127, 127, torch.int8)
            x = nn.functional.embedding(words, table)
            return torch.ops.aten._weight_int8pack_mm(x, self.weight, self.scales), (
                x @ self.weight.float().t()
            ) * self.scales

    model, words = WeightOnly(), torch.randint(0, 90, (5,))
    module = mlirage.compile(model, (words,), opt_level=1)
    assert len(module) < 128 * 256 + 90 * 256 + 60_000
    packed, product = mlirage.load(module, device="local-sync")(words)
    for have, want in zip((packed, product), model(words), strict=True):
        torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-3)


def test_fake_quantization() -> None:
    """Models trained for quantization say their steps by `fake_quantize`: bytes for those that fit."""
    weight = torch.randn(6, 10)

    def linear(x: torch.Tensor) -> torch.Tensor:
        x = torch.fake_quantize_per_tensor_affine(x, 0.03, 121, 0, 255)
        scales = weight.abs().amax(1) / 7
        w = torch.fake_quantize_per_channel_affine(weight, scales, torch.zeros(6, dtype=torch.int32), 0, -8, 7)
        return torch.nn.functional.linear(x, w)

    x = torch.randn(5, 10) * 2
    assert _contractions(linear, (x,)) == ["i8 i8 i32"]  # pyright: ignore[reportArgumentType]
    run = mlirage.load(mlirage.compile(linear, (x,), opt_level=1), device="local-sync")
    torch.testing.assert_close(run(x), linear(x), rtol=1e-5, atol=1e-5)


def test_weights_of_four_bits() -> None:
    numbers = torch.randint(0, 16, (32, 128), dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 2)
    scales = torch.stack([torch.rand(4, 32) / 9, torch.randn(4, 32)], -1)

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("packed", packed)
            self.register_buffer("scales", scales)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.packed, 32, self.scales)

    model, x = Small(), torch.randn(5, 128)
    module = mlirage.compile(model, (x,), opt_level=1)
    torch.testing.assert_close(mlirage.load(module, device="local-sync")(x), model(x), rtol=1e-4, atol=1e-4)
