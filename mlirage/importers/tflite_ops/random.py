"""Random numbers: the Philox generator of the kernels, whose position is state of the loaded model.

Seeds give the numbers that they give in LiteRT. Without seeds a generator is seeded by its node's name, so that a model
gives the same numbers every time it is loaded, where LiteRT asks the machine for a seed.
"""

from __future__ import annotations

import math

import numpy as np

from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Tensor, ordering
from mlirage.input.builders import scalar as s
from mlirage.input.builders.random import seed_of
from mlirage.mlir import ml_program

_U32, _U64 = np.dtype(np.uint32), np.dtype(np.uint64)
_ROUNDS = 10
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_FACTORS = (0xD2511F53, 0xCD9E8D57)
_WORD = 0xFFFFFFFF


def _product(x: Scalar, factor: int) -> tuple[Scalar, Scalar]:
    """Lower and upper half of x · factor."""
    wide = s.cast(x, _U64) * factor
    return s.cast(wide, _U32), s.cast(_upper(wide), _U32)


def _upper(x: Scalar) -> Scalar:
    return x / (1 << 32)


def _halves(x: Scalar) -> list[Scalar]:
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


def _choose(words: list[Scalar], lane: Scalar) -> Scalar:
    result = words[-1]
    for i in range(len(words) - 2, -1, -1):
        result = s.select(lane.eq(i), words[i], result)
    return result


def _unit(word: Scalar) -> Scalar:
    """A float of [0, 1) from the lower 23 bits."""
    return s.bitcast((word & 0x7FFFFF) | (127 << 23), b.FLOAT32) - 1.0


def _seeds(node: Node) -> tuple[int, int]:
    """As the interpreter takes them: integers of 32 bits, whatever the file has."""
    seeds = tuple((node.option(name) + 2**31) % 2**32 - 2**31 for name in ("Seed", "Seed2"))
    return (seeds[0], seeds[1]) if any(seeds) else (seed_of("tflite", node.output().name), 0)


class _Generator:
    """The numbers that a node draws in this call; blocks of earlier calls are counted in a variable of the model."""

    def __init__(self, node: Node, blocks: Dim) -> None:
        self.seeds = _seeds(node)
        variable = node.graph.context.variable(f"random.{node.output().name}.{node.output().index}", (), b.INT64)
        self.used = Tensor.from_value(ml_program.GlobalLoadOp(variable.kind, variable.symbol).result, b.INT64)
        ml_program.GlobalStoreOp(variable.symbol, b.add(self.used, Tensor.of_dims(blocks)).value)

    def words(self, block: Scalar) -> list[Scalar]:
        """The four words of one of this call's blocks."""
        number = s.cast(block, b.INT64) + s.read(self.used, [])
        key, upper = (_halves(s.coerce(seed % 2**64, _U64)) for seed in self.seeds)
        return philox([*_halves(Scalar(number.value, _U64)), *upper], key)


def _flat(shape: tuple[Dim, ...], position: tuple[Scalar, ...]) -> Scalar:
    number: Scalar = s.coerce(0, b.INDEX)
    for extent, index in zip(shape, position, strict=True):
        number = number * b.dim_scalar(extent) + index
    return number


