"""Sums over segments, counts and running totals."""

from __future__ import annotations

from collections.abc import Callable

from mlirage.importers.tensorflow_ops.registry import Call, constant, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, ordering, scattering
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith, ir, tensor

_Combine = Callable[[Scalar, Scalar], Scalar]


def _rows(ids: Tensor) -> Dim:
    """One more than the last number of ids in order; 0 of none."""
    builder = b.TensorBuilder.current()
    largest = b.amax(b.cast(ids, b.INT64), [0])
    count = arith.index_cast(ir.IndexType.get(), tensor.extract(largest.value, []))
    some = builder.runtime_dim(count) + 1
    return b.dims.maximum(b.dims.select("eq", ids.shape[0], 0, 0, some), 0)


def _segments(x: Tensor, ids: Tensor, combine: _Combine, start: float) -> tuple[Tensor, Dim]:
    rows = _rows(ids)
    target = b.fill([rows, *x.shape[1:]], start, x.dtype)
    places = b.unsqueeze(b.cast(ids, b.INT64), [1])
    return scattering.scatter_nd(target, places, x, combine), rows


def _amounts(ids: Tensor, rows: Dim, x: Tensor) -> Tensor:
    """How many elements each segment has, with axes like `x`."""
    ones = b.map_(lambda _: s.coerce(1, b.INT64), b.cast(ids, b.INT64))
    places = b.unsqueeze(b.cast(ids, b.INT64), [1])
    count = scattering.scatter_nd(b.fill([rows], 0, b.INT64), places, ones, lambda p, q: p + q)
    return b.reshape(count, [rows, *([1] * (x.rank - 1))])


@tf_op("SegmentSum")
def segment_sum(call: Call, x: Tensor, ids: Tensor) -> Tensor:
    return _segments(x, ids, lambda p, q: p + q, 0)[0]


@tf_op("SegmentProd")
def segment_product(call: Call, x: Tensor, ids: Tensor) -> Tensor:
    return _segments(x, ids, lambda p, q: p * q, 1)[0]


@tf_op("SegmentMean")
def segment_mean(call: Call, x: Tensor, ids: Tensor) -> Tensor:
    total, rows = _segments(x, ids, lambda p, q: p + q, 0)

    def divided(a: Scalar, n: Scalar) -> Scalar:
        return a / s.cast(s.select(n < 1, s.coerce(1, b.INT64), n), a.dtype)

    return b.map_(divided, total, _amounts(ids, rows, x), shape=total.shape)


def _extreme(x: Tensor, ids: Tensor, combine: _Combine, start: float) -> Tensor:
    """Segments without elements are 0."""
    total, rows = _segments(x, ids, combine, start)
    return b.map_(
        lambda a, n: s.select(n < 1, s.coerce(0, a.dtype), a), total, _amounts(ids, rows, x), shape=total.shape
    )


@tf_op("SegmentMax")
def segment_maximum(call: Call, x: Tensor, ids: Tensor) -> Tensor:
    return _extreme(x, ids, s.maximum, b.lowest(x.dtype))


@tf_op("SegmentMin")
def segment_minimum(call: Call, x: Tensor, ids: Tensor) -> Tensor:
    return _extreme(x, ids, s.minimum, b.highest(x.dtype))


@tf_op("DenseBincount")
def bincount(call: Call, x: Tensor, size: Tensor, weights: Tensor) -> Tensor:
    """How often each number below `size` occurs, or the sum of its weights; by rows for matrices."""
    dtype, (length,) = call.results[0], b.reshape(size, [1]).dims()
    length = b.dims.maximum(length, 0)
    count = b.product(x.shape)
    flat = b.cast(b.reshape(x, [count]), b.INT64)
    # What is out of range falls behind the end, where nothing is written.
    limit = Tensor.of_dims(length)
    number = b.map_(lambda i, n: s.select((i < 0) | (i >= n), n, i), flat, limit)
    weighted = not (isinstance(weights.shape[0], int) and weights.shape[0] == 0)
    binary = call.flag("binary_output")
    ones = b.map_(lambda _: s.coerce(1, dtype), b.cast(flat, dtype))
    amounts = b.reshape(weights, [count]) if weighted and not binary else ones
    shape: list[Dim] = [length]
    if x.rank == 2:
        columns = x.shape[1]
        row = b.tabulate([count], b.INT64, lambda i: s.cast(i / b.dim_scalar(columns), b.INT64))
        number = b.concatenate([b.unsqueeze(row, [1]), b.unsqueeze(number, [1])], 1)
        shape = [x.shape[0], length]
    else:
        number = b.unsqueeze(number, [1])
    combine: _Combine = (lambda _, q: q) if binary else (lambda p, q: p + q)
    return scattering.scatter_nd(b.fill(shape, 0, dtype), number, amounts, combine)


@tf_op("HistogramFixedWidth")
def histogram(call: Call, values: Tensor, bounds: Tensor, bins: Tensor) -> Tensor:
    """Counts in bins of one width; what is below or above falls in the first or last."""
    dtype, (length,) = call.results[0], b.reshape(bins, [1]).dims()
    count = b.product(values.shape)
    flat = b.reshape(values, [count])
    wide = b.FLOAT64

    def place(a: Scalar) -> Scalar:
        low, high = (s.cast(s.read(bounds, [k]), wide) for k in (0, 1))
        number = s.cast(b.dim_scalar(length), b.INT64)
        step = (high - low) / s.cast(number, wide)
        position = s.floor((s.cast(a, wide) - low) / step)
        last = s.cast(number, wide) - 1.0
        return s.cast(s.clamp(position, 0.0, last), b.INT64)

    places = b.unsqueeze(b.map_(place, flat, dtype=b.INT64), [1])
    ones = b.map_(lambda _: s.coerce(1, dtype), places, dtype=dtype)
    zeros = b.fill([length], 0, dtype)
    return scattering.scatter_nd(zeros, places, b.reshape(ones, [count]), lambda p, q: p + q)


def _running(call: Call, x: Tensor, axis: Tensor, combine: _Combine, start: int) -> Tensor:
    values = constant(axis)
    if values is None:
        raise NotImplementedError("running totals along an axis that only a run knows")
    known = int(values.reshape(-1)[0])
    place = known + x.rank if known < 0 else known
    return ordering.scan(x, place, start, combine, call.flag("exclusive"), call.flag("reverse"))


@tf_op("Cumsum")
def running_sum(call: Call, x: Tensor, axis: Tensor) -> Tensor:
    return _running(call, x, axis, lambda p, q: p + q, 0)


@tf_op("Cumprod")
def running_product(call: Call, x: Tensor, axis: Tensor) -> Tensor:
    return _running(call, x, axis, lambda p, q: p * q, 1)
