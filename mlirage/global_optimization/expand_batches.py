"""Gives batched products whose operands were collapsed for them their own batch dims back.

    %a = collapse_shape %x : 2x3x4x5 into 6x4x5
    %b = collapse_shape %y : 2x3x5x7 into 6x5x7      ->   linalg.generic (b0, b1, m, n, k) on %x and %y
    %c = linalg.batch_matmul ins(%a, %b)                  collapse_shape of the result

The reshapes of operands and result then meet their inverses, and transposes of the operands can be folded.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.extents import Extents, reassociation
from mlirage.global_optimization.propagate_reshapes import expanded_init, replace_by_collapsed
from mlirage.mlir import ir
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("global-optimization-expand-batches")
def expand_batches(program: Program) -> None:
    """Rewrites batch_matmul of collapsed batches as contractions with several batch dims."""
    for function in program.module.body.operations:
        if function.operation.name == "func.func":
            extents = Extents()
            for op in structured_ops.tensor_ops(function.operation):
                if op.name == "linalg.batch_matmul":
                    _expand(op, extents)


def _expand(op: ir.Operation, extents: Extents) -> None:
    sources = [_batched_source(operand) for operand in structured_ops.inputs(op)]
    left, right = sources
    if left is None or right is None or left.type.rank != right.type.rank:
        return
    batch = left.type.rank - 2
    shape = list(left.type.shape[:batch])
    if shape != list(right.type.shape[:batch]):
        return
    for dim in range(batch):
        if left.type.is_dynamic_dim(dim) and extents.extent(left, dim) != extents.extent(right, dim):
            return
    loops = [ir.AffineDimExpr.get(i) for i in range(batch + 3)]
    maps: list[ir.AffineMap] = []
    for old in structured_ops.indexing_maps(op):
        inner = [ir.AffineDimExpr.get(ir.AffineDimExpr(expr).position + batch - 1) for expr in list(old.results)[1:]]
        maps.append(ir.AffineMap.get(batch + 3, 0, loops[:batch] + inner))
    dims = [extents.extent(left, dim) for dim in range(batch) if left.type.is_dynamic_dim(dim)]
    with ir.InsertionPoint(op), op.location:
        init = expanded_init(op, shape, dims, extents)
        generic = structured_ops.build_generic(
            [left, right],
            [init],
            maps,
            [True] * (batch + 2) + [False],
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)),
            op.location,
        )
        replace_by_collapsed(op, generic, [list(range(batch)), [batch], [batch + 1]], extents)


def _batched_source(value: ir.Value) -> ir.Value | None:
    """What `value` was before its batch dims were collapsed."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "tensor.collapse_shape":
        return None
    groups = reassociation(value.owner.operation)
    return value.owner.operation.operands[0] if [len(group) for group in groups[1:]] == [1, 1] else None
