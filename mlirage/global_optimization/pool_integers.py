"""global-optimization-pool-integers: maxima over windows of dequantized numbers are taken of the integers.

    %x = linalg.generic ins(%q : …xi8) { (extui q - 120) * 0.02 }
    %p = tensor.pad %x { -inf }
    %r = linalg.pooling_nchw_max ins(%p, %window) outs(%lowest)
      ─>
    %p = tensor.pad %q { 0 }
    %i = linalg.generic ins(%p, %window) outs(%zeros : …xi8) { maxui }
    %r = linalg.generic ins(%i) { (extui i - 120) * 0.02 }

A dequantization by one positive scale keeps the order, rounding included: the results are the same bits. Every window
must hold an element that is no padding, as the lowest integer stands for less than it is worth there.
"""

from __future__ import annotations

import math

from mlirage import structured_ops
from mlirage.codegen.cpu.window_op import linear_terms
from mlirage.global_optimization.dequantized_factors import Dequantization, match_dequantization
from mlirage.mlir import arith, ir, linalg, tensor
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import extents

_MAXIMA = ("arith.maximumf", "arith.maxnumf")


@module_pass("global-optimization-pool-integers")
def pool_integers(program: Program) -> None:
    """Moves dequantizations behind the poolings that read them."""
    for op in structured_ops.tensor_ops(program.module.operation):
        if structured_ops.is_structured(op) and _is_maximum(op):
            _rewrite(op)


def _is_maximum(op: ir.Operation) -> bool:
    """Whether `op` takes maxima over windows, whose shape its second operand tells."""
    if structured_ops.segment_sizes(op) != [2, 1] or len(op.results) != 1 or not structured_ops.is_window(op):
        return False
    block = structured_ops.body(op)
    ops = [inner.operation for inner in block.operations]
    return (
        len(ops) == 2
        and ops[0].name in _MAXIMA
        and set(ops[0].operands) == {block.arguments[0], block.arguments[2]}
        and ops[1].operands[0] == ops[0].results[0]
        and isinstance(structured_ops.element_type(op.results[0].type), ir.F32Type)
    )


def _rewrite(op: ir.Operation) -> None:
    image, window = structured_ops.inputs(op)
    pad = _owner(image)
    pad = pad if pad is not None and pad.name == "tensor.pad" else None
    dequantized = match_dequantization(image if pad is None else pad.operands[0])
    if dequantized is None or not _keeps_order(dequantized):
        return
    lowest = -128 if dequantized.signed else 0
    worth = (lowest - _zero(dequantized)) * _scale(dequantized)
    init = _owner(structured_ops.outputs(op)[0])
    if init is None or init.name != "linalg.fill" or not _is_at_most(init.operands[0], worth):
        return
    if pad is not None:
        padding = list(pad.regions[0].blocks[0].operations)[-1].operation.operands[0]
        if not _is_at_most(padding, worth) or not _holds_elements(op, pad):
            return
    byte = ir.IntegerType.get_signless(8)
    with ir.InsertionPoint(op), op.location:
        integers = dequantized.source.value
        least = arith.constant(byte, lowest)
        if pad is not None:
            integers = _padded(pad, integers, least)
        shape = extents(structured_ops.outputs(op)[0])
        start = linalg.fill(least, outs=[tensor.EmptyOp(shape, byte).result])
        maximum = arith.maxsi if dequantized.signed else arith.maxui
        pooled = structured_ops.build_generic(
            [integers, tensor.EmptyOp(extents(window), byte).result], [start], structured_ops.indexing_maps(op),
            structured_ops.parallel_loops(op), lambda block: [maximum(block.arguments[2], block.arguments[0])],
            op.location,
        ).results[0]  # fmt: skip
        identity = structured_ops.identity_map(len(shape))
        result = structured_ops.build_generic(
            [pooled], [tensor.EmptyOp(shape, ir.F32Type.get()).result], [identity, identity], [True] * len(shape),
            lambda block: [_dequantize(dequantized, block.arguments[0])], op.location,
        ).results[0]  # fmt: skip
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _keeps_order(dequantized: Dequantization) -> bool:
    source, scale = dequantized.source, dequantized.scale
    rank = ir.RankedTensorType(source.value.type).rank
    return (
        dequantized.is_float
        and str(structured_ops.element_type(source.value.type)) == "i8"
        and source.read == structured_ops.identity_map(rank)
        and isinstance(dequantized.zero, int | None)
        and (scale is None or (isinstance(scale, float) and scale > 0 and math.isfinite(scale)))
    )


def _zero(dequantized: Dequantization) -> int:
    assert isinstance(dequantized.zero, int | None), "_keeps_order was not asked"
    return dequantized.zero or 0


def _scale(dequantized: Dequantization) -> float:
    assert isinstance(dequantized.scale, float | None), "_keeps_order was not asked"
    return 1.0 if dequantized.scale is None else dequantized.scale


def _is_at_most(value: ir.Value, limit: float) -> bool:
    constant = _owner(value)
    if constant is None or constant.name != "arith.constant":
        return False
    return ir.FloatAttr(constant.attributes["value"]).value <= limit


def _holds_elements(op: ir.Operation, pad: ir.Operation) -> bool:
    """Whether every window reaches into what was padded, along every dim."""
    low, high = (list(ir.DenseI64ArrayAttr(pad.attributes[name])) for name in ("static_low", "static_high"))
    source = ir.RankedTensorType(pad.operands[0].type)
    sizes, parallel = structured_ops.loop_extents(op), structured_ops.parallel_loops(op)
    for dim, place in enumerate(structured_ops.indexing_maps(op)[0].results):
        before, after = low[dim], high[dim]
        if before == after == 0:
            continue
        terms = linear_terms(place) or {}
        taps = [loop for loop in terms if not parallel[loop]]
        if structured_ops.DYNAMIC in (before, after) or len(taps) != 1 or terms[taps[0]] != 1:
            return False
        reach = sizes[taps[0]]
        # a dynamic extent may be 0
        elements = not source.is_dynamic_dim(dim) and source.get_dim_size(dim) > 0
        if not (before < reach and after < reach and (elements or before + after < reach)):
            return False
    return True


def _padded(pad: ir.Operation, integers: ir.Value, padding: ir.Value) -> ir.Value:
    moved = pad.clone(ip=ir.InsertionPoint.current)
    moved.operands[0] = integers
    moved.results[0].set_type(ir.RankedTensorType.get(pad.results[0].type.shape, padding.type))
    list(moved.regions[0].blocks[0].operations)[-1].operation.operands[0] = padding
    return moved.results[0]


def _dequantize(dequantized: Dequantization, number: ir.Value) -> ir.Value:
    i32, f32 = ir.IntegerType.get_signless(32), ir.F32Type.get()
    wide = arith.extsi(i32, number) if dequantized.signed else arith.extui(i32, number)
    if _zero(dequantized):
        wide = arith.subi(wide, arith.constant(i32, _zero(dequantized)))
    result = arith.sitofp(f32, wide)
    if dequantized.scale is None:
        return result
    return arith.mulf(result, arith.constant(f32, _scale(dequantized)))


def _owner(value: ir.Value) -> ir.Operation | None:
    return None if isinstance(value.owner, ir.Block) else value.owner.operation
