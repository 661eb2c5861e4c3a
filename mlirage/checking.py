"""Does the compiled model give what its framework gives, and if not, where does it begin to differ?

    model ──import──> program ──compile──> results ─┐
          └─ reference (the framework itself) ──────┴─> compare ──> the first node whose value differs

`REFERENCES` says who knows what a kind of model should give. A reference that can show the values inside of a model
names the node; for the others, the imported program is evaluated a second time by MLIR's plainest lowering
(`plain_execution.py`), every operation on its own, and the operation is named by its place in the model.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from mlirage import compiler, importers, runtime
from mlirage.comparison import Array, Difference, compare, random_array
from mlirage.compiled_module import CompiledModule
from mlirage.errors import MlirageError, UsageError
from mlirage.importers import Model
from mlirage.importers.mlir import SIGNATURE, public_functions
from mlirage.mlir import ir
from mlirage.options import CompileOptions
from mlirage.program import Program
from mlirage.runtime.arrays import dtype as numpy_dtype


@dataclass(frozen=True)
class Inside:
    """The values in a model.

    Attributes:
      program: its function of the same name gives all of them.
      values: name and maker of each: ("h", "'product' (MatMul)").
      wanted: what they should be.
    """

    program: Program
    values: list[tuple[str, str]]
    wanted: list[Any]


class Reference(Protocol):
    """What knows what a model should give."""

    engine: str  # its name, for messages

    def program(self, options: CompileOptions) -> Program:
        """The model, imported."""
        ...

    def run(self, function: str, arguments: Sequence[Array]) -> list[Any]:
        """The results of a function, in the order of its signature.

        Raises:
          ImportFailure: the reference fails.
        """
        ...

    def inside(self, function: str, arguments: Sequence[Array], options: CompileOptions) -> Inside | None:
        """The values inside of a function; None where this reference cannot show them.

        Raises:
          MlirageError: not of this model.
        """
        ...


# Who knows what a kind of model should give: "module:class", called with the model and the name of an engine.
REFERENCES = {
    "onnx": "onnx_reference:OnnxReference",
    "pytorch": "pytorch_reference:PyTorchReference",
    "jax": "jax_reference:JaxReference",
    "tensorflow": "tensorflow_reference:TensorFlowReference",
    "tflite": "tflite_reference:TFLiteReference",
    "mlir": "mlir_reference:MlirReference",
}


@dataclass(frozen=True)
class Tolerance:
    """An element may differ by `atol + rtol * abs(expected)`."""

    rtol: float = 1e-3
    atol: float = 1e-5

    def compare(self, name: str, want: Any, got: Any) -> Difference:
        """How `got` differs from `want`."""
        return compare(name, want, got, self.rtol, self.atol)


@dataclass(frozen=True)
class Report:
    """What became of a function.

    Attributes:
      function: its name.
      outputs: how each of its results compares.
      first: which node differs first, in words; empty where all is well.
    """

    function: str
    outputs: list[Difference]
    first: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether all outputs are within the tolerance."""
        return not any(output.problem for output in self.outputs)


def reference_of(model: Model, engine: str = "auto", kind: str = "auto") -> Reference:
    """Who knows what `model` should give.

    Raises:
      UsageError: there is no such file or engine, or nobody knows.
    """
    known = importers.kind_of(model, kind).name
    module, _, name = REFERENCES[known].partition(":")
    try:
        return getattr(importlib.import_module(f"mlirage.importers.{module}"), name)(model, engine)
    except ModuleNotFoundError as error:
        raise UsageError(f"the reference of {known} models needs the package {error.name!r}") from error


