"""math ops (and arith.remf) become arithmetic; see math_functions.py for what each turns into.

    %y = math.exp %x : f32
      ─>
    %n = …; %r = …; %p = math.fma …; %y = arith.mulf %p, %scale : f32

Runs on the scalars inside linalg bodies, before vectorization. f16, bf16 and f8 are computed in f32.
"""

from __future__ import annotations

from collections.abc import Callable

from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.loop_order import NONPOSITIVE
from mlirage.codegen.cpu.math_functions import Functions
from mlirage.codegen.cpu.math_power import constant_power, cube_root, power, remainder, rounded
from mlirage.codegen.cpu.math_reduction import Reduction
from mlirage.codegen.target import CpuTarget
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, math

_P = arith.CmpFPredicate
_ROUNDINGS = ("floor", "ceil", "trunc", "round", "roundeven")
# What LLVM turns into instructions on every target.
_KEPT = ("absf", "absi", "copysign", "ctlz", "cttz", "ctpop", "fma", "sqrt", "isnan", "isinf", "isfinite", "isnormal")
# Written for f32 and f64.
_NATIVE = ("exp", "exp2", "expm1", "log", "log1p", "tanh", "erf")
# Computed in f64.
_WIDE = ("asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc")


def expand_math(entry: Entry, target: CpuTarget) -> None:
    """Expands every math op of the entry.

    Raises:
      CompileError: an op that nothing here knows.
    """
    _expand_erf_plus_one(entry, target)
    for op in list(entry.walk()):
        dialect, _, name = op.name.partition(".")
        if op.name == "arith.remf":
            name = "remf"
        elif dialect != "math" or (name in _KEPT and not _needs_help(op, target)):
            continue
        if isinstance(op.results[0].type, ir.VectorType):
            raise CompileError(f"{op.location}: {op.name} on vectors must be expanded before vectorization")
        with ir.InsertionPoint(op), op.location:
            result = _expand(op, name, target)
        op.results[0].replace_all_uses_with(result)
        op.erase()


def _expand_erf_plus_one(entry: Entry, target: CpuTarget) -> None:
    """1 + erf(x) in f32, and 1 + erf(x / constant): the GELU's."""
    for op in [op for op in entry.walk() if op.name == "math.erf" and isinstance(op.results[0].type, ir.F32Type)]:
        uses = [use.owner.operation for use in op.results[0].uses]
        if len(uses) != 1 or uses[0].name != "arith.addf" or 1.0 not in map(_constant, uses[0].operands):
            continue
        with ir.InsertionPoint(op), op.location:
            result = Functions(ir.F32Type.get(), target).erf_plus_one(_product_for_quotient(op.operands[0]))
        uses[0].results[0].replace_all_uses_with(result)
        uses[0].erase()
        op.erase()


def _product_for_quotient(x: ir.Value) -> ir.Value:
    """x / constant as a product: half a unit of the last place apart, which a sum with 1 does not show."""
    owner = x.owner
    if isinstance(owner, ir.Block) or owner.operation.name != "arith.divf":
        return x
    divisor = _constant(owner.operation.operands[1])
    if not divisor or not 1e-30 < abs(divisor) < 1e30:
        return x
    return arith.mulf(owner.operation.operands[0], arith.constant(x.type, 1.0 / divisor))


def _needs_help(op: ir.Operation, target: CpuTarget) -> bool:
    """Whether an op that is an instruction elsewhere is a call here."""
    return op.name == "math.fma" and not target.has_fma


def _expand(op: ir.Operation, name: str, target: CpuTarget) -> ir.Value:
    kind = op.results[0].type
    operands: list[ir.Value] = list(op.operands)
    exponent = _constant(operands[1]) if name == "powf" else None
    if not isinstance(kind, ir.F32Type | ir.F64Type):
        if isinstance(kind, ir.IntegerType):
            if name == "ipowi":
                return _integer_power(operands[0], operands[1])
            raise CompileError(f"{op.location}: no code generation for {op.name} on {kind}")
        f32 = ir.F32Type.get()
        wide: list[ir.Value] = [arith.extf(f32, v) if isinstance(v.type, ir.FloatType) else v for v in operands]
        known = None if exponent is None else constant_power(Functions(f32, target), wide[0], exponent)
        return arith.truncf(kind, known if known is not None else _build(op, name, f32, wide, target))
    known = None if exponent is None else constant_power(Functions(kind, target), operands[0], exponent)
    return known if known is not None else _build(op, name, kind, operands, target)


def _constant(scalar: ir.Value) -> float | None:
    """The value of a float constant, None if it is not known."""
    if isinstance(scalar.owner, ir.Block) or scalar.owner.operation.name != "arith.constant":
        return None
    return ir.FloatAttr(scalar.owner.operation.attributes["value"]).value


