"""stream-schedule-concurrency: the ops of an execution region are grouped into waves of independent work.

    %b = async_dispatch @left(%a)                %b = async_dispatch @left(%a)  {wave = 0}
    %c = async_dispatch @next(%b)          ─>    %d = async_dispatch @right(%a) {wave = 0}
    %d = async_dispatch @right(%a)               %c = async_dispatch @next(%b)  {wave = 1}

An op waits for those before it that touch the same bytes, unless both only read. It goes to the last wave that it may
be in: then it is close to its reader, and what it makes lives shortly. Each wave holds an op that the next one needs,
so that no barrier between waves is in vain. Subviews and allocations are no work and belong to no wave.
"""

from __future__ import annotations

from collections import defaultdict

from mlirage.mlir import identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.storage import WITHOUT_WORK, Access, RootKey, Storage, accesses, functions

WAVE = "wave"


@module_pass("stream-schedule-concurrency")
def schedule_concurrency(program: Program) -> None:
    """Gives every async op its wave and sorts regions by wave."""
    for function in functions(program.module):
        storage = Storage()
        for op in walk(function):
            if op.name == "stream.async_execute":
                _schedule(op, storage)


def _schedule(execute: ir.Operation, storage: Storage) -> None:
    block = execute.regions[0].blocks[0]
    operations = [op.operation for op in block.operations][:-1]
    work = [op for op in operations if op.name not in WITHOUT_WORK]
    waves = _last_possible_waves(_dependencies(work, storage), _versions(work))
    i64 = ir.IntegerType.get_signless(64)
    for op, wave in zip(work, waves, strict=True):
        op.attributes[WAVE] = ir.IntegerAttr.get(i64, wave)
    end = list(block.operations)[-1].operation
    placed: set[int] = set()
    for index in sorted(range(len(work)), key=lambda i: (waves[i], i)):
        for operand in work[index].operands:
            _place_definition(operand, end, placed)
        work[index].move_before(end)
    for operand in end.operands:
        _place_definition(operand, end, placed)


def _place_definition(value: ir.Value, end: ir.Operation, placed: set[int]) -> None:
    """Moves the op without work that defines `value`, and those it needs, to the end of the region."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.operation.name not in WITHOUT_WORK or owner.operation.block != end.block:
        return
    if identity(owner) in placed:
        return
    for operand in owner.operation.operands:
        _place_definition(operand, end, placed)
    owner.operation.move_before(end)
    placed.add(identity(owner))


def _dependencies(work: list[ir.Operation], storage: Storage) -> list[set[int]]:
    """For each op the indices of those before that it must wait for."""
    touched: dict[RootKey, list[tuple[int, Access]]] = defaultdict(list)
    dependencies: list[set[int]] = []
    for index, op in enumerate(work):
        found: set[int] = set()
        mine = accesses(op)
        for access in mine:
            for earlier, other in touched[storage.access_key(access)]:
                if (access.writes or other.writes) and earlier not in found and storage.overlap(access, other):
                    found.add(earlier)
        for access in mine:
            touched[storage.access_key(access)].append((index, access))
        dependencies.append(found)
    return dependencies


def _versions(work: list[ir.Operation]) -> list[set[int]]:
    """For each op the indices of those that make the values it names.

    Ops that write other parts of a tensor need not be waited for, but their results must be there to be named.
    """
    numbers = {identity(op): index for index, op in enumerate(work)}
    versions: list[set[int]] = []
    for op in work:
        found: set[int] = set()
        stack = list(op.operands)
        while stack:
            owner = stack.pop().owner
            if isinstance(owner, ir.Block):
                continue
            if identity(owner) in numbers:
                found.add(numbers[identity(owner)])
            elif owner.operation.name in WITHOUT_WORK:
                stack.extend(owner.operation.operands)
        versions.append(found)
    return versions


def _last_possible_waves(dependencies: list[set[int]], versions: list[set[int]]) -> list[int]:
    """Waves such that every op comes after its dependencies, each op as late as the total allows."""
    distance = [0] * len(dependencies)  # waves to the end of the region
    for index in range(len(dependencies) - 1, -1, -1):
        for earlier in dependencies[index]:
            distance[earlier] = max(distance[earlier], distance[index] + 1)
        for earlier in versions[index]:
            distance[earlier] = max(distance[earlier], distance[index])
    last = max(distance, default=0)
    return [last - d for d in distance]


def wave_of(op: ir.Operation) -> int:
    """The wave of an op in a scheduled region."""
    return ir.IntegerAttr(op.attributes[WAVE]).value


def is_in_region(op: ir.Operation) -> bool:
    """Whether `op` stands in an execution region."""
    return op.parent is not None and isinstance(op.parent.opview, stream.AsyncExecuteOp)
