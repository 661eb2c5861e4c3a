"""What an MLIR program should give: its linalg form, by MLIR's plainest lowering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlirage.checking import Inside
from mlirage.errors import UsageError
from mlirage.importers import Model, import_source
from mlirage.options import CompileOptions
from mlirage.plain_execution import execute
from mlirage.program import Array, Program


class MlirReference:
    """A program and MLIR's own lowering to loops, which shares phase `input` with mlirage and nothing after it.

    Args:
      model: whatever `mlirage.compile` takes of MLIR.
      engine: `auto` or `mlir`.

    Raises:
      UsageError: another engine.
    """

    def __init__(self, model: Model, engine: str = "auto") -> None:
        if engine not in ("auto", "mlir"):
            raise UsageError(f"--reference={engine}: MLIR programs are compared with MLIR's own lowering to loops")
        self.engine = "mlir"
        self.model = model

    def program(self, options: CompileOptions) -> Program:
        """The program, imported."""
        return import_source(self.model, options)

    def run(self, function: str, arguments: Sequence[Array]) -> list[Any]:
        """What the loops give.

        Raises:
          ImportFailure: MLIR cannot lower the program to loops, or running them failed.
        """
        return execute(self.program(CompileOptions()), function, arguments)

    def inside(self, function: str, arguments: Sequence[Array], options: CompileOptions) -> Inside | None:
        """None: operations are looked at after phase `input`, as for all kinds of models."""
        return None
