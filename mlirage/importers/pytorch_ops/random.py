"""Random numbers: a counter-based generator (Philox 4x32-10) whose state is a global of the program.

Every call of an operator takes fresh numbers, and every run goes on where the last one ended. The seed is that of
`torch.initial_seed()` when the model was compiled; the numbers are not those of PyTorch's own generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mlirage.importers.pytorch_ops.registry import Dim, Number, Op, Operand, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith

_UINT32, _UINT64 = np.dtype(np.uint32), np.dtype(np.uint64)
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def _wide_product(x: Scalar, factor: int) -> tuple[Scalar, Scalar]:
    """High and low half of a product of 32-bit numbers."""
    product = s.cast(x, _UINT64) * factor
    high = Scalar(arith.shrui(product.value, s.coerce(32, _UINT64).value), _UINT64)
    return s.cast(high, _UINT32), s.cast(product, _UINT32)


def _philox(counter: Scalar, stream: Scalar, seed: int) -> Scalar:
    """32 random bits of a position, a stream and a seed."""
    keys = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    high_part = Scalar(arith.shrui(counter.value, s.coerce(32, _UINT64).value), _UINT64)
    stream_high = Scalar(arith.shrui(stream.value, s.coerce(32, _UINT64).value), _UINT64)
    words = [s.cast(v, _UINT32) for v in (counter, high_part, stream, stream_high)]
    for _ in range(10):
        high0, low0 = _wide_product(words[0], _MULTIPLIERS[0])
        high1, low1 = _wide_product(words[2], _MULTIPLIERS[1])
        words = [high1 ^ words[1] ^ keys[0], low1, high0 ^ words[3] ^ keys[1], low0]
        keys = [(key + step) & 0xFFFFFFFF for key, step in zip(keys, _WEYL, strict=True)]
    return words[0]


def random_bits(op: Op, shape: Sequence[Dim], streams: int = 1) -> list[Tensor]:
    """Tensors of 32 random bits."""
    shape = tuple(shape)
    drawn = op.importer.state.draw()
    seed = torch.initial_seed() & (2**64 - 1)

    def body(number: int) -> Any:
        def element(base: Scalar) -> Scalar:
            at = s.coerce(0, b.INDEX)
            for axis, extent in enumerate(shape):
                at = at * b.dim_scalar(extent) + s.index_of(axis)
            return _philox(s.cast(s.cast(at, b.INT64), _UINT64), s.cast(base, _UINT64) * 16 + number, seed)

        return element

    return [b.map_(body(i), drawn, dtype=_UINT32, shape=shape) for i in range(streams)]


def uniform(op: Op, shape: Sequence[Dim], dtype: DType) -> Tensor:
    """Numbers in [0, 1)."""
    (bits,) = random_bits(op, shape)
    digits = 24 if dtype.itemsize >= 4 else 11 if dtype == b.FLOAT16 else 8
    wide = b.compute_dtype(dtype)

    def body(x: Scalar) -> Scalar:
        top = Scalar(arith.shrui(x.value, s.coerce(32 - digits, _UINT32).value), _UINT32)
        return s.cast(top, wide) * (2.0**-digits)

    return b.map_(body, bits, dtype=dtype)


def normal(op: Op, shape: Sequence[Dim], dtype: DType) -> Tensor:
    """Normally distributed numbers, by the method of Box and Muller."""
    if b.is_complex(dtype):
        part = np.dtype(np.float64 if dtype.itemsize == 16 else np.float32)
        re, im = (b.map_(lambda a: a * float(np.sqrt(0.5)), normal(op, shape, part)) for _ in range(2))
        return b.map_(s.make_complex, re, im, dtype=dtype)
    wide = b.compute_dtype(dtype)
    first, second = random_bits(op, shape, 2)

    def body(x: Scalar, y: Scalar) -> Scalar:
        p, q = (s.cast(v, b.FLOAT64) for v in (x, y))
        radius = s.sqrt(s.log((p + 1.0) * 2.0**-32) * -2.0)
        return s.cast(radius * s.cos(q * (2 * np.pi * 2.0**-32)), wide)

    return b.map_(body, first, second, dtype=dtype)


def _integers(op: Op, shape: Sequence[Dim], low: Any, high: Any) -> Tensor:
    first, second = random_bits(op, shape, 2)
    lowest, count = as_tensor(low, b.INT64), as_tensor(high - low, b.INT64)

    def body(x: Scalar, y: Scalar, least: Scalar, number: Scalar) -> Scalar:
        large = s.cast(x, _UINT64) * 2**32 + s.cast(y, _UINT64)
        at = Scalar(arith.remui(large.value, s.maximum(s.cast(number, _UINT64), 1).value), _UINT64)
        return s.cast(least + s.cast(at, b.INT64), b.compute_dtype(op.dtype))

    return b.map_(body, first, second, lowest, count, dtype=op.dtype)


@aten("rand")
def rand(op: Op, shape: Sequence[Dim], **_: Any) -> Tensor:
    return uniform(op, shape, op.dtype)


@aten("rand_like")
def rand_like(op: Op, x: Tensor, **_: Any) -> Tensor:
    return uniform(op, x.shape, op.dtype)


@aten("randn")
def randn(op: Op, shape: Sequence[Dim], **_: Any) -> Tensor:
    return normal(op, shape, op.dtype)


@aten("randn_like")
def randn_like(op: Op, x: Tensor, **_: Any) -> Tensor:
    return normal(op, x.shape, op.dtype)


@aten("randint")
def randint(op: Op, high: Dim, shape: Sequence[Dim], **_: Any) -> Tensor:
    return _integers(op, shape, 0, high)


@aten("randint.low")
def randint_low(op: Op, low: Dim, high: Dim, shape: Sequence[Dim], **_: Any) -> Tensor:
    return _integers(op, shape, low, high)


@aten("randint_like")
def randint_like(op: Op, x: Tensor, high: Dim, **_: Any) -> Tensor:
    return _integers(op, x.shape, 0, high)


@aten("randint_like.low_dtype")
def randint_like_low(op: Op, x: Tensor, low: Dim, high: Dim, **_: Any) -> Tensor:
    return _integers(op, x.shape, low, high)


@aten("uniform")
def uniform_like(op: Op, x: Tensor, low: Number = 0, high: Number = 1) -> Tensor:
    bounds = as_tensor(low, x.dtype), as_tensor(high, x.dtype)
    return b.map_(lambda u, p, q: p + u * (q - p), uniform(op, x.shape, x.dtype), *bounds)


@aten("uniform", namespace="prims")
def prims_uniform(op: Op, shape: Sequence[Dim], *, low: Number, high: Number) -> Tensor:
    bounds = as_tensor(low, op.dtype), as_tensor(high, op.dtype)
    return b.map_(lambda u, p, q: p + u * (q - p), uniform(op, shape, op.dtype), *bounds)


def _normal(op: Op, shape: Sequence[Dim], mean: Operand, deviation: Operand) -> Tensor:
    parts = as_tensor(mean, op.dtype), as_tensor(deviation, op.dtype)
    return b.map_(lambda n, m, d: m + n * d, normal(op, shape, op.dtype), *parts)


@aten("normal_functional")
def normal_functional(op: Op, x: Tensor, mean: Number = 0, deviation: Number = 1) -> Tensor:
    return _normal(op, x.shape, mean, deviation)


@aten("normal", namespace="prims")
def prims_normal(op: Op, shape: Sequence[Dim], *, mean: Number, std: Number) -> Tensor:
    return _normal(op, shape, mean, std)


@aten("normal.Tensor_Tensor", "normal.Tensor_float", "normal.float_Tensor")
def normal_of(op: Op, mean: Operand, deviation: Operand = 1.0) -> Tensor:
    shapes = [x.shape for x in (mean, deviation) if isinstance(x, Tensor)]
    return _normal(op, b.broadcast_shapes(shapes), mean, deviation)


@aten("bernoulli", "bernoulli.p", "bernoulli.Tensor")
def bernoulli(op: Op, x: Tensor, p: Operand | None = None) -> Tensor:
    chance = x if p is None else as_tensor(p, b.FLOAT32)
    draws = uniform(op, x.shape, b.FLOAT32)
    kind = b.compute_dtype(op.dtype)

    def body(u: Scalar, q: Scalar) -> Scalar:
        return s.cast(u < s.cast(q, u.dtype), kind)

    return b.map_(body, draws, chance, dtype=op.dtype, shape=x.shape)


@aten("exponential")
def exponential(op: Op, x: Tensor, rate: float = 1.0) -> Tensor:
    def body(u: Scalar) -> Scalar:
        return s.log1p(-u) * (-1.0 / rate)

    return b.map_(body, uniform(op, x.shape, x.dtype), dtype=x.dtype)


@aten("randperm")
def randperm(op: Op, count: Dim, **_: Any) -> Tensor:
    (bits,) = random_bits(op, [count])
    _sorted, places = b.ordering.sort_with_positions(bits, 0)
    return as_tensor(places, op.dtype)


@aten("multinomial")
def multinomial(op: Op, weights: Tensor, count: int, replacement: bool = False, **_: Any) -> Tensor:
    """By the largest of exponential races: w / e with e exponentially distributed."""
    rows = weights if weights.rank == 2 else b.unsqueeze(weights, [0])
    n, k = rows.shape
    if replacement:
        total = b.ordering.scan(as_tensor(rows, b.FLOAT64), 1, 0, lambda t, a: t + a, False, False)
        last = b.slice_axis(total, 1, k - 1, 1)
        draws = as_tensor(uniform(op, [n, count], b.FLOAT32), b.FLOAT64)
        aimed = b.map_(lambda u, t: u * t, draws, last)
        reached = b.reduce_(
            lambda t, a, v: t + s.cast(v <= a, b.INT64), 0, [b.unsqueeze(aimed, [2]), b.unsqueeze(total, [1])], [2],
            b.INT64,
        )  # fmt: skip
        places = b.map_(lambda p, q: s.minimum(p, q - 1), reached, as_tensor(k, b.INT64))
    else:
        races = b.map_(lambda u, w: w / -s.log1p(-u), uniform(op, [n, k], b.FLOAT32), as_tensor(rows, b.FLOAT32))
        _values, places = b.ordering.topk(races, count, 1, True)
    return places if weights.rank == 2 else b.squeeze(places, [0])