def _build(op: ir.Operation, name: str, kind: ir.Type, operands: list[ir.Value], target: CpuTarget) -> ir.Value:
    """The expansion for f32 and f64."""
    f = Functions(kind, target)
    x = operands[0]
    if name == "exp" and NONPOSITIVE in op.attributes:
        return f.exp_nonpositive(x)
    if name in _NATIVE:
        return getattr(f, name)(x)
    if name in _WIDE:
        return _in_f64(kind, operands, target, lambda g, values: getattr(g, name)(*values))
    if name in _ROUNDINGS:
        return rounded(f, name, x)
    match name:
        case "fma":
            return f.fma(*operands)
        case "log2":
            return f.log_scaled(x, 1.4426950408889634, 1.0)
        case "log10":
            return f.log_scaled(x, 0.4342944819032518, 0.3010299956639812)
        case "rsqrt":
            return arith.divf(f.c(1.0), math.sqrt(x))
        case "sin" | "cos" | "sincos":
            return _sine(f, x, name == "cos")
        case "tan":
            return _in_f64(kind, operands, target, lambda g, values: _tangent(g, values[0]))
        case "cbrt":
            return _in_f64(kind, operands, target, lambda g, values: cube_root(g, values[0]))
        case "powf":
            exact = isinstance(kind, ir.F64Type)
            return _in_f64(kind, operands, target, lambda g, values: power(g, values[0], values[1], exact))
        case "fpowi":
            return _power_of_integer(kind, operands, target)
        case "remf":
            return remainder(f, operands[0], operands[1])
        case _:
            raise CompileError(f"{op.location}: no code generation for {op.name}")


def _in_f64(
    kind: ir.Type, operands: list[ir.Value], target: CpuTarget, build: Callable[[Functions, list[ir.Value]], ir.Value]
) -> ir.Value:
    f64 = ir.F64Type.get()
    if isinstance(kind, ir.F64Type):
        return build(Functions(f64, target), operands)
    return arith.truncf(kind, build(Functions(f64, target), [arith.extf(f64, v) for v in operands]))


def _sine(f: Functions, x: ir.Value, cosine: bool) -> ir.Value:
    if f.bits == 64:
        r, low, quadrant = Reduction(f).wide(x)
    else:
        (r, quadrant), low = Reduction(f).f32(x), None
    if cosine:
        quadrant = arith.addi(quadrant, f.i(1))
    result = f.sin_of_quadrant(r, low, quadrant)
    if not cosine:
        negative = arith.andi(f.bits_of(x), f.i(-(1 << (f.bits - 1))))
        result = f.float_of(arith.xori(f.bits_of(result), negative))
    finite = f.compare(_P.OLT, f.abs(x), float("inf"))
    return f.select(finite, result, float("nan"))


def _tangent(f: Functions, x: ir.Value) -> ir.Value:
    r, low, quadrant = Reduction(f).wide(x)
    sine = f.sin_of_quadrant(r, low, quadrant)
    cosine = f.sin_of_quadrant(r, low, arith.addi(quadrant, f.i(1)))
    result = f.copysign(f.abs(arith.divf(sine, cosine)), arith.mulf(arith.divf(sine, cosine), f.copysign(f.c(1.0), x)))
    finite = f.compare(_P.OLT, f.abs(x), float("inf"))
    return f.select(finite, result, float("nan"))


def _power_of_integer(kind: ir.Type, operands: list[ir.Value], target: CpuTarget) -> ir.Value:
    """x^n: products for small constants, else as a real power."""
    x, n = operands
    owner = n.owner
    if isinstance(owner, ir.Operation | ir.OpView) and owner.operation.name == "arith.constant":
        exponent = ir.IntegerAttr(owner.operation.attributes["value"]).value
        if 1 <= abs(exponent) <= 8:
            result = x
            for bit in bin(abs(exponent))[3:]:
                result = arith.mulf(result, result)
                result = arith.mulf(result, x) if bit == "1" else result
            return result if exponent > 0 else arith.divf(arith.constant(kind, 1.0), result)
    f64 = ir.F64Type.get()
    y = arith.sitofp(f64, n)
    base = x if kind == f64 else arith.extf(f64, x)
    result = power(Functions(f64, target), base, y, kind == f64)
    return result if kind == f64 else arith.truncf(kind, result)


def _integer_power(x: ir.Value, n: ir.Value) -> ir.Value:
    """x^n of integers by squaring; negative powers are 0, but 1 and -1 to them are 1 and ±1."""
    kind = ir.IntegerType(x.type)
    ip = arith.CmpIPredicate
    one, zero = arith.constant(kind, 1), arith.constant(kind, 0)
    result, base, left = one, x, n
    for _ in range(kind.width):
        odd = arith.cmpi(ip.ne, arith.andi(left, one), zero)
        result = arith.select(odd, arith.muli(result, base), result)
        base = arith.muli(base, base)
        left = arith.shrui(left, one)
    minus = arith.constant(kind, -1)
    odd = arith.cmpi(ip.ne, arith.andi(n, one), zero)
    of_minus_one = arith.select(odd, minus, one)
    negative = arith.select(
        arith.cmpi(ip.eq, x, one), one, arith.select(arith.cmpi(ip.eq, x, minus), of_minus_one, zero)
    )
    return arith.select(arith.cmpi(ip.slt, n, zero), negative, result)
