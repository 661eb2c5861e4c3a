"""Nothing is computed where nothing is stored.

    %r = linalg.generic … outs(%e : tensor<0x?xf32>)      ->      %e

A tensor without elements is equal to any other of its shape, so the result is what it would have been written into.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.mlir import ir
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("global-optimization-skip-empty-results")
def skip_empty_results(program: Program) -> None:
    """Replaces structured ops all of whose results have a static extent of 0 by their inits."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        for op in structured_ops.tensor_ops(function.operation):
            if structured_ops.is_structured(op) and all(_has_no_elements(value) for value in op.results):
                for result, init in zip(op.results, structured_ops.outputs(op), strict=True):
                    result.replace_all_uses_with(init)
                op.erase()


def _has_no_elements(value: ir.Value) -> bool:
    return isinstance(value.type, ir.RankedTensorType) and 0 in value.type.shape
