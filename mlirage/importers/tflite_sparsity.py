"""Sparse constants of TFLite files, made dense.

traversal order, a format per dim (dense, or rows of positions), blocks  ->  the array that it stands for
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tflite

from mlirage.errors import ImportFailure
from mlirage.program import Array

_INDEX_TABLES = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}


def densify(
    sparsity: Any, raw: Array, dtype: np.dtype[Any], shape: list[int], name: str, numbers: Callable[[Any, str], Array]
) -> Array:
    """The dense array of a sparse constant.

    Args:
      sparsity: the file's table.
      raw: bytes of the elements that are stored.
      dtype: of the elements.
      shape: of the tensor.
      name: for messages.
      numbers: reads a vector of a table.

    Raises:
      ImportFailure: the table contradicts itself.
    """
    order = numbers(sparsity, "TraversalOrder").tolist()
    blocked = numbers(sparsity, "BlockMap").tolist()
    rank = len(shape)
    if sorted(order) != list(range(rank + len(blocked))) or sparsity.DimMetadataLength() != len(order):
        raise ImportFailure(f"constant {name!r}: its sparsity does not fit shape {shape}")
    dims = [sparsity.DimMetadata(i) for i in range(len(order))]
    blocks = [1] * rank
    for i, axis in enumerate(blocked):
        position = order.index(rank + i)
        if not 0 <= axis < rank or dims[position].DenseSize() <= 0:
            raise ImportFailure(f"constant {name!r}: a block of {dims[position].DenseSize()} along axis {axis}")
        blocks[axis] = dims[position].DenseSize()
    values = np.frombuffer(raw, dtype)
    dense = np.zeros(shape, dtype)
    extents = [d // b for d, b in zip(shape, blocks, strict=True)] + [blocks[axis] for axis in blocked]
    levels = [_level(dim, extents[axis], name, numbers) for dim, axis in zip(dims, order, strict=True)]
    count = 0
    for position in _positions(levels, 0, 0):
        place = dict(zip(order, position, strict=True))
        index = [place[axis] * blocks[axis] for axis in range(rank)]
        for i, axis in enumerate(blocked):
            index[axis] += place[rank + i]
        if count >= len(values) or any(not 0 <= p < d for p, d in zip(index, shape, strict=True)):
            raise ImportFailure(f"constant {name!r}: its sparsity leads out of shape {shape}")
        dense[tuple(index)] = values[count]
        count += 1
    if count != len(values) and math.prod(shape):
        raise ImportFailure(f"constant {name!r}: {len(values)} elements are stored, {count} are placed")
    return dense


_Level = int | tuple[list[int], list[int]]


def _level(dim: Any, extent: int, name: str, numbers: Callable[[Any, str], Array]) -> _Level:
    """The extent of a dense dim, or the segments and positions of a sparse one."""
    if dim.Format() == 0:
        if dim.DenseSize() != extent:
            raise ImportFailure(f"constant {name!r}: a dense dim of {dim.DenseSize()} where {extent} fit")
        return extent
    parts: list[list[int]] = []
    for table, kind in ((dim.ArraySegments(), dim.ArraySegmentsType()), (dim.ArrayIndices(), dim.ArrayIndicesType())):
        if table is None or kind not in _INDEX_TABLES:
            raise ImportFailure(f"constant {name!r}: a sparse dim without segments")
        vector = _INDEX_TABLES[kind]()
        vector.Init(table.Bytes, table.Pos)
        parts.append(numbers(vector, "Values").tolist())
    return parts[0], parts[1]


def _positions(levels: list[_Level], depth: int, parent: int) -> Iterator[tuple[int, ...]]:
    if depth == len(levels):
        yield ()
        return
    level = levels[depth]
    if isinstance(level, int):
        for i in range(level):
            for rest in _positions(levels, depth + 1, parent * level + i):
                yield (i, *rest)
        return
    segments, indices = level
    for k in range(segments[parent], min(segments[parent + 1], len(indices))):
        for rest in _positions(levels, depth + 1, k):
            yield (indices[k], *rest)
