"""Pooling, channels last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlirage.importers.tflite_ops.activation import activate
from mlirage.importers.tflite_ops.fixed_point import activation_range
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.importers.tflite_ops.windows import pads
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s

_FIRST, _LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def _geometry(node: Node, x: Tensor) -> tuple[list[int], list[int], list[Dim], list[Dim], list[Dim]]:
    """Window, strides, padding before and after, number of windows."""
    window = [node.option("FilterHeight", 1), node.option("FilterWidth", 1)]
    strides = [node.option("StrideH", 1), node.option("StrideW", 1)]
    if x.rank != 4 or any(k < 1 for k in window):
        raise ValueError(f"input {list(x.shape)}, window {window}")
    low, high = pads(node, x.shape[1:3], window, strides, [1, 1])
    out = [
        (d + p + q - k) // stride + 1
        for d, p, q, k, stride in zip(x.shape[1:3], low, high, window, strides, strict=True)
    ]
    if any(isinstance(d, int) and d < 0 for d in out):
        raise ValueError(f"window {window} is larger than the input {list(x.shape)}")
    return window, strides, low, high, out


def _finish(node: Node, x: Tensor, dtype: b.DType) -> Tensor:
    activation = node.option("FusedActivationFunction")
    if not activation:
        return x
    if b.is_float(dtype):
        return b.map_(lambda a: activate(a, activation), x)
    low, high = activation_range(activation, node.output_quantization(), dtype)
    return b.map_(lambda a: s.minimum(s.maximum(a, low), high), x)


@tflite_op
def MAX_POOL_2D(node: Node, x: Tensor) -> Tensor:
    window, strides, low, high, out = _geometry(node, x)
    pooled = b.pool("max", b.transpose(x, _FIRST), window, strides, [1, 1], low, high, out)
    return _finish(node, b.transpose(pooled, _LAST), x.dtype)


def _sums(
    x: Tensor,
    window: Sequence[int],
    strides: Sequence[int],
    low: Sequence[Dim],
    high: Sequence[Dim],
    out: Sequence[Dim],
) -> tuple[Tensor, Tensor | int]:
    """Sums of the windows, and over how many elements of the input they go."""
    total = b.pool("sum", b.transpose(x, _FIRST), window, strides, [1, 1], low, high, out)
    counts = b.window_counts(x.shape[1:3], window, strides, [1, 1], low, high, out, False, total.dtype)
    if isinstance(counts, Tensor):
        counts = b.reshape(counts, [*counts.shape, 1])
    return b.transpose(total, _LAST), counts


@tflite_op
def AVERAGE_POOL_2D(node: Node, x: Tensor) -> Tensor:
    geometry = _geometry(node, x)
    wide = x if b.is_float(x.dtype) else b.cast(x, b.INT32)
    total, counts = _sums(wide, *geometry)
    if b.is_float(x.dtype):
        return _finish(node, b.average(total, counts, x.dtype), x.dtype)

    def mean(a: Scalar, n: Scalar) -> Scalar:
        half = s.select(a > 0, n / 2, -(n / 2)) if x.dtype != np.uint8 else n / 2
        return s.cast((a + half) / n, x.dtype)

    divisor = Tensor.of(counts, b.INT32) if isinstance(counts, int) else counts
    return _finish(node, b.map_(mean, total, divisor, dtype=x.dtype, shape=total.shape), x.dtype)


@tflite_op
def L2_POOL_2D(node: Node, x: Tensor) -> Tensor:
    if not b.is_float(x.dtype):
        raise NotImplementedError(f"L2_POOL_2D of {x.dtype}")
    total, counts = _sums(b.map_(lambda a: a * a, x), *_geometry(node, x))
    return _finish(node, b.map_(s.sqrt, b.average(total, counts, x.dtype)), x.dtype)
