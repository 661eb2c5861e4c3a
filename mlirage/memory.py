"""Memory of large arrays that can be given back before the array dies: pages of files, and our own.

A model's weights go from its file through packed forms into one slab and from there into the module. Each step gives
back what it has read, so that memory holds them about once.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
FREED_AT_ONCE = 1 << 26
_TRIM: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None


def release_pages(array: Array) -> None:
    """Gives back the memory in which parts of a memory-mapped file lie; they are read again when they are needed.

    Only of maps that cannot be written: pages of others may hold what is not in the file.
    """
    base = _owner(array)
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and memoryview(base).readonly:
        base.madvise(mmap.MADV_DONTNEED)


class _Memory(mmap.mmap):
    """Memory of the process that can be given back page by page."""


def zeroed_bytes(size: int) -> Array:
    """Zeros whose memory `use_up` gives back piece by piece."""
    if not size or not hasattr(mmap, "MAP_PRIVATE"):
        return np.zeros(size, np.uint8)
    return np.frombuffer(_Memory(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)


def use_up(array: Array, piece: int = 1 << 24) -> Iterator[memoryview]:
    """The bytes of an array in C order, in pieces; those of `zeroed_bytes` are lost when the next one is asked for."""
    data = array.reshape(-1).view(np.uint8).data
    base = _owner(array)
    owned = isinstance(base, _Memory) and len(base) == len(data) and hasattr(mmap, "MADV_DONTNEED")
    for start in range(0, len(data), piece):
        yield data[start : start + piece]
        if owned:
            base.madvise(mmap.MADV_DONTNEED, start, min(piece, len(data) - start))


def release_freed() -> None:
    """Gives the system what was freed between blocks that are in use, where the C library can (glibc's `malloc_trim`).

    Arrays of some megabytes come from the heap, which keeps the memory of those that are gone. Takes a millisecond or
    two per gigabyte: to be called each time that `FREED_AT_ONCE` bytes have gone.
    """
    if _TRIM is not None:
        _TRIM(0)


def _owner(array: Array) -> Any:
    """What has the memory of an array: an array, a map, bytes, …"""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:  # pyright: ignore[reportUnknownMemberType]
        base = base.base  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return base.obj if isinstance(base, memoryview) else base
