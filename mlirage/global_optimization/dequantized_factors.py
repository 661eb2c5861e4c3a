"""Reads an elementwise op as a dequantization: scale * (integer - zero), of a narrow integer tensor.

    %y = linalg.generic ins(%q : i8) { extui; subi 120; sitofp; mulf 0.02 }        scale 0.02, zero 120, unsigned

Scale and zero are numbers or operands of the op; either may be missing. Without a float in the end it is a centering:
integer - zero, in i32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlirage import structured_ops
from mlirage.constants import read_dense
from mlirage.global_optimization.constant_arrays import constant_array
from mlirage.mlir import ir
from mlirage.program import Array, Program


@dataclass(frozen=True)
class Operand:
    """A tensor that an elementwise op reads, and the map from the indices of the op's result to the tensor's."""

    value: ir.Value
    read: ir.AffineMap


Factor = int | float | Operand


@dataclass(frozen=True)
class Dequantization:
    """What an elementwise op computes.

    Attributes:
      source: the narrow integers.
      signed: how they are read.
      zero: an int or an integer operand (read as `zero_signed` says); None: 0.
      scale: a float or a float operand; None: 1.
      is_float: whether the result is f32 rather than i32.
    """

    source: Operand
    signed: bool
    zero: int | Operand | None = None
    zero_signed: bool = True
    scale: float | Operand | None = None
    is_float: bool = False


@dataclass(frozen=True)
class _Part:
    """A value of the body: a dequantization (or a widened zero point), an operand as it is, or a constant."""

    quantized: Dequantization | None = None
    operand: Operand | None = None
    number: int | float | None = None


def match_dequantization(value: ir.Value) -> Dequantization | None:
    """`value` as a dequantization of integers of 4 to 8 bits; None if it is none."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "linalg.generic":
        return None
    op = value.owner.operation
    if not structured_ops.is_elementwise(op) or len(op.results) != 1 or structured_ops.has_index(op):
        return None
    element = structured_ops.element_type(value.type)
    if not (isinstance(element, ir.F32Type) or (isinstance(element, ir.IntegerType) and element.width == 32)):
        return None
    maps = structured_ops.indexing_maps(op)
    block = structured_ops.body(op)
    back = structured_ops.inverse_permutation(maps[-1])
    values: dict[ir.Value, _Part] = {}
    for operand, indexing, argument in zip(structured_ops.inputs(op), maps, block.arguments, strict=False):
        if isinstance(operand.type, ir.RankedTensorType):
            values[argument] = _Part(operand=Operand(operand, structured_ops.compose(indexing, back)))
    for inner in block.operations:
        if inner.operation.name == "linalg.yield":
            return _part(inner.operation.operands[0], values).quantized
        values[inner.operation.results[0]] = _result(inner.operation, values)
    return None


def _part(value: ir.Value, values: dict[ir.Value, _Part]) -> _Part:
    if value in values:
        return values[value]
    owner = value.owner
    return _Part() if isinstance(owner, ir.Block) else _constant(owner.operation)


def _constant(op: ir.Operation) -> _Part:
    if op.name != "arith.constant":
        return _Part()
    attribute = op.attributes["value"]
    if isinstance(attribute, ir.IntegerAttr) and not isinstance(attribute.type, ir.IndexType):
        return _Part(number=attribute.value)
    return _Part(number=ir.FloatAttr(attribute).value) if isinstance(attribute, ir.FloatAttr) else _Part()


def _result(op: ir.Operation, values: dict[ir.Value, _Part]) -> _Part:
    parts = [_part(v, values) for v in op.operands]
    match op.name:
        case "arith.constant":
            return _constant(op)
        case "arith.extsi" | "arith.extui":
            return _extended(op, parts[0])
        case "arith.sitofp" | "arith.uitofp":
            part = parts[0] if parts[0].quantized is not None else _extended(op, parts[0])
            quantized = part.quantized
            if quantized is None or quantized.is_float or not isinstance(op.results[0].type, ir.F32Type):
                return _Part()
            if op.name == "arith.uitofp" and (quantized.signed or quantized.zero is not None):
                return _Part()
            return _Part(quantized=replace(quantized, is_float=True))
        case "arith.subi" | "arith.subf":
            return _without_zero(parts[0], parts[1])
        case "arith.addi":
            number = parts[1].number
            return _without_zero(parts[0], _Part(number=-number)) if isinstance(number, int) else _Part()
        case "arith.mulf":
            first, second = parts if parts[0].quantized is not None else reversed(parts)
            quantized = first.quantized
            if quantized is None or not quantized.is_float or quantized.scale is not None:
                return _Part()
            scale = second.number if second.number is not None else second.operand
            is_f32 = isinstance(scale, float) or (
                isinstance(scale, Operand) and isinstance(structured_ops.element_type(scale.value.type), ir.F32Type)
            )
            return _Part(quantized=replace(quantized, scale=scale)) if is_f32 else _Part()
        case _:
            return _Part()


def _extended(op: ir.Operation, part: _Part) -> _Part:
    """A narrow integer operand, widened: as what is dequantized, or as a zero point."""
    operand = part.operand
    if operand is None:
        return _Part()
    element = structured_ops.element_type(operand.value.type)
    if not isinstance(element, ir.IntegerType) or element.width not in (4, 8):
        return _Part()
    return _Part(quantized=Dequantization(operand, op.name in ("arith.extsi", "arith.sitofp")))


def _without_zero(first: _Part, second: _Part) -> _Part:
    quantized = first.quantized
    if quantized is None or quantized.zero is not None or quantized.scale is not None:
        return _Part()
    if second.number is not None:
        if second.number != int(second.number):
            return _Part()
        return _Part(quantized=replace(quantized, zero=int(second.number)))
    if second.operand is not None and str(structured_ops.element_type(second.operand.value.type)) == "i32":
        return _Part(quantized=replace(quantized, zero=second.operand))
    other = second.quantized
    if other is not None and other.zero is None and other.scale is None:
        return _Part(quantized=replace(quantized, zero=other.source, zero_signed=other.signed))
    return _Part()


def _constant_array(program: Program, value: ir.Value) -> Array | None:
    """A constant, small ones in the IR included."""
    found = constant_array(program, value)
    if found is not None:
        return found[1]
    owner = None if isinstance(value.owner, ir.Block) else value.owner.operation
    return read_dense(owner, "value") if owner is not None and owner.name == "arith.constant" else None


def spread_constant(program: Program, operand: Operand, rank: int, signed: bool) -> Array | None:
    """A constant operand with a dim for each of `rank` (extent 1 where it is not read along it); integers as i32."""
    found = _constant_array(program, operand.value)
    dims = structured_ops.map_dims(operand.read)
    if found is None or None in dims or len(set(dims)) != len(dims):
        return None
    known = [d for d in dims if d is not None]
    array = found.transpose([known.index(d) for d in sorted(known)])
    shape = [1] * rank
    for axis, d in enumerate(sorted(known)):
        shape[d] = array.shape[axis]
    kind = structured_ops.element_type(operand.value.type)
    if isinstance(kind, ir.IntegerType):
        if kind.width == 8:
            array = np.ascontiguousarray(array).view(np.int8 if signed else np.uint8)
        elif kind.width < 8:
            mask = (1 << kind.width) - 1
            array = array.astype(np.int8).astype(np.int32) & mask
            array = np.where(array > mask >> 1, array - mask - 1, array) if signed else array
        array = array.astype(np.int32)
    return array.reshape(shape)
