"""Powers, roots, remainders and rounding (see math_functions.py)."""

from __future__ import annotations

from mlirage.codegen.cpu import math_coefficients as table
from mlirage.codegen.cpu.math_functions import Functions
from mlirage.codegen.cpu.math_reduction import two_product
from mlirage.mlir import arith, ir, math, scf

_P, _I = arith.CmpFPredicate, arith.CmpIPredicate
_LN2_HIGH, _LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17


def power(f: Functions, x: ir.Value, y: ir.Value, exact_log: bool) -> ir.Value:
    """x^y in f64; without `exact_log` good enough to be rounded to f32."""
    a = f.abs(x)
    infinity = float("inf")
    finite = f.clamp(a, 5e-324, 1.7976931348623157e308)
    if exact_log:
        high, low = _log_in_two(f, finite)
        product, lost = two_product(f, y, high)
        lost = f.fma(y, low, lost)
        whole = f.exp(product)
        magnitude = f.fma(whole, f.expm1(f.clamp(lost, -1.0, 1.0)), whole)
        # where the product is not finite, so is its error; whole is 0 or infinite then
        extreme = arith.cmpf(_P.UGT, f.abs(product), f.c(800.0))
        magnitude = arith.select(extreme, whole, magnitude)
    else:
        magnitude = f.exp(arith.mulf(y, f.log(finite)))
    y_positive = f.compare(_P.OGT, y, 0.0)
    grows = f.select(y_positive, infinity, 0.0)
    shrinks = f.select(y_positive, 0.0, infinity)
    magnitude = arith.select(f.compare(_P.OEQ, a, 0.0), shrinks, magnitude)
    magnitude = arith.select(f.compare(_P.OEQ, a, infinity), grows, magnitude)
    y_infinite = f.compare(_P.OEQ, f.abs(y), infinity)
    at_infinity = arith.select(f.compare(_P.OGT, a, 1.0), grows, shrinks)
    at_infinity = f.select(f.compare(_P.OEQ, a, 1.0), 1.0, at_infinity)
    magnitude = arith.select(y_infinite, at_infinity, magnitude)
    y_integer = arith.cmpf(_P.OEQ, rounded(f, "floor", y), y)
    half = arith.mulf(y, f.c(0.5))
    y_odd = arith.andi(y_integer, arith.cmpf(_P.UNE, rounded(f, "floor", half), half))
    x_negative = arith.cmpi(_I.slt, f.bits_of(x), f.i(0))
    result = arith.select(arith.andi(x_negative, y_odd), arith.negf(magnitude), magnitude)
    invalid = arith.andi(f.compare(_P.OLT, x, 0.0), arith.cmpf(_P.UNE, rounded(f, "floor", y), y))
    invalid = arith.andi(invalid, f.compare(_P.OLT, a, infinity))
    result = f.select(invalid, float("nan"), result)
    result = arith.select(arith.ori(f.is_nan(x), f.is_nan(y)), arith.addf(x, y), result)
    one = arith.ori(f.compare(_P.OEQ, y, 0.0), f.compare(_P.OEQ, x, 1.0))
    return f.select(one, 1.0, result)


def constant_power(f: Functions, x: ir.Value, exponent: float) -> ir.Value | None:
    """x to a power that few products and square roots make (3.5 ulp), None for other exponents.

    In f64 those alone that are rounded once. Negative ones only where the power of a normal number is normal.
    """
    quarters = exponent * 4
    if exponent not in (3.0, 4.0) and (quarters != int(quarters) or quarters == 0 or not -4 <= quarters <= 8):
        return None
    if f.bits == 64 and exponent not in (0.5, 1.0, 2.0, -1.0):
        return None
    whole, rest = divmod(int(abs(quarters)), 4)
    if rest:
        # x^y is +0 at -0 and +inf at -inf, where a root would be -0 and NaN
        x = arith.addf(f.select(f.compare(_P.OEQ, x, float("-inf")), float("inf"), x), f.c(0.0))
    factors: list[ir.Value] = []
    if whole:
        square = arith.mulf(x, x)
        factors.append({1: lambda: x, 2: lambda: square, 3: lambda: arith.mulf(square, x),
                        4: lambda: arith.mulf(square, square)}[whole]())  # fmt: skip
    if rest:
        root = math.sqrt(x)
        factors += [root] if rest & 2 else []
        factors += [math.sqrt(root)] if rest & 1 else []
    result = factors[0]
    for factor in factors[1:]:
        result = arith.mulf(result, factor)
    return result if exponent > 0 else arith.divf(f.c(1.0), result)


