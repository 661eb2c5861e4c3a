"""Registers for the values of a function, and where references die.

Linear scan: values get registers in the order of their definitions, scalars and references from files of their own; a
register is free again after the last use. A value that lives across blocks holds its register over all of them.
References are released as early as that: after their last use, or at the start of a block where they are dead but
still held on some way in.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlirage.mlir import ir
from mlirage.vm.dialect import kind_of

# Successors of a block: their numbers, with the operands for their arguments.
Edges = Sequence[tuple[int, Sequence[ir.Value]]]


@dataclass
class Allocation:
    """What the encoder needs to know.

    Attributes:
      registers: register of each value, in the file of its class.
      counts: registers used of class scalar, reference.
      dead_after: reference registers to release after an op, by (block, position in the block).
      dead_at_entry: reference registers to release at the start of a block.
    """

    registers: dict[ir.Value, int] = field(default_factory=dict[ir.Value, int])
    counts: list[int] = field(default_factory=lambda: [0, 0])
    dead_after: dict[tuple[int, int], list[int]] = field(default_factory=dict[tuple[int, int], list[int]])
    dead_at_entry: dict[int, list[int]] = field(default_factory=dict[int, list[int]])


@dataclass
class _Interval:
    """A value from its definition to its last use, in positions: an op reads at an even one and writes at the next."""

    value: ir.Value
    is_ref: bool
    start: int
    end: int


class _File:
    """The registers of a class."""

    def __init__(self) -> None:
        self.count = 0
        self._free: list[int] = []
        self._free_set: set[int] = set()

    def take(self, preferred: int | None) -> int:
        """The preferred register if it is free, else the lowest free one."""
        if preferred in self._free_set:
            self._free_set.discard(preferred)
            return preferred
        while self._free:
            register = heapq.heappop(self._free)
            if register in self._free_set:
                self._free_set.discard(register)
                return register
        self.count += 1
        return self.count - 1

    def give(self, register: int) -> None:
        """Makes a register free."""
        self._free_set.add(register)
        heapq.heappush(self._free, register)


def is_ref(value: ir.Value) -> bool:
    """Whether a value lives in a reference register."""
    return kind_of(value.type) == "r"


def allocate_registers(blocks: Sequence[ir.Block], edges: Sequence[Edges]) -> Allocation:
    """Assigns registers; arguments of the first block get the first ones in order.

    Args:
      blocks: of the function, in the order of the code.
      edges: of each block, the numbers of its successors with the operands for their arguments.
    """
    live_in, live_out = _liveness(blocks, edges)
    intervals, entries = _intervals(blocks, live_in, live_out)
    allocation = Allocation()
    _scan(intervals, _preferences(blocks, edges), allocation)
    _find_deaths(blocks, edges, live_in, live_out, entries, allocation)
    return allocation


def _liveness(blocks: Sequence[ir.Block], edges: Sequence[Edges]) -> tuple[list[set[ir.Value]], list[set[ir.Value]]]:
    """Values that blocks need from before them (without their arguments), and that are needed after them."""
    defined: list[set[ir.Value]] = []
    used: list[set[ir.Value]] = []
    for block in blocks:
        definitions: set[ir.Value] = set(block.arguments)
        uses: set[ir.Value] = set()
        for op in block.operations:
            uses.update(value for value in op.operation.operands if value not in definitions)
            definitions.update(op.operation.results)
        defined.append(definitions)
        used.append(uses)
    live_in = [set(uses) for uses in used]
    live_out: list[set[ir.Value]] = [set() for _ in blocks]
    changed = len(blocks) > 1
    while changed:
        changed = False
        for number in reversed(range(len(blocks))):
            out: set[ir.Value] = set().union(*(live_in[target] for target, _ in edges[number]))
            if len(out) != len(live_out[number]):
                live_out[number] = out
                live_in[number] |= out - defined[number]
                changed = True
    return live_in, live_out


def _intervals(
    blocks: Sequence[ir.Block], live_in: list[set[ir.Value]], live_out: list[set[ir.Value]]
) -> tuple[list[_Interval], list[int]]:
    """An interval for each value, by start; and the position at which each block starts."""
    intervals: dict[ir.Value, _Interval] = {}
    entries: list[int] = []
    position = 0

    def touch(value: ir.Value, at: int) -> None:
        interval = intervals.get(value)
        if interval is None:
            intervals[value] = _Interval(value, is_ref(value), at, at)
        else:
            interval.start, interval.end = min(interval.start, at), max(interval.end, at)

    for number, block in enumerate(blocks):
        position += 2
        entries.append(position)
        for value in [*block.arguments, *live_in[number]]:
            touch(value, position)
        for op in block.operations:
            position += 2
            for value in op.operation.operands:
                touch(value, position)
            for value in op.operation.results:
                touch(value, position + 1)
        for value in live_out[number]:
            touch(value, position + 1)
    return sorted(intervals.values(), key=lambda interval: interval.start), entries


def _preferences(blocks: Sequence[ir.Block], edges: Sequence[Edges]) -> dict[ir.Value, list[ir.Value]]:
    """Values that are copied to one another on edges: best in the same register."""
    preferences: dict[ir.Value, list[ir.Value]] = {}
    for block_edges in edges:
        for target, operands in block_edges:
            for operand, argument in zip(operands, blocks[target].arguments, strict=True):
                preferences.setdefault(operand, []).append(argument)
                preferences.setdefault(argument, []).append(operand)
    return preferences


def _scan(intervals: list[_Interval], preferences: dict[ir.Value, list[ir.Value]], allocation: Allocation) -> None:
    files = (_File(), _File())
    active: list[tuple[int, bool, int]] = []  # by end: class and register
    for interval in intervals:
        while active and active[0][0] < interval.start:
            _, is_reference, register = heapq.heappop(active)
            files[is_reference].give(register)
        partners = preferences.get(interval.value, ())
        known = (allocation.registers[partner] for partner in partners if partner in allocation.registers)
        register = files[interval.is_ref].take(next(known, None))
        allocation.registers[interval.value] = register
        heapq.heappush(active, (interval.end, interval.is_ref, register))
    allocation.counts = [file.count for file in files]


def _find_deaths(
    blocks: Sequence[ir.Block],
    edges: Sequence[Edges],
    live_in: list[set[ir.Value]],
    live_out: list[set[ir.Value]],
    entries: list[int],
    allocation: Allocation,
) -> None:
    """Finds where reference registers hold what nobody needs any more."""
    registers = allocation.registers
    held_at_exit: list[set[int]] = []
    for number, block in enumerate(blocks):
        ops = [op.operation for op in block.operations]
        last_use: dict[ir.Value, int] = {}
        for position, op in enumerate(ops):
            last_use.update((value, position) for value in [*op.results, *op.operands] if is_ref(value))
        survivors = {registers[value] for value in live_out[number] if is_ref(value)}
        for value, position in last_use.items():
            if value in live_out[number]:
                continue
            if position == len(ops) - 1:
                survivors.add(registers[value])  # given to the next block or returned: dead there
                continue
            overwritten = {registers[result] for result in ops[position].results if is_ref(result)}
            if value in list(ops[position].results) or registers[value] not in overwritten:
                allocation.dead_after.setdefault((number, position), []).append(registers[value])
        held_at_exit.append(survivors)
    for number, block in enumerate(blocks):
        held = {register for source, targets in enumerate(edges) for register in held_at_exit[source]
                if any(target == number for target, _ in targets)}  # fmt: skip
        needed = {registers[value] for value in [*block.arguments, *live_in[number]] if is_ref(value)}
        if held - needed:
            allocation.dead_at_entry[number] = sorted(held - needed)
    for dead in allocation.dead_after.values():
        dead.sort()
