"""stream-schedule-execution: async work that follows one another is submitted together.

    %a = stream.async_splat …                     %t, %b = stream.async_execute(%before) {
    %b = stream.async_dispatch(%a)                  %a = stream.async_splat …
    %v = stream.async_load %b, 0          ─>        %b2 = stream.async_dispatch(%a)
                                                    stream.yield %b2 }
                                                  stream.timepoint_await %t
                                                  %v = stream.async_load %b, 0

A region ends where the host needs what it computes: reads, control flow with work inside, calls, returns. Regions of a
function follow one another: each starts at the timepoint of the one before, which loops and branches carry along. The
host waits only to read, to call, and to return.

Where the caller gives fences (execution model async-external) a function starts at the timepoint of the first, and does
not wait to return:

    %wait = stream.timepoint_import %fence
    %t, %b = stream.async_execute(%wait) {…}
    %v = stream.tensor_export %b
    stream.timepoint_signal %t, %fence_1
    return %v
"""

from __future__ import annotations

from mlirage.mlir import identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.storage import attribute_names, functions, is_device_op

_WAITS = ("stream.async_load", "func.call", "func.return", "stream.tensor_export", "util.global_store")
_ENDS = ("func.return", "stream.tensor_export")
_CONTROL_FLOW = ("scf.for", "scf.if", "scf.while", "scf.index_switch", "scf.execute_region")
_TERMINATORS = ("scf.yield", "scf.condition", "func.return")


@module_pass("stream-schedule-execution")
def schedule_execution(program: Program) -> None:
    """Forms the execution regions of every function."""
    for function in functions(program.module):
        block = function.regions[0].blocks[0]
        _put_fences_at_the_ends(block)
        _schedule_block(block, None)


def _put_fences_at_the_ends(block: ir.Block) -> None:
    """The caller's fences have no operands in common with the work; passes before may have moved it around them."""
    operations = [op.operation for op in block.operations]
    for op in operations:
        if op.name == "stream.timepoint_import" and op != operations[0]:
            op.move_before(operations[0])
        elif op.name == "stream.timepoint_signal":
            op.move_before(operations[-1])


def _schedule_block(block: ir.Block, timepoint: ir.Value | None) -> ir.Value | None:
    """Forms regions; `timepoint` is when earlier work is done (None: it is). Gives the one at the end of the block."""
    pending: list[ir.Operation] = []
    signals = False  # the caller waits, not this function
    for op in [op.operation for op in block.operations]:
        if op.name == "stream.timepoint_import":
            timepoint, signals = op.results[0], True
        elif op.name == "stream.timepoint_signal":
            timepoint = _flush(pending, op, timepoint)
            if timepoint is not None:
                op.operands[0] = timepoint
        elif is_device_op(op):
            pending.append(op)
        elif op.name in _CONTROL_FLOW and _has_work(op):
            timepoint = _flush(pending, op, timepoint)
            timepoint = _schedule_control_flow(op, timepoint)
        elif (signals and op.name in _ENDS) or (op.name in _CONTROL_FLOW and _uses_resources(op)):
            timepoint = _flush(pending, op, timepoint)
        elif op.name in _WAITS and _concerns_device(op):
            timepoint = _flush(pending, op, timepoint)
            if timepoint is not None:
                with ir.InsertionPoint(op), op.location:
                    stream.TimepointAwaitOp(timepoint)
            timepoint = None
        elif op.name in _TERMINATORS:
            timepoint = _flush(pending, op, timepoint)
    return timepoint


def _has_work(op: ir.Operation) -> bool:
    return any(is_device_op(inner) or inner.name in ("stream.async_load", "func.call") for inner in walk(op))


def _uses_resources(op: ir.Operation) -> bool:
    return any(stream.is_resource(value) for inner in (op, *walk(op)) for value in inner.operands)


def _concerns_device(op: ir.Operation) -> bool:
    return op.name in ("func.call", "func.return") or any(stream.is_resource(operand) for operand in op.operands)


def _flush(pending: list[ir.Operation], before: ir.Operation, timepoint: ir.Value | None) -> ir.Value | None:
    """Moves the pending ops into an execution region in front of `before`."""
    if not pending:
        return timepoint
    inside = {identity(op) for op in pending}
    yielded = [
        result
        for op in pending
        for result in op.results
        if any(identity(use.owner) not in inside for use in result.uses)
    ]
    with ir.InsertionPoint(before), pending[0].location:
        after = timepoint or stream.TimepointImmediateOp(stream.Timepoint.get()).result
        execute = stream.AsyncExecuteOp(stream.Timepoint.get(), [stream.resource_type()] * len(yielded), after)
    block = execute.body.blocks.append()
    with ir.InsertionPoint(block), pending[0].location:
        end = stream.YieldOp(yielded).operation
    for op in pending:
        op.move_before(end)
    for number, value in enumerate(yielded):
        outside = [use for use in value.uses if identity(use.owner) not in inside and use.owner.operation != end]
        for owner, operand in [(use.owner.operation, use.operand_number) for use in outside]:
            owner.operands[operand] = execute.operation.results[number + 1]
    pending.clear()
    return execute.timepoint


def _schedule_control_flow(op: ir.Operation, timepoint: ir.Value | None) -> ir.Value | None:
    if op.name in ("scf.for", "scf.while"):
        return _schedule_loop(op, timepoint)
    ends: list[tuple[ir.Block, ir.Value | None]] = []
    for region in op.regions:
        if not len(region.blocks):  # an scf.if without else: nothing happens there
            with ir.InsertionPoint(region.blocks.append()), op.location:
                ir.Operation.create("scf.yield")
        ends.append((region.blocks[0], _schedule_block(region.blocks[0], timepoint)))
    if all(end is None for _, end in ends):
        return None
    if all(end is timepoint for _, end in ends):
        return timepoint
    for block, end in ends:
        _append_operand(list(block.operations)[-1].operation, end)
    return _with_timepoint(op, None)


def _schedule_loop(op: ir.Operation, timepoint: ir.Value | None) -> ir.Value:
    with ir.InsertionPoint(op), op.location:
        init = timepoint or stream.TimepointImmediateOp(stream.Timepoint.get()).result
    for region in op.regions:
        block = region.blocks[0]
        carried = block.add_argument(stream.Timepoint.get(), op.location)
        end = _schedule_block(block, carried)
        _append_operand(list(block.operations)[-1].operation, end)
    return _with_timepoint(op, init)


def _append_operand(terminator: ir.Operation, timepoint: ir.Value | None) -> None:
    """Recreates a terminator with a timepoint at the end."""
    with ir.InsertionPoint(terminator), terminator.location:
        value = timepoint or stream.TimepointImmediateOp(stream.Timepoint.get()).result
        ir.Operation.create(terminator.name, operands=[*terminator.operands, value])
    terminator.erase()


def _with_timepoint(op: ir.Operation, init: ir.Value | None) -> ir.Value:
    """Recreates a control flow op with a timepoint as its last result, and as its last operand if it is a loop."""
    with ir.InsertionPoint(op), op.location:
        new = ir.Operation.create(
            op.name,
            results=[*(r.type for r in op.results), stream.Timepoint.get()],
            operands=[*op.operands, *([init] if init is not None else [])],
            attributes={name: op.attributes[name] for name in attribute_names(op)},
            regions=len(op.regions),
        )
    for region, new_region in zip(op.regions, new.regions, strict=True):
        for block in list(region.blocks):
            block.append_to(new_region)
    for result, new_result in zip(op.results, list(new.results)[:-1], strict=True):
        result.replace_all_uses_with(new_result)
    op.erase()
    return new.results[len(new.results) - 1]
