"""Elementwise arithmetic, comparison, logic and mathematical functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith, math


def _aligned(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Before opset 7, `broadcast` and `axis` said where the axes of `y` stand among those of `x`."""
    if node.opset < 7 and node.get("broadcast", 0) and "axis" in node.attributes and y.rank:
        axis = b.normalize_axis(node.get("axis"), x.rank)
        return b.reshape(y, (*y.shape, *([1] * (x.rank - axis - y.rank))))
    return y


@onnx_op()
def Add(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.add(x, _aligned(node, x, y))


@onnx_op()
def Sub(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.subtract(x, _aligned(node, x, y))


@onnx_op()
def Mul(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.multiply(x, _aligned(node, x, y))


@onnx_op()
def Div(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.divide(x, _aligned(node, x, y))


@onnx_op()
def Mod(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if node.get("fmod", 0):
        return b.map_(lambda a, c: a % c, x, y)

    def floored(a: Scalar, c: Scalar) -> Scalar:
        remainder = a % c
        if b.is_float(a.dtype):
            fixed = s.select(remainder.ne(0.0) & ((remainder < 0.0) ^ (c < 0.0)), remainder + c, remainder)
            return s.select(remainder.eq(0.0), Scalar(math.copysign(remainder.value, c.value), a.dtype), fixed)
        if b.is_unsigned(a.dtype):
            return remainder
        return s.select(remainder.ne(0) & ((remainder < 0) ^ (c < 0)), remainder + c, remainder)

    return b.folding(floored, lambda a, c: None if isinstance(c, int) and c == 0 else a % c, x, y)


@onnx_op()
def Pow(node: Node, x: Tensor, y: Tensor) -> Tensor:
    y = _aligned(node, x, y)
    exponent = y.splat()
    if exponent is not None and b.is_float(x.dtype) and float(exponent) in (2.0, 3.0, 0.5, 1.0, -1.0):
        value = float(exponent)
        bodies: dict[float, Callable[[Scalar], Scalar]] = {
            1.0: lambda a: a,
            2.0: lambda a: a * a,
            3.0: lambda a: a * a * a,
            -1.0: lambda a: s.coerce(1.0, a.dtype) / a,
        }
        if value in bodies:
            return b.map_(bodies[value], x, shape=b.broadcast_shapes([x.shape, y.shape]))
    if not b.is_float(x.dtype) and not b.is_float(y.dtype):
        return b.map_(lambda a, e: _integer_power(a, s.cast(e, x.dtype)), x, y)
    wide = b.FLOAT64 if b.bit_width(x.dtype) >= 32 and not b.is_float(x.dtype) else b.compute_dtype(x.dtype)
    wide = wide if b.is_float(wide) else b.FLOAT64

    def body(a: Scalar, e: Scalar) -> Scalar:
        power = s.power(s.cast(a, wide), s.cast(e, wide))
        if b.is_float(x.dtype):
            return s.cast(power, b.compute_dtype(x.dtype))
        # A power that misses a whole number by a rounding error must not be cut to the one below.
        whole = e.eq(s.trunc(e)) & (s.absolute(e) < 1024.0)
        exact = _integer_power(a, s.cast(s.select(whole, e, 0.0), x.dtype))
        return s.select(whole, exact, s.cast(power, x.dtype))

    return b.map_(body, x, y)


def _integer_power(a: Scalar, e: Scalar) -> Scalar:
    """Repeated squaring modulo 2ⁿ; a negative exponent gives the reciprocal rounded towards zero."""
    zero, one = s.coerce(0, a.dtype), s.coerce(1, a.dtype)
    result, square, rest = one, a, e
    for _ in range(b.bit_width(a.dtype)):
        result = s.select((rest & 1).ne(0), result * square, result)
        square = square * square
        rest = Scalar(arith.shrui(rest.value, one.value), a.dtype)
    if b.is_unsigned(a.dtype):
        return result
    odd = (e & 1).ne(0)
    reciprocal = s.select(a.eq(1), one, s.select(a.eq(-1), s.select(odd, -one, one), zero))
    return s.select(e < 0, reciprocal, result)


def _variadic(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda first, *rest: reduce(combine, rest, first)


@onnx_op()
def Sum(node: Node, *operands: Tensor) -> Tensor:
    return _variadic(b.add)(*operands)


@onnx_op()
def Mean(node: Node, *operands: Tensor) -> Tensor:
    count = len(operands)
    return b.map_(lambda *a: reduce(lambda p, q: p + q, a) / count, *operands)


@onnx_op()
def Max(node: Node, *operands: Tensor) -> Tensor:
    return _variadic(b.maximum)(*operands)


@onnx_op()
def Min(node: Node, *operands: Tensor) -> Tensor:
    return _variadic(b.minimum)(*operands)


@onnx_op()
def Clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    if node.opset < 11:
        bounds = [Tensor.of(node.get(name), x.dtype) if name in node.attributes else None for name in ("min", "max")]
        low, high = bounds
    present = [bound for bound in (low, high) if bound is not None]

    def body(a: Scalar, *given: Scalar) -> Scalar:
        values = iter(given)
        return s.clamp(a, next(values) if low is not None else None, next(values) if high is not None else None)

    return b.map_(body, x, *present, shape=x.shape)


def _unary(name: str, body: Callable[[Scalar], Scalar]) -> None:
    """Registers a function of one element."""

    def function(node: Node, x: Tensor) -> Tensor:
        return b.map_(body, x)

    function.__name__ = name
    onnx_op()(function)


for _name in ("Exp", "Sqrt", "Erf", "Tanh", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh"):
    _unary(_name, s.unary(_name.lower()))
for _name in ("Asinh", "Acosh", "Atanh", "Floor", "Ceil", "Log"):
    _unary(_name, s.unary(_name.lower()))
_unary("Round", s.round_even)
_unary("Reciprocal", lambda a: s.coerce(1.0, a.dtype) / a)


@onnx_op()
def Neg(node: Node, x: Tensor) -> Tensor:
    return b.folding(lambda a: -a, lambda a: -a, x)


@onnx_op()
def Abs(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.absolute, x)


@onnx_op()
def Sign(node: Node, x: Tensor) -> Tensor:
    def body(a: Scalar) -> Scalar:
        zero, one = s.coerce(0, a.dtype), s.coerce(1, a.dtype)
        if b.is_unsigned(a.dtype):
            return s.select(a > zero, one, zero)
        result = s.select(a > zero, one, s.select(a < zero, -one, zero))
        return s.select(s.is_nan(a), a, result) if b.is_float(a.dtype) else result

    return b.map_(body, x)


@onnx_op()
def Equal(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.equal(x, _aligned(node, x, y))


@onnx_op()
def Less(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.less(x, _aligned(node, x, y))


@onnx_op()
def LessOrEqual(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.less_equal(x, y)


@onnx_op()
def Greater(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.less(_aligned(node, x, y), x)


@onnx_op()
def GreaterOrEqual(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.less_equal(y, x)


@onnx_op()
def Where(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return b.where(condition, x, y)


@onnx_op()
def And(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.folding(lambda a, c: a & c, lambda a, c: a and c, x, _aligned(node, x, y))


@onnx_op()
def Or(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.folding(lambda a, c: a | c, lambda a, c: a or c, x, _aligned(node, x, y))


@onnx_op()
def Xor(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.map_(lambda a, c: a ^ c, x, y)


@onnx_op()
def Not(node: Node, x: Tensor) -> Tensor:
    return b.folding(lambda a: ~a, lambda a: not a, x)


@onnx_op()
def BitwiseAnd(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.map_(lambda a, c: a & c, x, y)


@onnx_op()
def BitwiseOr(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.map_(lambda a, c: a | c, x, y)


@onnx_op()
def BitwiseXor(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.map_(lambda a, c: a ^ c, x, y)


@onnx_op()
def BitwiseNot(node: Node, x: Tensor) -> Tensor:
    return b.map_(lambda a: ~a, x)


@onnx_op()
def BitShift(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """A shift by as many bits as the type has, or by a negative number, shifts everything out."""
    left = node.require("direction") == "LEFT"

    def body(a: Scalar, n: Scalar) -> Scalar:
        bits = b.bit_width(a.dtype)
        inside = (n >= 0) & (n < bits)
        amount = s.select(inside, n, bits - 1)
        if not left and b.is_signed(a.dtype):
            return Scalar(arith.shrsi(a.value, amount.value), a.dtype)
        shifted = (arith.shli if left else arith.shrui)(a.value, amount.value)
        return s.select(inside, Scalar(shifted, a.dtype), 0)

    return b.map_(body, x, y)


@onnx_op()
def IsNaN(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.is_nan, x, dtype=b.BOOL)


@onnx_op()
def IsInf(node: Node, x: Tensor) -> Tensor:
    positive, negative = node.get("detect_positive", 1), node.get("detect_negative", 1)

    def body(a: Scalar) -> Scalar:
        result: Any = None
        for wanted, value in ((positive, float("inf")), (negative, float("-inf"))):
            if wanted:
                found = a.eq(value)
                result = found if result is None else result | found
        return s.coerce(False, b.BOOL) if result is None else result

    return b.map_(body, x, dtype=b.BOOL)
