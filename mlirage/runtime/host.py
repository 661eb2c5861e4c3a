"""Modules written in Python: functions that programs import, as native modules in C are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlirage.errors import UsageError
from mlirage.runtime import _runtime

ModuleContents = str | os.PathLike[str] | bytes | bytearray | memoryview


class Module:
    """Functions under the name of a module.

    Args:
      name: what programs import from: `name.function`.
      functions: name → (calling convention, function). Kinds of a convention: `i` and `I` are ints of 32 and 64 bits,
        `f` and `F` floats, `r` is a reference: None, the bytes of a buffer as an array of uint8 (writable where the
        program may write), a `View`, or something opaque to be given back. "[…]" repeats: a list of tuples. Results:
        None, one value, or as many as the convention has; a reference is one of the above or anything with bytes.
      version: what an import may ask for.

    An exception is the failure of the program's call, with its type and text.
    """

    def __init__(self, name: str, functions: Mapping[str, tuple[str, Callable[..., Any]]], version: int = 0) -> None:
        for function, entry in functions.items():
            if not (isinstance(entry, tuple) and len(entry) == 2 and callable(entry[1])):  # pyright: ignore
                raise UsageError(f"{name}.{function}: expected a calling convention and a function, got {entry!r}")
        self.name = name
        self.native = _runtime.HostModule.make(name, version, dict(functions))


def make_links(
    imports: Sequence[Module | ModuleContents], jump_limit: int, trace: Callable[[str], None] | None
) -> _runtime.Links:
    """What a session is linked with.

    Raises:
      DeviceError: a module is malformed.
    """
    hosts = [item.native for item in imports if isinstance(item, Module)]
    libraries = [contents_of(item) for item in imports if not isinstance(item, Module)]
    return _runtime.Links.make(hosts, libraries, jump_limit, trace)


def contents_of(source: ModuleContents) -> bytes | bytearray | memoryview:
    """The bytes of a module; a file is read."""
    if not isinstance(source, str | os.PathLike):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
