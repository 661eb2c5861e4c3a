"""Lets contractions read transposed operands where they lie.

    %t = linalg.generic (copy) (h, s) -> (s, h) …      ->   contraction with the map (m, n, k) -> (k, m) for %x
    %c = contraction ins(%t, %b)

Not folded: what would make the columns of the right operand lie apart (kernels read those as vectors), and transposes
of constants, which are carried out at compile time.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.mlir import ir
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("global-optimization-fold-transposes")
def fold_transposes(program: Program) -> None:
    """Folds transposes of operands into the indexing maps of contractions."""
    for op in structured_ops.tensor_ops(program.module.operation):
        if structured_ops.is_structured(op) and structured_ops.is_contraction(op) and len(op.results) == 1:
            _fold(op)


def _fold(op: ir.Operation) -> None:
    maps = structured_ops.indexing_maps(op)
    written = structured_ops.map_dims(maps[-1])
    column = written[-1] if written else None
    operands = structured_ops.inputs(op)
    folded = False
    for number, operand in enumerate(operands):
        transpose = transposed_source(operand)
        if transpose is None:
            continue
        source, permutation = transpose
        new = structured_ops.compose(permutation, maps[number])
        old_dims, new_dims = structured_ops.map_dims(maps[number]), structured_ops.map_dims(new)
        is_constant = not isinstance(source.owner, ir.Block) and (
            source.owner.operation.name in ("ml_program.global_load_const", "arith.constant")
        )
        if is_constant or (column in old_dims and old_dims[-1] == column != new_dims[-1]):
            continue
        operands[number], maps[number] = source, new
        folded = True
    if not folded:
        return
    with ir.InsertionPoint(op):
        generic = structured_ops.build_generic(
            operands,
            structured_ops.outputs(op),
            maps,
            structured_ops.parallel_loops(op),
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)),
            op.location,
        )
    op.results[0].replace_all_uses_with(generic.results[0])
    op.erase()


def transposed_source(value: ir.Value) -> tuple[ir.Value, ir.AffineMap] | None:
    """If `value` is a transpose: what of, and the map from its indices to those of the source."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "linalg.generic":
        return None
    op = value.owner.operation
    ins = structured_ops.inputs(op)
    if len(ins) != 1 or not structured_ops.is_elementwise(op) or ins[0].type.element_type != value.type.element_type:
        return None
    block = structured_ops.body(op)
    if len(block.operations) != 1 or block.operations[0].operands[0] != block.arguments[0]:
        return None
    read, written = structured_ops.indexing_maps(op)
    if not read.is_permutation:
        return None
    return ins[0], structured_ops.compose(read, structured_ops.inverse_permutation(written))
