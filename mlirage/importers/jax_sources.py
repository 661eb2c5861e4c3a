"""How JAX's kinds of sources are told from others', without importing JAX."""

from __future__ import annotations

import functools
import inspect
from typing import Any

# Libraries whose callables are functions of JAX arrays.
_PACKAGES = frozenset(("jax", "jaxlib", "equinox", "flax"))
_SIZE_OF_TABLE = 4096  # a flatbuffer starts with the place of its root table, which is near


def is_jax_object(source: Any) -> bool:
    """Whether `source` is a function (of JAX, or plain: then JAX traces it) or a `jax.export.Exported`."""
    packages = {base.__module__.partition(".")[0] for base in type(source).__mro__}
    if packages & _PACKAGES:
        return callable(source) or type(source).__name__ == "Exported"
    return inspect.isroutine(source) or isinstance(source, functools.partial)


def is_jax_data(data: bytes) -> bool:
    """Whether bytes are what `Exported.serialize()` gives: a flatbuffer around a portable artifact."""
    return int.from_bytes(data[:4], "little") < _SIZE_OF_TABLE and b"ML\xefR\rStableHLO_v" in data
