"""gemmlowp's logistic and tanh of 16-bit fixed-point numbers, for all 65536 of them: integer LSTMs look them up.

A number of Qn.m is an integer of 16 bits that stands for itself divided by 2^m; m = 15 - n. Results are Q0.15.
"""

from __future__ import annotations

import functools

import numpy as np

from mlirage.program import Array

_LOW, _HIGH = -(2**15), 2**15 - 1
_EVERY = np.arange(_LOW, _HIGH + 1, dtype=np.int64)


def _wrapped(x: Array) -> Array:
    return (x - _LOW) % 2**16 + _LOW


def _high_product(x: Array, y: Array | int) -> Array:
    """x · y / 2^15 to the nearest, halves up towards the larger magnitude's sign, saturated."""
    product = x * y
    nudge = np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    total = product + nudge
    result = np.where(total >= 0, total >> 15, -(-total >> 15))  # C's division truncates
    return np.minimum(result, _HIGH)


def _rounding_divide(x: Array, power: int) -> Array:
    mask = (1 << power) - 1
    return (x >> power) + ((x & mask) > (mask >> 1) + (x < 0))


def _shifted(x: Array, power: int) -> Array:
    """x · 2^power, saturated; rounded where power is negative."""
    return np.clip(x << power, _LOW, _HIGH) if power >= 0 else _rounding_divide(x, -power)


def _constant(number: int) -> int:
    """A constant of 32 bits in 16."""
    return int(_rounding_divide(np.array(number, np.int64), 16))


def _exp_on_negative(x: Array, integer_bits: int) -> Array:
    """e^x for x ≤ 0 of Qn.m."""
    fraction_bits = 15 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    modulo = (x & (quarter - 1)) - quarter
    result = _exp_on_small(_shifted(modulo, integer_bits))
    remainder = modulo - x
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for exponent, factor in enumerate(factors, -2):
        if integer_bits > exponent:
            chosen = remainder & (1 << (fraction_bits + exponent))
            result = np.where(chosen != 0, _high_product(result, _constant(factor)), result)
    if integer_bits > 5:
        result = np.where(x < -(1 << (fraction_bits + 5)), 0, result)
    return np.where(x == 0, _HIGH, result)


def _exp_on_small(a: Array) -> Array:
    """e^a for a in [-1/4, 0) of Q0.15."""
    term, third = _constant(1895147668), _constant(715827883)
    x = a + (1 << 12)
    x2 = _high_product(x, x)
    x3 = _high_product(x2, x)
    x4 = _high_product(x2, x2)
    inner = _shifted(_high_product(_shifted(x4, -2) + x3, third) + x2, -1)
    return np.clip(term + _high_product(x + inner, term), _LOW, _HIGH)


def _newton(x: Array) -> Array:
    """2 / (1 + x) for x in [0, 1] of Q0.15, in Q2.13."""
    total = x + _HIGH
    half = (total + 1) // 2  # of a sum that is not negative, halves up
    estimate = _constant(1515870810) + _high_product(half, _constant(-1010580540))
    for _ in range(3):
        rest = (1 << 13) - _high_product(half, estimate)
        estimate = _wrapped(estimate + _shifted(_high_product(estimate, rest), 2))
    return estimate


@functools.cache
def logistic_16(integer_bits: int) -> Array:
    """The table of 1 / (1 + e^-x) for x of Qn.m."""
    size = np.where(_EVERY > 0, _wrapped(-_EVERY), _EVERY)
    positive = _shifted(_newton(_exp_on_negative(size, integer_bits)), 1)
    result = np.where(_EVERY > 0, positive, _HIGH - positive)
    return np.where(_EVERY == 0, 1 << 14, result).astype(np.int16)


@functools.cache
def tanh_16(integer_bits: int) -> Array:
    """The table of tanh(x) for x of Qn.m."""
    size = np.where(_EVERY < 0, _EVERY, -_EVERY)
    # Twice the number is the same bits with one more before the point.
    estimate = _newton(_exp_on_negative(size, integer_bits + 1))
    result = _shifted(estimate - (1 << 13), 2)
    return np.where(_EVERY == 0, 0, np.where(_EVERY < 0, -result, result)).astype(np.int16)
