"""Fixed-point functions of numbers that are known only at run time, step by step as gemmlowp calculates them.

A number of Qn.m is an i32 that stands for itself divided by 2^m; m = 31 - n.
"""

from __future__ import annotations

from mlirage.importers.tflite_ops.fixed_point import high_product, rounding_divide
from mlirage.input import builders as b
from mlirage.input.builders import Scalar
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith, math

_TOP, _BOTTOM = 2**31 - 1, -(2**31)


def lifted(x: Scalar, power: int) -> Scalar:
    """x · 2^power, saturated."""
    top = (1 << (31 - power)) - 1
    shifted = Scalar(arith.shli(x.value, s.coerce(power, b.INT32).value), b.INT32)
    return s.select(x > top, s.coerce(_TOP, b.INT32), s.select(x < -top - 1, s.coerce(_BOTTOM, b.INT32), shifted))


def lifted_by(x: Scalar, power: Scalar) -> Scalar:
    """x · 2^power, saturated beyond the largest that fits."""
    threshold = Scalar(arith.shli(s.coerce(1, b.INT32).value, (-power + 31).value), b.INT32) - 1
    shifted = Scalar(arith.shli(x.value, power.value), b.INT32)
    held = s.select(x > threshold, s.coerce(_TOP, b.INT32), shifted)
    held = s.select(x < -threshold, s.coerce(_BOTTOM, b.INT32), held)
    return s.select(power.eq(0), x, held)


def saturating_sum(x: Scalar, y: Scalar) -> Scalar:
    """x + y of two i32, saturated."""
    total = s.cast(x, b.INT64) + s.cast(y, b.INT64)
    return s.cast(s.clamp(total, _BOTTOM, _TOP), b.INT32)


def half_sum(x: Scalar, y: Scalar | int) -> Scalar:
    """(x + y) / 2, halves away from zero."""
    total = s.cast(x, b.INT64) + (s.cast(y, b.INT64) if isinstance(y, Scalar) else y)
    sign = s.select(total >= 0, s.coerce(1, b.INT64), -1)
    return s.cast((total + sign) / 2, b.INT32)


def one_over_one_plus(x: Scalar) -> Scalar:
    """1 / (1 + x) for x in [0, 1] of Q0.31."""
    half = half_sum(x, _TOP)
    estimate = high_product(half, -1010580540) + 1515870810
    for _ in range(3):
        rest = -high_product(half, estimate) + (1 << 29)
        estimate = estimate + lifted(high_product(estimate, rest), 2)
    return lifted(estimate, 1)


def logarithm(x: Scalar) -> Scalar:
    """ln x for x ≥ 1 of Q12.19, in Q5.26."""
    integer_bits = 12
    headroom = Scalar(math.ctlz(x.value), b.INT32)
    scaled = lifted_by(x, headroom - 1)
    first = lifted(high_product(scaled, 1518500250), 1)  # by the root of a half
    quarter = rounding_divide(s.coerce(536870912, b.INT32), 6)
    first_power = saturating_sum(lifted(-headroom + integer_bits, 25), quarter)
    lower = high_product(x, 1518500250)
    lower_headroom = Scalar(math.ctlz(lower.value), b.INT32) - 1
    second = lifted_by(x, lower_headroom)
    second_power = saturating_sum(lifted(-lower_headroom + integer_bits, 25), -quarter)
    r = s.minimum(first, second)
    power = s.maximum(first_power, second_power)
    root = 1805811301  # the fourth root of a half
    p = half_sum(r, root)
    q = r - root
    q = q + q
    square = high_product(q, q)
    numerator = high_product(q, r) + high_product(high_product(q, square), 117049297)
    inner = q + high_product(square, 127690142) + 1057819769
    denominator = high_product(p, inner) + high_product(q, 638450708)
    inverse = one_over_one_plus(denominator)
    narrow = rounding_divide(numerator, 6)
    total = high_product(power, 1488522236) + high_product(narrow, inverse)
    return lifted(total, 1)


__all__ = ["half_sum", "lifted", "lifted_by", "logarithm", "one_over_one_plus", "saturating_sum"]