def _tensor(node: Node, shape: Tensor) -> tuple[tuple[Dim, ...], _Generator]:
    if node.dtype() != b.FLOAT32:
        raise NotImplementedError(f"random numbers of {node.dtype()}: the kernels make f32")
    extents = tuple(shape.dims())
    return extents, _Generator(node, (b.product(extents) + 3) // 4)


@tflite_op
def RANDOM_UNIFORM(node: Node, shape: Tensor) -> Tensor:
    extents, generator = _tensor(node, shape)

    def body(*position: Scalar) -> Scalar:
        number = _flat(extents, position)
        return _unit(_choose(generator.words(number / 4), number % 4))

    return b.tabulate(extents, b.FLOAT32, body)


@tflite_op
def RANDOM_STANDARD_NORMAL(node: Node, shape: Tensor) -> Tensor:
    """Box and Muller: two numbers of each pair of words."""
    extents, generator = _tensor(node, shape)

    def body(*position: Scalar) -> Scalar:
        number = _flat(extents, position)
        words, first = generator.words(number / 4), (number % 4) < 2
        size, turn = (_unit(s.select(first, words[k], words[k + 2])) for k in (0, 1))
        radius = s.sqrt(s.log(s.maximum(size, 1e-7)) * -2.0)
        angle = turn * float(np.float32(2 * math.pi))
        return s.select((number % 2).eq(0), s.sin(angle), s.cos(angle)) * radius

    return b.tabulate(extents, b.FLOAT32, body)


@tflite_op
def MULTINOMIAL(node: Node, logits: Tensor, count: Tensor) -> Tensor:
    """Numbers of classes, drawn with probabilities in proportion to exp(logits) of the row."""
    if logits.rank != 2 or logits.dtype != b.FLOAT32:
        raise ValueError(f"logits {logits}: f32 of two axes are taken")
    rows, classes = logits.shape
    (samples,) = b.reshape(count, [1]).dims()
    samples = b.dims.maximum(samples, 0)
    # The kernel leaves room for 256 tries of each number.
    generator = _Generator(node, rows * ((samples + 3) // 4 * 4) * 512)
    finite = b.map_(lambda a: (a - a).eq(0.0), logits, dtype=b.BOOL)
    least = Tensor.of(np.finfo(np.float32).min, b.FLOAT32)
    highest = b.amax(b.where(finite, logits, least), [1], keepdims=True)

    def weight(a: Scalar, high: Scalar) -> Scalar:
        return s.exp(s.cast(a, b.FLOAT64) - s.cast(high, b.FLOAT64))

    weights = b.map_(weight, logits, highest, dtype=b.FLOAT64)
    weights = b.where(finite, weights, Tensor.of(0.0, b.FLOAT64))
    totals = ordering.scan(weights, 1, 0, lambda total, a: total + a, exclusive=False, reverse=False)

    def aim(row: Scalar, sample: Scalar) -> Scalar:
        number = row * b.dim_scalar(samples) + sample
        words, first = generator.words(number / 2), (number % 2).eq(0)
        high, low = (s.cast(s.select(first, words[k], words[k + 2]), _U64) for k in (0, 1))
        bits = (high & 0xFFFFF) * (1 << 32) | low | (1023 << 52)
        total = s.read(totals, [row, b.dim_scalar(classes) - 1])
        return (s.bitcast(bits, b.FLOAT64) - 1.0) * total

    aims = b.tabulate([rows, samples], b.FLOAT64, aim)
    passed = b.map_(lambda total, a: total <= a, b.unsqueeze(totals, [1]), b.unsqueeze(aims, [2]), dtype=b.BOOL)
    return b.cast(b.sum_(b.cast(passed, b.INT64), [2]), node.dtype())


def philox_bits(state: Tensor, shape: tuple[Dim, ...], dtype: DType) -> list[Tensor]:
    """StableHLO's generator with a state of a key and a counter of 128 bits: the next state, and bits of any width."""
    wide = b.bit_width(dtype) == 64
    each = 2 if wide else 4

    def body(*position: Scalar) -> Scalar:
        number = _flat(shape, position)
        block = s.cast(s.cast(number / each, b.INT64), _U64)
        low = s.read(state, [1]) + block
        high = s.read(state, [2]) + s.cast(low < block, _U64)
        words = philox([*_halves(low), *_halves(high)], _halves(s.read(state, [0])))
        if wide:
            first = (number % 2).eq(0)
            parts = [s.cast(s.select(first, words[k], words[k + 2]), _U64) for k in (0, 1)]
            return Scalar((parts[0] | parts[1] * (1 << 32)).value, dtype)
        word = _choose(words, number % 4)
        return Scalar(s.cast(word, np.dtype(f"u{dtype.itemsize}")).value, dtype)

    count = Tensor.of_dims((b.product(shape) + each - 1) // each)

    def following(place: Scalar) -> Scalar:
        blocks = Scalar(s.read(count, []).value, _U64)
        low = s.read(state, [1]) + blocks
        carry = s.cast(low < blocks, _U64)
        old = s.read(state, [place])
        return old + s.select(place.eq(1), blocks, s.select(place.eq(2), carry, s.coerce(0, _U64)))

    return [b.tabulate([3], _U64, following), b.tabulate(shape, dtype, body)]
