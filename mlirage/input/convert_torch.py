"""input-convert-torch: the torch dialect becomes linalg on tensors, by torch-mlir's own pipelines.

    %1 = torch.aten.relu %0 : !torch.vtensor<[2],f32> -> …      =>      %1 = linalg.generic … arith.maximumf

Modules without torch ops and types are left alone. Asserts that the lowering puts into the bodies of linalg ops are
dropped. torch-mlir ends the process at some programs, so a worker goes first.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from mlirage.errors import CompileError
from mlirage.mlir import ir, run_pipeline, walk, write_bytecode
from mlirage.passes import module_pass
from mlirage.program import Program

_ONNX = "torch-onnx-to-torch-backend-pipeline{backend-legal-ops=aten.flatten.using_ints,aten.unflatten.int}"
_TORCH = "func.func(torch-match-quantized-custom-ops),torchdynamo-export-to-torch-backend-pipeline"
_LINALG = "torch-backend-to-linalg-on-tensors-backend-pipeline{allow-non-finites=true}"

_TIMEOUT = 600.0
# What the worker runs: it converts the module on standard input, and is dead, or not, afterwards.
_PROGRAM = """
import sys
from mlirage.mlir import ir, new_context, run_pipeline
module = ir.Module.parse(sys.stdin.buffer.read(), new_context())
try:
    run_pipeline(module.operation, sys.argv[1])
except ir.MLIRError:
    pass  # an error is an answer; the compiler will get the same one
"""


@module_pass("input-convert-torch")
def convert_torch(program: Program) -> None:
    """Runs torch-mlir's pipelines if there are torch ops."""
    module = program.module.operation
    names = {op.name for op in walk(module) if op.name.startswith("torch.")}
    if not names and not any("!torch." in str(op.attributes["function_type"]) for op in _functions(module)):
        return
    onnx = any(
        op.name == "torch.operator" and ir.StringAttr(op.attributes["name"]).value.startswith("onnx.")
        for op in walk(module)
    )
    pipeline = f"{_ONNX if onnx else _TORCH},{_LINALG}"
    _try_in_worker(module, pipeline, names)
    run_pipeline(module, pipeline)
    for op in [op for op in walk(module) if op.name == "cf.assert"]:
        if op.parent.name.startswith("linalg."):
            op.erase()


def _functions(module: ir.Operation) -> list[ir.Operation]:
    return [op for op in walk(module) if op.name == "func.func"]


def _try_in_worker(module: ir.Operation, pipeline: str, names: set[str]) -> None:
    """Raises CompileError if the conversion ends its process, or takes too long."""
    command = [sys.executable, "-c", _PROGRAM, pipeline]
    try:
        done = subprocess.run(command, input=write_bytecode(module), capture_output=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise CompileError(f"torch-mlir's lowering of this program takes longer than {_TIMEOUT:.0f} s") from None
    if done.returncode < 0:
        listed = ", ".join(sorted(names))
        raise CompileError(
            f"torch-mlir's lowering of this program ended its process ({signal.Signals(-done.returncode).name}); "
            f"its operations are {listed}"
        )
