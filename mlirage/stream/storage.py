"""Which values share memory, and what each async op reads and writes.

A *root* is memory of its own: a result of a splat, clone, slice, alloca or dispatch that is not tied, an argument, a
constant, a variable. Tied results and subviews are ranges of the root of their operand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlirage.mlir import ir, walk
from mlirage.stream import dialect as stream
from mlirage.stream.index_math import Linear, are_disjoint

RootKey = ir.Value | str

MAKES_ROOT = ("stream.async_alloca", "stream.async_splat", "stream.async_clone", "stream.async_slice")
WITHOUT_WORK = ("stream.async_alloca", "stream.resource_subview")
_DEVICE = (
    *MAKES_ROOT,
    "stream.async_dispatch",
    "stream.async_fill",
    "stream.async_update",
    "stream.resource_subview",
    "stream.variable_store",
)


def is_device_op(op: ir.Operation) -> bool:
    """Whether the device does the op as part of an execution region."""
    return op.name in _DEVICE


@dataclass(frozen=True)
class Place:
    """Where a value lies: `key` names the root (of a variable: its symbol), `base` is a value that is the root."""

    key: RootKey
    base: ir.Value
    offsets: tuple[ir.Value, ...] = ()

    @property
    def offset(self) -> Linear:
        """Bytes from the start of the root."""
        total = Linear({})
        for value in self.offsets:
            total = total + Linear.of(value)
        return total


@dataclass(frozen=True)
class Access:
    """A range of a value that an op reads or writes; `start` None: from its beginning.

    Of a range with a `part` (period, begin, end) only bytes `begin` to `end` of every `period` bytes are touched.
    """

    value: ir.Value
    start: ir.Value | None
    length: ir.Value | None
    reads: bool
    writes: bool
    symbol: str = field(default="")
    part: tuple[int, int, int] | None = None


def accesses(op: ir.Operation) -> list[Access]:
    """What an async op reads and writes."""
    view = op.opview
    if isinstance(view, stream.AsyncDispatchOp):
        return _dispatch_accesses(view)
    if isinstance(view, stream.AsyncSplatOp):
        return [Access(view.result, None, view.size, False, True)]
    if isinstance(view, stream.AsyncCloneOp):
        return [Access(view.source, None, view.size, True, False), Access(view.result, None, view.size, False, True)]
    if isinstance(view, stream.AsyncSliceOp):
        read = Access(view.source, view.offset, view.length, True, False)
        return [read, Access(view.result, None, view.length, False, True)]
    if isinstance(view, stream.AsyncUpdateOp):
        read = Access(view.update, None, view.update_size, True, False)
        return [read, Access(view.target, view.offset, view.update_size, False, True)]
    if isinstance(view, stream.AsyncFillOp):
        return [Access(view.target, view.offset, view.length, False, True)]
    if isinstance(view, stream.VariableStoreOp):
        read = Access(view.source, None, view.size, True, False)
        return [read, Access(view.source, None, view.size, False, True, view.symbol.value)]
    return []


def _dispatch_accesses(view: stream.AsyncDispatchOp) -> list[Access]:
    tied, arguments = stream.tied_operands(view), view.argument_count.value
    ranges = zip(view.resources, view.offsets, view.lengths, strict=True)
    parts = stream.written_parts(view)
    found = [
        Access(resource, offset, length, k < arguments, k in tied, part=parts[tied.index(k)] if k in tied else None)
        for k, (resource, offset, length) in enumerate(ranges)
    ]
    for result, size, k, part in zip(view.operation.results, view.result_sizes, tied, parts, strict=True):
        if k < 0:
            found.append(Access(result, None, size, False, True, part=part))
    return found


def tied_operand(result: ir.Value) -> ir.Value | None:
    """The operand that a result is a new version of."""
    view = ir.OpResult(result).owner.opview
    if isinstance(view, stream.AsyncUpdateOp | stream.AsyncFillOp):
        return view.target
    if isinstance(view, stream.AsyncDispatchOp):
        k = stream.tied_operands(view)[ir.OpResult(result).result_number]
        return None if k < 0 else list(view.resources)[k]
    return None


def _yielded(result: ir.Value, execute: stream.AsyncExecuteOp) -> ir.Value:
    operands = list(execute.body.blocks[0].operations)[-1].operation.operands
    return operands[ir.OpResult(result).result_number - 1]


class Storage:
    """Where the values of a function lie."""

    def __init__(self) -> None:
        self._places: dict[ir.Value, Place] = {}

    def place(self, value: ir.Value) -> Place:
        """Where `value` lies."""
        known = self._places.get(value)
        if known is None:
            known = self._places[value] = self._find(value)
        return known

    def _find(self, value: ir.Value) -> Place:
        # Chains of tied results are as long as the program: no recursion over them.
        offsets: tuple[ir.Value, ...] = ()
        while True:
            if value in self._places:
                found = self._places[value]
                return Place(found.key, found.base, (*found.offsets, *offsets))
            if isinstance(value.owner, ir.Block):
                return Place(value, value, offsets)
            view = value.owner.opview
            if isinstance(view, stream.ResourceSubviewOp):
                offsets = (view.offset, *offsets)
                value = view.source
            elif isinstance(view, stream.AsyncExecuteOp):
                value = _yielded(value, view)
            elif view.operation.name == "util.global_load":
                return Place("@" + ir.FlatSymbolRefAttr(view.operation.attributes["symbol"]).value, value, offsets)
            else:
                operand = tied_operand(value)
                if operand is None:
                    return Place(value, value, offsets)
                value = operand

    def subview(self, value: ir.Value) -> stream.ResourceSubviewOp | None:
        """The subview that `value` is, or is a new version of."""
        while not isinstance(value.owner, ir.Block):
            view = value.owner.opview
            if isinstance(view, stream.ResourceSubviewOp):
                return view
            if isinstance(view, stream.AsyncExecuteOp):
                value = _yielded(value, view)
                continue
            operand = tied_operand(value)
            if operand is None:
                return None
            value = operand
        return None

    def root_size(self, value: ir.Value, size: ir.Value) -> ir.Value:
        """The size of the root of `value`, itself of `size` bytes."""
        view = self.subview(value)
        while view is not None:
            size = view.source_size
            view = self.subview(view.source)
        return size

    def access_key(self, access: Access) -> RootKey:
        """The root that an access touches."""
        return "@" + access.symbol if access.symbol else self.place(access.value).key

    def access_range(self, access: Access) -> tuple[Linear, Linear]:
        """Offset and length of an access within its root."""
        start = Linear({}) if access.symbol else self.place(access.value).offset
        if access.start is not None:
            start = start + Linear.of(access.start)
        return start, Linear.of(access.length) if access.length is not None else Linear({(): 1 << 62})

    def overlap(self, a: Access, b: Access) -> bool:
        """Whether two accesses may touch the same byte."""
        if self.access_key(a) != self.access_key(b):
            return False
        here, there = self.access_range(a), self.access_range(b)
        if are_disjoint(*here, *there):
            return False
        if a.part is None or b.part is None or here[0].terms != there[0].terms or a.part[0] != b.part[0]:
            return True
        return a.part[1] < b.part[2] and b.part[1] < a.part[2]


def resource_operands(op: ir.Operation) -> Iterator[ir.Value]:
    """The resources that an op itself uses."""
    for operand in op.operands:
        if stream.is_resource(operand):
            yield operand


def functions(module: ir.Module) -> list[ir.Operation]:
    """The host functions of a program."""
    return [op.operation for op in module.body.operations if op.operation.name == "func.func"]


def ancestor_in(op: ir.Operation, block: ir.Block) -> ir.Operation | None:
    """The op of `block` that is or contains `op`."""
    while op.block != block:
        parent = op.parent
        if parent is None or parent.name == "builtin.module":
            return None
        op = parent.operation
    return op


def resources_of(function: ir.Operation) -> Iterator[tuple[ir.Operation, ir.Value]]:
    """Every use of a resource in a function: (op, operand)."""
    for op in walk(function):
        for operand in resource_operands(op):
            yield op, operand


def attribute_names(op: ir.Operation) -> list[str]:
    """The names of the attributes of `op`."""
    return [attribute if isinstance(attribute, str) else attribute.name for attribute in op.attributes]
