"""The only door to the MLIR bindings: contexts, dialects, and the few IR helpers that everything uses.

Every other file of the compiler imports `ir`, dialect builders and `run_pipeline` from here, so that the
bindings (the `torch-mlir` wheel: full upstream MLIR, StableHLO, TOSA and torch) can change in one place.
"""

from __future__ import annotations

import re
import io
from collections.abc import Iterator

from torch_mlir import ir, rewrite
from torch_mlir._mlir_libs import _stablehlo  # pyright: ignore[reportPrivateUsage]
from torch_mlir._mlir_libs import _torchMlir  # pyright: ignore[reportPrivateUsage]
from torch_mlir.dialects import (
    affine,
    arith,
    bufferization,
    builtin,
    complex as complex_,
    cf,
    ext,
    func,
    linalg,
    llvm,
    math,
    memref,
    ml_program,
    scf,
    tensor,
    transform,
    vector,
)
from torch_mlir.dialects.transform import interpreter as transform_interpreter
from torch_mlir.passmanager import PassManager

__all__ = [
    "affine", "arith", "bufferization", "builtin", "cf", "complex_", "describe_location", "ext", "func", "ir", "linalg", "llvm", "math",
    "memref", "ml_program", "new_context", "own_dialects", "rewrite", "run_pipeline", "scf", "stablehlo_api", "tensor",
    "transform", "transform_interpreter", "vector", "walk", "write_bytecode",
]  # fmt: skip

stablehlo_api = _stablehlo
_stablehlo.register_stablehlo_passes()

# Dialects that no Python call can load by name become loaded as dependents of these passes.
_LOADERS = (
    "func.func(stablehlo-complex-math-expander)",  # chlo
    "func.func(tm-tensor-bufferize)",  # tm_tensor
    "torch-backend-to-linalg-on-tensors-backend-pipeline",  # torch_c, tm_tensor
)


def own_dialects() -> tuple[type[ext.Dialect], ...]:
    """The dialects defined by mlirage, in the order of the phases."""
    from mlirage.flow.dialect import Flow
    from mlirage.hal.dialect import Hal
    from mlirage.input.linalgx import Linalgx
    from mlirage.stream.dialect import Stream
    from mlirage.util_dialect import Util
    from mlirage.vm.dialect import Vm

    return (Util, Linalgx, Flow, Hal, Stream, Vm)  # stream refers to types of hal


def new_context() -> ir.Context:
    """A context with every dialect that a phase may print loaded, ours included.

    One context serves one compilation; contexts are not shared between threads.
    """
    context = ir.Context()
    _stablehlo.register_dialect(context)
    _torchMlir.register_dialect(context)
    with context:
        empty = ir.Module.create(ir.Location.unknown())
        for pipeline in _LOADERS:
            PassManager.parse(f"builtin.module({pipeline})").run(empty.operation)
        context.load_all_available_dialects()
        for dialect in own_dialects():
            dialect.load()
    return context


def run_pipeline(operation: ir.Operation, pipeline: str) -> None:
    """Runs upstream passes on `operation`, e.g. `run_pipeline(module.operation, "canonicalize,cse")`.

    Raises:
      ir.MLIRError: a pass failed; carries the diagnostics.
      ValueError: the pipeline text is wrong.
    """
    with operation.context:
        PassManager.parse(f"{operation.name}({pipeline})").run(operation)


def describe_location(location: ir.Location) -> str:
    """A location for people: `relu_3 (model.mlir:7:5)` of `loc("relu_3"("model.mlir":7:5))`."""
    text = str(location)
    text = text.removeprefix("loc(").removesuffix(")") if text.startswith("loc(") else text
    text = re.sub(r'"((?:[^"\\]|\\.)*)":(\d+:\d+)(?: to :?[\d:]+)?', r"\1:\2", text)
    text = re.sub(r'"((?:[^"\\]|\\.)*)"\(', r"\1 (", text)
    return re.sub(r'"((?:[^"\\]|\\.)*)"', r"\1", text)


def walk(operation: ir.Operation) -> Iterator[ir.Operation]:
    """Every operation nested in `operation`, in order, excluding itself.

    The walk sees a snapshot of each block: the visited op may be erased or replaced by the caller, but ops nested
    in an erased op must not be touched afterwards.
    """
    for region in operation.regions:
        for block in region.blocks:
            for op in list(block.operations):
                yield op.operation
                yield from walk(op.operation)


def write_bytecode(operation: ir.Operation) -> bytes:
    """`operation` as MLIR bytecode, locations included."""
    buffer = io.BytesIO()
    operation.write_bytecode(buffer)
    return buffer.getvalue()
