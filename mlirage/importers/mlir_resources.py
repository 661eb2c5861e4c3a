"""The blobs of `dense_resource` attributes, read from MLIR text or bytecode themselves.

The bindings can make such attributes without a copy but cannot read them back; both file forms keep the blobs in a
place of their own, from where they are read here without a copy (bytecode) or with one (hexadecimal text).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlirage.errors import ImportFailure

Blobs = dict[str, memoryview]

MAGIC = b"ML\xefR"
_ENTRY = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*"|[A-Za-z_][\w.$-]*)\s*:\s*"0x(?P<hex>[0-9A-Fa-f]*)"')
_STRINGS, _RESOURCES, _RESOURCE_OFFSETS = 0, 5, 6
_BLOB = 0


def split_text(text: str) -> tuple[str, Blobs]:
    """MLIR text without its `{-# dialect_resources … #-}` part, and the blobs of that part."""
    start = text.rfind("{-#")
    if start < 0 or not text.rstrip().endswith("#-}"):
        return text, {}
    blobs: Blobs = {}
    for entry in _ENTRY.finditer(text, start):
        data = bytes.fromhex(entry["hex"])
        blobs[entry["name"].strip('"')] = memoryview(data)[4:]  # the first word is the alignment
    return text[:start], blobs


def bytecode_blobs(data: bytes | memoryview) -> Blobs:
    """The blobs of a bytecode file (https://mlir.llvm.org/docs/BytecodeFormat).

    Raises:
      ImportFailure: the file is damaged.
    """
    try:
        return _blobs(memoryview(data))
    except (IndexError, UnicodeDecodeError) as error:
        raise ImportFailure(f"MLIR bytecode: the resource section is damaged ({error})") from error


def _blobs(data: memoryview) -> Blobs:
    reader = _Reader(data, len(MAGIC), len(data))
    reader.varint()  # version
    while reader.byte():  # producer: text up to a zero
        pass
    sections = reader.sections()
    if _RESOURCES not in sections or _RESOURCE_OFFSETS not in sections:
        return {}
    names = _strings(sections[_STRINGS])
    offsets, contents = sections[_RESOURCE_OFFSETS], sections[_RESOURCES]
    blobs: Blobs = {}
    external_groups = offsets.varint()
    groups_read = 0
    while offsets.position < offsets.end:
        offsets.varint()  # the group: a provider's name or a dialect's number
        for _ in range(offsets.varint()):
            name, size, kind = names[offsets.varint()], offsets.varint(), offsets.byte()
            end = contents.position + size
            if kind == _BLOB and groups_read >= external_groups:
                alignment, length = contents.varint(), contents.varint()
                contents.align(alignment)
                blobs[name] = contents.take(length)
            contents.position = end
        groups_read += 1
    return blobs


def _strings(section: _Reader) -> list[str]:
    """The string section: a count, the lengths from last to first, then the zero-terminated texts."""
    lengths = [section.varint() for _ in range(section.varint())]
    return [bytes(section.take(length)[:-1]).decode() for length in reversed(lengths)]


@dataclass
class _Reader:
    """A range of a file that is being read; positions are the file's, for alignment counts from there."""

    data: memoryview
    position: int
    end: int

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, length: int) -> memoryview:
        if length > self.end - self.position:
            raise IndexError("it ends early")
        self.position += length
        return self.data[self.position - length : self.position]

    def align(self, alignment: int) -> None:
        """Skips the padding before an aligned section or blob."""
        self.take(-self.position % max(alignment, 1))

    def varint(self) -> int:
        """A number; the trailing zero bits of its first byte count the bytes that follow."""
        first = self.byte()
        if first & 1:
            return first >> 1
        if first == 0:
            return int.from_bytes(self.take(8), "little")
        extra = (first & -first).bit_length() - 1
        return int.from_bytes(bytes([first]) + bytes(self.take(extra)), "little") >> (extra + 1)

    def sections(self) -> dict[int, _Reader]:
        """The sections of the file by number."""
        found: dict[int, _Reader] = {}
        while self.position < self.end:
            number, length = self.byte(), self.varint()
            if number & 0x80:
                self.align(self.varint())
            self.take(length)
            found[number & 0x7F] = _Reader(self.data, self.position - length, self.position)
        return found
