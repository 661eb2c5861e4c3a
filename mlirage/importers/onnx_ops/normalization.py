"""Layer, group, RMS, Lp and mean-variance normalization."""

from __future__ import annotations

from typing import Any

from mlirage.importers.onnx_ops.neural import channels
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s


@onnx_op()
def LayerNormalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
    axis = b.normalize_axis(node.get("axis", -1), x.rank)
    epsilon = node.get("epsilon", 1e-5)
    stash = node.dtype("stash_type", 1)
    source = b.cast(x, stash) if stash != x.dtype and b.bit_width(stash) >= 32 else x
    mean, variance = b.moments(source, range(axis, x.rank))
    inverse = b.map_(lambda v: s.coerce(1.0, v.dtype) / s.sqrt(v + epsilon), variance)
    wide = b.compute_dtype(source.dtype)

    def normalize(a: Scalar, m: Scalar, r: Scalar, k: Scalar, *c: Scalar) -> Scalar:
        y = (s.cast(a, wide) - m) * r * s.cast(k, wide)
        return s.cast(y + s.cast(c[0], wide) if c else y, b.compute_dtype(x.dtype))

    extra = [] if bias is None else [bias]
    result = b.map_(normalize, x, mean, inverse, scale, *extra, shape=x.shape)
    return (result, mean, inverse) if node.wants(1) or node.wants(2) else result


@onnx_op()
def RMSNormalization(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    axis = b.normalize_axis(node.get("axis", -1), x.rank)
    epsilon = node.get("epsilon", 1e-5)
    stash = node.dtype("stash_type", 1)
    wide = b.compute_dtype(stash if b.bit_width(stash) > b.bit_width(x.dtype) else x.dtype)
    source = b.cast(x, wide)
    axes = range(axis, x.rank)
    squares = b.reduce_(lambda t, a: t + a * a, 0, [source], axes, wide, keepdims=True)
    mean = b.divide_by_count(squares, b.count(x, axes))
    return b.map_(
        lambda a, m, k: s.cast(s.cast(a, wide) / s.sqrt(m + epsilon) * s.cast(k, wide), b.compute_dtype(x.dtype)),
        x,
        mean,
        scale,
        shape=x.shape,
    )


@onnx_op()
def GroupNormalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = node.require("num_groups")
    epsilon = node.get("epsilon", 1e-5)
    grouped = b.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    mean, variance = b.moments(grouped, range(2, grouped.rank))
    if node.opset < 21:  # one factor per group
        factors = [b.reshape(t, (groups, *([1] * (grouped.rank - 2)))) for t in (scale, bias)]
    else:
        factors = [b.reshape(t, (groups, x.shape[1] // groups, *([1] * (x.rank - 2)))) for t in (scale, bias)]
    normalized = b.map_(lambda a, m, v, f, t: (a - m) / s.sqrt(v + epsilon) * f + t, grouped, mean, variance, *factors)
    return b.reshape(normalized, x.shape)


@onnx_op()
def LpNormalization(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", -1)
    if node.get("p", 2) == 1:
        norm = b.reduce_(lambda t, a: t + s.absolute(a), 0, [x], [axis], b.compute_dtype(x.dtype), keepdims=True)
    else:
        squares = b.reduce_(lambda t, a: t + a * a, 0, [x], [axis], b.compute_dtype(x.dtype), keepdims=True)
        norm = b.map_(s.sqrt, squares)
    return b.map_(lambda a, n: s.select(n.eq(0.0), 0.0, a / n), x, norm)


@onnx_op()
def MeanVarianceNormalization(node: Node, x: Tensor) -> Tensor:
    mean, variance = b.moments(x, node.get("axes", [0, 2, 3]))
    return b.map_(lambda a, m, v: (a - m) / (s.sqrt(v) + 1e-9), x, mean, variance)


__all__ = ["channels"]
