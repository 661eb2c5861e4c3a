"""stream-order-work: work that does not depend on what the host reads comes before the host reads it.

    %a = async_dispatch @f(%x)              %a = async_dispatch @f(%x)
    %v = async_load %a, 0                   %b = async_dispatch @g(%y)
    %b = async_dispatch @g(%y)       ─>     %v = async_load %a, 0
    %w = async_load %b, 0                   %w = async_load %b, 0

Every read, call, loop and branch ends an execution region, so the fewer there are between pieces of work, the fewer
regions and waits. Nothing moves over an assertion (which may guard it) or a call; side effects keep their order.
"""

from __future__ import annotations

from mlirage.mlir import identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream.storage import functions, is_device_op

_ASSERTIONS = ("cf.assert", "hal.buffer_view_assert")
_GUARDS = (*_ASSERTIONS, "func.call")
_FREE = (
    "arith.",
    "math.",
    "complex.",
    "util.rodata",
    "hal.buffer_view_dim",
    "stream.tensor_import",
    "stream.async_constant",
)


@module_pass("stream-order-work")
def order_work(program: Program) -> None:
    """Orders the ops of every block."""
    for function in functions(program.module):
        blocks = [block for op in (function, *walk(function)) for region in op.regions for block in region.blocks]
        for block in blocks:
            _order(block)


def _order(block: ir.Block) -> None:
    operations = [op.operation for op in block.operations]
    remaining, end = operations[:-1], operations[-1]
    members = {identity(op) for op in remaining}
    needs = {identity(op): _needs(op, block) & members for op in remaining}
    done: set[int] = set()
    ordered: list[ir.Operation] = []
    while remaining:
        # The first op that is left can always be done; with it all that waits for nothing, up to the next guard.
        ready = _ready(remaining, needs, done)
        if not ready:
            ready = _reads(remaining, needs, done) or remaining[:1]
        ordered += ready
        done |= {identity(op) for op in ready}
        remaining = [op for op in remaining if identity(op) not in done]
    if any(new is not old for new, old in zip(ordered, operations, strict=False)):
        for op in ordered:
            op.move_before(end)


def _needs(op: ir.Operation, block: ir.Block) -> set[int]:
    """The ops of `block` that define what `op`, or something inside of it, uses."""
    return {
        identity(operand.owner)
        for user in (op, *walk(op))
        for operand in user.operands
        if not isinstance(operand.owner, ir.Block) and operand.owner.operation.block == block
    }


def _ready(remaining: list[ir.Operation], needs: dict[int, set[int]], done: set[int]) -> list[ir.Operation]:
    """In order, the free and device ops and assertions whose operands are there, up to a guard that must wait."""
    found: list[ir.Operation] = []
    available = set(done)
    for op in remaining:
        is_ready = needs[identity(op)] <= available
        if is_ready and (op.name.startswith(_FREE) or op.name in _ASSERTIONS or _is_movable_work(op)):
            found.append(op)
            available.add(identity(op))
        elif _is_guard(op):
            break
    return found


def _is_movable_work(op: ir.Operation) -> bool:
    return is_device_op(op) and op.name != "stream.variable_store"


def _is_guard(op: ir.Operation) -> bool:
    return op.name in _GUARDS or any(inner.name in _GUARDS for inner in walk(op))


def _reads(remaining: list[ir.Operation], needs: dict[int, set[int]], done: set[int]) -> list[ir.Operation]:
    """All reads that can be done now: they wait together."""
    reads: list[ir.Operation] = []
    for op in remaining:
        if op.name == "stream.async_load" and needs[identity(op)] <= done:
            reads.append(op)
        elif _is_guard(op):
            break
    return reads
