"""Geometry of windows and the integer side of convolutions, which share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.activation import activate
from mlirage.importers.tflite_ops.fixed_point import activation_range, held, rescale
from mlirage.importers.tflite_ops.registry import Node, is_quantized
from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Tensor
from mlirage.input.builders import scalar as s

SAME, VALID = 0, 1
INT16 = np.dtype(np.int16)


def pads(
    node: Node, extents: Sequence[Dim], kernel: Sequence[Dim], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[Dim], list[Dim]]:
    """Padding before and after each spatial axis.

    Raises:
      ValueError: a stride or dilation is not positive, or the padding unknown.
    """
    padding = node.option("Padding")
    if padding not in (SAME, VALID) or any(n < 1 for n in (*strides, *dilations)):
        raise ValueError(f"padding {padding}, strides {list(strides)}, dilations {list(dilations)}")
    if padding == VALID:
        return [0] * len(extents), [0] * len(extents)
    low: list[Dim] = []
    high: list[Dim] = []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        count = b.dims.ceiling_quotient(extent, stride)
        total = b.dims.maximum((count - 1) * stride + (k - 1) * dilation + 1 - extent, 0)
        low.append(total // 2)
        high.append(total - total // 2)
    return low, high


def signed(x: Tensor, zero_point: int) -> tuple[Tensor, int]:
    """Unsigned bytes as signed ones, moved by 128, and their zero point; others as they are."""
    if x.dtype != b.UINT8:
        return x, zero_point
    moved = b.map_(lambda a: s.cast(s.bitcast(a, b.INT8) ^ -128, b.INT8), x, dtype=b.INT8)
    return moved, zero_point - 128


def centered(weight: Tensor, zero_point: int) -> Tensor:
    """Weights minus their zero point: still bytes if they fit."""
    if not zero_point and weight.dtype != b.UINT8:
        return weight
    if weight.known is not None:
        wide = weight.known.astype(np.int16) - np.int16(zero_point)
        fits = not wide.size or (wide.min() >= -128 and wide.max() <= 127)
        return Tensor.of(wide.astype(np.int8) if fits else wide, name=weight.name)
    return b.map_(lambda a: s.cast(a, INT16) - zero_point, weight, dtype=INT16)


def folded_bias(
    weight: Tensor, axes: Sequence[int], zero_point: int, bias: Tensor | None, dtype: DType
) -> Tensor | None:
    """The bias minus the zero point times the sums of the weights over `axes`: what Σ(x - z)·w is more than Σx·w."""
    if not zero_point:
        return bias
    if weight.known is not None and (bias is None or bias.known is not None):
        sums = weight.known.astype(np.int64).sum(tuple(axes)).reshape(-1)
        total = -zero_point * sums + (bias.known.astype(np.int64) if bias is not None and bias.known is not None else 0)
        low, high = b.integer_range(dtype)
        return Tensor.of(((total - low) % (high - low + 1) + low).astype(dtype), name="bias")
    sums = b.reduce_(lambda t, a: t + s.cast(a, dtype), 0, [weight], axes, dtype)
    sums = b.reshape(sums, [b.product(sums.shape)])
    if bias is None:
        return b.map_(lambda n: n * -zero_point, sums)
    return b.map_(lambda n, c: s.cast(c, dtype) - n * zero_point, sums, bias, dtype=dtype)


def accumulator(x: Tensor, bias: Tensor | None) -> DType:
    """The type of sums: 64 bits for 16-bit activations, unless their bias has 32."""
    if x.dtype == INT16 and (bias is None or bias.dtype == b.INT64):
        return b.INT64
    return b.INT32


def finish_integer(node: Node, total: Tensor, bias: Tensor | None, factors: Any) -> Tensor:
    """Sums with a bias on the output's scale, with the fused activation."""
    target = node.output_quantization()
    dtype = node.dtype()
    low, high = activation_range(node.option("FusedActivationFunction"), target, dtype)

    def finish(a: Scalar) -> Scalar:
        return s.cast(held(a, target.zero_point, low, high), dtype)

    return rescale(total, factors, bias, finish, dtype)


