"""Reading at positions that are data: gather in ONNX's and numpy's forms. No position leads out of the buffer."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim
from mlirage.input.builders.element_types import INDEX
from mlirage.input.builders.elementwise import generic
from mlirage.input.builders.movement import dim_scalar, normalize_axis, slice_axis, squeeze
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor, TensorBuilder
from mlirage.mlir import ir


def checked_index(index: Scalar, extent: Dim, wrap: bool = True) -> Scalar:
    """An integer as a position: negative ones count from the end (`wrap`), and it is held inside 0 … extent - 1."""
    size = dim_scalar(extent)
    place = s.cast(index, INDEX)
    if wrap:
        place = s.select(place < 0, place + size, place)
    return s.clamp(place, 0, size - 1)


def gather(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """numpy's take: `indices` replaces `axis` in the shape; negative indices count from the end."""
    axis = normalize_axis(axis, x.rank)
    positions = indices.known if indices.is_foldable else None
    if x.is_foldable and x.known is not None and positions is not None and positions.dtype != object:
        taken = np.asarray(np.take(x.known, positions, axis), x.known.dtype)
        return Tensor.of_dims(taken, x.dtype) if taken.dtype == object else Tensor.of(taken)
    single = indices.splat()
    if single is not None and indices.rank == 0 and isinstance(x.shape[axis], int):
        start = int(single) + (x.shape[axis] if single < 0 else 0)  # pyright: ignore[reportOperatorIssue]
        if not 0 <= start < x.shape[axis]:  # pyright: ignore[reportOperatorIssue]
            raise ValueError(f"index {single} out of range of axis {axis} of shape {list(x.shape)}")
        return squeeze(slice_axis(x, axis, start, 1), [axis])
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    places = range(axis, axis + indices.rank)
    index_map = ir.AffineMap.get(len(shape), 0, [ir.AffineExpr.get_dim(i) for i in places])

    def build(index: ir.Value) -> ir.Value[Any]:
        position = [s.index_of(i) for i in range(len(shape)) if i not in places]
        position.insert(axis, checked_index(Scalar(index, indices.dtype), x.shape[axis]))
        return s.store(s.read(x, position), x.dtype)

    return Tensor(shape, x.dtype, value=generic([indices.value], [index_map], shape, x.dtype, build))


def gather_elements(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """numpy's take_along_axis: the result has the shape of `indices`, which must fit in `x` along the other axes.

    Raises:
      ValueError: they have another number of axes than `x`, or more positions.
    """
    axis = normalize_axis(axis, x.rank)
    rank = indices.rank
    if rank != x.rank:
        raise ValueError(f"indices of {rank} axes into a tensor of {x.rank} axes")
    for i in range(rank):
        if i != axis:
            TensorBuilder.current().require_at_least(
                x.shape[i], indices.shape[i], f"more indices than positions, axis {i}"
            )

    def build(index: ir.Value) -> ir.Value[Any]:
        position = [s.index_of(i) for i in range(rank)]
        position[axis] = checked_index(Scalar(index, indices.dtype), x.shape[axis])
        return s.store(s.read(x, position), x.dtype)

    identity = ir.AffineMap.get_identity(rank)
    return Tensor(indices.shape, x.dtype, value=generic([indices.value], [identity], indices.shape, x.dtype, build))


def gather_nd(x: Tensor, indices: Tensor, batch: int = 0) -> Tensor:
    """Reads at the coordinates in the last axis of `indices`; the first `batch` axes of both run in parallel."""
    depth = indices.shape[-1]
    if not isinstance(depth, int):
        raise ValueError("the last extent of the indices (the number of coordinates) must be known")
    outer = indices.shape[:-1]
    shape = (*outer, *x.shape[batch + depth :])

    def body() -> ir.Value[Any]:
        place = [s.index_of(i) for i in range(len(outer))]
        coordinates = [checked_index(s.read(indices, [*place, k]), x.shape[batch + k]) for k in range(depth)]
        rest = [s.index_of(len(outer) + i) for i in range(x.rank - batch - depth)]
        return s.store(s.read(x, [*place[:batch], *coordinates, *rest]), x.dtype)

    return Tensor(shape, x.dtype, value=generic([], [], shape, x.dtype, body))
