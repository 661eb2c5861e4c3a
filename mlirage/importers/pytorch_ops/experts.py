"""Grouped matrix products, as layers of experts use them: each group of rows (or columns, or steps) has its own factor.

    grouped_mm(x [rows, k], w [groups, k, n], ends [groups])[s:e] = x[s:e] @ w[g]     for s, e = ends[g - 1], ends[g]

One loop over the groups: only the rows of a group meet its factor. `ends` are numbers of the program and may be
anything: they are held within the rows, so that nothing outside is read.
"""

from __future__ import annotations

from typing import Any

from mlirage.importers.pytorch_ops.contraction import product
from mlirage.importers.pytorch_ops.registry import Op, as_tensor, aten, numpy_dtype
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor, loops, ordering
from mlirage.input.builders import scalar as s


def _starts_and_sizes(ends: Tensor, extent: Dim) -> tuple[Tensor, Tensor]:
    """Where each group starts and how much it holds, within `extent`."""
    reached = ordering.scan(as_tensor(ends, b.INT64), 0, 0, s.maximum, False, False)
    stops = b.map_(lambda end: s.minimum(end, s.cast(b.dim_scalar(extent), b.INT64)), reached)
    count = stops.shape[0]
    first = b.fill([1], 0, b.INT64)
    starts = b.slice_axis(b.concatenate([first, stops], 0), 0, 0, count)
    return starts, b.subtract(stops, starts)


def _at(values: Tensor, group: Dim) -> Dim:
    """One number of those, as an extent or a position."""
    element = b.reshape(b.slice_axis(values, 0, group, 1), [])
    (dim,) = b.map_(lambda value: s.maximum(value, 0), element).dims()
    return dim


def _member(stack: Tensor, group: Dim) -> Tensor:
    return b.reshape(b.slice_axis(stack, 0, group, 1), stack.shape[1:])


def _rows(x: Tensor, stack: Tensor, ends: Tensor) -> Tensor:
    """[rows, k] × [groups, k, n]: groups of rows."""
    starts, sizes = _starts_and_sizes(ends, x.shape[0])

    def body(group: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        start, size = _at(starts, group), _at(sizes, group)
        part = product(b.slice_axis(x, 0, start, size), _member(stack, group))
        return None, [b.insert_slice(part, carried[0], [start, 0])], []

    (result,), _ = loops.loop(ends.shape[0], None, [b.fill([x.shape[0], stack.shape[2]], 0, x.dtype)], body)
    return result


def _columns(stack: Tensor, y: Tensor, ends: Tensor) -> Tensor:
    """[groups, m, k] × [k, columns]: groups of columns."""
    starts, sizes = _starts_and_sizes(ends, y.shape[1])

    def body(group: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        start, size = _at(starts, group), _at(sizes, group)
        part = product(_member(stack, group), b.slice_axis(y, 1, start, size))
        return None, [b.insert_slice(part, carried[0], [0, start])], []

    (result,), _ = loops.loop(ends.shape[0], None, [b.fill([stack.shape[1], y.shape[1]], 0, y.dtype)], body)
    return result


def _steps(x: Tensor, y: Tensor, ends: Tensor) -> Tensor:
    """[m, steps] × [steps, n]: a product for each group of steps."""
    starts, sizes = _starts_and_sizes(ends, x.shape[1])

    def body(group: Dim, _: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        start, size = _at(starts, group), _at(sizes, group)
        return None, [], [product(b.slice_axis(x, 1, start, size), b.slice_axis(y, 0, start, size))]

    _, (result,) = loops.loop(ends.shape[0], None, [], body)
    return result


@aten("_grouped_mm")
def grouped_mm(
    op: Op, x: Tensor, y: Tensor, offs: Tensor | None = None, bias: Tensor | None = None, out_dtype: Any = None
) -> Tensor:
    if offs is None:
        result = product(x, y)
    else:
        grouped = {(2, 3): _rows, (3, 2): _columns, (2, 2): _steps}[x.rank, y.rank]
        result = grouped(x, y, offs)
    if bias is not None:
        result = b.add(result, bias)
    return result if out_dtype is None else as_tensor(result, numpy_dtype(out_dtype))


@aten("grouped_mm_fallback", namespace="transformers")
def grouped_mm_fallback(op: Op, x: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    """What transformers calls where PyTorch's own would not be traced."""
    return _rows(x, weight, offs)


@aten("grouped_mm_fallback_backward", namespace="transformers")
def grouped_mm_fallback_backward(
    op: Op, x: Tensor, weight: Tensor, offs: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    return _rows(gradient, b.transpose(weight, [0, 2, 1]), offs), _steps(b.transpose(x, [1, 0]), gradient, offs)
