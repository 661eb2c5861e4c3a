"""Comparisons, booleans, bits, choices."""

from __future__ import annotations

from collections.abc import Callable

from mlirage.importers.tflite_ops.fixed_point import quantize_multiplier, scaled, shift_left
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, ordering
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith

Comparison = Callable[[Scalar, Scalar], Scalar]


def _compare(
    node: Node, x: Tensor, y: Tensor, body: Comparison, plain: Callable[[Tensor, Tensor], Tensor] | None = None
) -> Tensor:
    if not (node.is_quantized() and x.dtype.itemsize == 1):
        return plain(x, y) if plain else b.map_(body, x, y, dtype=b.BOOL)
    left, right = node.quantization(0), node.quantization(1)
    p, q = (quantize_multiplier(float(k.scale)) for k in (left, right))

    def scaled_body(a: Scalar, c: Scalar) -> Scalar:
        a = scaled(shift_left(s.cast(a, b.INT32) - left.zero_point, 8), *p)
        c = scaled(shift_left(s.cast(c, b.INT32) - right.zero_point, 8), *q)
        return body(a, c)

    return b.map_(scaled_body, x, y, dtype=b.BOOL)


@tflite_op
def EQUAL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _compare(node, x, y, lambda p, q: p.eq(q), b.equal)


@tflite_op
def NOT_EQUAL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _compare(node, x, y, lambda p, q: p.ne(q))


@tflite_op
def LESS(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _compare(node, x, y, lambda p, q: p < q, b.less)


@tflite_op
def LESS_EQUAL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _compare(node, x, y, lambda p, q: p <= q, b.less_equal)


@tflite_op
def GREATER(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _compare(node, x, y, lambda p, q: p > q, lambda p, q: b.less(q, p))


@tflite_op
def GREATER_EQUAL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return _compare(node, x, y, lambda p, q: p >= q, lambda p, q: b.less_equal(q, p))


@tflite_op
def LOGICAL_AND(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.multiply(x, y)


@tflite_op
def LOGICAL_OR(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.add(x, y)


@tflite_op
def LOGICAL_NOT(node: Node, x: Tensor) -> Tensor:
    return b.map_(lambda a: ~a, x)


@tflite_op
def BITWISE_XOR(node: Node, x: Tensor, y: Tensor) -> Tensor:
    return b.map_(lambda p, q: p ^ q, x, y)


@tflite_op
def RIGHT_SHIFT(node: Node, x: Tensor, y: Tensor) -> Tensor:
    make = arith.shrui if b.is_unsigned(x.dtype) else arith.shrsi
    most = b.bit_width(x.dtype) - 1

    def body(a: Scalar, n: Scalar) -> Scalar:
        return Scalar(make(a.value, s.clamp(n, 0, most).value), a.dtype)

    return b.map_(body, x, y)


@tflite_op
def SELECT(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    if condition.rank < x.rank:  # a condition per row, unlike numpy's rule
        condition = (
            b.reshape(condition, [*condition.shape, *([1] * (x.rank - condition.rank))])
            if condition.rank
            else condition
        )
    return b.where(condition, x, y)


@tflite_op
def SELECT_V2(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return b.where(condition, x, y)


@tflite_op
def WHERE(node: Node, condition: Tensor) -> Tensor:
    mask = condition if condition.dtype == b.BOOL else b.cast(condition, b.BOOL)
    if mask.rank == 0:
        mask = b.reshape(mask, [1])
        places = ordering.true_positions(mask)
        return b.reshape(places, [places.shape[0], 0])
    columns = ordering.unravel(ordering.true_positions(mask), mask.shape)
    return b.concatenate([b.unsqueeze(column, [1]) for column in columns], 1)
