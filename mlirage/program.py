"""A program under compilation: an MLIR module and, beside it, the arrays it names.

Weights never enter IR text. The module says `ml_program.global private @w(#ml_program.extern : tensor<…>)`; the array
is `Program.constants["w"]`. A splat (all elements equal) is an array whose strides are all 0
(`np.broadcast_to(value, shape)`): it costs one element, here, on disk and in the module file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mlirage.archives import safetensors as archive_file
from mlirage.archives.archive import Archive, Parameter
from mlirage.mlir import ir, new_context
from mlirage.options import CompileOptions

Array = np.ndarray[Any, np.dtype[Any]]

_WEIGHTS_SUFFIX = ".weights"


@dataclass
class Program:
    """What passes work on.

    Attributes:
      module: the IR.
      constants: arrays by symbol name, in C order; splats have strides 0. The bytes of executables (uint8) join them
        in phase `executable-targets`.
      options: what the user asked for.
    """

    module: ir.Module
    constants: dict[str, Array] = field(default_factory=dict[str, Array])
    options: CompileOptions = field(default_factory=CompileOptions)

    @property
    def context(self) -> ir.Context:
        """The MLIR context of the module."""
        return self.module.context

    def save(self, path: Path, weights_like: Path | None = None) -> None:
        """Writes the IR as text to `path` and, if there are any, the constants to `path` + '.weights'.

        `weights_like` is the path of an earlier save with the same constants: its weights file is linked.
        """
        path.write_text(self.module.operation.get_asm(enable_debug_info=True))
        weights = Path(f"{path}{_WEIGHTS_SUFFIX}")
        weights.unlink(missing_ok=True)
        if not self.constants:
            return
        if weights_like:
            weights.hardlink_to(f"{weights_like}{_WEIGHTS_SUFFIX}")
            return
        parameters: list[Parameter] = []
        index: dict[str, dict[str, Any]] = {}
        for name, array in sorted(self.constants.items()):
            splat = is_splat(array)
            stored = array.reshape(-1)[:1] if splat and array.size else array
            parameters.append(Parameter(name, "uint8", (stored.nbytes,), stored.nbytes, partial(_bytes_of, stored)))
            index[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "splat": splat}
        archive_file.write(weights, Archive(tuple(parameters), {"constants": json.dumps(index)}))

    @staticmethod
    def load(path: Path, options: CompileOptions) -> Program:
        """Reads what `save` wrote (or any MLIR text or bytecode file); constants are maps of the file.

        Raises:
          ir.MLIRError: the text does not parse or verify.
          UsageError: the file of the constants is damaged.
        """
        module = ir.Module.parseFile(str(path), new_context())
        constants: dict[str, Array] = {}
        weights = Path(f"{path}{_WEIGHTS_SUFFIX}")
        if weights.exists():
            archive = archive_file.read(weights)
            stored = {parameter.key: parameter for parameter in archive.parameters}
            for name, entry in json.loads(archive.metadata["constants"]).items():
                data = np.asarray(stored[name].read()).view(numpy_dtype(entry["dtype"]))
                shape = tuple(entry["shape"])
                constants[name] = (
                    np.broadcast_to(data[0], shape) if entry["splat"] and data.size else data.reshape(shape)
                )
        return Program(module, constants, options)


def _bytes_of(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def is_splat(array: Array) -> bool:
    """Whether `array` is stored as one element (all strides 0)."""
    return array.ndim > 0 and array.size > 0 and not any(array.strides)


def as_splat(array: Array) -> Array:
    """The array, as one element with strides 0 if all its elements have the same bytes."""
    if array.size < 2 or array.ndim == 0 or is_splat(array):
        return array
    flat = array.reshape(-1)
    first = flat[0].tobytes()
    if flat[-1].tobytes() != first or flat[flat.size // 2].tobytes() != first:
        return array
    raw = flat.view(np.uint8).reshape(flat.size, -1)
    return np.broadcast_to(flat[0], array.shape) if (raw == raw[0]).all() else array


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype called `name`, the ml_dtypes (bfloat16, float8_…, int4, …) included."""
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)
