""".irpa, IREE's parameter archives, version 0. runtime/src/parameters/irpa.c tells the format.

Element types and shapes are in each entry's metadata, as IREE's Python bindings write them; entries without are bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.archives.archive import Archive, Parameter, data_of, is_splat
from mlirage.compiled_module import write_atomically
from mlirage.errors import DeviceError, UsageError
from mlirage.runtime.arrays import dtype as numpy_dtype

ALIGNMENT = 64  # of data
PROGRAM_KEY = "__mlirage.program"  # its data names the program that the file was compiled with
_FILE_ALIGNMENT = 4096
_ENTRY_ALIGNMENT = 16
_HEADER = struct.Struct("<4sHHQQQQ6Q")
_ENTRY = struct.Struct("<QIQ4QQ")
_SPLAT = struct.Struct("<Q16sB")
_RANGE = struct.Struct("<QQ")
_SKIP, _SPLAT_TYPE, _DATA_TYPE, _EXTERNAL_TYPE = range(4)
_METADATA_PREFIX = "TENSORv0:"  # of IREE's bindings; turbine writes another
_METADATA_PREFIXES = (_METADATA_PREFIX, "PYTORCH:")


@dataclass(frozen=True)
class Entry:
    """An entry to be written: `length` bytes at `offset` of the data, or a pattern repeated over them."""

    key: str
    metadata: str
    offset: int
    length: int
    pattern: bytes = b""


def tensor_metadata(dtype: str, shape: Sequence[int]) -> str:
    """The metadata that says an entry's element type and shape."""
    kind = numpy_dtype(dtype)
    description = {
        "class_name": f"{dtype.capitalize()}DType",
        "is_complex": kind.kind == "c",
        "is_floating_point": kind.kind == "f" or "float" in dtype,
        "is_signed": not dtype.startswith("uint") and dtype != "bool",
        "itemsize": kind.itemsize,
    }
    return _METADATA_PREFIX + json.dumps(
        {"type": "Tensor", "dtype": dtype, "shape": list(shape), "dtype_desc": description}
    )


