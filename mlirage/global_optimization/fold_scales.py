"""Folds a constant factor per output channel into the constant weights of a convolution or matrix product.

    %c = linalg.conv … ins(%x, %w)                               %v = (the product of both, a constant)
    %y = linalg.generic ins(%c, %scale, %shift)           ->     %c = linalg.conv … ins(%x, %v)
         { mulf %c, %scale; addf %shift }                        %y = linalg.generic ins(%c, %shift) { addf }

What remains of a batch normalization is a bias. Floats only; init must be zero, and nobody else may read the unscaled
result. The product with the weights is the one rounding that differs. A splat is not multiplied by what is none: the
module would hold all of its elements.
"""

from __future__ import annotations

import numpy as np

from mlirage import structured_ops
from mlirage.global_optimization.constant_arrays import add_constant, constant_array, drop_unread_constants
from mlirage.mlir import ir, ml_program
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat


@module_pass("global-optimization-fold-scales")
def fold_scales(program: Program) -> None:
    """Moves multiplications by constants from results of convolutions and products to their weights."""
    for op in structured_ops.tensor_ops(program.module.operation):
        if op.name != "linalg.generic" or not structured_ops.is_elementwise(op):
            continue
        for number, operand in enumerate(structured_ops.inputs(op)):
            producer = None if isinstance(operand.owner, ir.Block) else operand.owner.operation
            if producer is not None and _is_product(producer) and len(list(operand.uses)) == 1:
                _fold(program, op, number, producer)
    drop_unread_constants(program)


def _is_product(op: ir.Operation) -> bool:
    if not structured_ops.is_structured(op) or len(op.results) != 1:
        return False
    if not isinstance(structured_ops.element_type(op.results[0].type), ir.FloatType):
        return False
    return (structured_ops.is_contraction(op) or "conv" in op.name) and len(structured_ops.inputs(op)) == 2


def _fold(program: Program, op: ir.Operation, number: int, producer: ir.Operation) -> None:
    block = structured_ops.body(op)
    product = _only_use(block.arguments[number])
    if product is None or product.name != "arith.mulf" or product.block != block or not _starts_at_zero(producer):
        return
    factor = next((v for v in product.operands if v != block.arguments[number]), None)
    if factor is None or not isinstance(factor.owner, ir.Block) or factor.owner != block:
        return
    place = ir.BlockArgument(factor).arg_number
    if place >= len(structured_ops.inputs(op)):
        return
    weights, scale = structured_ops.inputs(producer)[1], structured_ops.inputs(op)[place]
    dims = _dims_of_scale(op, number, place, producer)
    constant_weights, constant_scale = constant_array(program, weights), constant_array(program, scale)
    if dims is None or constant_weights is None or constant_scale is None:
        return
    (name, array), (_, factors) = constant_weights, constant_scale
    if array.dtype != factors.dtype or (is_splat(array) and not is_splat(factors)):
        return
    scaled = _scaled(array, factors, dims)
    symbol = add_constant(program, f"{name}.scaled", scaled, weights)
    with ir.InsertionPoint(producer), op.location:
        producer.operands[1] = ml_program.global_load_const(weights.type, ir.FlatSymbolRefAttr.get(symbol))
    product.results[0].replace_all_uses_with(block.arguments[number])
    product.erase()


def _scaled(array: Array, factors: Array, dims: list[int]) -> Array:
    """`array` times `factors`, whose dims are the dims `dims` of the array."""
    if is_splat(array):
        return np.broadcast_to(array.reshape(-1)[0] * factors.reshape(-1)[0], array.shape)
    order = sorted(range(len(dims)), key=dims.__getitem__)
    shape = [array.shape[dim] if dim in dims else 1 for dim in range(array.ndim)]
    return array * factors.transpose(order).reshape(shape)


def _starts_at_zero(producer: ir.Operation) -> bool:
    init = structured_ops.outputs(producer)[0]
    fill = None if isinstance(init.owner, ir.Block) else init.owner.operation
    if fill is None or fill.name != "linalg.fill" or isinstance(fill.operands[0].owner, ir.Block):
        return False
    constant = fill.operands[0].owner.operation
    if constant.name != "arith.constant":
        return False
    return ir.FloatAttr(constant.attributes["value"]).value == 0.0


def _only_use(value: ir.Value) -> ir.Operation | None:
    uses = list(value.uses)
    return uses[0].owner.operation if len(uses) == 1 else None


def _dims_of_scale(op: ir.Operation, number: int, place: int, producer: ir.Operation) -> list[int] | None:
    """For each dim of the scale the dim of the weights that it is; None if the scale varies along another."""
    maps = structured_ops.indexing_maps(op)
    read, scale = structured_ops.map_dims(maps[number]), structured_ops.map_dims(maps[place])
    weights, written = (structured_ops.map_dims(structured_ops.indexing_maps(producer)[i]) for i in (1, -1))
    dims: list[int] = []
    for loop in scale:
        produced = written[read.index(loop)] if loop is not None and loop in read else None
        if produced is None or produced not in weights:
            return None
        dims.append(weights.index(produced))
    return dims if len(set(dims)) == len(dims) else None
