"""Tensors carried by loops stay in one buffer.

    scf.for … iter_args(%t = %a) {
      %u = linalg.add ins(%t, %b) outs(%empty)
      scf.yield %u }
      ─>
      %w = bufferization.materialize_in_destination %u in %t
      scf.yield %w

Values that are computed in place of the carried one (inserts, ops that write into it) are left as they are.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.mlir import bufferization, ir


def carry_in_place(entry: Entry) -> None:
    """Gives every tensor that a loop carries one buffer."""
    for op in list(entry.walk()):
        if op.name == "scf.for":
            body = op.regions[0].blocks[0]
            _tie(_terminator(body), 0, list(body.arguments)[1:])
        elif op.name == "scf.while":
            before, after = (region.blocks[0] for region in op.regions)
            _tie(_terminator(before), 1, list(before.arguments))
            _tie(_terminator(after), 0, list(after.arguments))


def _terminator(block: ir.Block) -> ir.Operation:
    return list(block.operations)[-1].operation


def _tie(terminator: ir.Operation, first: int, arguments: list[ir.Value]) -> None:
    """Makes operand `first + i` of the terminator live in the buffer of argument i, where both are of one type."""
    for number, argument in enumerate(arguments):
        position = first + number
        if position >= len(terminator.operands):
            return
        value = terminator.operands[position]
        if not isinstance(value.type, ir.RankedTensorType) or value.type != argument.type:
            continue
        if not _is_written_over(value, argument):
            with ir.InsertionPoint(terminator), terminator.location:
                tied = bufferization.materialize_in_destination(value.type, value, argument)
            terminator.operands[position] = tied


def _is_written_over(value: ir.Value, argument: ir.Value) -> bool:
    """Whether `value` is computed in the buffer of `argument`."""
    while value != argument:
        if isinstance(value.owner, ir.Block):
            return False
        op = value.owner.operation
        number = list(op.results).index(value)
        if op.name in ("tensor.insert", "tensor.insert_slice"):
            value = op.operands[1]
        elif op.name == "tensor.cast":
            value = op.operands[0]
        elif op.name == "scf.for":
            value = op.operands[3 + number]
        elif structured_ops.is_structured(op) or op.name == "linalg.fill":
            value = structured_ops.outputs(op)[number]
        elif op.name == "scf.if":
            ends = [_terminator(region.blocks[0]).operands[number] for region in op.regions]
            return all(_is_written_over(end, argument) for end in ends)
        else:
            return False
    return True
