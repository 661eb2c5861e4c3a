"""Random numbers: the Philox generator of the kernels, whose position is state of the loaded model.

Seeds give the numbers that they give in LiteRT. Without seeds a generator is seeded by its node's name, so that a model
gives the same numbers every time it is loaded, where LiteRT asks the machine for a seed.
"""

from __future__ import annotations

import math

import numpy as np

from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, ordering
from mlirage.input.builders import scalar as s
from mlirage.input.builders.philox import choose, halves, philox, place_of
from mlirage.input.builders.random import seed_of
from mlirage.mlir import ml_program

_U64 = np.dtype(np.uint64)


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
        key, upper = (halves(s.coerce(seed % 2**64, _U64)) for seed in self.seeds)
        return philox([*halves(Scalar(number.value, _U64)), *upper], key)


def _tensor(node: Node, shape: Tensor) -> tuple[tuple[Dim, ...], _Generator]:
    if node.dtype() != b.FLOAT32:
        raise NotImplementedError(f"random numbers of {node.dtype()}: the kernels make f32")
    extents = tuple(shape.dims())
    return extents, _Generator(node, (b.product(extents) + 3) // 4)


@tflite_op
def RANDOM_UNIFORM(node: Node, shape: Tensor) -> Tensor:
    extents, generator = _tensor(node, shape)

    def body(*position: Scalar) -> Scalar:
        number = place_of(extents, position)
        return _unit(choose(generator.words(number / 4), number % 4))

    return b.tabulate(extents, b.FLOAT32, body)


@tflite_op
def RANDOM_STANDARD_NORMAL(node: Node, shape: Tensor) -> Tensor:
    """Box and Muller: two numbers of each pair of words."""
    extents, generator = _tensor(node, shape)

    def body(*position: Scalar) -> Scalar:
        number = place_of(extents, position)
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
