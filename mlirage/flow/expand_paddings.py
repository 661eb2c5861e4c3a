"""Makes a padding of dynamic extents a fill and a write into its middle.

    %p = tensor.pad %x low[1] high[2] {…} : tensor<?xf32> to tensor<?xf32>
    ->
    %f = linalg.fill ins(%value) outs(%e : tensor<?xf32>)
    %p = tensor.insert_slice %x into %f[1] [%n] [1]

The fill is a command of the host, the write a dispatch in place or a copy: neither needs memory of its own. Paddings
that a convolution or pooling reads stay with it, and static ones are kernels.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.extents import Extents
from mlirage.flow.cloning import is_clonable
from mlirage.flow.host_extents import HostExtents
from mlirage.mlir import ir, linalg
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("flow-expand-paddings")
def expand_paddings(program: Program) -> None:
    """Rewrites dynamic tensor.pad that would be a dispatch of its own."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        extents = HostExtents()
        for op in structured_ops.tensor_ops(function.operation):
            if op.name == "tensor.pad" and not op.results[0].type.has_static_shape and not is_clonable(op):
                _expand(op, extents)


def _expand(op: ir.Operation, extents: Extents) -> None:
    block = structured_ops.body(op)
    value = block.operations[len(block.operations) - 1].operands[0]
    if len(block.operations) != 1 or value.owner == block:
        return  # each element of its own: no fill
    source, result = op.operands[0], op.results[0]
    dims, sizes = extents.dynamic(result), extents.dynamic(source)
    low_count = structured_ops.segment_sizes(op)[1]
    with ir.InsertionPoint(op), op.location:
        empty = ir.Operation.create("tensor.empty", [result.type], dims).results[0]
        filled = linalg.fill(value, outs=[empty])
        written = ir.Operation.create(
            "tensor.insert_slice",
            [result.type],
            [source, filled, *list(op.operands)[1 : 1 + low_count], *sizes],
            {
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, low_count, len(sizes), 0]),
                "static_offsets": ir.DenseI64ArrayAttr.get(list(ir.DenseI64ArrayAttr(op.attributes["static_low"]))),
                "static_sizes": ir.DenseI64ArrayAttr.get(list(source.type.shape)),
                "static_strides": ir.DenseI64ArrayAttr.get([1] * source.type.rank),
            },
        ).results[0]
    result.replace_all_uses_with(written)
    extents.forget(op)
    op.erase()