@dataclass
class Checker:
    """Compiles a model once and compares its functions.

    Args:
      reference: says what is right.
      options: of the compilation.
      device: to run on.
      tolerance: of elements.
    """

    reference: Reference
    options: CompileOptions = field(default_factory=CompileOptions)
    device: str = "local-sync"
    tolerance: Tolerance = field(default_factory=Tolerance)

    def __post_init__(self) -> None:
        self.run: Any = self._compiled(self.reference.program(self.options))

    def check(self, function: str, arguments: Sequence[Any]) -> Report:
        """Runs a function and its reference.

        Raises:
          ImportFailure: the reference fails.
          DeviceError: the compiled model does.
        """
        signature = self.run.signatures[function]
        wanted = self.reference.run(function, arguments)
        results = list(self.run[function](*arguments))
        names = [result.name for result in signature.results]
        if len(names) != len(wanted):  # a list or an optional is several results
            names = [f"result{i}" for i in range(len(wanted))]
        outputs = [
            self.tolerance.compare(name, want, _like(got, want))
            for name, want, got in zip(names, wanted, results, strict=True)
        ]
        report = Report(function, outputs)
        return report if report.is_equal else replace(report, first=self.first_difference(function, arguments))

    def first_difference(self, function: str, arguments: Sequence[Any]) -> str:
        """Which node's value is the first that differs, found by making all values results."""
        tried: list[str] = []
        for show in (self.reference.inside, self._inside_of_program):
            try:
                inside = show(function, arguments, self.options)
                if inside is None:
                    continue
                found = self._first_of(inside, function, arguments)
            except MlirageError as error:
                tried.append(f"the first node that differs cannot be found: {error}")
                continue
            if found is not None:
                return found
            tried.append(
                "no node differs when the values of all nodes are results: the fault lies in how nodes are combined"
            )
        return "\n".join(dict.fromkeys(tried))

    def _inside_of_program(self, function: str, arguments: Sequence[Any], options: CompileOptions) -> Inside:
        from mlirage.plain_execution import inside_of_program

        return inside_of_program(self.reference.program(options), function, arguments)

    def _first_of(self, inside: Inside, function: str, arguments: Sequence[Any]) -> str | None:
        run = self._compiled(inside.program)
        results = list(run[function](*arguments))
        for (name, node), want, got in zip(inside.values, inside.wanted, results, strict=True):
            difference = self.tolerance.compare(name, want, _like(got, want))
            if difference.problem:
                return f"the first node that differs is {node}: {difference}"
        return None

    def _compiled(self, program: Program) -> Any:
        _flatten_signatures(program)
        begun = replace(program, options=replace(self.options, compile_from=program.options.compile_from))
        compiler.run_phases(begun)
        return runtime.load(CompiledModule.of(compiler.assemble(begun)), self.device)


def _flatten_signatures(program: Program) -> None:
    """Functions take and give arrays, not trees of them; lists of arrays and optionals stay."""
    with program.context:
        for function in public_functions(program.module):
            if SIGNATURE not in function.attributes:
                continue
            told: dict[str, Any] = json.loads(ir.StringAttr(function.attributes[SIGNATURE]).value)
            if told.get("source") == "onnx":
                continue
            for name in ("in_tree", "out_tree", "mutated"):
                told.pop(name, None)
            function.attributes[SIGNATURE] = ir.StringAttr.get(json.dumps(told))


def _like(got: Any, want: Any) -> Any:
    """A number as the array that the reference gives."""
    return np.asarray(got, want.dtype) if isinstance(got, int | float) and isinstance(want, np.ndarray) else got


def random_arguments(signature: Any, extents: dict[str, int], seed: int) -> list[Any]:
    """Random arguments of a function; extents that it leaves open are 2, or what `extents` says for their names.

    Raises:
      UsageError: it takes what is not made at random.
    """
    random = np.random.default_rng(seed)
    if signature.in_tree is not None:
        raise UsageError("the model takes sequences or optionals: random inputs are not made for these")
    return [
        random_array(
            numpy_dtype(argument.dtype or "float32"),
            [e if isinstance(e, int) else extents.get(e or "", 2) for e in argument.shape or ()],
            random,
        )
        for argument in signature.arguments
    ]


def check(
    source: Any,
    arguments: Iterable[Any],
    example_inputs: Sequence[Any] = (),
    dynamic_shapes: Any = None,
    function: str = "main",
    tolerance: Tolerance | None = None,
    engine: str = "auto",
    options: CompileOptions | None = None,
    on_reference: Callable[[Reference], None] = lambda reference: None,
) -> Report:
    """Compares one function of a model, which may be an object of a framework, with its framework.

    Args:
      source: as `mlirage.compile` takes it, with `example_inputs` and `dynamic_shapes` where it needs them.
      arguments: arrays, flat: those of nested inputs one after the other.
      function: by name, of models that have several.
      tolerance: of elements.
      engine: which reference, where there are several.
      options: of the compilation.
      on_reference: is told the reference.

    Raises:
      MlirageError: the model cannot be imported or compiled, or its framework fails.
    """
    reference = reference_of(Model(source, tuple(example_inputs), {}, dynamic_shapes), engine)
    on_reference(reference)
    checker = Checker(reference, options or CompileOptions(), tolerance=tolerance or Tolerance())
    return checker.check(function, list(arguments))
