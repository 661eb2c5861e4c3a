"""input-convert-torch: the torch dialect becomes linalg on tensors, by torch-mlir's own pipelines.

    %1 = torch.aten.relu %0 : !torch.vtensor<[2],f32> -> …      =>      %1 = linalg.generic … arith.maximumf

Modules without torch ops are left alone. Asserts that the lowering puts into the bodies of linalg ops are dropped.
"""

from __future__ import annotations

from mlirage.mlir import ir, run_pipeline, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_ONNX = "torch-onnx-to-torch-backend-pipeline{backend-legal-ops=aten.flatten.using_ints,aten.unflatten.int}"
_TORCH = "func.func(torch-match-quantized-custom-ops),torchdynamo-export-to-torch-backend-pipeline"
_LINALG = "torch-backend-to-linalg-on-tensors-backend-pipeline{allow-non-finites=true}"


@module_pass("input-convert-torch")
def convert_torch(program: Program) -> None:
    """Runs torch-mlir's pipelines if there are torch ops."""
    module = program.module.operation
    names = {op.name for op in walk(module) if op.name.startswith("torch.")}
    if not names:
        return
    onnx = any(
        op.name == "torch.operator" and ir.StringAttr(op.attributes["name"]).value.startswith("onnx.")
        for op in walk(module)
    )
    run_pipeline(module, f"{_ONNX if onnx else _TORCH},{_LINALG}")
    for op in [op for op in walk(module) if op.name == "cf.assert"]:
        if op.parent.name.startswith("linalg."):
            op.erase()
