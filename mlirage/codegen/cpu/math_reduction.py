"""Exact argument reduction of sin, cos and tan for arguments of any size (Payne and Hanek).

x = m 2^k with an integer m. Of x 2/pi only the part below 4 matters, so a window of the bits of 2/pi that starts one
bit above is multiplied with m; the top two bits of the product are the quadrant, the rest is the fraction.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mlirage.codegen.cpu.math_functions import Functions
from mlirage.mlir import arith, ir, math, tensor

_P, _I = arith.CmpFPredicate, arith.CmpIPredicate

# The first 1248 bits of 2/pi in words of 32 bits.
_TWO_OVER_PI = (
    0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB, 0xDEBBC561, 0xB7246E3A,
    0x424DD2E0, 0x06492EEA, 0x09D1921C, 0xFE1DEB1C, 0xB129A73E, 0xE88235F5, 0x2EBB4484, 0xE99C7026, 0xB45F7E41,
    0x3991D639, 0x835339F4, 0x9C845F8B, 0xBDF9283B, 0x1FF897FF, 0xDE05980F, 0xEF2F118B, 0x5A0A6D1F, 0x6D367ECF,
    0x27CB09B7, 0x4F463F66, 0x9E5FEA2D, 0x7527BAC7, 0xEBE5F17B, 0x3D0739F7, 0x8A5292EA, 0x6BFB5FB1, 0x1F8D5D08,
    0x56033046, 0xFC7B6BAB, 0xF0CFBC20,
)  # fmt: skip
_HALF_PI, _HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
_QUARTER_PI = 0.7853981633974483


class Reduction:
    """Reduces a value of f32 or f64 to a quadrant and a remainder in [-pi/4, pi/4]."""

    def __init__(self, functions: Functions) -> None:
        self.f = functions
        self.i64 = ir.IntegerType.get_signless(64)
        self.double = ir.F64Type.get()

    def _i(self, value: int) -> ir.Value:
        return arith.constant(self.i64, value)

    def _window(self, position: ir.Value, words: Sequence[ir.Value]) -> list[ir.Value]:
        """The 32-bit words that start `position` (0..31) bits into `words`, one fewer than those."""
        mask = self._i(0xFFFFFFFF)
        right = arith.subi(self._i(32), position)
        result: list[ir.Value] = []
        for high, low in itertools.pairwise(words):
            pair = arith.ori(arith.shli(high, self._i(32)), low)
            result.append(arith.andi(arith.shrui(pair, right), mask))
        return result

    def f32(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """(remainder of |x|, quadrant as i32)."""
        f = self.f
        a = f.abs(x)
        bits = arith.extui(self.i64, f.bits_of(a))
        exponent = arith.shrui(bits, self._i(23))
        mantissa = arith.ori(arith.andi(bits, self._i(0x7FFFFF)), self._i(0x800000))
        # the window starts at bit exponent - 152, which is negative for small x: 32 zero bits stand before the table
        start = arith.addi(exponent, self._i(32 - 152))
        start = arith.select(arith.cmpi(_I.slt, start, self._i(0)), self._i(0), start)
        index, position = arith.shrui(start, self._i(5)), arith.andi(start, self._i(31))
        padded = (0, *_TWO_OVER_PI)
        is_index = [arith.cmpi(_I.eq, index, self._i(k)) for k in range(1, 5)]
        words: list[ir.Value] = []
        for offset in range(4):
            word = self._i(padded[offset])
            for k in range(1, 5):
                word = arith.select(is_index[k - 1], self._i(padded[k + offset]), word)
            words.append(word)
        w = self._window(position, words)
        product = arith.addi(arith.shli(arith.muli(mantissa, w[0]), self._i(32)), arith.muli(mantissa, w[1]))
        product = arith.addi(product, arith.shrui(arith.muli(mantissa, w[2]), self._i(32)))
        quadrant = arith.shrui(arith.addi(product, self._i(1 << 61)), self._i(62))
        fraction = arith.subi(product, arith.shli(quadrant, self._i(62)))
        wide = arith.mulf(arith.sitofp(self.double, fraction), arith.constant(self.double, _HALF_PI * 2.0**-62))
        remainder = arith.truncf(f.kind, wide)
        small = f.compare(_P.OLT, a, _QUARTER_PI)
        zero = arith.constant(f.integer, 0)
        return arith.select(small, a, remainder), arith.select(small, zero, arith.trunci(f.integer, quadrant))

    def wide(self, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """For f64: (remainder of |x|, what it lacks, quadrant as i64)."""
        f = self.f
        a = f.abs(x)
        bits = f.bits_of(a)
        exponent = arith.shrui(bits, self._i(52))
        mantissa = arith.ori(arith.andi(bits, self._i((1 << 52) - 1)), self._i(1 << 52))
        padding = 3
        start = arith.addi(exponent, self._i(32 * padding - 1077))
        start = arith.select(arith.cmpi(_I.slt, start, self._i(0)), self._i(0), start)
        # infinity and NaN would read behind the table
        last = self._i(2046 + 32 * padding - 1077)
        start = arith.select(arith.cmpi(_I.sgt, start, last), last, start)
        words = self._table_words(arith.shrui(start, self._i(5)), padding, 7)
        w = self._window(arith.andi(start, self._i(31)), words)
        limbs = self._multiply(mantissa, w)
        high = arith.ori(arith.shli(limbs[0], self._i(32)), limbs[1])
        low = arith.ori(arith.shli(limbs[2], self._i(32)), limbs[3])
        quadrant = arith.shrui(arith.addi(high, self._i(1 << 61)), self._i(62))
        fraction = arith.subi(high, arith.shli(quadrant, self._i(62)))
        # fraction + low in two exact doubles of 33 and 53 bits
        top = arith.sitofp(f.kind, arith.shrsi(fraction, self._i(30)))
        rest_bits = arith.ori(
            arith.shli(arith.andi(fraction, self._i((1 << 30) - 1)), self._i(23)), arith.shrui(low, self._i(41))
        )
        top = arith.mulf(top, f.c(2.0**-32))
        rest = arith.mulf(arith.sitofp(f.kind, rest_bits), f.c(2.0**-85))
        h = arith.addf(top, rest)
        t = arith.subf(rest, arith.subf(h, top))
        r, error = two_product(f, h, f.c(_HALF_PI))
        error = arith.addf(error, f.fma(h, f.c(_HALF_PI_LOW), arith.mulf(t, f.c(_HALF_PI))))
        small = f.compare(_P.OLT, a, _QUARTER_PI)
        return (
            arith.select(small, a, r),
            f.select(small, 0.0, error),
            arith.select(small, self._i(0), quadrant),
        )

    def _table_words(self, index: ir.Value, padding: int, count: int) -> list[ir.Value]:
        values = (*(0,) * padding, *_TWO_OVER_PI, *(0,) * 4)
        text = ", ".join(str(v) for v in values)
        kind = ir.RankedTensorType.get([len(values)], self.i64)
        constant = arith.ConstantOp(kind, ir.Attribute.parse(f"dense<[{text}]> : {kind}")).result  # pyright: ignore[reportArgumentType]
        at = arith.index_cast(ir.IndexType.get(), index)
        return [tensor.extract(constant, [arith.addi(at, arith.constant(ir.IndexType.get(), k))]) for k in range(count)]

    def _multiply(self, m: ir.Value, w: Sequence[ir.Value]) -> list[ir.Value]:
        """m times the number with the words `w`, without what overflows; most significant word first."""
        mask, shift = self._i(0xFFFFFFFF), self._i(32)
        m_low, m_high = arith.andi(m, mask), arith.shrui(m, shift)
        limbs: list[ir.Value] = []
        carry = self._i(0)
        for column in reversed(range(len(w))):
            product = arith.muli(m_low, w[column])
            low = arith.addi(arith.andi(product, mask), carry)
            carry = arith.shrui(product, shift)
            if column + 1 < len(w):
                product = arith.muli(m_high, w[column + 1])
                low = arith.addi(low, arith.andi(product, mask))
                carry = arith.addi(carry, arith.shrui(product, shift))
            carry = arith.addi(carry, arith.shrui(low, shift))
            limbs.insert(0, arith.andi(low, mask))
        return limbs


def two_product(f: Functions, a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """(a * b rounded, what rounding lost) for f64."""
    p = arith.mulf(a, b)
    if f.target.has_fma:
        return p, math.fma(a, b, arith.negf(p))
    ah, al = _halves(f, a)
    bh, bl = _halves(f, b)
    error = arith.subf(arith.mulf(ah, bh), p)
    error = arith.addf(arith.addf(error, arith.mulf(ah, bl)), arith.mulf(al, bh))
    return p, arith.addf(error, arith.mulf(al, bl))


def _halves(f: Functions, a: ir.Value) -> tuple[ir.Value, ir.Value]:
    """a as a sum of two numbers of 26 bits each."""
    high = f.float_of(arith.andi(arith.addi(f.bits_of(a), f.i(1 << 26)), f.i(-(1 << 27))))
    return high, arith.subf(a, high)
