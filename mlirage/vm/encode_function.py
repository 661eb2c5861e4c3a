"""A function of the vm phase as code.

    ^bb1(%i: index):                                  L12:
      %1 = "vm.add_i64"(%i, %c) …                ->     add_i64 s2, s0 -> s3
      cf.cond_br %c, ^bb1(%1), ^bb2(%i)                 branch_if s4, L30, L36
                                                      L30:
                                                        move s3 -> s2
                                                        branch L12

Values that go to block arguments are moved on the edge, all at once in effect.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, func, ir
from mlirage.module_file import Function, Location
from mlirage.vm.allocate_registers import allocate_registers, is_ref
from mlirage.vm.dialect import kind_of
from mlirage.vm.opcodes import Field, encode_field, opcodes, units_of

_REGISTERS = "iIfFxr"
# What can fail: where the table of locations has entries.
_FALLIBLE = ("call", "call_import", "assert", "div_s", "div_u", "rem_s", "rem_u", "buffer", "list")


class Tables(Protocol):
    """Ordinals of what code refers to by name; asking for one adds it to the module."""

    def function(self, name: str) -> int: ...
    def import_(self, name: str, convention: str) -> int: ...
    def global_(self, name: str) -> int: ...
    def rodata(self, name: str) -> int: ...
    def text(self, text: str) -> int: ...


class _Label:
    """A place in the code: known once something is emitted there."""

    pc: int | None = None


def convention_of(type_: ir.FunctionType) -> str:
    """The calling convention of a function."""
    inputs, results = ("".join(kind_of(item) for item in types) for types in (type_.inputs, type_.results))
    return f"{inputs}_{results}"


def encode_function(function: func.FuncOp, tables: Tables) -> Function:
    """Assigns registers and emits the code of `function`.

    Raises:
      CompileError: too many registers, branches or operands for the format.
    """
    encoder = _FunctionEncoder(function, tables)
    name = ir.StringAttr(function.operation.attributes["sym_name"]).value
    try:
        encoder.encode()
        code = encoder.finish()
        encode_field(Field("#", encoder.counts[0]))
        encode_field(Field("#", encoder.counts[1]))
    except ValueError as error:
        raise CompileError(f"function @{name} is too large for the virtual machine: {error}") from error
    convention = convention_of(function.type)
    return Function(name, convention, code, encoder.counts[0], encoder.counts[1], encoder.locations)


class _FunctionEncoder:
    def __init__(self, function: func.FuncOp, tables: Tables) -> None:
        self.tables = tables
        self.blocks = list(function.body.blocks)
        self.numbers = {block: number for number, block in enumerate(self.blocks)}
        self.edges = [edges_of(block, self.numbers) for block in self.blocks]
        self.allocation = allocate_registers(self.blocks, self.edges)
        self.counts = list(self.allocation.counts)
        self.labels = [_Label() for _ in self.blocks]
        self.units: list[int] = []
        self.fixups: list[tuple[int, _Label]] = []
        self.locations: list[Location] = []

    def encode(self) -> None:
        for number, block in enumerate(self.blocks):
            self.labels[number].pc = len(self.units)
            self.discard(self.allocation.dead_at_entry.get(number, []))
            ops = [op.operation for op in block.operations]
            for position, op in enumerate(ops):
                self.encode_op(op, number)
                if ops[-1].name != "func.return" or position != len(ops) - 2:  # returning releases everything
                    self.discard(self.allocation.dead_after.get((number, position), []))

    def finish(self) -> np.ndarray[Any, np.dtype[np.uint16]]:
        for position, label in self.fixups:
            assert label.pc is not None, "a branch to a block that was not emitted"
            self.units[position : position + 2] = encode_field(Field("b", label.pc))
        return np.array(self.units, np.uint16)

    # Emission.

    def emit(self, name: str, *values: int | _Label) -> None:
        """Appends an instruction whose operands are one field each."""
        letters = [letter for letter in opcodes()[name].operands if letter not in "_."]
        self.units.append(opcodes()[name].number)
        for letter, value in zip(letters, values, strict=True):
            self.append(letter, value)

    def append(self, letter: str, value: int | _Label) -> None:
        if isinstance(value, _Label):
            self.fixups.append((len(self.units), value))
            value = 0
        self.units += encode_field(Field(letter, value % (1 << 16 * units_of(letter)) if letter in "wl" else value))

    def append_all(self, values: Sequence[int]) -> None:
        for value in values:
            self.append("#", value)

    def scratch(self, is_reference: bool, number: int = 0) -> int:
        """A register that holds no value."""
        register = self.allocation.counts[is_reference] + number
        self.counts[is_reference] = max(self.counts[is_reference], register + 1)
        return register

    def registers(self, values: Sequence[ir.Value]) -> list[int]:
        """Those of the scalars, then those of the references."""
        ordered = [value for value in values if not is_ref(value)] + [value for value in values if is_ref(value)]
        return [self.allocation.registers[value] for value in ordered]

    def register(self, value: ir.Value) -> int:
        return self.allocation.registers[value]

    def discard(self, registers: list[int]) -> None:
        if registers:
            self.units.append(opcodes()["discard"].number)
            self.append_all([len(registers), *registers])

    def note_location(self, op: ir.Operation) -> None:
        text = describe_location(op.location)
        text = "" if text == "unknown" else text
        before = self.locations[-1].name if self.locations else ""
        if text != before:
            self.locations.append(Location(len(self.units), text))

    # Ops.

    def encode_op(self, op: ir.Operation, block: int) -> None:
        name = op.name.removeprefix("vm.")
        if name.startswith(_FALLIBLE) or op.name == "func.call":
            self.note_location(op)
        match op.name:
            case "func.return":
                self.units.append(opcodes()["return"].number)
                self.append_all(self.registers(list(op.operands)))
            case "func.call":
                self.encode_call(op)
            case "vm.call_import":
                self.encode_call_import(op)
            case "cf.br":
                ((target, operands),) = self.edges[block]
                self.move_all(operands, list(self.blocks[target].arguments))
                if target != block + 1:
                    self.emit("branch", self.labels[target])
            case "cf.cond_br":
                self.encode_cond_br(op, block)
            case "cf.switch":
                self.encode_switch(op, block)
            case "vm.const_64":
                bits = bits_of(op.attributes["value"], 64)
                is_short = -(1 << 31) <= bits - (bits >> 63 << 64) < 1 << 31
                self.emit("const_64_short" if is_short else "const_64", bits % (1 << (32 if is_short else 64)),
                          self.register(op.result))  # fmt: skip
            case "vm.move":
                if self.register(op.operands[0]) != self.register(op.result):
                    self.emit("move", self.register(op.operands[0]), self.register(op.result))
            case _:
                self.encode_plain(op, name)

    def encode_plain(self, op: ir.Operation, name: str) -> None:
        """An op that is one instruction: operands in order, attributes for the letters that are no registers."""
        operands = iter(op.operands)
        values: list[int] = []
        for letter in opcodes()[name].reads:
            values.append(self.register(next(operands)) if letter in _REGISTERS else self.attribute(op, letter))
        values += [self.register(result) for result in op.results]
        self.emit(name, *values)

    def attribute(self, op: ir.Operation, letter: str) -> int:
        attributes = op.attributes
        match letter:
            case "t":
                return self.tables.text(ir.StringAttr(attributes["message"]).value)
            case "g" | "G":
                return self.tables.global_(ir.FlatSymbolRefAttr(attributes["symbol"]).value)
            case "o":
                return self.tables.rodata(ir.StringAttr(attributes["name"]).value)
            case _:
                return bits_of(attributes["value" if "value" in attributes else "status"], 32)

    def encode_call(self, op: ir.Operation) -> None:
        callee = self.tables.function(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
        self.units.append(opcodes()["call"].number)
        self.append_all([callee, *self.registers(list(op.operands)), *self.registers(list(op.results))])

    def encode_call_import(self, op: ir.Operation) -> None:
        name, convention = (ir.StringAttr(op.attributes[key]).value for key in ("function", "convention"))
        arguments = list(op.operands)
        refs = sum(is_ref(value) for value in arguments)
        repetitions = list(ir.DenseI32ArrayAttr(op.attributes["repetitions"]))
        self.units.append(opcodes()["call_import"].number)
        self.append_all([self.tables.import_(name, convention), len(arguments) - refs, refs, *repetitions])
        self.append_all([*self.registers(arguments), *self.registers(list(op.results))])

    # Control flow.

    def edge_label(self, block: int, edge: int, pending: list[tuple[_Label, int]]) -> _Label:
        """Where a branch goes for an edge: to its block, or to moves on the way, emitted after the branch."""
        target, operands = self.edges[block][edge]
        arguments = list(self.blocks[target].arguments)
        if all(self.register(a) == self.register(b) for a, b in zip(operands, arguments, strict=True)):
            return self.labels[target]
        label = _Label()
        pending.append((label, edge))
        return label

    def emit_pending(self, block: int, pending: list[tuple[_Label, int]]) -> None:
        for label, edge in pending:
            label.pc = len(self.units)
            target, operands = self.edges[block][edge]
            self.move_all(operands, list(self.blocks[target].arguments))
            self.emit("branch", self.labels[target])

    def encode_cond_br(self, op: ir.Operation, block: int) -> None:
        pending: list[tuple[_Label, int]] = []
        targets = [self.edge_label(block, edge, pending) for edge in range(2)]
        self.emit("branch_if", self.register(op.operands[0]), *targets)
        self.emit_pending(block, pending)

    def encode_switch(self, op: ir.Operation, block: int) -> None:
        """Edge 0 is the default. Cases 0, 1, … become a table, others a chain of comparisons."""
        pending: list[tuple[_Label, int]] = []
        targets = [self.edge_label(block, edge, pending) for edge in range(len(self.edges[block]))]
        flag, wide = self.register(op.operands[0]), kind_of(op.operands[0].type) == "I"
        cases = switch_cases(op)
        if cases and cases == list(range(len(cases))):
            if not wide:
                self.emit("extend_u_i32_i64", flag, self.scratch(False))
                flag = self.scratch(False)
            self.units.append(opcodes()["switch"].number)
            self.append_all([flag, len(targets)])
            for target in [*targets[1:], targets[0]]:
                self.append("b", target)
        else:
            value, equal = self.scratch(False), self.scratch(False, 1)
            for case, target in zip(cases, targets[1:], strict=True):
                self.emit("const_64" if wide else "const_32", case, value)
                self.emit("eq_i64" if wide else "eq_i32", flag, value, equal)
                after = _Label()
                self.emit("branch_if", equal, target, after)
                after.pc = len(self.units)
            self.emit("branch", targets[0])
        self.emit_pending(block, pending)

    def move_all(self, sources: Sequence[ir.Value], targets: Sequence[ir.Value]) -> None:
        """Parallel moves: no source is overwritten before it has been read."""
        for is_reference in (False, True):
            moves = {
                self.register(target): self.register(source)
                for source, target in zip(sources, targets, strict=True)
                if is_ref(target) == is_reference
            }
            moves = {target: source for target, source in moves.items() if source != target}
            name = "move_ref" if is_reference else "move"
            spare = False
            while moves:
                free = next((target for target in moves if target not in moves.values()), None)
                if free is None:  # only cycles are left: open one
                    free = next(iter(moves))
                    spare = True
                    self.emit(name, free, self.scratch(is_reference))
                    moves = {t: self.scratch(is_reference) if s == free else s for t, s in moves.items()}
                self.emit(name, moves.pop(free), free)
            if spare and is_reference:
                self.discard([self.scratch(True)])


def edges_of(block: ir.Block, numbers: dict[ir.Block, int]) -> list[tuple[int, list[ir.Value]]]:
    """Successors of a block with the operands for their arguments."""
    terminator = list(block.operations)[-1].operation
    operands = list(terminator.operands)
    targets = [numbers[successor] for successor in terminator.successors]
    match terminator.name:
        case "cf.br":
            sizes = [len(operands)]
        case "cf.cond_br":
            sizes = list(ir.DenseI32ArrayAttr(terminator.attributes["operandSegmentSizes"]))[1:]
            operands = operands[1:]
        case "cf.switch":
            default = list(ir.DenseI32ArrayAttr(terminator.attributes["operandSegmentSizes"]))[1]
            sizes = [default, *ir.DenseI32ArrayAttr(terminator.attributes["case_operand_segments"])]
            operands = operands[1:]
        case _:
            return []
    result: list[tuple[int, list[ir.Value]]] = []
    for target, size in zip(targets, sizes, strict=True):
        result.append((target, operands[:size]))
        operands = operands[size:]
    return result


def switch_cases(op: ir.Operation) -> list[int]:
    """The case values, zero-extended to the register."""
    if "case_values" not in op.attributes:
        return []
    values = ir.DenseIntElementsAttr(op.attributes["case_values"])
    width = ir.IntegerType(ir.ShapedType(values.type).element_type).width
    return [int(value) % (1 << width) for value in values]


def bits_of(attribute: ir.Attribute, width: int) -> int:
    """A constant as an unsigned number of `width` bits."""
    if isinstance(attribute, ir.FloatAttr):
        layout = ("<f", "<I") if width == 32 else ("<d", "<Q")
        return struct.unpack(layout[1], struct.pack(layout[0], attribute.value))[0]
    return ir.IntegerAttr(attribute).value % (1 << width)
