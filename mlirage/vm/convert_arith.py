"""Scalar arithmetic (`arith`, `math`, `index`) as vm ops.

    %2 = arith.addi %0, %1 : i8      ->  %s = "vm.add_i32"(%0, %1) ; %2 = "vm.and_i32"(%s, 255)
    %3 = arith.cmpf ogt, %a, %b      ->  %3 = "vm.lt_f32"(%b, %a)

Integers narrower than their register are kept zero-extended: what may leave the width is masked, signed operations
sign-extend first. f16 and bf16 are computed in f32 and rounded after every operation, which gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from mlirage.mlir import ir
from mlirage.vm.dialect import kind_of
from mlirage.vm.emitter import Emitter, width_of

Handler = Callable[[ir.Operation, Emitter], list[ir.Value]]
HANDLERS: dict[str, Handler] = {}


class Unsupported(Exception):
    """An operation that the virtual machine cannot do; says why."""


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update((name, handler) for name in names)
        return handler

    return register


# ===- Integers ---------------------------------------------------------------------------===

_WRAPPING = {"addi": "add", "subi": "sub", "muli": "mul", "shli": "shl"}
_UNSIGNED = {"divui": "div_u", "remui": "rem_u", "andi": "and", "ori": "or", "xori": "xor", "shrui": "shr_u",
             "minui": "min_u", "maxui": "max_u"}  # fmt: skip
_SIGNED = {"divsi": "div_s", "remsi": "rem_s", "shrsi": "shr_s", "minsi": "min_s", "maxsi": "max_s"}
_INDEX = {"add": "addi", "sub": "subi", "mul": "muli", "shl": "shli", "divu": "divui", "remu": "remui", "and": "andi",
          "or": "ori", "xor": "xori", "shru": "shrui", "minu": "minui", "maxu": "maxui", "divs": "divsi",
          "rems": "remsi", "shrs": "shrsi", "mins": "minsi", "maxs": "maxsi", "floordivs": "floordivsi",
          "ceildivs": "ceildivsi", "ceildivu": "ceildivui"}  # fmt: skip
_ARITH = {f"arith.{name}": opcode for table in (_WRAPPING, _UNSIGNED, _SIGNED) for name, opcode in table.items()}
_OPCODES = _ARITH | {
    f"index.{name}": _ARITH[f"arith.{same}"] for name, same in _INDEX.items() if f"arith.{same}" in _ARITH
}


def _register_bits(type_: ir.Type) -> int:
    return 64 if kind_of(type_) == "I" else 32


def _normalize(value: ir.Value, type_: ir.Type, emit: Emitter) -> ir.Value:
    """`value` with the bits above the width of `type_` cleared."""
    width = width_of(type_)
    if width == _register_bits(type_):
        return value
    mask = emit.constant((1 << width) - 1, type_)
    return emit.typed("and", type_, value, mask)


def _sign_extend(value: ir.Value, emit: Emitter) -> ir.Value:
    """`value` with its sign copied to all higher bits of the register."""
    width, bits = width_of(value.type), _register_bits(value.type)
    if width == bits:
        return value
    if width in (8, 16):
        return emit(f"extend_s_i{width}_i32", value.type, value)
    distance = emit.constant(bits - width, emit.i64 if bits == 64 else emit.i32)
    return emit.typed("shr_s", value.type, emit.typed("shl", value.type, value, distance), distance)


def _retype(value: ir.Value, type_: ir.Type, emit: Emitter) -> ir.Value:
    return value if value.type == type_ else emit("move", type_, value)


@_handles(*(f"arith.{name}" for name in _WRAPPING), *(f"index.{n}" for n, s in _INDEX.items() if s in _WRAPPING))
def _convert_wrapping(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    type_ = op.result.type
    return [_normalize(emit.typed(_OPCODES[op.name], type_, *op.operands), type_, emit)]


@_handles(*(f"arith.{name}" for name in _UNSIGNED), *(f"index.{n}" for n, s in _INDEX.items() if s in _UNSIGNED))
def _convert_unsigned(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    return [emit.typed(_OPCODES[op.name], op.result.type, *op.operands)]


@_handles(*(f"arith.{name}" for name in _SIGNED), *(f"index.{n}" for n, s in _INDEX.items() if s in _SIGNED))
def _convert_signed(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    opcode, type_ = _OPCODES[op.name], op.result.type
    left = _sign_extend(op.operands[0], emit)
    right = op.operands[1] if opcode == "shr_s" else _sign_extend(op.operands[1], emit)
    return [_normalize(emit.typed(opcode, type_, left, right), type_, emit)]


@_handles("arith.floordivsi", "arith.ceildivsi", "index.floordivs", "index.ceildivs")
def _convert_rounding_division(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """The quotient towards zero, one less (more) if that was rounded up (down)."""
    type_ = op.result.type
    left, right = (_sign_extend(operand, emit) for operand in op.operands)
    quotient = emit.typed("div_s", type_, left, right)
    remainder = emit.typed("rem_s", type_, left, right)
    zero = emit.constant(0, type_)
    differ = emit.typed("lt_s", emit.bit, emit.typed("xor", type_, remainder, right), zero)
    is_floor = "floor" in op.name
    signs = differ if is_floor else emit("xor_i32", emit.bit, differ, emit.constant(1, emit.bit))
    adjust = emit("and_i32", emit.bit, signs, emit.typed("ne", emit.bit, remainder, zero))
    adjust = emit("extend_u_i32_i64" if kind_of(type_) == "I" else "move", type_, adjust)
    return [_normalize(emit.typed("sub" if is_floor else "add", type_, quotient, adjust), type_, emit)]


@_handles("arith.ceildivui", "index.ceildivu")
def _convert_ceildivui(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    type_ = op.result.type
    rest = emit.typed("rem_u", type_, *op.operands)
    adjust = emit.typed("ne", emit.bit, rest, emit.constant(0, type_))
    adjust = emit("extend_u_i32_i64" if kind_of(type_) == "I" else "move", type_, adjust)
    return [emit.typed("add", type_, emit.typed("div_u", type_, *op.operands), adjust)]


@_handles("arith.addui_extended")
def _convert_addui_extended(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    type_ = op.results[0].type
    total = _normalize(emit.typed("add", type_, *op.operands), type_, emit)
    return [total, emit.typed("lt_u", emit.bit, total, op.operands[0])]


_COMPARISONS = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")


@_handles("arith.cmpi")
def _convert_cmpi(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    left, right = op.operands
    return [_compare(_COMPARISONS[ir.IntegerAttr(op.attributes["predicate"]).value], left, right, emit)]


@_handles("index.cmp")
def _convert_index_cmp(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    predicate = str(op.attributes["pred"]).split("(")[-1].rstrip(")>").split()[-1]
    left, right = op.operands
    return [_compare(predicate, left, right, emit)]


def _compare(predicate: str, left: ir.Value, right: ir.Value, emit: Emitter) -> ir.Value:
    if predicate in ("eq", "ne"):
        return emit.typed(predicate, emit.bit, left, right)
    if predicate[0] == "s":
        left, right = _sign_extend(left, emit), _sign_extend(right, emit)
    if predicate[1] == "g":
        left, right = right, left
    return emit.typed(f"l{predicate[2]}_{predicate[0]}", emit.bit, left, right)


@_handles("math.ctlz", "math.cttz", "math.ctpop")
def _convert_bit_count(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value, type_ = op.operands[0], op.result.type
    width, bits = width_of(type_), _register_bits(type_)
    if op.name == "math.ctpop":
        return [emit.typed("popcnt", type_, value)]
    if op.name == "math.ctlz":
        count = emit.typed("clz", type_, value)
        return [emit.typed("sub", type_, count, _wide_constant(bits - width, type_, emit)) if bits > width else count]
    if bits > width:  # a bit above the width ends the count
        value = emit.typed("or", type_, value, _wide_constant(1 << width, type_, emit))
    return [emit.typed("ctz", type_, value)]


def _wide_constant(value: int, type_: ir.Type, emit: Emitter) -> ir.Value:
    """A constant of the register's width, whatever that of its type."""
    wide = emit.i64 if kind_of(type_) == "I" else emit.i32
    return emit("move", type_, emit.constant(value, wide))


