"""Parameters: weights that are kept outside of the module (docs/parameters.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.errors import UsageError
from mlirage.runtime._runtime import Parameters

ParameterSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Mapping[str, Any]
SCOPE = "model"  # of a compiled model's weights


def make_parameters(source: ParameterSource | None) -> Parameters:
    """The parameters of `load(parameters=…)`; none for None.

    Raises:
      UsageError: `source` is none of what is accepted.
      DeviceError: the file is malformed.
    """
    parameters = Parameters()
    if source is None:
        return parameters
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.suffix != ".safetensors":
            raise UsageError(f"parameters={str(path)!r}: only .safetensors files are read, or a dict of arrays")
        if not path.is_file():
            raise UsageError(f"parameters={str(path)!r}: there is no such file")
        parameters.add_file(SCOPE, str(path))
    elif isinstance(source, bytes | bytearray | memoryview):
        parameters.add_contents(SCOPE, source)
    elif isinstance(source, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        for key, value in source.items():
            if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise UsageError(f"parameters={{…}}: keys are names of weights, got {key!r}")
            array = np.ascontiguousarray(value)
            parameters.add(SCOPE, key, array.reshape(-1).view(np.uint8))
    else:
        raise UsageError(
            "parameters= takes the path of a .safetensors file, the bytes of one, or a dict of arrays, "
            f"got {type(source).__name__}"
        )
    return parameters
