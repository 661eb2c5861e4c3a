"""Arithmetic of two tensors and elementwise functions of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.importers.tflite_file import Quantization
from mlirage.importers.tflite_ops import lookup
from mlirage.importers.tflite_ops.activation import activate, by_table
from mlirage.importers.tflite_ops.fixed_point import (
    activation_range,
    held,
    high_product,
    quantize_multiplier,
    rounding_divide,
    saturated,
    scaled,
    shift_left,
)
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s

F32 = np.float32
Pair = Callable[[Scalar, Scalar], Scalar]


def _activated_pair(node: Node, body: Pair, x: Tensor, y: Tensor) -> Tensor:
    activation = node.option("FusedActivationFunction")
    return b.map_(lambda p, q: activate(body(p, q), activation), x, y)


def _offset(x: Scalar, quantization: Quantization) -> Scalar:
    x = s.cast(x, b.INT32)
    return x - quantization.zero_point if quantization.zero_point else x


def _quantized_sum(node: Node, x: Tensor, y: Tensor, subtract: bool) -> Tensor:
    """Both operands on a finer common scale, added, and scaled to the output's."""
    left, right, target = node.quantization(0), node.quantization(1), node.output_quantization()
    low, high = activation_range(node.option("FusedActivationFunction"), target, x.dtype)
    fine = 15 if x.dtype == np.int16 else 20
    if x.dtype == np.int16 and _powers_of_two(node, left, right, target):
        return _power_of_two_sum(node, x, y, subtract, low, high)
    twice = 2.0 * max(float(left.scale), float(right.scale))
    p, q = (quantize_multiplier(float(k.scale) / twice) for k in (left, right))
    total = quantize_multiplier(twice / ((1 << fine) * float(target.scale)))

    def body(a: Scalar, c: Scalar) -> Scalar:
        a = scaled(shift_left(_offset(a, left), fine), *p)
        c = scaled(shift_left(_offset(c, right), fine), *q)
        return s.cast(held(scaled(a - c if subtract else a + c, *total), target.zero_point, low, high), x.dtype)

    return b.map_(body, x, y, dtype=x.dtype)


def _powers_of_two(node: Node, *quantizations: Quantization) -> bool:
    """Whether i16 operands are added as LSTMs want it: all scales powers of two and no zero points."""
    if any(q.zero_point for q in quantizations) or not node.option("PotScaleInt16", True):
        return False
    return all(_power(q) is not None for q in quantizations)


def _power(quantization: Quantization) -> int | None:
    exponent = float(np.log(quantization.scale) * (F32(1) / np.log(F32(2))))
    nearest = round(exponent)
    return nearest if abs(exponent - nearest) < 1e-3 else None


def _power_of_two_sum(node: Node, x: Tensor, y: Tensor, subtract: bool, low: int, high: int) -> Tensor:
    left, right, target = (
        _power(q) or 0 for q in (node.quantization(0), node.quantization(1), node.output_quantization())
    )
    shifts = [left - target, right - target]
    if max(shifts) > 0 or 0 not in shifts:
        raise NotImplementedError("16-bit sum whose output scale is finer than both inputs' (powers of two)")

    def body(a: Scalar, c: Scalar) -> Scalar:
        a = rounding_divide(s.cast(a, b.INT32), -shifts[0])
        c = rounding_divide(s.cast(c, b.INT32), -shifts[1])
        return s.cast(held(s.clamp(a - c if subtract else a + c, -32768, 32767), 0, low, high), x.dtype)

    return b.map_(body, x, y, dtype=x.dtype)


