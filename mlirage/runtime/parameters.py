"""Parameters: weights that are kept outside of the module (docs/parameters.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.errors import UsageError
from mlirage.runtime import _runtime

SCOPE = "model"  # of a compiled model's weights
SUFFIXES = (".safetensors", ".irpa", ".gguf")
# How a file is used: its pages in place, read at once, or only to copy from while a module is loaded
# (mlirage_parameters_flags_t).
MODES = {"mmap": 0, "preload": 2, "file": 4}


class Parameters:
    """Weights of modules, by scope and key: files, bytes of such files, and arrays. Any number of modules may use them.

    Nothing is copied unless a module wants the values to lie in another order.
    """

    def __init__(self) -> None:
        self.native = _runtime.Parameters()

    def add_file(self, path: str | os.PathLike[str], scope: str = SCOPE, mode: str = "mmap") -> Parameters:
        """Adds all of a .safetensors, .irpa or .gguf file, which must not change while it is used.

        Args:
          path: the file.
          scope: under which modules ask for the keys; "model" for weights of compiled models.
          mode: "mmap" (pages are read when they are needed), "preload" (all is read now), "file" (only what a module
            loads is read, into memory of its own).

        Raises:
          UsageError: no such file, scope twice with the same key, or no such mode.
          DeviceError: the file is malformed.
        """
        path = Path(path)
        if mode not in MODES:
            raise UsageError(f"mode={mode!r}: how parameters are used is one of {', '.join(MODES)}")
        if path.suffix not in SUFFIXES:
            raise UsageError(f"parameters={str(path)!r}: files of weights are called {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise UsageError(f"parameters={str(path)!r}: there is no such file")
        self.native.add_file(scope, str(path), MODES[mode])
        return self

    def add_contents(self, contents: bytes | bytearray | memoryview, scope: str = SCOPE) -> Parameters:
        """Adds all of a file's bytes, which are used in place.

        Raises:
          DeviceError: they are malformed.
        """
        self.native.add_contents(scope, contents)
        return self

    def add_arrays(self, arrays: Mapping[str, Any], scope: str = SCOPE) -> Parameters:
        """Adds arrays by their keys; contiguous ones are used in place.

        Raises:
          UsageError: a key that is no text, or is there already.
        """
        for key, value in arrays.items():
            if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise UsageError(f"parameters={{…}}: keys are names of weights, got {key!r}")
            self.native.add(scope, key, np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        return self


ParameterSource = Parameters | str | os.PathLike[str] | bytes | bytearray | memoryview | Mapping[str, Any]


def make_parameters(source: ParameterSource | None) -> Parameters:
    """The parameters of `load(parameters=…)`; none for None.

    Raises:
      UsageError: `source` is none of what is accepted.
      DeviceError: the file is malformed.
    """
    if isinstance(source, Parameters):
        return source
    if source is None:
        return Parameters()
    if isinstance(source, str | os.PathLike):
        return Parameters().add_file(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return Parameters().add_contents(source)
    if isinstance(source, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return Parameters().add_arrays(source)
    raise UsageError(
        "parameters= takes the path or the bytes of a .safetensors, .irpa or .gguf file, a dict of arrays, or "
        f"mlirage.runtime.Parameters, got {type(source).__name__}"
    )
