"""Special functions of elements, calculated in f64."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, bessel, gamma
from mlirage.input.builders import scalar as s
from mlirage.input.builders.special import erfinv, lgamma, ndtri, number, polynomial

_INFINITY = float("inf")
_Body = Callable[..., Scalar]


def _in_double(body: _Body, operands: tuple[Tensor, ...]) -> Tensor:
    dtype = operands[0].dtype
    kind = b.compute_dtype(dtype)
    wide = [b.cast(x, b.FLOAT64) for x in operands]
    return b.map_(lambda *p: s.cast(body(*p), kind), *wide, dtype=dtype)


def _register(name: str, body: _Body) -> None:
    def function(_: Call, *operands: Tensor) -> Tensor:
        return _in_double(body, operands)

    tf_op(name)(function)


def _below_zero(body: _Body, value: float) -> _Body:
    """`body`, with TensorFlow's value for negative numbers."""
    return lambda x: s.select(x < 0.0, number(value), body(x))


for _order in (0, 1):
    _register(f"BesselJ{_order}", partial(bessel.bessel_j, order=_order))
    _register(f"BesselY{_order}", _below_zero(partial(bessel.bessel_y, order=_order), -_INFINITY))
    for _name, _scaled in (("", False), ("e", True)):
        _register(f"BesselI{_order}{_name}", partial(bessel.bessel_i, order=_order, scaled=_scaled))
        _second = partial(bessel.bessel_k, order=_order, scaled=_scaled)
        _register(f"BesselK{_order}{_name}", _below_zero(_second, _INFINITY))


def _polynomial_of(x: Scalar, coefficients: list[float]) -> Scalar:
    return polynomial(x, coefficients[::-1])


def _dawson(x: Scalar) -> Scalar:
    """Rybicki's sum of bells at odd multiples of a step, a series near 0, an asymptotic one far out."""
    step, near, far = 0.2, 0.25, 60.0
    square = s.minimum(x * x, near * near)
    factors = [1.0]
    for k in range(1, 12):
        factors.append(factors[-1] * -2.0 / (2 * k + 1))
    series = x * _polynomial_of(square, factors)
    held = s.clamp(x, -far, far)
    center = s.round_even(held * (0.5 / step)) * 2.0
    rest = held - center * step
    total = number(0.0)
    for n in range(-33, 34, 2):
        offset = rest - n * step
        total = total + s.exp(-(offset * offset)) / (center + float(n))
    inverse = number(1.0) / s.maximum(x * x, far * far)
    outside = (number(0.5) / x) * _polynomial_of(inverse, [1.0, 0.5, 0.75, 1.875])
    size = s.absolute(x)
    middle = s.select(size > far, outside, total * float(1 / np.sqrt(np.pi)))
    return s.select(s.is_nan(x), x, s.select(size < near, series, middle))


def _exponential_integral(x: Scalar) -> Scalar:
    """Ei of x ≥ 0: its power series, from 40 on its asymptotic one."""
    limit = 40.0
    low, high = s.clamp(x, 0.0, limit), s.maximum(x, limit)
    factors = [0.0] + [1.0 / (k * math.factorial(k)) for k in range(1, 140)]
    series = s.log(low) + float(np.euler_gamma) + _polynomial_of(low, factors)
    inverse = number(1.0) / high
    half = s.exp(high * 0.5)  # the whole might overflow where the quotient does not
    large = half * (_polynomial_of(inverse, [float(math.factorial(k)) for k in range(40)]) * inverse) * half
    large = s.select(x.eq(_INFINITY), number(_INFINITY), large)
    result = s.select(x < limit, series, large)
    result = s.select(x.eq(0.0), number(-_INFINITY), result)
    return s.select(s.is_nan(x) | (x < 0.0), number(np.nan), result)


