"""What commands run in which order, and where in memory they read and write: of a program of phase stream.

Sizes and offsets are evaluated for the shapes of given arguments. What depends on data stays unknown (None).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlirage.mlir import func, ir, walk
from mlirage.program import Program


@dataclass(frozen=True)
class Access:
    """A range that a command reads or writes.

    Attributes:
      resource: number of the resource in the execution.
      mode: "r", "w" or "rw".
    """

    resource: int
    offset: int | None
    length: int | None
    mode: str


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
      name: entry point of a dispatch; "fill" or "copy".
      wave: commands of one wave may run at the same time.
    """

    name: str
    wave: int
    accesses: tuple[Access, ...]


@dataclass(frozen=True)
class Execution:
    """A command buffer.

    Attributes:
      lifetimes: of its resources: external, constant, variable, transient.
      sizes: of its resources.
    """

    lifetimes: tuple[str, ...]
    sizes: tuple[int | None, ...]
    commands: tuple[Command, ...]

    def bytes_of(self, lifetime: str) -> int:
        """How large its resources of a lifetime are together, as far as that is known."""
        return sum(size or 0 for size, kind in zip(self.sizes, self.lifetimes, strict=True) if kind == lifetime)


@dataclass
class _Sizes:
    """Evaluates index arithmetic of a function for the shapes of its arguments."""

    shapes: Sequence[Sequence[int] | None]
    known: dict[ir.Value, int | None] = field(default_factory=dict[ir.Value, "int | None"])

    def value(self, value: ir.Value) -> int | None:
        if value not in self.known:
            self.known[value] = self._evaluate(value)
        return self.known[value]

    def _evaluate(self, value: ir.Value) -> int | None:
        if isinstance(value.owner, ir.Block):
            return None
        op = value.owner.operation
        if op.name == "arith.constant" and isinstance(op.attributes["value"], ir.IntegerAttr):
            return op.attributes["value"].value
        if op.name == "hal.buffer_view_dim":
            return self._extent(op)
        if op.name in ("arith.index_cast", "arith.index_castui"):
            return self.value(op.operands[0])
        compute = _ARITHMETIC.get(op.name)
        if compute is None:
            return None
        left, right = (self.value(operand) for operand in op.operands)
        return None if left is None or right is None else compute(left, right)

    def _extent(self, op: ir.Operation) -> int | None:
        view, dim = op.operands[0], self.value(op.operands[1])
        if not isinstance(view.owner, ir.Block) or dim is None:
            return None
        number = ir.BlockArgument(view).arg_number
        shape = self.shapes[number] if number < len(self.shapes) else None
        return shape[dim] if shape is not None and dim < len(shape) else None


_ARITHMETIC = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.andi": lambda a, b: a & b,
    "arith.divui": lambda a, b: a // b if b else None,
    "arith.divsi": lambda a, b: a // b if b > 0 and a >= 0 else None,
    "arith.ceildivui": lambda a, b: -(-a // b) if b else None,
    "arith.remui": lambda a, b: a % b if b else None,
    "arith.maxui": max,
    "arith.maxsi": max,
    "arith.minui": min,
    "arith.minsi": min,
}


def memory_plan(program: Program, function: str, shapes: Sequence[Sequence[int] | None]) -> list[Execution]:
    """The command buffers of a public function and of the functions that it calls, in the order of the text.

    Args:
      shapes: of the function's arguments; None for scalars.
    """
    functions = {
        op.name.value: op.operation
        for op in program.module.body.operations
        if isinstance(op, func.FuncOp) and not op.is_external
    }
    return list(_executions(functions, function, shapes, set())) if function in functions else []


def _executions(
    functions: Mapping[str, ir.Operation], name: str, shapes: Sequence[Sequence[int] | None], seen: set[str]
) -> Iterator[Execution]:
    seen.add(name)
    sizes = _Sizes(shapes)
    for op in walk(functions[name]):
        if op.name == "stream.cmd_execute":
            yield _execution(op, sizes)
        elif op.name == "func.call":
            callee = ir.FlatSymbolRefAttr(op.attributes["callee"]).value
            if callee in functions and callee not in seen:
                yield from _executions(functions, callee, (), seen)