def header(entries: Iterable[Entry], size: int) -> bytes:
    """What stands before `size` bytes of data with `entries` in it, such that the data is aligned in the file."""
    table, texts, count = bytearray(), bytearray(), 0
    for entry in entries:
        table += bytes(-len(table) % _ENTRY_ALIGNMENT)
        tail = _SPLAT.pack(entry.length, entry.pattern, len(entry.pattern)) if entry.pattern else None
        tail = tail or _RANGE.pack(entry.offset, entry.length)
        ranges: list[int] = []
        for text in (entry.key.encode(), entry.metadata.encode()):
            ranges += [len(texts) if text else 0, len(text)]
            texts += text
        kind = _SPLAT_TYPE if entry.pattern else _DATA_TYPE
        alignment = 0 if entry.pattern else ALIGNMENT
        table += _ENTRY.pack(_ENTRY.size + len(tail), kind, 0, *ranges, alignment) + tail
        count += 1
    start = -(-_HEADER.size // _ENTRY_ALIGNMENT) * _ENTRY_ALIGNMENT
    data = -(-(start + len(table) + len(texts)) // ALIGNMENT) * ALIGNMENT
    segments = (start, len(table), start + len(table), len(texts), data, size)
    head = _HEADER.pack(b"IRPA", 0, 0, _HEADER.size, 0, 0, count, *segments)
    return (head.ljust(start, b"\0") + table + texts).ljust(data, b"\0")


def padding(header_size: int, size: int) -> bytes:
    """What stands after the data: files of this format end at a page."""
    return bytes(-(header_size + size) % _FILE_ALIGNMENT)


def read(path: Path) -> Archive:
    """The file `path`, all archives that are linked in it.

    Raises:
      UsageError: it is malformed, or refers to other files.
      OSError: it cannot be read.
    """
    if not path.stat().st_size:
        raise UsageError(f"{path}: no .irpa file, it is empty")
    data: Any = np.memmap(path, np.uint8, "r")
    parameters: list[Parameter] = []
    base = 0
    try:
        while True:
            magic, major, minor, size, following, _, count, *segments = _HEADER.unpack_from(data, base)
            if magic != b"IRPA" or (major, minor) != (0, 0) or size != _HEADER.size:
                raise ValueError(f"no header of version 0.0 at byte {base}")
            entries, texts, values = (
                _slice(data[base:], segments[i], segments[i + 1]) for i in range(0, len(segments), 2)
            )
            parameters += _parameters(entries, texts, values, count)
            if not following:
                return _archive(parameters)
            base += following
    except (ValueError, struct.error, KeyError, TypeError, DeviceError) as error:
        raise UsageError(f"{path}: malformed archive ({error})") from error


def _archive(parameters: list[Parameter]) -> Archive:
    program = next((p for p in parameters if p.key == PROGRAM_KEY), None)
    metadata = {} if program is None else {"mlirage.program": program.read().tobytes().decode()}
    return Archive(tuple(p for p in parameters if p is not program), metadata)


def _slice(data: Any, offset: int, length: int) -> Any:
    if offset + length > len(data):
        raise ValueError(f"bytes {offset}…{offset + length} of {len(data)}")
    return data[offset : offset + length]


def _parameters(entries: Any, texts: Any, values: Any, count: int) -> Iterable[Parameter]:
    position = 0
    for _ in range(count):
        size, kind, _, *ranges, _ = _ENTRY.unpack_from(entries, position)
        if size < _ENTRY.size:
            raise ValueError(f"an entry of {size} bytes")
        tail = position + _ENTRY.size
        position += -(-size // _ENTRY_ALIGNMENT) * _ENTRY_ALIGNMENT
        if kind == _SKIP:
            continue
        key, metadata = (_slice(texts, ranges[i], ranges[i + 1]).tobytes().decode() for i in (0, 2))
        if kind == _SPLAT_TYPE:
            length, pattern, pattern_length = _SPLAT.unpack_from(entries, tail)
            element = np.frombuffer(pattern[:pattern_length], np.uint8)
            if pattern_length not in (1, 2, 4, 8, 16) or length % pattern_length:
                raise ValueError(f"parameter {key!r} repeats {pattern_length} bytes")
            data = np.broadcast_to(element.view(f"V{pattern_length}"), (length // pattern_length,))
        elif kind == _DATA_TYPE:
            data = _slice(values, *_RANGE.unpack_from(entries, tail))
        elif kind == _EXTERNAL_TYPE:
            raise ValueError(f"parameter {key!r} lies in another file; copy it in with iree-convert-parameters")
        else:
            raise ValueError(f"parameter {key!r} is of kind {kind}")
        yield _parameter(key, metadata, data)


def _parameter(key: str, metadata: str, data: Any) -> Parameter:
    length = data.size * data.itemsize
    prefix = next((prefix for prefix in _METADATA_PREFIXES if metadata.startswith(prefix)), None)
    if prefix is None:
        shape = (length,)
        return Parameter(key, "uint8", shape, length, lambda: np.frombuffer(data.tobytes(), np.uint8))
    fields = json.loads(metadata[len(prefix) :])
    name, shape = str(fields["dtype"]), tuple(map(int, fields["shape"]))
    dtype = numpy_dtype(name)
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != length:
        raise ValueError(f"parameter {key!r} of {length} bytes as {name}{list(shape)}")

    def values() -> np.ndarray[Any, Any]:
        if is_splat(data):
            element = data[:1].copy().view(dtype)
            if element.size == 1:
                return np.broadcast_to(element.reshape(()), shape)
        return np.ascontiguousarray(data).view(np.uint8).view(dtype).reshape(shape)

    return Parameter(key, name, shape, length, values, splat=is_splat(data) and data.itemsize == dtype.itemsize)


def write(path: Path, archive: Archive) -> None:
    """Writes `archive`; what is the same element everywhere takes no space.

    Raises:
      OSError: the file cannot be written.
    """
    program = archive.metadata.get("mlirage.program", "").encode()
    stored: list[tuple[int, Parameter]] = []
    entries: list[Entry] = []
    offset = 0
    for parameter in archive.parameters:
        metadata = "" if parameter.encoding else tensor_metadata(parameter.dtype, parameter.shape)
        splat = b""
        if not parameter.encoding and parameter.length:
            splat = parameter.read().reshape(-1)[:1].tobytes() if parameter.splat else b""
        if not splat:
            stored.append((offset, parameter))
        entries.append(Entry(parameter.key, metadata, 0 if splat else offset, parameter.length, splat))
        offset += 0 if splat else -(-parameter.length // ALIGNMENT) * ALIGNMENT
    size = max((entry.offset + entry.length for entry in entries if not entry.pattern), default=0)
    if program:
        entries.append(Entry(PROGRAM_KEY, "", size, len(program)))

    def parts() -> Any:
        head = header(entries, size + len(program))
        yield head
        written = 0
        for start, parameter in stored:
            yield bytes(start - written)
            yield data_of(parameter).data
            written = start + parameter.length
        yield program
        yield padding(len(head), size + len(program))

    write_atomically(path, parts())
