"""Quantization: integers stay integers, products are summed in i32."""

from __future__ import annotations

from mlirage.importers.onnx_ops.neural import auto_pads, channels
from mlirage.importers.onnx_ops.registry import Node, numpy_type, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.input.builders.small_floats import encode


def _spread(parameter: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """A scale or zero point of one number, one per position of `axis`, or one per block along it, against `x`."""
    if parameter.rank == 0 or (parameter.rank == 1 and parameter.shape[0] == 1):
        return b.reshape(parameter, ())
    axis = b.normalize_axis(axis, x.rank)
    if parameter.rank == 1:
        count, extent = parameter.shape[0], x.shape[axis]
        if isinstance(count, int) and isinstance(extent, int) and count != extent:
            raise ValueError(f"{count} scales or zero points for {extent} positions of axis {axis}")
        return b.reshape(parameter, [parameter.shape[0] if i == axis else 1 for i in range(x.rank)])
    if not block:
        block_size = -(-x.shape[axis] // parameter.shape[axis])  # pyright: ignore
    else:
        block_size = block
    repeated = b.reshape(
        b.broadcast_to(
            b.unsqueeze(parameter, [axis + 1]),
            [*parameter.shape[: axis + 1], block_size, *parameter.shape[axis + 1 :]],
        ),
        [d * block_size if i == axis else d for i, d in enumerate(parameter.shape)],
    )
    return b.slice_axis(repeated, axis, 0, x.shape[axis])


def quantized(a: Scalar, scale: Scalar, zero: Scalar | None, dtype: b.DType, saturate: bool = True) -> Scalar:
    """round(a / scale) + zero, held to the type's range."""
    if b.is_small_float(dtype):
        return encode(s.cast(s.cast(a, scale.dtype) / scale, b.FLOAT32), dtype, saturate)
    y = s.round_even(s.cast(a, scale.dtype) / scale)
    if zero is not None:
        y = y + s.cast(zero, y.dtype)
    return s.saturating_cast(y, dtype)


@onnx_op()
def QuantizeLinear(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    if zero is not None:
        dtype = zero.dtype
    else:
        dtype = numpy_type(node.get("output_dtype")) if node.get("output_dtype") else b.UINT8
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    scales = _spread(scale, x, axis, block)
    zeros = None if zero is None or b.is_float(dtype) else _spread(zero, x, axis, block)
    precision = node.get("precision", 0)
    wide = b.compute_dtype(numpy_type(precision) if precision else scale.dtype)
    saturate = bool(node.get("saturate", 1))

    def body(a: Scalar, k: Scalar, *z: Scalar) -> Scalar:
        a = s.cast(a, b.FLOAT32) if not b.is_float(a.dtype) else a
        return quantized(a, s.cast(k, wide), z[0] if z else None, dtype, saturate)

    return b.map_(body, x, scales, *([zeros] if zeros is not None else []), dtype=dtype, shape=x.shape)


@onnx_op()
def DequantizeLinear(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    output = node.get("output_dtype", 0)
    dtype = numpy_type(output) if output else scale.dtype
    wide = b.compute_dtype(dtype)
    scales = _spread(scale, x, axis, block)
    zeros = None if zero is None or b.is_float(zero.dtype) else _spread(zero, x, axis, block)

    def body(a: Scalar, k: Scalar, *z: Scalar) -> Scalar:
        if b.is_integer(x.dtype):
            number = s.cast(a, b.INT32)
            number = number - s.cast(z[0], b.INT32) if z else number
            a = s.cast(number, wide)
        return s.cast(a, wide) * s.cast(k, wide)

    return b.map_(body, x, scales, *([zeros] if zeros is not None else []), dtype=dtype, shape=x.shape)


@onnx_op()
def DynamicQuantizeLinear(node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    top = b.map_(lambda a: s.maximum(a, 0.0), b.amax(x))
    bottom = b.map_(lambda a: s.minimum(a, 0.0), b.amin(x))
    scale = b.map_(lambda p, q: (p - q) / 255.0, top, bottom)
    zero = b.map_(
        lambda q, k: s.saturating_cast(s.round_even(s.clamp(-q / k, 0.0, 255.0)), b.UINT8), bottom, scale, dtype=b.UINT8
    )
    y = b.map_(lambda a, k, z: quantized(a, k, z, b.UINT8), x, scale, zero, dtype=b.UINT8)
    return y, scale, zero


def centered(x: Tensor, zero: Tensor | None, by_row: bool = False) -> Tensor:
    """Integers minus their zero point, in i32."""
    if zero is None or (zero.splat() is not None and not zero.splat()):
        return b.cast(x, b.INT32)
    if zero.rank == 1 and zero.shape[0] != 1 and by_row:
        zero = b.unsqueeze(zero, [-1])
    elif zero.rank == 1 and zero.shape[0] == 1:
        zero = b.reshape(zero, ())
    return b.map_(lambda a, z: s.cast(a, b.INT32) - s.cast(z, b.INT32), x, zero, dtype=b.INT32)


@onnx_op()
def MatMulInteger(
    node: Node, left: Tensor, right: Tensor, left_zero: Tensor | None = None, right_zero: Tensor | None = None
) -> Tensor:
    return b.matmul(centered(left, left_zero, by_row=True), centered(right, right_zero))


@onnx_op()
def ConvInteger(
    node: Node, x: Tensor, weight: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None
) -> Tensor:
    if w_zero is not None and w_zero.rank == 1 and w_zero.shape[0] != 1:
        w_zero = b.reshape(w_zero, (w_zero.shape[0], *([1] * (weight.rank - 1))))
    return _integer_conv(node, centered(x, x_zero), centered(weight, w_zero))


def _integer_conv(node: Node, x: Tensor, weight: Tensor) -> Tensor:
    spatial = x.rank - 2
    strides, dilations = node.get("strides", [1] * spatial), node.get("dilations", [1] * spatial)
    low, high = auto_pads(node, x.shape[2:], weight.shape[2:], strides, dilations)
    return b.conv(x, weight, strides, dilations, low, high, node.get("group", 1))


@onnx_op()
def QLinearMatMul(
    node: Node,
    left: Tensor,
    left_scale: Tensor,
    left_zero: Tensor,
    right: Tensor,
    right_scale: Tensor,
    right_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
) -> Tensor:
    product = b.matmul(centered(left, left_zero, by_row=True), centered(right, right_zero))
    rows = b.unsqueeze(left_scale, [-1]) if left_scale.rank == 1 and left_scale.shape[0] != 1 else left_scale
    rows, columns = (b.reshape(t, ()) if t.rank == 1 and t.shape[0] == 1 else t for t in (rows, right_scale))
    return _requantized(product, rows, columns, scale, zero)


def _requantized(product: Tensor, left: Tensor, right: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """i32 sums times the scales of both factors, quantized again."""
    scale, zero = (b.reshape(t, ()) if t.rank == 1 and t.shape[0] == 1 else t for t in (scale, zero))

    def body(a: Scalar, p: Scalar, q: Scalar, k: Scalar, z: Scalar) -> Scalar:
        value = s.cast(a, b.FLOAT32) * (s.cast(p, b.FLOAT32) * s.cast(q, b.FLOAT32) / s.cast(k, b.FLOAT32))
        return s.saturating_cast(s.round_even(value) + s.cast(z, b.FLOAT32), zero.dtype)

    return b.map_(body, product, left, right, scale, zero, dtype=zero.dtype, shape=product.shape)


@onnx_op()
def QLinearConv(
    node: Node,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    weight: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    if w_zero.rank == 1 and w_zero.shape[0] != 1:
        w_zero = b.reshape(w_zero, (w_zero.shape[0], *([1] * (weight.rank - 1))))
    total = _integer_conv(node, centered(x, x_zero), centered(weight, w_zero))
    if bias is not None:
        total = b.add(total, channels(bias, x.rank))
    factor = channels(w_scale, x.rank) if w_scale.rank == 1 and w_scale.shape[0] != 1 else b.reshape(w_scale, ())
    return _requantized(total, b.reshape(x_scale, ()), factor, scale, zero)


@onnx_op()
def BitCast(node: Node, x: Tensor) -> Tensor:
    dtype = node.dtype("to")
    if b.BOOL in (dtype, x.dtype) and dtype.itemsize == x.dtype.itemsize:
        return b.cast(x, dtype)  # a bool is a byte, 0 or 1
    if b.bit_width(dtype) != b.bit_width(x.dtype):
        raise NotImplementedError(f"BitCast of {x.dtype} to {dtype}: only between types of one width")
    return bitcast(x, dtype)


def bitcast(x: Tensor, dtype: b.DType) -> Tensor:
    """The same bits under another type."""
    from mlirage.mlir import arith, ir

    def build(value: ir.Value) -> ir.Value:
        kind = b.element_type(dtype)
        return value if value.type == kind else arith.bitcast(kind, value)

    identity = ir.AffineMap.get_identity(x.rank)
    return Tensor(x.shape, dtype, value=b.generic([x.value], [identity], x.shape, dtype, build))
