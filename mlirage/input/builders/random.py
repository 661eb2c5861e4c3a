"""Random numbers: a function of a seed and an element's position, so that every element is made on its own.

The bits are those of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the
position, times an odd constant, plus the seed, mixed twice. The same seed gives the same numbers on every machine.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, product
from mlirage.input.builders.element_types import FLOAT64, INT64, DType
from mlirage.input.builders.elementwise import tabulate
from mlirage.input.builders.movement import dim_scalar
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor
from mlirage.mlir import arith

_UINT64 = np.dtype(np.uint64)
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def seed_of(*words: object) -> int:
    """A seed of 64 bits from anything that has a text."""
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=8).digest(), "little")


def bits(seed: int, number: Scalar) -> Scalar:
    """64 random bits: the ones of that number (u64) in the stream of `seed`."""
    z = number * _STEP + seed
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def _shift(x: Scalar, amount: int) -> Scalar:
    return Scalar(arith.shrui(x.value, s.coerce(amount, _UINT64).value), _UINT64)


def _unit(x: Scalar, dtype: DType) -> Scalar:
    """A number of [0, 1) from random bits: as many of the upper ones as the type is exact for."""
    kept = 53 if dtype == FLOAT64 else 24
    return s.cast(_shift(x, 64 - kept), dtype) * (2.0**-kept)


def numbers(shape: tuple[Dim, ...], position: tuple[Scalar, ...]) -> Scalar:
    """The number of an element in row-major order, as u64."""
    place: Scalar | None = None
    for axis, index in enumerate(position):
        term = s.cast(index, INT64) * s.cast(dim_scalar(product(shape[axis + 1 :])), INT64)
        place = term if place is None else place + term
    return Scalar(place.value, _UINT64) if place is not None else s.coerce(0, _UINT64)


def uniform(shape: tuple[Dim, ...], dtype: DType, seed: int) -> Tensor:
    """Numbers of [0, 1), all equally likely; f64 or f32."""
    return tabulate(shape, dtype, lambda *position: _unit(bits(seed, numbers(shape, position)), dtype))


def normal(shape: tuple[Dim, ...], dtype: DType, seed: int) -> Tensor:
    """Numbers of the normal distribution with mean 0 and variance 1 (Box and Muller); f64 or f32."""

    def body(*position: Scalar) -> Scalar:
        number = numbers(shape, position) * 2
        radius, angle = (_unit(bits(seed, number + k), dtype) for k in (0, 1))
        return s.sqrt(s.log(s.coerce(1.0, dtype) - radius) * -2.0) * s.cos(angle * (2 * math.pi))

    return tabulate(shape, dtype, body)
