"""Conversions between f32 and the 8-bit and 4-bit floats, in integer arithmetic that every target has.

Rounding is to nearest, ties to even. What exceeds the format becomes its largest number (saturating) or its infinity
or NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.element_types import BOOL, FLOAT32, INT32, DType, bit_width, element_type
from mlirage.input.builders.scalar import Scalar
from mlirage.mlir import arith, ir

_INFINITY = 0x7F800000


@dataclass(frozen=True)
class _Format:
    """Layout of a small float: sign, exponent and mantissa bits, and what its top codes mean.

    Attributes:
      exponent: exponent bits.
      mantissa: mantissa bits.
      bias: of the exponent.
      largest: code of the largest finite number.
      infinity: code of infinity, if there is one.
      nan: code of NaN, if there is one.
      signed_zero: whether -0 has a code.
    """

    exponent: int
    mantissa: int
    bias: int
    largest: int
    infinity: int | None
    nan: int | None
    signed_zero: bool = True


_FORMATS = {
    "float8_e4m3fn": _Format(4, 3, 7, 0x7E, None, 0x7F),
    "float8_e4m3fnuz": _Format(4, 3, 8, 0x7F, None, 0x80, signed_zero=False),
    "float8_e5m2": _Format(5, 2, 15, 0x7B, 0x7C, 0x7E),
    "float8_e5m2fnuz": _Format(5, 2, 16, 0x7F, None, 0x80, signed_zero=False),
    "float4_e2m1fn": _Format(2, 1, 1, 0x7, None, None),
}


def _bits(x: Scalar) -> Scalar:
    return Scalar(arith.bitcast(element_type(INT32), x.value), INT32)


def _float(x: Scalar) -> Scalar:
    return Scalar(arith.bitcast(element_type(FLOAT32), x.value), FLOAT32)


def _code(x: Scalar, dtype: DType) -> Scalar:
    """An i32 code as a value of the small type."""
    narrow = arith.trunci(ir.IntegerType.get_signless(bit_width(dtype)), x.value)
    return Scalar(arith.bitcast(element_type(dtype), narrow), dtype)


def _shift_right(x: Scalar, amount: Scalar | int) -> Scalar:
    return Scalar(arith.shrui(x.value, s.coerce(amount, INT32).value), INT32)


def _shift_left(x: Scalar, amount: Scalar | int) -> Scalar:
    return Scalar(arith.shli(x.value, s.coerce(amount, INT32).value), INT32)


def decode(x: Scalar) -> Scalar:
    """A small float as f32, exactly."""
    width = bit_width(x.dtype)
    narrow = arith.bitcast(ir.IntegerType.get_signless(width), x.value)
    code = Scalar(arith.extui(element_type(INT32), narrow), INT32)
    if x.dtype.name == "float8_e8m0fnu":
        number = _float(s.select(code.eq(0), s.coerce(0x00400000, INT32), _shift_left(code, 23)))
        return s.select(code.eq(0xFF), s.coerce(float("nan"), FLOAT32), number)
    form = _FORMATS[x.dtype.name]
    magnitude = code & ((1 << (width - 1)) - 1)
    exponent = _shift_right(magnitude, form.mantissa)
    fraction = magnitude & ((1 << form.mantissa) - 1)
    normal = _float(_shift_left(exponent + (127 - form.bias), 23) | _shift_left(fraction, 23 - form.mantissa))
    tiny = s.cast(fraction, FLOAT32) * float(2.0 ** (1 - form.bias - form.mantissa))
    number = s.select(exponent.eq(0), tiny, normal)
    if form.infinity is not None:
        number = s.select(magnitude.eq(form.infinity), s.coerce(float("inf"), FLOAT32), number)
        number = s.select(magnitude > form.infinity, s.coerce(float("nan"), FLOAT32), number)
    number = s.select(_shift_right(code, width - 1).ne(0), -number, number)
    if form.nan is not None and form.infinity is None:
        compared = code if not form.signed_zero else magnitude
        number = s.select(compared.eq(form.nan), s.coerce(float("nan"), FLOAT32), number)
    return number


def encode(x: Scalar, dtype: DType, saturate: bool = True, round_mode: str = "up") -> Scalar:
    """An f32 as a small float; `round_mode` (`up`, `down`, `nearest`) is for e8m0, the others round to nearest."""
    if dtype.name == "float8_e8m0fnu":
        return _encode_power(x, dtype, saturate, round_mode)
    form = _FORMATS[dtype.name]
    width = bit_width(dtype)
    bits = _bits(x)
    sign = _shift_left(_shift_right(bits, 31), width - 1)
    magnitude = bits & 0x7FFFFFFF
    # Normal numbers: round the mantissa in place, then move the exponent's bias.
    cut = 23 - form.mantissa
    odd = _shift_right(magnitude, cut) & 1
    rounded = _shift_right(magnitude + ((1 << (cut - 1)) - 1) + odd, cut)
    normal = rounded - ((127 - form.bias) << form.mantissa)
    # Numbers below the smallest normal one: f32 addition of 2^(e+23-m) rounds to the right place.
    step = 2.0 ** (1 - form.bias - form.mantissa + 23)
    shifted = _bits(_float(magnitude) + float(step)) - int(np.float32(step).view(np.int32))
    smallest = int(np.float32(2.0 ** (1 - form.bias)).view(np.int32))
    code = s.select(magnitude < smallest, shifted, normal)
    over = form.largest
    if not saturate and (form.infinity is not None or form.nan is not None):
        over = form.infinity if form.infinity is not None else (form.nan or 0)
    code = s.select((code > form.largest) | (magnitude >= _INFINITY), s.coerce(over, INT32), code)
    is_nan = magnitude > _INFINITY
    if form.nan is None:  # 4 bits: NaN becomes -0
        return _code(s.select(is_nan, s.coerce(1 << (width - 1), INT32), code | sign), dtype)
    if form.signed_zero:
        return _code(s.select(is_nan, s.coerce(form.nan, INT32), code) | sign, dtype)
    signed = s.select(code.eq(0) | code.eq(form.nan), code, code | sign)
    return _code(s.select(is_nan, s.coerce(form.nan, INT32), signed), dtype)


def _encode_power(x: Scalar, dtype: DType, saturate: bool, round_mode: str) -> Scalar:
    """The power of two of an e8m0 next to |x|; NaN and infinities become NaN."""
    magnitude = _bits(x) & 0x7FFFFFFF
    exponent = _shift_right(magnitude, 23)
    fraction = magnitude & 0x7FFFFF
    if round_mode == "up":
        more = fraction.ne(0)
    elif round_mode == "nearest":  # ties up, but to 0 for the smallest
        more = (fraction > 0x400000) | (fraction.eq(0x400000) & exponent.ne(0))
    else:
        more = s.coerce(False, BOOL)
    rounded = exponent + s.cast(more, INT32)
    if saturate:
        rounded = s.clamp(rounded, None, 254)
    return _code(s.select(magnitude >= _INFINITY, s.coerce(255, INT32), rounded), dtype)
