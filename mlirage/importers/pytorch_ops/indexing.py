"""Reading and writing at positions that are data: index, gather, scatter, embeddings, masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlirage.importers.pytorch_ops.registry import Dim, Number, Op, Operand, as_tensor, at_least_1d, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, loops, ordering, scattering
from mlirage.input.builders import scalar as s

Combine = Callable[[Scalar, Scalar], Scalar]


def _add(old: Scalar, new: Scalar) -> Scalar:
    return old + new


def _either(old: Scalar, new: Scalar) -> Scalar:
    return old | new


def _adder(x: Tensor) -> Combine:
    return _either if x.dtype == b.BOOL else _add


def _positions(indices: Sequence[Tensor | None]) -> tuple[list[Tensor | None], list[int]]:
    """Index tensors with masks as positions: a mask of rank n stands for n tensors. And the axes that are indexed."""
    flat: list[Tensor | None] = []
    for index in indices:
        if index is not None and (index.dtype == b.BOOL or index.dtype == b.UINT8):
            mask = as_tensor(index, b.BOOL)
            flat += ordering.unravel(ordering.true_positions(mask), mask.shape)
        else:
            flat.append(index)
    return flat, [i for i, index in enumerate(flat) if index is not None]


def _prepared(x: Tensor, indices: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor], list[int], bool]:
    """`x` with the indexed axes in front, positions of one shape, the order of axes, and whether they were together."""
    flat, axes = _positions(indices)
    tensors = [as_tensor(index, b.INT64) for index in flat if index is not None]
    shape = b.broadcast_shapes([t.shape for t in tensors])
    order = [*axes, *(i for i in range(x.rank) if i not in axes)]
    together = axes == list(range(axes[0], axes[0] + len(axes))) if axes else True
    return b.transpose(x, order), [b.broadcast_to(t, shape) for t in tensors], axes, together


@aten("index.Tensor", "_unsafe_index.Tensor")
def index(op: Op, x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """numpy's advanced indexing; positions stand where the indexed axes were if those are neighbours, else in front."""
    flat, axes = _positions(indices)
    if not axes:
        return x
    tensors = [as_tensor(t, b.INT64) for t in flat if t is not None]
    shape = b.broadcast_shapes([t.shape for t in tensors])
    tensors = [b.broadcast_to(t, shape) for t in tensors]
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    if len(axes) == 1:
        return b.gather(x, tensors[0], axes[0])
    place = axes[0] if together else 0
    rest = [i for i in range(x.rank) if i not in axes]
    result = [x.shape[i] for i in rest]
    result[place:place] = list(shape)
    if any(d == 0 for d in x.shape) or any(d == 0 for d in result):
        return b.fill(result, 0, x.dtype)

    def body(*position: Scalar) -> Scalar:
        at: list[Any] = [None] * x.rank
        inner = list(position[place : place + len(shape)])
        outer = [p for i, p in enumerate(position) if not place <= i < place + len(shape)]
        for axis, p in zip(rest, outer, strict=True):
            at[axis] = p
        for axis, t in zip(axes, tensors, strict=True):
            at[axis] = b.checked_index(s.read(t, inner), x.shape[axis])
        return s.read(x, at)

    return b.tabulate(result, x.dtype, body)


@aten("index_put", "_unsafe_index_put", "_index_put_impl")
def index_put(
    op: Op, x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False, *_: Any
) -> Tensor:
    given = [t for t in indices if t is not None]
    values = as_tensor(values, x.dtype)
    if len(given) == 1 and given[0].dtype == b.BOOL and values.rank == 0 and not accumulate:
        # x[mask] = number needs no positions.
        mask = given[0]
        leading = next(i for i, t in enumerate(indices) if t is not None)
        mask = b.reshape(mask, [*mask.shape, *([1] * (x.rank - leading - mask.rank))])
        return b.map_(s.select, mask, values, x, dtype=x.dtype, shape=x.shape)
    turned, tensors, axes, together = _prepared(x, indices)
    if not axes:
        return b.broadcast_to(values, x.shape)
    shape = tensors[0].shape
    depth = len(axes)
    rest = turned.shape[depth:]
    place = axes[0] if together else 0
    # Values have the shape of x[indices]; their index axes go to the front, as those of `turned`.
    wanted = list(rest)
    wanted[place:place] = list(shape)
    values = b.broadcast_to(values, wanted)
    n = len(shape)
    order = [*range(place, place + n), *(i for i in range(len(wanted)) if not place <= i < place + n)]
    values = b.transpose(values, order)
    coordinates = b.concatenate([b.unsqueeze(t, [-1]) for t in tensors], -1)
    written = scattering.scatter_nd(turned, coordinates, values, _adder(x) if accumulate else None)
    back = [0] * x.rank
    for i, axis in enumerate([*axes, *(i for i in range(x.rank) if i not in axes)]):
        back[axis] = i
    return b.transpose(written, back)


