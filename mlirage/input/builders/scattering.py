"""Writing at positions that are data: the scatter family, on `linalgx.scatter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.input import linalgx
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, product
from mlirage.input.builders.element_types import INDEX, INT64, compute_dtype
from mlirage.input.builders.elementwise import cast, map_, tabulate
from mlirage.input.builders.movement import dim_scalar, normalize_axis, reshape, slice_axis
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor
from mlirage.mlir import ir

Combine = Callable[[Scalar, Scalar], Scalar]


def _combiner(x: Tensor, combine: Combine | None) -> Callable[[ir.Value[Any], ir.Value[Any]], ir.Value[Any]]:
    def body(old: ir.Value[Any], new: ir.Value) -> ir.Value[Any]:
        if combine is None:
            return new
        return s.store(combine(s.load(old, x.dtype), s.load(new, x.dtype)), x.dtype)

    return body


def _wrapped(indices: Tensor, extent: Dim) -> Tensor:
    """Negative positions counted from the end."""
    size = Tensor.of_dims(extent)
    return map_(lambda i, n: s.select(i < 0, i + n, i), cast(indices, INT64), size)


def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, axis: int, combine: Combine | None = None) -> Tensor:
    """`x` with every update combined in at its own place, but at `indices` along the axis."""
    axis = normalize_axis(axis, x.rank)
    count = product(indices.shape)
    along = reshape(_wrapped(indices, x.shape[axis]), [count])
    rank = x.rank

    def coordinate(n: Scalar, k: Scalar) -> Scalar:
        result: Scalar | None = None
        for i in range(rank):
            inner = product(indices.shape[i + 1 :])
            place = s.cast((n / dim_scalar(inner)) % dim_scalar(indices.shape[i]), INT64)
            if i == axis:
                place = s.read(along, [n])
            result = place if result is None else s.select(k.eq(i), place, result)
        assert result is not None
        return result

    places = tabulate([count, rank], INT64, coordinate)
    flat = reshape(updates, [count, *([1] * rank)])
    (value,) = linalgx.scatter([x.value], places.value, [flat.value], list(range(rank)), _combiner(x, combine))
    return Tensor(x.shape, x.dtype, value=value)


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, combine: Combine | None = None) -> Tensor:
    """`x` with slices combined in at the coordinates in the last axis of `indices`."""
    depth = indices.shape[-1]
    if not isinstance(depth, int):
        raise ValueError("the last extent of the indices (the number of coordinates) must be known")
    count = product(indices.shape[:-1])
    flat = reshape(indices, [count, depth])
    extents = Tensor.of_dims(list(x.shape[:depth])) if depth else Tensor.of([], INT64)
    places = map_(lambda i, n: s.select(i < 0, i + n, i), cast(flat, INT64), extents) if depth else cast(flat, INT64)
    windows = reshape(updates, [count, *([1] * depth), *x.shape[depth:]])
    (value,) = linalgx.scatter([x.value], places.value, [windows.value], list(range(depth)), _combiner(x, combine))
    return Tensor(x.shape, x.dtype, value=value)


__all__ = ["INDEX", "compute_dtype", "scatter_elements", "scatter_nd", "slice_axis"]
