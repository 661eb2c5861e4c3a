"""Devices by name. Modules loaded on the same device share its threads and its memory pool."""

from __future__ import annotations

import os
import threading
import weakref
from typing import SupportsIndex, cast

from mlirage.errors import UsageError
from mlirage.runtime._runtime import Device, driver_names

__all__ = ["Device", "device", "driver_names"]

_lock = threading.Lock()
_open: weakref.WeakValueDictionary[tuple[str, int], Device] = weakref.WeakValueDictionary()
# Threads do not live on in a forked process: it opens devices of its own.
os.register_at_fork(after_in_child=_open.clear)


def device(name: str = "local-task", threads: int | None = None) -> Device:
    """The device `name`: one for all who ask for the same number of threads, closed when nobody uses it.

    Raises:
      UsageError: no such device, or a number of threads that makes no sense.
    """
    known = driver_names()
    if name not in known:
        raise UsageError(f"no device {name!r}; this build has {', '.join(known)}")
    given = cast(object, threads)  # callers without a type checker
    if given is not None and (not isinstance(given, SupportsIndex) or not 1 <= given.__index__() <= 256):
        raise UsageError(f"threads={threads!r}: 1 to 256, or None for all cores")
    if threads is not None and threads > 1 and name != "local-task":
        raise UsageError(f"device {name!r} has one thread; threads={threads} needs device='local-task'")
    key = (name, int(threads or 0))
    with _lock:
        found = _open.get(key)
        if found is None:
            found = _open[key] = Device(*key)
        return found
