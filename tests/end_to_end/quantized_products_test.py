"""Products and convolutions of quantized numbers, from ONNX to results: integers exact, weights that stay packed."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage
from mlirage.compiler import lower
from mlirage.mlir import walk
from mlirage.options import make_options
from tests.codegen.cross import Machine, Work

Array = np.ndarray[Any, np.dtype[Any]]
_TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8, np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int32): TensorProto.INT32, np.dtype(ml_dtypes.int4): TensorProto.INT4,
    np.dtype(ml_dtypes.uint4): TensorProto.UINT4,
}  # fmt: skip


def _model(nodes: list[Any], x: Array, shape: list[Any], y: Any, weights: dict[str, Array]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    rank = "abcdef"[: len(shape)]
    graph = helper.make_graph(
        nodes, "main", [value("x", _TYPES[x.dtype], shape)], [value("y", _TYPES[np.dtype(y)], list(rank))],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _integers(dtype: Any, *shape: int) -> Array:
    low, high = (-8, 8) if dtype == ml_dtypes.int4 else (0, 16) if dtype == ml_dtypes.uint4 else (None, None)
    if low is None:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max + 1
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(dtype)


def _dispatches(model: onnx.ModelProto) -> list[str]:
    program = lower(model, make_options(compile_to="flow"))
    return [str(op.attributes["entry"]) for op in walk(program.module.operation) if op.name == "flow.dispatch"]


@pytest.mark.parametrize(("left", "right"), [(np.uint8, np.int8), (np.int8, np.int8), (np.uint8, np.uint8)])
@pytest.mark.parametrize("zeros", [(0, 0), (100, 7)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_matmul_integer(left: Any, right: Any, zeros: tuple[int, int], dynamic: bool) -> None:
    x, w = _integers(left, 19, 37), _integers(right, 37, 45)
    weights = {"w": w, "xz": np.array(zeros[0], left), "wz": np.array(zeros[1], right)}
    node = helper.make_node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])
    model = _model([node], x, ["m", 37] if dynamic else [19, 37], np.int32, weights)
    assert len(_dispatches(model)) == 1
    (result,) = mlirage.load(mlirage.compile(model))(x)
    np.testing.assert_array_equal(result, (x.astype(np.int32) - zeros[0]) @ (w.astype(np.int32) - zeros[1]))


def test_zero_point_of_run_time() -> None:
    """Dynamic quantization: scale and zero point are computed from the input."""
    x, w = np.random.default_rng(0).standard_normal((9, 33)).astype(np.float32), _integers(np.int8, 33, 20)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["y"]),
    ]
    (result,) = mlirage.load(mlirage.compile(_model(nodes, x, [9, 33], np.float32, {"w": w})))(x)
    top, bottom = max(x.max(), np.float32(0)), min(x.min(), np.float32(0))
    scale = np.float32((top - bottom) / np.float32(255))
    zero = np.clip(np.round(-bottom / scale), 0, 255)
    quantized = np.clip(np.round(x / scale) + zero, 0, 255)
    expected = ((quantized - zero).astype(np.int64) @ w.astype(np.int64)).astype(np.float32) * scale
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("c", "f", "size", "kernel", "stride", "pad", "group"),
    [(16, 24, 9, 3, 1, 1, 1), (3, 10, 17, 3, 2, 1, 1), (37, 33, 6, 1, 1, 0, 1), (16, 32, 7, 3, 1, 1, 4)],
)
@pytest.mark.parametrize("dequantized", [False, True])
def test_convolution(
    c: int, f: int, size: int, kernel: int, stride: int, pad: int, group: int, dequantized: bool
) -> None:
    """The padding is the zero point; dequantize, convolve, quantize is as good as the integer convolution."""
    import torch

    x, w = _integers(np.uint8, 1, c, size, size), _integers(np.int8, f, c // group, kernel, kernel)
    bias = np.random.default_rng(1).integers(-500, 500, f).astype(np.int32)
    scale = (np.random.default_rng(2).uniform(0.5, 1.5, f) * 0.01).astype(np.float32)
    weights = {
        "xs": np.float32(0.02), "xz": np.uint8(120), "w": w, "ws": scale, "wz": np.zeros(f, np.int8),
        "ys": np.float32(0.3), "yz": np.uint8(128), "b": bias, "bs": scale * np.float32(0.02),
    }  # fmt: skip
    attributes = {"pads": [pad] * 4, "strides": [stride] * 2, "group": group}
    if dequantized:
        make = helper.make_node
        nodes = [
            make("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
            make("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
            make("DequantizeLinear", ["b", "bs"], ["bf"], axis=0),
            make("Conv", ["xf", "wf", "bf"], ["yf"], **attributes),
            make("QuantizeLinear", ["yf", "ys", "yz"], ["y"]),
        ]
    else:
        del weights["bs"]
        inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
        nodes = [helper.make_node("QLinearConv", inputs, ["y"], **attributes)]
    (result,) = mlirage.load(mlirage.compile(_model(nodes, x, list(x.shape), np.uint8, weights)))(x)
    total = torch.nn.functional.conv2d(
        torch.tensor(x.astype(np.float64) - 120), torch.tensor(w.astype(np.float64)), torch.tensor(bias.astype(float)),
        stride=stride, padding=pad, groups=group,
    ).numpy()  # fmt: skip
    exact = total * (0.02 * scale.astype(np.float64).reshape(1, -1, 1, 1)) / 0.3 + 128
    expected = np.clip(np.round(exact), 0, 255)
    tie = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < 1e-3
    assert ((result == expected) | (tie & (np.abs(result - expected) <= 1))).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, ml_dtypes.int4, ml_dtypes.uint4])
@pytest.mark.parametrize(("block", "zero"), [(0, False), (32, False), (32, True)])
@pytest.mark.parametrize(("rows", "dynamic"), [(1, False), (40, False), (3, True), (40, True)])
def test_weights_stay_packed(dtype: Any, block: int, zero: bool, rows: int, dynamic: bool) -> None:
    """One dispatch computes the floats as it reads the integers; those of four bits lie two to a byte."""
    depth, columns = (96, 130) if block else (95, 130)
    q = _integers(dtype, depth, columns)
    shape = (depth // block, columns) if block else (columns,)
    scale = np.random.default_rng(3).uniform(0.5, 1.5, shape).astype(np.float32)
    zeros = _integers(dtype, *shape) if zero else np.zeros(shape, dtype)
    weights = {"q": q, "s": scale, "z": zeros} if zero else {"q": q, "s": scale}
    attributes = {"axis": 0, "block_size": block} if block else {"axis": 1}
    nodes = [
        helper.make_node("DequantizeLinear", list(weights), ["w"], **attributes),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    x = np.random.default_rng(4).standard_normal((rows, depth)).astype(np.float32)
    model = _model(nodes, x, ["m" if dynamic else rows, depth], np.float32, weights)
    program = lower(model, make_options(compile_to="flow"))
    assert len([op for op in walk(program.module.operation) if op.name == "flow.dispatch"]) == 1
    panels = -(-columns // 32) * 32
    numbers = depth * panels * (1 if dtype in (np.int8, np.uint8) else 0.5)
    factors = (depth // block if block else 1) * panels * (5 if zero else 4)
    assert sum(array.nbytes for array in program.constants.values()) <= 1.05 * (numbers + factors) + 64
    (result,) = mlirage.load(mlirage.compile(model))(x)
    wide = q.astype(np.float64).reshape(-1, block or depth, columns) - zeros.astype(np.float64).reshape(-1, 1, columns)
    expected = x @ (wide * scale.reshape(-1, 1, columns)).reshape(depth, columns)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_dot_products_on_neon() -> None:
    machine = Machine.get("aarch64-dotprod")
    works: list[Work] = []
    expected: list[Array] = []
    for dtype in (np.uint8, np.int8):
        x, w = _integers(dtype, 9, 37), _integers(np.int8, 37, 45)
        model = _model([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], x, [9, 37], np.int32, {"w": w})
        works.append(Work(mlirage.compile(model, target=machine.architecture.target), [x]))
        expected.append(x.astype(np.int32) @ w.astype(np.int32))
    for result, wanted in zip(machine.run(works), expected, strict=True):
        assert not isinstance(result, str), result
        np.testing.assert_array_equal(result[0], wanted)


def _depthwise(x: Array, w: Array, stride: int, dilation: int, padding: int) -> Array:
    """Sums in i64 of `[n, c, h, w]` and `[c, kh, kw]`; zeros around the image."""
    wide = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    reach = [dilation * (k - 1) + 1 for k in w.shape[1:]]
    rows, columns = [(e - r) // stride + 1 for e, r in zip(wide.shape[2:], reach, strict=True)]
    total = np.zeros((*x.shape[:2], rows, columns), np.int64)
    for i in range(w.shape[1]):
        for j in range(w.shape[2]):
            at = slice(i * dilation, i * dilation + (rows - 1) * stride + 1, stride)
            along = slice(j * dilation, j * dilation + (columns - 1) * stride + 1, stride)
            total += wide[:, :, at, along] * w[:, i, j].astype(np.int64)[:, None, None]
    return total


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "dilation", "padding", "zero", "weights_zero"),
    [
        (32, 3, 1, 1, 1, np.uint8(0), 0),
        (35, 3, 2, 1, 1, np.uint8(128), 0),
        (16, 3, 1, 2, 2, np.int8(-128), 0),
        (17, 5, 1, 1, 2, np.int8(3), 0),
        (48, 3, 1, 1, 0, np.uint8(200), 7),
        (1, 3, 1, 1, 1, np.uint8(0), 0),
        (24, 3, 2, 1, 1, np.uint8(255), -5),
    ],
)
@pytest.mark.parametrize("batch", [2, "n"])
def test_depthwise_convolution_of_dequantized_numbers(
    channels: int, kernel: int, stride: int, dilation: int, padding: int, zero: Any, weights_zero: int, batch: int | str
) -> None:
    rng = np.random.default_rng(channels)
    w = _integers(np.int8, channels, 1, kernel, kernel)
    scale = rng.uniform(0.001, 0.02, channels).astype(np.float32)
    weights = {
        "w": w, "ws": scale, "wz": np.full(channels, weights_zero, np.int8), "xs": np.float32(0.05), "xz": zero,
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["dx"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=0),
        helper.make_node("Conv", ["dx", "dw"], ["y"], group=channels, kernel_shape=[kernel] * 2,
                         strides=[stride] * 2, dilations=[dilation] * 2, pads=[padding] * 4),
    ]  # fmt: skip
    x = _integers(zero.dtype, 2, channels, 13, 11)
    model = _model(nodes, x, [batch, channels, 13, 11], np.float32, weights)
    assert any("xi32" in name for name in _dispatches(model)) or channels == 1
    run = mlirage.load(mlirage.compile(model))
    centered = w.astype(np.int64).reshape(channels, kernel, kernel) - weights_zero
    exact = _depthwise(x.astype(np.int64) - int(zero), centered, stride, dilation, padding)
    expected = exact * (scale.astype(np.float64) * 0.05)[:, None, None]
    np.testing.assert_allclose(run(x)[0], expected, rtol=1e-5, atol=1e-6)
    if batch == "n":
        assert run(x[:0])[0].shape == (0, *expected.shape[1:])
        np.testing.assert_allclose(run(x[:1])[0], expected[:1], rtol=1e-5, atol=1e-6)
