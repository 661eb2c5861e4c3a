"""Bessel functions of orders 0 and 1, of all kinds, and Airy's Ai, of scalars of f64.

Near 0, means over a circle: J₀(x) is the mean of cos(x·sin θ), and of equally spaced θ a few give every digit. Far out,
Hankel's asymptotic series. K and Ai near 0 are their power series, beyond that integrals that the trapezoidal rule
gives to all digits. `_CROSSOVER` is where the asymptotic series has as many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.special import number, polynomial

_CROSSOVER = 18.0
_TERMS = 30  # of Hankel's series: the smallest there
_GAMMA = float(np.euler_gamma)

# Angles of a quarter of the circle; the other quarters have the same terms.
_ANGLES = (np.arange(26) + 0.5) * (np.pi / 52)
_SINES = np.sin(_ANGLES)
_ORDERS = np.arange(1, 27)
_SIGNS = (-1.0) ** _ORDERS
# Y is the logarithm's part and a sum over all J of one parity (Neumann), which is again a mean, with these weights.
_WEIGHTS_Y0 = (_SIGNS / _ORDERS * np.cos(2 * _ORDERS * _ANGLES[:, None])).sum(1)
_WEIGHTS_Y1 = (
    _SIGNS * (1 + 2 * _ORDERS) / (_ORDERS * (1 + _ORDERS)) * np.sin((2 * _ORDERS + 1) * _ANGLES[:, None])
).sum(1)


def _total(terms: Sequence[Scalar]) -> Scalar:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _mean(terms: Sequence[Scalar], weights: np.ndarray | None = None) -> Scalar:
    if weights is not None:
        terms = [term * float(w) for term, w in zip(terms, weights, strict=True)]
    return _total(terms) * (1.0 / len(terms))


def _on_circle(x: Scalar, order: int) -> list[Scalar]:
    """cos or sin of x·sin θ, by the parity of the order."""
    function = s.sin if order else s.cos
    return [function(x * float(sine)) for sine in _SINES]


def _near_j(x: Scalar, order: int) -> Scalar:
    return _mean(_on_circle(x, order), _SINES if order else None)


def _near_y(x: Scalar, order: int) -> Scalar:
    even = _on_circle(x, 0)
    logarithm = s.log(x * 0.5)
    if order == 0:
        return (logarithm + _GAMMA) * _mean(even) * (2 / np.pi) - _mean(even, _WEIGHTS_Y0) * (4 / np.pi)
    odd = _on_circle(x, 1)
    first = _mean(even) * (-2 / np.pi) / x
    return first + ((logarithm + (_GAMMA - 1)) * _mean(odd, _SINES) - _mean(odd, _WEIGHTS_Y1)) * (2 / np.pi)


def _asymptotic(x: Scalar, order: int, alternating: bool = True) -> tuple[Scalar, Scalar]:
    """The even and the odd terms of Hankel's series in 1/x, with signs (-1)^⌊k/2⌋ or without."""
    even, odd, factor = [1.0], [], 1.0
    for k in range(1, _TERMS + 1):
        factor *= (4.0 * order * order - (2 * k - 1) ** 2) / (8 * k)
        (odd if k % 2 else even).append(factor * (-1) ** (k // 2 * alternating))
    inverse = number(1.0) / x
    square = inverse * inverse
    return polynomial(square, even[::-1]), polynomial(square, odd[::-1]) * inverse


def _far(x: Scalar, order: int, second: bool) -> Scalar:
    p, q = _asymptotic(x, order)
    sine, cosine = s.sin(x), s.cos(x)
    # cos and sin of x - (2·order + 1)·π/4, times √2: differences of large numbers would lose digits.
    turned_cos, turned_sin = (sine - cosine, -(sine + cosine)) if order else (cosine + sine, sine - cosine)
    size = number(1.0) / s.sqrt(x * np.pi)
    return size * (p * turned_sin + q * turned_cos) if second else size * (p * turned_cos - q * turned_sin)


def bessel_j(x: Scalar, order: int) -> Scalar:
    """Of the first kind."""
    size = s.absolute(x)
    near = _near_j(s.clamp(x, -_CROSSOVER, _CROSSOVER), order)
    far = _far(s.maximum(size, _CROSSOVER), order, False)
    far = s.select(size.eq(float("inf")), number(0.0), far)
    if order:
        far = s.select(x < 0.0, -far, far)
    return s.select(s.is_nan(x), x, s.select(size < _CROSSOVER, near, far))


def bessel_y(x: Scalar, order: int) -> Scalar:
    """Of the second kind."""
    near = _near_y(s.minimum(x, _CROSSOVER), order)
    far = s.select(x.eq(float("inf")), number(0.0), _far(s.maximum(x, _CROSSOVER), order, True))
    result = s.select(x < _CROSSOVER, near, far)
    result = s.select(x.eq(0.0), number(-np.inf), result)
    return s.select(s.is_nan(x) | (x < 0.0), number(np.nan), result)


def _power_series(quarter: Scalar, coefficients: Sequence[float]) -> Scalar:
    return polynomial(quarter, list(coefficients)[::-1])


_STEP = 0.17
_PLACES = np.arange(24) * _STEP
_SINH_SQUARES = 2 * np.sinh(_PLACES / 2) ** 2  # cosh t - 1


def _near_k(x: Scalar, order: int) -> Scalar:
    """By the power series below 2, with its logarithm."""
    quarter = x * x * 0.25
    logarithm = s.log(x * 0.5)
    factorials = np.cumprod(np.r_[1.0, np.arange(1.0, 20)])
    harmonic = np.r_[0.0, np.cumsum(1.0 / np.arange(1, 19))]
    if order == 0:
        squares = 1.0 / factorials[:18] ** 2
        weighted = _power_series(quarter, squares * harmonic[:18])
        return weighted - (logarithm + _GAMMA) * _power_series(quarter, squares)
    products = 1.0 / (factorials[:18] * factorials[1:19])
    digammas = harmonic[:18] + harmonic[1:19] - 2 * _GAMMA
    logarithmic = logarithm * x * 0.5 * _power_series(quarter, products)
    return number(1.0) / x + logarithmic - x * 0.25 * _power_series(quarter, products * digammas)


def _middle_k(x: Scalar, order: int) -> Scalar:
    """exp(x)·K(x), the integral of exp(-x·(cosh t - 1))·cosh(order·t)."""
    weights = np.cosh(order * _PLACES) * _STEP
    weights[0] *= 0.5
    return _total([s.exp(-(x * float(c))) * float(w) for c, w in zip(_SINH_SQUARES, weights, strict=True)])


def bessel_k(x: Scalar, order: int, scaled: bool) -> Scalar:
    """Modified, of the second kind; `scaled` by exp(x)."""
    low = s.clamp(x, 0.0, 2.0)
    middle = _middle_k(s.clamp(x, 2.0, _CROSSOVER), order)
    far = s.maximum(x, _CROSSOVER)
    even, odd = _asymptotic(far, order, alternating=False)
    large = (even + odd) * s.sqrt(number(np.pi / 2) / far)
    beyond = s.select(x < _CROSSOVER, middle, large)
    near = _near_k(low, order)
    result = s.select(x <= 2.0, near * s.exp(low) if scaled else near, beyond if scaled else beyond * s.exp(-x))
    result = s.select(x.eq(0.0), number(np.inf), result)
    return s.select(s.is_nan(x) | (x < 0.0), number(np.nan), result)


def bessel_i(x: Scalar, order: int, scaled: bool) -> Scalar:
    """Modified, of the first kind; `scaled` by exp(-|x|)."""
    size = s.absolute(x)
    near, far = s.minimum(size, _CROSSOVER), s.maximum(size, _CROSSOVER)
    factorials = np.cumprod(np.r_[1.0, np.arange(1.0, 46)])
    series = _power_series(near * near * 0.25, 1.0 / (factorials[:44] * factorials[order : 44 + order]))
    series = series * near * 0.5 if order else series
    even, odd = _asymptotic(far, order, alternating=False)
    large = (even - odd) / s.sqrt(far * (2 * np.pi))
    if scaled:
        series = series * s.exp(-near)
    else:
        half = s.exp(far * 0.5)  # the whole might overflow before the root divides it
        large = large * half * half
    large = s.select(size.eq(float("inf")), number(0.0 if scaled else np.inf), large)
    value = s.select(size < _CROSSOVER, series, large)
    value = s.select(x < 0.0, -value, value) if order else value
    return s.select(s.is_nan(x), x, value)


# Ai and Ai' at 0, and the numbers of terms and places that |x| < _AIRY_SERIES and x > _AIRY_INTEGRAL need.
_AIRY_0, _AIRY_SLOPE = 0.355028053887817239, 0.258819403792806798
_AIRY_INTEGRAL, _AIRY_FAR = 2.0, -7.0


def _airy_series(x: Scalar) -> Scalar:
    cube = x * x * x
    first, second = [1.0], [1.0]
    for k in range(1, 32):
        first.append(first[-1] / ((3 * k) * (3 * k - 1)))
        second.append(second[-1] / ((3 * k) * (3 * k + 1)))
    return _power_series(cube, first) * _AIRY_0 - x * _power_series(cube, second) * _AIRY_SLOPE


def _airy_right(x: Scalar) -> Scalar:
    """exp(-ζ)/(π·x^¼) times the integral of exp(-u²)·cos(u³/(3·x^¾)), ζ = ⅔·x^(3/2)."""
    root = s.sqrt(x)
    quarter = s.sqrt(root)
    inverse = number(1.0) / (root * quarter)
    places = np.arange(33) * 0.2
    weights = np.exp(-(places**2)) * 0.2
    weights[0] *= 0.5
    terms = [s.cos(inverse * float(u**3 / 3)) * float(w) for u, w in zip(places, weights, strict=True)]
    return s.exp(x * root * (-2 / 3)) * _total(terms) / (quarter * np.pi)


def _airy_left(x: Scalar) -> Scalar:
    """The asymptotic series of Ai(-x)."""
    zeta = x * s.sqrt(x) * (2 / 3)
    even, odd, factor = [1.0], [], 1.0
    for k in range(1, 25):
        factor *= (6 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216.0 * k * (2 * k - 1))
        (odd if k % 2 else even).append(factor * (-1) ** (k // 2))
    inverse = number(1.0) / zeta
    square = inverse * inverse
    p, q = polynomial(square, even[::-1]), polynomial(square, odd[::-1]) * inverse
    sine, cosine = s.sin(zeta), s.cos(zeta)
    # sin and cos of ζ + π/4, times √2.
    turned = (sine + cosine) * p - (cosine - sine) * q
    return turned / (s.sqrt(s.sqrt(x)) * float(np.sqrt(2 * np.pi)))


def airy_ai(x: Scalar) -> Scalar:
    """Airy's function that vanishes to the right."""
    middle = _airy_series(s.clamp(x, _AIRY_FAR, _AIRY_INTEGRAL))
    right = _airy_right(s.clamp(x, _AIRY_INTEGRAL, 1e200))
    left = _airy_left(s.maximum(-x, -_AIRY_FAR))
    result = s.select(x > _AIRY_INTEGRAL, right, s.select(x < _AIRY_FAR, left, middle))
    infinite = s.absolute(x).eq(float("inf"))
    return s.select(s.is_nan(x), x, s.select(infinite, number(0.0), result))


def spherical_j0(x: Scalar) -> Scalar:
    """sin(x)/x."""
    series = polynomial(x * x, (1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1.0))
    far = s.select(s.absolute(x).eq(float("inf")), number(0.0), s.sin(x) / x)
    return s.select(s.absolute(x) < 0.05, series, far)
