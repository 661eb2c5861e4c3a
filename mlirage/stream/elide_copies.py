"""stream-elide-copies: takes away the copies that nobody needs.

    %a2 = stream.async_clone %a                  nothing reads %a after the update:
    %b = stream.async_update %a2, %x, 0    ─>    %b = stream.async_update %a, %x, 0

    %s = stream.async_slice %a[64 for 64]  ─>    %s = stream.resource_subview %a[64 for 64]

A clone goes if its source is not used after the copy is changed or given away, and not changed while the copy is used;
so does a slice, which then is a part of its source. The copy stays if the source belongs to the caller, a constant or
a variable. A variable that is loaded, changed, and stored again is changed in place, and the store goes. Clones of
splats are splats.
"""

from __future__ import annotations

from mlirage.mlir import identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.aliasing import Aliasing
from mlirage.stream.storage import MAKES_ROOT, RootKey, functions, tied_operand


@module_pass("stream-elide-copies")
def elide_copies(program: Program) -> None:
    """Elides clones, then slices."""
    for function in functions(program.module):
        aliasing = Aliasing(function)
        # What goes is erased after its analysis, which knows ops by their handles.
        _erase([dead for op in _named(function, "stream.variable_store") for dead in _in_place(op, aliasing)])
        aliasing = Aliasing(function)
        _erase([op for op in _named(function, "stream.async_clone") if _elide_clone(op, aliasing)])
        aliasing = Aliasing(function)
        _erase([op for op in _named(function, "stream.async_slice") if _elide_slice(op, aliasing)])
        for op in _named(function, "stream.async_clone"):
            _repeat_source(op)


def _named(function: ir.Operation, name: str) -> list[ir.Operation]:
    return [op for op in walk(function) if op.name == name]


def _erase(dead: list[ir.Operation]) -> None:
    for op in reversed(dead):
        op.erase()


def _elide_clone(clone: ir.Operation, aliasing: Aliasing) -> bool:
    """Whether `clone` has no use any more."""
    source, result = clone.operands[0], clone.results[0]
    if not aliasing.class_of(result).uses:
        return True
    is_part = bool(aliasing.storage.place(source).offsets)
    if is_part and aliasing.class_of(result).is_given_away:
        return False  # another owner gets memory of its own, not a part of some
    if _has_storage(result) and not _is_made_beside(aliasing.class_of(source).root, clone.block):
        return False  # what is made elsewhere has its memory already
    if not aliasing.can_share(source, result):
        return False
    aliasing.merge(source, result)
    result.replace_all_uses_with(source)
    return True


def _has_storage(value: ir.Value) -> bool:
    """Whether `value` is a result for which the caller gives the memory."""
    return any(stream.STORAGE in use.owner.operation.attributes for use in value.uses)


def _is_made_beside(root: RootKey, block: ir.Block) -> bool:
    """Whether async work of `block` makes the root, so that its memory is ours to choose."""
    if isinstance(root, str) or isinstance(root.owner, ir.Block):
        return False
    maker = root.owner.operation
    return maker.block == block and maker.name in (*MAKES_ROOT, "stream.async_dispatch")


def _elide_slice(op: ir.Operation, aliasing: Aliasing) -> bool:
    """Whether `op` has become a part of its source."""
    view = op.opview
    source, result = view.source, view.result
    is_variable = isinstance(aliasing.class_of(source).root, str)
    if is_variable or aliasing.class_of(result).is_given_away or not aliasing.can_share(source, result):
        return False
    aliasing.merge(source, result)
    with ir.InsertionPoint(op), op.location:
        part = stream.ResourceSubviewOp(result.type, source, view.source_size, view.offset, view.length)
    result.replace_all_uses_with(part.result)
    return True


def _repeat_source(clone: ir.Operation) -> None:
    """A clone of a splat is filled anew instead of copied."""
    source = clone.operands[0]
    if isinstance(source.owner, ir.Block) or source.owner.operation.name not in (
        "stream.async_splat",
        "stream.async_alloca",
    ):
        return
    again = source.owner.operation.clone(ip=ir.InsertionPoint(clone))
    clone.results[0].replace_all_uses_with(again.operation.results[0])
    clone.erase()
    if not any(True for _ in source.uses):
        source.owner.operation.erase()


def _in_place(store: ir.Operation, aliasing: Aliasing) -> list[ir.Operation]:
    """The clones between a load and a store of a variable, and the store, if all of it can happen in the variable."""
    chain = _versions(store)
    if chain is None:
        return []
    if not chain[2]:  # its own contents: had they changed since, the store would have a snapshot
        return [store]
    load, clones, changes = chain
    first, last = aliasing.order(changes[0]), aliasing.order(store)
    variable = aliasing.class_of(load.results[0])
    copies = {identity(clone) for clone in clones}
    for use in variable.uses + variable.changes:
        if identity(use) not in copies and use != store and first <= aliasing.order(use) <= last:
            return []
    if any(first <= aliasing.order(call) <= last for call in aliasing.calls):
        return []
    later = [aliasing.order(op) for op in variable.changes + aliasing.calls if aliasing.order(op) > last]
    for clone, change in zip(clones, changes, strict=True):
        # A version may be read until it is changed, the last one until the variable changes again.
        version = aliasing.class_of(clone.results[0])
        next_changes = [aliasing.order(c) for c in changes if aliasing.order(c) > aliasing.order(change)]
        end = min(next_changes or later or [aliasing.end])
        if version.is_given_away or any(
            aliasing.order(use) >= end and identity(use) not in copies for use in version.uses
        ):
            return []
    for clone in clones:
        clone.results[0].replace_all_uses_with(clone.operands[0])
    return [*clones, store]


def _versions(store: ir.Operation) -> tuple[ir.Operation, list[ir.Operation], list[ir.Operation]] | None:
    """The load that `store` goes back to through clones and changes in place in its block, and those, in order."""
    clones: list[ir.Operation] = []
    changes: list[ir.Operation] = []
    value = store.operands[0]
    symbol = ir.FlatSymbolRefAttr(store.attributes["symbol"]).value
    while not isinstance(value.owner, ir.Block) and value.owner.operation.block == store.block:
        owner = value.owner.operation
        if owner.operation.name == "util.global_load":
            same = ir.FlatSymbolRefAttr(owner.attributes["symbol"]).value == symbol
            return (owner, clones[::-1], changes[::-1]) if same else None
        operand = tied_operand(value)
        if (
            operand is None
            or isinstance(operand.owner, ir.Block)
            or operand.owner.operation.name != "stream.async_clone"
        ):
            return None
        changes.append(owner)
        clones.append(operand.owner.operation)
        value = operand.owner.operands[0]
    return None