def _execution(op: ir.Operation, sizes: _Sizes) -> Execution:
    resources = list(op.opview.resources)
    block = op.regions[0].blocks[0]
    numbers: dict[ir.Value, int] = dict(zip(block.arguments, range(len(resources)), strict=True))
    return Execution(
        tuple(str(value.type).partition('"')[2].partition('"')[0] for value in resources),
        tuple(sizes.value(size) for size in op.opview.resource_sizes),
        tuple(_commands(block, numbers, sizes)),
    )


def _commands(block: ir.Block, numbers: dict[ir.Value, int], sizes: _Sizes) -> Iterator[Command]:
    for wave, item in enumerate(block.operations):
        op = item.operation
        if op.name == "stream.cmd_concurrent":
            for inner in op.regions[0].blocks[0].operations:
                if inner.operation.name != "stream.yield":
                    yield _command(inner.operation, wave, numbers, sizes)
        elif op.name != "stream.yield":
            yield _command(op, wave, numbers, sizes)


def _command(op: ir.Operation, wave: int, numbers: dict[ir.Value, int], sizes: _Sizes) -> Command:
    view = op.opview

    def access(resource: ir.Value, offset: ir.Value, length: ir.Value, mode: str) -> Access:
        return Access(numbers[resource], sizes.value(offset), sizes.value(length), mode)

    match op.name:
        case "stream.cmd_dispatch":
            modes = [ir.StringAttr(mode).value for mode in view.access]
            ranges = zip(view.resources, view.offsets, view.lengths, modes, strict=True)
            return Command(ir.SymbolRefAttr(view.entry).value[1], wave, tuple(access(*one) for one in ranges))
        case "stream.cmd_copy":
            source = access(view.source, view.source_offset, view.length, "r")
            return Command("copy", wave, (source, access(view.target, view.target_offset, view.length, "w")))
        case _:
            return Command("fill", wave, (access(view.target, view.offset, view.length, "w"),))


def dependencies(execution: Execution) -> list[tuple[int, int]]:
    """Pairs of commands of which the second reads what the first was the last to write."""
    writers: list[tuple[int, int, int, int]] = []  # resource, start, end, command
    pairs: dict[tuple[int, int], None] = {}
    for number, command in enumerate(execution.commands):
        ranges = [
            (a, a.offset, a.offset + a.length)
            for a in command.accesses
            if a.offset is not None and a.length is not None
        ]
        for one, start, end in ranges:
            if "r" in one.mode:
                for resource, first, last, writer in writers:
                    if resource == one.resource and first < end and start < last and writer != number:
                        pairs[writer, number] = None
        for one, start, end in ranges:
            if "w" in one.mode:
                kept = [w for w in writers if w[0] != one.resource or w[2] <= start or end <= w[1]]
                parts = [w for w in writers if w not in kept]
                for resource, first, last, writer in parts:  # what is left of those that are written over in part
                    kept += [(resource, first, start, writer)] if first < start else []
                    kept += [(resource, end, last, writer)] if end < last else []
                writers = [*kept, (one.resource, start, end, number)]
    return list(pairs)


@dataclass(frozen=True)
class Slice:
    """A tensor in the arena: bytes that one command writes and later ones read.

    Attributes:
      first, last: the commands between which it is needed.
      writer: name of the command that makes it.
    """

    offset: int
    length: int
    first: int
    last: int
    writer: str


def arena(execution: Execution) -> list[Slice]:
    """What lies in the transient memory of an execution, and when."""
    transient = {number for number, kind in enumerate(execution.lifetimes) if kind == "transient"}
    live: dict[tuple[int, int, int], Slice] = {}
    done: list[Slice] = []
    for number, command in enumerate(execution.commands):
        for one in command.accesses:
            if one.resource not in transient or one.offset is None or not one.length:
                continue
            key = (one.resource, one.offset, one.length)
            if "r" in one.mode:
                for other, slice_ in list(live.items()):
                    if (
                        other[0] == one.resource
                        and other[1] < one.offset + one.length
                        and one.offset < other[1] + other[2]
                    ):
                        live[other] = Slice(slice_.offset, slice_.length, slice_.first, number, slice_.writer)
            if one.mode == "w":
                for other in [o for o in live if o[0] == key[0] and o[1] < key[1] + key[2] and key[1] < o[1] + o[2]]:
                    # Several dispatches may fill parts of one tensor; whatever was read before is over.
                    if live[other].last > live[other].first or other == key:
                        done.append(live.pop(other))
                live[key] = Slice(one.offset, one.length, number, number, command.name)
    return sorted([*done, *live.values()], key=lambda slice_: (slice_.first, slice_.offset))
