"""Gradients and optimizers of ai.onnx.preview.training."""

from __future__ import annotations

import mlirage.importers.onnx_gradient_windows  # noqa: F401  # its rules  # pyright: ignore[reportUnusedImport]
from mlirage.importers.onnx_gradient import expand_gradient
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s

_DOMAIN = "ai.onnx.preview.training"


def _groups(tensors: tuple[Tensor, ...], kinds: int) -> list[tuple[Tensor, ...]]:
    """The inputs come as all weights, then all gradients, then all states."""
    count = len(tensors) // kinds
    if count * kinds != len(tensors):
        raise ValueError(f"{len(tensors)} tensors are not {kinds} of each kind")
    return [tensors[i::count] for i in range(count)]


def _number(x: Tensor, dtype: b.DType) -> Scalar:
    return s.cast(b.scalar_of(x), dtype)


@onnx_op(_DOMAIN)
def Gradient(node: Node, *inputs: Tensor) -> list[Tensor]:
    return expand_gradient(node.graph, node.proto, inputs)


@onnx_op(_DOMAIN)
def Adagrad(node: Node, rate: Tensor, step: Tensor, *tensors: Tensor) -> list[Tensor]:
    decay, epsilon, norm = node.get("decay_factor", 0.0), node.get("epsilon", 0.0), node.get("norm_coefficient", 0.0)
    weights: list[Tensor] = []
    squares: list[Tensor] = []
    for weight, gradient, square in _groups(tensors, 3):
        dtype = b.compute_dtype(weight.dtype)
        r = _number(rate, dtype) / (_number(step, dtype) * decay + 1.0)

        def total(x: Scalar, g: Scalar) -> Scalar:
            return x * norm + g

        after = b.map_(lambda x, g, h, f=total: h + f(x, g) * f(x, g), weight, gradient, square)
        weights.append(
            b.map_(lambda x, g, h, f=total, r=r: x - r * f(x, g) / (s.sqrt(h) + epsilon), weight, gradient, after)
        )
        squares.append(after)
    return [*weights, *squares]


@onnx_op(_DOMAIN)
def Momentum(node: Node, rate: Tensor, step: Tensor, *tensors: Tensor) -> list[Tensor]:
    alpha, beta, norm = node.require("alpha"), node.require("beta"), node.require("norm_coefficient")
    nesterov = node.require("mode") == "nesterov"
    weights: list[Tensor] = []
    momenta: list[Tensor] = []
    for weight, gradient, momentum in _groups(tensors, 3):
        dtype = b.compute_dtype(weight.dtype)
        r = _number(rate, dtype)
        share = s.select(s.cast(b.scalar_of(step), b.INT64) > 0, s.coerce(beta, dtype), 1.0)

        def total(x: Scalar, g: Scalar) -> Scalar:
            return x * norm + g

        after = b.map_(lambda x, g, v, f=total, k=share: v * alpha + k * f(x, g), weight, gradient, momentum)

        def move(x: Scalar, g: Scalar, v: Scalar, r: Scalar = r) -> Scalar:
            return x - r * (total(x, g) + v * alpha if nesterov else v)

        weights.append(b.map_(move, weight, gradient, after))
        momenta.append(after)
    return [*weights, *momenta]


@onnx_op(_DOMAIN)
def Adam(node: Node, rate: Tensor, step: Tensor, *tensors: Tensor) -> list[Tensor]:
    alpha, beta = node.get("alpha", 0.9), node.get("beta", 0.999)
    epsilon, norm = node.get("epsilon", 0.0), node.get("norm_coefficient", 0.0)
    after_norm = node.get("norm_coefficient_post", 0.0)
    weights: list[Tensor] = []
    firsts: list[Tensor] = []
    seconds: list[Tensor] = []
    for weight, gradient, first, second in _groups(tensors, 4):
        dtype = b.compute_dtype(weight.dtype)

        def corrected(r: Scalar, t: Scalar, dtype: b.DType = dtype) -> Scalar:
            one, t, r = s.coerce(1.0, dtype), s.cast(t, dtype), s.cast(r, dtype)
            bias = s.sqrt(one - s.power(s.coerce(beta, dtype), t)) / (one - s.power(s.coerce(alpha, dtype), t))
            return s.select(t > 0.0, r * bias, r)

        r = b.map_(corrected, b.reshape(rate, ()), b.reshape(step, ()), dtype=dtype)
        v = b.map_(lambda x, g, m: m * alpha + (x * norm + g) * (1 - alpha), weight, gradient, first)
        h = b.map_(lambda x, g, m: m * beta + (x * norm + g) * (x * norm + g) * (1 - beta), weight, gradient, second)
        new = b.map_(lambda x, p, q, r: (x - r * p / (s.sqrt(q) + epsilon)) * (1 - after_norm), weight, v, h, r)
        weights.append(new)
        firsts.append(v)
        seconds.append(h)
    return [*weights, *firsts, *seconds]
