"""input-convert-stablehlo-quantization: quantized types become integers, and operations on them say what they mean.

    %r = stablehlo.add %a, %b : tensor<4x!quant.uniform<i8:f32, 0.5:3>>                       with s = 0.5, z = 3
    =>
    %x = linalg.generic ins(%a : tensor<4xi8>) { sitofp(extsi q - z) * s }                    and %y from %b
    %f = stablehlo.add %x, %y : tensor<4xf32>
    %r = linalg.generic ins(%f) { fptosi(clamp(roundeven(f / s) + z)) }

Every operation that computes is dequantized, done in the expressed type and quantized, as the specification defines
it; global-optimization-multiply-integers finds the products of integers again. What only moves elements moves the
integers, and operations with regions run them on the integers: every step of the region is quantized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlirage.element_types import signless
from mlirage.errors import CompileError
from mlirage.input.convert_stablehlo_to_linalgx import restore_sign
from mlirage.mlir import arith, describe_location, ir, math, quant, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import extents

_types: Any = quant  # the bindings have no stubs of these types
_Body = Callable[[ir.Value, ir.Value, ir.Value], ir.Value]
_PREFIXES = ("stablehlo.", "chlo.")
_MOVING = frozenset(
    f"stablehlo.{name}"
    for name in (
        "all_gather", "all_to_all", "bitcast_convert", "broadcast", "broadcast_in_dim", "case", "collective_broadcast",
        "collective_permute", "composite", "concatenate", "constant", "custom_call", "dynamic_broadcast_in_dim",
        "dynamic_gather", "dynamic_pad", "dynamic_reshape", "dynamic_slice", "dynamic_update_slice", "gather",
        "get_dimension_size", "get_tuple_element", "if", "map", "optimization_barrier", "pad", "real_dynamic_slice",
        "reduce", "reduce_window", "reshape", "return", "reverse", "scatter", "select", "select_and_scatter", "slice",
        "sort", "transpose", "tuple", "while",
    )
)  # fmt: skip


@module_pass("input-convert-stablehlo-quantization")
def convert_stablehlo_quantization(program: Program) -> None:
    """Rewrites all ops with operands or results of quantized types, then the types themselves."""
    every = list(walk(program.module.operation))
    found = [op for op in every if any(_quantization(v.type) for v in (*op.operands, *op.results))]
    functions = [op for op in every if op.name == "func.func" and "!quant." in str(op.attributes["function_type"])]
    if not found and not functions:
        return
    for op in found:
        if op.name.startswith(_PREFIXES) and op.name not in _MOVING:
            with op.location:
                _compute_in_floats(op)
        elif op.name in _MOVING:
            _check_moving(op)
    for op in walk(program.module.operation):
        _strip_types(op)


@dataclass(frozen=True)
class _Quantization:
    """How integers stand for numbers: one scale, or one per index of a dim."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None
    storage: ir.IntegerType
    signed: bool
    low: int
    high: int
    expressed: ir.Type

    @property
    def stored(self) -> ir.Type:
        """The element type of the integers."""
        return self.storage if self.signed else ir.IntegerType.get_unsigned(self.storage.width)

    def same_numbers(self, other: _Quantization) -> bool:
        return (self.scales, self.zero_points, self.stored) == (other.scales, other.zero_points, other.stored)


def _element(kind: ir.Type) -> ir.Type:
    return kind.element_type if isinstance(kind, ir.RankedTensorType) else kind


def _quantization(kind: ir.Type) -> _Quantization | None:
    element: Any = _element(kind)
    if isinstance(element, _types.UniformQuantizedType):
        scales, zeros, axis = [element.scale], [element.zero_point], None
    elif isinstance(element, _types.UniformQuantizedPerAxisType):
        scales, zeros, axis = element.scales, element.zero_points, element.quantized_dimension
    else:
        return None
    return _Quantization(
        tuple(scales), tuple(zeros), axis, ir.IntegerType(element.storage_type), element.is_signed,
        element.storage_type_min, element.storage_type_max, element.expressed_type,
    )  # fmt: skip


def quantized_storage(kind: ir.Type) -> ir.Type:
    """The type of the integers that stand for a type's values; the type itself where it is not quantized."""
    found = _quantization(kind)
    if found is None:
        return kind
    if not isinstance(kind, ir.RankedTensorType):
        return found.stored
    return ir.RankedTensorType.get(kind.shape, found.stored, kind.encoding)


def _strip_types(op: ir.Operation) -> None:
    values = [*op.results, *(a for region in op.regions for block in region.blocks for a in block.arguments)]
    for value in values:
        value.set_type(quantized_storage(value.type))
    if op.name == "func.func":
        kind = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value)
        types = [[quantized_storage(t) for t in group] for group in (kind.inputs, kind.results)]
        op.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*types))
    elif op.name == "stablehlo.constant" and ir.ShapedType(op.attributes["value"].type) != op.results[0].type:
        # The attribute holds signless integers, those of a constant have the sign of the result.
        text = str(op.attributes["value"]).rpartition(" : ")[0]
        op.attributes["value"] = ir.Attribute.parse(f"{text} : {op.results[0].type}")


