"""stream-schedule-allocation: values get memory, regions become commands on ranges of it.

    %t, %c = stream.async_execute(%before) {          %out = stream.resource_alloc %size     (what leaves the function)
      %b = stream.async_dispatch @f(%a) {wave = 0}    %arena, %ta = stream.resource_alloca(%before) 4096
      %c = stream.async_dispatch @g(%b) {wave = 1}    %t = stream.cmd_execute(%ta) with %arena, %in, %out {
      stream.yield %c }                           ─>    stream.cmd_dispatch @f(%in[0 for 64], %arena[0 for 128])
                                                        stream.cmd_dispatch @g(%arena[0 for 128], %out[0 for 64]) }
                                                      stream.resource_dealloca(%t) %arena

Values live from the wave that makes them to the last that uses them. Those of static size share one arena per block,
packed by stream/packing.py; those of dynamic size that live within one region are packed behind it at run time
(`resource_pack`). What other regions or functions come to own has memory of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlirage.mlir import identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.build_commands import Memory, build_commands
from mlirage.stream.index_math import add, index_constant, static_index
from mlirage.stream.lifetimes import assign_lifetimes, cast_lifetimes, set_signatures
from mlirage.stream.pack_constants import CONSTANTS, SPLATS
from mlirage.stream.packing import Slice, pack
from mlirage.stream.schedule_concurrency import wave_of
from mlirage.stream.storage import (
    MAKES_ROOT,
    WITHOUT_WORK,
    RootKey,
    Storage,
    ancestor_in,
    functions,
    resource_operands,
    tied_operand,
)

# Ops whose resources have an owner other than the block that makes them, with the lifetime of their memory.
_OWNERS = {
    "stream.tensor_export": "external",
    "func.return": "external",
    "util.global_store": "variable",
    "scf.yield": "transient",
    "scf.condition": "transient",
    "scf.for": "transient",
    "scf.while": "transient",
}


@module_pass("stream-schedule-allocation")
def schedule_allocation(program: Program) -> None:
    """Plans the memory of every function and makes its regions commands."""
    for function in functions(program.module):
        storage = Storage()
        roots = _find_roots(function, storage)
        memories: dict[RootKey, Memory] = {}
        assign_lifetimes(function, program.module)
        for block in _blocks_with_regions(function):
            _Plan(block, [root for root in roots.values() if root.block == block], memories).allocate()
        for op in list(walk(function)):
            if op.name == "stream.async_execute":
                build_commands(op, storage, memories)
        _replace_host_uses(function, storage, memories)
        cast_lifetimes(function, program.module)
    set_signatures(program.module)


@dataclass
class _Root:
    """Memory to be planned: made in region `region` of `block`, live in `first ..= last` of the block's time."""

    value: ir.Value
    size: ir.Value
    region: ir.Operation
    block: ir.Block
    first: int
    last: int
    last_user: ir.Operation
    owner: str = ""
    storage: ir.Value | None = None  # the caller's view whose memory this is
    one_region: bool = True


def _blocks_with_regions(function: ir.Operation) -> Iterator[ir.Block]:
    for region in function.regions:
        for block in region.blocks:
            operations = [op.operation for op in block.operations]
            if any(op.name == "stream.async_execute" for op in operations):
                yield block
            for op in operations:
                if op.name != "stream.async_execute":
                    yield from _blocks_with_regions(op)


def _find_roots(function: ir.Operation, storage: Storage) -> dict[RootKey, _Root]:
    """The memory that the function's regions make, with lifetimes."""
    roots: dict[RootKey, _Root] = {}
    times: dict[int, int] = {}
    for op in walk(function):
        if op.name == "stream.async_execute":
            _set_times(op.block, times)
    for execute in [op for op in walk(function) if op.name == "stream.async_execute"]:
        for op in [o.operation for o in execute.regions[0].blocks[0].operations]:
            for result, size in _made_roots(op):
                time = times.get(identity(op), -1)
                roots[result] = _Root(result, size, execute, execute.block, time, time, execute)
    for op in walk(function):
        for operand in resource_operands(op):
            root = roots.get(storage.place(operand).key)
            if root is not None and op.name not in ("stream.yield", "stream.resource_subview"):
                _add_use(root, op, times)
        for result in op.results:  # a placed or in-place result writes at its time too
            root = roots.get(storage.place(result).key) if stream.is_resource(result) else None
            if root is not None and op.name not in ("stream.async_execute", *WITHOUT_WORK):
                _add_use(root, op, times)
    for root in roots.values():
        if root.first < 0:  # allocated, and never used
            root.first = root.last = times[identity(root.region)]
    return roots


