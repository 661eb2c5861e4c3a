"""com.microsoft: what ONNX Runtime's optimizer and exporters fuse — activations, norms, products, convolutions.

None of these has a specification but the behaviour of ONNX Runtime's CPU kernels, which the tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mlirage.importers.onnx_ops import indexing, linear, neural, sampling, shape
from mlirage.importers.onnx_ops.activation import gelu_tanh, relu
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s

DOMAIN = "com.microsoft"

for _function in (sampling.GridSample, shape.Trilu, shape.GatherND):
    onnx_op(DOMAIN)(_function)


def gelu(a: Scalar) -> Scalar:
    """x · Φ(x)."""
    return a * 0.5 * (s.erf(a * math.sqrt(0.5)) + 1.0)


@onnx_op(DOMAIN)
def Gelu(node: Node, x: Tensor) -> Tensor:
    return b.map_(gelu, x)


@onnx_op(DOMAIN)
def BiasGelu(node: Node, x: Tensor, bias: Tensor) -> Tensor:
    return b.map_(lambda a, c: gelu(a + c), x, bias)


@onnx_op(DOMAIN)
def FastGelu(node: Node, x: Tensor, bias: Tensor | None = None) -> Tensor:
    if bias is None:
        return b.map_(gelu_tanh, x)
    return b.map_(lambda a, c: gelu_tanh(a + c), x, bias)


@onnx_op(DOMAIN)
def QuickGelu(node: Node, x: Tensor) -> Tensor:
    alpha = node.get("alpha", 1.702)
    return b.map_(lambda a: a * s.sigmoid(a * alpha), x)


@onnx_op(DOMAIN)
def BiasAdd(node: Node, x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return b.map_(lambda a, c, d: a + c + d, x, bias, skip)


@onnx_op(DOMAIN)
def BiasSplitGelu(node: Node, x: Tensor, bias: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    total = b.add(x, bias)
    left, right = (b.slice_axis(total, x.rank - 1, start, half) for start in (0, half))
    return b.map_(lambda a, c: a * gelu(c), left, right)


# ---- normalization --------------------------------------------------------------------------------------------------


@onnx_op()
def SimplifiedLayerNormalization(node: Node, x: Tensor, scale: Tensor) -> Any:
    """ONNX Runtime has it in the standard domain."""
    axis = b.normalize_axis(node.get("axis", -1), x.rank)
    result, inverse = _root_mean_square(x, scale, axis, node.get("epsilon", 1e-5))
    return (b.cast(result, scale.dtype), inverse) if node.wants(1) else b.cast(result, scale.dtype)


def _root_mean_square(x: Tensor, scale: Tensor, axis: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """x / sqrt(mean x² + ε) · scale over the axes from `axis` on, and the factor of x."""
    wide = b.compute_dtype(x.dtype)
    axes = range(axis, x.rank)
    squares = b.reduce_(lambda t, a: t + a * a, 0, [x], axes, wide, keepdims=True)
    mean = b.divide_by_count(squares, b.count(x, axes))
    inverse = b.map_(lambda m: s.coerce(1.0, m.dtype) / s.sqrt(m + epsilon), mean)
    result = b.map_(lambda a, r, k: a * r * s.cast(k, a.dtype), x, inverse, scale, shape=x.shape)
    return result, inverse


def layer_normalized(x: Tensor, scale: Tensor, bias: Tensor | None, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The layer norm over the last axis, its mean and the factor of x."""
    mean, variance = b.moments(x, [x.rank - 1])
    inverse = b.map_(lambda v: s.coerce(1.0, v.dtype) / s.sqrt(v + epsilon), variance)
    extra = [] if bias is None else [bias]

    def body(a: Scalar, m: Scalar, r: Scalar, k: Scalar, *c: Scalar) -> Scalar:
        y = (a - m) * r * k
        return y + c[0] if c else y

    return b.map_(body, x, mean, inverse, scale, *extra, shape=x.shape), mean, inverse


def _with_skip(x: Tensor, skip: Tensor, bias: Tensor | None) -> Tensor:
    """x + skip + bias; a batch of skips may be one, or absent."""
    if skip.rank < x.rank:
        skip = b.unsqueeze(skip, [0])
    if bias is None:
        return b.map_(lambda a, c: a + c, x, skip, shape=x.shape)
    return b.map_(lambda a, c, d: a + c + d, x, skip, bias, shape=x.shape)


@onnx_op(DOMAIN)
def SkipLayerNormalization(
    node: Node, x: Tensor, skip: Tensor, scale: Tensor, beta: Tensor | None = None, bias: Tensor | None = None
) -> Any:
    total = _with_skip(x, skip, bias)
    return *layer_normalized(total, scale, beta, node.get("epsilon", 1e-12)), total


