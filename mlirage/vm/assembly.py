"""VM code as text, both ways: `disassemble` for people, `assemble` for tests and hand-made modules.

    const_64_short 0 -> s1                       ; model.onnx:/conv1
    call_import hal.device_get [], s1 -> r1
  L6:
    branch_if s2, L6, L11
  L11:
    return r0

Registers are s0… and r0…, functions, imports and globals go by name (by number, @3, where two have one name), read-only
data by number (#3), texts are quoted, labels carry the unit they stand at, brackets hold the repetitions of an import's
groups. `.location "name"` is the place in the source of what follows. `assemble(disassemble(code)) == code`; for whole
modules see module_assembly.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlirage.errors import UsageError
from mlirage.module_file import Function, Global, Import, Location, ModuleFile
from mlirage.vm.opcodes import SCALARS, Convention, Field, Opcode, encode_field, opcodes, opcodes_by_number, units_of

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|->|[^\s,]+')
_PLAIN_NAME = re.compile(r"[A-Za-z_$][\w.$\-]*")


@dataclass
class Instruction:
    """An opcode with its operands; `pc` is the unit where it stands."""

    pc: int
    opcode: Opcode
    fields: list[Field] = field(default_factory=list[Field])


class _Cursor:
    """Takes fields off code."""

    def __init__(self, code: Sequence[int]) -> None:
        self.code = code
        self.pc = 0

    def take(self, letter: str, is_written: bool = False) -> Field:
        count = units_of(letter)
        units = [int(unit) for unit in self.code[self.pc : self.pc + count]]
        if len(units) < count:
            raise ValueError(f"unit {self.pc}: the code is cut short")
        self.pc += count
        return Field(letter, sum(unit << 16 * i for i, unit in enumerate(units)), is_written)

    def registers(self, scalars: int, refs: int, is_written: bool = False) -> list[Field]:
        return [self.take("s", is_written) for _ in range(scalars)] + [self.take("r", is_written) for _ in range(refs)]


def decode(code: Sequence[int] | np.ndarray[Any, Any], module: ModuleFile, function: Function) -> Iterator[Instruction]:
    """The instructions of `code`, which is that of `function`.

    Raises:
      ValueError: the code is cut short or has an unknown opcode.
    """
    cursor = _Cursor(code)  # pyright: ignore[reportArgumentType]
    while cursor.pc < len(code):
        pc = cursor.pc
        opcode = opcodes_by_number().get(cursor.take("#").value)
        if opcode is None:
            raise ValueError(f"unit {pc}: unknown opcode {code[pc]}")
        instruction = Instruction(pc, opcode)
        for letters, is_written in ((opcode.reads, False), (opcode.writes, True)):
            for letter in letters:
                instruction.fields += _take_operand(cursor, letter, is_written, instruction.fields, module, function)
        yield instruction


def _take_operand(
    cursor: _Cursor, letter: str, is_written: bool, before: list[Field], module: ModuleFile, function: Function
) -> list[Field]:
    """The fields of one operand letter of the table."""
    if letter in "BD":
        count = cursor.take("#")
        return [count, *(cursor.take("b" if letter == "B" else "r", letter == "D") for _ in range(count.value))]
    if letter == "R":
        return cursor.registers(*Convention.parse(function.convention).result_counts)
    if letter != "A":
        return [cursor.take("s" if letter in SCALARS else letter, is_written)]
    callee = before[-1]
    if callee.letter == "c":
        convention = Convention.parse(module.functions[callee.value].convention)
        counts: list[Field] = []
        arguments = convention.argument_counts()
    else:
        convention = Convention.parse(module.imports[callee.value].convention)
        counts = [cursor.take("#") for _ in range(2 + len(convention.groups))]
        arguments = (counts[0].value, counts[1].value)
    return counts + cursor.registers(*arguments) + cursor.registers(*convention.result_counts, is_written=True)


def disassemble(module: ModuleFile, function: Function, directives: bool = False) -> str:
    """The code of `function` as text, a line an instruction.

    Args:
      directives: write places in the source as directives, which `assemble` reads, not as comments.
    """
    instructions = list(decode(function.code, module, function))
    targets = {f.value for i in instructions for f in i.fields if f.letter == "b"}
    strings = {offset: text for text, offset in module.strings.offsets.items()}
    locations = {location.pc: location.name for location in function.locations}
    lines: list[str] = []
    for instruction in instructions:
        if instruction.pc in targets:
            lines.append(f"L{instruction.pc}:")
        text = f"  {_instruction_text(instruction, module, strings)}"
        location = locations.get(instruction.pc)
        if directives and location is not None:
            lines.append(f"  .location {json.dumps(location, ensure_ascii=False)}")
        lines.append(f"{text:<46}  ; {location}" if location and not directives else text)
    return "\n".join(lines)


def _name(members: Sequence[Function] | Sequence[Import] | Sequence[Global], number: int) -> str:
    """How code names the member: by its name if no other has it."""
    name = members[number].name
    if sum(member.name == name for member in members) > 1:
        return f"@{number}"
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _instruction_text(instruction: Instruction, module: ModuleFile, strings: dict[int, str]) -> str:
    reads: list[str] = []
    writes: list[str] = []
    groups: list[int] | None = [] if instruction.opcode.operands.startswith("mA") else None
    for item in instruction.fields:
        match item.letter:
            case "#":
                if groups is not None:
                    groups.append(item.value)
                continue
            case "s" | "r":
                text = f"{item.letter}{item.value}"
            case "b":
                text = f"L{item.value}"
            case "w" | "l":
                text = str(item.value)
            case "t":
                text = json.dumps(strings[item.value], ensure_ascii=False)
            case "c":
                text = _name(module.functions, item.value)
            case "m":
                text = _name(module.imports, item.value)
            case "g" | "G":
                text = _name(module.globals, item.value)
            case _:
                text = f"#{item.value}"
        (writes if item.is_written else reads).append(text)
    if groups is not None:
        reads.insert(1, f"[{' '.join(str(group) for group in groups[2:])}]")
    result = f" -> {', '.join(writes)}" if writes else ""
    return f"{instruction.opcode.name} {', '.join(reads)}{result}".replace("  ", " ").rstrip()


def assemble(text: str, module: ModuleFile) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Code from text. Names are looked up in `module`; texts are added to its strings.

    Raises:
      UsageError: the text has a mistake; says the line.
    """
    return assemble_lines(text.splitlines(), module)[0]


