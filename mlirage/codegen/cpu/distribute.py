"""The tiles of the outermost `scf.forall` become workgroups.

    scf.forall (%i, %j) = (0, 0) to (%m, %n) step (8, 32) { … }
      ─>
    %i = (%workgroup floordiv ceildiv(%n, 32)) * 8;  %j = (%workgroup mod ceildiv(%n, 32)) * 32;  …

Inner foralls become ordinary loops.
"""

from __future__ import annotations

from mlirage.codegen.configuration import Entry
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, run_pipeline


def distribute(entry: Entry, expected: bool) -> None:
    """Maps the one outermost forall to the workgroup number, and the others to loops.

    Args:
      expected: whether the configuration distributes loops; then exactly one outermost forall must exist.

    Raises:
      CompileError: the schedule did not make what the configuration promised.
    """
    block = entry.function.entry_block
    workgroup = block.arguments[len(block.arguments) - 2]
    # a guard on the size of scratch memory may stand around everything
    blocks = [block, *(op.regions[0].blocks[0] for op in block.operations if op.operation.name == "scf.if")]
    foralls = [op.operation for b in blocks for op in b.operations if op.operation.name == "scf.forall"]
    if expected and len(foralls) != 1:
        raise CompileError(
            f"{entry.operation.location}: the schedule of @{entry.name} distributes {len(foralls)} loop nests, not one"
        )
    if expected:
        _to_workgroup(foralls[0], workgroup)
    run_pipeline(entry.operation.parent, "func.func(scf-forall-to-for)")


def _to_workgroup(forall: ir.Operation, workgroup: ir.Value) -> None:
    body = forall.regions[0].blocks[0]
    index = ir.IndexType.get()
    with ir.InsertionPoint(forall), forall.location:
        bounds = _bounds(forall)
        remaining = workgroup
        ids: list[ir.Value] = []
        for position in reversed(range(len(bounds))):
            lower, upper, step = bounds[position]
            if position == 0:
                number = remaining
            else:
                count = arith.ceildivui(arith.subi(upper, lower), step)
                number = arith.remui(remaining, count)
                remaining = arith.divui(remaining, count)
            ids.insert(0, arith.addi(lower, arith.muli(number, step)))
        del index
    for argument, value in zip(list(body.arguments), ids, strict=True):
        argument.replace_all_uses_with(value)
    for op in list(body.operations):
        if op.operation.name != "scf.forall.in_parallel":
            op.operation.move_before(forall)
    forall.erase()


def _bounds(forall: ir.Operation) -> list[tuple[ir.Value, ir.Value, ir.Value]]:
    """(lower, upper, step) of every loop, as values."""
    index = ir.IndexType.get()
    segments = list(ir.DenseI32ArrayAttr(forall.attributes["operandSegmentSizes"]))
    operands = list(forall.operands)
    columns: list[list[ir.Value]] = []
    start = 0
    for name, count in zip(("staticLowerBound", "staticUpperBound", "staticStep"), segments, strict=False):
        dynamic = iter(operands[start : start + count])
        start += count
        columns.append(
            [
                next(dynamic) if s == ir.ShapedType.get_dynamic_size() else arith.constant(index, s)
                for s in ir.DenseI64ArrayAttr(forall.attributes[name])
            ]
        )
    return list(zip(*columns, strict=True))
