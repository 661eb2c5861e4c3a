"""Runs the linalg program that an importer made, by upstream's plainest lowering: loops, no fusion, no schedule.

It shares nothing with mlirage's own back end (but the loops of linalgx ops), so it tells importer faults from compiler
faults: `ModelRunner("tests.importers.reference_runner:import_and_run")`. A failed `cf.assert` ends the process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.plain_execution import run_by_loops


def import_and_run(model: Any, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """The outputs of an ONNX model."""
    from mlirage.importers.onnx import import_onnx
    from mlirage.options import CompileOptions

    return run_program(import_onnx(model, CompileOptions()), inputs)


def run_program(program: Any, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Lowers `program` and calls its `main`."""
    return run_by_loops(program, "main", inputs)
