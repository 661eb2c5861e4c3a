"""The fixed-point functions that the kernels take from gemmlowp, on Python integers: they make tables at import.

A number of Qn.m is an integer of 32 bits that stands for itself divided by 2^m; m = 31 - n.
"""

from __future__ import annotations

_LOW, _HIGH = -(2**31), 2**31 - 1


def wrapped(x: int) -> int:
    """x modulo 2^32, with sign."""
    return (x - _LOW) % 2**32 + _LOW


def high_product(x: int, y: int) -> int:
    """x · y / 2^31 to the nearest, halves up, saturated."""
    return _HIGH if x == y == _LOW else (x * y + (1 << 30)) >> 31


def rounding_divide(x: int, power: int) -> int:
    """x / 2^power to the nearest, halves away from zero."""
    mask = (1 << power) - 1
    return (x >> power) + ((x & mask) > (mask >> 1) + (x < 0))


def scaled_number(x: int, multiplier: int, shift: int) -> int:
    """x times a quantized multiplier."""
    return rounding_divide(high_product(wrapped(x << max(shift, 0)), multiplier), max(-shift, 0))


def saturating_shift(x: int, power: int) -> int:
    """x · 2^power, saturated; rounded where power is negative."""
    return max(_LOW, min(_HIGH, x << power)) if power >= 0 else rounding_divide(x, -power)


def one_over_one_plus_x(x: int) -> int:
    """1 / (1 + x) for x in [0, 1] of Q0.31, by three Newton steps."""
    half_denominator = _half_sum(x, _HIGH)
    # 48/17 and -32/17 in Q2.29
    estimate = 1515870810 + high_product(half_denominator, -1010580540)
    for _ in range(3):
        product = high_product(half_denominator, estimate)
        rest = (1 << 29) - product
        estimate = wrapped(estimate + saturating_shift(high_product(estimate, rest), 2))
    return saturating_shift(estimate, 1)


def _half_sum(x: int, y: int) -> int:
    """Half of a sum, halves away from zero."""
    total = x + y
    return (abs(total) + 1) // 2 * (1 if total >= 0 else -1)


def inverse_square_root(x: int) -> tuple[int, int]:
    """1/√x for x > 0 as a multiplier and a shift (to the left if positive)."""
    if x <= 1:
        return _HIGH, 0
    shift = 11
    while x >= 1 << 29:
        x, shift = x // 4, shift + 1
    pairs = (32 - x.bit_length() - 1) // 2 - 1
    shift -= pairs
    x <<= 2 * pairs
    number = x >> 1  # Q3.28
    half = rounding_divide(number, 1)
    three_halves = (1 << 28) + (1 << 27)
    estimate = 1 << 28
    for _ in range(5):
        cube = saturating_shift(high_product(high_product(estimate, estimate), estimate), 6)
        estimate = saturating_shift(wrapped(high_product(three_halves, estimate) - high_product(half, cube)), 3)
    result = high_product(estimate, 1518500250)
    if shift < 0:
        return wrapped(result << -shift), 0
    return result, -shift


def exp_on_negative(x: int) -> int:
    """e^x for x ≤ 0 of Q5.26, in Q0.31."""
    quarter = 1 << 24
    mask = quarter - 1
    a_mod = (x & mask) - quarter
    result = _exp_on_small(saturating_shift(a_mod, 5))
    remainder = a_mod - x
    for exponent, multiplier in (
        (-2, 1672461947),
        (-1, 1302514674),
        (0, 790015084),
        (1, 290630308),
        (2, 39332535),
        (3, 720401),
        (4, 242),
    ):
        if remainder & (1 << (26 + exponent)):
            result = high_product(result, multiplier)
    return _HIGH if x == 0 else result


def _exp_on_small(a: int) -> int:
    """e^a for a in [-1/4, 0) of Q0.31."""
    term, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = high_product(x, x)
    x3 = high_product(x2, x)
    x4 = high_product(x2, x2)
    quarter = rounding_divide(x4, 2)
    inner = rounding_divide(high_product(quarter + x3, third) + x2, 1)
    return max(_LOW, min(_HIGH, term + high_product(term, x + inner)))
