"""Sorting, selection, running totals and compaction, on the linalgx ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.input import linalgx
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim
from mlirage.input.builders.element_types import BOOL, INDEX, INT64, DType, compute_dtype, is_float
from mlirage.input.builders.elementwise import cast, map_
from mlirage.input.builders.movement import normalize_axis, reshape
from mlirage.input.builders.reduction import sum_
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor, TensorBuilder, empty
from mlirage.mlir import arith, ir, linalg, tensor


def _before(dtype: DType, largest: bool) -> Callable[[ir.Value[Any], ir.Value[Any]], ir.Value[Any]]:
    """Whether a comes before b; NaN counts as larger than all numbers."""

    def body(left: ir.Value[Any], right: ir.Value) -> ir.Value[Any]:
        a, b = s.load(left, dtype), s.load(right, dtype)
        if largest:
            a, b = b, a
        result = a < b
        if is_float(a.dtype):
            result = result | (~s.is_nan(a) & s.is_nan(b))
        return result.value

    return body


def topk(x: Tensor, count: Dim, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    """The `count` largest or smallest elements along an axis in order, and their positions (int64)."""
    axis = normalize_axis(axis, x.rank)
    TensorBuilder.current().require_at_least(x.shape[axis], count, f"top {count} of axis {axis}")
    shape = [count if i == axis else d for i, d in enumerate(x.shape)]
    values, positions = linalgx.topk(
        x.value, axis, empty(shape, x.dtype), empty(shape, INT64), _before(x.dtype, largest)
    )
    return Tensor(shape, x.dtype, value=values), Tensor(shape, INT64, value=positions)


def scan(
    x: Tensor, axis: int, start: float, combine: Callable[[Scalar, Scalar], Scalar], exclusive: bool, reverse: bool
) -> Tensor:
    """Running totals along an axis."""
    axis = normalize_axis(axis, x.rank)
    wide = compute_dtype(x.dtype)
    source = cast(x, wide)
    shape = [d for i, d in enumerate(x.shape) if i != axis]
    initial = linalg.fill(TensorBuilder.current().scalar_constant(start, wide), outs=[empty(shape, wide)])

    def body(total: ir.Value[Any], element: ir.Value) -> ir.Value[Any]:
        return combine(Scalar(total, wide), Scalar(element, wide)).value

    value, _ = linalgx.scan(source.value, initial, axis, body, exclusive=exclusive, reverse=reverse)
    return cast(Tensor.from_value(value, wide, x.shape), x.dtype)


def true_positions(mask: Tensor) -> Tensor:
    """The flat positions (int64) of the true elements, as many as there are: a shape that depends on data."""
    flat = reshape(mask, [_product(mask.shape)])
    number = sum_(cast(flat, INT64))
    builder = TensorBuilder.current()
    count = builder.runtime_dim(
        arith.index_cast(ir.IndexType.get(), tensor.extract(number.value, [])), nonnegative=True
    )
    value = linalgx.compact(flat.value, empty([count], INT64))
    return Tensor([count], INT64, value=value)


def _product(shape: tuple[Dim, ...]) -> Dim:
    from mlirage.input.builders.dims import product

    return product(shape)


def unravel(positions: Tensor, shape: tuple[Dim, ...]) -> list[Tensor]:
    """Flat positions as one coordinate tensor per axis."""
    coordinates: list[Tensor] = []
    for axis in range(len(shape)):
        inner = _product(shape[axis + 1 :])
        coordinates.append(
            map_(
                lambda p, inner=inner, extent=shape[axis]: s.cast(
                    (s.cast(p, INDEX) / _index(inner)) % _index(extent), INT64
                ),
                positions,
            )
        )
    return coordinates


def _index(dim: Dim) -> Scalar:
    return Scalar(TensorBuilder.current().index(dim), INDEX)


def sort_with_positions(x: Tensor, axis: int, largest: bool = False) -> tuple[Tensor, Tensor]:
    """Elements in order along an axis, and where each came from (int64); stable."""
    from mlirage.input.builders.elementwise import tabulate

    axis = normalize_axis(axis, x.rank)
    positions = tabulate(x.shape, INT64, lambda *p: s.cast(p[axis], INT64))
    before = _before(x.dtype, largest)
    values = linalgx.sort([x.value, positions.value], axis, lambda a, b, i, j: before(a, b))
    return Tensor(x.shape, x.dtype, value=values[0]), Tensor(x.shape, INT64, value=values[1])


__all__ = ["BOOL", "scan", "sort_with_positions", "topk", "true_positions", "unravel"]
