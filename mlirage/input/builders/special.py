"""Special functions of scalars of f64: gamma functions, error functions and their inverses.

Series and continued forms that converge to f32's precision and beyond.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.element_types import FLOAT64
from mlirage.input.builders.scalar import Scalar


def number(value: float) -> Scalar:
    """A constant."""
    return s.coerce(value, FLOAT64)


def polynomial(x: Scalar, coefficients: Sequence[float]) -> Scalar:
    """From the highest power down."""
    total = number(coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total


# Lanczos' coefficients for g = 7.
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip


def lgamma(x: Scalar) -> Scalar:
    """log |Γ(x)|, by Lanczos' approximation and, below 1/2, by reflection."""
    low = x < 0.5
    y = s.select(low, -x, x - 1.0)  # Γ(y + 1)
    total = number(_LANCZOS[0])
    for i, c in enumerate(_LANCZOS[1:]):
        total = total + s.coerce(c, FLOAT64) / (y + float(i + 1))
    base = y + 7.5
    value = (y + 0.5) * s.log(base) - base + s.log(total) + 0.5 * float(np.log(2 * np.pi))
    turn = s.absolute(x) - s.floor(s.absolute(x))
    reflected = number(float(np.log(np.pi))) - s.log(s.absolute(s.sin(turn * np.pi))) - value
    result = s.select(low, reflected, value)
    pole = low & turn.eq(0.0)
    result = s.select(pole | s.absolute(x).eq(np.inf), number(np.inf), result)
    return s.select(s.is_nan(x), x, result)


def digamma(x: Scalar) -> Scalar:
    """The derivative of log Γ: upwards to x ≥ 10 by recurrence, then asymptotically; below 0 by reflection."""
    low = x < 0.0
    y = s.select(low, number(1.0) - x, x)
    correction = number(0.0)
    for _ in range(10):
        small = y < 10.0
        correction = s.select(small, correction - s.coerce(1.0, FLOAT64) / y, correction)
        y = s.select(small, y + 1.0, y)
    inverse = s.coerce(1.0, FLOAT64) / (y * y)
    series = inverse * polynomial(inverse, (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12))
    value = correction + s.log(y) - s.coerce(0.5, FLOAT64) / y - series
    turn = x - s.floor(x)
    reflected = value - s.coerce(np.pi, FLOAT64) / s.tan(turn * np.pi)
    result = s.select(low, s.select(turn.eq(0.0), number(np.nan), reflected), value)
    return s.select(x.eq(0.0), s.coerce(-1.0, FLOAT64) / x, result)


def _scaled_tail(y: Scalar) -> Scalar:
    """exp(y²)·erfc(y) of y ≥ 2, by a continued fraction."""
    fraction = number(0.0)
    for k in range(60, 0, -1):
        fraction = number(k / 2) / (y + fraction)
    return number(1.0) / ((y + fraction) * float(np.sqrt(np.pi)))


def erfc(x: Scalar) -> Scalar:
    """1 - erf(x) below 2, a continued fraction above, where that difference would vanish."""
    size = s.absolute(x)
    y = s.maximum(size, 2.0)
    tail = s.exp(-(y * y)) * _scaled_tail(y)
    far = s.select(x < 0.0, number(2.0) - tail, tail)
    result = s.select(size < 2.0, number(1.0) - s.erf(x), far)
    return s.select(s.is_nan(x), x, result)


def erfinv(x: Scalar) -> Scalar:
    """Giles' approximation, improved by two of Newton's steps."""
    w = -s.log((number(1.0) - x) * (x + 1.0))
    near = polynomial(
        w - 2.5,
        (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
         0.246640727, 1.50140941),
    )  # fmt: skip
    far = polynomial(
        s.sqrt(s.maximum(w, 0.0)) - 3.0,
        (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
         1.00167406, 2.83297682),
    )  # fmt: skip
    y = s.select(w < 5.0, near, far) * x
    for _ in range(2):
        # By the complement, which keeps its digits near 1.
        error = s.select(x > 0.0, (number(1.0) - x) - erfc(y), erfc(-y) - (x + 1.0))
        y = y - error * s.exp(y * y) * float(np.sqrt(np.pi) / 2)
    edge = s.absolute(x).eq(1.0)
    result = s.select(edge, x * float(np.inf), y)
    return s.select(s.absolute(x) > 1.0, number(np.nan), result)


def erfcx(x: Scalar) -> Scalar:
    """exp(x²)·erfc(x)."""
    y = s.maximum(x, 2.0)
    near = s.minimum(x, 2.0)
    result = s.select(x < 2.0, s.exp(near * near) * erfc(near), _scaled_tail(y))
    return s.select(s.is_nan(x), x, result)


def ndtri(p: Scalar) -> Scalar:
    """Where a normal distribution's share reaches p: a rational guess, improved by two of Halley's steps."""
    upper = p > 0.5
    share = s.select(upper, number(1.0) - p, p)
    t = s.sqrt(s.log(share) * -2.0)
    x = t - polynomial(t, (0.010328, 0.802853, 2.515517)) / polynomial(t, (0.001308, 0.189269, 1.432788, 1.0))
    for _ in range(2):
        missing = erfc(x * float(np.sqrt(0.5))) * 0.5 - share
        step = missing / (s.exp(x * x * -0.5) * float(np.sqrt(0.5 / np.pi)))
        x = x + step / (number(1.0) - step * x * 0.5)
    result = s.select(upper, x, -x)
    result = s.select(p.eq(0.0), number(-np.inf), s.select(p.eq(1.0), number(np.inf), result))
    return s.select((p < 0.0) | (p > 1.0), number(np.nan), result)