def product_factors(node: Node, x_position: int, w_position: int, per_channel: bool) -> Any:
    """Scale of the input times scales of the weights over the scale of the output."""
    source, weights, target = node.quantization(x_position), node.quantization(w_position), node.output_quantization()
    if per_channel:
        return float(source.scale) * weights.scales.astype(np.float64) / float(target.scale)
    return float(np.float32(source.scale * weights.scale)) / float(target.scale)


def finish_float(node: Node, total: Tensor, bias: Tensor | None) -> Tensor:
    """Sums with a bias and the fused activation."""
    activation = node.option("FusedActivationFunction")
    if bias is None:
        return b.map_(lambda a: activate(a, activation), total) if activation else total
    return b.map_(lambda a, c: activate(a + c, activation), total, bias, shape=total.shape)


def is_hybrid(node: Node, x: Tensor, weight_position: int) -> bool:
    """Whether real activations meet integer weights: they are quantized on the fly."""
    return b.is_float(x.dtype) and is_quantized(node.input(weight_position))


def quantized_rows(x: Tensor, asymmetric: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows [n, k] of real numbers as bytes, with a scale each and, if asymmetric, a zero point each (i32).

    The arithmetic is that of the kernels for dynamic-range models.
    """
    if not asymmetric:
        # std::abs of the least and largest element; a row of zeros has the scale 1.
        size = b.reduce_(lambda t, a: s.maximum(t, s.absolute(a)), 0.0, [x], [1], x.dtype, keepdims=True)
        scale = b.map_(lambda m: s.select(m.eq(0.0), s.coerce(1.0, m.dtype), m / 127.0), size)

        def symmetric(a: Scalar, m: Scalar) -> Scalar:
            inverse = s.select(m.eq(0.0), s.coerce(0.0, m.dtype), s.coerce(127.0, m.dtype) / m)
            return s.cast(s.clamp(to_nearest(a * inverse), -127.0, 127.0), b.INT8)

        return b.map_(symmetric, x, size, dtype=b.INT8), scale, None
    low = b.map_(lambda a: s.minimum(a, 0.0), b.amin(x, [1], keepdims=True))
    high = b.map_(lambda a: s.maximum(a, 0.0), b.amax(x, [1], keepdims=True))
    scale = b.map_(lambda p, q: s.select(p.eq(q), s.coerce(1.0, p.dtype), _range_scale(p, q)), low, high)
    zero = b.map_(_nudged_zero, low, high, scale, dtype=b.INT32)

    def steps(a: Scalar, p: Scalar, q: Scalar, k: Scalar, z: Scalar) -> Scalar:
        number = to_nearest(s.cast(z, a.dtype) + a * (s.coerce(1.0, a.dtype) / k))
        return s.select(p.eq(q), s.coerce(0, b.INT8), s.cast(s.clamp(number, -128.0, 127.0), b.INT8))

    return b.map_(steps, x, low, high, scale, zero, dtype=b.INT8), scale, zero


def _range_scale(low: Scalar, high: Scalar) -> Scalar:
    wide = (s.cast(high, b.FLOAT64) - s.cast(low, b.FLOAT64)) / 255.0
    return s.cast(wide, b.FLOAT32)


def _nudged_zero(low: Scalar, high: Scalar, scale: Scalar) -> Scalar:
    """The integer for 0: from the end of the range from which it is found more exactly."""
    low64, high64 = s.cast(low, b.FLOAT64), s.cast(high, b.FLOAT64)
    step = (high64 - low64) / 255.0
    from_low = s.coerce(-128.0, b.FLOAT64) - low64 / step
    from_high = s.coerce(127.0, b.FLOAT64) - high64 / step
    error_low = s.absolute(low64 / step) + 128.0
    error_high = s.absolute(high64 / step) + 127.0
    zero = s.select(error_low < error_high, from_low, from_high)
    nudged = s.clamp(to_nearest(zero), -128.0, 127.0)
    return s.select(
        low.eq(high), s.coerce(0, b.INT32), s.cast(s.select(low.eq(high), s.coerce(0.0, b.FLOAT64), nudged), b.INT32)
    )


def to_nearest(x: Scalar) -> Scalar:
    """The nearest integer, halves away from zero."""
    from mlirage.mlir import math

    return Scalar(math.round(x.value), x.dtype)
