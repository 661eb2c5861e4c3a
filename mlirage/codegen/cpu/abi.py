"""The executable ABI (runtime/include/mlirage/executable.h) in LLVM IR: entry wrappers and the library's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

VERSION = 1
QUERY = "mlirage_executable_library_query"


@dataclass(frozen=True)
class EntryInterface:
    """What the wrapper of an entry point must know.

    Attributes:
      symbol: name of the entry point inside the library.
      name: for profiles and traces.
      bindings: number of bindings.
      scalars: LLVM types of the scalar operands, in order ("i64" for index).
      scratch_size: bytes of scratch memory per worker.
    """

    symbol: str
    name: str
    bindings: int
    scalars: tuple[str, ...]
    scratch_size: int

    @property
    def constant_count(self) -> int:
        """32-bit words of all scalars."""
        return sum(words(s) for s in self.scalars)


def words(scalar: str) -> int:
    """32-bit words that a scalar of this LLVM type takes."""
    return 2 if scalar == "double" or (scalar[0] == "i" and int(scalar[1:]) > 32) else 1


def build_wrapper(entry: EntryInterface, body: str, pointer_bytes: int) -> str:
    """LLVM IR of the exported function that unpacks the state and calls `@body`."""
    p = pointer_bytes
    lines = [
        f"define hidden i32 @{quote(entry.symbol)}(ptr noalias readonly %dispatch, ptr noalias readonly %workgroup) "
        "#0 {",
        "  %constants = load ptr, ptr %dispatch",
        f"  %bindings.at = getelementptr i8, ptr %dispatch, i64 {p}",
        "  %bindings = load ptr, ptr %bindings.at",
        "  %id.32 = load i32, ptr %workgroup",
        "  %id = zext i32 %id.32 to i64",
        "  %scratch.at = getelementptr i8, ptr %workgroup, i64 16",
        "  %scratch = load ptr, ptr %scratch.at",
    ]
    arguments: list[str] = []
    for i in range(entry.bindings):
        lines += [
            f"  %b{i}.at = getelementptr i8, ptr %bindings, i64 {i * p}",
            f"  %b{i} = load ptr, ptr %b{i}.at",
        ]
        arguments.append(f"ptr %b{i}")
    word = 0
    for i, scalar in enumerate(entry.scalars):
        lines += _load_scalar(i, scalar, word)
        arguments.append(f"{scalar} %s{i}")
        word += words(scalar)
    arguments += ["i64 %id", "ptr %scratch"]
    lines += [
        f"  %status = call i32 @{quote(body)}({', '.join(arguments)})",
        "  ret i32 %status",
        "}",
        "attributes #0 = { nounwind }",
    ]
    return "\n".join(lines) + "\n"


def _load_scalar(number: int, scalar: str, word: int) -> list[str]:
    """Decodes one scalar: words are 4-byte aligned, low word first, small types in the low bits."""
    s = f"%s{number}"
    lines = [f"  {s}.at = getelementptr i8, ptr %constants, i64 {4 * word}"]
    if words(scalar) == 2:
        load = f"load i64, ptr {s}.at, align 4"
        match scalar:
            case "i64":
                return [*lines, f"  {s} = {load}"]
            case "double":
                return [*lines, f"  {s}.raw = {load}", f"  {s} = bitcast i64 {s}.raw to double"]
            case _:
                return [*lines, f"  {s}.raw = {load}", f"  {s} = trunc i64 {s}.raw to {scalar}"]
    load = f"load i32, ptr {s}.at, align 4"
    match scalar:
        case "i32":
            return [*lines, f"  {s} = {load}"]
        case "float":
            return [*lines, f"  {s}.raw = {load}", f"  {s} = bitcast i32 {s}.raw to float"]
        case "half" | "bfloat":
            return [
                *lines,
                f"  {s}.raw = {load}",
                f"  {s}.low = trunc i32 {s}.raw to i16",
                f"  {s} = bitcast i16 {s}.low to {scalar}",
            ]
        case _:
            return [*lines, f"  {s}.raw = {load}", f"  {s} = trunc i32 {s}.raw to {scalar}"]


def build_table(entries: Sequence[EntryInterface]) -> str:
    """LLVM IR of the library's table and its query function."""
    count = len(entries)
    lines = [f"declare i32 @{quote(e.symbol)}(ptr, ptr)" for e in entries]
    for i, entry in enumerate(entries):
        data = entry.name.encode() + b"\0"
        text = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:02X}" for b in data)
        lines.append(f'@name{i} = private unnamed_addr constant [{len(data)} x i8] c"{text}"')
    pointers = ", ".join(f"ptr @{quote(e.symbol)}" for e in entries)
    lines.append(f"@entries = private unnamed_addr constant [{count} x ptr] [{pointers}]")
    attribute = "{ ptr, i32, i32, i32, i32 }"
    attributes = ", ".join(
        f"{attribute} {{ ptr @name{i}, i32 {e.constant_count}, i32 {e.bindings}, i32 {e.scratch_size}, i32 0 }}"
        for i, e in enumerate(entries)
    )
    lines += [
        f"@attributes = private unnamed_addr constant [{count} x {attribute}] [{attributes}]",
        "@library = private unnamed_addr constant { i32, i32, ptr, ptr } "
        f"{{ i32 {VERSION}, i32 {count}, ptr @entries, ptr @attributes }}",
        f"define ptr @{QUERY}(i32 %max_version) {{",
        f"  %known = icmp uge i32 %max_version, {VERSION}",
        "  %result = select i1 %known, ptr @library, ptr null",
        "  ret ptr %result",
        "}",
    ]
    return "\n".join(lines) + "\n"


def quote(symbol: str) -> str:
    """A symbol as LLVM IR spells it."""
    return '"' + symbol.replace("\\", "\\5C").replace('"', "\\22") + '"'
