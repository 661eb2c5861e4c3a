"""Ops that move data, carried out on arrays: transposes, reshapes, slices, paddings, reversals, copies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlirage import structured_ops
from mlirage.extents import kept_dims
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.mlir import ir
from mlirage.program import Array, is_splat

# Of the index of one dim of a source: the loop that it runs along, if any, its factor, what is added to it.
_Linear = tuple[int | None, int, int]


def moved(op: ir.Operation, arrays: Mapping[ir.Value, Array]) -> Array | None:
    """The result of `op` if it moves the data of `arrays`, splats staying splats; None if it does anything else."""
    source = arrays.get(op.operands[0]) if len(op.operands) > 0 else None
    if source is None:
        return _remapped(op, arrays) if op.name == "linalg.generic" else None
    shape = tuple(op.results[0].type.shape)
    match op.name:
        case "tensor.expand_shape" | "tensor.collapse_shape" | "tensor.cast":
            return np.broadcast_to(source.reshape(-1)[0], shape) if is_splat(source) else source.reshape(shape)
        case "tensor.extract_slice":
            return _slice(op, source, shape)
        case "tensor.pad":
            return _padded(op, source)
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


def _padded(op: ir.Operation, source: Array) -> Array | None:
    low, high = (list(ir.DenseI64ArrayAttr(op.attributes[f"static_{name}"])) for name in ("low", "high"))
    value = _constant(list(op.regions[0].blocks[0].operations)[-1].operation.operands[0])
    if value is None or min((*low, *high), default=0) < 0 or is_splat(source):
        return None
    if value != 0 and source.dtype.name not in ("float32", "float64"):
        return None  # the number may be written with another sign
    return np.pad(source, list(zip(low, high, strict=True)), constant_values=value)


def _remapped(op: ir.Operation, arrays: Mapping[ir.Value, Array]) -> Array | None:
    """What a generic makes that extracts every element from a place of its own: reversals, and steps along dims.

    %i = linalg.index 0;  %j = arith.subi %c9, %i;  %e = tensor.extract %w[%j] : tensor<10xf32>;  linalg.yield %e
    """
    if structured_ops.segment_sizes(op) != [0, 1] or not all(structured_ops.parallel_loops(op)):
        return None
    extract = list(structured_ops.body(op).operations)[-1].operation.operands[0].owner
    if isinstance(extract, ir.Block) or extract.operation.name != "tensor.extract":
        return None
    source = arrays.get(extract.operation.operands[0])
    places = [_linear(index) for index in list(extract.operation.operands)[1:]]
    loops = [place[0] for place in places if place is not None and place[0] is not None]
    written = structured_ops.indexing_maps(op)[0]
    extents = structured_ops.loop_extents(op)
    if source is None or is_splat(source) or None in places or len(set(loops)) < len(loops):
        return None
    alone = [loop for loop in range(len(extents)) if loop not in loops]
    if any(extents[loop] != 1 for loop in alone):
        return None
    if written != structured_ops.identity_map(len(extents)) or structured_ops.DYNAMIC in extents:
        return None
    window: list[slice | int] = []
    for place, size in zip(places, source.shape, strict=True):
        assert place is not None
        loop, step, start = place
        last = start if loop is None else start + (extents[loop] - 1) * step
        if not 0 <= start < size or not 0 <= last < size:
            return None  # it traps where it runs
        if loop is None:
            window.append(start)
        else:
            stop = last + (1 if step > 0 else -1)
            window.append(slice(start, stop if stop >= 0 else None, step))
    part = source[(*window, *[np.newaxis] * len(alone))]
    loops += alone
    return part.transpose([loops.index(loop) for loop in range(len(extents))])


def _linear(index: ir.Value) -> _Linear | None:
    """An index as a loop times a factor other than 0, plus a number."""
    number = _constant(index)
    if isinstance(number, int):
        return None, 0, number
    op = None if isinstance(index.owner, ir.Block) else index.owner.operation
    if op is None:
        return None
    if op.name == "linalg.index":
        return ir.IntegerAttr(op.attributes["dim"]).value, 1, 0
    if op.name not in ("arith.addi", "arith.subi", "arith.muli"):
        return None
    a, b = _linear(op.operands[0]), _linear(op.operands[1])
    if a is None or b is None or (a[0] is not None and b[0] is not None):
        return None
    loop = b[0] if a[0] is None else a[0]
    match op.name:
        case "arith.addi":
            return loop, a[1] + b[1], a[2] + b[2]
        case "arith.subi":
            return loop, a[1] - b[1], a[2] - b[2]
        case _:
            factor = a[1] * b[2] + b[1] * a[2]
            return (loop, factor, a[2] * b[2]) if factor else None


def _constant(value: ir.Value) -> int | float | None:
    """A scalar constant, other than of i1 and formats that Python has no number for."""
    op = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if op is None or op.name != "arith.constant":
        return None
    attribute = op.attributes["value"]
    if isinstance(attribute, ir.IntegerAttr | ir.FloatAttr):
        return attribute.value
    return None
