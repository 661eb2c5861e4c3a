"""Dynamic extents that must be equal become one value.

Each dynamic dimension of each operand and result of an entry point is a scalar operand of its own. A structured op that
runs one loop over several of them says that they are equal:

    %d, %e, %r : index       a[%d] + b[%e] -> c[%r]      ─>      a[%d] + b[%d] -> c[%d]

so that buffers are recognized as having one shape and loop bounds as being the same.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.mlir import arith, ir

_LOAD = "hal.interface_constant_load"
Extent = int | ir.Value


def unify_extents(entry: Entry) -> None:
    """Replaces equal extents by the first of them, everywhere in the entry."""
    for op in list(entry.walk()):
        if structured_ops.is_structured(op):
            _unify_loops(op)
        elif op.name == "bufferization.materialize_in_destination":
            source, target = op.operands
            shape = ir.ShapedType(source.type)
            for position in range(shape.rank):
                if shape.is_dynamic_dim(position):
                    _unify([_extent(source, position), _memref_extent(target, position)])


def _unify_loops(op: ir.Operation) -> None:
    loops: dict[int, list[Extent | None]] = {}
    for operand, indexing_map in zip(op.operands, structured_ops.indexing_maps(op), strict=True):
        if isinstance(operand.type, ir.RankedTensorType):
            for position, loop in enumerate(structured_ops.map_dims(indexing_map)):
                if loop is not None:
                    loops.setdefault(loop, []).append(_extent(operand, position))
    for extents in loops.values():
        _unify(extents)


def _unify(extents: list[Extent | None]) -> None:
    """All of `extents` that are scalar operands become the best known of them."""
    known = [e for e in extents if e is not None]
    static = next((e for e in known if isinstance(e, int)), None)
    loads = [e for e in known if not isinstance(e, int) and _is_load(e)]
    if not loads:
        return
    if static is not None:
        for load in loads:
            with ir.InsertionPoint(ir.OpResult(load).owner.operation), ir.OpResult(load).owner.operation.location:
                load.replace_all_uses_with(arith.constant(ir.IndexType.get(), static))
        return
    first = min(loads, key=_ordinal)
    for load in loads:
        if load != first:
            load.replace_all_uses_with(first)


def _is_load(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == _LOAD


def _ordinal(value: ir.Value) -> int:
    return ir.IntegerAttr(ir.OpResult(value).owner.operation.attributes["ordinal"]).value


def _extent(value: ir.Value, position: int) -> Extent | None:
    """Extent of a dimension of a tensor as its definition tells it."""
    shape = ir.ShapedType(value.type)
    if not shape.is_dynamic_dim(position):
        return shape.get_dim_size(position)
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    dynamic = sum(shape.is_dynamic_dim(i) for i in range(position))
    match op.name:
        case "bufferization.to_tensor":
            return _memref_extent(op.operands[0], position)
        case "tensor.empty":
            return op.operands[dynamic]
        case name if structured_ops.is_structured(op) or name == "linalg.fill":
            number = list(op.results).index(value)
            return _extent(structured_ops.outputs(op)[number], position)
        case _:
            return None


def _memref_extent(memref: ir.Value, position: int) -> Extent | None:
    kind = ir.MemRefType(memref.type)
    if not kind.is_dynamic_dim(position):
        return kind.get_dim_size(position)
    if isinstance(memref.owner, ir.Block) or memref.owner.operation.name != "hal.interface_binding_subspan":
        return None
    return memref.owner.operation.operands[sum(kind.is_dynamic_dim(i) for i in range(position))]
