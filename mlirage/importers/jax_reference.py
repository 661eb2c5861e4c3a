"""What a JAX program should give: the export, called by JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mlirage.checking import Inside
from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.jax import exported_of, import_exported, is_key
from mlirage.options import CompileOptions
from mlirage.program import Array, Program


class JaxReference:
    """An export and JAX.

    Args:
      model: whatever `mlirage.compile` takes of JAX.
      engine: `auto` or `jax`.

    Raises:
      UsageError: another engine, or example inputs are missing.
      ImportFailure: JAX cannot trace or read it.
    """

    def __init__(self, model: Model, engine: str = "auto") -> None:
        if engine not in ("auto", "jax"):
            raise UsageError(f"--reference={engine}: JAX programs are compared with JAX")
        self.engine = "jax"
        self.exported = exported_of(model)

    def program(self, options: CompileOptions) -> Program:
        """The program, imported."""
        return import_exported(self.exported, options)

    def run(self, function: str, arguments: Sequence[Array]) -> list[Any]:
        """What JAX gives, leaf by leaf.

        Raises:
          ImportFailure: it fails.
        """
        try:
            leaves = [
                jax.random.wrap_key_data(jax.numpy.asarray(x)) if is_key(aval) else np.asarray(x)
                for x, aval in zip(arguments, self.exported.in_avals, strict=True)
            ]
            positional, keywords = jax.tree.unflatten(self.exported.in_tree, leaves)
            results = jax.tree.leaves(self.exported.call(*positional, **keywords))
            return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in results]
        except Exception as error:  # JAX's own classes, and those of what it calls
            raise ImportFailure(f"the reference (jax) fails: {type(error).__name__}: {error}") from error

    def inside(self, function: str, arguments: Sequence[Array], options: CompileOptions) -> Inside | None:
        """None: an export does not show the values in it."""
        return None
