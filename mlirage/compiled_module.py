"""What compile() returns: the bytes of a module file."""

from __future__ import annotations

import ctypes
import itertools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlirage.module_file import file_size


class CompiledModule(bytearray):
    """A compiled module: the bytes of a module file (docs/module-format.md), usable wherever bytes are.

    It is filled with the pieces that a program is turned into, each of which can leave the memory when it is in:
    weights are never there twice.
    """

    __slots__ = ()

    @staticmethod
    def of(parts: Iterable[bytes | memoryview]) -> CompiledModule:
        """The module whose file these pieces are."""
        remaining = iter(parts)
        first = next(remaining)
        module = CompiledModule()
        # Memory that nobody has touched yet: growing would copy what is there, bytearray(size) fill it with zeros.
        if ctypes.pythonapi.PyByteArray_Resize(ctypes.py_object(module), ctypes.c_ssize_t(file_size(first))):
            raise MemoryError
        position = 0
        for part in itertools.chain([first], remaining):
            module[position : position + len(part)] = part
            position += len(part)
        if position != len(module):
            raise ValueError(f"a module of {len(module)} bytes in pieces of {position} bytes")
        return module

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the module file. A file of that name is replaced at once when all bytes are on disk, or left alone.

        Raises:
          OSError: the file cannot be written.
        """
        write_atomically(Path(path), [self])

    def __repr__(self) -> str:
        return f"<mlirage module, {len(self):,} bytes>"

    __str__ = __repr__


def write_atomically(path: Path, parts: Iterable[bytes | bytearray | memoryview]) -> None:
    """Writes `parts` beside `path`, then renames: nobody ever sees half a file.

    Raises:
      OSError: the file cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
        # mkstemp makes files that only the owner reads; a module gets the permissions of any new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
