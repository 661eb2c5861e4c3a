"""How stream-schedule-allocation makes the async ops of a region commands on ranges of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

from mlirage.mlir import ir
from mlirage.stream import dialect as stream
from mlirage.stream.index_math import add, index_constant
from mlirage.stream.schedule_concurrency import wave_of
from mlirage.stream.storage import WITHOUT_WORK, RootKey, Storage
from mlirage.util_dialect import GlobalLoadOp


@dataclass(frozen=True)
class Memory:
    """Where a root of `length` bytes lies: from `offset` (None: 0) of `value`, a resource of `size` bytes."""

    value: ir.Value
    size: ir.Value
    offset: ir.Value | None
    length: ir.Value


@dataclass
class _Captured:
    """Memory that a region uses."""

    value: ir.Value
    size: ir.Value
    accesses: set[str] = field(default_factory=set[str])
    argument: ir.Value | None = None

    @property
    def access(self) -> str:
        return "".join(kind for kind in "rw" if any(kind in access for access in self.accesses))


@dataclass(frozen=True)
class _Range:
    """A range of captured memory."""

    memory: _Captured
    offset: ir.Value
    length: ir.Value

    @property
    def argument(self) -> ir.Value:
        assert self.memory.argument is not None
        return self.memory.argument


Command = Callable[[], object]


def build_commands(execute: ir.Operation, storage: Storage, memories: dict[RootKey, Memory]) -> None:
    """Builds the `cmd_execute` of an `async_execute` right before it."""
    region = _Region(execute, storage, memories)
    work = [op.operation for op in execute.regions[0].blocks[0].operations][:-1]
    with ir.InsertionPoint(execute), execute.location:
        commands = [(wave_of(op), op.location, command) for op in work if op.name not in WITHOUT_WORK
                    for command in region.commands(op)]  # fmt: skip
        body = region.open()
    with ir.InsertionPoint(body), execute.location:
        for _, wave in groupby(commands, key=lambda command: command[0]):
            _build_wave([(location, command) for _, location, command in wave])
        stream.YieldOp([])


def _build_wave(wave: list[tuple[ir.Location, Command]]) -> None:
    if len(wave) == 1:
        location, command = wave[0]
        with location:
            command()
        return
    concurrent = stream.CmdConcurrentOp()
    with ir.InsertionPoint(concurrent.body.blocks.append()):
        for location, command in wave:
            with location:
                command()
        stream.YieldOp([])


class _Region:
    """One region: the memory that it uses, and its commands."""

    def __init__(self, execute: ir.Operation, storage: Storage, memories: dict[RootKey, Memory]) -> None:
        self.execute = execute
        self.storage = storage
        self.memories = memories
        self.captured: dict[RootKey, _Captured] = {}

    def open(self) -> ir.Block:
        """The `cmd_execute`, with its memory sorted by lifetime, which keeps variadic operands of one type together."""
        used = sorted(self.captured.values(), key=lambda c: stream.LIFETIMES.index(stream.lifetime_of(c.value)))
        access = ir.ArrayAttr.get([ir.StringAttr.get(c.access) for c in used])
        op = stream.CmdExecuteOp(
            stream.Timepoint.get(), self.execute.operands[0], [c.value for c in used], [c.size for c in used], access
        )
        block = op.body.blocks.append(*[stream.resource_type()] * len(used), arg_locs=[op.location] * len(used))
        for captured, argument in zip(used, block.arguments, strict=True):
            captured.argument = argument
        return block

    def _range(self, value: ir.Value, size: ir.Value, start: ir.Value | None, length: ir.Value, access: str) -> _Range:
        """Bytes [start, start + length) of `value`, which has `size` bytes."""
        place = self.storage.place(value)
        memory = self.memories.get(place.key)
        offset = memory.offset if memory else None
        for part in (*place.offsets, start):
            if part is not None:
                offset = part if offset is None else add(offset, part)
        key = memory.value if memory else place.key
        captured = self.captured.get(key)
        if captured is None:
            base = memory.value if memory else place.base
            root_size = memory.size if memory else self.storage.root_size(value, size)
            captured = self.captured[key] = _Captured(base, root_size)
        captured.accesses.add(access)
        return _Range(captured, index_constant(0) if offset is None else offset, length)

    def _variable(self, symbol: str, size: ir.Value) -> _Range:
        captured = self.captured.get("@" + symbol)
        if captured is None:
            kind = stream.resource_type("variable")
            value = GlobalLoadOp(kind, ir.FlatSymbolRefAttr.get(symbol)).result
            captured = self.captured["@" + symbol] = _Captured(value, size)
        captured.accesses.add("w")
        return _Range(captured, index_constant(0), size)

    def commands(self, op: ir.Operation) -> list[Command]:
        """The commands that do the work of an async op; call them where they shall be."""
        view = op.opview
        if isinstance(view, stream.AsyncDispatchOp):
            return [self._dispatch(view)]
        if isinstance(view, stream.AsyncSplatOp):
            return [_fill(self._range(view.result, view.size, None, view.size, "w"), view.pattern)]
        if isinstance(view, stream.AsyncFillOp):
            return [_fill(self._range(view.target, view.target_size, view.offset, view.length, "w"), view.pattern)]
        if isinstance(view, stream.AsyncCloneOp):
            source = self._range(view.source, view.size, None, view.size, "r")
            return [_copy(source, self._range(view.result, view.size, None, view.size, "w"))]
        if isinstance(view, stream.AsyncSliceOp):
            source = self._range(view.source, view.source_size, view.offset, view.length, "r")
            return [_copy(source, self._range(view.result, view.length, None, view.length, "w"))]
        if isinstance(view, stream.AsyncUpdateOp):
            source = self._range(view.update, view.update_size, None, view.update_size, "r")
            return [_copy(source, self._range(view.target, view.target_size, view.offset, view.update_size, "w"))]
        if isinstance(view, stream.VariableStoreOp):
            source = self._range(view.source, view.size, None, view.size, "r")
            return [_copy(source, self._variable(view.symbol.value, view.size))]
        raise AssertionError(f"{op.name} is no work of the device")

    def _dispatch(self, view: stream.AsyncDispatchOp) -> Command:
        tied, arguments = stream.tied_operands(view), view.argument_count.value
        resources, sizes = list(view.resources), list(view.resource_sizes)
        offsets, lengths = list(view.offsets), list(view.lengths)

        def operand(k: int, access: str) -> tuple[_Range, str]:
            return self._range(resources[k], sizes[k], offsets[k], lengths[k], access), access

        bindings = [operand(k, "rw" if k in tied else "r") for k in range(arguments)]
        for result, size, k in zip(view.operation.results, view.result_sizes, tied, strict=True):
            if k < 0:
                bindings.append((self._range(result, size, None, size, "w"), "w"))
            elif k >= arguments:
                bindings.append(operand(k, "w"))
        entry, types, scalars = view.entry, view.scalar_types, list(view.scalars)
        access = ir.ArrayAttr.get([ir.StringAttr.get(kind) for _, kind in bindings])
        ranges = [item for item, _ in bindings]
        return lambda: stream.CmdDispatchOp(
            entry, access, types, scalars, [r.argument for r in ranges], [r.offset for r in ranges],
            [r.length for r in ranges],
        )  # fmt: skip


def _fill(target: _Range, pattern: ir.Value) -> Command:
    return lambda: stream.CmdFillOp(target.argument, target.offset, target.length, pattern)


def _copy(source: _Range, target: _Range) -> Command:
    return lambda: stream.CmdCopyOp(source.argument, source.offset, target.argument, target.offset, target.length)
