"""safetensors: {u64 size of the header, header: JSON, data}; tensors side by side, without holes.

What lies between tensors to align them is a tensor called `__padding.N`. Source: the format's own description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.archives.archive import Archive, Parameter, data_of
from mlirage.compiled_module import write_atomically
from mlirage.errors import UsageError
from mlirage.runtime.arrays import dtype as numpy_dtype

ALIGNMENT = 64
PADDING = "__padding."
# Names of element types; others are written as bytes.
DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "complex64": "C64",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
}  # fmt: skip
_NAMES = {text: name for name, text in DTYPES.items()}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: bytes `offset … offset + length` of the data."""

    key: str
    dtype: str  # the format's name
    shape: tuple[int, ...]
    offset: int
    length: int


def header(tensors: Sequence[Tensor], size: int, metadata: Mapping[str, str]) -> bytes:
    """What stands before `size` bytes of data with `tensors` in it, such that the data is aligned in the file."""
    fields: dict[str, Any] = {"__metadata__": {key: value for key, value in metadata.items() if value}}
    end = Tensor("", "U8", (0,), size, 0)
    for tensor, following in pairwise([*sorted(tensors, key=lambda t: t.offset), end]):
        stop = tensor.offset + tensor.length
        fields[tensor.key] = {
            "dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [tensor.offset, stop]
        }  # fmt: skip
        if stop < following.offset:
            fields[f"{PADDING}{stop}"] = {
                "dtype": "U8", "shape": [following.offset - stop], "data_offsets": [stop, following.offset]
            }  # fmt: skip
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def read(path: Path) -> Archive:
    """The file `path`.

    Raises:
      UsageError: it is malformed.
      OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if not 8 < start <= size:
            raise UsageError(f"{path}: no safetensors file, or a cut one")
        try:
            fields = json.loads(file.read(start - 8))
            metadata = fields.pop("__metadata__", {})
            parameters = [
                _parameter(path, key, entry, start, size)
                for key, entry in fields.items()
                if not key.startswith(PADDING)
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"{path}: malformed header ({error})") from error
    return Archive(tuple(parameters), metadata)


def _parameter(path: Path, key: str, entry: dict[str, Any], start: int, size: int) -> Parameter:
    name, shape, (begin, end) = _NAMES.get(entry["dtype"]), tuple(map(int, entry["shape"])), entry["data_offsets"]
    if name is None:
        raise ValueError(f"tensor {key!r} has type {entry['dtype']!r}")
    dtype = numpy_dtype(name)
    length = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not 0 <= begin <= end <= size - start or end - begin != length or min(shape, default=0) < 0:
        raise ValueError(f"tensor {key!r} lies at {begin}…{end} of {size - start}, and needs {length} bytes")

    def values() -> np.ndarray[Any, Any]:
        if not length:
            return np.zeros(shape, dtype)
        return np.memmap(path, np.uint8, "r", start + begin, (length,)).view(dtype).reshape(shape)

    return Parameter(key, name, shape, length, values)


def write(path: Path, archive: Archive) -> None:
    """Writes `archive`; every tensor starts at a multiple of 64 bytes.

    Raises:
      UsageError: a key that readers of the format would mistake.
      OSError: the file cannot be written.
    """
    tensors: list[Tensor] = []
    offset = 0
    for parameter in archive.parameters:
        if parameter.key == "__metadata__" or parameter.key.startswith(PADDING):
            raise UsageError(f"{path}: no parameter can be called {parameter.key!r}")
        name = "" if parameter.encoding else DTYPES.get(parameter.dtype, "")
        shape = parameter.shape if name else (parameter.length,)
        tensors.append(Tensor(parameter.key, name or "U8", shape, offset, parameter.length))
        offset += -(-parameter.length // ALIGNMENT) * ALIGNMENT
    end = max((tensor.offset + tensor.length for tensor in tensors), default=0)

    def parts() -> Any:
        yield header(tensors, end, archive.metadata)
        written = 0
        for tensor, parameter in zip(tensors, archive.parameters, strict=True):
            yield bytes(tensor.offset - written)
            yield data_of(parameter).data
            written = tensor.offset + tensor.length

    write_atomically(path, parts())
