"""Relatives of the gamma function, of scalars of f64: Hurwitz' zeta function, polygamma, incomplete gamma functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.scalar import Scalar, power
from mlirage.input.builders.special import digamma, lgamma, number

# Bernoulli numbers B₂, B₄, … over (2j)!, as Euler and Maclaurin's sum takes them.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
_CORRECTIONS = tuple(value / math.factorial(2 * j) for j, value in enumerate(_BERNOULLI, 1))
_DIRECT = 10  # terms that are summed one by one


def _zeta_right(x: Scalar, q: Scalar) -> Scalar:
    """Σ (q + k)^-x of q > 0: the first terms, and the rest by Euler and Maclaurin."""
    total = power(q, -x)
    for k in range(1, _DIRECT):
        total = total + power(q + float(k), -x)
    at = q + float(_DIRECT)
    last = power(at, -x)
    total = total + last * at / (x - 1.0) + last * 0.5
    factor = last * x / at
    inverse = number(1.0) / (at * at)
    for j, correction in enumerate(_CORRECTIONS):
        total = total + factor * correction
        factor = factor * (x + float(2 * j + 1)) * (x + float(2 * j + 2)) * inverse
    return s.select(q.eq(float("inf")) | x.eq(float("inf")) & (q > 1.0), number(0.0), total)


def zeta(x: Scalar, q: Scalar) -> Scalar:
    """Hurwitz' zeta function. For q < 0 and whole x the sum over all whole steps from q has the period 1."""
    part = q - s.floor(q)
    turn = s.floor(x * 0.5) * 2.0
    sign = s.select(turn.eq(x), number(1.0), number(-1.0))
    mirrored = number(1.0) - part
    left = _zeta_right(x, part) + sign * (_zeta_right(x, mirrored) - _zeta_right(x, number(1.0) - q))
    result = s.select(q > 0.0, _zeta_right(x, q), s.select(s.floor(x).eq(x), left, number(np.nan)))
    result = s.select((q <= 0.0) & part.eq(0.0), number(np.inf), result)
    result = s.select(x < 1.0, number(np.nan), s.select(x.eq(1.0), number(np.inf), result))
    return s.select(s.is_nan(x) | s.is_nan(q), x + q, result)


def polygamma(order: int) -> Callable[[Scalar], Scalar]:
    """The derivative of that order of digamma."""
    if order == 0:
        return digamma
    size = math.exp(math.lgamma(order + 1)) * (1 if order % 2 else -1)
    return lambda x: zeta(number(order + 1.0), x) * size


_TERMS = 120


def _gamma_series(a: Scalar, x: Scalar, scale: Scalar) -> Scalar:
    """P by its power series, for x below a + 1."""
    at, term = a, number(1.0)
    total = term
    for _ in range(_TERMS):
        at = at + 1.0
        term = term * x / at
        total = total + term
    return scale * total / a


def _gamma_fraction(a: Scalar, x: Scalar, scale: Scalar) -> Scalar:
    """Q by its continued fraction, from its end, for x from a + 1."""
    denominator = x + float(2 * _TERMS + 1) - a
    for k in range(_TERMS, 0, -1):
        denominator = x + float(2 * k - 1) - a + (a - float(k)) * float(k) / denominator
    return scale / denominator


# Abscissas and weights of Gauss' rule with 24 points on [0, 1].
_NODES, _NODE_WEIGHTS = (np.polynomial.legendre.leggauss(24)[0] + 1) / 2, np.polynomial.legendre.leggauss(24)[1] / 2


def _gamma_quadrature(a: Scalar, x: Scalar) -> Scalar:
    """Q of a large a: the integral of the bell t^(a-1)·exp(-t) from x to the nearer end, to the left as 1 - P."""
    peak = a - 1.0
    width = s.sqrt(peak)
    right = x > peak
    above = s.maximum(peak + width * 11.5, x + width * 6.0)
    below = s.maximum(s.minimum(peak - width * 7.5, x - width * 5.0), 0.0)
    end = s.select(right, above, below)
    total = number(0.0)
    logarithm = s.log(peak)
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        t = x + (end - x) * float(node)
        total = total + s.exp(peak - t + peak * (s.log(t) - logarithm)) * float(weight)
    value = total * (end - x) * s.exp(peak * (logarithm - 1.0) - lgamma(a))
    return s.select(right, value, value + 1.0)


_LARGE = 100.0


def incomplete(a: Scalar, x: Scalar, upper: bool) -> Scalar:
    """P(a, x), or Q(a, x) = 1 - P."""
    small_a, held_x = s.minimum(a, _LARGE), s.minimum(x, 1e4)
    scale = s.exp(small_a * s.log(held_x) - held_x - lgamma(small_a))
    lower_side = x < a + 1.0
    by_series = _gamma_series(small_a, s.minimum(held_x, _LARGE + 1.0), scale)
    by_fraction = _gamma_fraction(small_a, s.maximum(held_x, 1.0), scale)
    large = _gamma_quadrature(s.maximum(a, _LARGE), x)
    one = number(1.0)
    if upper:
        result = s.select(a > _LARGE, large, s.select(lower_side, one - by_series, by_fraction))
    else:
        result = s.select(a > _LARGE, one - large, s.select(lower_side, by_series, one - by_fraction))
    all_, none = (number(0.0), one) if upper else (one, number(0.0))  # of P, for endless and empty ranges
    infinite = number(float("inf"))
    result = s.select(x.eq(0.0) | a.eq(infinite), none, result)
    result = s.select(x.eq(infinite), s.select(a.eq(infinite), number(np.nan), all_), result)
    result = s.select(a.eq(0.0), s.select(x > 0.0, all_, number(np.nan)), result)
    return s.select((a < 0.0) | (x < 0.0) | s.is_nan(a) | s.is_nan(x), number(np.nan), result)
