"""Expresses tensor ops that no kernel knows by ones that it does.

    tensor.concat dim(1) %a, %b      ->  tensor.insert_slice %b into (tensor.insert_slice %a into tensor.empty)
    tensor.generate { ^bb0(%i) … }   ->  linalg.generic { linalg.index … }
    tensor.pad of an empty tensor    ->  linalg.fill
    tensor.splat of complex<f64>     ->  linalg.fill

A concatenation becomes writes into one tensor: whole runs of bytes are copies that may be elided, other parts are
written in place by dispatches.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.extents import Extents
from mlirage.mlir import arith, ir, linalg
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("global-optimization-decompose-tensor-ops")
def decompose_tensor_ops(program: Program) -> None:
    """Rewrites tensor.concat, tensor.generate, tensor.pad of empty tensors, and tensor.splat of wide elements."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        extents = Extents()
        for op in structured_ops.tensor_ops(function.operation):
            if op.name in _REWRITES:
                new = _REWRITES[op.name](op, extents)
                if new is None:
                    continue
                op.results[0].replace_all_uses_with(new)
                extents.forget(op)
                op.erase()


def _empty(op: ir.Operation, extents: Extents) -> ir.Value:
    dims = extents.dynamic(op.results[0])
    with ir.InsertionPoint(op):
        return ir.Operation.create("tensor.empty", [op.results[0].type], dims, loc=op.location).results[0]


def _concat(op: ir.Operation, extents: Extents) -> ir.Value | None:
    axis = ir.IntegerAttr(op.attributes["dim"]).value
    result = _empty(op, extents)
    static_offset = 0
    dynamic_offset: ir.Value | None = None
    for part in op.operands:
        sizes = list(part.type.shape)
        if 0 in sizes:
            continue  # nothing to write, and an offset in an empty dim would be out of bounds
        dims = extents.dynamic(part)
        extent = extents.extent(part, axis) if part.type.is_dynamic_dim(axis) else None
        with ir.InsertionPoint(op), op.location:
            offsets = [0] * len(sizes)
            offset_operands: list[ir.Value] = []
            if dynamic_offset is None:
                offsets[axis] = static_offset
            else:
                offsets[axis] = structured_ops.DYNAMIC
                offset_operands = [dynamic_offset]
            result = ir.Operation.create(
                "tensor.insert_slice",
                [result.type],
                [part, result, *offset_operands, *dims],
                {
                    "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, len(offset_operands), len(dims), 0]),
                    "static_offsets": ir.DenseI64ArrayAttr.get(offsets),
                    "static_sizes": ir.DenseI64ArrayAttr.get(sizes),
                    "static_strides": ir.DenseI64ArrayAttr.get([1] * len(sizes)),
                },
            ).results[0]
            if extent is None and dynamic_offset is None:
                static_offset += sizes[axis]
            else:
                index = ir.IndexType.get()
                before = dynamic_offset if dynamic_offset is not None else arith.constant(index, static_offset)
                dynamic_offset = arith.addi(
                    before, extent if extent is not None else arith.constant(index, sizes[axis])
                )
    return result


def _generate(op: ir.Operation, extents: Extents) -> ir.Value | None:
    empty = _empty(op, extents)
    rank = op.results[0].type.rank

    def fill_body(_: ir.Block) -> list[ir.Value]:
        indices = [linalg.IndexOp(dim).result for dim in range(rank)]
        return structured_ops.clone_body(op.regions[0].blocks[0], indices)

    with ir.InsertionPoint(op), op.location:
        generic = structured_ops.build_generic(
            [], [empty], [structured_ops.identity_map(rank)], [True] * rank, fill_body, op.location
        )
    return generic.results[0]


def _pad(op: ir.Operation, extents: Extents) -> ir.Value | None:
    """A padding around nothing is a fill."""
    if 0 not in op.operands[0].type.shape:
        return None
    block = op.regions[0].blocks[0]
    value = block.operations[len(block.operations) - 1].operands[0]
    if len(block.operations) != 1 or value.owner == block:
        return None
    empty = _empty(op, extents)
    with ir.InsertionPoint(op), op.location:
        return linalg.fill(value, outs=[empty])


def _splat(op: ir.Operation, extents: Extents) -> ir.Value | None:
    """Elements of 16 bytes are filled in by dispatches, which is known of `linalg.fill`."""
    element = op.results[0].type.element_type
    if not isinstance(element, ir.ComplexType) or element.element_type != ir.F64Type.get():
        return None
    empty = _empty(op, extents)
    with ir.InsertionPoint(op), op.location:
        return linalg.fill(op.operands[0], outs=[empty])


_REWRITES = {"tensor.concat": _concat, "tensor.generate": _generate, "tensor.pad": _pad, "tensor.splat": _splat}
