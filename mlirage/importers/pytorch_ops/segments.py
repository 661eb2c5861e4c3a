"""Reductions of runs of elements along an axis, and histograms: one pass over all elements for every run or bin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops.registry import Number, Op, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, ordering
from mlirage.input.builders import scalar as s

_COMBINE: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "sum": lambda t, a: t + a,
    "mean": lambda t, a: t + a,
    "prod": lambda t, a: t * a,
    "max": s.maximum,
    "min": s.minimum,
}
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}


@aten("segment_reduce")
def segment_reduce(
    op: Op, x: Tensor, kind: str, *, lengths: Tensor | None = None, indices: Tensor | None = None,
    offsets: Tensor | None = None, axis: int = 0, unsafe: bool = False, initial: Number | None = None,
) -> Tensor:  # fmt: skip
    if kind not in _COMBINE or (lengths is None and offsets is None):
        raise NotImplementedError(f"segment_reduce {kind!r} needs lengths or offsets")
    if offsets is not None:
        bounds = as_tensor(offsets, b.INT64)
        count = bounds.shape[axis] - 1
        starts, ends = (b.slice_axis(bounds, axis, i, count) for i in (0, 1))
    else:
        assert lengths is not None
        sizes = as_tensor(lengths, b.INT64)
        ends = ordering.scan(sizes, axis, 0, lambda t, a: t + a, False, False)
        starts = b.subtract(ends, sizes)
    rest = x.rank - axis - 1
    moved = b.unsqueeze(b.transpose(x, [*(i for i in range(x.rank) if i != axis), axis]), [axis])
    first, end = (b.unsqueeze(v, [axis + 1 + i for i in range(rest + 1)]) for v in (starts, ends))
    shape = (*x.shape[:axis], starts.shape[axis], *x.shape[axis + 1 :], x.shape[axis])
    neutral, combine = _NEUTRAL[kind], _COMBINE[kind]

    def body(total: Scalar, a: Scalar, p: Scalar, q: Scalar) -> Scalar:
        at = s.cast(s.index_of(len(shape) - 1), b.INT64)
        inside = (at >= p) & (at < q)
        return combine(total, s.select(inside, a, s.coerce(neutral, a.dtype)))

    wide = b.compute_dtype(x.dtype)
    result = b.reduce_(body, neutral, [b.cast(moved, wide), first, end], [len(shape) - 1], wide, shape=shape)
    if initial is not None:
        result = b.map_(lambda t, a: combine(t, s.cast(a, t.dtype)), result, as_tensor(initial, wide))
    if kind == "mean":
        count = b.squeeze(b.subtract(end, first), [-1])

        def divided(t: Scalar, n: Scalar) -> Scalar:
            none = n.eq(0)
            empty = t if initial is not None else s.coerce(np.nan, t.dtype)
            return s.select(none, empty, t / s.cast(s.select(none, s.coerce(1, n.dtype), n), t.dtype))

        result = b.map_(divided, result, count, shape=result.shape)
    return b.cast(result, x.dtype)


def _counted(x: Tensor, edges: Tensor, weight: Tensor | None, density: bool) -> Tensor:
    """How many elements, or what weight, lies in each bin; the last one holds its upper edge."""
    bins = edges.shape[0] - 1
    flat = b.reshape(x, [1, b.product(x.shape)])
    low, high = (b.unsqueeze(b.slice_axis(edges, 0, i, bins), [1]) for i in (0, 1))
    shares = b.reshape(weight, flat.shape) if weight is not None else Tensor.of(np.ones((1, 1), edges.dtype))
    shape = (bins, flat.shape[1])

    def body(total: Scalar, a: Scalar, p: Scalar, q: Scalar, w: Scalar) -> Scalar:
        last = s.index_of(0).eq(b.dim_scalar(bins) - 1)
        inside = (a >= p) & ((a < q) | (last & a.eq(q)))
        return total + s.select(inside, w, s.coerce(0.0, w.dtype))

    counts = b.reduce_(body, 0.0, [flat, low, high, shares], [1], edges.dtype, shape=shape)
    if density:
        widths = b.subtract(b.squeeze(high, [1]), b.squeeze(low, [1]))
        counts = b.map_(lambda c, w, t: c / (w * t), counts, widths, b.sum_(counts))
    return counts


@aten("histogram.bins_tensor")
def histogram_of_bins(
    op: Op, x: Tensor, edges: Tensor, *, weight: Tensor | None = None, density: bool = False
) -> tuple[Tensor, Tensor]:
    return _counted(x, edges, weight, density), edges


@aten("histogram.bin_ct")
def histogram(
    op: Op, x: Tensor, bins: int = 100, *, range: list[float] | None = None, weight: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if range is None:
        ends: Any = [b.amin(x), b.amax(x)]
    else:
        ends = [Tensor.of(np.asarray(v, x.dtype)) for v in range]

    def edge(low: Scalar, high: Scalar) -> Scalar:
        """Of equal ends, half a step to both sides; from the nearer end."""
        same = low.eq(high)
        low, high = s.select(same, low - 0.5, low), s.select(same, high + 0.5, high)
        at = s.cast(s.cast(s.index_of(0), b.INT64), low.dtype)
        step = (high - low) / float(bins)
        return s.select(at < (bins + 1) // 2, low + step * at, high - step * (s.coerce(float(bins), low.dtype) - at))

    edges = b.map_(edge, *ends, shape=(bins + 1,))
    return _counted(x, edges, weight, density), edges


@aten("embedding_renorm")
def embedding_renorm(op: Op, table: Tensor, indices: Tensor, most: float, order: float) -> Tensor:
    """Rows that indices name are made no longer than `most`."""
    flat = b.reshape(indices, [1, b.product(indices.shape)])

    def named(found: Scalar, index: Scalar) -> Scalar:
        return found | s.cast(index, b.INT64).eq(s.cast(s.index_of(0), b.INT64))

    shape = (table.shape[0], flat.shape[1])
    used = b.reduce_(named, False, [flat], [1], b.BOOL, keepdims=True, shape=shape)
    powers = b.map_(lambda a: s.power(s.absolute(a), s.coerce(order, a.dtype)), table)
    lengths = b.map_(lambda t: s.power(t, s.coerce(1 / order, t.dtype)), b.sum_(powers, [1], True))

    def shortened(a: Scalar, n: Scalar, u: Scalar) -> Scalar:
        return s.select(u & (n > most), a * (s.coerce(most, n.dtype) / (n + 1e-7)), a)

    return b.map_(shortened, table, lengths, used)
