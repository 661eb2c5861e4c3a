"""stream-materialize-copy-on-write: what is changed in place is a copy of its own.

    %b = stream.async_update %a, %x, 0      ─>      %a2 = stream.async_clone %a
                                                    %b = stream.async_update %a2, %x, 0

After this pass every tied operand has one use, so that doing the work in place is right whatever else reads the value;
stream-elide-copies takes away the clones that nobody needs. A value loaded from a variable is a snapshot: where it is
still read after the variable got new contents, the reader gets a clone made before.
"""

from __future__ import annotations

from mlirage.mlir import identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.index_math import index_constant
from mlirage.stream.storage import ancestor_in, functions


@module_pass("stream-materialize-copy-on-write")
def materialize_copy_on_write(program: Program) -> None:
    """Clones tied operands, and snapshots of variables that outlive a store."""
    stored = _stored_variables(program.module)
    sizes = variable_sizes(program.module)
    for function in functions(program.module):
        for op in list(walk(function)):
            if op.name == "util.global_load" and stream.is_resource(op.results[0]):
                _keep_snapshot(op, stored, sizes)
            elif isinstance(op.opview, stream.AsyncUpdateOp | stream.AsyncFillOp):
                _clone_operand(op, 0, op.opview.target_size)
            elif isinstance(op.opview, stream.AsyncDispatchOp):
                view = op.opview
                for k in stream.tied_operands(view):
                    if k >= 0:
                        _clone_operand(op, len(list(view.scalars)) + k, list(view.resource_sizes)[k])


def variable_sizes(module: ir.Module) -> dict[str, int]:
    """Bytes of each variable."""
    return {
        ir.StringAttr(op.attributes["sym_name"]).value: ir.IntegerAttr(op.attributes["size"]).value
        for op in module.body.operations
        if op.operation.name == "util.global" and "size" in op.attributes
    }


def _clone_operand(op: ir.Operation, number: int, size: ir.Value) -> None:
    with ir.InsertionPoint(op), op.location:
        op.operands[number] = stream.AsyncCloneOp(stream.resource_type(), op.operands[number], size).result


def _stored_variables(module: ir.Module) -> dict[str, set[str]]:
    """For each function the variables that a call of it may store to."""
    stored: dict[str, set[str]] = {}
    calls: dict[str, set[str]] = {}
    for function in functions(module):
        name = ir.StringAttr(function.attributes["sym_name"]).value
        stored[name], calls[name] = set(), set()
        for op in walk(function):
            if op.name == "stream.variable_store":
                stored[name].add(ir.FlatSymbolRefAttr(op.attributes["symbol"]).value)
            elif op.name == "func.call":
                calls[name].add(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
    changed = True
    while changed:
        changed = False
        for name, callees in calls.items():
            reached = stored[name].union(*(stored[callee] for callee in callees))
            changed |= reached != stored[name]
            stored[name] = reached
    return stored


def _keep_snapshot(load: ir.Operation, stored: dict[str, set[str]], sizes: dict[str, int]) -> None:
    """Readers of a loaded variable after the next store to it read a clone."""
    value, symbol = load.results[0], ir.FlatSymbolRefAttr(load.attributes["symbol"]).value
    after = [op.operation for op in load.block.operations]
    after = after[after.index(load) + 1 :]
    position = {identity(op): number for number, op in enumerate(after)}
    first_store = next((n for n, op in enumerate(after) if _may_store(op, symbol, stored)), len(after))
    late = []
    for use in value.uses:
        user = ancestor_in(use.owner.operation, load.block)
        assert user is not None
        # The storing op itself reads before it stores, unless it is a region or a call that may do so in any order.
        reads_first = position[identity(user)] == first_store and user.name == "stream.variable_store"
        if position[identity(user)] >= first_store and not reads_first:
            late.append((use.owner.operation, use.operand_number))
    if not late:
        return
    with ir.InsertionPoint(after[0]), load.location:
        size = index_constant(sizes[symbol])
        snapshot = stream.AsyncCloneOp(stream.resource_type(), value, size).result
    for op, number in late:
        op.operands[number] = snapshot


def _may_store(op: ir.Operation, symbol: str, stored: dict[str, set[str]]) -> bool:
    for inner in (op, *walk(op)):
        if inner.name == "stream.variable_store" and ir.FlatSymbolRefAttr(inner.attributes["symbol"]).value == symbol:
            return True
        if inner.name == "func.call" and symbol in stored[ir.FlatSymbolRefAttr(inner.attributes["callee"]).value]:
            return True
    return False
