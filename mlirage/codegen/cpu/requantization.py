"""Requantization without divisions and without ways through integers, exactly.

    %q = arith.divf %x, 0.0127 : f32;  math.roundeven %q
      ─>
    %low = arith.mulf %x, zl;  %q = math.fma %x, zh, %low;  math.roundeven %q          zh + zl = 1 / 0.0127, nearly

A quotient by a constant, rounded to nearest, is that sum of two products for all but a few divisors (Brisebarre, Muller
and Raina, 2004): the sum is so near to the quotient that it rounds otherwise only for dividends whose quotient is next
to the middle of two floats. Those are few and known, and each is tried here; a divisor for which one of them fails is
divided by. `zh` is rounded towards zero, so that infinities stay what they are. Quotients below 2^-100 may differ in
their last bit: rounding makes them zero.

    sitofp(extui(trunci(fptosi %y)) - 131)   ─>   %y + -131.0                      %y is integral and within 0 to 255
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from mlirage.codegen.configuration import Entry
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir
from mlirage.mlir import math as math_dialect

_BITS = 24  # of an f32's significand
_FAR = 100  # divisors beyond 2^±_FAR are left alone
_GREATER = (arith.CmpFPredicate.OGT, arith.CmpFPredicate.OGE)
_LESS = (arith.CmpFPredicate.OLT, arith.CmpFPredicate.OLE)
_ROUNDINGS = ("math.roundeven", "math.round", "math.floor", "math.ceil", "math.trunc")


def simplify_requantization(entry: Entry, target: CpuTarget) -> None:
    """Rewrites the scalar ops of the bodies of an entry point."""
    for op in list(entry.walk()):
        if op.name in ("arith.sitofp", "arith.uitofp"):
            _skip_integers(op)
    if target.has_fma:
        for op in list(entry.walk()):
            if op.name == "arith.divf":
                _multiply(op)
    for op in reversed(list(entry.walk())):  # what only went through integers
        if op.name in ("arith.subi", "arith.extui", "arith.extsi", "arith.trunci", "arith.fptosi") and not _used(op):
            op.erase()


def _used(op: ir.Operation) -> bool:
    return any(True for _ in op.results[0].uses)


def _multiply(op: ir.Operation) -> None:
    divisor = _number(op.operands[1])
    if divisor is None or not isinstance(op.results[0].type, ir.F32Type):
        return
    if not all(use.owner.operation.name == "math.roundeven" for use in op.results[0].uses):
        return
    factors = two_factors(divisor)
    if factors is None:
        return
    high, low = factors
    with ir.InsertionPoint(op), op.location:
        x, f32 = op.operands[0], ir.F32Type.get()
        if low == 0:
            quotient = arith.mulf(x, arith.constant(f32, high))
        else:
            part = arith.mulf(x, arith.constant(f32, low))
            quotient = math_dialect.fma(x, arith.constant(f32, high), part)
    op.results[0].replace_all_uses_with(quotient)
    op.erase()


def two_factors(divisor: float) -> tuple[float, float] | None:
    """Floats zh and zl with fma(x, zh, x * zl) = x / divisor, both rounded; None if there are none.

    zl is 0 where zh alone is exact.
    """
    if not (math.isfinite(divisor) and 2.0**-_FAR < abs(divisor) < 2.0**_FAR):
        return None
    exact = 1 / Fraction(divisor)
    high = _nearest(exact)
    if abs(high) > abs(exact):
        high = Fraction(float(np.nextafter(np.float32(float(high)), np.float32(0))))
    low = np.float32(float(_nearest(exact - high)))
    if low == 0:
        return float(high), 0.0
    away = np.float32(math.copysign(math.inf, low))
    for factor in (low, np.nextafter(low, away), np.nextafter(low, np.float32(0))):
        if _are_right(divisor, high, Fraction(float(factor))):
            return float(high), float(factor)
    return None


def _are_right(divisor: float, high: Fraction, low: Fraction) -> bool:
    exact = 1 / Fraction(divisor)
    return all(_nearest(x * high + _nearest(x * low)) == _nearest(x * exact) for x in _hardest(divisor, high, low))


def _hardest(divisor: float, high: Fraction, low: Fraction) -> Iterator[Fraction]:
    """The significands whose quotients are nearer to the middle of two floats than the two products are to them."""
    y = abs(Fraction(divisor))
    while y < 1 << (_BITS - 1):
        y *= 2
    while y >= 1 << _BITS:
        y /= 2
    y = int(y)
    exact = 1 / Fraction(divisor)
    # relative: what the two factors lack, and the rounding of the lower product
    error = abs(high + low - exact) / abs(exact) + abs(low / exact) / (1 << _BITS)
    for bits in (_BITS, _BITS + 1):  # quotients from 1 to 2, and those below 1
        # |x·2^bits − m·y| = j for an odd m, where the middle of two floats is m / 2^bits
        most = math.floor(error * (1 << (bits + _BITS))) + 1
        for j in range(-most, most + 1):
            shared = math.gcd(1 << bits, y)
            if j == 0 or j % shared:
                continue
            modulus = y // shared
            first = (j // shared) * pow((1 << bits) // shared, -1, modulus) % modulus if modulus > 1 else 0
            lowest, end = (y, 1 << _BITS) if bits == _BITS else (1 << (_BITS - 1), y)
            for x in range(first + -((first - lowest) // modulus) * modulus, end, modulus):
                yield Fraction(x)


def _nearest(number: Fraction) -> Fraction:
    """The f32 nearest to a number, ties to even, without limits of the exponent."""
    if number == 0:
        return number
    size = abs(number)
    exponent = size.numerator.bit_length() - size.denominator.bit_length() - _BITS
    while size >= Fraction(2) ** (exponent + _BITS):
        exponent += 1
    while size < Fraction(2) ** (exponent + _BITS - 1):
        exponent -= 1
    return round(number / Fraction(2) ** exponent) * Fraction(2) ** exponent


def _skip_integers(op: ir.Operation) -> None:
    """Makes a float of what was a float before."""
    if not isinstance(op.results[0].type, ir.F32Type):
        return
    value, offset = op.operands[0], 0
    center = _owner(value)
    if center is not None and center.name == "arith.subi":
        taken = _integer(center.operands[1])
        if taken is None or abs(taken) >= 1 << 16:
            return
        value, offset = center.operands[0], taken
    widened = _owner(value)
    unsigned = op.name == "arith.uitofp"
    if widened is not None and widened.name in ("arith.extui", "arith.extsi"):
        if unsigned:
            return
        unsigned = widened.name == "arith.extui"
        value = widened.operands[0]
    elif offset:
        return
    narrowed = _owner(value)
    if narrowed is None or narrowed.name != "arith.trunci" or not isinstance(value.type, ir.IntegerType):
        return
    source = _owner(narrowed.operands[0])
    if source is None or source.name != "arith.fptosi" or value.type.width > 16:
        return
    number = source.operands[0]
    half = 1 << (value.type.width - 1)
    lowest, highest = (0, 2 * half - 1) if unsigned else (-half, half - 1)
    low, high = _bounds(number)
    if not isinstance(number.type, ir.F32Type) or low < lowest or high > highest or not _is_integral(number):
        return
    with ir.InsertionPoint(op), op.location:  # the sum makes 0 of -0, too
        result = arith.addf(number, arith.constant(ir.F32Type.get(), 0.0 - offset))
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _bounds(value: ir.Value) -> tuple[float, float]:
    """Numbers that a value lies between; infinities where nothing is known, or it may be NaN."""
    unknown = -math.inf, math.inf
    number = _number(value)
    if number is not None:
        return unknown if math.isnan(number) else (number, number)
    op = _owner(value)
    if op is None or op.name != "arith.select":
        return unknown
    condition = _owner(op.operands[0])
    if condition is None or condition.name != "arith.cmpf" or list(condition.operands) != list(op.operands)[1:]:
        return unknown
    predicate = arith.CmpFPredicate(ir.IntegerAttr(condition.attributes["predicate"]).value)
    limit = _number(condition.operands[1])  # a NaN becomes it
    if limit is None or math.isnan(limit):
        return unknown
    low, high = _bounds(condition.operands[0])
    if predicate in _GREATER:
        return max(low, limit), max(high, limit)
    return (min(low, limit), min(high, limit)) if predicate in _LESS else unknown


def _is_integral(value: ir.Value) -> bool:
    """Whether a float that is finite is an integer."""
    number = _number(value)
    if number is not None:
        return number.is_integer()
    op = _owner(value)
    if op is None:
        return False
    if op.name in ("arith.addf", "arith.subf"):
        return all(map(_is_integral, op.operands))
    return op.name in _ROUNDINGS or (op.name == "arith.select" and all(map(_is_integral, list(op.operands)[1:])))


def _owner(value: ir.Value) -> ir.Operation | None:
    return None if isinstance(value.owner, ir.Block) else value.owner.operation


def _number(value: ir.Value) -> float | None:
    """The float that a value is."""
    op = _owner(value)
    if op is None or op.name != "arith.constant" or not isinstance(value.type, ir.F32Type):
        return None
    return ir.FloatAttr(op.attributes["value"]).value


def _integer(value: ir.Value) -> int | None:
    op = _owner(value)
    if op is None or op.name != "arith.constant":
        return None
    return ir.IntegerAttr(op.attributes["value"]).value
