"""Extents of tensors as ints and index values, and reshapes of one dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlirage.mlir import arith, ir, tensor

DYNAMIC = ir.ShapedType.get_dynamic_size()
Extent = int | ir.Value


def extents(value: ir.Value) -> list[Extent]:
    """The extent of every dim of a tensor: an int, or the index value of `tensor.dim`."""
    shaped = ir.RankedTensorType(value.type)
    return [
        tensor.dim(value, arith.constant(ir.IndexType.get(), i)) if shaped.is_dynamic_dim(i) else shaped.get_dim_size(i)
        for i in range(shaped.rank)
    ]


def static_shape(shape: Sequence[Extent]) -> list[int]:
    """The shape for a type: extents that are values become DYNAMIC."""
    return [extent if isinstance(extent, int) else DYNAMIC for extent in shape]


def dynamic_extents(shape: Sequence[Extent]) -> list[ir.Value]:
    """The extents that are values."""
    return [extent for extent in shape if isinstance(extent, ir.Value)]


def reassociation(groups: Sequence[Sequence[int]]) -> ir.ArrayAttr:
    """The attribute of tensor.expand_shape and tensor.collapse_shape."""
    i64 = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(i64, dim) for dim in group]) for group in groups])


def expand_dim(value: ir.Value, dim: int, parts: Sequence[Extent]) -> ir.Value:
    """`value` with the extent of `dim` split into `parts`."""
    shaped = ir.RankedTensorType(value.type)
    shape = extents(value)
    shape[dim : dim + 1] = parts
    groups = [
        [i] if i < dim else ([dim + p for p in range(len(parts))] if i == dim else [i + len(parts) - 1])
        for i in range(shaped.rank)
    ]
    kind = ir.RankedTensorType.get(static_shape(shape), shaped.element_type)
    return tensor.expand_shape(kind, value, reassociation(groups), dynamic_extents(shape), static_shape(shape))


def collapse_dims(value: ir.Value, first: int, count: int) -> ir.Value:
    """`value` with `count` dims from `first` as one."""
    shaped = ir.RankedTensorType(value.type)
    joined = shaped.shape[first : first + count]
    total = DYNAMIC if DYNAMIC in joined else math.prod(joined)
    groups = [[i] for i in range(first)] + [list(range(first, first + count))]
    groups += [[i] for i in range(first + count, shaped.rank)]
    kind = ir.RankedTensorType.get([*shaped.shape[:first], total, *shaped.shape[first + count :]], shaped.element_type)
    return tensor.collapse_shape(kind, value, reassociation(groups))
