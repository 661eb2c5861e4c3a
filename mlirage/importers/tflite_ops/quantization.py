"""Between real numbers and integers that stand for them."""

from __future__ import annotations

import numpy as np

from mlirage.importers.tflite_ops.fixed_point import quantize_multiplier, saturated, scaled
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.importers.tflite_ops.windows import to_nearest
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Tensor
from mlirage.input.builders import scalar as s

F32 = np.float32


def _along(values: np.ndarray, axis: int, rank: int) -> Tensor:
    """Numbers per position of an axis, to broadcast."""
    if values.size == 1:
        return Tensor.of(values.reshape(()))
    return Tensor.of(values.reshape([-1 if i == axis else 1 for i in range(rank)]))


@tflite_op
def QUANTIZE(node: Node, x: Tensor) -> Tensor:
    target, dtype = node.output_quantization(), node.dtype()
    if b.is_float(x.dtype):
        scale = _along(target.scales, target.axis, x.rank)
        zero = _along(target.zero_points.astype(np.int32), target.axis, x.rank)

        def body(a: Scalar, k: Scalar, z: Scalar) -> Scalar:
            number = to_nearest(s.cast(a, b.FLOAT32) / k)
            # The sum is exact in f64; what is beyond i32 saturates all the same.
            return s.saturating_cast(s.cast(number, b.FLOAT64) + s.cast(z, b.FLOAT64), dtype)

        return b.map_(body, x, scale, zero, dtype=dtype, shape=x.shape)
    source = node.quantization()
    factor = quantize_multiplier(float(source.scale) / float(target.scale))
    if x.dtype != dtype and source.scale == target.scale and {x.dtype, dtype} == {b.INT8, b.UINT8}:
        moved = 128 if dtype == b.UINT8 else -128
        if target.zero_point - source.zero_point == moved:
            return b.map_(lambda a: s.cast(s.cast(a, b.INT32) + moved, dtype), x, dtype=dtype)

    def again(a: Scalar) -> Scalar:
        return saturated(scaled(s.cast(a, b.INT32) - source.zero_point, *factor), target.zero_point, dtype)

    return b.map_(again, x, dtype=dtype)


def dequantized(x: Tensor, node: Node, position: int = 0, dtype: DType = b.FLOAT32) -> Tensor:
    """The real numbers of an input."""
    source = node.quantization(position)
    scale = _along(source.scales, source.axis, x.rank)
    zero = _along(source.zero_points.astype(np.int32), source.axis, x.rank)

    def body(a: Scalar, k: Scalar, z: Scalar) -> Scalar:
        return s.cast(s.cast(a, b.INT32) - z, b.FLOAT32) * k

    return b.map_(body, x, scale, zero, dtype=dtype, shape=x.shape)


@tflite_op
def DEQUANTIZE(node: Node, x: Tensor) -> Tensor:
    return b.cast(x, node.dtype()) if b.is_float(x.dtype) else dequantized(x, node)


@tflite_op
def DENSIFY(node: Node, x: Tensor) -> Tensor:
    """A sparse constant as a dense one, which it is since the file was read."""
    return x


@tflite_op
def FAKE_QUANT(node: Node, x: Tensor) -> Tensor:
    low, high = F32(node.option("Min", 0.0)), F32(node.option("Max", 0.0))
    bits, narrow = node.option("NumBits"), bool(node.option("NarrowRange", False))
    if not low < high or not 2 <= bits <= 16:
        raise ValueError(f"range {low} to {high} in {bits} bits")
    least, most = F32(1 if narrow else 0), F32((1 << bits) - 1)
    scale = (high - low) / (most - least)
    zero = least - low / scale
    nudged = least if zero < least else most if zero > most else F32(np.floor(zero + F32(0.5)))
    bottom, top = (least - nudged) * scale, (most - nudged) * scale
    inverse = F32(1) / scale

    def body(a: Scalar) -> Scalar:
        held = s.clamp(a, float(bottom), float(top))
        return to_nearest((held - float(bottom)) * float(inverse)) * float(scale) + float(bottom)

    return b.map_(body, x)
