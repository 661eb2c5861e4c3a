"""An undefined tensor of another shape is another undefined tensor.

    %e = tensor.empty(%n) : tensor<?x4xf32>                                   %r = tensor.empty(%n) : tensor<?x2x2xf32>
    %r = tensor.expand_shape %e [[0], [1, 2]] output_shape [%n, 2, 2]   ->

Canonicalization makes such reshapes when a `linalg.fill` moves past one. They would hide from dispatch creation that
the memory of the fill is free to choose.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.extents import Extents
from mlirage.global_optimization.simplify_reshape import RESHAPES
from mlirage.mlir import ir, tensor
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("global-optimization-fold-empty-reshapes")
def fold_empty_reshapes(program: Program) -> None:
    """Replaces expand_shape and collapse_shape of `tensor.empty` by `tensor.empty`."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        extents = Extents()
        for op in structured_ops.tensor_ops(function.operation):
            if op.name in RESHAPES and _is_empty(op.operands[0]):
                kind = ir.RankedTensorType(op.results[0].type)
                dynamic = iter(extents.dynamic(op.results[0]))
                with ir.InsertionPoint(op), op.location:
                    sizes = [next(dynamic) if kind.is_dynamic_dim(i) else kind.shape[i] for i in range(kind.rank)]
                    new = tensor.empty(sizes, kind.element_type)
                op.results[0].replace_all_uses_with(new)
                extents.forget(op)
                op.erase()


def _is_empty(value: ir.Value) -> bool:
    return isinstance(value, ir.OpResult) and value.owner.operation.name == "tensor.empty"
