"""Operators that read and write at positions that are data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlirage.importers.tflite_ops.registry import Node, is_quantized, tflite_op
from mlirage.importers.tflite_ops.shape import one_axis
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, ordering, scattering
from mlirage.input.builders import scalar as s
from mlirage.input.builders.scattering import Combine


@tflite_op
def GATHER(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis, batch = b.normalize_axis(node.option("Axis"), x.rank), node.option("BatchDims")
    batch = batch + indices.rank if batch < 0 else batch
    if not batch:
        return b.gather(x, indices, axis)
    if not 0 <= batch <= axis:
        raise ValueError(f"{batch} batch axes, axis {axis}")
    shape = (*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :])
    inner = indices.rank - batch

    def body(*position: Scalar) -> Scalar:
        place = s.read(indices, [*position[:batch], *position[axis : axis + inner]])
        chosen = b.checked_index(place, x.shape[axis])
        return s.read(x, [*position[:axis], chosen, *position[axis + inner :]])

    return b.tabulate(shape, x.dtype, body)


@tflite_op
def GATHER_ND(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    return b.gather_nd(x, indices)


@tflite_op
def EMBEDDING_LOOKUP(node: Node, ids: Tensor, table: Tensor) -> Tensor:
    if is_quantized(node.input(1)) and b.is_float(node.dtype()):
        rows = b.gather(table, ids, 0)
        source = node.quantization(1)
        if source.scales.size == 1:
            return b.map_(lambda a: s.cast(a, b.FLOAT32) * float(source.scale), rows, dtype=b.FLOAT32)
        scales = b.gather(Tensor.of(source.scales, name="row_scales"), ids, 0)
        scales = b.reshape(scales, [*scales.shape, *([1] * (rows.rank - scales.rank))])
        return b.map_(lambda a, k: s.cast(a, b.FLOAT32) * k, rows, scales, dtype=b.FLOAT32, shape=rows.shape)
    return b.gather(table, ids, 0)


@tflite_op
def EMBEDDING_LOOKUP_SPARSE(
    node: Node, ids: Tensor, places: Tensor, shape: Tensor, weights: Tensor, table: Tensor
) -> Tensor:
    """Rows of a table, weighted and added up where a sparse matrix of ids says: sum, mean, or divided by the norm."""
    if not b.is_float(table.dtype):
        raise NotImplementedError(f"a table of {table.dtype}: the kernel takes f32")
    outer = shape.dims()[:-1]
    coordinates = b.slice_axis(places, 1, 0, places.shape[1] - 1)
    dims = [*outer, *table.shape[1:]]

    def added(values: Tensor, extents: list[Dim]) -> Tensor:
        return scattering.scatter_nd(b.fill(extents, 0, b.FLOAT32), coordinates, values, lambda p, q: p + q)

    wide = b.reshape(weights, [weights.shape[0], *([1] * (table.rank - 1))])
    total = added(b.multiply(b.gather(table, ids, 0), wide), dims)
    combiner = node.option("Combiner")
    if combiner == 0:
        return total
    amount = added(weights if combiner == 1 else b.multiply(weights, weights), outer)
    number = added(b.map_(lambda _: s.coerce(1.0, b.FLOAT32), weights), outer)
    amount, number = (b.reshape(x, [*outer, *([1] * (table.rank - 1))]) for x in (amount, number))

    def divided(x: Scalar, a: Scalar, n: Scalar) -> Scalar:
        return s.select(n > 0.0, x / (a if combiner == 1 else s.sqrt(a)), x)

    return b.map_(divided, total, amount, number, shape=tuple(dims))


@tflite_op
def SCATTER_ND(node: Node, indices: Tensor, updates: Tensor, shape: Tensor) -> Tensor:
    target = b.fill(shape.dims(), 0, updates.dtype)
    combine: Combine = (lambda p, q: p | q) if updates.dtype == b.BOOL else (lambda p, q: p + q)
    return scattering.scatter_nd(target, indices, updates, combine)


@tflite_op
def SPARSE_TO_DENSE(node: Node, indices: Tensor, shape: Tensor, values: Tensor, default: Tensor) -> Tensor:
    dims = shape.dims()
    if indices.rank < 2:
        indices = b.reshape(indices, [b.product(indices.shape), 1])
    count = indices.shape[0]
    if values.rank == 0:
        values = b.broadcast_to(b.reshape(values, [1]), [count])
    target = b.broadcast_to(b.reshape(default, [1] * len(dims)), dims)
    return scattering.scatter_nd(target, indices, values)


@tflite_op
def DYNAMIC_UPDATE_SLICE(node: Node, x: Tensor, update: Tensor, starts: Tensor) -> Tensor:
    zero: Dim = 0
    begin = [
        b.dims.minimum(b.dims.maximum(start, zero), d - n)
        for start, d, n in zip(starts.dims(), x.shape, update.shape, strict=True)
    ]
    return b.insert_slice(update, x, begin)


@tflite_op
def ONE_HOT(node: Node, indices: Tensor, depth: Tensor, on: Tensor, off: Tensor) -> Tensor:
    axis = b.normalize_axis(node.option("Axis", -1), indices.rank + 1)
    spread = b.unsqueeze(indices, [axis])
    shape = tuple(depth.dims()[0] if i == axis else d for i, d in enumerate(spread.shape))

    def body(i: Scalar, p: Scalar, q: Scalar) -> Scalar:
        return s.select(s.cast(s.index_of(axis), i.dtype).eq(i), p, q)

    return b.map_(body, spread, b.reshape(on, ()), b.reshape(off, ()), dtype=on.dtype, shape=shape)


@tflite_op
def TOPK_V2(node: Node, x: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    values, positions = ordering.topk(x, count.dims()[0], -1, largest=True)
    return values, b.cast(positions, node.dtype(1))


def _extreme(node: Node, x: Tensor, axis: Tensor, largest: bool) -> Tensor:
    return b.cast(b.arg_extreme(x, one_axis(axis, x.rank), largest, False, False), node.dtype())


@tflite_op
def ARG_MAX(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return _extreme(node, x, axis, largest=True)


@tflite_op
def ARG_MIN(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return _extreme(node, x, axis, largest=False)


@tflite_op
def CUMSUM(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    exclusive, backwards = (bool(node.option(k, False)) for k in ("Exclusive", "Reverse"))
    return ordering.scan(x, one_axis(axis, x.rank), 0, lambda t, a: t + a, exclusive, backwards)


@tflite_op
def UNIQUE(node: Node, x: Tensor) -> tuple[Tensor, Tensor]:
    """Each number once, in the order of first appearance, and for each element the place of its number."""
    count = x.shape[0]

    def earlier(t: Scalar, a: Scalar, c: Scalar) -> Scalar:
        here = s.cast(s.index_of(1), b.INT64)
        return s.minimum(t, s.select(a.eq(c), here, t))

    top = 2**31 - 1
    rows, columns = b.unsqueeze(x, [1]), b.unsqueeze(x, [0])
    first = b.reduce_(earlier, top, [rows, columns], [1], b.INT64, shape=(count, count))
    is_first = b.map_(lambda f: f.eq(s.cast(s.index_of(0), b.INT64)), first, dtype=b.BOOL)
    places = ordering.true_positions(is_first)
    numbers = ordering.scan(b.cast(is_first, b.INT64), 0, 0, lambda t, a: t + a, True, False)
    return b.gather(x, places, 0), b.cast(b.gather(numbers, first, 0), node.dtype(1))


@tflite_op
def SEGMENT_SUM(node: Node, x: Tensor, ids: Tensor) -> Tensor:
    last = b.slice_axis(ids, 0, ids.shape[0] - 1, 1)
    return _segments(x, ids, last.dims()[0] + 1, 0, lambda p, q: p + q)


def _segments(x: Tensor, ids: Tensor, count: Dim, start: object, combine: Combine) -> Tensor:
    """Rows of equal id combined; ids outside are left out."""
    target = b.fill([count, *x.shape[ids.rank :]], start, x.dtype)
    flat = b.reshape(x, [b.product(ids.shape), *x.shape[ids.rank :]])
    # A negative id would count from the end.
    places = b.map_(lambda i: s.select(i < 0, s.coerce(2**62, b.INT64), s.cast(i, b.INT64)), ids, dtype=b.INT64)
    return scattering.scatter_nd(target, b.reshape(places, [b.product(ids.shape), 1]), flat, combine)


def _unsorted(name: str, start: Callable[[b.DType], object], combine: Combine) -> None:
    def operator(node: Node, x: Tensor, ids: Tensor, count: Tensor) -> Tensor:
        return _segments(x, ids, count.dims()[0], start(x.dtype), combine)

    operator.__name__ = f"UNSORTED_SEGMENT_{name}"
    tflite_op(operator)


def _least(dtype: b.DType) -> object:
    return float(np.finfo(np.float32).min) if b.is_float(dtype) else b.lowest(dtype)


def _most(dtype: b.DType) -> object:
    return float(np.finfo(np.float32).max) if b.is_float(dtype) else b.highest(dtype)


_unsorted("SUM", lambda dtype: 0, lambda p, q: p + q)
_unsorted("PROD", lambda dtype: 1, lambda p, q: p * q)
_unsorted("MAX", _least, s.maximum)
_unsorted("MIN", _most, s.minimum)


@tflite_op
def MATRIX_DIAG(node: Node, x: Tensor) -> Tensor:
    shape = (*x.shape, x.shape[-1])

    def body(*position: Scalar) -> Scalar:
        value = s.read(x, position[:-1])
        return s.select(position[-2].eq(position[-1]), value, s.coerce(0, value.dtype))

    return b.tabulate(shape, x.dtype, body)


@tflite_op
def MATRIX_SET_DIAG(node: Node, x: Tensor, diagonal: Tensor) -> Tensor:
    def body(*position: Scalar) -> Scalar:
        row = s.minimum(position[-2], b.dim_scalar(diagonal.shape[-1]) - 1)
        new = s.read(diagonal, [*position[:-2], row])
        return s.select(position[-2].eq(position[-1]), new, s.read(x, list(position)))

    return b.tabulate(x.shape, x.dtype, body)


@tflite_op
def BUCKETIZE(node: Node, x: Tensor) -> Tensor:
    boundaries = [float(v) for v in node.option("Boundaries", [])]

    def body(a: Scalar) -> Scalar:
        total = s.coerce(0, b.INT32)
        number = s.cast(a, b.FLOAT32) if a.dtype != b.FLOAT64 else a
        for edge in boundaries:
            total = total + s.select(number >= edge, s.coerce(1, b.INT32), 0)
        return total

    return b.map_(body, x, dtype=b.INT32)


@tflite_op
def HASHTABLE_LOOKUP(node: Node, ids: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of `values` where `keys` has the id, zeros where it has not, and which were found."""
    count = keys.shape[0]
    rows, columns = b.unsqueeze(ids, [1]), b.unsqueeze(keys, [0])
    none = 2**31 - 1

    def earlier(t: Scalar, i: Scalar, k: Scalar) -> Scalar:
        return s.minimum(t, s.select(i.eq(k), s.cast(s.index_of(1), b.INT64), t))

    place = b.reduce_(earlier, none, [rows, columns], [1], b.INT64, shape=(ids.shape[0], count))
    found = b.map_(lambda p: s.select(p < none, s.coerce(1, b.UINT8), 0), place, dtype=b.UINT8)
    picked = b.gather(values, b.map_(lambda p: s.select(p < none, p, 0), place), 0)
    spread = b.reshape(found, [*found.shape, *([1] * (picked.rank - 1))])
    return b.map_(lambda a, f: s.select(f.ne(0), a, s.coerce(0, a.dtype)), picked, spread, shape=picked.shape), found
