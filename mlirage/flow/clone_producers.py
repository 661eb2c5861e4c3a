"""Copies cheap producers into the dispatch regions that read them.

    %z = linalg.fill ins(%zero) outs(%e)          %r = "flow.dispatch_region"() ({
    %r = "flow.dispatch_region"() ({         ->     %e = tensor.empty …
      %m = linalg.matmul … outs(%z)                 %z = linalg.fill ins(%zero) outs(%e)
                                                    %m = linalg.matmul … outs(%z)

What is cheap: `cloning.py`. The originals go where nobody outside regions reads them. Afterwards a region reads an init
operand only if its contents matter: others become `tensor.empty`.
"""

from __future__ import annotations

from collections.abc import Callable

from mlirage import structured_ops
from mlirage.extents import Extents
from mlirage.flow.cloning import is_clonable, is_free
from mlirage.flow.form_dispatch_regions import host_blocks
from mlirage.flow.host_extents import HostExtents
from mlirage.flow.insertions import INSERTION
from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("flow-clone-producers")
def clone_producers(program: Program) -> None:
    """Clones constants, fills, casts, broadcasts, paddings and strided slices into their readers."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        extents = HostExtents()
        regions = [op for op in structured_ops.tensor_ops(function.operation) if op.name == "flow.dispatch_region"]
        for region in regions:
            _drop_unread_inits(region, extents)
        for region in regions:
            _clone_into(region)
        for block in host_blocks(function.operation):
            _erase_unused(block)


def _drop_unread_inits(region: ir.Operation, extents: Extents) -> None:
    for op in [op.operation for op in region.regions[0].blocks[0].operations]:
        if not structured_ops.is_structured(op) or op.name == "linalg.fill":
            continue
        count = structured_ops.segment_sizes(op)[0]
        arguments = list(structured_ops.body(op).arguments)[count:]
        for number, (init, argument) in enumerate(zip(structured_ops.outputs(op), arguments, strict=True)):
            made_by = None if isinstance(init.owner, ir.Block) else init.owner.operation
            if list(argument.uses) or (made_by is not None and made_by.name == "tensor.empty"):
                continue
            dims = extents.dynamic(init)
            with ir.InsertionPoint(op):
                empty = ir.Operation.create("tensor.empty", [init.type], dims, loc=op.location)
            op.operands[count + number] = empty.results[0]


def _clone_into(region: ir.Operation) -> None:
    members = [op.operation for op in region.regions[0].blocks[0].operations]
    copies: dict[ir.Value, ir.Value] = {}

    def copy_of(value: ir.Value, reader: ir.Operation) -> ir.Value:
        """What `reader` inside the region reads for `value`: a copy if what makes it is outside and cheap."""
        if value in copies:
            return copies[value]
        op = None if isinstance(value.owner, ir.Block) else value.owner.operation
        if op is None or _is_inside(op, region) or not is_clonable(op) or not _may_read_clone(reader, op):
            return value
        clone = op.clone(ip=ir.InsertionPoint(members[0]))
        _replace_operands(clone, lambda operand: copy_of(operand, op))
        clone.move_before(members[0])  # after the clones that it reads
        copies.update(zip(op.results, clone.results, strict=True))
        return copies[value]

    for member in members:
        _replace_operands(member, lambda operand, member=member: copy_of(operand, member))


def _may_read_clone(reader: ir.Operation, op: ir.Operation) -> bool:
    """Ops on tensors other than structured ones read only free clones; what is written into a part is no copy."""
    if reader.name == INSERTION and reader.operands[1].owner == op:
        return op.name == "tensor.empty"
    return is_free(op) or structured_ops.is_structured(reader) or reader.name == "tensor.pad"


def _replace_operands(op: ir.Operation, replacement: Callable[[ir.Value], ir.Value]) -> None:
    for inner in (op, *walk(op)):
        for number, operand in enumerate(inner.operands):
            new = replacement(operand)
            if new != operand:
                inner.operands[number] = new


def _is_inside(op: ir.Operation, region: ir.Operation) -> bool:
    parent = op.parent
    while parent is not None:
        if parent.operation == region:
            return True
        parent = parent.operation.parent
    return False


def _erase_unused(block: ir.Block) -> None:
    for op in reversed([op.operation for op in block.operations]):
        pure = op.name.startswith(("tensor.", "linalg.", "arith.", "math.", "complex."))
        if pure and not any(list(result.uses) for result in op.results):
            op.erase()
