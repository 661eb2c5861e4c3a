"""ELF files: what a library promises is checked, and what nobody reads is left out.

A library of entry points imports nothing, exports one symbol, is position independent with RELATIVE relocations alone,
and no segment of it is both writable and executable.

The runtime's loader copies segments to pages of its own (runtime/src/hal/loaders/elf.c): it asks for no alignment in
the file, no sections, and reads a few entries of the dynamic section. `pack_library` keeps just that:

    header | program headers | R segment | padding | RX segment | padding | RW segment | padding | section table
      ─>
    header | program headers | R segment | RX segment | RW segment
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mlirage.errors import TargetError

_RELATIVE = {62: 8, 183: 1027, 243: 3, 40: 23}  # machine: R_*_RELATIVE
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 1, 4, 5, 6, 7, 8
_DT_REL, _DT_RELSZ, _DT_TEXTREL, _DT_JMPREL = 17, 18, 22, 23
_DT_STRSZ, _DT_RELRSZ, _DT_RELR = 10, 35, 36
# What the runtime's loader looks at; check_library refuses files that need anything else.
_READ_TAGS = {
    _DT_HASH, _DT_STRTAB, _DT_STRSZ, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_REL, _DT_RELSZ, _DT_RELR, _DT_RELRSZ
}  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


@dataclass(frozen=True)
class Library:
    """What matters of a shared object."""

    machine: int
    segments: tuple[Segment, ...]
    dynamic: dict[int, int]
    symbols: tuple[tuple[str, bool], ...]
    relocation_kinds: frozenset[int]


def read_library(data: bytes) -> Library:
    """Parses a shared ELF object, 32 or 64 bit, little-endian."""
    wide = data[4] == 2
    machine = struct.unpack_from("<H", data, 18)[0]
    if wide:
        table, entry_size, count = (
            struct.unpack_from("<Q", data, 32)[0],
            *struct.unpack_from("<HH", data, 54),
        )
    else:
        table, entry_size, count = (
            struct.unpack_from("<I", data, 28)[0],
            *struct.unpack_from("<HH", data, 42),
        )
    segments: list[Segment] = []
    for i in range(count):
        at = table + i * entry_size
        if wide:
            kind, flags, offset, address, _, file_size, memory_size, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        else:
            kind, offset, address, _, file_size, memory_size, flags, _ = struct.unpack_from("<8I", data, at)
        segments.append(Segment(kind, flags, offset, address, file_size, memory_size))

    def offset_of(address: int) -> int:
        for s in segments:
            if s.kind == _PT_LOAD and s.address <= address < s.address + s.file_size:
                return address - s.address + s.offset
        raise TargetError(f"address {address:#x} of the library is in no segment")

    dynamic: dict[int, int] = {}
    pair, step = ("<QQ", 16) if wide else ("<II", 8)
    for s in segments:
        if s.kind == _PT_DYNAMIC:
            for at in range(s.offset, s.offset + s.file_size, step):
                tag, value = struct.unpack_from(pair, data, at)
                if tag == 0:
                    break
                dynamic[tag] = value
    symbols = tuple(_symbols(data, dynamic, offset_of, wide)) if _DT_HASH in dynamic else ()
    return Library(machine, tuple(segments), dynamic, symbols, frozenset(_relocations(data, dynamic, offset_of, wide)))


def _symbols(
    data: bytes, dynamic: dict[int, int], offset_of: Callable[[int], int], wide: bool
) -> Iterator[tuple[str, bool]]:
    """Name of every dynamic symbol and whether the library defines it."""
    count = struct.unpack_from("<I", data, offset_of(dynamic[_DT_HASH]) + 4)[0]
    table, strings = offset_of(dynamic[_DT_SYMTAB]), offset_of(dynamic[_DT_STRTAB])
    for i in range(1, count):
        if wide:
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", data, table + 24 * i)
        else:
            name, _, _, _, _, section = struct.unpack_from("<IIIBBH", data, table + 16 * i)
        start = strings + name
        yield data[start : data.index(b"\0", start)].decode(), section != 0


def _relocations(data: bytes, dynamic: dict[int, int], offset_of: Callable[[int], int], wide: bool) -> Iterator[int]:
    """Kind of every relocation."""
    for table, size, step in ((_DT_RELA, _DT_RELASZ, 24 if wide else 12), (_DT_REL, _DT_RELSZ, 16 if wide else 8)):
        if dynamic.get(size, 0):
            start = offset_of(dynamic[table])
            for at in range(start, start + dynamic[size], step):
                info = struct.unpack_from("<Q", data, at + 8)[0] if wide else struct.unpack_from("<I", data, at + 4)[0]
                yield info & (0xFFFFFFFF if wide else 0xFF)


def check_library(data: bytes, exported: str) -> None:
    """Verifies what the module docstring says.

    Raises:
      TargetError: a promise is broken; the text says which.
    """
    library = read_library(data)
    imported = [name for name, defined in library.symbols if not defined]
    defined = [name for name, is_defined in library.symbols if is_defined]
    if imported:
        raise TargetError(f"the compiled executables call {', '.join(sorted(imported))}, which nothing provides")
    if defined != [exported]:
        raise TargetError(f"the library exports {defined} instead of {exported} alone")
    if _DT_NEEDED in library.dynamic or _DT_TEXTREL in library.dynamic or _DT_JMPREL in library.dynamic:
        raise TargetError("the library needs other libraries, text relocations or lazy binding")
    if library.relocation_kinds - {_RELATIVE.get(library.machine)}:
        raise TargetError(f"the library has relocations {sorted(library.relocation_kinds)} beside RELATIVE")
    for segment in library.segments:
        if segment.kind == _PT_LOAD and segment.flags & 3 == 3:
            raise TargetError("a segment of the library is writable and executable")


def pack_library(data: bytes) -> bytes:
    """The same library in the fewest bytes: see the module docstring. Addresses stay."""
    library = read_library(data)
    wide = data[4] == 2
    headers_end = (64 if wide else 52) + len(library.segments) * (56 if wide else 32)
    dynamic = _pack_dynamic(library, wide)
    contents: list[tuple[Segment, bytes]] = []
    packed_dynamic: Segment | None = None
    for segment in library.segments:
        body, needed = bytearray(data[segment.offset : segment.offset + segment.file_size]), 0
        if segment.kind == _PT_DYNAMIC:
            packed_dynamic = replace(segment, file_size=len(dynamic), memory_size=len(dynamic))
        if segment.kind != _PT_LOAD or segment.memory_size == 0:
            continue
        for other in library.segments:
            if other.kind == _PT_DYNAMIC and segment.address <= other.address < segment.address + segment.file_size:
                start = other.address - segment.address
                body[start : start + other.file_size] = dynamic.ljust(other.file_size, b"\0")
                needed = start + len(dynamic)
        # The first segment begins with the headers: nobody reads them in memory.
        skipped = max(0, headers_end - segment.offset)
        end = max(len(bytes(body).rstrip(b"\0")), needed, skipped)  # memory is zero where the file ends
        address, size = segment.address + skipped, segment.memory_size - skipped
        contents.append((replace(segment, address=address, memory_size=size), bytes(body[skipped:end])))
    return _write(data, contents, packed_dynamic, wide)


def _pack_dynamic(library: Library, wide: bool) -> bytes:
    """The dynamic section with the entries that are read, and its end."""
    entries = [(tag, value) for tag, value in library.dynamic.items() if tag in _READ_TAGS]
    return b"".join(struct.pack("<QQ" if wide else "<II", tag, value) for tag, value in [*entries, (0, 0)])


def _write(data: bytes, contents: list[tuple[Segment, bytes]], dynamic: Segment | None, wide: bool) -> bytes:
    """The file header of `data`, then program headers and bytes of the segments."""
    header = bytearray(data[: 64 if wide else 52])
    count = len(contents) + (dynamic is not None)
    position = len(header) + count * (56 if wide else 32)
    rows: list[Segment] = []
    for segment, stored in contents:
        placed = replace(segment, offset=position, file_size=len(stored))
        rows.append(placed)
        position += len(stored)
        if dynamic and segment.address <= dynamic.address < segment.address + segment.memory_size:
            dynamic = replace(dynamic, offset=placed.offset + dynamic.address - segment.address)
    if dynamic:
        rows.append(dynamic)
    # Program headers follow the file header; there are no sections.
    if wide:
        struct.pack_into("<QQ", header, 32, len(header), 0)
        struct.pack_into("<HHHHH", header, 54, 56, count, 64, 0, 0)
    else:
        struct.pack_into("<II", header, 28, len(header), 0)
        struct.pack_into("<HHHHH", header, 42, 32, count, 40, 0, 0)
    return b"".join([bytes(header), *(_program_header(row, wide) for row in rows), *(body for _, body in contents)])


def _program_header(s: Segment, wide: bool) -> bytes:
    if wide:
        return struct.pack("<IIQQQQQQ", s.kind, s.flags, s.offset, s.address, s.address, s.file_size, s.memory_size, 1)
    return struct.pack("<8I", s.kind, s.offset, s.address, s.address, s.file_size, s.memory_size, s.flags, 1)


def rename_symbols(data: bytes, new_name: Callable[[str], str]) -> bytes:
    """An object file with other names for its global symbols, those that it only refers to included."""
    wide = data[4] == 2
    out = bytearray(data)
    table, entry_size = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)[0], 64 if wide else 40
    (count,) = struct.unpack_from("<H", data, 60 if wide else 48)

    def section(number: int) -> tuple[int, int, int, int]:
        """Kind, offset, size and link of a section."""
        at = table + number * entry_size
        (kind,) = struct.unpack_from("<I", data, at + 4)
        return kind, *struct.unpack_from("<QQI" if wide else "<III", data, at + (24 if wide else 16))

    kind_of_symbols = 2
    for number in range(count):
        kind, offset, size, names = section(number)
        if kind != kind_of_symbols:
            continue
        _, strings, strings_size, _ = section(names)
        added = bytearray(data[strings : strings + strings_size])  # section names may live there, too
        for at in range(offset, offset + size, 24 if wide else 16):
            is_global = data[at + (4 if wide else 12)] >> 4 != 0
            start = strings + struct.unpack_from("<I", data, at)[0]
            if is_global:
                struct.pack_into("<I", out, at, len(added))
                added += new_name(data[start : data.index(b"\0", start)].decode()).encode() + b"\0"
        header = table + names * entry_size + (24 if wide else 16)
        struct.pack_into("<QQ" if wide else "<II", out, header, len(out), len(added))
        out += added
    return bytes(out)
