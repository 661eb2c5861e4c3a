"""Arrays as people write them on a command line: IREE's notation, read and printed.

2x3xf32=[1 2 3][4 5 6]    2x3xf32=1.5 (every element)    i32=7 (0-d)    4xf32=@raw.bin    @x.npy    +x.npy (the next
array of that file)
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.errors import UsageError
from mlirage.runtime.arrays import dtype as numpy_dtype

Array = np.ndarray[Any, Any]

_MOST_PRINTED = 1024
DTYPES = {
    "i1": "bool", "bool": "bool", "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "f8E4M3FN": "float8_e4m3fn", "f8E5M2": "float8_e5m2", "f8E4M3FNUZ": "float8_e4m3fnuz",
    "f8E5M2FNUZ": "float8_e5m2fnuz", "f8E8M0FNU": "float8_e8m0fnu", "f4E2M1FN": "float4_e2m1fn",
    "complex<f32>": "complex64", "complex<f64>": "complex128",
    **{f"{mlir}{bits}": f"{numpy}{bits}"
       for mlir, numpy in (("si", "int"), ("ui", "uint"), ("i", "int")) for bits in (2, 4, 8, 16, 32, 64)},
}  # fmt: skip
_TYPE_TEXTS = {name: text for text, name in DTYPES.items() if text != "bool"}
_COMPLEX = re.compile(r"\(?\s*([-+\w.]+)\s*,\s*([-+\w.]+)\s*\)?$")


class ArrayReader:
    """Reads the values of one command line; `+file` goes on in the file that `@file` began."""

    def __init__(self) -> None:
        self._files: dict[str, Iterator[Array]] = {}

    def read(self, text: str) -> Array:
        """The array that `text` says.

        Raises:
          UsageError: it is not in the notation, or a file cannot be read.
        """
        if text[:1] in ("@", "+"):
            return self._next_in_file(text[1:], fresh=text[0] == "@")
        head, equals, body = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: expected SHAPExTYPE=VALUES like 2x3xf32=[1 2 3][4 5 6], or @file.npy")
        shape, dtype = _parse_type(head, text)
        if body.startswith("@"):
            return _read_raw(body[1:], shape, dtype)
        words = re.findall(r"\([^()]*\)|[^\s,\[\]]+", body)
        count = math.prod(shape)
        if len(words) not in (1, count):
            raise UsageError(f"{text!r}: {head} has {count} elements, {len(words)} are given")
        try:
            values = [_element(word, dtype) for word in words]
            array = np.array(values).astype(dtype) if not _is_integer(dtype) else _integers(values, dtype)
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{text!r}: {error}") from None
        try:
            if not words:
                return np.zeros(shape, dtype)
            return np.full(shape, array[0], dtype) if len(words) == 1 else array.reshape(shape)
        except (ValueError, OverflowError, MemoryError) as error:
            raise UsageError(f"{text!r}: {count * dtype.itemsize:,} bytes are too many for this machine") from error

    def _next_in_file(self, name: str, fresh: bool) -> Array:
        if fresh:
            self._files[name] = _arrays_of(name)
        if name not in self._files:
            raise UsageError(f"+{name}: nothing was read from that file before; begin with @{name}")
        try:
            return next(self._files[name])
        except StopIteration:
            raise UsageError(f"{name} holds no further array") from None


def _arrays_of(name: str) -> Iterator[Array]:
    """The arrays of a .npy file, one after the other, or of an .npz file in its order."""
    try:
        if name.endswith(".npz"):
            with Path(name).open("rb") as file, np.load(file) as archive:
                yield from (archive[key] for key in archive.files)
            return
        with Path(name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            while file.tell() < size:
                yield np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        kind = ".npz" if name.endswith(".npz") else ".npy"
        raise UsageError(f"{name}: not a {kind} file ({error})") from error


def _parse_type(head: str, text: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    *extents, element = head.strip().split("x") if "complex" not in head else _split_complex(head)
    if element not in DTYPES:
        raise UsageError(f"{text!r}: unknown type {element!r}; types: {', '.join(DTYPES)}")
    if not all(extent.isdecimal() for extent in extents):
        raise UsageError(f"{text!r}: extents are whole numbers, not {'x'.join(extents)!r}")
    return tuple(map(int, extents)), numpy_dtype(DTYPES[element])


def _split_complex(head: str) -> list[str]:
    start = head.index("complex")
    return [*(part for part in head[:start].split("x") if part), head[start:].strip()]


def _element(word: str, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        if word.lower() in ("true", "false"):
            return word.lower() == "true"
        return bool(int(word))
    if dtype.kind == "c":
        match = _COMPLEX.match(word)
        return complex(float(match[1]), float(match[2])) if match else complex(word)
    return int(word, 0) if _is_integer(dtype) else float(word)


def _is_integer(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" or dtype.name in ("int2", "uint2", "int4", "uint4")


def _integers(values: list[int], dtype: np.dtype[Any]) -> Array:
    """The numbers as `dtype`; of less than 8 bits numpy would wrap them."""
    array = np.array(values, dtype if dtype.kind in "iu" else np.int8)
    if dtype.kind not in "iu" and np.any(array.astype(dtype).astype(np.int8) != array):
        raise OverflowError(f"not all of {values} are numbers of type {dtype.name}")
    return array.astype(dtype)


def _read_raw(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    needed = math.prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise UsageError(f"{name} has {len(data)} bytes, {type_text(shape, dtype)} has {needed}")
    return np.frombuffer(data, dtype).reshape(shape)


def type_text(shape: Iterable[int], dtype: np.dtype[Any]) -> str:
    """`2x3xf32`."""
    return "x".join([*map(str, shape), _TYPE_TEXTS.get(dtype.name, dtype.name)])


def array_text(array: Array) -> str:
    """`2x3xf32=[1 2 3][4 5 6]`; of large arrays the first elements."""
    printed = [0]

    def part(values: Array) -> str:
        if values.ndim == 0:
            printed[0] += 1
            return _element_text(values[()])
        words = []
        for value in values:
            if printed[0] >= _MOST_PRINTED:
                words.append("...")
                break
            words.append(part(value) if values.ndim == 1 else f"[{part(value)}]")
        return (" " if values.ndim == 1 else "").join(words)

    return f"{type_text(array.shape, array.dtype)}={part(array)}"


def _element_text(value: Any) -> str:
    if isinstance(value, np.bool_ | bool):
        return "1" if value else "0"
    if _is_integer(np.asarray(value).dtype):
        return str(int(value))
    if isinstance(value, np.complexfloating):
        return f"({value.real:G},{value.imag:G})"
    try:
        return f"{float(value):G}"
    except (TypeError, ValueError):
        return str(value)
