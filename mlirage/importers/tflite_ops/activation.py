"""Activations, fused and of their own; those of integers are tables or fixed-point arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops import lookup
from mlirage.importers.tflite_ops.fixed_point import (
    held,
    quantize_multiplier,
    round_away,
    saturated,
    scaled,
)
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s

F32 = np.float32


def clamped(x: Scalar, low: float | None, high: float | None) -> Scalar:
    """x between bounds as std::max and std::min hold it: NaN is lost to the bound that it is compared with first."""
    if low is not None:
        x = s.select(x < low, s.coerce(low, x.dtype), x)
    if high is not None:
        x = s.select(x > high, s.coerce(high, x.dtype), x)
    return x


def activate(x: Scalar, activation: int) -> Scalar:
    """A fused activation of real numbers (or of integers that stand for themselves).

    Raises:
      NotImplementedError: it is unknown.
    """
    if activation == 0:
        return x
    if activation == 1:
        return clamped(x, 0, None)
    if activation == 2:
        return clamped(x, -1, 1)
    if activation == 3:
        return clamped(x, 0, 6)
    if activation == 4 and b.is_float(x.dtype):
        return s.tanh(x)
    if activation == 5 and b.is_float(x.dtype):
        return s.select(x < 0.0, s.coerce(1.0, x.dtype), 0.0)
    raise NotImplementedError(f"fused activation {activation} of {x.dtype}")


def activated(x: Tensor, activation: int) -> Tensor:
    """`activate` for a tensor."""
    return b.map_(lambda a: activate(a, activation), x) if activation else x


def _relu(node: Node, x: Tensor, low: float | None, high: float | None) -> Tensor:
    if not node.is_quantized():
        return b.map_(lambda a: clamped(a, low, high), x)
    source, target = node.quantization(), node.output_quantization()
    least, most = b.integer_range(x.dtype)
    if low is not None:
        least = max(least, target.zero_point + round_away(float(F32(low) / target.scale)))
    if high is not None:
        most = min(most, target.zero_point + round_away(float(F32(high) / target.scale)))
    multiplier, shift = quantize_multiplier(float(source.scale / target.scale))

    def body(a: Scalar) -> Scalar:
        value = scaled(s.cast(a, b.INT32) - source.zero_point, multiplier, shift)
        return s.cast(held(value, target.zero_point, least, most), x.dtype)

    return b.map_(body, x)


@tflite_op
def RELU(node: Node, x: Tensor) -> Tensor:
    return _relu(node, x, 0, None)


@tflite_op
def RELU6(node: Node, x: Tensor) -> Tensor:
    return _relu(node, x, 0, 6)


@tflite_op
def RELU_N1_TO_1(node: Node, x: Tensor) -> Tensor:
    return _relu(node, x, -1, 1)


@tflite_op
def RELU_0_TO_1(node: Node, x: Tensor) -> Tensor:
    return _relu(node, x, 0, 1)


def by_table(
    node: Node, x: Tensor, function: Callable[[Any], Any], wide: Callable[[Any], Any] | None = None, name: str = ""
) -> Tensor:
    """A quantized function of one number; `wide` for i16 if it differs."""
    source, target = node.quantization(), node.output_quantization()
    if x.dtype == np.int16:
        table = lookup.interpolated_table(wide or function, source, target)
    else:
        table = lookup.rounded_table(function, source, target, x.dtype)
    return lookup.look_up(x, table, name or node.info.name.lower())


@tflite_op
def LOGISTIC(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(s.sigmoid, x)
    if x.dtype == np.int16:
        return lookup.look_up(x, lookup.logistic_table_16(node.quantization().scale), "logistic")
    return by_table(node, x, lambda a: F32(1) / (F32(1) + np.exp(-a)))


@tflite_op
def TANH(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(s.tanh, x)
    if x.dtype == np.int16:
        return lookup.look_up(x, lookup.tanh_table_16(node.quantization().scale), "tanh")
    return by_table(node, x, np.tanh)


@tflite_op
def ELU(node: Node, x: Tensor) -> Tensor:
    if node.is_quantized():
        return by_table(node, x, lambda a: np.where(a < 0, np.expm1(a), a))
    return b.map_(lambda a: s.select(a < 0.0, s.expm1(a), a), x)


@tflite_op
def GELU(node: Node, x: Tensor) -> Tensor:
    approximate = bool(node.option("Approximate", False))
    if node.is_quantized():
        from math import erf

        def exact(a: Any) -> Any:
            halves = [F32(0.5) * F32(1 + F32(erf(float(v * F32(0.70710678118654752440))))) for v in np.atleast_1d(a)]
            return a * np.array(halves, F32).reshape(np.shape(a))

        def rough(a: Any) -> Any:
            return F32(0.5) * a * (F32(1) + np.tanh(F32(0.7978845608028654) * (a + F32(0.044715) * a * a * a)))

        return by_table(node, x, rough if approximate else exact)
    if approximate:
        return b.map_(lambda a: a * 0.5 * (s.tanh((a + a * a * a * 0.044715) * 0.7978845608028654) + 1.0), x)
    return b.map_(lambda a: a * 0.5 * (s.erf(a * 0.70710678118654752440) + 1.0), x)


@tflite_op
def LEAKY_RELU(node: Node, x: Tensor) -> Tensor:
    alpha = F32(node.option("Alpha", 0.0))
    if not node.is_quantized():
        return b.map_(lambda a: s.select(a > 0.0, a, a * float(alpha)), x)
    source, target = node.quantization(), node.output_quantization()
    steep = quantize_multiplier(float(source.scale / target.scale))
    slope = float(F32(source.scale * alpha) / target.scale)
    flat = quantize_multiplier(abs(slope))

    def body(a: Scalar) -> Scalar:
        value = s.cast(a, b.INT32) - source.zero_point
        below = scaled(value, *flat) if slope >= 0 else _scaled_negative(value, *flat)
        return saturated(s.select(value >= 0, scaled(value, *steep), below), target.zero_point, x.dtype)

    return b.map_(body, x)


def _scaled_negative(x: Scalar, multiplier: int, shift: int) -> Scalar:
    """x times a multiplier with a minus: the product is rounded with its own sign."""
    from mlirage.importers.tflite_ops.fixed_point import high_product, rounding_divide, shift_left

    return rounding_divide(high_product(shift_left(x, max(shift, 0)), -multiplier), max(-shift, 0))


@tflite_op
def PRELU(node: Node, x: Tensor, alpha: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(lambda a, k: s.select(a >= 0.0, a, a * k), x, alpha)
    source, slopes, target = node.quantization(), node.quantization(1), node.output_quantization()
    steep = quantize_multiplier(float(source.scale / target.scale))
    flat = quantize_multiplier(float(F32(source.scale * slopes.scale) / target.scale))

    def body(a: Scalar, k: Scalar) -> Scalar:
        value = s.cast(a, b.INT32) - source.zero_point
        below = scaled(value * (s.cast(k, b.INT32) - slopes.zero_point), *flat)
        return saturated(s.select(value >= 0, scaled(value, *steep), below), target.zero_point, x.dtype)

    return b.map_(body, x, alpha, dtype=x.dtype)


@tflite_op
def HARD_SWISH(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(lambda a: a * clamped(a + 3.0, 0.0, 6.0) / 6.0, x)
    return lookup.look_up(x, _hard_swish_table(node, x.dtype), "hard_swish")


def _hard_swish_table(node: Node, dtype: b.DType) -> Any:
    """Every value through the kernel's 16-bit arithmetic."""
    source, target = node.quantization(), node.output_quantization()
    fine = F32(1.0 / 128.0) * source.scale
    output_multiplier, output_shift = quantize_multiplier(float(fine / target.scale))
    slope_multiplier, slope_shift = quantize_multiplier(float(fine / F32(F32(3.0) / F32(32768.0))))
    if output_shift > 0:
        raise NotImplementedError("HARD_SWISH whose output scale is less than 1/128 of its input scale")
    low, high = b.integer_range(dtype)
    value = (np.arange(low, high + 1) - source.zero_point) * 128
    value = value.astype(np.int16).astype(np.int64)
    straight = _high_half(value, _short(output_multiplier))
    slope = value
    if slope_shift > 0:
        slope = np.clip(slope << (slope_shift - 1), -32768, 32767)
    slope = _high_half(slope, _short(slope_multiplier))
    if slope_shift > 0:
        slope = np.clip(slope << 1, -32768, 32767)
    slope = _rounding_divide(slope, max(-slope_shift, 0))
    slope = (slope + 32768) >> 1
    product = slope * straight
    product = np.sign(product) * (np.abs(product) >> 15)
    result = _rounding_divide(product, -output_shift) + target.zero_point
    return np.clip(result, low, high).astype(dtype)


def _short(multiplier: int) -> int:
    """A 31-bit multiplier as one of 15 bits."""
    return 32767 if multiplier >= 2**31 - 1 - (1 << 15) else (multiplier + (1 << 15)) >> 16


def _high_half(x: Any, factor: int) -> Any:
    """x · factor / 2^15 to the nearest, halves up."""
    return (x * factor + (1 << 14)) >> 15


def _rounding_divide(x: Any, power: int) -> Any:
    mask = (1 << power) - 1
    return (x >> power) + ((x & mask) > (mask >> 1) + (x < 0))


__all__ = ["activate", "activated", "by_table", "clamped"]