def assemble_lines(
    lines: Sequence[str], module: ModuleFile, first_line: int = 1
) -> tuple[np.ndarray[Any, np.dtype[np.uint16]], list[Location]]:
    """Code and places in the source from the lines of a function; see `assemble`."""
    units: list[int] = []
    locations: list[Location] = []
    labels: dict[str, int] = {}
    fixups: list[tuple[int, str]] = []
    for number, line in enumerate(lines, first_line):
        tokens = _TOKEN.findall(_without_comment(line))
        if not tokens:
            continue
        if len(tokens) == 1 and tokens[0].endswith(":"):
            labels[tokens[0][:-1]] = len(units)
            continue
        try:
            if tokens[0] == ".location":
                locations.append(Location(len(units), json.loads(tokens[1])))
                continue
            _assemble_line(tokens, module, units, fixups)
        except (KeyError, ValueError, IndexError) as error:
            raise UsageError(f"line {number}: {line.strip()!r}: {error}") from error
    for position, label in fixups:
        if label not in labels:
            raise UsageError(f"no label is called {label!r}")
        units[position : position + 2] = encode_field(Field("b", labels[label]))
    return np.array(units, np.uint16), locations


def _without_comment(line: str) -> str:
    quoted = False
    for i, char in enumerate(line):
        quoted ^= char == '"' and line[i - 1 : i] != "\\"
        if char == ";" and not quoted:
            return line[:i]
    return line


def _assemble_line(tokens: list[str], module: ModuleFile, units: list[int], fixups: list[tuple[int, str]]) -> None:
    opcode = opcodes()[tokens[0]]
    arrow = tokens.index("->") if "->" in tokens else len(tokens)
    reads, writes = tokens[1:arrow], tokens[arrow + 1 :]
    units.append(opcode.number)
    for letters, rest in ((opcode.reads, reads), (opcode.writes, writes)):
        for letter in letters:
            if letter in "BD":
                operands = writes if letter == "D" else rest
                units.append(len(operands))
            elif letter in "AR":
                operands = rest + (writes if letter == "A" else [])
                if letter == "A" and opcode.reads.startswith("m"):
                    groups = [int(count) for count in operands.pop(0)[1:-1].split()]
                    registers = rest[1:]
                    counts = [sum(token.startswith(kind) for token in registers) for kind in "sr"]
                    units += counts + groups
            else:
                _append_token(letter, rest.pop(0), module, units, fixups)
                continue
            member = {"B": "b", "D": "r"}.get(letter, "s")
            for token in operands:
                _append_token(member, token, module, units, fixups)
            rest.clear()
            writes.clear()
    if reads or writes:
        raise ValueError("too many operands")


def _append_token(letter: str, token: str, module: ModuleFile, units: list[int], fixups: list[tuple[int, str]]) -> None:
    """Appends the units of one operand."""
    name = json.loads(token) if token.startswith('"') else token
    if letter == "b":
        fixups.append((len(units), token))
        value = 0
    elif letter == "t":
        value = module.strings.add(name)
    elif letter in "cmgG":
        members = {"c": module.functions, "m": module.imports}.get(letter, module.globals)
        numbered = re.fullmatch(r"@(\d+)", token)
        value = int(numbered[1]) if numbered else [member.name for member in members].index(name)
    elif letter in "wl":
        value = int(token, 0) % (1 << 16 * units_of(letter))
    else:
        value = int(token[1:])
    units += encode_field(Field(letter, value))