def _set_times(block: ir.Block, times: dict[int, int]) -> None:
    """Numbers the time of a block: each wave of each region and each other op is a step."""
    time = 0
    for op in [o.operation for o in block.operations]:
        times[identity(op)] = time
        if op.name != "stream.async_execute":
            time += 1
            continue
        last = 0
        for inner in [o.operation for o in op.regions[0].blocks[0].operations]:
            if "wave" in inner.attributes:
                times[identity(inner)] = time + wave_of(inner)
                last = max(last, wave_of(inner))
        time += last + 1


def _made_roots(op: ir.Operation) -> Iterator[tuple[ir.Value, ir.Value]]:
    view = op.opview
    if op.name in MAKES_ROOT:
        yield op.results[0], view.length if isinstance(view, stream.AsyncSliceOp) else view.size
    elif isinstance(view, stream.AsyncDispatchOp):
        for result, size in zip(op.results, view.result_sizes, strict=True):
            if tied_operand(result) is None:
                yield result, size


def _add_use(root: _Root, op: ir.Operation, times: dict[int, int]) -> None:
    root.owner = _OWNERS.get(op.name, root.owner)
    if stream.STORAGE in op.attributes:
        function = root.block.owner
        root.storage = function.regions[0].blocks[0].arguments[ir.IntegerAttr(op.attributes[stream.STORAGE]).value]
    if op.name == "util.global_store" and ir.FlatSymbolRefAttr(op.attributes["symbol"]).value in (CONSTANTS, SPLATS):
        root.owner = "constant"
    user = ancestor_in(op, root.block)
    assert user is not None, "a value is used outside of the block that makes it"
    time = times[identity(op if user.name == "stream.async_execute" else user)]
    root.one_region &= user == root.region
    root.first = time if root.first < 0 else min(root.first, time)
    if time >= root.last:
        root.last, root.last_user = time, user


class _Plan:
    """The memory of one block."""

    def __init__(self, block: ir.Block, roots: list[_Root], memories: dict[RootKey, Memory]) -> None:
        self.block = block
        self.memories = memories
        self.owned = [root for root in roots if root.owner or not _is_planned(root)]
        in_arena = [root for root in roots if not root.owner and _is_planned(root)]
        self.static = [root for root in in_arena if static_index(root.size) is not None]
        self.dynamic = [root for root in in_arena if static_index(root.size) is None]
        self.regions = [op.operation for op in block.operations if op.operation.name == "stream.async_execute"]

    def allocate(self) -> None:
        """Places every root in memory allocated in front of the regions."""
        for root in self.owned:
            self._allocate_owned(root)
        offsets, size = pack([Slice(static_index(r.size) or 0, r.first, r.last) for r in self.static])
        one_arena = len(self.regions) == 1
        if self.static and not (one_arena and self.dynamic):
            first = next(op for op in self.regions if any(r.region == op for r in self.static))
            self._allocate_arena(first, self.static, offsets, size)
        for region in self.regions:
            dynamic = [root for root in self.dynamic if root.region == region]
            if not dynamic:
                continue
            static = self.static if one_arena else []
            with ir.InsertionPoint(region), region.location:
                base = index_constant(size if static else 0)
                pack_op = self._pack_at_run_time(base, dynamic)
                total, *run_time = pack_op.operation.results
            self._allocate_arena(region, static + dynamic, [*offsets[: len(static)], *run_time], total)

    def _pack_at_run_time(self, base: ir.Value, roots: list[_Root]) -> stream.ResourcePackOp:
        i64, index = ir.IntegerType.get_signless(64), ir.IndexType.get()
        times = [ir.IntegerAttr.get(i64, time) for root in roots for time in (root.first, root.last)]
        return stream.ResourcePackOp(
            index, [index] * len(roots), base, [root.size for root in roots], ir.ArrayAttr.get(times)
        )

    def _allocate_owned(self, root: _Root) -> None:
        with ir.InsertionPoint(root.region), root.value.location:
            if root.storage is not None:
                value = stream.TensorImportOp(stream.resource_type("external"), root.storage, root.size).result
            elif root.owner != "transient" and root.owner:
                value = stream.ResourceAllocOp(stream.resource_type(root.owner), root.size).result
            else:
                value = self._alloca(root.region, root.size)
        self.memories[root.value] = Memory(value, root.size, None, root.size)

    def _alloca(self, region: ir.Operation, size: ir.Value) -> ir.Value:
        """Pooled memory for `region` to use: it then waits for that too."""
        before = region.operands[0]
        op = stream.ResourceAllocaOp(stream.resource_type("transient"), stream.Timepoint.get(), before, size)
        region.operands[0] = op.timepoint
        return op.result

    def _allocate_arena(
        self, first: ir.Operation, roots: list[_Root], offsets: Sequence[ir.Value | int], size: ir.Value | int
    ) -> None:
        with ir.InsertionPoint(first), first.location:
            size = index_constant(size) if isinstance(size, int) else size
            if static_index(size) == 0:  # nothing but empty tensors
                size = index_constant(1)
            arena = self._alloca(first, size)
            for root, offset in zip(roots, offsets, strict=True):
                value = index_constant(offset) if isinstance(offset, int) else offset
                self.memories[root.value] = Memory(arena, size, value, root.size)
        last = max(roots, key=lambda root: root.last).last_user
        operations = [op.operation for op in self.block.operations]
        done = [op for op in operations[: operations.index(last) + 1] if _timepoint(op) is not None][-1]
        terminator = operations[-1]
        place = ir.InsertionPoint(terminator) if last == terminator else _after(operations, last)
        with place, last.location:
            timepoint = _timepoint(done)
            assert timepoint is not None
            stream.ResourceDeallocaOp(timepoint, arena, size)


