"""Functions of single elements: arithmetic, comparisons, logic and bits, elementary functions, choices, conversions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mlirage.importers.pytorch_ops import complex_math as z
from mlirage.importers.pytorch_ops.registry import (
    PROMOTION,
    Number,
    Op,
    Operand,
    RuntimeNumber,
    as_tensor,
    aten,
    numpy_dtype,
    pointwise,
    promoted,
    torch_dtype,
)
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Sym, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith

Body = Callable[..., Scalar]

_SAME: dict[str, Body] = {
    "neg": lambda x: -x,
    "sgn": z.sign,
    "sign": lambda x: x if x.dtype == b.BOOL else z.sign(x),
    "relu": lambda x: s.maximum(x, 0),
    "conj_physical": z.conjugate,
    "_conj_copy": z.conjugate,
    "_neg_view_copy": lambda x: -x,
    "_conj": z.conjugate,
    "_conj_physical": z.conjugate,
    "_neg_view": lambda x: -x,
    "bitwise_not": lambda x: ~x,
}
_ROUNDINGS: dict[str, Body] = {
    "floor": s.floor,
    "ceil": s.ceil,
    "trunc": s.trunc,
    "round": s.round_even,
    "frac": lambda x: x - s.trunc(x),
}
_TO_FLOAT: dict[str, Body] = {
    "exp": z.exp, "exp2": z.exp2, "expm1": z.expm1,
    "log": z.log, "log2": z.log2, "log10": z.log10, "log1p": z.log1p,
    "sqrt": z.sqrt, "rsqrt": z.rsqrt, "reciprocal": z.reciprocal,
    "sin": z.sin, "cos": z.cos, "tan": z.tan, "asin": z.asin, "acos": z.acos, "atan": z.atan,
    "sinh": z.sinh, "cosh": z.cosh, "tanh": z.tanh, "asinh": z.asinh, "acosh": z.acosh, "atanh": z.atanh,
    "sigmoid": z.sigmoid, "erf": s.erf,
    "sinc": lambda x: s.select(x.eq(0.0), s.coerce(1.0, x.dtype), z.sin(x * np.pi) / (x * np.pi)),
    "silu": lambda x: x * z.sigmoid(x),
    "mish": lambda x: x * s.tanh(s.softplus(x)),
    "hardswish": lambda x: x * s.clamp(x + 3.0, 0.0, 6.0) / 6.0,
    "hardsigmoid": lambda x: s.clamp(x + 3.0, 0.0, 6.0) / 6.0,
    "deg2rad": lambda x: x * (np.pi / 180),
    "rad2deg": lambda x: x * (180 / np.pi),
}  # fmt: skip
_COMPARISONS: dict[str, Body] = {
    "eq": lambda x, y: x.eq(y),
    "ne": lambda x, y: x.ne(y),
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
}


def _nonzero(x: Scalar) -> Scalar:
    return s.cast(x, b.BOOL) if not b.is_complex(x.dtype) else x.ne(0)


_LOGIC: dict[str, Body] = {
    "logical_and": lambda x, y: _nonzero(x) & _nonzero(y),
    "logical_or": lambda x, y: _nonzero(x) | _nonzero(y),
    "logical_xor": lambda x, y: _nonzero(x) ^ _nonzero(y),
    "logical_not": lambda x: ~_nonzero(x),
    "isnan": lambda x: z.is_nan(x) if x.dtype.kind in "fcV" else s.coerce(False, b.BOOL),
    "isinf": lambda x: z.is_infinite(x) if x.dtype.kind in "fcV" else s.coerce(False, b.BOOL),
    "isfinite": lambda x: ~(z.is_nan(x) | z.is_infinite(x)) if x.dtype.kind in "fcV" else s.coerce(True, b.BOOL),
    "isposinf": lambda x: x.eq(np.inf) if x.dtype.kind == "f" else s.coerce(False, b.BOOL),
    "isneginf": lambda x: x.eq(-np.inf) if x.dtype.kind == "f" else s.coerce(False, b.BOOL),
    "signbit": lambda x: _signbit(x),
}


def _signbit(x: Scalar) -> Scalar:
    if x.dtype.kind != "f":
        return x < 0 if x.dtype != b.BOOL else s.coerce(False, b.BOOL)
    return z.copy_sign(s.coerce(1.0, x.dtype), x) < 0.0


def _unary(name: str, body: Body, kind: PROMOTION) -> None:
    @aten(name)
    def function(op: Op, x: Operand, *_: Any) -> Tensor:
        return pointwise(op, body, x, kind=kind)


@aten(
    "alias", "alias_copy", "clone", "contiguous", "detach", "detach_copy", "lift", "lift_fresh", "lift_fresh_copy",
    "positive", "resolve_conj", "resolve_neg",
)  # fmt: skip
def identity(op: Op, x: Tensor, *_: Any) -> Tensor:
    return x


for _name, _body in _SAME.items():
    _unary(_name, _body, PROMOTION.DEFAULT)
_unary("square", lambda x: x * x, PROMOTION.BOOL_TO_LONG)
for _name, _body in _TO_FLOAT.items():
    _unary(_name, _body, PROMOTION.INT_TO_FLOAT)


def _rounding(name: str, body: Body) -> None:
    @aten(name)
    def function(op: Op, x: Tensor) -> Tensor:
        return pointwise(op, body, x) if b.is_float(x.dtype) else x


for _name, _body in _ROUNDINGS.items():
    _rounding(_name, _body)


@aten("round.decimals")
def round_decimals(op: Op, x: Tensor, *, decimals: int = 0) -> Tensor:
    if not b.is_float(x.dtype):
        return x
    factor = 10.0 ** abs(decimals)
    if decimals >= 0:
        return pointwise(op, lambda a: s.round_even(a * factor) / factor, x)
    return pointwise(op, lambda a: s.round_even(a / factor) * factor, x)


def _predicate(name: str, body: Body, forms: tuple[str, ...]) -> None:
    @aten(*(f"{name}.{form}" if form else name for form in forms))
    def function(op: Op, *operands: Operand) -> Tensor:
        return pointwise(op, body, *operands, kind=PROMOTION.ALWAYS_BOOL)


for _name, _body in _COMPARISONS.items():
    _predicate(_name, _body, ("Tensor", "Scalar"))
for _name, _body in _LOGIC.items():
    _predicate(_name, _body, ("",))


def _binary(name: str, body: Body, forms: tuple[str, ...] = ("",), kind: PROMOTION = PROMOTION.DEFAULT) -> None:
    @aten(*(f"{name}.{form}" if form else name for form in forms))
    def function(op: Op, x: Operand, y: Operand) -> Tensor:
        return pointwise(op, body, x, y, kind=kind)


@aten("add.Tensor", "add.Scalar")
def add(op: Op, x: Operand, y: Operand, *positional: Number, alpha: Number = 1) -> Tensor:
    return _sum(x, y, positional[0] if positional else alpha)


@aten("sub.Tensor", "sub.Scalar")
def sub(op: Op, x: Operand, y: Operand, *positional: Number, alpha: Number = 1) -> Tensor:
    return _sum(x, y, positional[0] if positional else alpha, minus=True)


@aten("rsub.Tensor", "rsub.Scalar")
def rsub(op: Op, x: Operand, y: Operand, *positional: Number, alpha: Number = 1) -> Tensor:
    return _sum(y, x, positional[0] if positional else alpha, minus=True)


def _sum(x: Operand, y: Operand, alpha: Number, minus: bool = False) -> Tensor:
    common = promoted([x, y])
    left, right = as_tensor(x, common), as_tensor(y, common)
    if isinstance(alpha, Sym | RuntimeNumber) or alpha != 1:
        factor = as_tensor(alpha, common)  # pyright: ignore[reportArgumentType]
        if common == b.BOOL:
            right = b.multiply(right, factor)
        elif minus:
            return b.map_(lambda a, c, f: a - c * f, left, right, factor)
        else:
            return b.map_(lambda a, c, f: a + c * f, left, right, factor)
    return b.subtract(left, right) if minus else b.add(left, right)


@aten("mul.Tensor", "mul.Scalar")
def mul(op: Op, x: Operand, y: Operand) -> Tensor:
    common = promoted([x, y])
    return b.multiply(as_tensor(x, common), as_tensor(y, common))


@aten("div.Tensor", "div.Scalar", "true_divide.Tensor", "divide.Tensor")
def div(op: Op, x: Operand, y: Operand) -> Tensor:
    return pointwise(op, lambda p, q: p / q, x, y, kind=PROMOTION.INT_TO_FLOAT)


def _floor_divide(x: Scalar, y: Scalar) -> Scalar:
    """As Python's //, by the exact remainder of floats."""
    rest = x % y
    wrong = rest.ne(0) & ((y < 0) ^ (rest < 0))
    if b.is_integer(x.dtype) or x.dtype == b.BOOL:
        quotient = x / y
        return quotient if b.is_unsigned(x.dtype) else s.select(wrong, quotient - 1, quotient)
    quotient = (x - rest) / y
    quotient = s.select(wrong, quotient - 1.0, quotient)
    floored = s.floor(quotient)
    floored = s.select((quotient - floored) > 0.5, floored + 1.0, floored)
    result = s.select(quotient.eq(0.0), z.copy_sign(s.coerce(0.0, x.dtype), x / y), floored)
    return s.select(y.eq(0.0), x / y, result)