@aten("index_select")
def index_select(op: Op, x: Tensor, dim: int, places: Tensor) -> Tensor:
    if x.rank == 0:
        return x
    return b.gather(x, at_least_1d(as_tensor(places, b.INT64)), dim)


@aten("embedding")
def embedding(op: Op, weight: Tensor, places: Tensor, *_: Any) -> Tensor:
    return b.gather(weight, as_tensor(places, b.INT64), 0)


@aten("gather")
def gather(op: Op, x: Tensor, dim: int, places: Tensor, *, sparse_grad: bool = False) -> Tensor:
    if places.rank == 0:
        return b.reshape(x, ())
    if any(d == 0 for d in places.shape):
        return b.fill(places.shape, 0, x.dtype)
    x = at_least_1d(x)
    return b.gather_elements(x, places, dim)


@aten("take")
def take(op: Op, x: Tensor, places: Tensor) -> Tensor:
    return b.gather(b.reshape(x, [b.product(x.shape)]), as_tensor(places, b.INT64), 0)


_REDUCTIONS: dict[str, Combine] = {
    "sum": _add,
    "add": _add,
    "prod": lambda old, new: old * new,
    "multiply": lambda old, new: old * new,
    "amax": s.maximum,
    "amin": s.minimum,
    "mean": _add,
}


def _like(x: Tensor, places: Tensor, source: Operand) -> tuple[Tensor, Tensor, Tensor]:
    """All with at least one axis; the source cut to the shape of the positions."""
    places, x = at_least_1d(places), at_least_1d(x)
    values = as_tensor(source, x.dtype)
    if not isinstance(source, Tensor):
        return x, places, b.broadcast_to(values, places.shape)
    values = at_least_1d(values)
    return x, places, b.slice_(values, [0] * values.rank, places.shape)


def _scatter(x: Tensor, dim: int, places: Tensor, source: Operand, combine: Combine | None) -> Tensor:
    shape = x.shape
    x, places, values = _like(x, places, source)
    if any(d == 0 for d in places.shape):
        return b.reshape(x, shape)
    return b.reshape(scattering.scatter_elements(x, places, values, dim, combine), shape)


@aten("scatter.src", "scatter.value")
def scatter(op: Op, x: Tensor, dim: int, places: Tensor, source: Operand) -> Tensor:
    return _scatter(x, dim, places, source, None)


@aten("scatter.reduce", "scatter.value_reduce")
def scatter_with(op: Op, x: Tensor, dim: int, places: Tensor, source: Operand, *, reduce: str) -> Tensor:
    return _scatter(x, dim, places, source, _REDUCTIONS[reduce])


@aten("scatter_add")
def scatter_add(op: Op, x: Tensor, dim: int, places: Tensor, source: Tensor) -> Tensor:
    return _scatter(x, dim, places, source, _adder(x))


