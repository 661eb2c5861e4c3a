"""input-inline-scalar-generics: linalg ops on 0-d tensors inside linalgx ops and generics become scalar code.

    %t = tensor.from_elements %a : tensor<f32>
    %r = linalg.generic {maps ()} ins(%t) {^bb0(%x): %y = arith.negf %x; linalg.yield %y}     =>    %y = arith.negf %a
    %v = tensor.extract %r[]

StableHLO's comparators and combiners are code on 0-d tensors; the regions of those ops are code on their elements.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.mlir import ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-inline-scalar-generics")
def inline_scalar_generics(program: Program) -> None:
    """Inlines the bodies of loop-free structured ops in the regions of linalgx and linalg ops."""
    for op in walk(program.module.operation):
        if not (op.name.startswith("linalgx.") or op.name == "linalg.generic") or not op.regions:
            continue
        found = [o for o in walk(op) if structured_ops.is_structured(o) and not structured_ops.parallel_loops(o)]
        for inner in found:
            _inline(inner)


def _inline(op: ir.Operation) -> None:
    with op.location, ir.InsertionPoint(op):
        scalars = [
            tensor.extract(operand, []) if isinstance(operand.type, ir.RankedTensorType) else operand
            for operand in op.operands
        ]
        values = structured_ops.clone_body(structured_ops.body(op), scalars)
        for result, value in zip(op.results, values, strict=True):
            result.replace_all_uses_with(tensor.from_elements(ir.RankedTensorType(result.type), [value]))
    op.erase()