@_handles("math.absi")
def _convert_absi(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    type_ = op.result.type
    value = _sign_extend(op.operands[0], emit)
    negated = emit.typed("sub", type_, emit.constant(0, type_), value)
    return [_normalize(emit.typed("max_s", type_, value, negated), type_, emit)]


# ===- Conversions ------------------------------------------------------------------------===


@_handles("arith.extui", "arith.extsi", "arith.trunci", "arith.index_cast", "arith.index_castui", "index.casts",
          "index.castu")  # fmt: skip
def _convert_integer_cast(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """Between integer widths: narrower by masking, wider by the sign for extsi and index_cast, else by zeros."""
    value, type_ = op.operands[0], op.result.type
    is_signed = op.name in ("arith.extsi", "arith.index_cast", "index.casts")
    if is_signed and width_of(type_) > width_of(value.type):
        value = _sign_extend(value, emit)
    kinds = kind_of(value.type), kind_of(type_)
    if kinds == ("i", "I"):
        value = emit(f"extend_{'s' if is_signed else 'u'}_i32_i64", type_, value)
    elif kinds == ("I", "i"):
        value = emit("trunc_i64_i32", type_, value)
    else:
        value = _retype(value, type_, emit)
    needs_mask = width_of(type_) < width_of(op.operands[0].type) or is_signed
    return [_normalize(value, type_, emit) if needs_mask else value]


@_handles("arith.sitofp", "arith.uitofp")
def _convert_int_to_float(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value, type_, is_signed = op.operands[0], op.result.type, op.name == "arith.sitofp"
    if is_signed:
        value = _sign_extend(value, emit)
    target = type_
    if kind_of(type_) == "i":
        if isinstance(type_, ir.BF16Type) and width_of(value.type) > 24:
            raise Unsupported("integers of more than 24 bits as bf16 would be rounded twice")
        target = emit.f32  # exact, or beyond the largest f16
    source = "i64" if kind_of(value.type) == "I" else "i32"
    result = emit(f"{source}_f{width_of(target)}_{'s' if is_signed else 'u'}", target, value)
    return [_narrow(result, type_, emit)]


@_handles("arith.fptosi", "arith.fptoui")
def _convert_float_to_int(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value, type_ = _widen(op.operands[0], emit), op.result.type
    target = "i64" if kind_of(type_) == "I" else "i32"
    result = emit(f"f{width_of(value.type)}_{target}_{'s' if op.name == 'arith.fptosi' else 'u'}", type_, value)
    return [_normalize(result, type_, emit)]


@_handles("arith.extf", "arith.truncf")
def _convert_float_cast(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value, type_ = _widen(op.operands[0], emit), op.result.type
    if kind_of(value.type) == "F" and kind_of(type_) == "i":
        raise Unsupported(f"f64 as {type_} would be rounded twice")
    if kind_of(type_) == "F" and kind_of(value.type) == "f":
        return [emit("f32_f64", type_, value)]
    if kind_of(type_) == "f" and kind_of(value.type) == "F":
        return [emit("f64_f32", type_, value)]
    return [_narrow(value, type_, emit)]


@_handles("arith.bitcast")
def _convert_bitcast(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value, type_ = op.operands[0], op.result.type
    kinds = kind_of(value.type), kind_of(type_)
    if kinds[0] == kinds[1]:
        return [_retype(value, type_, emit)]
    names = {"i": "i32", "f": "f32", "I": "i64", "F": "f64"}
    return [emit(f"bitcast_{names[kinds[0]]}_{names[kinds[1]]}", type_, value)]


@_handles("arith.constant", "index.constant", "index.bool.constant", "ub.poison")
def _convert_constant(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    type_ = op.result.type
    if op.name == "ub.poison":
        return [_zero(type_, emit)]
    attribute = op.attributes["value"]
    if isinstance(attribute, ir.BoolAttr):
        return [emit.constant(int(attribute.value), type_)]
    if isinstance(attribute, ir.IntegerAttr):
        return [emit.constant(attribute.value, type_)]
    if not isinstance(attribute, ir.FloatAttr):
        raise Unsupported(f"constants of type {type_}")
    if kind_of(type_) == "i":
        kind = np.float16 if isinstance(type_, ir.F16Type) else ml_dtypes.bfloat16
        return [emit.constant(int(np.array(attribute.value, kind).view(np.uint16)), type_)]
    return [emit("const_64" if kind_of(type_) == "F" else "const_32", type_, value=attribute)]


def _zero(type_: ir.Type, emit: Emitter) -> ir.Value:
    kind = kind_of(type_)
    if kind == "r":
        return emit("null_ref", type_)
    integer = emit.i64 if kind in "IF" else emit.i32
    return emit("const_64" if kind in "IF" else "const_32", type_, value=ir.IntegerAttr.get(integer, 0))


@_handles("arith.select")
def _convert_select(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    name = "select_ref" if kind_of(op.result.type) == "r" else "select"
    return [emit(name, op.result.type, *op.operands)]


# ===- Floats -----------------------------------------------------------------------------===


def _widen(value: ir.Value, emit: Emitter) -> ir.Value:
    """f16 and bf16 as f32."""
    if isinstance(value.type, ir.F16Type):
        return emit("f16_f32", emit.f32, value)
    if isinstance(value.type, ir.BF16Type):
        return emit("bf16_f32", emit.f32, value)
    return value


def _narrow(value: ir.Value, type_: ir.Type, emit: Emitter) -> ir.Value:
    """f32 rounded to f16 or bf16."""
    if isinstance(type_, ir.F16Type):
        return emit("f32_f16", type_, value)
    if isinstance(type_, ir.BF16Type):
        return emit("f32_bf16", type_, value)
    return value


_FLOAT = {"arith.addf": "add", "arith.subf": "sub", "arith.mulf": "mul", "arith.divf": "div", "arith.remf": "rem",
          "arith.negf": "neg", "arith.minimumf": "min", "arith.maximumf": "max", "math.absf": "abs",
          "math.copysign": "copysign", "math.floor": "floor", "math.ceil": "ceil", "math.trunc": "trunc",
          "math.roundeven": "round_even", "math.sqrt": "sqrt"}  # fmt: skip


@_handles(*_FLOAT)
def _convert_float(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    operands = [_widen(operand, emit) for operand in op.operands]
    return [_narrow(emit.typed(_FLOAT[op.name], operands[0].type, *operands), op.result.type, emit)]


@_handles("arith.minnumf", "arith.maxnumf")
def _convert_number_minimum(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """The other operand where one is NaN."""
    left, right = (_widen(operand, emit) for operand in op.operands)
    both = emit.typed("min" if op.name == "arith.minnumf" else "max", left.type, left, right)
    right_is_number = emit.typed("eq", emit.bit, right, right)
    left_is_number = emit.typed("eq", emit.bit, left, left)
    result = emit("select", left.type, right_is_number, both, left)
    return [_narrow(emit("select", left.type, left_is_number, result, right), op.result.type, emit)]


@_handles("math.round")
def _convert_round(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """Ties away from zero: the whole part, and one more if the rest is a half at least."""
    value = _widen(op.operands[0], emit)
    type_ = value.type
    whole = emit.typed("trunc", type_, value)
    rest = emit.typed("abs", type_, emit.typed("sub", type_, value, whole))
    half, one = (_float_constant(number, type_, emit) for number in (0.5, 1.0))
    next_ = emit.typed("add", type_, whole, emit.typed("copysign", type_, one, value))
    result = emit("select", type_, emit.typed("le", emit.bit, half, rest), next_, whole)
    return [_narrow(result, op.result.type, emit)]


@_handles("math.rsqrt")
def _convert_rsqrt(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value = _widen(op.operands[0], emit)
    one = _float_constant(1.0, value.type, emit)
    return [_narrow(emit.typed("div", value.type, one, emit.typed("sqrt", value.type, value)), op.result.type, emit)]


def _float_constant(value: float, type_: ir.Type, emit: Emitter) -> ir.Value:
    return emit("const_64" if kind_of(type_) == "F" else "const_32", type_, value=ir.FloatAttr.get(type_, value))


@_handles("math.isnan")
def _convert_isnan(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value = _widen(op.operands[0], emit)
    return [_invert(emit.typed("eq", emit.bit, value, value), emit)]


_FLOAT_COMPARISONS = ("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule",
                      "une", "uno", "true")  # fmt: skip


@_handles("arith.cmpf")
def _convert_cmpf(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    predicate = _FLOAT_COMPARISONS[ir.IntegerAttr(op.attributes["predicate"]).value]
    if predicate in ("true", "false"):
        return [emit.constant(int(predicate == "true"), emit.bit)]
    left, right = (_widen(operand, emit) for operand in op.operands)
    return [_compare_floats(predicate, left, right, emit)]


# An unordered predicate is the opposite of an ordered one.
_OPPOSITES = {"uno": "ord", "une": "oeq", "ueq": "one", "ult": "oge", "ule": "ogt", "ugt": "ole", "uge": "olt"}


def _compare_floats(predicate: str, left: ir.Value, right: ir.Value, emit: Emitter) -> ir.Value:
    if predicate in _OPPOSITES:
        return _invert(_compare_floats(_OPPOSITES[predicate], left, right, emit), emit)

    def compare(name: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return emit.typed(name, emit.bit, a, b)

    match predicate:
        case "ord":
            return emit("and_i32", emit.bit, compare("eq", left, left), compare("eq", right, right))
        case "one":
            return emit("or_i32", emit.bit, compare("lt", left, right), compare("lt", right, left))
        case "ogt" | "oge":
            return compare(f"l{predicate[2]}", right, left)
        case _:
            return compare(predicate[1:], left, right)


def _invert(bit: ir.Value, emit: Emitter) -> ir.Value:
    return emit("xor_i32", emit.bit, bit, emit.constant(1, emit.bit))
