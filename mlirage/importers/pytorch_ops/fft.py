"""Fourier transforms by factors of the length: small transforms as products with tables, and turns between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlirage.importers.pytorch_ops.registry import Dim, Op, aten
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Tensor
from mlirage.input.builders import scalar as s

_LARGEST_TABLE = 64
_Parts = tuple[Tensor, Tensor]  # real and imaginary


def _factors(n: int) -> tuple[int, int]:
    """n as a product of a factor of at most 64, as large as possible, and the rest."""
    best = max(d for d in range(1, min(n, _LARGEST_TABLE) + 1) if n % d == 0)
    return (n, 1) if best == 1 else (best, n // best)


def _turns(rows: int, columns: int, n: int, sign: int, dtype: DType) -> _Parts:
    angle = sign * 2 * np.pi / n * (np.outer(np.arange(rows), np.arange(columns)) % n)
    return Tensor.of(np.cos(angle).astype(dtype), name="cosines"), Tensor.of(np.sin(angle).astype(dtype), name="sines")


def _times(x: _Parts, y: _Parts, matrix: bool) -> _Parts:
    multiply = b.matmul if matrix else b.multiply
    re = b.subtract(multiply(x[0], y[0]), multiply(x[1], y[1]))
    return re, b.add(multiply(x[0], y[1]), multiply(x[1], y[0]))


def _last(x: _Parts, sign: int) -> _Parts:
    """The transform along the last axis."""
    n = x[0].shape[-1]
    dtype = x[0].dtype
    if not isinstance(n, int):
        return _times(x, _runtime_table(n, sign, dtype), True)
    if n <= 1:
        return x
    first, rest = _factors(n)
    if rest == 1:
        return _times(x, _turns(n, n, n, sign, dtype), True)
    # Element k = a·rest + c; frequencies f = p + first·q.
    outer = x[0].shape[:-1]
    rank = len(outer)
    turned = [b.transpose(b.reshape(v, [*outer, first, rest]), [*range(rank), rank + 1, rank]) for v in x]
    inner = _times((turned[0], turned[1]), _turns(first, first, first, sign, dtype), True)  # [.., c, p]
    inner = _times(inner, _turns(rest, first, n, sign, dtype), False)
    flipped = [b.transpose(v, [*range(rank), rank + 1, rank]) for v in inner]  # [.., p, c]
    done = _last((flipped[0], flipped[1]), sign)  # [.., p, q]
    back = [b.reshape(b.transpose(v, [*range(rank), rank + 1, rank]), [*outer, n]) for v in done]
    return back[0], back[1]


def _runtime_table(n: Dim, sign: int, dtype: DType) -> _Parts:
    def entry(function: object) -> Tensor:
        def body(i: Scalar, j: Scalar) -> Scalar:
            size = b.dim_scalar(n)
            turn = s.cast(s.cast((i * j) % size, b.INT64), b.FLOAT64)
            angle = turn * (sign * 2 * math.pi) / s.cast(s.cast(size, b.INT64), b.FLOAT64)
            return s.cast(function(angle), dtype)  # pyright: ignore

        return b.tabulate([n, n], dtype, body)

    return entry(s.cos), entry(s.sin)


def _transform(x: _Parts, axes: Sequence[int], sign: int) -> _Parts:
    for axis in axes:
        rank = x[0].rank
        order = [*(i for i in range(rank) if i != axis), axis]
        back = [order.index(i) for i in range(rank)]
        done = _last((b.transpose(x[0], order), b.transpose(x[1], order)), sign)
        x = b.transpose(done[0], back), b.transpose(done[1], back)
    return x


def _scaled(x: Tensor, count: Dim, normalization: int) -> Tensor:
    """Divided by nothing (0), the root of the number of elements (1), or the number (2)."""
    if normalization == 0:
        return x
    if isinstance(count, int):
        factor = 1.0 / (math.sqrt(count) if normalization == 1 else count) if count else 1.0
        return b.map_(lambda a: a * factor, x)
    number = b.cast(Tensor.of_dims(count), x.dtype)
    return b.map_(lambda a, n: a / (s.sqrt(n) if normalization == 1 else n), x, number)


def _parts(x: Tensor) -> _Parts:
    part = np.dtype(np.float64 if x.dtype.itemsize == 16 else np.float32)
    return b.map_(s.real, x, dtype=part), b.map_(s.imaginary, x, dtype=part)


def _joined(x: _Parts, dtype: DType) -> Tensor:
    return b.map_(s.make_complex, *x, dtype=dtype)


@aten("_fft_c2c")
def c2c(op: Op, x: Tensor, axes: Sequence[int], normalization: int, forward: bool) -> Tensor:
    axes = [b.normalize_axis(a, x.rank) for a in axes]
    done = _transform(_parts(x), axes, -1 if forward else 1)
    count = b.product(x.shape[a] for a in axes)
    return _joined((_scaled(done[0], count, normalization), _scaled(done[1], count, normalization)), op.dtype)


@aten("_fft_r2c")
def r2c(op: Op, x: Tensor, axes: Sequence[int], normalization: int, onesided: bool) -> Tensor:
    axes = [b.normalize_axis(a, x.rank) for a in axes]
    count = b.product(x.shape[a] for a in axes)
    done = _transform((x, b.fill(x.shape, 0, x.dtype)), axes, -1)
    if onesided:
        kept = x.shape[axes[-1]] // 2 + 1
        done = b.slice_axis(done[0], axes[-1], 0, kept), b.slice_axis(done[1], axes[-1], 0, kept)
    return _joined((_scaled(done[0], count, normalization), _scaled(done[1], count, normalization)), op.dtype)


@aten("_fft_c2r")
def c2r(op: Op, x: Tensor, axes: Sequence[int], normalization: int, size: Dim) -> Tensor:
    """The inverse of a transform of which half is given: the other half is its mirror image, conjugated."""
    axes = [b.normalize_axis(a, x.rank) for a in axes]
    re, im = _transform(_parts(x), axes[:-1], 1)
    last = axes[-1]
    extent = x.shape[last]

    def mirrored(v: Tensor, odd: bool) -> Tensor:
        def body(*position: Scalar) -> Scalar:
            at = list(position)
            here, whole = position[last], b.dim_scalar(size)
            beyond = here > whole / 2
            at[last] = s.minimum(s.select(beyond, whole - here, here), b.dim_scalar(extent) - 1)
            element = s.read(v, at)
            if not odd:
                return element
            own = here.eq(0) | (here * 2).eq(whole)  # what must be real there is taken as real
            return s.select(own, s.coerce(0.0, element.dtype), s.select(beyond, -element, element))

        return b.tabulate([size if i == last else d for i, d in enumerate(v.shape)], v.dtype, body)

    done, _ = _transform((mirrored(re, False), mirrored(im, True)), [last], 1)
    count = b.product(size if a == last else x.shape[a] for a in axes)
    return _scaled(done, count, normalization)
