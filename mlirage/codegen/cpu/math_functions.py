"""Mathematical functions built from arith ops alone: no libm, every target, vectorized like any other arithmetic.

Functions of f32 that models spend time in (exp, log, tanh, erf, sin, cos, …) are written for f32; the others are
computed in f64 and rounded. Greatest errors, in units in the last place, are stated and tested in
tests/codegen/math_functions_test.py. Infinities, NaNs, signed zeros and denormals come out as IEEE 754 and C say;
sin, cos and tan reduce arguments of any size exactly.

The builder works on values of one type `kind`, f32 or f64, scalars inside linalg bodies.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.codegen.cpu import math_coefficients as table
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, math

_P = arith.CmpFPredicate
_I = arith.CmpIPredicate
_LN2 = 0.6931471805599453
_LOG2E = 1.4426950408889634
# ln 2 in two parts; the high one has so few bits that a product with an exponent is exact.
_LN2_PARTS = {32: (0.693145751953125, 1.4286068203094172e-06), 64: (0.6931471803691238, 1.9082149292705877e-10)}
# 2^a + 2^(a-1): adding it rounds to an integer, which then stands in the low bits.
_MAGIC = {32: 12582912.0, 64: 6755399441055744.0}
_HALF_PI = 1.5707963267948966
_HALF_PI_LOW = 6.123233995736766e-17


class Functions:
    """Builds functions of values of type `kind` at the current insertion point."""

    def __init__(self, kind: ir.Type, target: CpuTarget) -> None:
        self.kind = kind
        self.bits = 64 if isinstance(kind, ir.F64Type) else 32
        self.integer = ir.IntegerType.get_signless(self.bits)
        self.mantissa, self.bias = (52, 1023) if self.bits == 64 else (23, 127)
        self.target = target

    # Small words ------------------------------------------------------------------------------------------------

    def c(self, value: float) -> ir.Value:
        """A constant."""
        return arith.constant(self.kind, float(value))

    def i(self, value: int) -> ir.Value:
        """An integer constant as wide as the type."""
        return arith.constant(self.integer, value)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a * b + c; fused where the target can."""
        return math.fma(a, b, c) if self.target.has_fma else arith.addf(arith.mulf(a, b), c)

    def polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        """Horner's rule, constant term first."""
        result = self.c(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self.fma(result, x, self.c(coefficient))
        return result

    def compare(self, predicate: arith.CmpFPredicate, a: ir.Value, b: ir.Value | float) -> ir.Value:
        """A comparison."""
        return arith.cmpf(predicate, a, self.c(b) if isinstance(b, float | int) else b)

    def select(self, condition: ir.Value, a: ir.Value | float, b: ir.Value | float) -> ir.Value:
        """condition ? a : b."""
        return arith.select(
            condition,
            self.c(a) if isinstance(a, float | int) else a,
            self.c(b) if isinstance(b, float | int) else b,
        )

    def clamp(self, x: ir.Value, low: float, high: float) -> ir.Value:
        """x between low and high; NaN stays NaN."""
        x = self.select(self.compare(_P.OLT, x, low), low, x)
        return self.select(self.compare(_P.OGT, x, high), high, x)

    def bits_of(self, x: ir.Value) -> ir.Value:
        """The representation of x."""
        return arith.bitcast(self.integer, x)

    def float_of(self, bits: ir.Value) -> ir.Value:
        """The float with that representation."""
        return arith.bitcast(self.kind, bits)

    def abs(self, x: ir.Value) -> ir.Value:
        """|x|."""
        return self.float_of(arith.andi(self.bits_of(x), self.i((1 << (self.bits - 1)) - 1)))

    def copysign(self, magnitude: ir.Value, sign: ir.Value) -> ir.Value:
        """|magnitude| with the sign of `sign`."""
        mask = -(1 << (self.bits - 1))
        low = arith.andi(self.bits_of(magnitude), self.i(~mask))
        return self.float_of(arith.ori(low, arith.andi(self.bits_of(sign), self.i(mask))))

    def is_nan(self, x: ir.Value) -> ir.Value:
        """Whether x is NaN."""
        return arith.cmpf(_P.UNO, x, x)

    def nearest(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """x rounded to an integer, as float and as integer; |x| < 2^(mantissa - 2), NaN gives NaN and anything."""
        magic = self.c(_MAGIC[self.bits])
        shifted = arith.addf(x, magic)
        return arith.subf(shifted, magic), arith.subi(self.bits_of(shifted), self.bits_of(magic))

    def power_of_two(self, n: ir.Value) -> ir.Value:
        """2^n for exponents of normal numbers."""
        return self.float_of(arith.shli(arith.addi(n, self.i(self.bias)), self.i(self.mantissa)))

    def scale(self, x: ir.Value, n: ir.Value) -> ir.Value:
        """x * 2^n, in two steps so that results may overflow or be denormal."""
        half = arith.shrsi(n, self.i(1))
        return arith.mulf(arith.mulf(x, self.power_of_two(half)), self.power_of_two(arith.subi(n, half)))

    # Exponentials -----------------------------------------------------------------------------------------------

    def _reduced_exp(self, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """x = n ln 2 + r: (e^r - 1, n as float, n as integer)."""
        high, low = _LN2_PARTS[self.bits]
        n, exponent = self.nearest(arith.mulf(x, self.c(_LOG2E)))
        r = self.fma(n, self.c(-high), x)
        r = self.fma(n, self.c(-low), r)
        return self._expm1_small(r), n, exponent

    def _expm1_small(self, r: ir.Value) -> ir.Value:
        coefficients = table.EXP_F64 if self.bits == 64 else table.EXP_F32
        return self.fma(self.polynomial(r, coefficients), arith.mulf(r, r), r)

    def _exp_parts(self, x: ir.Value, offset: int) -> tuple[ir.Value, ir.Value]:
        """x = n ln 2 + r: (r, a number whose low bits are n + offset + the exponent's bias)."""
        high, low = _LN2_PARTS[self.bits]
        magic = self.c(_MAGIC[self.bits] + self.bias + offset)
        shifted = self.fma(x, self.c(_LOG2E), magic)
        n = arith.subf(shifted, magic)
        return self.fma(n, self.c(-low), self.fma(n, self.c(-high), x)), shifted

    def exp(self, x: ir.Value) -> ir.Value:
        """e^x."""
        x = self.clamp(x, -750.0, 710.0) if self.bits == 64 else self.clamp(x, -104.0, 89.0)
        # 2 e^r 2^(n - 1): 2^n alone may overflow where the result does not
        r, shifted = self._exp_parts(x, -1)
        coefficients = table.EXP_F64 if self.bits == 64 else table.EXP_F32
        twice = self.polynomial(r, [2.0 * c for c in (1.0, 1.0, *coefficients)])
        # where the result may be denormal it is made 2^64 times as large first
        small = self.compare(_P.OLT, x, -707.0 if self.bits == 64 else -86.0)
        exponent = arith.addi(self.bits_of(shifted), arith.select(small, self.i(64), self.i(0)))
        power = self.float_of(arith.shli(exponent, self.i(self.mantissa)))
        return arith.mulf(arith.mulf(twice, power), self.select(small, 2.0**-64, 1.0))

    def exp_nonpositive(self, x: ir.Value) -> ir.Value:
        """e^x for x <= 0 in less time: results that would be denormal are 0."""
        r, shifted = self._exp_parts(x, 0)  # what is shifted out of the integer was the magic number's
        power = self.float_of(arith.shli(self.bits_of(shifted), self.i(self.mantissa)))
        coefficients = table.EXP_F64 if self.bits == 64 else table.EXP_F32
        result = arith.mulf(self.polynomial(r, [1.0, 1.0, *coefficients]), power)
        return self.select(self.compare(_P.OLT, x, -708.0 if self.bits == 64 else -87.0), 0.0, result)

    def exp_of_difference(self, x: ir.Value) -> ir.Value:
        """e^x for x <= 0 that is rounded already, in the least time: below e^-86 it is 0.

        The relative error is 3e-7 + 1.4e-8 |x| in f32, 1e-15 + 1.5e-17 |x| in f64: log2 e is rounded, which adds less
        than x's own rounding.
        """
        log2e, magic = self.c(_LOG2E), self.c(_MAGIC[self.bits] + self.bias)
        shifted = self.fma(x, log2e, magic)
        fraction = self.fma(x, log2e, arith.subf(magic, shifted))
        wide = [_LN2 ** (k + 1) * c for k, c in enumerate((1.0, *table.EXP_F64))]
        result = self.polynomial(fraction, [1.0, *(wide if self.bits == 64 else table.EXP2_F32)])
        # a product, not a sum of exponents: NaN stays NaN
        power = self.float_of(arith.shli(self.bits_of(shifted), self.i(self.mantissa)))
        return self.select(
            self.compare(_P.OLT, x, -707.0 if self.bits == 64 else -86.0), 0.0, arith.mulf(result, power)
        )

    def exp2(self, x: ir.Value) -> ir.Value:
        """2^x."""
        x = self.clamp(x, -1076.0, 1025.0) if self.bits == 64 else self.clamp(x, -151.0, 129.0)
        n, exponent = self.nearest(x)
        q = self._expm1_small(arith.mulf(arith.subf(x, n), self.c(_LN2)))
        return self.scale(arith.addf(q, self.c(1.0)), exponent)

    def expm1(self, x: ir.Value) -> ir.Value:
        """e^x - 1, exact to the last places near 0."""
        clamped = self.clamp(x, -40.0, 710.0) if self.bits == 64 else self.clamp(x, -20.0, 89.0)
        q, _, exponent = self._reduced_exp(clamped)
        less = self.power_of_two(arith.subi(exponent, self.i(1)))  # 2^n may overflow where the result does not
        half = self.fma(q, less, arith.subf(less, self.c(0.5)))
        result = arith.mulf(half, self.c(2.0))
        # -0 stays -0, and a number too small to have a square is its own result
        tiny = self.compare(_P.OLT, self.abs(x), 2.0**-55 if self.bits == 64 else 2.0**-26)
        return self.select(tiny, x, result)

    # Logarithms -------------------------------------------------------------------------------------------------

    def _split(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """x = m 2^n with m in [sqrt 1/2, sqrt 2): (m, n as float); x positive and finite."""
        tiny_scale = 2.0**54 if self.bits == 64 else 2.0**25
        smallest = 2.0**-1022 if self.bits == 64 else 2.0**-126
        denormal = self.compare(_P.OLT, x, smallest)
        scaled = self.select(denormal, arith.mulf(x, self.c(tiny_scale)), x)
        bits = self.bits_of(scaled)
        root_half = 0x3FE6A09E667F3BCD if self.bits == 64 else 0x3F3504F3
        moved = arith.subi(bits, self.i(root_half))
        exponent = arith.shrsi(moved, self.i(self.mantissa))
        m = self.float_of(arith.subi(bits, arith.shli(exponent, self.i(self.mantissa))))
        shift = 54.0 if self.bits == 64 else 25.0
        n = arith.sitofp(self.kind, exponent)
        return m, arith.subf(n, self.select(denormal, shift, 0.0))

    def _log_of_fraction(self, f: ir.Value) -> tuple[ir.Value, ir.Value]:
        """log(1 + f) = f - (h - t) for small f: (h, t) with h = f^2 / 2."""
        s = arith.divf(f, arith.addf(f, self.c(2.0)))
        z = arith.mulf(s, s)
        coefficients = table.LOG_F64 if self.bits == 64 else table.LOG_F32
        r = arith.mulf(z, self.polynomial(z, coefficients))
        half_square = arith.mulf(arith.mulf(f, f), self.c(0.5))
        return half_square, arith.mulf(s, arith.addf(half_square, r))

    def _log_special(self, x: ir.Value, result: ir.Value) -> ir.Value:
        """log's results for 0, negative numbers, infinity and NaN."""
        infinity, nan = float("inf"), float("nan")
        result = self.select(self.compare(_P.OEQ, x, infinity), infinity, result)
        result = self.select(self.compare(_P.OEQ, x, 0.0), -infinity, result)
        result = self.select(self.compare(_P.OLT, x, 0.0), nan, result)
        return self.select(self.is_nan(x), x, result)

    def log(self, x: ir.Value) -> ir.Value:
        """Natural logarithm."""
        high, low = _LN2_PARTS[self.bits]
        m, n = self._split(x)
        f = arith.subf(m, self.c(1.0))
        half_square, t = self._log_of_fraction(f)
        inner = arith.subf(half_square, self.fma(n, self.c(low), t))
        result = arith.subf(arith.mulf(n, self.c(high)), arith.subf(inner, f))
        return self._log_special(x, result)

    def log_scaled(self, x: ir.Value, factor: float, per_binade: float) -> ir.Value:
        """log2 or log10: log(m) * factor + n * per_binade; exact for powers of two if per_binade is 1."""
        m, n = self._split(x)
        f = arith.subf(m, self.c(1.0))
        half_square, t = self._log_of_fraction(f)
        natural = arith.subf(f, arith.subf(half_square, t))
        return self._log_special(x, self.fma(n, self.c(per_binade), arith.mulf(natural, self.c(factor))))

    def log1p(self, x: ir.Value) -> ir.Value:
        """log(1 + x), exact to the last places near 0."""
        high, low = _LN2_PARTS[self.bits]
        one = self.c(1.0)
        u = arith.addf(x, one)
        # what rounding 1 + x lost: u is at least as exact as its larger part
        x_larger = self.compare(_P.OGT, x, 1.0)
        lost = arith.select(x_larger, arith.subf(one, arith.subf(u, x)), arith.subf(x, arith.subf(u, one)))
        m, n = self._split(u)
        f = arith.subf(m, one)
        half_square, t = self._log_of_fraction(f)
        correction = arith.divf(lost, u)
        inner = arith.subf(half_square, self.fma(n, self.c(low), arith.addf(t, correction)))
        result = arith.subf(arith.mulf(n, self.c(high)), arith.subf(inner, f))
        result = self._log_special(u, result)
        tiny = self.compare(_P.OLT, self.abs(x), 2.0**-54 if self.bits == 64 else 2.0**-25)
        return self.select(arith.ori(tiny, self.is_nan(x)), x, result)

    # Circular functions -----------------------------------------------------------------------------------------

    def _sin_small(self, r: ir.Value) -> ir.Value:
        z = arith.mulf(r, r)
        coefficients = table.SIN_F64 if self.bits == 64 else table.SIN_F32
        return self.fma(arith.mulf(z, self.polynomial(z, coefficients)), r, r)

    def _cos_small(self, r: ir.Value) -> ir.Value:
        z = arith.mulf(r, r)
        coefficients = table.COS_F64 if self.bits == 64 else table.COS_F32
        half = arith.mulf(z, self.c(0.5))
        w = arith.subf(self.c(1.0), half)
        rest = arith.subf(arith.subf(self.c(1.0), w), half)
        tail = self.fma(arith.mulf(z, z), self.polynomial(z, coefficients), rest)
        return arith.addf(w, tail)

    def sin_of_quadrant(self, r: ir.Value, r_low: ir.Value | None, quadrant: ir.Value) -> ir.Value:
        """sin(quadrant * pi / 2 + r + r_low); add 1 to the quadrant for the cosine."""
        sine, cosine = self._sin_small(r), self._cos_small(r)
        if r_low is not None:
            sine = self.fma(r_low, cosine, sine)
            cosine = self.fma(arith.negf(r_low), self._sin_small(r), cosine)
        odd = arith.cmpi(_I.ne, arith.andi(quadrant, self.i(1)), self.i(0))
        value = arith.select(odd, cosine, sine)
        sign = arith.shli(arith.andi(quadrant, self.i(2)), self.i(self.bits - 2))
        return self.float_of(arith.xori(self.bits_of(value), sign))

    # Inverse circular functions ---------------------------------------------------------------------------------

    def atan(self, x: ir.Value) -> ir.Value:
        """Arc tangent."""
        a = self.abs(x)
        large = self.compare(_P.OGT, a, 1.0)
        inner = self.select(large, arith.divf(self.c(1.0), a), a)
        middle = self.compare(_P.OGT, inner, 0.4142135623730950)
        moved = arith.divf(arith.subf(inner, self.c(1.0)), arith.addf(inner, self.c(1.0)))
        t = self.select(middle, moved, inner)
        z = arith.mulf(t, t)
        coefficients = table.ATAN_F64 if self.bits == 64 else table.ATAN_F32
        p = self.fma(arith.mulf(z, self.polynomial(z, coefficients)), t, t)
        p = self.select(middle, arith.addf(p, self.c(_HALF_PI / 2)), p)
        p = self.select(large, arith.subf(self.c(_HALF_PI), arith.subf(p, self.c(_HALF_PI_LOW))), p)
        return self.copysign(p, x)

    def atan2(self, y: ir.Value, x: ir.Value) -> ir.Value:
        """Angle of the point (x, y)."""
        ax, ay = self.abs(x), self.abs(y)
        swap = self.compare(_P.OGT, ay, ax)
        high, low = arith.select(swap, ay, ax), arith.select(swap, ax, ay)
        quotient = arith.divf(low, high)
        infinite = self.compare(_P.OEQ, low, float("inf"))  # both infinite: as if both were 1
        quotient = self.select(infinite, 1.0, quotient)
        quotient = self.select(self.compare(_P.OEQ, high, 0.0), 0.0, quotient)
        angle = self.atan(quotient)
        angle = arith.select(swap, arith.subf(self.c(_HALF_PI), arith.subf(angle, self.c(_HALF_PI_LOW))), angle)
        negative = arith.cmpi(_I.slt, self.bits_of(x), self.i(0))
        pi, pi_low = self.c(2 * _HALF_PI), self.c(2 * _HALF_PI_LOW)
        angle = arith.select(negative, arith.subf(pi, arith.subf(angle, pi_low)), angle)
        angle = self.copysign(angle, y)
        nan = arith.ori(self.is_nan(x), self.is_nan(y))
        return arith.select(nan, arith.addf(x, y), angle)

    def _asin_small(self, x: ir.Value, z: ir.Value) -> ir.Value:
        coefficients = table.ASIN_F64 if self.bits == 64 else table.ASIN_F32
        return self.fma(arith.mulf(z, self.polynomial(z, coefficients)), x, x)

    def asin(self, x: ir.Value) -> ir.Value:
        """Arc sine; NaN outside [-1, 1]."""
        a = self.abs(x)
        large = self.compare(_P.OGT, a, 0.5)
        z = arith.select(large, arith.mulf(arith.subf(self.c(1.0), a), self.c(0.5)), arith.mulf(a, a))
        t = arith.select(large, math.sqrt(z), a)
        p = self._asin_small(t, z)
        outer = arith.subf(self.c(_HALF_PI), arith.subf(arith.mulf(p, self.c(2.0)), self.c(_HALF_PI_LOW)))
        return self.copysign(arith.select(large, outer, p), x)

    def acos(self, x: ir.Value) -> ir.Value:
        """Arc cosine; NaN outside [-1, 1]."""
        a = self.abs(x)
        large = self.compare(_P.OGT, a, 0.5)
        z = arith.select(large, arith.mulf(arith.subf(self.c(1.0), a), self.c(0.5)), arith.mulf(a, a))
        t = arith.select(large, math.sqrt(z), x)
        p = self._asin_small(t, z)
        inner = arith.subf(self.c(_HALF_PI), arith.subf(p, self.c(_HALF_PI_LOW)))
        twice = arith.mulf(p, self.c(2.0))
        negative = self.compare(_P.OLT, x, 0.0)
        reflected = arith.subf(self.c(2 * _HALF_PI), arith.subf(twice, self.c(2 * _HALF_PI_LOW)))
        return arith.select(large, arith.select(negative, reflected, twice), inner)

    # Hyperbolic functions ---------------------------------------------------------------------------------------

    def sinh(self, x: ir.Value) -> ir.Value:
        """Hyperbolic sine."""
        a = self.abs(x)
        t = self.expm1(arith.subf(a, self.c(0.0)))
        one = self.c(1.0)
        # (t + t / (t + 1)) / 2; for large arguments e^(a / 2) squared, which overflows where the result does
        small = arith.mulf(arith.addf(t, arith.divf(t, arith.addf(t, one))), self.c(0.5))
        root = self.exp(arith.mulf(a, self.c(0.5)))
        large = arith.mulf(arith.mulf(root, self.c(0.5)), root)
        limit = 22.0 if self.bits == 64 else 10.0
        return self.copysign(arith.select(self.compare(_P.OGT, a, limit), large, small), x)

    def cosh(self, x: ir.Value) -> ir.Value:
        """Hyperbolic cosine."""
        a = self.abs(x)
        e = self.exp(a)
        half = self.c(0.5)
        small = arith.addf(arith.mulf(e, half), arith.divf(half, e))
        root = self.exp(arith.mulf(a, half))
        large = arith.mulf(arith.mulf(root, half), root)
        limit = 22.0 if self.bits == 64 else 10.0
        return arith.select(self.compare(_P.OGT, a, limit), large, small)

    def tanh(self, x: ir.Value) -> ir.Value:
        """Hyperbolic tangent."""
        t = self.expm1(arith.mulf(self.abs(x), self.c(-2.0)))
        return self.copysign(arith.divf(arith.negf(t), arith.addf(t, self.c(2.0))), x)

    def asinh(self, x: ir.Value) -> ir.Value:
        """Inverse hyperbolic sine."""
        a = self.abs(x)
        square = arith.mulf(a, a)
        one = self.c(1.0)
        root = math.sqrt(arith.addf(square, one))
        small = self.log1p(arith.addf(a, arith.divf(square, arith.addf(one, root))))
        big = arith.addf(self.log(a), self.c(_LN2))
        limit = 2.0**28 if self.bits == 64 else 2.0**13
        return self.copysign(arith.select(self.compare(_P.OGT, a, limit), big, small), x)

    def acosh(self, x: ir.Value) -> ir.Value:
        """Inverse hyperbolic cosine; NaN below 1."""
        t = arith.subf(x, self.c(1.0))
        small = self.log1p(arith.addf(t, math.sqrt(arith.addf(arith.mulf(t, self.c(2.0)), arith.mulf(t, t)))))
        big = arith.addf(self.log(x), self.c(_LN2))
        limit = 2.0**28 if self.bits == 64 else 2.0**13
        result = arith.select(self.compare(_P.OGT, x, limit), big, small)
        return self.select(self.compare(_P.OLT, x, 1.0), float("nan"), result)

    def atanh(self, x: ir.Value) -> ir.Value:
        """Inverse hyperbolic tangent; NaN outside [-1, 1]."""
        a = self.abs(x)
        ratio = arith.divf(arith.mulf(a, self.c(2.0)), arith.subf(self.c(1.0), a))
        result = arith.mulf(self.log1p(ratio), self.c(0.5))
        result = self.select(self.compare(_P.OGT, a, 1.0), float("nan"), result)
        return self.copysign(result, x)

    # Error function ---------------------------------------------------------------------------------------------

    def erf(self, x: ir.Value) -> ir.Value:
        """Error function."""
        a = self.abs(x)
        z = arith.mulf(x, x)
        coefficients = table.ERF_F64 if self.bits == 64 else table.ERF_F32
        inner = arith.mulf(a, self.polynomial(z, coefficients))
        if self.bits == 64:
            limit, outer = 1.0, arith.subf(self.c(1.0), self._erfc_positive(a))
        else:
            limit = 0.875
            t = self.clamp(a, 0.0, 4.0)
            # between e^-17 and 1: neither clamps nor denormals
            q, _, exponent = self._reduced_exp(arith.mulf(t, self.polynomial(t, table.ERFC_TAIL_F32)))
            scale = self.power_of_two(exponent)
            outer = arith.subf(self.c(1.0), self.fma(q, scale, scale))
        return self.copysign(arith.select(self.compare(_P.OLT, a, limit), inner, outer), x)

    def erf_plus_one(self, x: ir.Value) -> ir.Value:
        """1 + erf(x) in f32, which the GELU multiplies by: no digits cancel where x < 0, and one polynomial will do."""
        a = self.abs(x)
        t = self.clamp(a, 0.0, 4.0)
        q, _, exponent = self._reduced_exp(arith.mulf(t, self.polynomial(t, table.ERFC_F32)))
        scale = self.power_of_two(exponent)
        tail = self.select(self.compare(_P.OGE, a, 4.0), 0.0, self.fma(q, scale, scale))
        return arith.select(self.compare(_P.OLT, x, 0.0), tail, arith.subf(self.c(2.0), tail))

    def _erfc_positive(self, a: ir.Value) -> ir.Value:
        """erfc(a) = e^(-a^2) erfcx(a) for a >= 0 (f64)."""
        k = self.c(3.75)
        a = self.clamp(a, 0.0, 30.0)
        t = arith.divf(arith.subf(a, k), arith.addf(a, k))
        scaled = arith.divf(self.polynomial(t, table.ERFCX_F64), self.fma(a, self.c(2.0), self.c(1.0)))
        # a^2 in two parts: the high one has 26 bits
        high = self.float_of(arith.andi(self.bits_of(a), self.i(-(1 << 27))))
        rest = arith.mulf(arith.subf(a, high), arith.addf(a, high))
        power = self.exp(arith.negf(arith.mulf(high, high)))
        return arith.mulf(arith.mulf(power, self.exp(arith.negf(rest))), scaled)

    def erfc(self, x: ir.Value) -> ir.Value:
        """1 - erf(x), relative precision in the tail (f64)."""
        a = self.abs(x)
        tail = self._erfc_positive(a)
        reflected = arith.subf(self.c(2.0), tail)
        outer = arith.select(self.compare(_P.OLT, x, 0.0), reflected, tail)
        near = arith.subf(self.c(1.0), self.erf(x))
        return arith.select(self.compare(_P.OLT, a, 0.5), near, outer)
