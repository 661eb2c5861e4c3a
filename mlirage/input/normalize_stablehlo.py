"""input-normalize-stablehlo: what the lowerings read otherwise than the specification is said in other words.

%r = stablehlo.add %p, %q : tensor<4xi1>                      =>   %r = stablehlo.or %p, %q
%r = stablehlo.maximum %a, %b : tensor<4xcomplex<f32>>        =>   a select by the parts in lexicographic order
%r = stablehlo.dynamic_slice %x, %i : (…, tensor<ui64>)       =>   the start is 2^63 - 1 at most
"stablehlo.sort"(%x) <{dimension = -1}>                       =>   dimension = 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.element_types import signless
from mlirage.errors import CompileError
from mlirage.input.convert_stablehlo_to_linalgx import restore_sign
from mlirage.mlir import arith, describe_location, ir, math, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import extents

_STARTS = {"stablehlo.dynamic_slice": 1, "stablehlo.dynamic_update_slice": 2}


@module_pass("input-normalize-stablehlo")
def normalize_stablehlo(program: Program) -> None:
    """Rewrites the ops of `_REWRITES`, wherever they stand.

    Raises:
      CompileError: what upstream's lowering would end the process at.
    """
    split = [op for op in walk(program.module.operation) if op.name == "stablehlo.bitcast_convert" and splits_open(op)]
    if split:
        places = ", ".join(describe_location(op.location) for op in split)
        raise CompileError(f"stablehlo.bitcast_convert to elements of another width with open extents, at {places}: "
                           "not supported")  # fmt: skip
    for op in [op for op in walk(program.module.operation) if op.name in _REWRITES]:
        with op.location, ir.InsertionPoint(op):
            _REWRITES[op.name](op)


def splits_open(op: ir.Operation) -> bool:
    """Whether elements become several, or one of several, in a tensor of open extents."""
    source, result = _shaped(op.operands[0]), _shaped(op.results[0])
    return source.rank != result.rank and not (source.has_static_shape and result.has_static_shape)


def _shaped(value: ir.Value) -> ir.RankedTensorType:
    return ir.RankedTensorType(value.type)


def _create(name: str, kind: ir.Type, *operands: ir.Value) -> ir.Value:
    return ir.Operation.create(f"stablehlo.{name}", results=[kind], operands=list(operands)).results[0]


def _with_element(kind: ir.RankedTensorType, element: ir.Type) -> ir.RankedTensorType:
    return ir.RankedTensorType.get(kind.shape, element, kind.encoding)


def _replace(op: ir.Operation, value: ir.Value) -> None:
    op.results[0].replace_all_uses_with(value)
    op.erase()


def _add(op: ir.Operation) -> None:
    """Booleans: OR, as numpy has it."""
    kind = op.results[0].type
    if isinstance(kind, ir.RankedTensorType) and kind.element_type == ir.IntegerType.get_signless(1):
        _replace(op, _create("or", kind, *op.operands))


def _extremum(op: ir.Operation) -> None:
    """Complex numbers: by real parts, then by imaginary parts."""
    kind = op.results[0].type
    if not isinstance(kind, ir.RankedTensorType) or not isinstance(kind.element_type, ir.ComplexType):
        return
    a, b = op.operands
    part = _with_element(kind, kind.element_type.element_type)
    parts = [(_create(name, part, a), _create(name, part, b)) for name in ("real", "imag")]
    direction = "GT" if op.name.endswith("maximum") else "LT"
    first = _compare(direction, *parts[0])
    equal = _compare("EQ", *parts[0])
    second = _compare(direction, *parts[1])
    keep = _create("or", first.type, first, _create("and", first.type, equal, second))
    _replace(op, _create("select", kind, keep, a, b))


def _compare(direction: str, a: ir.Value, b: ir.Value) -> ir.Value:
    kind = _with_element(_shaped(a), ir.IntegerType.get_signless(1))
    attribute = ir.Attribute.parse(f"#stablehlo<comparison_direction {direction}>")
    return ir.Operation.create(
        "stablehlo.compare", results=[kind], operands=[a, b], attributes={"comparison_direction": attribute}
    ).results[0]


def _starts(op: ir.Operation) -> None:
    """Unsigned starts of 64 bits: what is beyond 2^63 stays beyond the end when it is read as signed."""
    first = _STARTS.get(op.name, 1)
    last = len(op.operands) if op.name in _STARTS else first + 1
    for number in range(first, last):
        start = op.operands[number]
        kind = _shaped(start)
        if kind.element_type == ir.IntegerType.get_unsigned(64) and kind.has_static_shape:
            largest = ir.Attribute.parse(f"dense<{(1 << 63) - 1}> : {kind}")
            limit = ir.Operation.create("stablehlo.constant", results=[kind], attributes={"value": largest})
            op.operands[number] = _create("minimum", kind, start, limit.results[0])


def _power(op: ir.Operation) -> None:
    """Integers: upstream reads six bits of the exponent. Unsigned ones of 64 bits are taken below 2^62 first.

    An odd number to the 2^62 is 1 modulo 2^64, an even one to the 64 is 0.
    """
    kind = _shaped(op.results[0])
    if not isinstance(kind.element_type, ir.IntegerType) or kind.element_type.width == 1:
        return
    plain, i64 = ir.RankedTensorType(signless(kind)), ir.IntegerType.get_signless(64)
    unsigned, width = kind.element_type.is_unsigned, kind.element_type.width
    a, b = (restore_sign(value, plain) for value in op.operands)

    def body(block: ir.Block) -> Sequence[ir.Value]:
        x, y = (
            value if width == 64 else (arith.extui if unsigned else arith.extsi)(i64, value)
            for value in list(block.arguments)[:2]
        )
        if not (unsigned and width == 64):
            power = math.ipowi(x, y)
            return [power if width == 64 else arith.trunci(plain.element_type, power)]
        one, zero = arith.constant(i64, 1), arith.constant(i64, 0)
        even = arith.cmpi(arith.CmpIPredicate.eq, arith.andi(x, one), zero)
        many = arith.cmpi(arith.CmpIPredicate.uge, y, arith.constant(i64, 64))
        power = math.ipowi(x, arith.andi(y, arith.constant(i64, (1 << 62) - 1)))
        return [arith.select(arith.andi(even, many), zero, power)]

    out = tensor.empty(extents(a), plain.element_type)
    maps = [identity_map(kind.rank)] * 3
    power = build_generic([a, b], [out], maps, [True] * kind.rank, body, op.location).results[0]
    _replace(op, restore_sign(power, kind))


def _set_dimension_size(op: ir.Operation) -> None:
    """A size beyond the bound is the bound: nothing is read behind the tensor."""
    shaped = _shaped(op.operands[0])
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    if shaped.is_dynamic_dim(dimension):
        return
    kind = _shaped(op.operands[1])
    limits = []
    for number in (0, shaped.get_dim_size(dimension)):
        value = ir.Attribute.parse(f"dense<{number}> : {kind}")
        limits.append(ir.Operation.create("stablehlo.constant", results=[kind], attributes={"value": value}).results[0])
    op.operands[1] = _create("clamp", kind, limits[0], op.operands[1], limits[1])


def _dot(op: ir.Operation) -> None:
    """Algorithms name the least precision that is asked for: f32 sums are as exact as any of them."""
    if "algorithm" in op.attributes:
        del op.attributes["algorithm"]


def _sort(op: ir.Operation) -> None:
    dimension = ir.IntegerAttr(op.attributes["dimension"])
    if dimension.value < 0:
        op.attributes["dimension"] = ir.IntegerAttr.get(dimension.type, dimension.value + _shaped(op.operands[0]).rank)


_REWRITES: dict[str, Callable[[ir.Operation], None]] = {
    "stablehlo.add": _add,
    "stablehlo.maximum": _extremum,
    "stablehlo.minimum": _extremum,
    **dict.fromkeys((*_STARTS, "stablehlo.gather", "stablehlo.dynamic_gather"), _starts),
    "stablehlo.dot_general": _dot,
    "stablehlo.power": _power,
    "stablehlo.set_dimension_size": _set_dimension_size,
    "stablehlo.sort": _sort,
}
