"""Ops that move data, carried out on arrays: transposes, reshapes, slices, paddings, copies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlirage import structured_ops
from mlirage.extents import kept_dims
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.mlir import ir
from mlirage.program import Array, is_splat


def moved(op: ir.Operation, arrays: Mapping[ir.Value, Array]) -> Array | None:
    """The result of `op` if it moves the data of `arrays`, splats staying splats; None if it does anything else."""
    source = arrays.get(op.operands[0]) if len(op.operands) > 0 else None
    if source is None:
        return None
    shape = tuple(op.results[0].type.shape)
    match op.name:
        case "tensor.expand_shape" | "tensor.collapse_shape" | "tensor.cast":
            return np.broadcast_to(source.reshape(-1)[0], shape) if is_splat(source) else source.reshape(shape)
        case "tensor.extract_slice":
            return _slice(op, source, shape)
        case "linalg.generic":
            transpose = transposed_source(op.results[0])
            if transpose is None:
                return None
            # Index d of the source is index dims[d] of the result.
            dims = structured_ops.map_dims(transpose[1])
            return source.transpose([dims.index(d) for d in range(len(dims))]) if None not in dims else None
        case _:
            return None


def _slice(op: ir.Operation, source: Array, shape: tuple[int, ...]) -> Array | None:
    offsets, sizes, strides = (
        list(ir.DenseI64ArrayAttr(op.attributes[f"static_{name}"])) for name in ("offsets", "sizes", "strides")
    )
    if structured_ops.DYNAMIC in (*offsets, *sizes, *strides) or any(stride < 1 for stride in strides):
        return None
    window = tuple(
        slice(offset, offset + (size - 1) * stride + 1 if size else offset, stride)
        for offset, size, stride in zip(offsets, sizes, strides, strict=True)
    )
    part = source[window]
    dropped = set(range(part.ndim)) - set(kept_dims(sizes, list(shape)))
    return part.reshape(shape) if not is_splat(source) else part.squeeze(tuple(dropped))