@tflite_op
def ADD(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if node.is_quantized():
        return _quantized_sum(node, x, y, subtract=False)
    if not node.option("FusedActivationFunction"):
        return b.add(x, y)
    return _activated_pair(node, lambda p, q: p + q, x, y)


@tflite_op
def SUB(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if node.is_quantized():
        return _quantized_sum(node, x, y, subtract=True)
    if not node.option("FusedActivationFunction"):
        return b.subtract(x, y)
    return _activated_pair(node, lambda p, q: p - q, x, y)


@tflite_op
def MUL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if not node.is_quantized():
        if not node.option("FusedActivationFunction"):
            return b.multiply(x, y)
        return _activated_pair(node, lambda p, q: p * q, x, y)
    left, right, target = node.quantization(0), node.quantization(1), node.output_quantization()
    low, high = activation_range(node.option("FusedActivationFunction"), target, x.dtype)
    factor = quantize_multiplier(float(F32(left.scale * right.scale) / target.scale))

    def body(a: Scalar, c: Scalar) -> Scalar:
        product = _offset(a, left) * _offset(c, right)
        return s.cast(held(scaled(product, *factor), target.zero_point, low, high), x.dtype)

    return b.map_(body, x, y, dtype=x.dtype)


@tflite_op
def DIV(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if node.is_quantized():
        return _quantized_quotient(node, x, y)
    if not node.option("FusedActivationFunction"):
        return b.divide(x, y)
    return _activated_pair(node, lambda p, q: p / q, x, y)


def _quantized_quotient(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """uint8 division: the divisor's reciprocal in fixed point, then the scales."""
    left, right, target = node.quantization(0), node.quantization(1), node.output_quantization()
    low, high = activation_range(node.option("FusedActivationFunction"), target, x.dtype)
    multiplier, shift = quantize_multiplier(float(left.scale / F32(right.scale * target.scale)))
    # The reciprocal of every divisor, by the kernel's own arithmetic: it has at most 256 or 65536 values.
    least, most = b.integer_range(y.dtype)
    pairs = [_reciprocal(abs(v - right.zero_point)) for v in range(least, most + 1)]
    inverses = lookup.look_up(y, np.array([m for m, _ in pairs], np.int32), "reciprocal")
    shifts = lookup.look_up(y, np.array([n for _, n in pairs], np.int32), "reciprocal_shift")

    def body(a: Scalar, c: Scalar, inverse: Scalar, inverse_shift: Scalar) -> Scalar:
        dividend, divisor = _offset(a, left), _offset(c, right)
        dividend = s.select(divisor < 0, -dividend, dividend)
        headroom = _sign_bits(dividend)
        from mlirage.importers.tflite_ops.fixed_point import rounding_divide_by
        from mlirage.mlir import arith

        lifted = Scalar(arith.shli(dividend.value, headroom.value), b.INT32)
        unscaled = high_product(lifted, inverse)
        total = inverse_shift - headroom
        # multiplier · 2^(shift + total), where total ≤ 0 may be large
        power = total + shift
        value = high_product(Scalar(arith.shli(unscaled.value, s.maximum(power, 0).value), b.INT32), multiplier)
        value = rounding_divide_by(value, s.minimum(s.maximum(-power, 0), 31))
        return s.cast(held(value, target.zero_point, low, high), x.dtype)

    return b.map_(body, x, y, inverses, shifts, dtype=x.dtype)


def _sign_bits(x: Scalar) -> Scalar:
    """How many bits of an i32 below the sign repeat it."""
    from mlirage.mlir import math

    folded = s.select(x < 0, x ^ -1, x)
    return Scalar(math.ctlz(folded.value), b.INT32) - 1


def _reciprocal(x: int) -> tuple[int, int]:
    """1/x as a multiplier in [2^30, 2^31] and its (negative) shift."""
    from mlirage.importers.tflite_ops.gemmlowp import one_over_one_plus_x

    if x == 0:
        return 0, 0
    headroom = 32 - x.bit_length()
    over_one = 31 - headroom
    return int(one_over_one_plus_x((x << headroom) - (1 << 31))), -over_one


def _extreme(node: Node, x: Tensor, y: Tensor, largest: bool) -> Tensor:
    if node.is_quantized() or not b.is_float(x.dtype):
        return (b.maximum if largest else b.minimum)(x, y)
    # std::max gives its first argument unless the second is larger, so a NaN in the second is lost.
    return b.map_(lambda p, q: s.select(p > q if largest else p < q, p, q), x, y)


@tflite_op
def MAXIMUM(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _extreme(node, x, y, largest=True)


@tflite_op
def MINIMUM(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _extreme(node, x, y, largest=False)


@tflite_op
def SQUARED_DIFFERENCE(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(lambda p, q: (p - q) * (p - q), x, y)
    left, right, target = node.quantization(0), node.quantization(1), node.output_quantization()
    fine = 7 if x.dtype == np.int8 else 0
    twice = 2.0 * max(float(left.scale), float(right.scale))
    p, q = (quantize_multiplier(float(k.scale) / twice) for k in (left, right))
    total = quantize_multiplier(twice * twice / ((1 << (fine * 2)) * float(target.scale)))

    def body(a: Scalar, c: Scalar) -> Scalar:
        difference = scaled(shift_left(_offset(a, left), fine), *p) - scaled(shift_left(_offset(c, right), fine), *q)
        return saturated(scaled(difference * difference, *total), target.zero_point, x.dtype)

    return b.map_(body, x, y, dtype=x.dtype)


@tflite_op
def POW(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if b.is_float(x.dtype):
        return b.map_(s.power, x, y)

    def body(base: Scalar, exponent: Scalar) -> Scalar:
        """By squaring; TFLite forbids negative exponents of integers."""
        result, square = s.coerce(1, base.dtype), base
        for bit in range(b.bit_width(base.dtype) - 1):
            result = s.select((exponent & (1 << bit)).ne(0), result * square, result)
            square = square * square
        return result

    return b.map_(body, x, y)


@tflite_op
def FLOOR_DIV(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if b.is_float(x.dtype):
        return b.map_(lambda p, q: s.floor(p / q), x, y)

    def body(p: Scalar, q: Scalar) -> Scalar:
        rest = p % q
        return p / q - s.select(rest.ne(0) & ((rest < 0) ^ (q < 0)), s.coerce(1, p.dtype), 0)

    return b.folding(body, lambda p, q: None if isinstance(q, int) and q == 0 else p // q, x, y)


@tflite_op
def FLOOR_MOD(node: Node, x: Tensor, y: Tensor) -> Tensor:
    def body(p: Scalar, q: Scalar) -> Scalar:
        rest = p % q
        return s.select(rest.ne(0) & ((rest < 0) ^ (q < 0)), rest + q, rest)

    return b.folding(body, lambda p, q: None if isinstance(q, int) and q == 0 else p % q, x, y)


@tflite_op
def ATAN2(node: Node, y: Tensor, x: Tensor) -> Tensor:
    from mlirage.mlir import math

    return b.map_(lambda p, q: Scalar(math.atan2(p.value, q.value), p.dtype), y, x)


@tflite_op
def ADD_N(node: Node, *parts: Tensor) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = b.add(total, part)
    return total


@tflite_op
def NEG(node: Node, x: Tensor) -> Tensor:
    return b.folding(lambda a: -a, lambda a: -a, x)


@tflite_op
def ABS(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(s.absolute, x)
    source, target = node.quantization(), node.output_quantization()
    factor = quantize_multiplier(float(source.scale / target.scale))

    def body(a: Scalar) -> Scalar:
        size = s.absolute(_offset(a, source))
        size = size if source.scale == target.scale else scaled(size, *factor)
        return saturated(size, target.zero_point, x.dtype)

    return b.map_(body, x)


@tflite_op
def SQUARE(node: Node, x: Tensor) -> Tensor:
    return b.map_(lambda a: a * a, x)


@tflite_op
def SIGN(node: Node, x: Tensor) -> Tensor:
    def body(a: Scalar) -> Scalar:
        one, zero = s.coerce(1, a.dtype), s.coerce(0, a.dtype)
        return s.select(a > 0, one, s.select(a < 0, -one, zero))

    return b.map_(body, x)


@tflite_op
def EXP(node: Node, x: Tensor) -> Tensor:
    return by_table(node, x, np.exp) if node.is_quantized() else b.map_(s.exp, x)


@tflite_op
def LOG(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(s.log, x)
    target = node.output_quantization()
    bottom = F32(b.integer_range(x.dtype)[0] - target.zero_point) * target.scale
    return by_table(node, x, lambda a: np.where(a <= 0, bottom, np.log(np.maximum(a, F32(1e-45)))))


@tflite_op
def SQRT(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(s.sqrt, x)
    source, target = node.quantization(), node.output_quantization()
    low, high = b.integer_range(x.dtype)
    real = np.maximum(source.scale * (np.arange(low, high + 1) - source.zero_point).astype(F32), F32(0))
    steps = (np.sqrt(real) / target.scale).astype(np.int64) + target.zero_point  # cut, not rounded
    return lookup.look_up(x, np.clip(steps, low, high).astype(x.dtype), "sqrt")


@tflite_op
def RSQRT(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.map_(lambda a: s.coerce(1.0, a.dtype) / s.sqrt(a), x)
    source, target = node.quantization(), node.output_quantization()
    if x.dtype == np.int16:
        top = F32(32767) * target.scale
        return by_table(node, x, lambda a: np.where(a <= 0, top, F32(1) / np.sqrt(np.where(a <= 0, F32(1), a))))
    from mlirage.importers.tflite_ops.gemmlowp import inverse_square_root, scaled_number

    low, high = b.integer_range(x.dtype)
    factor, shift = quantize_multiplier(1.0 / (float(np.sqrt(source.scale)) * float(target.scale)))
    table: list[int] = []
    for value in range(low, high + 1):
        number = value - source.zero_point
        if number <= 0:  # the kernel fails below zero
            table.append(high)
            continue
        inverse, inverse_shift = inverse_square_root(number)
        fine = scaled_number(1, inverse, inverse_shift + 20)
        table.append(int(np.clip(scaled_number(fine, factor, shift - 20) + target.zero_point, low, high)))
    return lookup.look_up(x, np.array(table, x.dtype), "rsqrt")


def _float_function(name: str, function: Callable[[Any], Any]) -> None:
    def operator(node: Node, x: Tensor) -> Tensor:
        return b.map_(function, x)

    operator.__name__ = name
    tflite_op(operator)


for _name, _function in (
    ("SIN", s.sin),
    ("COS", s.cos),
    ("FLOOR", s.floor),
    ("CEIL", s.ceil),
    ("ROUND", s.round_even),
):
    _float_function(_name, _function)
