"""Scalar arithmetic for the bodies of linalg ops: Python operators on `Scalar` make arith, math and complex ops.

The narrow floats (16 bits and less) are widened to f32 where a tensor is read and rounded where one is written, so
scalar code only sees types with arithmetic of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mlirage.input.builders.element_types import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INDEX,
    INT32,
    DType,
    bit_width,
    compute_dtype,
    element_type,
    integer_range,
    is_complex,
    is_float,
    is_integer,
    is_small_float,
    is_unsigned,
    real_dtype,
)
from mlirage.input.builders.tensor import Tensor, TensorBuilder
from mlirage.mlir import arith, complex_, ir, linalg, math, tensor


@dataclass(frozen=True, eq=False)
class Scalar:
    """A scalar SSA value with its dtype."""

    value: ir.Value[Any]
    dtype: DType

    def _pair(self, other: Operand) -> tuple[ir.Value[Any], ir.Value[Any]]:
        return self.value, coerce(other, self.dtype).value

    def _by_kind(self, other: Operand, for_float: Any, for_int: Any, for_complex: Any = None) -> Scalar:
        left, right = self._pair(other)
        if is_float(self.dtype):
            return Scalar(for_float(left, right), self.dtype)
        if is_complex(self.dtype):
            return Scalar(for_complex(left, right), self.dtype)
        return Scalar(for_int(left, right), self.dtype)

    def __add__(self, other: Operand) -> Scalar:
        return self._by_kind(other, arith.addf, arith.addi, complex_.add)

    def __radd__(self, other: Operand) -> Scalar:
        return coerce(other, self.dtype) + self

    def __sub__(self, other: Operand) -> Scalar:
        return self._by_kind(other, arith.subf, arith.subi, complex_.sub)

    def __rsub__(self, other: Operand) -> Scalar:
        return coerce(other, self.dtype) - self

    def __mul__(self, other: Operand) -> Scalar:
        return self._by_kind(other, arith.mulf, arith.muli, complex_.mul)

    def __rmul__(self, other: Operand) -> Scalar:
        return coerce(other, self.dtype) * self

    def __truediv__(self, other: Operand) -> Scalar:
        """Division; of integers, rounded towards zero, and 0 by zero or on overflow instead of a trap."""
        if is_integer(self.dtype) or self.dtype == INDEX:
            return _safe_integer(self, coerce(other, self.dtype), remainder=False)
        return self._by_kind(other, arith.divf, None, complex_.div)

    def __rtruediv__(self, other: Operand) -> Scalar:
        return coerce(other, self.dtype) / self

    def __mod__(self, other: Operand) -> Scalar:
        """The remainder with the sign of the dividend (C's % and fmod)."""
        if is_integer(self.dtype) or self.dtype == INDEX:
            return _safe_integer(self, coerce(other, self.dtype), remainder=True)
        return self._by_kind(other, arith.remf, None)

    def __neg__(self) -> Scalar:
        if is_float(self.dtype):
            return Scalar(arith.negf(self.value), self.dtype)
        if is_complex(self.dtype):
            return Scalar(complex_.neg(self.value), self.dtype)
        return coerce(0, self.dtype) - self

    def __and__(self, other: Operand) -> Scalar:
        return Scalar(arith.andi(*self._pair(other)), self.dtype)

    def __or__(self, other: Operand) -> Scalar:
        return Scalar(arith.ori(*self._pair(other)), self.dtype)

    def __xor__(self, other: Operand) -> Scalar:
        return Scalar(arith.xori(*self._pair(other)), self.dtype)

    def __invert__(self) -> Scalar:
        return self ^ (True if self.dtype == BOOL else -1)

    def _compare(self, other: Operand, float_predicate: str, int_predicate: str) -> Scalar:
        left, right = self._pair(other)
        if is_float(self.dtype):
            return Scalar(arith.cmpf(getattr(arith.CmpFPredicate, float_predicate), left, right), BOOL)
        if int_predicate not in ("eq", "ne"):
            int_predicate = ("u" if is_unsigned(self.dtype) else "s") + int_predicate
        return Scalar(arith.cmpi(getattr(arith.CmpIPredicate, int_predicate), left, right), BOOL)

    def __lt__(self, other: Operand) -> Scalar:
        return self._compare(other, "OLT", "lt")

    def __le__(self, other: Operand) -> Scalar:
        return self._compare(other, "OLE", "le")

    def __gt__(self, other: Operand) -> Scalar:
        return self._compare(other, "OGT", "gt")

    def __ge__(self, other: Operand) -> Scalar:
        return self._compare(other, "OGE", "ge")

    def eq(self, other: Operand) -> Scalar:
        """Equality; false for NaN."""
        if is_complex(self.dtype):
            return Scalar(complex_.eq(*self._pair(other)), BOOL)
        return self._compare(other, "OEQ", "eq")

    def ne(self, other: Operand) -> Scalar:
        """Inequality; true for NaN."""
        if is_complex(self.dtype):
            return Scalar(complex_.neq(*self._pair(other)), BOOL)
        return self._compare(other, "UNE", "ne")


Operand: TypeAlias = "Scalar | int | float | complex | bool | np.generic"


def coerce(value: Operand, dtype: DType) -> Scalar:
    """`value` as a scalar of `dtype`: Python and numpy numbers become constants."""
    if isinstance(value, Scalar):
        if value.dtype != dtype:
            raise TypeError(f"scalar of {value.dtype} where {dtype} is meant")
        return value
    return Scalar(TensorBuilder.current().scalar_constant(value, dtype), dtype)


def _safe_integer(left: Scalar, right: Scalar, remainder: bool) -> Scalar:
    dtype = left.dtype
    unsigned = is_unsigned(dtype)
    make = (arith.remui if unsigned else arith.remsi) if remainder else (arith.divui if unsigned else arith.divsi)
    constant = _constant_of(right)
    if constant is not None and constant not in (0, -1):
        return Scalar(make(left.value, right.value), dtype)
    zero = right.eq(0)
    bad = zero
    if not unsigned:
        lowest = integer_range(dtype)[0] if dtype != INDEX else -(2**63)
        bad = zero | (left.eq(lowest) & right.eq(-1))
    quotient = make(left.value, select(bad, coerce(1, dtype), right).value)
    if remainder:
        return select(bad, coerce(0, dtype), Scalar(quotient, dtype))
    return select(zero, coerce(0, dtype), Scalar(quotient, dtype))


def _constant_of(scalar: Scalar) -> int | None:
    owner = scalar.value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    attribute = owner.attributes["value"]
    return attribute.value if isinstance(attribute, ir.IntegerAttr) else None


def select(condition: Scalar, if_true: Operand, if_false: Operand) -> Scalar:
    """`if_true` where `condition` holds, else `if_false`; one of them must be a Scalar."""
    dtype = if_true.dtype if isinstance(if_true, Scalar) else if_false.dtype  # pyright: ignore
    left, right = coerce(if_true, dtype), coerce(if_false, dtype)
    return Scalar(arith.select(condition.value, left.value, right.value), dtype)


def maximum(left: Scalar, right: Operand) -> Scalar:
    """The larger; NaN if either is NaN."""
    for_int = arith.maxui if is_unsigned(left.dtype) else arith.maxsi
    return left._by_kind(right, arith.maximumf, for_int)  # pyright: ignore[reportPrivateUsage]


def minimum(left: Scalar, right: Operand) -> Scalar:
    """The smaller; NaN if either is NaN."""
    for_int = arith.minui if is_unsigned(left.dtype) else arith.minsi
    return left._by_kind(right, arith.minimumf, for_int)  # pyright: ignore[reportPrivateUsage]


def clamp(x: Scalar, low: Operand | None, high: Operand | None) -> Scalar:
    """`x` held between bounds; NaN stays NaN, and `high` wins where the bounds cross."""
    if low is not None:
        low = coerce(low, x.dtype)
        x = select(x < low, low, x)
    if high is not None:
        high = coerce(high, x.dtype)
        x = select(x > high, high, x)
    return x


def unary(name: str) -> Any:
    """The scalar function `math.<name>` (for floats)."""
    make = getattr(math, name)

    def apply(x: Scalar) -> Scalar:
        if not is_float(x.dtype):
            raise TypeError(f"{name} of {x.dtype}: it is a function of real floating-point numbers")
        return Scalar(make(x.value), x.dtype)

    return apply


exp, exp2, expm1 = unary("exp"), unary("exp2"), unary("expm1")
log, log2, log1p = unary("log"), unary("log2"), unary("log1p")
sqrt, rsqrt, erf, tanh = unary("sqrt"), unary("rsqrt"), unary("erf"), unary("tanh")
sin, cos, tan, asin, acos, atan = (unary(n) for n in ("sin", "cos", "tan", "asin", "acos", "atan"))
sinh, cosh, asinh, acosh, atanh = (unary(n) for n in ("sinh", "cosh", "asinh", "acosh", "atanh"))
floor, ceil, round_even, trunc = (unary(n) for n in ("floor", "ceil", "roundeven", "trunc"))


def absolute(x: Scalar) -> Scalar:
    """|x|."""
    if is_float(x.dtype):
        return Scalar(math.absf(x.value), x.dtype)
    if is_complex(x.dtype):
        return Scalar(complex_.abs(x.value), real_dtype(x.dtype))
    return x if is_unsigned(x.dtype) else select(x < 0, -x, x)


def power(x: Scalar, y: Scalar) -> Scalar:
    """x to the y, floats of one type."""
    return Scalar(math.powf(x.value, y.value), x.dtype)


def is_nan(x: Scalar) -> Scalar:
    """Whether x is NaN."""
    return x.ne(x)


def sigmoid(x: Scalar) -> Scalar:
    """1 / (1 + exp(-x))."""
    return coerce(1.0, x.dtype) / (exp(-x) + 1.0)


def softplus(x: Scalar) -> Scalar:
    """log(1 + exp(x)) without overflow."""
    return select(x > 0.0, x, 0.0) + log1p(exp(-absolute(x))) + (x - x)


def bitcast(x: Scalar, dtype: DType) -> Scalar:
    """The same bits as another type of the same width."""
    if element_type(x.dtype) == element_type(dtype):
        return Scalar(x.value, dtype)
    return Scalar(arith.bitcast(element_type(dtype), x.value), dtype)


def cast(x: Scalar, dtype: DType) -> Scalar:
    """`x` converted: floats to integers towards zero (narrow ones modulo 2ⁿ), to bool by ≠ 0, integers modulo 2ⁿ."""
    if x.dtype == dtype:
        return x
    source, target = x.dtype, element_type(dtype)
    if INDEX in (source, dtype):
        return _cast_index(x, dtype)
    if is_complex(dtype):
        real = cast(x, real_dtype(dtype)) if not is_complex(source) else _real(x)
        imaginary = _imaginary(x) if is_complex(source) else coerce(0.0, real_dtype(dtype))
        real, imaginary = cast(real, real_dtype(dtype)), cast(imaginary, real_dtype(dtype))
        return Scalar(complex_.create_(target, real.value, imaginary.value), dtype)
    if is_complex(source):
        return cast(_real(x), dtype)
    if dtype == BOOL:
        return x.ne(0.0 if is_float(source) else 0)
    if is_float(source) and is_float(dtype):
        if is_small_float(dtype) or is_small_float(source):
            from mlirage.input.builders.small_floats import decode, encode

            wide = decode(x) if is_small_float(source) else x
            return encode(_for_rounding(wide), dtype) if is_small_float(dtype) else cast(wide, dtype)
        if source.itemsize == dtype.itemsize:  # f16 <-> bf16
            return cast(cast(x, FLOAT32), dtype)
        if source == FLOAT64 and dtype.itemsize < 4:
            return cast(_for_rounding(x), dtype)
        make = arith.extf if source.itemsize < dtype.itemsize else arith.truncf
        return Scalar(make(target, x.value), dtype)
    if is_float(dtype):
        wide = compute_dtype(dtype) if bit_width(source) <= 16 or dtype.itemsize > 2 else FLOAT64
        make = arith.uitofp if is_unsigned(source) else arith.sitofp
        return cast(Scalar(make(element_type(wide), x.value), wide), dtype)
    if is_float(source):
        return _float_to_integer(cast(x, compute_dtype(source)), dtype)
    if bit_width(source) == bit_width(dtype):
        return Scalar(x.value, dtype)
    if bit_width(source) > bit_width(dtype):
        return Scalar(arith.trunci(target, x.value), dtype)
    return Scalar((arith.extui if is_unsigned(source) else arith.extsi)(target, x.value), dtype)


def _for_rounding(x: Scalar) -> Scalar:
    """An f64 as the f32 that rounds to the same narrower float: towards zero, with the last bit set if inexact."""
    if x.dtype != FLOAT64:
        return cast(x, FLOAT32)
    near = Scalar(arith.truncf(element_type(FLOAT32), x.value), FLOAT32)
    back = cast(near, FLOAT64)
    bits = bitcast(near, INT32)
    bits = select(absolute(back) > absolute(x), bits - 1, bits)
    inexact = (back < x) | (back > x)
    return bitcast(select(inexact, bits | 1, bits), FLOAT32)


def _float_to_integer(x: Scalar, dtype: DType) -> Scalar:
    """Through a wider integer where there is one, so that wrapping is defined rather than poison."""
    width = bit_width(dtype)
    if width == 64 and is_unsigned(dtype):
        big = coerce(9223372036854775808.0, x.dtype)
        i64 = ir.IntegerType.get_signless(64)
        low = arith.fptosi(i64, x.value)
        high = arith.xori(arith.fptosi(i64, (x - big).value), coerce(-(2**63), dtype).value)
        return Scalar(arith.select((x >= big).value, high, low), dtype)
    wide = 64 if width > 32 or (width == 32 and is_unsigned(dtype)) else 32
    number = arith.fptosi(ir.IntegerType.get_signless(wide), x.value)
    return Scalar(number if wide == width else arith.trunci(element_type(dtype), number), dtype)


def saturating_cast(x: Scalar, dtype: DType) -> Scalar:
    """A float rounded already, held to the range of an integer type; NaN becomes the lowest value."""
    low, high = integer_range(dtype)
    low_float, high_float = coerce(float(low), x.dtype), coerce(float(high), x.dtype)
    x = select(x > low_float, x, low_float)
    if bit_width(dtype) >= 24 and x.dtype == FLOAT32:
        top = cast(select(x >= high_float, coerce(0.0, x.dtype), x), dtype)
        return select(x >= high_float, coerce(high, dtype), top)
    return cast(select(x < high_float, x, high_float), dtype)


def _cast_index(x: Scalar, dtype: DType) -> Scalar:
    if dtype == INDEX:
        if not (is_integer(x.dtype) or x.dtype == BOOL):
            raise TypeError(f"{x.dtype} is no index")
        make = arith.index_castui if is_unsigned(x.dtype) else arith.index_cast
        return Scalar(make(element_type(INDEX), x.value), INDEX)
    wide = np.dtype(np.int64)
    number = Scalar(arith.index_cast(element_type(wide), x.value), wide)
    return cast(number, dtype)


def _real(x: Scalar) -> Scalar:
    return Scalar(complex_.re(x.value), real_dtype(x.dtype))


def _imaginary(x: Scalar) -> Scalar:
    return Scalar(complex_.im(x.value), real_dtype(x.dtype))


def real(x: Scalar) -> Scalar:
    """Real part."""
    return _real(x)


def imaginary(x: Scalar) -> Scalar:
    """Imaginary part."""
    return _imaginary(x)


def make_complex(re: Scalar, im: Scalar) -> Scalar:
    """The complex number with these parts."""
    dtype = np.dtype(np.complex128 if re.dtype == np.dtype(np.float64) else np.complex64)
    return Scalar(complex_.create_(element_type(dtype), re.value, im.value), dtype)


def load(value: ir.Value[Any], dtype: DType) -> Scalar:
    """A scalar read from a tensor, widened to the type in which it is calculated with."""
    x = Scalar(value, dtype)
    return cast(x, compute_dtype(dtype))


def store(x: Scalar, dtype: DType) -> ir.Value[Any]:
    """The SSA value of `x` rounded to the tensor's dtype; `x` must be of that type or of its computing type."""
    if x.dtype not in (dtype, compute_dtype(dtype)):
        raise TypeError(f"scalar of {x.dtype} for a tensor of {dtype}")
    return cast(x, dtype).value


def index_of(axis: int) -> Scalar:
    """`linalg.index`: the position of the body along an axis."""
    return Scalar(linalg.IndexOp(axis).result, INDEX)


def read(source: Tensor, position: Sequence[Scalar | int]) -> Scalar:
    """An element of a tensor at a position in bounds, inside a body."""
    indices: list[Any] = [coerce(x, INDEX).value for x in position]
    return load(tensor.extract(source.value, indices), source.dtype)
