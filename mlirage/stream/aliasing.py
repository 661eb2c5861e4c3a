"""Which values of a function share memory, who uses them, and who changes them: what in-place decisions ask.

A *class* is everything that lies in one root. A *change* of a class is an op that writes to it in place, or that hands
it to another owner (yield, return, export, initial value of a loop), after which it may not be used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlirage.mlir import identity, ir, walk
from mlirage.stream import dialect as stream
from mlirage.stream.storage import MAKES_ROOT, RootKey, Storage, accesses, tied_operand

GIVES_AWAY = (
    "stream.tensor_export",
    "func.return",
    "util.global_store",
    "scf.yield",
    "scf.condition",
    "scf.for",
    "scf.while",
)
_LOOPS = ("scf.for", "scf.while")


@dataclass
class MemoryClass:
    """The values of one root."""

    root: RootKey
    uses: list[ir.Operation] = field(default_factory=list[ir.Operation])
    changes: list[ir.Operation] = field(default_factory=list[ir.Operation])
    is_given_away: bool = False


class Aliasing:
    """Classes of a function; merged as copies are taken away."""

    def __init__(self, function: ir.Operation) -> None:
        self.storage = Storage()
        self._order: dict[int, int] = {}
        self.calls: list[ir.Operation] = []
        self._classes: dict[RootKey, MemoryClass] = {}
        self._merged: dict[RootKey, RootKey] = {}
        for number, op in enumerate(walk(function)):
            self._order[identity(op)] = number
            self._add(op)
        self.end = len(self._order)

    def _add(self, op: ir.Operation) -> None:
        for operand in op.operands:
            if stream.is_resource(operand):
                item = self.class_of(operand)
                item.uses.append(op)
                if op.name in GIVES_AWAY:
                    item.changes.append(op)
                    item.is_given_away = True
        for result in op.results:
            operand = tied_operand(result) if stream.is_resource(result) else None
            if operand is not None:
                self.class_of(operand).changes.append(op)
        if op.name == "func.call":
            self.calls.append(op)
        if op.name == "stream.variable_store":
            (write,) = [access for access in accesses(op) if access.symbol]
            self._class(self.storage.access_key(write)).changes.append(op)

    def class_of(self, value: ir.Value) -> MemoryClass:
        """The class of `value`."""
        return self._class(self.storage.place(value).key)

    def _class(self, key: RootKey) -> MemoryClass:
        while key in self._merged:
            key = self._merged[key]
        if key not in self._classes:
            self._classes[key] = MemoryClass(key)
        return self._classes[key]

    def merge(self, into: ir.Value, value: ir.Value) -> None:
        """`value`, a root, lies in the memory of `into` from now on."""
        target, source = self.class_of(into), self.class_of(value)
        target.uses += source.uses
        target.changes += source.changes
        target.is_given_away |= source.is_given_away
        self._merged[source.root] = target.root
        del self._classes[source.root]

    def is_owned(self, value: ir.Value) -> bool:
        """Whether the memory of `value` is the function's to change: made in it, or handed to it."""
        root = self.class_of(value).root
        if isinstance(root, str):
            return False
        if isinstance(root.owner, ir.Block):
            return root.owner.owner.operation.name != "func.func"
        name = root.owner.operation.name
        return name in MAKES_ROOT or name in ("stream.async_dispatch", "func.call") or name.startswith("scf.")

    def order(self, op: ir.Operation) -> int:
        """The number of `op` in the order of the program."""
        return self._order[identity(op)]

    def set_order(self, op: ir.Operation, like: ir.Operation) -> None:
        """`op` is new, or has moved, and stands where `like` stands."""
        self._order[identity(op)] = self.order(like)

    def replace(self, old: ir.Operation, new: ir.Operation) -> None:
        """`new` does what `old` did."""
        self.set_order(new, old)
        for item in self._classes.values():
            for ops in (item.uses, item.changes):
                ops[:] = [new if op == old else op for op in ops]

    def forget(self, op: ir.Operation) -> None:
        """`op` is about to be erased."""
        for item in self._classes.values():
            for ops in (item.uses, item.changes):
                ops[:] = [other for other in ops if other != op]

    def rename(self, old: ir.Value, new: ir.Value) -> None:
        """The root `old` is called `new` from now on."""
        item = self.class_of(old)
        if item.root == old:
            del self._classes[old]
            item.root = new
            self._classes[new] = item
            self._merged[old] = new

    def may_follow(self, use: ir.Operation, change: ir.Operation) -> bool:
        """Whether `use` may happen at or after `change`, both in the iteration in which their root was made."""
        return self.order(use) >= self.order(change) and not _exclude(use, change)

    def is_in_other_loop(self, op: ir.Operation, root: RootKey) -> bool:
        """Whether `op` happens several times for one `root`: it is in a loop in which the root is not made."""
        assert not isinstance(root, str)
        block = root.owner if isinstance(root.owner, ir.Block) else root.owner.operation.block
        while op.block != block:
            parent = op.parent
            if parent is None:
                return True
            op = parent.operation
            if op.name in _LOOPS:
                return True
        return False

    def can_share(self, source: ir.Value, copy: ir.Value) -> bool:
        """Whether `copy`, a root made as a copy of `source` or of a part of it, may lie in the memory of `source`."""
        made = ir.OpResult(copy).owner.operation
        mine, other = self.class_of(copy), self.class_of(source)
        if mine.changes and not self.is_owned(source):
            return False
        for change in mine.changes:
            if self.is_in_other_loop(change, other.root):
                return False
            if any(use != made and self.may_follow(use, change) for use in other.uses):
                return False
        return not any(self._comes_between(change, made, use) for change in other.changes for use in mine.uses)

    def _comes_between(self, change: ir.Operation, made: ir.Operation, use: ir.Operation) -> bool:
        """Whether `change` may happen after `made` and before `use` is done, be it in an earlier iteration."""
        if self.order(change) > self.order(made) and self.may_follow(use, change):
            return True
        return bool((_loops(change) & _loops(use)) - _loops(made))


def _exclude(a: ir.Operation, b: ir.Operation) -> bool:
    """Whether `a` and `b` are in different branches of one op."""
    branches = {identity(op): number for op, number in _path(a)}
    return any(branches.get(identity(op), number) != number and op.name not in _LOOPS for op, number in _path(b))


def _loops(op: ir.Operation) -> set[int]:
    """The loops around `op`."""
    return {identity(parent) for parent, _ in _path(op) if parent.name in _LOOPS}


def _path(op: ir.Operation) -> list[tuple[ir.Operation, int]]:
    """The ops around `op`, each with the number of the region that holds it."""
    path: list[tuple[ir.Operation, int]] = []
    while op.parent is not None and op.name != "func.func":
        parent = op.parent.operation
        numbers = [n for n, region in enumerate(parent.regions) if any(block == op.block for block in region.blocks)]
        path.append((parent, numbers[0]))
        op = parent
    return path