@onnx_op(DOMAIN)
def SkipSimplifiedLayerNormalization(
    node: Node, x: Tensor, skip: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Any:
    total = _with_skip(x, skip, bias)
    result, inverse = _root_mean_square(total, scale, x.rank - 1, node.get("epsilon", 1e-12))
    return result, inverse, inverse, total  # there is no mean; ONNX Runtime leaves that output alone


@onnx_op(DOMAIN)
def EmbedLayerNormalization(
    node: Node,
    words: Tensor,
    segments: Tensor | None = None,
    word_table: Tensor | None = None,
    position_table: Tensor | None = None,
    segment_table: Tensor | None = None,
    scale: Tensor | None = None,
    beta: Tensor | None = None,
    mask: Tensor | None = None,
    positions: Tensor | None = None,
) -> Any:
    if word_table is None or position_table is None or scale is None or beta is None:
        raise ValueError("the tables of words and positions, gamma and beta are needed")
    batch, length = words.shape
    total = b.gather(word_table, words, 0)
    if positions is None:
        total = b.add(total, b.slice_axis(position_table, 0, 0, length))
    else:
        total = b.add(total, b.gather(position_table, positions, 0))
    if segments is not None and segment_table is not None:
        total = b.add(total, b.gather(segment_table, segments, 0))
    result, _, _ = layer_normalized(total, scale, beta, node.get("epsilon", 1e-12))
    if mask is None:
        lengths = b.fill([batch], 0, b.INT32)
    else:
        lengths = b.reduce_(lambda t, a: t + s.cast(a.ne(0), b.INT32), 0, [mask], [1], b.INT32)
    return result, lengths, total


# ---- products and convolutions --------------------------------------------------------------------------------------


@onnx_op(DOMAIN)
def FusedMatMul(node: Node, left: Tensor, right: Tensor) -> Tensor:
    factors: list[Tensor] = []
    for x, side in ((left, "A"), (right, "B")):
        if node.get(f"transBatch{side}", 0) and x.rank > 2:  # the first axis goes behind the batch
            x = b.transpose(x, [*range(1, x.rank - 1), 0, x.rank - 1])
        if node.get(f"trans{side}", 0) and x.rank > 1:
            x = b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])
        factors.append(x)
    result = b.matmul(factors[0], factors[1])
    alpha = node.get("alpha", 1.0)
    return result if alpha == 1.0 else linear.scaled(result, alpha)


@onnx_op(DOMAIN)
def TransposeMatMul(node: Node, left: Tensor, right: Tensor) -> Tensor:
    return FusedMatMul(node, left, right)


def activation(name: str, parameters: list[float]) -> Callable[[Scalar], Scalar]:
    """The function that a fused operator applies to its result.

    Raises:
      NotImplementedError: it is not known.
    """

    def parameter(number: int, default: float) -> float:
        return parameters[number] if number < len(parameters) else default

    functions: dict[str, Callable[[Scalar], Scalar]] = {
        "": lambda a: a,
        "Relu": relu,
        "Tanh": s.tanh,
        "Sigmoid": s.sigmoid,
        "LeakyRelu": lambda a: s.select(a < 0.0, a * parameter(0, 0.01), a),
        "Clip": lambda a: s.clamp(a, parameter(0, -math.inf), parameter(1, math.inf)),
        "HardSigmoid": lambda a: s.clamp(a * parameter(0, 0.2) + parameter(1, 0.5), 0.0, 1.0),
    }
    if name not in functions:
        raise NotImplementedError(f"activation {name!r}; known are {', '.join(filter(None, functions))}")
    return functions[name]


@onnx_op(DOMAIN)
def FusedConv(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, addend: Tensor | None = None
) -> Tensor:
    result = neural.Conv(node, x, weight, bias)
    function = activation(node.get("activation", ""), node.get("activation_params", []))
    if addend is not None:
        return b.map_(lambda a, c: function(a + c), result, addend)
    return b.map_(function, result)


@onnx_op(DOMAIN)
def FusedGemm(node: Node, left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    parameters = [node.get(f"activation_{name}") for name in ("alpha", "beta", "gamma")]
    function = activation(node.get("activation", ""), [p for p in parameters if p is not None])
    return b.map_(function, linear.Gemm(node, left, right, bias))


@onnx_op(DOMAIN)
def NhwcMaxPool(node: Node, x: Tensor) -> Tensor:
    inner = neural.MaxPool(node, b.transpose(x, [0, x.rank - 1, *range(1, x.rank - 1)]))
    return b.transpose(inner, [0, *range(2, x.rank), 1])


# ---- shapes and numbers ---------------------------------------------------------------------------------------------


@onnx_op(DOMAIN)
def ExpandDims(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return b.unsqueeze(x, [b.normalize_axis(int(_constant(axis, "axis")), x.rank + 1)])


@onnx_op(DOMAIN)
def Pad(node: Node, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    return shape.Pad(replace(node, opset=13), x, b.reshape(pads, [b.product(pads.shape)]), value)


@onnx_op(DOMAIN)
def Range(node: Node, start: Tensor, limit: Tensor, delta: Tensor | None = None) -> Tensor:
    step = Tensor.of(1, start.dtype) if delta is None else b.reshape(delta, ())
    return shape.Range(node, b.reshape(start, ()), b.reshape(limit, ()), step)


@onnx_op(DOMAIN)
def Unique(node: Node, x: Tensor) -> Any:
    values, _, inverse, counts = indexing.Unique(replace(node, attributes={"sorted": 0}), x)
    return values, inverse, counts


@onnx_op(DOMAIN)
def CDist(node: Node, left: Tensor, right: Tensor) -> Tensor:
    """Distances of all rows to all rows."""
    metric = node.get("metric", "sqeuclidean")
    if metric not in ("sqeuclidean", "euclidean"):
        raise NotImplementedError(f"metric {metric!r}")

    def body(total: Scalar, p: Scalar, q: Scalar) -> Scalar:
        return total + (p - q) * (p - q)

    squares = b.reduce_(body, 0, [b.unsqueeze(left, [1]), b.unsqueeze(right, [0])], [2], left.dtype)
    return squares if metric == "sqeuclidean" else b.map_(s.sqrt, squares)


def _constant(x: Tensor, what: str) -> Any:
    value = x.splat()
    if value is None:
        raise ValueError(f"{what} must be known at compile time (a constant of the model), not an input")
    return value
