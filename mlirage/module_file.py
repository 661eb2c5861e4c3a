"""The module file: the deployable product, written and read (docs/module-format.md).

One little-endian file that the runtime uses in place: header, table of sections, sections, then the bytes of the
read-only data at 64-byte alignment. The same contents give the same bytes. C reads it in runtime/src/module.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlirage.errors import DeviceError, UsageError
from mlirage.memory import use_up

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

VERSION = 1
MAGIC = b"\x8fmlirage"
ALIGNMENT = 64
OPTIONAL_SECTION = 1 << 15

_HEADER = struct.Struct("<8sIIQQQIII12x")
_CHECKSUM_START = 32
_SECTION = struct.Struct("<I4xQQ")
_IMPORT = struct.Struct("<IIII")
_EXPORT = struct.Struct("<III4x")
_FUNCTION = struct.Struct("<IIIIHH4x")
_GLOBAL = struct.Struct("<IIQ")
_RODATA = struct.Struct("<IIQQQ")
_EXECUTABLE = struct.Struct("<III4x")
_LOCATION = struct.Struct("<III4x")

# Kinds of sections, in the order of the file.
_STRINGS, _IMPORTS, _EXPORTS, _FUNCTIONS, _GLOBALS, _RODATAS, _EXECUTABLES, _CODE, _DEBUG, _DATA = range(1, 11)
# Readers may skip it.
_DISPATCHES = OPTIONAL_SECTION | 1
SECTION_NAMES = {
    _STRINGS: "strings",
    _IMPORTS: "imports",
    _EXPORTS: "exports",
    _FUNCTIONS: "functions",
    _GLOBALS: "globals",
    _RODATAS: "rodata",
    _EXECUTABLES: "executables",
    _CODE: "code",
    _DEBUG: "debug",
    _DATA: "data",
    _DISPATCHES: "dispatches",
}


@dataclass(frozen=True)
class Import:
    """A function that the module calls and others provide: 'hal.device_get'."""

    name: str
    convention: str
    version: int = 0
    optional: bool = False


@dataclass(frozen=True)
class Export:
    """A function that may be called from outside; `signature` is JSON text."""

    name: str
    function: int
    signature: str = ""


@dataclass(frozen=True)
class Location:
    """From unit `pc` of a function on, code was made for `name`."""

    pc: int
    name: str


@dataclass
class Function:
    """Code of 16-bit units (uint16) over its registers."""

    name: str
    convention: str
    code: np.ndarray[Any, np.dtype[np.uint16]]
    scalar_registers: int
    ref_registers: int
    locations: list[Location] = field(default_factory=list[Location])


@dataclass(frozen=True)
class Global:
    """State of the module: `kind` is i, I, f, F or r; `initial_value` the bits of a scalar."""

    name: str
    kind: str
    initial_value: int = 0


@dataclass(frozen=True)
class Rodata:
    """Read-only bytes. A splat stores `pattern_length` bytes that are repeated to `size` bytes in all."""

    name: str
    data: Bytes
    pattern_length: int = 0
    repeated_size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the meaning: of a splat, once expanded."""
        return self.repeated_size if self.pattern_length else self.data.nbytes

    @staticmethod
    def of(name: str, array: np.ndarray[Any, np.dtype[Any]], splat: bool = False) -> Rodata:
        """The bytes of `array` in C order; with `splat`, those of its one element, repeated."""
        if splat and array.size > 1:
            element = np.ascontiguousarray(array.reshape(-1)[:1]).view(np.uint8)
            return Rodata(name, element, array.dtype.itemsize, array.size * array.dtype.itemsize)
        return Rodata(name, np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def read(self) -> Bytes:
        """All bytes, a splat expanded."""
        return np.tile(self.data, self.size // self.pattern_length) if self.pattern_length else self.data


@dataclass(frozen=True)
class Executable:
    """A library of device code: its format and the position of its bytes in the read-only data."""

    name: str
    format: str
    rodata: int


class Strings:
    """The texts of a module: each once, by offset; '' is at 0.

    Attributes:
      offsets: where each text starts in the section.
    """

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self._size = 0
        self.add("")

    def add(self, text: str) -> int:
        """Offset of `text`, which is added if it is new."""
        if "\0" in text:
            raise UsageError(f"text {text!r} holds a zero character")
        if text not in self.offsets:
            self.offsets[text] = self._size
            self._size += len(text.encode()) + 1
        return self.offsets[text]

    def encode(self) -> bytes:
        """The section."""
        return b"".join(text.encode() + b"\0" for text in self.offsets)


@dataclass
class ModuleFile:
    """The contents of a module file.

    Texts that code refers to are offsets given by `strings.add`. `dispatches` says of entry points what they compute
    (`hal-collect-dispatch-statistics`).
    """

    name: str = "module"
    version: int = 0
    imports: list[Import] = field(default_factory=list[Import])
    exports: list[Export] = field(default_factory=list[Export])
    functions: list[Function] = field(default_factory=list[Function])
    globals: list[Global] = field(default_factory=list[Global])
    rodata: list[Rodata] = field(default_factory=list[Rodata])
    executables: list[Executable] = field(default_factory=list[Executable])
    strings: Strings = field(default_factory=Strings)
    dispatches: dict[str, Any] = field(default_factory=dict[str, Any])

    def encode(self) -> bytes:
        """The file."""
        return b"".join(self.chunks())

    def chunks(self, used_up: bool = False) -> Iterator[bytes | memoryview]:
        """The file in pieces, for writing without a second copy of the weights.

        With `used_up`, constants leave the memory as they are handed out: the contents are good for nothing afterwards.
        """
        offsets, data_size = _place([entry.data.nbytes for entry in self.rodata], ALIGNMENT)
        sections = self._sections(offsets)
        table_end = _HEADER.size + _SECTION.size * (len(sections) + 1)
        places, end = _place([len(body) for _, body in sections], 8, table_end)
        structure = bytearray(-(-end // ALIGNMENT) * ALIGNMENT)
        entries = [(kind, place, len(body)) for (kind, body), place in zip(sections, places, strict=True)]
        for number, entry in enumerate([*entries, (_DATA, len(structure), data_size)]):
            _SECTION.pack_into(structure, _HEADER.size + number * _SECTION.size, *entry)
        for (_, body), place in zip(sections, places, strict=True):
            structure[place : place + len(body)] = body
        header = [MAGIC, VERSION, _HEADER.size, len(structure) + data_size, 0]
        rest = (len(structure), len(sections) + 1, self.strings.add(self.name), self.version)
        _HEADER.pack_into(structure, 0, *header, *rest)
        header[-1] = checksum(bytes(structure[_CHECKSUM_START:]))
        _HEADER.pack_into(structure, 0, *header, *rest)
        yield bytes(structure)
        position = 0
        for entry, offset in zip(self.rodata, offsets, strict=True):
            yield bytes(offset - position)
            if used_up:
                yield from use_up(entry.data)
            else:
                yield entry.data.data
            position = offset + entry.data.nbytes

    @staticmethod
    def decode(contents: bytes | bytearray | memoryview) -> ModuleFile:
        """Reads a file for looking at it; running one needs no Python and checks more.

        Raises:
          DeviceError: not a module, of a newer version, or malformed.
        """
        try:
            return _Reader(memoryview(contents)).module()
        except (struct.error, IndexError, ValueError) as error:
            raise DeviceError(f"INVALID_MODULE: module file: malformed: {error}") from error

    @staticmethod
    def read_dispatches(contents: bytes | bytearray | memoryview) -> dict[str, Any]:
        """The field `dispatches` alone: looks at no weights.

        Raises:
          DeviceError: as `decode`.
        """
        try:
            return _Reader(memoryview(contents)).dispatches()
        except (struct.error, IndexError, ValueError) as error:
            raise DeviceError(f"INVALID_MODULE: module file: malformed: {error}") from error

    def _sections(self, data_offsets: list[int]) -> list[tuple[int, bytes]]:
        """The sections before the data: strings are first in the file, but made last, when all texts are known."""
        text = self.strings.add
        text(self.name)
        code_offsets, _ = _place([len(function.code) for function in self.functions], 4)
        bodies = {
            _IMPORTS: b"".join(
                _IMPORT.pack(text(i.name), text(i.convention), i.version, int(i.optional)) for i in self.imports
            ),
            _EXPORTS: b"".join(
                _EXPORT.pack(text(e.name), e.function, text(e.signature))
                for e in sorted(self.exports, key=lambda e: e.name.encode())
            ),
            _FUNCTIONS: b"".join(
                _FUNCTION.pack(text(f.name), text(f.convention), at, len(f.code), f.scalar_registers, f.ref_registers)
                for f, at in zip(self.functions, code_offsets, strict=True)
            ),
            _GLOBALS: b"".join(_GLOBAL.pack(text(g.name), ord(g.kind), g.initial_value) for g in self.globals),
            _RODATAS: b"".join(
                _RODATA.pack(text(r.name), r.pattern_length, at, r.size, checksum(r.data))
                for r, at in zip(self.rodata, data_offsets, strict=True)
            ),
            _EXECUTABLES: b"".join(
                _EXECUTABLE.pack(text(e.name), text(e.format), e.rodata)
                for e in sorted(self.executables, key=lambda e: e.rodata)
            ),
            _CODE: self._code(code_offsets),
            _DEBUG: b"".join(
                _LOCATION.pack(number, location.pc, text(location.name))
                for number, function in enumerate(self.functions)
                for location in function.locations
            ),
            _DISPATCHES: _json(self.dispatches) if self.dispatches else b"",
        }
        return [(_STRINGS, self.strings.encode()), *((kind, body) for kind, body in bodies.items() if body)]

    def _code(self, offsets: list[int]) -> bytes:
        pieces: list[bytes] = []
        position = 0
        for function, offset in zip(self.functions, offsets, strict=True):
            pieces += [bytes(2 * (offset - position)), function.code.astype("<u2").tobytes()]
            position = offset + len(function.code)
        return b"".join(pieces)


def file_size(start: bytes | memoryview) -> int:
    """The size of a module file that begins with these bytes, as its header says."""
    return _HEADER.unpack_from(start)[3]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _place(sizes: list[int], alignment: int, start: int = 0) -> tuple[list[int], int]:
    """Aligned offsets of things of `sizes` one after another, and the end of the last."""
    offsets: list[int] = []
    for size in sizes:
        start = -(-start // alignment) * alignment
        offsets.append(start)
        start += size
    return offsets, start


def checksum(data: bytes | Bytes) -> int:
    """Sum modulo 2^64 of the 64-bit words (zeros appended) weighted with 1, 3, 5, …"""
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
    total, step = 0, 1 << 20
    for begin in range(0, array.size, 8 * step):
        piece = array[begin : begin + 8 * step]
        if piece.size % 8:
            piece = np.concatenate([piece, np.zeros(-piece.size % 8, np.uint8)])
        first = begin // 8
        weights = np.arange(2 * first + 1, 2 * (first + piece.size // 8) + 1, 2).astype(np.uint64)
        total += int((piece.view("<u8") * weights).sum(dtype=np.uint64))
    return total % 2**64


class _Reader:
    """Takes a module file apart."""

    def __init__(self, contents: memoryview) -> None:
        if len(contents) < _HEADER.size or bytes(contents[:8]) != MAGIC:
            raise DeviceError("INVALID_MODULE: not a mlirage module: wrong magic bytes")
        _, version, header_size, size, self.checksum, structure_size, count, name, module_version = _HEADER.unpack_from(
            contents
        )
        if not 0 < version <= VERSION:
            raise DeviceError(f"INVALID_MODULE: module file: format version {version}; this reads 1 to {VERSION}")
        if size > len(contents):
            raise DeviceError(f"INVALID_MODULE: module file: {size} bytes long, but only {len(contents)} are here")
        if checksum(bytes(contents[_CHECKSUM_START:structure_size])) != self.checksum:
            raise DeviceError("INVALID_MODULE: module file: corrupt: the checksum of the structure differs")
        self.module_version: int = module_version
        self.sections: dict[int, memoryview] = {}
        for number in range(count):
            kind, offset, length = _SECTION.unpack_from(contents, header_size + number * _SECTION.size)
            if offset + length > size:
                raise ValueError(f"section {kind} lies outside of the file")
            self.sections[kind] = contents[offset : offset + length]
        self.strings = bytes(self.sections.get(_STRINGS, b"\0"))
        self.name = self.text(name)

    def text(self, offset: int) -> str:
        return self.strings[offset : self.strings.index(b"\0", offset)].decode()

    def rows(self, kind: int, layout: struct.Struct) -> list[tuple[Any, ...]]:
        return list(layout.iter_unpack(self.sections.get(kind, b"")))

    def module(self) -> ModuleFile:
        strings = Strings()
        for text in self.strings[:-1].split(b"\0"):
            strings.add(text.decode())
        return ModuleFile(
            name=self.name,
            version=self.module_version,
            imports=[
                Import(self.text(name), self.text(convention), version, bool(flags))
                for name, convention, version, flags in self.rows(_IMPORTS, _IMPORT)
            ],
            exports=[Export(self.text(n), function, self.text(s)) for n, function, s in self.rows(_EXPORTS, _EXPORT)],
            functions=self.functions(),
            globals=[Global(self.text(n), chr(kind), value) for n, kind, value in self.rows(_GLOBALS, _GLOBAL)],
            rodata=self.rodata(),
            executables=[
                Executable(self.text(name), self.text(kind), rodata)
                for name, kind, rodata in self.rows(_EXECUTABLES, _EXECUTABLE)
            ],
            strings=strings,
            dispatches=self.dispatches(),
        )

    def dispatches(self) -> dict[str, Any]:
        return json.loads(bytes(self.sections.get(_DISPATCHES, b"{}")))

    def functions(self) -> list[Function]:
        code = np.frombuffer(self.sections.get(_CODE, b""), "<u2")
        functions = [
            Function(self.text(name), self.text(convention), code[offset : offset + size], scalars, refs)
            for name, convention, offset, size, scalars, refs in self.rows(_FUNCTIONS, _FUNCTION)
        ]
        for function, pc, location in self.rows(_DEBUG, _LOCATION):
            functions[function].locations.append(Location(pc, self.text(location)))
        return functions

    def rodata(self) -> list[Rodata]:
        data = np.frombuffer(self.sections.get(_DATA, b""), np.uint8)
        entries: list[Rodata] = []
        for name, pattern, offset, size, sum_ in self.rows(_RODATAS, _RODATA):
            stored = data[offset : offset + (pattern or size)]
            if checksum(stored) != sum_:
                raise ValueError(f"the checksum of read-only data {self.text(name)!r} differs")
            entries.append(Rodata(self.text(name), stored, pattern, size if pattern else 0))
        return entries