def _fresnel(x: Scalar, cosine: bool) -> Scalar:
    """Power series up to |x| = 1.6, then ½ ± the two auxiliary functions, which are integrals of bells."""
    limit = 1.6
    size = s.absolute(x)
    near = s.minimum(size, limit)
    half_pi = float(np.pi / 2)
    fourth = near * near * near * near
    start = 0 if cosine else 1
    factors = [
        (-1.0) ** k * half_pi ** (2 * k + start) / (math.factorial(2 * k + start) * (4 * k + 1 + 2 * start))
        for k in range(14)
    ]
    series = _polynomial_of(fourth, factors) * near * (number(1.0) if cosine else near * near)
    angle = s.maximum(size, limit) * s.maximum(size, limit) * half_pi
    inverse = number(1.0) / angle
    square = inverse * inverse
    first, second = number(0.0), number(0.0)
    step = 0.22
    for n in range(30):
        place = (n + 0.5) * step
        bell = float(np.exp(-(place**2)) * step)
        share = number(1.0) / (square * float(place**4) + 1.0)
        first = first + share * bell
        second = second + share * (bell * place**2)
    root = s.sqrt(inverse) * float(np.sqrt(2) / np.pi)
    first, second = first * root, second * root * inverse
    sine, cosine_ = s.sin(angle), s.cos(angle)
    far = first * sine - second * cosine_ if cosine else -(first * cosine_ + second * sine)
    far = s.select(size > 1e8, number(0.5), far + 0.5)
    result = s.select(size < limit, series, far)
    return s.select(s.is_nan(x), x, s.select(x < 0.0, -result, result))


# Bernoulli numbers B₂, B₄, … over (2k + 1)!
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
_DEBYE = [value / math.factorial(2 * k + 1) for k, value in enumerate(_BERNOULLI, 1)]


def _spence(x: Scalar) -> Scalar:
    """The dilogarithm of 1 - x: by its series in log x between ½ and 1, else inverted and reflected into there."""
    above = x > 1.0
    t = s.clamp(s.select(above, number(1.0) / x, x), 0.0, 1.0)
    low = t < 0.5
    u = -s.log(s.select(low, number(1.0) - t, t))
    square = u * u
    value = u - square * 0.25 + u * square * _polynomial_of(square, _DEBYE)
    product = s.select(t.eq(0.0), number(0.0), s.log(t) * s.log(number(1.0) - s.minimum(t, 0.5)))
    value = s.select(low, number(float(np.pi**2 / 6)) - product - value, value)
    logarithm = s.log(x)
    result = s.select(above, -(logarithm * logarithm * 0.5) - value, value)
    return s.select(s.is_nan(x) | (x < 0.0), number(np.nan), result)


_register("Dawsn", _dawson)
_register("Expint", _exponential_integral)
_register("FresnelCos", partial(_fresnel, cosine=True))
_register("FresnelSin", partial(_fresnel, cosine=False))
_register("Spence", _spence)
_register("Zeta", gamma.zeta)
_register("Igamma", partial(gamma.incomplete, upper=False))
_register("Igammac", partial(gamma.incomplete, upper=True))


def _beta_fraction(a: Scalar, c: Scalar, x: Scalar) -> Scalar:
    """The continued fraction of the incomplete beta function, from its end."""
    total = number(1.0)
    for m in range(80, 0, -1):
        even = x * (c - float(m)) * float(m) / ((a + float(2 * m - 1)) * (a + float(2 * m)))
        odd = -(x * (a + float(m)) * (a + c + float(m)) / ((a + float(2 * m)) * (a + float(2 * m + 1))))
        total = number(1.0) + even / (number(1.0) + odd / total)
    first = -(x * (a + c) / (a + 1.0))
    return number(1.0) / (number(1.0) + first / total)


def _incomplete_beta(a: Scalar, c: Scalar, x: Scalar) -> Scalar:
    """From the side where the fraction converges."""
    mirror = x > (a + 1.0) / (a + c + 2.0)
    one = number(1.0)
    p, q, y = s.select(mirror, c, a), s.select(mirror, a, c), s.select(mirror, one - x, x)
    scale = s.exp(lgamma(a + c) - lgamma(a) - lgamma(c) + p * s.log(y) + q * s.log(one - y)) / p
    value = scale * _beta_fraction(p, q, y)
    value = s.select(mirror, one - value, value)
    value = s.select(x.eq(0.0), number(0.0), s.select(x.eq(1.0), one, value))
    wrong = (a <= 0.0) | (c <= 0.0) | (x < 0.0) | (x > 1.0) | s.is_nan(a) | s.is_nan(c) | s.is_nan(x)
    return s.select(wrong, number(np.nan), value)


_register("Betainc", _incomplete_beta)
_register("Erfinv", erfinv)
_register("Ndtri", ndtri)