def _check_moving(op: ir.Operation) -> None:
    """Elements that are moved keep their scale."""
    kinds = [q for v in (*op.operands, *op.results) if (q := _quantization(v.type)) is not None]
    single = op.name.removeprefix("stablehlo.") in ("concatenate", "pad", "select", "reshape", "slice", "transpose")
    if single and not all(q.same_numbers(kinds[0]) for q in kinds):
        raise CompileError(
            f"{describe_location(op.location)}: {op.name} moves elements between types of different scales: "
            "stablehlo.uniform_quantize changes scales"
        )


def _compute_in_floats(op: ir.Operation) -> None:
    """Dequantizes the operands of `op` before it and quantizes its results behind."""
    for number, value in enumerate(list(op.operands)):
        found = _quantization(value.type)
        if found is not None:
            with ir.InsertionPoint(op):
                op.operands[number] = _dequantize(value, found)
    if op.name in ("stablehlo.uniform_dequantize", "stablehlo.uniform_quantize"):
        (value,) = op.operands
        found = _quantization(op.results[0].type)
        with ir.InsertionPoint(op):
            result = value if found is None else _quantize(value, found)
        op.results[0].replace_all_uses_with(result)
        op.erase()
        return
    for result in op.results:
        found = _quantization(result.type)
        if found is None:
            continue
        shaped = ir.RankedTensorType(result.type)
        result.set_type(ir.RankedTensorType.get(shaped.shape, found.expressed, shaped.encoding))
        uses = [(use.owner, use.operand_number) for use in result.uses]
        with ir.InsertionPoint.after(op):
            narrow = _quantize(result, found)
        for owner, number in uses:
            owner.operands[number] = narrow


def _vectors(found: _Quantization, numbers: Sequence[float], element: ir.Type) -> ir.Value:
    """Scales or zero points along the axis, as a constant tensor."""
    make = ir.FloatAttr.get if isinstance(element, ir.FloatType) else ir.IntegerAttr.get
    kind = ir.RankedTensorType.get([len(numbers)], element)
    return arith.constant(kind, ir.DenseElementsAttr.get([make(element, n) for n in numbers], kind))


def _scaled_loop(x: ir.Value, found: _Quantization, element: ir.Type, body: _Body) -> ir.Value:
    """An elementwise `body(x, scale, zero point)`."""
    rank = ir.RankedTensorType(x.type).rank
    out = tensor.empty(extents(x), element)
    float_type = ir.F64Type.get() if isinstance(found.expressed, ir.F64Type) else ir.F32Type.get()
    i64 = ir.IntegerType.get_signless(64)
    maps, ins = [identity_map(rank)], [x]
    if found.axis is not None:
        along = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(found.axis)])
        maps += [along, along]
        ins += [_vectors(found, found.scales, float_type), _vectors(found, found.zero_points, i64)]

    def fill(block: ir.Block) -> Sequence[ir.Value]:
        if found.axis is not None:
            value, scale, zero = list(block.arguments)[:3]
        else:
            value = block.arguments[0]
            scale, zero = arith.constant(float_type, found.scales[0]), arith.constant(i64, found.zero_points[0])
        return [body(value, scale, zero)]

    every = [*maps, identity_map(rank)]
    return build_generic(ins, [out], every, [True] * rank, fill, ir.Location.current).results[0]


def _dequantize(value: ir.Value, found: _Quantization) -> ir.Value:
    """(q - z) · s."""
    plain = restore_sign(value, signless(quantized_storage(value.type)))

    def body(q: ir.Value, scale: ir.Value, zero: ir.Value) -> ir.Value:
        width = max(32, found.storage.width * 2)
        wide = ir.IntegerType.get_signless(width)
        integer = arith.extsi(wide, q) if found.signed else arith.extui(wide, q)
        zero = zero if width == 64 else arith.trunci(wide, zero)
        number = arith.mulf(arith.sitofp(scale.type, arith.subi(integer, zero)), scale)
        return number if number.type == found.expressed else arith.truncf(found.expressed, number)

    return _scaled_loop(plain, found, found.expressed, body)


def _quantize(value: ir.Value, found: _Quantization) -> ir.Value:
    """clamp(roundeven(x / s) + z), NaN as the zero point."""

    def body(x: ir.Value, scale: ir.Value, zero: ir.Value) -> ir.Value:
        x = x if x.type == scale.type else arith.extf(scale.type, x)
        rounded = math.roundeven(arith.divf(x, scale))
        wide = ir.F64Type.get()  # holds every integer of 32 bits
        rounded = rounded if rounded.type == wide else arith.extf(wide, rounded)
        moved = arith.addf(rounded, arith.sitofp(wide, zero))
        ordered = arith.cmpf(arith.CmpFPredicate.ORD, moved, moved)
        moved = arith.select(ordered, moved, arith.sitofp(wide, zero))
        low, high = arith.constant(wide, float(found.low)), arith.constant(wide, float(found.high))
        held = arith.minimumf(arith.maximumf(moved, low), high)
        return arith.trunci(found.storage, arith.fptosi(ir.IntegerType.get_signless(64), held))

    result = _scaled_loop(value, found, found.storage, body)
    shaped = ir.RankedTensorType(value.type)
    return restore_sign(result, ir.RankedTensorType.get(shaped.shape, found.stored, shaped.encoding))