def _is_planned(root: _Root) -> bool:
    """Whether a root can lie in an arena: dynamic sizes only if nothing outside of its region uses it."""
    return root.one_region or static_index(root.size) is not None


def _timepoint(op: ir.Operation) -> ir.Value | None:
    """The timepoint at which the work of `op` is done."""
    if op.name == "stream.async_execute":
        return op.results[0]
    last = op.results[len(op.results) - 1] if len(op.results) else None
    return last if op.name.startswith("scf.") and last is not None and isinstance(last.type, stream.Timepoint) else None


def _after(operations: list[ir.Operation], op: ir.Operation) -> ir.InsertionPoint:
    return ir.InsertionPoint(operations[operations.index(op) + 1])


def _replace_host_uses(function: ir.Operation, storage: Storage, memories: dict[RootKey, Memory]) -> None:
    """Host ops use memory in place of values; then the regions that made the values go."""
    executes = [op for op in walk(function) if op.name == "stream.async_execute"]
    inside = {identity(inner) for op in executes for inner in walk(op)}
    for op in list(walk(function)):
        if identity(op) in inside or op.name in _NO_HOST_USE or op.name.startswith("stream.cmd_"):
            continue
        numbers = [number for number, operand in enumerate(op.operands) if stream.is_resource(operand)]
        for number in numbers:
            _replace_use(op, number, storage, memories)
    for op in reversed(executes):
        op.results[0].replace_all_uses_with(_timepoint_of_commands(op))
        op.erase()


_NO_HOST_USE = ("stream.async_execute", "stream.resource_subview", "stream.resource_dealloca", "stream.variable_store")


def _timepoint_of_commands(execute: ir.Operation) -> ir.Value:
    """build_commands put the commands of a region right before it."""
    operations = [op.operation for op in execute.block.operations]
    return operations[operations.index(execute) - 1].results[0]


def _replace_use(op: ir.Operation, number: int, storage: Storage, memories: dict[RootKey, Memory]) -> None:
    operand = op.operands[number]
    place = storage.place(operand)
    memory = memories.get(place.key)
    with ir.InsertionPoint(op), op.location:
        offset = memory.offset if memory else None
        for value in place.offsets:
            offset = value if offset is None else add(offset, value)
        base = memory.value if memory else place.base
        if op.name == "stream.async_load":
            load = op.opview
            start = load.offset if offset is None else add(offset, load.offset)
            size = memory.size if memory else storage.root_size(operand, load.source_size)
            new = stream.ResourceLoadOp(load.result.type, base, size, start)
            load.result.replace_all_uses_with(new.result)
            op.erase()
            return
        if offset is not None:
            assert op.name == "func.call", f"{op.name} needs memory of its own"
            view = storage.subview(operand)
            length = view.length if view else memories[place.key].length
            size = memory.size if memory else storage.root_size(operand, length)
            base = stream.ResourceSubviewOp(base.type, base, size, offset, length).result
        op.operands[number] = base
