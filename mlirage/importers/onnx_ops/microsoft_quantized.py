"""com.microsoft: products with packed weights, and the operators on 8-bit integers that ONNX Runtime fuses.

Packed weights stay as they are in the module: they are unpacked and scaled where they are multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.importers.onnx_ops import neural
from mlirage.importers.onnx_ops.linear import scaled
from mlirage.importers.onnx_ops.microsoft_fused import DOMAIN
from mlirage.importers.onnx_ops.quantization import (
    DequantizeLinear,
    DynamicQuantizeLinear,
    QuantizeLinear,
    centered,
    quantized,
)
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith

for _function in (QuantizeLinear, DequantizeLinear):
    onnx_op(DOMAIN)(_function)

# Elements of the 4-bit floats of bitsandbytes: fp4 and nf4.
_FP4 = [0.0, 0.005208333333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25]
_BNB4 = (
    np.array([*_FP4, *(-x for x in _FP4)], np.float32),
    np.array(
        [
            -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
            -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
            0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
        ],
        np.float32,
    ),
)  # fmt: skip


def unpacked(x: Tensor, bits: int, high_first: bool = False) -> Tensor:
    """Bytes as the 8 / `bits` numbers that each holds, along the last axis; the low ones come first."""
    if bits == 8:
        return x
    if bits not in (1, 2, 4):
        raise NotImplementedError(f"weights of {bits} bits")
    count = 8 // bits
    shape = (*x.shape, count)

    def body(a: Scalar) -> Scalar:
        place = s.cast(s.index_of(x.rank), b.UINT8)
        amount = (s.coerce(count - 1, b.UINT8) - place if high_first else place) * bits
        return Scalar(arith.shrui(a.value, amount.value), b.UINT8) & (2**bits - 1)

    numbers = b.map_(body, b.unsqueeze(x, [x.rank]), shape=shape)
    return b.reshape(numbers, (*x.shape[:-1], x.shape[-1] * count))


def _scaled_blocks(
    numbers: Tensor, scales: Tensor, zeros: Tensor | None, default_zero: int, block: int, dtype: b.DType
) -> Tensor:
    """(numbers - zero) · scale, where rows of `numbers` [r, k] have a scale and a zero per `block` elements."""
    rows, width = numbers.shape
    count = scales.shape[1]
    blocks = b.reshape(numbers, (rows, count, block))
    wide = b.compute_dtype(dtype)

    def body(a: Scalar, k: Scalar, *z: Scalar) -> Scalar:
        if z and b.is_float(z[0].dtype):
            return (s.cast(s.cast(a, b.INT32), wide) - s.cast(z[0], wide)) * s.cast(k, wide)
        number = s.cast(a, b.INT32) - (s.cast(z[0], b.INT32) if z else default_zero)
        return s.cast(number, wide) * s.cast(k, wide)

    extra = [] if zeros is None else [b.unsqueeze(zeros, [2])]
    result = b.map_(body, blocks, b.unsqueeze(scales, [2]), *extra, dtype=dtype, shape=(rows, count, block))
    return b.reshape(result, (rows, width))


@onnx_op(DOMAIN)
def MatMulNBits(
    node: Node,
    left: Tensor,
    packed: Tensor,
    scales: Tensor,
    zeros: Tensor | None = None,
    groups: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    width, depth = node.require("N"), node.require("K")
    bits, block = node.get("bits", 4), node.require("block_size")
    if node.get("weight_prepacked", 0):
        raise NotImplementedError("weights prepacked for a GPU")
    count = -(-depth // block)
    scales = b.reshape(scales, (width, count))
    if zeros is not None and not b.is_float(zeros.dtype):
        per_row = -(-count * bits // 8)
        zeros = b.slice_axis(unpacked(b.reshape(zeros, (width, per_row)), bits), 1, 0, count)
    elif zeros is not None:
        zeros = b.reshape(zeros, (width, count))
    numbers = unpacked(b.reshape(packed, (width, count * block * bits // 8)), bits)
    default = 2 ** (bits - 1)
    if groups is None:
        weight = _scaled_blocks(numbers, scales, zeros, default, block, left.dtype)
        weight = b.slice_axis(weight, 1, 0, depth) if count * block != depth else weight
    else:  # every column says whose scale it takes
        numbers = b.slice_axis(numbers, 1, 0, depth)
        groups = b.slice_axis(b.reshape(groups, [b.product(groups.shape)]), 0, 0, depth)
        scales = b.gather(scales, groups, 1)
        zeros = b.gather(zeros, groups, 1) if zeros is not None else None
        weight = _scaled_blocks(numbers, scales, zeros, default, 1, left.dtype)
    result = b.matmul(left, b.transpose(weight, [1, 0]))
    return result if bias is None else b.add(result, bias)


@onnx_op(DOMAIN)
def MatMulBnb4(node: Node, left: Tensor, packed: Tensor, scales: Tensor) -> Tensor:
    width, depth, block = node.require("N"), node.require("K"), node.require("block_size")
    if width * depth % block or node.get("quant_type", 0) not in (0, 1):
        raise NotImplementedError("a last block that is not full, or a type other than fp4 and nf4")
    table = Tensor.of(_BNB4[node.get("quant_type", 0)])
    numbers = b.reshape(unpacked(packed, 4, high_first=True), (width * depth // block, block))
    values = b.multiply(b.cast(b.gather(table, numbers, 0), left.dtype), b.unsqueeze(scales, [1]))
    weight = b.reshape(values, (width, depth))
    return b.matmul(left, b.transpose(weight, [1, 0]) if node.get("transB", 1) else b.reshape(weight, (depth, width)))


@onnx_op(DOMAIN)
def GatherBlockQuantized(
    node: Node, data: Tensor, indices: Tensor, scales: Tensor, zeros: Tensor | None = None
) -> Tensor:
    axis = b.normalize_axis(node.get("gather_axis", 0), data.rank)
    along = b.normalize_axis(node.get("quantize_axis", 1), data.rank)
    block, bits = node.get("block_size", 128), node.get("bits", 4)
    if axis == along or along != data.rank - 1:
        raise NotImplementedError("blocks along another axis than the last")
    is_packed = data.dtype == b.UINT8 and bits < 8
    rows = b.gather(data, indices, axis)
    factors = b.gather(scales, indices, axis)
    offsets = None if zeros is None else b.gather(zeros, indices, axis)
    if is_packed:
        rows = unpacked(rows, bits)
        offsets = None if offsets is None else unpacked(offsets, bits)
    default = 2 ** (bits - 1) if data.dtype == b.UINT8 else 0
    outer, width, count = rows.shape[:-1], rows.shape[-1], factors.shape[-1]
    flat = [b.product(outer)]
    padded = count * block
    if padded != width:
        rows = b.pad(rows, [0] * rows.rank, [*([0] * (rows.rank - 1)), padded - width], 0)
    if offsets is not None:
        offsets = b.reshape(b.slice_axis(offsets, offsets.rank - 1, 0, count), [*flat, count])
    values = _scaled_blocks(
        b.reshape(rows, [*flat, padded]), b.reshape(factors, [*flat, count]), offsets, default, block, scales.dtype
    )
    return b.slice_axis(b.reshape(values, (*outer, padded)), len(outer), 0, width)


# ---- 8-bit operators ------------------------------------------------------------------------------------------------


def _number(x: Tensor | None) -> Tensor | None:
    return None if x is None else b.reshape(x, ())


def _number_or_row(x: Tensor) -> Tensor:
    """A parameter of one element as a number; one per column stays."""
    return b.reshape(x, ()) if x.rank and x.shape[0] == 1 else x


def _real(x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """The numbers that quantized ones stand for; parameters are numbers, or one per column."""
    factor = _number_or_row(scale)
    extra = [] if zero is None else [_number_or_row(zero)]

    def body(a: Scalar, k: Scalar, *z: Scalar) -> Scalar:
        number = s.cast(a, b.INT32)
        return s.cast(number - s.cast(z[0], b.INT32) if z else number, k.dtype) * k

    return b.map_(body, x, factor, *extra, dtype=scale.dtype, shape=x.shape)


def _requantized(x: Tensor, scale: Tensor | None, zero: Tensor | None, dtype: b.DType) -> Tensor:
    """Floats rounded to quantized numbers."""
    if scale is None:
        raise ValueError("the scale of the result is missing")
    extra = [] if zero is None else [b.reshape(zero, ())]
    return b.map_(
        lambda a, k, *z: quantized(a, k, z[0] if z else None, dtype), x, b.reshape(scale, ()), *extra, dtype=dtype
    )


def _binary(function: Callable[[Scalar, Scalar], Scalar], *inputs: Tensor | None) -> Tensor:
    left, left_scale, left_zero, right, right_scale, right_zero, scale, zero = [*inputs, *[None] * (8 - len(inputs))]
    if left is None or left_scale is None or right is None or right_scale is None:
        raise ValueError("two tensors and their scales are needed")
    values = b.map_(function, _real(left, left_scale, left_zero), _real(right, right_scale, right_zero))
    return _requantized(values, scale, zero, left.dtype)


@onnx_op(DOMAIN)
def QLinearAdd(node: Node, *inputs: Tensor | None) -> Tensor:
    return _binary(lambda p, q: p + q, *inputs)


@onnx_op(DOMAIN)
def QLinearMul(node: Node, *inputs: Tensor | None) -> Tensor:
    return _binary(lambda p, q: p * q, *inputs)


def _unary(function: Callable[[Scalar], Scalar], *inputs: Tensor | None) -> Tensor:
    x, x_scale, x_zero, scale, zero = [*inputs, *[None] * (5 - len(inputs))]
    if x is None or x_scale is None:
        raise ValueError("a tensor and its scale are needed")
    return _requantized(b.map_(function, _real(x, x_scale, x_zero)), scale, zero, x.dtype)


@onnx_op(DOMAIN)
def QLinearSigmoid(node: Node, *inputs: Tensor | None) -> Tensor:
    return _unary(s.sigmoid, *inputs)


@onnx_op(DOMAIN)
def QLinearLeakyRelu(node: Node, *inputs: Tensor | None) -> Tensor:
    alpha = node.get("alpha", 0.01)
    return _unary(lambda a: s.select(a < 0.0, a * alpha, a), *inputs)


@onnx_op(DOMAIN)
def QLinearSoftmax(
    node: Node, x: Tensor, x_scale: Tensor, x_zero: Tensor | None = None, scale: Tensor | None = None,
    zero: Tensor | None = None,
) -> Tensor:  # fmt: skip
    axis = b.normalize_axis(node.get("axis", -1 if node.get("opset", 13) >= 13 else 1), x.rank)
    axes = [axis] if node.get("opset", 13) >= 13 else list(range(axis, x.rank))
    return _requantized(b.softmax(_real(x, x_scale, x_zero), axes), scale, zero, x.dtype)


@onnx_op(DOMAIN)
def QLinearWhere(
    node: Node, condition: Tensor, x: Tensor, x_scale: Tensor, x_zero: Tensor, y: Tensor, y_scale: Tensor,
    y_zero: Tensor, scale: Tensor, zero: Tensor,
) -> Tensor:  # fmt: skip
    chosen = b.where(condition, _real(x, x_scale, x_zero), _real(y, y_scale, y_zero))
    return _requantized(chosen, scale, zero, x.dtype)


@onnx_op(DOMAIN)
def QLinearConcat(node: Node, scale: Tensor, zero: Tensor, *parts: Tensor) -> Tensor:
    if len(parts) % 3:
        raise ValueError("every part comes with a scale and a zero point")
    pieces = [
        _requantized(_real(*parts[i : i + 3]), scale, zero, zero.dtype)
        for i in range(0, len(parts), 3)
    ]  # fmt: skip
    return b.concatenate(pieces, b.normalize_axis(node.require("axis"), parts[0].rank))


def _channels_first(node: Node, x: Tensor) -> Tensor:
    return b.transpose(x, [0, x.rank - 1, *range(1, x.rank - 1)]) if node.get("channels_last", 0) else x


def _channels_back(node: Node, x: Tensor) -> Tensor:
    return b.transpose(x, [0, *range(2, x.rank), 1]) if node.get("channels_last", 0) else x


@onnx_op(DOMAIN)
def QLinearGlobalAveragePool(
    node: Node, x: Tensor, x_scale: Tensor, x_zero: Tensor, scale: Tensor, zero: Tensor
) -> Tensor:
    values = _real(_channels_first(node, x), x_scale, x_zero)
    mean = b.mean(values, range(2, x.rank), keepdims=True)
    return _channels_back(node, _requantized(mean, scale, zero, x.dtype))


@onnx_op(DOMAIN)
def QLinearAveragePool(
    node: Node, x: Tensor, x_scale: Tensor, x_zero: Tensor | None = None, scale: Tensor | None = None,
    zero: Tensor | None = None,
) -> Tensor:  # fmt: skip
    values = neural.AveragePool(node, _real(_channels_first(node, x), x_scale, x_zero))
    return _channels_back(node, _requantized(values, scale, zero, x.dtype))


def _product(left: Tensor, right: Tensor, left_zero: Tensor | None, right_zero: Tensor | None) -> Tensor:
    return b.matmul(centered(left, _number(left_zero)), centered(right, right_zero))


def _to_float(product: Tensor, scales: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
    """i32 sums times both scales (numbers, or one per column) plus the bias."""
    left, right = (_number_or_row(t) for t in scales)
    extra = [] if bias is None else [bias]

    def body(a: Scalar, p: Scalar, q: Scalar, *c: Scalar) -> Scalar:
        value = s.cast(a, p.dtype) * (p * q)
        return value + c[0] if c else value

    return b.map_(body, product, left, right, *extra, dtype=left.dtype, shape=product.shape)


@onnx_op(DOMAIN)
def MatMulIntegerToFloat(
    node: Node, left: Tensor, right: Tensor, left_scale: Tensor, right_scale: Tensor, left_zero: Tensor | None = None,
    right_zero: Tensor | None = None, bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    return _to_float(_product(left, right, left_zero, right_zero), (left_scale, right_scale), bias)


@onnx_op(DOMAIN)
def DynamicQuantizeMatMul(
    node: Node, left: Tensor, right: Tensor, scale: Tensor, zero: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    numbers, left_scale, left_zero = DynamicQuantizeLinear(node, left)
    return _to_float(_product(numbers, right, left_zero, zero), (left_scale, scale), bias)


@onnx_op(DOMAIN)
def QGemm(
    node: Node, left: Tensor, left_scale: Tensor, left_zero: Tensor, right: Tensor, right_scale: Tensor,
    right_zero: Tensor, bias: Tensor | None = None, scale: Tensor | None = None, zero: Tensor | None = None,
) -> Any:  # fmt: skip
    left = b.transpose(left, [1, 0]) if node.get("transA", 0) else left
    right = b.transpose(right, [1, 0]) if node.get("transB", 0) else right
    product = _product(left, right, left_zero, right_zero)
    if bias is not None:
        product = b.add(product, bias)
    result = _to_float(product, (left_scale, right_scale), None)
    alpha = node.get("alpha", 1.0)
    result = result if alpha == 1.0 else scaled(result, alpha)
    return result if scale is None else _requantized(result, scale, zero, left.dtype if zero is None else zero.dtype)