def _log_in_two(f: Functions, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """log(x) as a sum of two numbers, for positive finite x (f64)."""
    m, n = f._split(x)  # pyright: ignore[reportPrivateUsage]
    # s = (m - 1) / (m + 1) in two parts
    top = arith.subf(m, f.c(1.0))
    bottom = arith.addf(m, f.c(1.0))
    bottom_lost = arith.subf(f.c(1.0), arith.subf(bottom, m))
    bottom_lost = arith.select(f.compare(_P.OGT, m, 1.0), bottom_lost, arith.subf(m, arith.subf(bottom, f.c(1.0))))
    s = arith.divf(top, bottom)
    p, lost = two_product(f, s, bottom)
    s_low = arith.divf(arith.subf(arith.subf(arith.subf(top, p), lost), arith.mulf(s, bottom_lost)), bottom)
    # log m = 2 s + 2/3 s^3 + s^5 q(s^2)
    z, z_low = two_product(f, s, s)
    z_low = f.fma(arith.mulf(s, f.c(2.0)), s_low, z_low)
    cube, cube_low = two_product(f, z, s)
    cube_low = arith.addf(cube_low, f.fma(z, s_low, arith.mulf(z_low, s)))
    third, third_low = two_product(f, cube, f.c(0.6666666666666666))
    third_low = arith.addf(
        third_low, f.fma(cube_low, f.c(0.6666666666666666), arith.mulf(cube, f.c(3.700743415417188e-17)))
    )
    tail = arith.mulf(arith.mulf(cube, z), f.polynomial(z, table.LOG_F64[1:]))
    high, low = _add(arith.mulf(s, f.c(2.0)), third)
    low = arith.addf(low, arith.addf(arith.addf(third_low, tail), arith.mulf(s_low, f.c(2.0))))
    scaled, scaled_low = two_product(f, n, f.c(_LN2_HIGH))
    scaled_low = f.fma(n, f.c(_LN2_LOW), scaled_low)
    total, total_low = _add(scaled, high)
    return _add(total, arith.addf(total_low, arith.addf(scaled_low, low)))


def _add(a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """(a + b rounded, what rounding lost)."""
    total = arith.addf(a, b)
    back = arith.subf(total, a)
    return total, arith.addf(arith.subf(a, arith.subf(total, back)), arith.subf(b, back))


def cube_root(f: Functions, x: ir.Value) -> ir.Value:
    """Cube root (f64): an estimate from the exponent, then Halley's iteration."""
    a = f.abs(x)
    denormal = f.compare(_P.OLT, a, 2.0**-1022)
    a = arith.select(denormal, arith.mulf(a, f.c(2.0**54)), a)
    estimate = arith.addi(arith.divui(f.bits_of(a), f.i(3)), f.i(0x2A9F7893_00000000))
    y = f.float_of(estimate)
    for _ in range(3):
        # y (y^3 + 2 a) / (2 y^3 + a) as y + y (a - y^3) / (2 y^3 + a), scaled so that nothing overflows
        r = arith.divf(arith.mulf(y, arith.mulf(y, f.c(0.5))), arith.divf(a, arith.mulf(y, f.c(2.0))))  # y^3 / a
        y = f.fma(y, arith.divf(arith.subf(f.c(1.0), r), f.fma(r, f.c(2.0), f.c(1.0))), y)
    y = arith.select(denormal, arith.mulf(y, f.c(2.0**-18)), y)
    special = arith.ori(f.compare(_P.OEQ, x, 0.0), arith.cmpf(_P.UEQ, f.abs(x), f.c(float("inf"))))
    return arith.select(special, x, f.copysign(y, x))


def rounded(f: Functions, mode: str, x: ir.Value) -> ir.Value:
    """floor, ceil, trunc, roundeven, or round (halves away from zero)."""
    if f.target.has_rounding and mode != "round":
        return getattr(math, mode)(x)
    a = f.abs(x)
    limit = 2.0**f.mantissa
    whole = arith.subf(arith.addf(a, f.c(limit)), f.c(limit))  # nearest, halves to even
    one, zero = f.c(1.0), f.c(0.0)
    match mode:
        case "roundeven":
            pass
        case "round":
            tie = arith.cmpf(_P.OEQ, arith.subf(a, whole), f.c(0.5))
            whole = arith.addf(whole, arith.select(tie, one, zero))
        case "trunc":
            whole = arith.subf(whole, arith.select(arith.cmpf(_P.OGT, whole, a), one, zero))
        case "floor":
            signed = f.copysign(whole, x)
            whole = arith.subf(signed, arith.select(arith.cmpf(_P.OGT, signed, x), one, zero))
        case _:
            signed = f.copysign(whole, x)
            whole = arith.addf(signed, arith.select(arith.cmpf(_P.OLT, signed, x), one, zero))
    # floor may change the sign of the magnitude, never that of the number, except that -0 stays -0
    result = f.copysign(whole, x)
    return arith.select(arith.cmpf(_P.OLT, a, f.c(limit)), result, x)


def remainder(f: Functions, x: ir.Value, y: ir.Value) -> ir.Value:
    """C's fmod: exact, sign of x. Subtracts y 2^k as long as it fits: each step is exact and clears the top bit."""
    a, b = _magnitude(f, x), _magnitude(f, y)
    infinity = float("inf")
    usable = arith.andi(f.compare(_P.OLT, a, infinity), f.compare(_P.OGT, b, 0.0))
    start = arith.select(usable, a, f.c(0.0))
    loop = scf.WhileOp([f.kind], [start])
    before = ir.Block.create_at_start(loop.regions[0], [f.kind])
    with ir.InsertionPoint(before):
        current = before.arguments[0]
        fits = arith.andi(arith.cmpf(_P.OGE, current, b), f.compare(_P.OGT, current, 0.0))
        scf.condition(fits, [current])
    after = ir.Block.create_at_start(loop.regions[1], [f.kind])
    with ir.InsertionPoint(after):
        current = after.arguments[0]
        distance = arith.subi(_exponent(f, current), _exponent(f, b))
        # 2^distance may be too large for one factor, and for two where the largest number meets a denormal one
        step = arith.divsi(distance, f.i(3))
        scaled = arith.mulf(arith.mulf(b, f.power_of_two(step)), f.power_of_two(step))
        t = arith.mulf(scaled, f.power_of_two(arith.subi(distance, arith.muli(step, f.i(2)))))
        t = arith.select(arith.cmpf(_P.OGT, t, current), arith.mulf(t, f.c(0.5)), t)
        # halving a denormal may round up; then y itself is what to subtract
        t = arith.select(arith.cmpf(_P.OGT, t, current), b, t)
        scf.yield_([arith.subf(current, t)])
    result = f.copysign(loop.results[0], x)
    invalid = arith.ori(f.compare(_P.OEQ, a, infinity), f.compare(_P.OEQ, b, 0.0))
    invalid = arith.ori(invalid, arith.ori(f.is_nan(x), f.is_nan(y)))
    return f.select(invalid, float("nan"), result)


def _magnitude(f: Functions, x: ir.Value) -> ir.Value:
    """|x| by a subtraction (-0 stays): LLVM takes absf of a widened bf16 before it is widened and loses denormals."""
    return arith.select(f.compare(_P.OLT, x, 0.0), arith.subf(f.c(0.0), x), x)


def _exponent(f: Functions, x: ir.Value) -> ir.Value:
    """Exponent of positive x, denormals included."""
    smallest = 2.0**-1022 if f.bits == 64 else 2.0**-126
    denormal = arith.cmpf(_P.OLT, x, f.c(smallest))
    shift = f.mantissa + 1
    scaled = arith.select(denormal, arith.mulf(x, f.c(2.0**shift)), x)
    exponent = arith.shrui(f.bits_of(scaled), f.i(f.mantissa))
    return arith.subi(exponent, arith.select(denormal, f.i(shift), f.i(0)))
