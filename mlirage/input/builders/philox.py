"""The Philox generator: four words of 32 bits, ten rounds.

Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).
"""

from __future__ import annotations

import numpy as np

from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Tensor
from mlirage.input.builders import scalar as s

_U32, _U64 = np.dtype(np.uint32), np.dtype(np.uint64)
_ROUNDS = 10
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_FACTORS = (0xD2511F53, 0xCD9E8D57)


def _product(x: Scalar, factor: int) -> tuple[Scalar, Scalar]:
    """Lower and upper half of x · factor."""
    wide = s.cast(x, _U64) * factor
    return s.cast(wide, _U32), s.cast(_upper(wide), _U32)


def _upper(x: Scalar) -> Scalar:
    return x / (1 << 32)


def halves(x: Scalar) -> list[Scalar]:
    """Lower and upper 32 bits of 64."""
    return [s.cast(x, _U32), s.cast(_upper(x), _U32)]


def philox(counter: list[Scalar], key: list[Scalar]) -> list[Scalar]:
    """The four words that belong to a counter of four words and a key of two."""
    words = counter
    for _ in range(_ROUNDS):
        low, high = _product(words[0], _FACTORS[0])
        low_2, high_2 = _product(words[2], _FACTORS[1])
        words = [high_2 ^ words[1] ^ key[0], low_2, high ^ words[3] ^ key[1], low]
        key = [k + step for k, step in zip(key, _KEY_STEPS, strict=True)]
    return words


def choose(words: list[Scalar], lane: Scalar) -> Scalar:
    """The word of number `lane`."""
    result = words[-1]
    for i in range(len(words) - 2, -1, -1):
        result = s.select(lane.eq(i), words[i], result)
    return result


def place_of(shape: tuple[Dim, ...], position: tuple[Scalar, ...]) -> Scalar:
    """The number of an element in row-major order."""
    number: Scalar = s.coerce(0, b.INDEX)
    for extent, index in zip(shape, position, strict=True):
        number = number * b.dim_scalar(extent) + index
    return number


def philox_bits(state: Tensor, shape: tuple[Dim, ...], dtype: DType) -> list[Tensor]:
    """StableHLO's generator with a state of a key and a counter of 128 bits: the next state, and bits of any width."""
    wide = b.bit_width(dtype) == 64
    each = 2 if wide else 4

    def body(*position: Scalar) -> Scalar:
        number = place_of(shape, position)
        block = s.cast(s.cast(number / each, b.INT64), _U64)
        low = s.read(state, [1]) + block
        high = s.read(state, [2]) + s.cast(low < block, _U64)
        words = philox([*halves(low), *halves(high)], halves(s.read(state, [0])))
        if wide:
            first = (number % 2).eq(0)
            parts = [s.cast(s.select(first, words[k], words[k + 2]), _U64) for k in (0, 1)]
            return Scalar((parts[0] | parts[1] * (1 << 32)).value, dtype)
        word = choose(words, number % 4)
        return Scalar(s.cast(word, np.dtype(f"u{dtype.itemsize}")).value, dtype)

    count = Tensor.of_dims((b.product(shape) + each - 1) // each)

    def following(place: Scalar) -> Scalar:
        blocks = Scalar(s.read(count, []).value, _U64)
        low = s.read(state, [1]) + blocks
        carry = s.cast(low < blocks, _U64)
        old = s.read(state, [place])
        return old + s.select(place.eq(1), blocks, s.select(place.eq(2), carry, s.coerce(0, _U64)))

    return [b.tabulate([3], _U64, following), b.tabulate(shape, dtype, body)]