def _remainder(x: Scalar, y: Scalar) -> Scalar:
    """As Python's %: with the sign of the divisor."""
    rest = x % y
    if b.is_unsigned(x.dtype):
        return rest
    return s.select(rest.ne(0) & ((y < 0) ^ (rest < 0)), rest + y, rest)


@aten("div.Tensor_mode", "div.Scalar_mode")
def div_mode(op: Op, x: Operand, y: Operand, *, rounding_mode: str | None) -> Tensor:
    if rounding_mode is None:
        return div(op, x, y)
    if rounding_mode == "floor":
        return pointwise(op, _floor_divide, x, y)
    return pointwise(op, lambda p, q: s.trunc(p / q) if b.is_float(p.dtype) else p / q, x, y)


_binary("floor_divide", _floor_divide, ("", "Scalar"))
_binary("remainder", _remainder, ("Tensor", "Scalar", "Scalar_Tensor"))
_binary("fmod", lambda x, y: x % y, ("Tensor", "Scalar"))
_binary("maximum", s.maximum)
_binary("minimum", s.minimum)
_binary("fmax", lambda x, y: _by_number(s.maximum, x, y))
_binary("fmin", lambda x, y: _by_number(s.minimum, x, y))
_binary("bitwise_and", lambda x, y: x & y, ("Tensor", "Scalar", "Scalar_Tensor"))
_binary("bitwise_or", lambda x, y: x | y, ("Tensor", "Scalar", "Scalar_Tensor"))
_binary("bitwise_xor", lambda x, y: x ^ y, ("Tensor", "Scalar", "Scalar_Tensor"))
_binary("__and__", lambda x, y: x & y, ("Tensor", "Scalar"))
_binary("__or__", lambda x, y: x | y, ("Tensor", "Scalar"))
_binary("__xor__", lambda x, y: x ^ y, ("Tensor", "Scalar"))
_binary("atan2", z.atan2, kind=PROMOTION.INT_TO_FLOAT)
_binary("copysign", lambda x, y: z.copy_sign(x, y), ("Tensor", "Scalar"), PROMOTION.INT_TO_FLOAT)


