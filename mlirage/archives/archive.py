"""What all formats have in common: parameters with names, in an order, read when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.errors import UsageError, missing_package

Array = np.ndarray[Any, Any]
FORMATS = {".safetensors": "safetensors", ".irpa": "irpa", ".gguf": "gguf"}


@dataclass(frozen=True)
class Parameter:
    """A weight. Of a block format (`encoding`, as "Q4_K") `read` gives the blocks' bytes, `shape` is the tensor's."""

    key: str
    dtype: str  # numpy's or ml_dtypes' name
    shape: tuple[int, ...]
    length: int  # bytes in the file
    read: Callable[[], Array]  # an array with strides 0 is a splat
    encoding: str = ""
    splat: bool = False  # one element stands for all: known without reading

    @property
    def type_name(self) -> str:
        """What the elements are, for people."""
        return self.encoding or self.dtype


@dataclass(frozen=True)
class Archive:
    """The contents of a file."""

    parameters: tuple[Parameter, ...]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def parameter_of(key: str, array: Array) -> Parameter:
    """The parameter `key` with the values of `array`."""
    return Parameter(
        key, array.dtype.name, array.shape, array.size * array.itemsize, lambda: array, splat=is_splat(array)
    )


def is_splat(array: Array) -> bool:
    """Whether one element stands for all."""
    return array.size > 1 and not any(array.strides)


def data_of(parameter: Parameter) -> Array:
    """The parameter's bytes.

    Raises:
      UsageError: it has not as many as the archive says.
    """
    data = np.ascontiguousarray(parameter.read()).reshape(-1).view(np.uint8)
    if data.nbytes != parameter.length:
        raise UsageError(f"parameter {parameter.key!r} has {data.nbytes} bytes, {parameter.length} are told")
    return data


def format_of(path: Path) -> Any:
    """The module that reads and writes files with the name of `path`.

    Raises:
      UsageError: no format has such names, or its package is not installed.
    """
    name = FORMATS.get(path.suffix)
    if name is None:
        raise UsageError(f"{path}: files of weights are called {', '.join(FORMATS)}")
    try:
        return importlib.import_module(f"mlirage.archives.{name}")
    except ModuleNotFoundError as error:
        raise missing_package(error) from error


def read_archive(path: Path) -> Archive:
    """The archive `path`, in the format that its name says. Values are read when they are used.

    Raises:
      UsageError: it cannot be read or is malformed.
    """
    form = format_of(path)
    try:
        return form.read(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def write_archive(path: Path, archive: Archive) -> None:
    """Writes `archive` to `path`, in the format that its name says, all of it or nothing.

    Raises:
      UsageError: it cannot be written, or the format lacks a type.
    """
    keys = [parameter.key for parameter in archive.parameters]
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if twice is not None:
        raise UsageError(f"two parameters are called {twice!r}")
    form = format_of(path)
    try:
        form.write(path, archive)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
