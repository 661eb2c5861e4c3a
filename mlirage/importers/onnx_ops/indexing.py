"""Scatter, one-hot, top-k, non-zero, compress, unique, running totals."""

from __future__ import annotations

from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, ordering, scattering
from mlirage.input.builders import scalar as s
from mlirage.input.builders.loops import choose

_COMBINERS: dict[str, scattering.Combine | None] = {
    "none": None,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "min": s.minimum,
    "max": s.maximum,
}


def _combiner(node: Node) -> scattering.Combine | None:
    name = node.get("reduction", "none")
    if name not in _COMBINERS:
        raise ValueError(f"reduction is {name!r}")
    return _COMBINERS[name]


@onnx_op()
def ScatterElements(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    return scattering.scatter_elements(x, indices, updates, node.get("axis", 0), _combiner(node))


@onnx_op()
def Scatter(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    return scattering.scatter_elements(x, indices, updates, node.get("axis", 0))


@onnx_op()
def ScatterND(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    return scattering.scatter_nd(x, indices, updates, _combiner(node))


@onnx_op()
def TensorScatter(node: Node, past: Tensor, update: Tensor, write: Tensor | None = None) -> Tensor:
    """Rows of `update` at positions `write[batch]` of the cache's axis."""
    axis = b.normalize_axis(node.get("axis", -2), past.rank)
    extent, length = past.shape[axis], update.shape[axis]
    circular = node.get("mode", "linear") == "circular"

    def body(*position: Scalar) -> Scalar:
        start = s.cast(s.read(write, [position[0]]), b.INDEX) if write is not None else s.coerce(0, b.INDEX)
        offset = position[axis] - start
        if circular:
            offset = s.select(offset < 0, offset + b.dim_scalar(extent), offset)
        inside = (offset >= 0) & (offset < b.dim_scalar(length))
        place = list(position)
        place[axis] = s.clamp(offset, 0, b.dim_scalar(length) - 1)
        return s.select(inside, s.read(update, place), s.read(past, list(position)))

    return b.tabulate(past.shape, past.dtype, body)


@onnx_op()
def OneHot(node: Node, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    count = b.cast(depth, b.INT64).dims()[0]
    axis = b.normalize_axis(node.get("axis", -1), indices.rank + 1)
    shape = [*indices.shape[:axis], count, *indices.shape[axis:]]
    places = b.unsqueeze(b.cast(indices, b.INT64), [axis])
    off, on = (b.reshape(b.slice_axis(values, 0, i, 1), ()) for i in range(2))

    def body(index: Scalar, no: Scalar, yes: Scalar) -> Scalar:
        size = s.cast(b.dim_scalar(count), b.INT64)
        place = s.select(index < 0, index + size, index)
        return s.select(s.cast(s.index_of(axis), b.INT64).eq(place), yes, no)

    return b.map_(body, places, off, on, dtype=values.dtype, shape=tuple(shape))


@onnx_op()
def TopK(node: Node, x: Tensor, k: Tensor | None = None) -> Any:
    count = k.dims()[0] if k is not None else node.require("k")
    return ordering.topk(x, count, node.get("axis", -1), bool(node.get("largest", 1)))


@onnx_op()
def NonZero(node: Node, x: Tensor) -> Tensor:
    mask = b.cast(x, b.BOOL)
    positions = ordering.true_positions(mask)
    rows = [b.unsqueeze(row, [0]) for row in ordering.unravel(positions, x.shape)]
    if not rows:
        return b.reshape(b.slice_axis(positions, 0, 0, 0), [0, 0])
    return b.concatenate(rows, 0)


@onnx_op()
def Compress(node: Node, x: Tensor, condition: Tensor) -> Tensor:
    if "axis" not in node.attributes:
        x, axis = b.reshape(x, [b.product(x.shape)]), 0
    else:
        axis = b.normalize_axis(node.get("axis"), x.rank)
    return b.gather(x, ordering.true_positions(condition), axis)


def _running(node: Node, x: Tensor, axis: Tensor, start: int, combine: Any) -> Tensor:
    exclusive, reverse = bool(node.get("exclusive", 0)), bool(node.get("reverse", 0))
    where = axis.dims()[0]
    if isinstance(where, int):
        return ordering.scan(x, where, start, combine, exclusive, reverse)
    # The axis is known at run time only: the result is chosen among those of all axes.
    place = b.dims.select("slt", where, 0, where + x.rank, where)
    return choose(place, [lambda i=i: ordering.scan(x, i, start, combine, exclusive, reverse) for i in range(x.rank)])


@onnx_op()
def CumSum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return _running(node, x, axis, 0, lambda total, a: total + a)


@onnx_op()
def CumProd(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return _running(node, x, axis, 1, lambda total, a: total * a)


@onnx_op()
def ReverseSequence(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    batch, time = node.get("batch_axis", 1), node.get("time_axis", 0)

    def place(position: list[Scalar]) -> list[Scalar]:
        length = s.cast(s.read(lengths, [position[batch]]), b.INDEX)
        t = position[time]
        turned = s.clamp(length - 1 - t, 0, b.dim_scalar(x.shape[time]) - 1)
        position[time] = s.select(t < length, turned, t)
        return position

    return b.remap(x, x.shape, place)


@onnx_op()
def Unique(node: Node, x: Tensor) -> Any:
    """Values in order (or of first appearance), first positions, inverse, counts."""
    if "axis" in node.attributes and x.rank > 1:
        return _unique_slices(x, b.normalize_axis(node.get("axis"), x.rank), bool(node.get("sorted", 1)))
    count = b.product(x.shape)
    flat = b.reshape(x, [count])
    ordered, origin = ordering.sort_with_positions(flat, 0)

    def starts(i: Scalar) -> Scalar:
        here, before = s.read(ordered, [i]), s.read(ordered, [s.clamp(i - 1, 0, None)])
        return i.eq(0) | here.ne(before)

    first_of_run = b.tabulate([count], b.BOOL, starts)
    places = ordering.true_positions(first_of_run)
    number = places.shape[0]
    group = b.subtract(
        ordering.scan(b.cast(first_of_run, b.INT64), 0, 0, lambda t, a: t + a, False, False), Tensor.of(1, b.INT64)
    )
    values, first = b.gather(ordered, places, 0), b.gather(origin, places, 0)

    def run_length(i: Scalar) -> Scalar:
        last = i + 1 >= b.dim_scalar(number)
        following = s.read(places, [s.clamp(i + 1, None, b.dim_scalar(number) - 1)])
        end = s.select(last, s.cast(b.dim_scalar(count), b.INT64), following)
        return end - s.read(places, [i])

    counts = b.tabulate([number], b.INT64, run_length)
    inverse = scattering.scatter_elements(b.fill([count], 0, b.INT64), origin, group, 0)
    if not node.get("sorted", 1):
        _, appearance = ordering.sort_with_positions(first, 0)
        values, first, counts = (b.gather(t, appearance, 0) for t in (values, first, counts))
        numbers = b.tabulate([number], b.INT64, lambda i: s.cast(i, b.INT64))
        rank = scattering.scatter_elements(b.fill([number], 0, b.INT64), appearance, numbers, 0)
        inverse = b.gather(rank, inverse, 0)
    return values, first, inverse, counts


def _unique_slices(x: Tensor, axis: int, in_order: bool) -> tuple[Tensor, ...]:
    """Unique slices along an axis, by comparing all pairs: slices compare as their elements do, from the first on."""
    rows = b.transpose(x, [axis, *(i for i in range(x.rank) if i != axis)])
    rows = b.flatten(rows, 1)
    count, width = rows.shape
    wide = s.cast(b.dim_scalar(width), b.INT64)

    def differs_at(least: Scalar, a: Scalar, c: Scalar) -> Scalar:
        return s.minimum(least, s.select(a.ne(c), s.cast(s.index_of(2), b.INT64), wide))

    left, right = b.unsqueeze(rows, [1]), b.unsqueeze(rows, [0])
    first_difference = b.reduce_(differs_at, 2**62, [left, right], [2], b.INT64)
    same = b.map_(lambda k: k >= wide, first_difference, dtype=b.BOOL)

    def comes_before(k: Scalar) -> Scalar:
        at = s.clamp(s.cast(k, b.INDEX), 0, b.dim_scalar(width) - 1)
        mine, other = s.read(rows, [s.index_of(0), at]), s.read(rows, [s.index_of(1), at])
        return (k < wide) & (mine < other)

    before = b.map_(comes_before, first_difference, dtype=b.BOOL)
    repeated = b.amax(b.map_(lambda e: e & (s.index_of(0) < s.index_of(1)), same), [0])
    leader = b.map_(lambda r: ~r, repeated)
    group = b.reduce_(
        lambda total, p, q: total + s.cast(p & q, b.INT64), 0, [before, b.unsqueeze(leader, [1])], [0], b.INT64
    )
    leaders = ordering.true_positions(leader)
    number = leaders.shape[0]
    places = b.gather(group, leaders, 0)
    if not in_order:
        appearance = b.tabulate([number], b.INT64, lambda i: s.cast(i, b.INT64))
        group = b.gather(scattering.scatter_elements(b.fill([number], 0, b.INT64), places, appearance, 0), group, 0)
        places = appearance
    first = scattering.scatter_elements(b.fill([number], 0, b.INT64), places, leaders, 0)
    ones = b.fill([count], 1, b.INT64)
    counts = scattering.scatter_elements(b.fill([number], 0, b.INT64), group, ones, 0, lambda old, new: old + new)
    return b.gather(x, first, axis), first, group, counts