@aten("scatter_reduce.two")
def scatter_reduce(
    op: Op, x: Tensor, dim: int, places: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    return _reduced(x, dim, places, source, reduce, include_self)


def _reduced(x: Tensor, dim: int, places: Tensor, source: Tensor, reduce: str, include_self: bool) -> Tensor:
    if reduce not in _REDUCTIONS:
        raise ValueError(f"reduction {reduce!r}")
    start = x
    if not include_self:  # what is written to starts from the reduction's neutral element
        neutral = {"sum": 0, "mean": 0, "prod": 1, "amax": b.lowest(x.dtype), "amin": b.highest(x.dtype)}[reduce]
        start = _scatter(x, dim, places, b.fill(at_least_1d(places).shape, neutral, x.dtype), None)
    result = _scatter(start, dim, places, source, _REDUCTIONS[reduce])
    if reduce != "mean":
        return result
    ones = b.fill(at_least_1d(places).shape, 1, b.INT64)
    counts = b.fill(x.shape, 1 if include_self else 0, b.INT64)
    counts = _scatter(counts, dim, places, ones, _add)

    def divided(total: Scalar, n: Scalar) -> Scalar:
        divisor = s.cast(s.maximum(n, 1), total.dtype)
        if b.is_integer(total.dtype):  # rounds down
            quotient = total / divisor
            return s.select((total % divisor) < 0, quotient - 1, quotient)
        return total / divisor

    return b.map_(divided, result, counts, dtype=x.dtype)


def _along(x: Tensor, axis: int, places: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Positions along one axis as positions of every element of `source`."""
    shape = [1] * x.rank
    spread: list[Dim] = list(shape)
    spread[axis] = places.shape[0]
    return b.broadcast_to(b.reshape(places, spread), source.shape), source


@aten("index_add")
def index_add(op: Op, x: Tensor, dim: int, places: Tensor, source: Tensor, *, alpha: Number = 1) -> Tensor:
    source = as_tensor(source, x.dtype)
    if not isinstance(alpha, int | float | complex) or alpha != 1:
        source = b.multiply(source, as_tensor(alpha, x.dtype))
    return _indexed(x, dim, places, source, _adder(x))


@aten("index_copy")
def index_copy(op: Op, x: Tensor, dim: int, places: Tensor, source: Tensor) -> Tensor:
    return _indexed(x, dim, places, source, None)


@aten("index_fill.int_Scalar", "index_fill.int_Tensor")
def index_fill(op: Op, x: Tensor, dim: int, places: Tensor, value: Operand) -> Tensor:
    flat, places = at_least_1d(x), at_least_1d(places)
    axis = b.normalize_axis(dim, flat.rank)
    shape = [places.shape[0] if i == axis else d for i, d in enumerate(flat.shape)]
    source = b.broadcast_to(as_tensor(value, x.dtype), shape)
    return b.reshape(_indexed(flat, axis, places, source, None), x.shape)


def _indexed(x: Tensor, dim: int, places: Tensor, source: Tensor, combine: Combine | None) -> Tensor:
    """Slices of `source` written to positions of an axis: one window each."""
    flat, places, source = at_least_1d(x), at_least_1d(places), at_least_1d(source)
    axis = b.normalize_axis(dim, flat.rank)
    if any(d == 0 for d in source.shape):
        return x
    order = [axis, *(i for i in range(flat.rank) if i != axis)]
    back = [order.index(i) for i in range(flat.rank)]
    turned, windows = b.transpose(flat, order), b.transpose(source, order)
    written = scattering.scatter_nd(turned, b.unsqueeze(as_tensor(places, b.INT64), [1]), windows, combine)
    return b.reshape(b.transpose(written, back), x.shape)


@aten("index_reduce")
def index_reduce(
    op: Op, x: Tensor, dim: int, places: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    flat = at_least_1d(x)
    axis = b.normalize_axis(dim, flat.rank)
    at, values = _along(flat, axis, at_least_1d(as_tensor(places, b.INT64)), at_least_1d(source))
    return b.reshape(_reduced(flat, axis, at, values, reduce, include_self), x.shape)


@aten("put")
def put(op: Op, x: Tensor, places: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    count = b.product(places.shape)
    flat = b.reshape(x, [b.product(x.shape)])
    values = b.reshape(as_tensor(source, x.dtype), [count])
    result = _scatter(flat, 0, b.reshape(places, [count]), values, _adder(x) if accumulate else None)
    return b.reshape(result, x.shape)


@aten("nonzero")
def nonzero(op: Op, x: Tensor) -> Tensor:
    mask = b.map_(lambda a: a.ne(0), x, dtype=b.BOOL) if b.is_complex(x.dtype) else as_tensor(x, b.BOOL)
    positions = ordering.true_positions(mask)
    columns = [b.unsqueeze(column, [1]) for column in ordering.unravel(positions, x.shape)]
    return b.concatenate(columns, 1) if columns else b.reshape(b.slice_axis(positions, 0, 0, 0), [0, 0])


@aten("repeat_interleave.Tensor")
def repeat_interleave(op: Op, repeats: Tensor, *, output_size: Any = None) -> Tensor:
    """Position n as often as `repeats[n]` says: running totals of ones at the places where positions begin."""
    counts = as_tensor(repeats, b.INT64)
    ends = ordering.scan(counts, 0, 0, lambda total, a: total + a, False, False)
    (total,) = b.sum_(counts).dims()
    builder = b.TensorBuilder.current()
    lowest = b.amin(b.map_(lambda a: s.minimum(a, 0), counts), keepdims=False)
    fine = b.map_(lambda a: a.eq(0), lowest, dtype=b.BOOL)
    builder.require(loops.scalar_condition(fine), "repeat_interleave: repeats cannot be negative")
    if output_size is not None:
        builder.require_equal(total, output_size, "repeat_interleave: output_size is the sum of the repeats")
    # Ends, without that of the last position, are where the next one begins; those at the very end fall outside.
    marks = scattering.scatter_elements(
        b.fill([total], 0, b.INT64), ends, b.fill(ends.shape, 1, b.INT64), 0, lambda old, new: old + new
    )
    return b.cast(ordering.scan(marks, 0, 0, lambda t, a: t + a, False, False), op.dtype)


@aten("nonzero_static")
def nonzero_static(op: Op, x: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    found = nonzero(op, x)
    rows, rank = found.shape

    def body(i: Scalar, j: Scalar) -> Scalar:
        inside = i < b.dim_scalar(rows)
        at = s.clamp(i, 0, s.maximum(b.dim_scalar(rows) - 1, 0))
        # An empty list of positions has no row to read: one more is always there.
        return s.select(inside, s.read(padded, [at, j]), s.coerce(fill_value, b.INT64))

    padded = b.pad(found, [0, 0], [1, 0], fill_value)
    return b.tabulate([size, rank], b.INT64, body)


@aten("masked_select")
def masked_select(op: Op, x: Tensor, mask: Tensor) -> Tensor:
    shape = b.broadcast_shapes([x.shape, mask.shape])
    count = b.product(shape)
    flat = b.reshape(b.broadcast_to(x, shape), [count])
    return b.gather(flat, ordering.true_positions(b.broadcast_to(mask, shape)), 0)


@aten("masked_scatter")
def masked_scatter(op: Op, x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    shape = b.broadcast_shapes([x.shape, mask.shape])
    count = b.product(shape)
    flags = b.reshape(b.broadcast_to(as_tensor(mask, b.BOOL), shape), [count])
    if count == 0:
        return b.broadcast_to(x, shape)
    ranks = ordering.scan(b.cast(flags, b.INT64), 0, 0, lambda t, a: t + a, True, False)
    size = b.product(source.shape)
    values = b.reshape(source, [size])
    if size == 0:
        return b.broadcast_to(x, shape)
    taken = b.gather(values, b.map_(lambda r: s.minimum(r, s.cast(b.dim_scalar(size), b.INT64) - 1), ranks), 0)
    flat = b.reshape(b.broadcast_to(x, shape), [count])
    return b.reshape(b.map_(s.select, flags, taken, flat, dtype=x.dtype), shape)


@aten("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    op: Op, weight: Tensor, places: Tensor, offsets: Tensor, scale: bool = False, mode: int = 0, sparse: bool = False,
    weights: Tensor | None = None, include_last: bool = False, padding: int = -1,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Sums (mode 0), means (1) or maxima (2) of the rows of each bag, `places[offsets[i] : offsets[i + 1]]`."""
    count, width = places.shape[0], weight.shape[1]
    bags = offsets.shape[0] - (1 if include_last else 0)
    starts = as_tensor(offsets, b.INT64)
    # The bag of position p is the number of starts up to p, less 1.
    at = b.tabulate([count, 1], b.INT64, lambda p, _: s.cast(p, b.INT64))
    begun = b.slice_axis(starts, 0, 0, bags)
    bag = b.reduce_(lambda total, p, q: total + s.cast(q <= p, b.INT64), 0, [at, b.unsqueeze(begun, [0])], [1], b.INT64)
    bag = b.map_(lambda n: n - 1, bag)
    kept = b.map_(lambda i: i.ne(padding), as_tensor(places, b.INT64), dtype=b.BOOL)
    rows = b.gather(weight, b.map_(lambda k, i: s.select(k, i, 0), kept, as_tensor(places, b.INT64), dtype=b.INT64), 0)
    wide = as_tensor(rows, b.compute_dtype(weight.dtype))
    if weights is not None:
        wide = b.map_(lambda a, f: a * f, wide, b.unsqueeze(as_tensor(weights, wide.dtype), [1]))
    kept_column = b.unsqueeze(kept, [1])
    neutral = -float("inf") if mode == 2 else 0.0
    wide = b.map_(lambda k, a: s.select(k, a, s.coerce(neutral, a.dtype)), kept_column, wide, dtype=wide.dtype)
    total = b.fill([bags, width], neutral, wide.dtype)
    total = scattering.scatter_nd(total, b.unsqueeze(bag, [1]), wide, s.maximum if mode == 2 else _add)
    sizes = scattering.scatter_nd(b.fill([bags], 0, b.INT64), b.unsqueeze(bag, [1]), b.cast(kept, b.INT64), _add)
    filled = b.unsqueeze(sizes, [1])
    if mode == 1:
        total = b.map_(lambda t, n: t / s.cast(s.maximum(n, 1), t.dtype), total, filled)
    if mode == 2:
        total = b.map_(lambda t, n: s.select(n.eq(0), s.coerce(0.0, t.dtype), t), total, filled)
    empty = b.fill([0], 0, b.INT64)
    return b.cast(total, weight.dtype), bag, sizes, empty


@aten("one_hot")
def one_hot(op: Op, places: Tensor, count: Dim = -1) -> Tensor:
    if isinstance(count, int) and count < 0:
        top = b.amax(b.reshape(places, [b.product(places.shape)]), [0])
        count = top.dims()[0] + 1

    def body(place: Scalar) -> Scalar:
        return s.cast(s.cast(s.index_of(places.rank), b.INT64).eq(place), b.INT64)

    return b.map_(body, b.unsqueeze(places, [-1]), dtype=b.INT64, shape=(*places.shape, count))
