"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Callable

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s


def relu(a: Scalar) -> Scalar:
    """max(a, 0); NaN stays NaN."""
    zero = s.coerce(0, a.dtype)
    return s.select(a < zero, zero, a)


@onnx_op()
def Relu(node: Node, x: Tensor) -> Tensor:
    return b.map_(relu, x)


@onnx_op()
def LeakyRelu(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 0.01)
    return b.map_(lambda a: s.select(a < 0.0, a * alpha, a), x)


@onnx_op()
def PRelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    if node.opset < 7 and slope.rank == 1 and slope.shape[0] != 1:  # one per channel
        slope = b.reshape(slope, (slope.shape[0], *([1] * (x.rank - 2))))
    return b.map_(lambda a, k: s.select(a < 0, a * k, a), x, slope, shape=x.shape)


@onnx_op()
def Sigmoid(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.sigmoid, x)


@onnx_op()
def HardSigmoid(node: Node, x: Tensor) -> Tensor:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return b.map_(lambda a: s.clamp(a * alpha + beta, 0.0, 1.0), x)


@onnx_op()
def HardSwish(node: Node, x: Tensor) -> Tensor:
    return b.map_(lambda a: a * s.clamp(a * (1 / 6) + 0.5, 0.0, 1.0), x)


@onnx_op()
def Elu(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 1.0)
    return b.map_(lambda a: s.select(a < 0.0, s.expm1(a) * alpha, a), x)


@onnx_op()
def Celu(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 1.0)
    return b.map_(lambda a: s.select(a < 0.0, s.expm1(a / alpha) * alpha, a), x)


@onnx_op()
def Selu(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 1.6732632423543772848170429916717)
    gamma = node.get("gamma", 1.0507009873554804934193349852946)
    return b.map_(lambda a: s.select(a <= 0.0, s.expm1(a) * (alpha * gamma), a * gamma), x)


@onnx_op()
def ThresholdedRelu(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 1.0)
    return b.map_(lambda a: s.select(a > alpha, a, 0.0), x)


@onnx_op()
def Softplus(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.softplus, x)


@onnx_op()
def Softsign(node: Node, x: Tensor) -> Tensor:
    return b.map_(lambda a: a / (s.absolute(a) + 1.0), x)


@onnx_op()
def Mish(node: Node, x: Tensor) -> Tensor:
    return b.map_(lambda a: a * s.tanh(s.softplus(a)), x)


@onnx_op()
def Swish(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 1.0)
    return b.map_(lambda a: a * s.sigmoid(a * alpha), x)


@onnx_op()
def Gelu(node: Node, x: Tensor) -> Tensor:
    if node.get("approximate", "none") == "tanh":
        return b.map_(gelu_tanh, x)
    return b.map_(lambda a: a * 0.5 * (s.erf(a * math.sqrt(0.5)) + 1.0), x)


def gelu_tanh(a: Scalar) -> Scalar:
    """The tanh approximation of gelu."""
    return a * 0.5 * (s.tanh((a + a * a * a * 0.044715) * math.sqrt(2 / math.pi)) + 1.0)


@onnx_op()
def Shrink(node: Node, x: Tensor) -> Tensor:
    bias, lambd = node.get("bias", 0.0), node.get("lambd", 0.5)

    def body(a: Scalar) -> Scalar:
        if b.is_float(a.dtype):
            return s.select(a < -lambd, a + bias, s.select(a > lambd, a - bias, 0.0))
        f = s.cast(a, b.FLOAT32)
        result = s.select(f < -lambd, f + bias, s.select(f > lambd, f - bias, 0.0))
        return s.cast(result, a.dtype)

    return b.map_(body, x)


def _rows(function: Callable[[Tensor, list[int]], Tensor], node: Node, x: Tensor) -> Tensor:
    """Softmax and its kin: over one axis since opset 13, over all axes from `axis` on before."""
    if node.opset >= 13:
        return function(x, [b.normalize_axis(node.get("axis", -1), x.rank)])
    axis = node.get("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return function(x, list(range(axis, x.rank)))


@onnx_op()
def Softmax(node: Node, x: Tensor) -> Tensor:
    return _rows(b.softmax, node, x)


@onnx_op()
def LogSoftmax(node: Node, x: Tensor) -> Tensor:
    return _rows(b.log_softmax, node, x)


@onnx_op()
def Hardmax(node: Node, x: Tensor) -> Tensor:
    def one_hot(x: Tensor, axes: list[int]) -> Tensor:
        shape = x.shape
        flat = b.reshape(x, (*shape[: axes[0]], b.product(shape[axes[0] : axes[-1] + 1]), *shape[axes[-1] + 1 :]))
        top = b.arg_extreme(flat, axes[0], largest=True, last=False, keepdims=True)

        def body(a: Scalar, m: Scalar) -> Scalar:
            return s.cast(s.cast(s.index_of(axes[0]), b.INT64).eq(m), b.compute_dtype(x.dtype))

        return b.reshape(b.map_(body, flat, top), shape)

    return _rows(one_hot, node, x)
