"""Loops of the host that issue a few small dispatches per step are unrolled: a recurrence becomes one command buffer.

    scf.for %i = 0 to 64 { dispatch; dispatch }   ─>   dispatch; dispatch; dispatch; …

    scf.for %i = 0 to %n { dispatch; dispatch }   ─>   scf.for %i = 0 to %n / 16 * 16 step 16 { dispatch; dispatch; … }
                                                       scf.for %i = %n / 16 * 16 to %n { dispatch; dispatch }

A step of a loop costs a command buffer, fences and memory of its own, as much as a few microseconds of work, and wakes
threads anew; the steps of two loops that do not depend on each other (a bidirectional network) run at the same time
once they are unrolled. Inline execution models issue nothing, so loops stay as they are there.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.mlir import arith, ir, scf, walk
from mlirage.passes import module_pass
from mlirage.program import Program

# Commands that a function may have more by unrolling a loop whole, or by one longer step of it.
_MOST_COMMANDS = 512
_MOST_COMMANDS_OF_STEP = 64
_COMMANDS = ("flow.dispatch", "flow.tensor_update", "flow.tensor_splat")


@module_pass("flow-unroll-loops")
def unroll_loops(program: Program) -> None:
    """Unrolls the innermost loops of host functions."""
    if not program.options.execution_model.startswith("async"):
        return
    for op in list(program.module.body.operations):
        if op.operation.name == "func.func":
            for loop in [inner.opview for inner in walk(op.operation) if _is_simple(inner)]:
                assert isinstance(loop, scf.ForOp)
                _unroll(loop)


def _is_simple(loop: ir.Operation) -> bool:
    """Whether a loop over indices issues dispatches, and holds no control flow and no calls."""
    if loop.name != "scf.for" or not isinstance(loop.operands[0].type, ir.IndexType):
        return False
    ops = [op.operation for op in loop.regions[0].blocks[0].operations]
    if any(len(op.regions) or op.name == "func.call" or op.name.startswith("cf.") for op in ops):
        return False
    return any(op.name == "flow.dispatch" for op in ops)


def _unroll(loop: scf.ForOp) -> None:
    ops = [op.operation for op in loop.body.operations]
    commands = sum(op.name in _COMMANDS for op in ops)
    lower, upper, step = list(loop.operation.operands)[:3]
    bounds = [_constant(v) for v in (lower, upper, step)]
    low, high, by = bounds
    with ir.InsertionPoint(loop), loop.location:
        if low is not None and high is not None and by is not None:
            trips = max(0, -(-(high - low) // by))
            if trips * commands <= _MOST_COMMANDS:
                carried = list(loop.operation.operands)[3:]
                for i in range(trips):
                    carried = _step(loop, arith.constant(ir.IndexType.get(), low + i * by), carried)
                _replace(loop, carried)
                return
        factor = _MOST_COMMANDS_OF_STEP // commands
        if factor > 1:
            _unroll_by(loop, factor)


def _constant(value: ir.Value) -> int | None:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None
    return ir.IntegerAttr(value.owner.operation.attributes["value"]).value


def _unroll_by(loop: scf.ForOp, factor: int) -> None:
    """A loop of longer steps, and one of what is left."""
    lower, upper, step, *carried = loop.operation.operands
    index = ir.IndexType.get()
    zero, several = arith.constant(index, 0), arith.constant(index, factor)
    span = arith.maxsi(arith.subi(upper, lower), zero)
    trips = arith.divui(arith.ceildivui(span, step), several)
    long_step = arith.muli(step, several)
    middle = arith.addi(lower, arith.muli(trips, long_step))
    main = scf.ForOp(lower, middle, long_step, carried)
    with ir.InsertionPoint(main.body):
        values: list[ir.Value] = list(main.inner_iter_args)
        for i in range(factor):
            offset = arith.muli(step, arith.constant(index, i))
            values = _step(loop, arith.addi(main.induction_variable, offset), values)
        scf.yield_(values)
    rest = scf.ForOp(middle, upper, step, list(main.results))
    with ir.InsertionPoint(rest.body):
        scf.yield_(_step(loop, rest.induction_variable, list(rest.inner_iter_args)))
    _replace(loop, list(rest.results))


def _step(loop: scf.ForOp, number: ir.Value, carried: Sequence[ir.Value]) -> list[ir.Value]:
    """One step at the insertion point; returns what it carries on."""
    ops = [op.operation for op in loop.body.operations]
    values: dict[ir.Value, ir.Value] = dict(zip(loop.body.arguments, [number, *carried], strict=True))
    for op in ops[:-1]:
        clone = op.clone()
        for i, operand in enumerate(op.operands):
            if operand in values:
                clone.operands[i] = values[operand]
        values.update(zip(op.results, clone.results, strict=True))
    return [values[v] if v in values else v for v in ops[-1].operands]


def _replace(loop: scf.ForOp, values: list[ir.Value]) -> None:
    for old, new in zip(loop.results, values, strict=True):
        old.replace_all_uses_with(new)
    loop.operation.erase()
