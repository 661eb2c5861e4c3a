"""Arithmetic of quantized kernels: real factors as 31-bit multipliers and shifts, rounded as the reference kernels do.

    x · 0.0037  ->  round(round(x · 2^l · multiplier / 2^31) / 2^r)

The first rounding is to nearest, halves up; the second to nearest, halves away from zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlirage.importers.tflite_file import Quantization
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith

INT16 = np.dtype(np.int16)


def round_away(x: float) -> int:
    """The nearest integer; halves away from zero (C's round)."""
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """`real` as multiplier · 2^(shift - 31) with a multiplier of 31 bits.

    Raises:
      ValueError: it is negative or not finite.
    """
    if not math.isfinite(real) or real < 0:
        raise ValueError(f"the scales make the factor {real}")
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = round_away(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def shift_left(x: Scalar, amount: int) -> Scalar:
    """x · 2^amount, modulo its width."""
    return x if amount == 0 else Scalar(arith.shli(x.value, s.coerce(amount, x.dtype).value), x.dtype)


def shift_right(x: Scalar, amount: int) -> Scalar:
    """The floor of x / 2^amount."""
    return x if amount == 0 else Scalar(arith.shrsi(x.value, s.coerce(amount, x.dtype).value), x.dtype)


def high_product(x: Scalar, factor: Scalar | int) -> Scalar:
    """x · factor / 2^31 of two i32, to the nearest, halves up; -2^31 · -2^31 saturates."""
    wide = s.cast(x, b.INT64) * (s.cast(factor, b.INT64) if isinstance(factor, Scalar) else factor)
    result = shift_right(wide + (1 << 30), 31)
    return s.cast(s.minimum(result, 2**31 - 1) if isinstance(factor, Scalar) else result, b.INT32)


def rounding_divide(x: Scalar, power: int) -> Scalar:
    """x / 2^power to the nearest, halves away from zero."""
    if power == 0:
        return x
    # As the kernels do it, by the remainder: adding a half first would overflow for large x.
    mask = (1 << power) - 1
    remainder = x & mask
    negative = s.select(x < 0, s.coerce(1, x.dtype), 0)
    return shift_right(x, power) + s.select(remainder > negative + (mask >> 1), s.coerce(1, x.dtype), 0)


def scaled(x: Scalar, multiplier: int, shift: int) -> Scalar:
    """x (i32) times a quantized multiplier."""
    return rounding_divide(high_product(shift_left(x, max(shift, 0)), multiplier), max(-shift, 0))


def scaled_wide(x: Scalar, multiplier: int, shift: int) -> Scalar:
    """x (i64) times a quantized multiplier as kernels with 64-bit sums do it: 16 bits of it, one rounding."""
    reduced = (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    total = 15 - shift
    return s.cast(shift_right(x * reduced + (1 << (total - 1)), total), b.INT32)


def multipliers(factors: Any) -> tuple[Tensor, Tensor]:
    """Quantized multipliers of several factors: multipliers and shifts, i32."""
    pairs = [quantize_multiplier(float(f)) for f in np.atleast_1d(factors)]
    return (
        Tensor.of(np.array([m for m, _ in pairs], np.int32), name="multiplier"),
        Tensor.of(np.array([n for _, n in pairs], np.int32), name="shift"),
    )


def rescale(
    total: Tensor, factors: Any, extra: Tensor | None = None, finish: Any = None, dtype: DType = b.INT32
) -> Tensor:
    """Sums times a real factor each (one, or one per position of the last axis), plus a bias before it.

    Args:
      total: sums, i32 or i64.
      factors: real numbers.
      extra: what is added to the sums first, of the last axis's extent.
      finish: what is made of each scaled i32.
      dtype: of the result.
    """
    wide = total.dtype == b.INT64
    finish = finish or (lambda a: a)
    factors = np.atleast_1d(np.asarray(factors, np.float64))
    operands = [total] if extra is None else [total, extra]
    if factors.size == 1 or (factors == factors[0]).all():
        multiplier, shift = quantize_multiplier(float(factors[0]))

        def one(a: Scalar, *bias: Scalar) -> Scalar:
            a = a + s.cast(bias[0], a.dtype) if bias else a
            return finish((scaled_wide if wide else scaled)(a, multiplier, shift))

        return b.map_(one, *operands, dtype=dtype, shape=total.shape)
    multiplier_tensor, shift_tensor = multipliers(factors)
    left_needed = bool((np.asarray(shift_tensor.known) > 0).any())

    def each(a: Scalar, *rest: Scalar) -> Scalar:
        *bias, m, n = rest
        a = a + s.cast(bias[0], a.dtype) if bias else a
        return finish(_scaled_wide_by(a, m, n) if wide else _scaled_by(a, m, n, left_needed))

    return b.map_(each, *operands, multiplier_tensor, shift_tensor, dtype=dtype, shape=total.shape)


def _scaled_by(x: Scalar, multiplier: Scalar, shift: Scalar, left_needed: bool) -> Scalar:
    if left_needed:
        x = Scalar(arith.shli(x.value, s.maximum(shift, 0).value), b.INT32)
    return rounding_divide_by(high_product(x, multiplier), s.maximum(-shift, 0))


def rounding_divide_by(x: Scalar, power: Scalar) -> Scalar:
    """As `rounding_divide`, by a power that is a scalar of the same type."""
    one = s.coerce(1, x.dtype)
    mask = Scalar(arith.shli(one.value, power.value), x.dtype) - 1
    threshold = Scalar(arith.shrsi(mask.value, one.value), x.dtype) + s.select(x < 0, one, 0)
    quotient = Scalar(arith.shrsi(x.value, power.value), x.dtype)
    return quotient + s.select((x & mask) > threshold, one, 0)


def _scaled_wide_by(x: Scalar, multiplier: Scalar, shift: Scalar) -> Scalar:
    reduced = shift_right(multiplier + (1 << 15), 16)
    reduced = s.select(multiplier < 0x7FFF0000, reduced, 0x7FFF)
    total = s.cast(-shift + 15, b.INT64)
    half = Scalar(arith.shli(s.coerce(1, b.INT64).value, (total - 1).value), b.INT64)
    return s.cast(Scalar(arith.shrsi((x * s.cast(reduced, b.INT64) + half).value, total.value), b.INT64), b.INT32)


def activation_range(activation: int, quantization: Quantization, dtype: DType) -> tuple[int, int]:
    """The integers between which a fused activation holds a quantized result.

    Raises:
      NotImplementedError: it is none that clamps.
    """
    low, high = b.integer_range(dtype)
    scale, zero = quantization.scale, quantization.zero_point
    bounds = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
    if activation not in bounds:
        raise NotImplementedError(f"fused activation {activation} of integers")
    least, most = bounds[activation]
    if least is not None:
        low = max(low, zero + round_away(float(np.float32(least) / scale)))
    if most is not None:
        high = min(high, zero + round_away(float(np.float32(most) / scale)))
    return low, high


def held(x: Scalar, zero_point: int, low: int, high: int) -> Scalar:
    """x + zero_point between bounds."""
    x = x + zero_point if zero_point else x
    return s.minimum(s.maximum(x, low), high)


def saturated(x: Scalar, zero_point: int, dtype: DType) -> Scalar:
    """x + zero_point within the range of an integer type, of that type."""
    return s.cast(held(x, zero_point, *b.integer_range(dtype)), dtype)