def _by_number(choose: Body, x: Scalar, y: Scalar) -> Scalar:
    """The larger or smaller, a number rather than NaN."""
    if x.dtype.kind != "f":
        return choose(x, y)
    return s.select(s.is_nan(x), y, s.select(s.is_nan(y), x, choose(x, y)))


def _shift(make_signed: Any, make_unsigned: Any, left: bool) -> Body:
    """Shifts by a count outside 0 … width - 1 give what shifting out all bits gives."""

    def body(x: Scalar, count: Scalar) -> Scalar:
        width = b.bit_width(x.dtype)
        unsigned = b.is_unsigned(x.dtype)
        bad = (count >= width) if unsigned else ((count >= width) | (count < 0))
        held = s.select(bad, s.coerce(width - 1, x.dtype), count)
        shifted = Scalar((make_unsigned if unsigned else make_signed)(x.value, held.value), x.dtype)
        if left or unsigned:
            return s.select(bad, s.coerce(0, x.dtype), shifted)
        return shifted

    return body


_binary("bitwise_left_shift", _shift(arith.shli, arith.shli, True), ("Tensor", "Tensor_Scalar", "Scalar_Tensor"))
_binary("bitwise_right_shift", _shift(arith.shrsi, arith.shrui, False), ("Tensor", "Tensor_Scalar", "Scalar_Tensor"))
_binary("__lshift__", _shift(arith.shli, arith.shli, True), ("Tensor", "Scalar"))
_binary("__rshift__", _shift(arith.shrsi, arith.shrui, False), ("Tensor", "Scalar"))


