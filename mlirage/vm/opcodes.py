"""The opcodes of the virtual machine, read from the runtime's own table, and single instructions as 16-bit units."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r'^MLIRAGE_VM_OPCODE\((\d+), (\w+), "([^"]*)", "([^"]*)"\)$', re.MULTILINE)
# The runtime's sources: beside the package in the repository, inside of it when installed.
_TABLES = [
    Path(__file__).parents[up] / folder / "src" / "vm" / "vm_opcodes.def"
    for up, folder in ((2, "runtime"), (1, "runtime/c"))
]

SCALARS = "iIfFx"
KINDS = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "r": "ref"}


@dataclass(frozen=True)
class Opcode:
    """A line of the table.

    Attributes:
      number: what code holds.
      name: `add_i32`; the op `vm.add_i32`.
      operands: letters, as the head of the table explains them.
      meaning: one sentence.
    """

    number: int
    name: str
    operands: str
    meaning: str

    @property
    def reads(self) -> str:
        """Letters of what is read, immediates and the like included."""
        return self.operands.rstrip(".").partition("_")[0]

    @property
    def writes(self) -> str:
        """Letters of the registers that are written."""
        return self.operands.rstrip(".").partition("_")[2]

    @property
    def is_terminator(self) -> bool:
        """Whether control never goes on to the next instruction."""
        return self.operands.endswith(".")


@functools.cache
def opcodes() -> dict[str, Opcode]:
    """The opcodes by name."""
    path = next(path for path in _TABLES if path.exists())
    table = [
        Opcode(int(number), name.lower(), operands, meaning)
        for number, name, operands, meaning in _LINE.findall(path.read_text())
    ]
    return {opcode.name: opcode for opcode in table}


@functools.cache
def opcodes_by_number() -> dict[int, Opcode]:
    """The opcodes by number."""
    return {opcode.number: opcode for opcode in opcodes().values()}


@dataclass(frozen=True)
class Convention:
    """A calling convention taken apart: kinds of arguments, of each repeated group, of results."""

    arguments: str
    groups: tuple[str, ...]
    results: str

    @staticmethod
    def parse(text: str) -> Convention:
        """Reads 'rI[iI]_r'.

        Raises:
          ValueError: `text` is no calling convention.
        """
        arguments, separator, results = text.partition("_")
        if not separator or not re.fullmatch(r"(?:[iIfFr]|\[[iIfFr]*\])*_[iIfFr]*", text):
            raise ValueError(f"{text!r} is no calling convention")
        return Convention(re.sub(r"\[.*?\]", "", arguments), tuple(re.findall(r"\[(.*?)\]", arguments)), results)

    def argument_counts(self, repetitions: Iterable[int] = ()) -> tuple[int, int]:
        """Numbers of scalar and of reference arguments of a call with these repetitions of the groups."""
        kinds = self.arguments + "".join(group * times for group, times in zip(self.groups, repetitions, strict=True))
        return len(kinds) - kinds.count("r"), kinds.count("r")

    @property
    def result_counts(self) -> tuple[int, int]:
        """Numbers of scalar and of reference results."""
        return len(self.results) - self.results.count("r"), self.results.count("r")


@dataclass(frozen=True)
class Field:
    """An operand of an instruction: its letter and value.

    Registers, ordinals, immediates (unsigned), branch targets and text offsets are one value; counted lists have one
    field a member after a field '#' with the number, registers of calls and returns are fields of kind 's' and 'r'.
    """

    letter: str
    value: int
    is_written: bool = False


def units_of(letter: str) -> int:
    """How many 16-bit units a field takes."""
    return {"w": 2, "t": 2, "b": 2, "l": 4}.get(letter, 1)


def encode_field(field: Field) -> list[int]:
    """The units of a field, low first.

    Raises:
      ValueError: the value does not fit.
    """
    count = units_of(field.letter)
    if not 0 <= field.value < 1 << 16 * count:
        raise ValueError(f"operand {field.letter!r}: {field.value} does not fit {16 * count} bits")
    return [field.value >> 16 * i & 0xFFFF for i in range(count)]
