"""What an ONNX model should give: by ONNX Runtime or, where it is not installed, ONNX's own evaluator.

Values inside the model can be had too, which is how `mlirage check` finds the node that differs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from mlirage.checking import Inside
from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model, import_source
from mlirage.importers.onnx_ops.registry import node_label
from mlirage.options import CompileOptions
from mlirage.program import Program

ENGINES = ("onnxruntime", "onnx")
LARGEST_COPY = 1 << 30
"""Bytes of a model whose inside can be looked at: it is copied for that."""


class OnnxReference:
    """A model and the engine that says what it gives.

    Args:
      model: a path, bytes or an `onnx.ModelProto`.
      engine: one of `ENGINES`, or `auto`: the first that is installed.

    Raises:
      UsageError: no such engine, or it is not installed.
    """

    def __init__(self, model: Model, engine: str = "auto") -> None:
        if engine not in ("auto", *ENGINES):
            raise UsageError(f"--reference={engine}: known are auto, {', '.join(ENGINES)}")
        self.model = model
        self.engine = engine if engine != "auto" else ("onnxruntime" if _installed("onnxruntime") else "onnx")
        if not _installed(self.engine):
            raise UsageError(f"--reference={engine}: the package {engine} is not installed")

    def program(self, options: CompileOptions) -> Program:
        """The model, imported."""
        return import_source(self.model, options)

    def run(self, function: str, arguments: Sequence[Any]) -> list[Any]:
        """The outputs for these inputs.

        Raises:
          ImportFailure: the engine refuses the model or the inputs.
        """
        source = self.model.source
        if isinstance(source, bytes):
            source = onnx.load_from_string(source)
        return self._run(source if isinstance(source, onnx.ModelProto) else str(source), arguments)

    def inside(self, function: str, arguments: Sequence[Any], options: CompileOptions) -> Inside:
        """Every value of the model's main graph.

        Raises:
          UsageError: the model is too large to be copied.
        """
        model = self._copy()
        values = [
            (name, f"{node_label(node)!r} ({node.op_type})")
            for node in model.graph.node
            for name in node.output
            if name
        ]
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name, _ in values)
        return Inside(import_source(model, options), values, self._run(model, arguments))

    def _copy(self) -> onnx.ModelProto:
        source = self.model.source
        if isinstance(source, bytes):
            return onnx.load_from_string(source)
        if isinstance(source, onnx.ModelProto):
            copy = onnx.ModelProto()
            copy.CopyFrom(source)
            return copy
        path = Path(source)
        files = _external_files(onnx.load(str(path), load_external_data=False), path)
        size = path.stat().st_size + sum(file.stat().st_size for file in files)
        if size > LARGEST_COPY:
            raise UsageError(f"{path} is too large ({size >> 20} MiB) to look at its nodes one by one")
        return onnx.load(str(path))

    def _run(self, model: str | onnx.ModelProto, inputs: Sequence[Any]) -> list[Any]:
        try:
            if self.engine == "onnxruntime":
                return _run_onnxruntime(model, inputs)
            from onnx.reference import ReferenceEvaluator

            evaluator = ReferenceEvaluator(model)
            names = [str(name) for name in evaluator.input_names]
            return list(evaluator.run(None, dict(zip(names, inputs, strict=True))))
        except Exception as error:  # whatever an engine raises: it has no common base
            raise ImportFailure(f"the reference ({self.engine}) fails: {type(error).__name__}: {error}") from error


def _run_onnxruntime(model: Any, inputs: Sequence[Any]) -> list[Any]:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    source = model if isinstance(model, str) else model.SerializeToString()
    session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def _installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError:
        return False
    return True


def _external_files(model: onnx.ModelProto, path: Path) -> Iterator[Path]:
    locations = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    yield from (path.parent / location for location in locations if (path.parent / location).is_file())