def _integer_power(x: Scalar, y: Scalar) -> Scalar:
    """By squaring; negative exponents give what rounds to 0 but for bases 1 and -1."""
    width = b.bit_width(y.dtype)
    one = s.coerce(1, x.dtype)
    result, factor = one, x
    for bit in range(width - (0 if b.is_unsigned(y.dtype) else 1)):
        odd = (y & (1 << bit)).ne(0)
        result = s.select(odd, result * factor, result)
        factor = factor * factor
    if b.is_unsigned(y.dtype):
        return result
    minus = s.select((y & 1).ne(0), s.coerce(-1, x.dtype), one)
    inverse = s.select(x.eq(1), one, s.select(x.eq(-1), minus, s.coerce(0, x.dtype)))
    return s.select(y < 0, inverse, result)


def _power_by(exponent: float) -> Body:
    def body(x: Scalar) -> Scalar:
        if exponent in (2.0, 3.0):
            return x * x if exponent == 2.0 else x * x * x
        if exponent in (0.5, -0.5):
            return z.sqrt(x) if exponent > 0 else z.rsqrt(x)
        if exponent in (-1.0, -2.0):
            return z.reciprocal(x if exponent == -1.0 else x * x)
        if exponent == 1.0:
            return x
        return z.power(x, s.coerce(exponent, x.dtype))

    return body


@aten("pow.Tensor_Tensor", "pow.Tensor_Scalar", "pow.Scalar")
def pow_(op: Op, x: Operand, y: Operand) -> Tensor:
    common = promoted([x, y], PROMOTION.BOOL_TO_LONG)
    if b.is_integer(common):
        return pointwise(op, _integer_power, x, y, kind=PROMOTION.BOOL_TO_LONG)
    if isinstance(y, int | float):
        return b.map_(_power_by(float(y)), as_tensor(x, common), dtype=op.dtype)
    return pointwise(op, z.power, x, y)


@aten("clamp", "clamp.Tensor")
def clamp(op: Op, x: Tensor, low: Operand | None = None, high: Operand | None = None) -> Tensor:
    given = [v for v in (low, high) if v is not None]

    def body(a: Scalar, *bounds: Scalar) -> Scalar:
        if b.is_complex(a.dtype):  # which eager PyTorch refuses, but not where its own functions trace
            return s.make_complex(body(s.real(a), *map(s.real, bounds)), s.imaginary(a))
        if low is not None:
            a = s.maximum(a, bounds[0])
        return a if high is None else s.minimum(a, bounds[-1])

    return pointwise(op, body, x, *given)


_binary("clamp_min", s.maximum, ("", "Tensor"))
_binary("clamp_max", s.minimum, ("", "Tensor"))


@aten("hardtanh")
def hardtanh(op: Op, x: Tensor, low: Number = -1, high: Number = 1) -> Tensor:
    if b.is_integer(x.dtype):
        low, high = int(low), int(high)  # pyright: ignore[reportArgumentType]
    return clamp(op, x, low, high)


@aten("relu6")
def relu6(op: Op, x: Tensor) -> Tensor:
    return clamp(op, x, 0, 6)


@aten("leaky_relu")
def leaky_relu(op: Op, x: Tensor, slope: Number = 0.01) -> Tensor:
    return pointwise(op, lambda a, k: s.select(a > 0.0, a, a * k), x, slope)


@aten("_prelu_kernel")
def prelu(op: Op, x: Tensor, slope: Tensor) -> Tensor:
    return pointwise(op, lambda a, k: s.select(a > 0.0, a, a * k), x, slope)


