"""First convolutions and poolings of quantized networks: few channels in groups of taps, maxima of bytes; exact."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

import mlirage
from mlirage.compiler import lower
from mlirage.options import make_options

Array = np.ndarray[Any, np.dtype[Any]]
_VNNI = "x86_64-unknown-linux-gnu:x86-64-v4:+avx512vnni"
_make = helper.make_node


def _model(nodes: list[Any], kind: int, shape: list[Any], result: int, weights: dict[str, Array]) -> ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "main", [value("x", kind, shape)], [value("y", result, list("abcd"))],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _stem(
    c: int,
    f: int,
    kernel: tuple[int, int],
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    dtype: Any,
    zero: int,
) -> tuple[list[Any], dict[str, Array]]:
    generator = np.random.default_rng(c * f)
    weights = {
        "xs": np.float32(0.02), "xz": dtype(zero), "w": generator.integers(-127, 128, (f, c, *kernel)).astype(np.int8),
        "ws": generator.uniform(0.005, 0.015, f).astype(np.float32), "wz": np.zeros(f, np.int8),
    }  # fmt: skip
    nodes = [
        _make("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        _make("DequantizeLinear", ["q", "xs", "xz"], ["d"]),
        _make("DequantizeLinear", ["w", "ws", "wz"], ["v"], axis=0),
        _make("Conv", ["d", "v"], ["y"], strides=strides, pads=pads, dilations=dilations),
    ]
    return nodes, weights


@pytest.mark.parametrize(
    ("c", "f", "kernel", "strides", "pads", "dilations"),
    [
        (3, 32, (7, 7), [2, 2], [3, 3, 3, 3], [1, 1]),
        (3, 37, (3, 3), [2, 1], [0, 0, 1, 1], [1, 1]),
        (1, 16, (5, 2), [1, 3], [2, 0, 1, 1], [1, 1]),
        (4, 5, (2, 4), [1, 1], [0, 0, 0, 0], [1, 1]),
        (2, 8, (3, 3), [1, 1], [2, 2, 2, 2], [2, 1]),
        (3, 8, (3, 3), [1, 1], [2, 2, 2, 2], [1, 2]),
        (3, 8, (1, 1), [1, 1], [0, 0, 0, 0], [1, 1]),
    ],
)
@pytest.mark.parametrize(("dtype", "zero"), [(np.uint8, 114), (np.int8, -9)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_few_channels(
    c: int, f: int, kernel: tuple[int, int], strides: list[int], pads: list[int], dilations: list[int],
    dtype: Any, zero: int, dynamic: bool,
) -> None:  # fmt: skip
    """The padding is the zero point, and what fills groups adds nothing."""
    nodes, weights = _stem(c, f, kernel, strides, pads, dilations, dtype, zero)
    shape: list[Any] = ["n", c, "h", "w"] if dynamic else [2, c, 19, 67]
    model = _model(nodes, TensorProto.FLOAT, shape, TensorProto.FLOAT, weights)
    run = mlirage.load(mlirage.compile(model))
    for size in [(19, 67), (8, 9)] if dynamic else [(19, 67)]:
        x = np.random.default_rng(3).uniform(-4, 4, (2, c, *size)).astype(np.float32)
        limits = np.iinfo(dtype)
        q = np.clip(np.rint(x / np.float32(0.02)) + zero, limits.min, limits.max) - zero
        scaled = weights["w"] * weights["ws"].astype(np.float64).reshape(-1, 1, 1, 1)
        padded = np.pad(q * 0.02, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
        expected = torch.nn.functional.conv2d(
            torch.tensor(padded, dtype=torch.float64), torch.tensor(scaled), stride=strides, dilation=dilations
        ).numpy()
        np.testing.assert_allclose(run(x)[0], expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("c", "kernel", "grouped"), [(3, (7, 7), True), (3, (3, 3), True), (3, (1, 1), False)])
def test_groups_of_taps(c: int, kernel: tuple[int, int], grouped: bool) -> None:
    """A row of taps is multiplied in groups, unless they would be zeros for the most part; then in floats."""
    nodes, weights = _stem(c, 16, kernel, [1, 1], [0, 0, 0, 0], [1, 1], np.uint8, 100)
    model = _model(nodes, TensorProto.FLOAT, [1, c, 24, 24], TensorProto.FLOAT, weights)
    program = lower(model, make_options(target=_VNNI, compile_to="flow"))
    assert any(name.endswith("x4") for name in program.constants) == grouped
    program = lower(model, make_options(target="aarch64-unknown-linux-gnu", compile_to="flow"))
    assert not any(array.dtype == np.int8 for array in program.constants.values())


@pytest.mark.parametrize("taps", [3, 4])
def test_few_channels_of_bf16(taps: int) -> None:
    """Floats are not multiplied by zeros that fill groups: a pixel next to a window may be NaN."""
    x = np.random.default_rng(0).standard_normal((1, 3, 17, 21)).astype(ml_dtypes.bfloat16)
    x[0, 1, 8, 10] = np.nan
    w = np.random.default_rng(1).standard_normal((20, 3, 3, taps)).astype(ml_dtypes.bfloat16)
    node = _make("Conv", ["x", "w"], ["y"], strides=[2, 1], pads=[1, 1, 1, 1])
    model = _model([node], TensorProto.BFLOAT16, list(x.shape), TensorProto.BFLOAT16, {"w": w})
    expected = torch.nn.functional.conv2d(
        torch.tensor(x.astype(np.float64)), torch.tensor(w.astype(np.float64)), stride=(2, 1), padding=1
    ).numpy()
    result = mlirage.load(mlirage.compile(model))(x)[0].astype(np.float64)
    assert 0 < np.isnan(expected).sum() < expected.size
    np.testing.assert_allclose(result, expected, rtol=1e-2, atol=5e-2)


@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "dilations", "moves"),
    [
        ([3, 3], [2, 2], [1, 1, 1, 1], [1, 1], True),
        ([2, 3], [1, 2], [0, 0, 1, 2], [1, 1], True),
        ([3, 3], [1, 1], [2, 2, 2, 2], [2, 2], False),
        ([2, 2], [2, 2], [0, 0, 0, 0], [1, 1], True),
    ],
)
@pytest.mark.parametrize(("dtype", "zero"), [(np.uint8, 114), (np.int8, -9), (np.uint8, 0)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_maxima(
    kernel: list[int], strides: list[int], pads: list[int], dilations: list[int], moves: bool,
    dtype: Any, zero: int, dynamic: bool,
) -> None:  # fmt: skip
    """The same bits as maxima of floats, whatever is quantized again."""
    x = np.random.default_rng(5).integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, (2, 35, 13, 18)).astype(dtype)
    weights = {"s": np.float32(0.037), "z": dtype(zero)}
    nodes = [
        _make("DequantizeLinear", ["x", "s", "z"], ["d"]),
        _make("MaxPool", ["d"], ["y"], kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = _model(nodes, kind, ["n", 35, "h", "w"] if dynamic else list(x.shape), TensorProto.FLOAT, weights)
    text = str(lower(model, make_options(compile_to="flow")).module)
    assert ("arith.maxui" in text or "arith.maxsi" in text) == moves
    wide = np.pad(
        (x.astype(np.float32) - np.float32(zero)) * np.float32(0.037),
        [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])], constant_values=-np.inf,
    )  # fmt: skip
    expected = torch.nn.functional.max_pool2d(torch.tensor(wide), kernel, strides, 0, dilations).numpy()
    np.testing.assert_array_equal(mlirage.load(mlirage.compile(model))(x)[0], expected)


def test_windows_of_padding_alone_stay() -> None:
    """A window without elements is -inf, which no integer stands for."""
    text = """
    func.func @f(%q: tensor<1x4x1x2xi8>) -> tensor<1x6x1x2xf32> {
      %low = arith.constant 0xFF800000 : f32
      %e = tensor.empty() : tensor<1x4x1x2xf32>
      %x = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>,
          affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
          ins(%q : tensor<1x4x1x2xi8>) outs(%e : tensor<1x4x1x2xf32>) {
      ^bb0(%in: i8, %o: f32):
        %s = arith.constant 0.5 : f32
        %1 = arith.sitofp %in : i8 to f32
        %2 = arith.mulf %1, %s : f32
        linalg.yield %2 : f32
      } -> tensor<1x4x1x2xf32>
      %p = tensor.pad %x low[0, 3, 0, 0] high[0, 0, 0, 0] {
      ^bb0(%a: index, %b: index, %c: index, %d: index):
        tensor.yield %low : f32
      } : tensor<1x4x1x2xf32> to tensor<1x7x1x2xf32>
      %w = tensor.empty() : tensor<2x1xf32>
      %r = tensor.empty() : tensor<1x6x1x2xf32>
      %i = linalg.fill ins(%low : f32) outs(%r : tensor<1x6x1x2xf32>) -> tensor<1x6x1x2xf32>
      %m = linalg.pooling_nhwc_max {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
          ins(%p, %w : tensor<1x7x1x2xf32>, tensor<2x1xf32>) outs(%i : tensor<1x6x1x2xf32>) -> tensor<1x6x1x2xf32>
      return %m : tensor<1x6x1x2xf32>
    }"""
    q = np.arange(-4, 4, dtype=np.int8).reshape(1, 4, 1, 2)
    result = np.asarray(mlirage.load(mlirage.compile(text))(q)[0])
    x = np.concatenate([np.full((1, 3, 1, 2), -np.inf, np.float32), q * np.float32(0.5)], axis=1)
    np.testing.assert_array_equal(result, np.maximum(x[:, :-1], x[:, 1:]))
