"""Fast Fourier transforms of a known length: their stages, and the roots of unity that the stages multiply by.

A transform of n elements is made in stages of radices r₀, r₁, … with product n. Before a stage there are transforms of
length l, the product of the radices before it; the stage joins r of them, of elements that lie r·m apart (n = r·m·l):

    y[t·l + j] = Σ_a ω^(a·t) · (x_a[j] · w(a, j))        ω = exp(∓2πi/r), w(a, j) = exp(∓2πi·a·j / (r·l))

The table of a transform holds w(a, j) of every stage but the first, where it is 1: for a = 1 … r-1 the l numbers of j,
stage after stage. Transforms of real numbers of length 2n are complex ones of length n, of pairs; what joins or
separates the pairs needs exp(∓2πi·k / (2n)) for k = 0 … n, which come last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST_RADIX = 16
LARGEST_PRIME = 13
"""Lengths with a larger prime factor have no stages."""


def radices_of(length: int) -> tuple[int, ...] | None:
    """The radices of a transform; None if `length` has a prime factor that is too large.

    The first is 16 or 8 if that divides the length, so that later stages have whole vectors of neighbours, else the
    largest there is.
    """
    if largest_prime(length) > LARGEST_PRIME:
        return None
    divisors = [d for d in range(1, min(length, LARGEST_RADIX) + 1) if length % d == 0]
    first = max(divisors, key=lambda d: (d % 8 == 0, d))
    rest = length // first
    twos = 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    # Eights and fours: a stage of two moves as much memory for less.
    fours = {0: 0, 1: 2, 2: 1}[twos % 3] if twos != 1 else 0
    radices = [8] * ((twos - 2 * fours) // 3) + [4] * fours + [2] * (twos == 1)
    for prime in (3, 5, 7, 11, 13):
        while rest % prime == 0:
            pair = prime == 3 and rest % 9 == 0
            radices.append(9 if pair else prime)
            rest //= radices[-1]
    return (first, *sorted(radices, reverse=True))


def largest_prime(number: int) -> int:
    """The largest prime factor, 1 of 1."""
    found, factor = 1, 2
    while factor * factor <= number:
        while number % factor == 0:
            found, number = factor, number // factor
        factor += 1
    return max(found, number)


def roots(count: int, turns: Any, inverse: bool) -> np.ndarray[Any, Any]:
    """exp(∓2πi · turns / count) of integers, each as exact as f64 has it."""
    turns = np.asarray(turns) % count
    eighth, rest = np.divmod(8 * turns, count)  # the angle is an eighth of a circle at most
    odd = eighth % 2 == 1
    angle = 2 * np.pi * np.where(odd, count - rest, rest) / (8 * count)
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine, sine = np.where(odd, sine, cosine), np.where(odd, cosine, sine)  # of 90° - angle
    # now within the first quarter: turn by whole ones
    quarter = eighth // 2
    real = np.select([quarter == 0, quarter == 1, quarter == 2], [cosine, -sine, -cosine], sine)
    imaginary = np.select([quarter == 0, quarter == 1, quarter == 2], [sine, cosine, -sine], -cosine)
    return (real + 0.0) + 1j * ((imaginary if inverse else -imaginary) + 0.0)


def table_of(radices: Sequence[int], inverse: bool, real: bool) -> np.ndarray[Any, Any]:
    """The table of a transform in complex128; at least one number long."""
    parts: list[np.ndarray[Any, Any]] = []
    done = radices[0]
    for radix in radices[1:]:
        a, j = np.arange(1, radix)[:, None], np.arange(done)
        parts.append(roots(radix * done, a * j, inverse).reshape(-1))
        done *= radix
    if real:
        parts.append(roots(2 * done, np.arange(done + 1), inverse))
    return np.concatenate(parts) if parts else np.ones(1, np.complex128)


def table_length(radices: Sequence[int], real: bool) -> int:
    """Numbers in the table of a transform."""
    length = math.prod(radices)
    return max(1, length - radices[0] + (length + 1 if real else 0))