@aten("elu")
def elu(op: Op, x: Tensor, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Tensor:
    def body(a: Scalar, p: Scalar, q: Scalar, r: Scalar) -> Scalar:
        return s.select(a > 0.0, a * q, s.expm1(a * r) * (p * q))

    return pointwise(op, body, x, alpha, scale, input_scale)


@aten("celu")
def celu(op: Op, x: Tensor, alpha: Number = 1.0) -> Tensor:
    return pointwise(op, lambda a, p: s.select(a > 0.0, a, s.expm1(a / p) * p), x, alpha)


@aten("selu")
def selu(op: Op, x: Tensor) -> Tensor:
    return elu(op, x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@aten("gelu")
def gelu(op: Op, x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        factor = float(np.sqrt(2 / np.pi))
        return pointwise(op, lambda a: a * 0.5 * (s.tanh((a + a * a * a * 0.044715) * factor) + 1.0), x)
    return pointwise(op, lambda a: a * 0.5 * (s.erf(a * float(np.sqrt(0.5))) + 1.0), x)


@aten("softplus")
def softplus(op: Op, x: Tensor, beta: Number = 1, threshold: Number = 20) -> Tensor:
    def body(a: Scalar, k: Scalar, limit: Scalar) -> Scalar:
        return s.select(a * k > limit, a, s.softplus(a * k) / k)

    return pointwise(op, body, x, beta, threshold)


@aten("log_sigmoid")
def log_sigmoid(op: Op, x: Tensor) -> Tensor:
    return pointwise(op, lambda a: s.minimum(a, 0.0) - s.log1p(s.exp(-s.absolute(a))), x)


@aten("log_sigmoid_forward")
def log_sigmoid_forward(op: Op, x: Tensor) -> tuple[Tensor, Tensor]:
    result = pointwise(op, lambda a: s.minimum(a, 0.0) - s.log1p(s.exp(-s.absolute(a))), x)
    return result, b.fill([0], 0, x.dtype)


@aten("threshold")
def threshold(op: Op, x: Tensor, limit: Number, value: Number) -> Tensor:
    return pointwise(op, lambda a, t, v: s.select(a <= t, v, a), x, limit, value)


@aten("abs")
def abs_(op: Op, x: Tensor) -> Tensor:
    return pointwise(op, s.absolute, x)


@aten("angle")
def angle(op: Op, x: Tensor) -> Tensor:
    return pointwise(op, z.angle, x, kind=PROMOTION.INT_TO_FLOAT)


@aten("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where(op: Op, condition: Tensor, x: Operand, y: Operand) -> Tensor:
    common = promoted([x, y])
    return b.where(as_tensor(condition, b.BOOL), as_tensor(x, common), as_tensor(y, common))


@aten("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(op: Op, x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    shape = b.broadcast_shapes([x.shape, mask.shape])
    return b.map_(s.select, as_tensor(mask, b.BOOL), as_tensor(value, x.dtype), x, dtype=x.dtype, shape=shape)


@aten("nan_to_num")
def nan_to_num(
    op: Op, x: Tensor, nan: float | None = None, highest: float | None = None, lowest: float | None = None
) -> Tensor:
    if not b.is_float(x.dtype):
        return x
    limits = _finite(x.dtype)
    top = limits[1] if highest is None else highest
    bottom = limits[0] if lowest is None else lowest

    def body(a: Scalar) -> Scalar:
        a = s.select(s.is_nan(a), s.coerce(nan or 0.0, a.dtype), a)
        a = s.select(a.eq(float("inf")), s.coerce(top, a.dtype), a)
        return s.select(a.eq(float("-inf")), s.coerce(bottom, a.dtype), a)

    return pointwise(op, body, x)


def _finite(dtype: Any) -> tuple[float, float]:
    info = torch.finfo(torch_dtype(dtype))
    return info.min, info.max


@aten("addcmul")
def addcmul(op: Op, x: Tensor, p: Tensor, q: Tensor, *, value: Number = 1) -> Tensor:
    return pointwise(op, lambda a, m, n, f: a + f * m * n, x, p, q, as_tensor(value, x.dtype))


@aten("addcdiv")
def addcdiv(op: Op, x: Tensor, p: Tensor, q: Tensor, *, value: Number = 1) -> Tensor:
    return pointwise(op, lambda a, m, n, f: a + f * m / n, x, p, q, as_tensor(value, x.dtype))


@aten("lerp.Tensor", "lerp.Scalar")
def lerp(op: Op, x: Tensor, y: Tensor, weight: Operand) -> Tensor:
    def body(a: Scalar, c: Scalar, w: Scalar) -> Scalar:
        near = s.absolute(w) < 0.5
        first, second = a + w * (c - a), c - (c - a) * (s.coerce(1.0, w.dtype) - w)
        return Scalar(arith.select(near.value, first.value, second.value), first.dtype)

    return pointwise(op, body, x, y, weight)


@aten("hypot")
def hypot(op: Op, x: Tensor, y: Tensor) -> Tensor:
    def body(p: Scalar, q: Scalar) -> Scalar:
        p, q = s.absolute(p), s.absolute(q)
        large, small = s.maximum(p, q), s.minimum(p, q)
        ratio = small / large
        size = s.select(large.eq(0.0), large, large * s.sqrt(ratio * ratio + 1.0))
        infinite = p.eq(float("inf")) | q.eq(float("inf"))
        return s.select(infinite, s.coerce(float("inf"), p.dtype), size)

    return pointwise(op, body, x, y)


@aten("nextafter")
def nextafter(op: Op, x: Tensor, y: Tensor) -> Tensor:
    """One step of the bits towards y."""
    kind = promoted([x, y])
    integer = np.dtype(f"int{8 * kind.itemsize}")

    def body(a: Scalar, c: Scalar) -> Scalar:  # of 16-bit floats in f32, which their bits are taken from and put into
        bits = s.bitcast(s.cast(a, kind), integer)
        away = (a > 0.0) ^ (a > c)
        moved = s.cast(s.bitcast(s.select(away, bits + 1, bits - 1), kind), a.dtype)
        least = z.copy_sign(s.cast(s.bitcast(s.coerce(1, integer), kind), a.dtype), c)
        result = s.select(a.eq(0.0), least, moved)
        result = s.select(a.eq(c), c, result)
        return s.select(s.is_nan(a) | s.is_nan(c), a + c, result)

    return pointwise(op, body, x, y)


@aten("gcd")
def gcd(op: Op, x: Tensor, y: Tensor) -> Tensor:
    return pointwise(op, _gcd, x, y)


def _gcd(x: Scalar, y: Scalar) -> Scalar:
    """Euclid's algorithm, with as many steps as two Fibonacci numbers of that width need."""
    large, small = s.absolute(x), s.absolute(y)
    for _ in range(int(b.bit_width(x.dtype) * 1.45) + 2):
        large, small = s.select(small.eq(0), large, small), s.select(small.eq(0), small, large % small)
    return large


@aten("lcm")
def lcm(op: Op, x: Tensor, y: Tensor) -> Tensor:
    def body(p: Scalar, q: Scalar) -> Scalar:
        return s.absolute(p / _gcd(p, q) * q)  # 0 / 0 is 0

    return pointwise(op, body, x, y)


@aten("frexp.Tensor")
def frexp(op: Op, x: Tensor) -> tuple[Tensor, Tensor]:
    wide = as_tensor(x, b.FLOAT64)

    def parts(a: Scalar) -> tuple[Scalar, Scalar]:
        odd = a.eq(0.0) | ~(s.absolute(a) < float("inf"))
        bits = s.bitcast(a, b.INT64)
        field = Scalar(arith.shrui(bits.value, s.coerce(52, b.INT64).value), b.INT64) & 0x7FF
        exponent = s.select(odd, s.coerce(0, b.INT64), field - 1022)
        mantissa = s.bitcast((bits & ~(0x7FF << 52)) | (1022 << 52), b.FLOAT64)
        return s.select(odd, a, mantissa), exponent

    mantissa = b.map_(lambda a: parts(a)[0], wide, dtype=b.FLOAT64)
    exponent = b.map_(lambda a: s.cast(parts(a)[1], b.INT32), wide, dtype=b.INT32)
    return b.cast(mantissa, x.dtype), exponent


@aten("_to_copy", "to.dtype", "to.dtype_layout")
def to_copy(op: Op, x: Tensor, *_: Any) -> Tensor:
    return as_tensor(x, op.dtype)


@aten("type_as")
def type_as(op: Op, x: Tensor, other: Tensor) -> Tensor:
    return as_tensor(x, other.dtype)


@aten("convert_element_type", namespace="prims")
def convert_element_type(op: Op, x: Tensor, dtype: Any) -> Tensor:
    return as_tensor(x, numpy_dtype(dtype))


@aten("complex")
def complex_(op: Op, re: Tensor, im: Tensor) -> Tensor:
    return b.map_(s.make_complex, re, im, dtype=op.dtype)


@aten("polar")
def polar(op: Op, size: Tensor, turn: Tensor) -> Tensor:
    return b.map_(lambda r, t: s.make_complex(r * s.cos(t), r * s.sin(t)), size, turn, dtype=op.dtype)


@aten("real")
def real(op: Op, x: Tensor) -> Tensor:
    return b.map_(s.real, x, dtype=op.dtype) if b.is_complex(x.dtype) else x


@aten("imag")
def imag(op: Op, x: Tensor) -> Tensor:
    return b.map_(s.imaginary, x, dtype=op.dtype)


@aten("view_as_real", "view_as_real_copy")
def view_as_real(op: Op, x: Tensor) -> Tensor:
    return b.concatenate([b.unsqueeze(b.map_(part, x, dtype=op.dtype), [-1]) for part in (s.real, s.imaginary)], -1)


@aten("view_as_complex", "view_as_complex_copy")
def view_as_complex(op: Op, x: Tensor) -> Tensor:
    re, im = (b.squeeze(b.slice_axis(x, x.rank - 1, i, 1), [-1]) for i in range(2))
    return b.map_(s.make_complex, re, im, dtype=op.dtype)
