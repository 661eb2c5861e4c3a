"""Convolution, pooling and the normalizations of convolutional networks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.onnx_ops.registry import Node, onnx_op, pairs
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s

# Up to so many channels LRN reads each where it is needed instead of summing windows first.
_SIDE_BY_SIDE = 9


def auto_pads(
    node: Node, extents: Sequence[Dim], kernel: Sequence[Dim], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[Dim], list[Dim]]:
    """Pads before and after each spatial axis, from `pads` or `auto_pad`."""
    mode = node.get("auto_pad", "NOTSET") or "NOTSET"
    if mode == "VALID":
        return [0] * len(extents), [0] * len(extents)
    if mode == "NOTSET":
        return pairs(node.get("pads", [0] * 2 * len(extents)))
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad is {mode!r}")
    low: list[Dim] = []
    high: list[Dim] = []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        windows = -((-extent) // stride)
        total = b.dims.maximum((windows - 1) * stride + (k - 1) * dilation + 1 - extent, 0)
        less, more = total // 2, total - total // 2
        low.append(less if mode == "SAME_UPPER" else more)
        high.append(more if mode == "SAME_UPPER" else less)
    return low, high


def channels(x: Tensor, rank: int) -> Tensor:
    """[c] as [c, 1, …], to broadcast against [n, c, …]."""
    return b.reshape(x, (x.shape[0], *([1] * (rank - 2))))


@onnx_op()
def Conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    spatial = x.rank - 2
    strides = node.get("strides", [1] * spatial)
    dilations = node.get("dilations", [1] * spatial)
    low, high = auto_pads(node, x.shape[2:], weight.shape[2:], strides, dilations)
    result = b.conv(x, weight, strides, dilations, low, high, node.get("group", 1))
    return result if bias is None else b.add(result, channels(bias, x.rank))


@onnx_op()
def ConvTranspose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    spatial = x.rank - 2
    strides = node.get("strides", [1] * spatial)
    dilations = node.get("dilations", [1] * spatial)
    extra = node.get("output_padding", [0] * spatial)
    full = [
        (d - 1) * stride + dilation * (k - 1) + 1 + more
        for d, k, stride, dilation, more in zip(x.shape[2:], weight.shape[2:], strides, dilations, extra, strict=True)
    ]
    mode = node.get("auto_pad", "NOTSET") or "NOTSET"
    wanted: list[Dim] | None = node.get("output_shape")
    if wanted is not None:
        wanted = wanted[-spatial:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [d * stride for d, stride in zip(x.shape[2:], strides, strict=True)]
    if wanted is not None:
        total = [f - w for f, w in zip(full, wanted, strict=True)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        low, high = (less, more) if mode == "SAME_UPPER" else (more, less)
    elif mode == "VALID":
        low = high = [0] * spatial
    else:
        low, high = pairs(node.get("pads", [0] * 2 * spatial))
    high = [p - more for p, more in zip(high, extra, strict=True)]
    result = b.conv_transpose(x, weight, strides, dilations, low, high, node.get("group", 1))
    return result if bias is None else b.add(result, channels(bias, x.rank))


def _pool_geometry(
    node: Node, x: Tensor, kernel: Sequence[int]
) -> tuple[list[int], list[int], list[Dim], list[Dim], list[Dim], list[Dim]]:
    """strides, dilations, declared pads, pads that the windows really need at the end, number of windows."""
    spatial = x.rank - 2
    strides = node.get("strides", [1] * spatial)
    dilations = node.get("dilations", [1] * spatial)
    low, high = auto_pads(node, x.shape[2:], kernel, strides, dilations)
    out: list[Dim] = []
    needed: list[Dim] = []
    round_up = bool(node.get("ceil_mode", 0))
    for d, k, stride, dilation, before, after in zip(x.shape[2:], kernel, strides, dilations, low, high, strict=True):
        reach = dilation * (k - 1) + 1
        windows = (d + before + after - reach) // stride + 1
        if round_up:
            windows = -((-(d + before + after - reach)) // stride) + 1
            # A window that would start in the padding at the end is left out.
            windows = b.dims.select("slt", (windows - 1) * stride, d + before, windows, windows - 1)
        if isinstance(windows, int) and (windows < 0 or (windows == 0 and d != 0)):
            raise ValueError(f"a window of {reach} does not fit in {d} positions with {before} and {after} of padding")
        out.append(windows)
        needed.append(b.dims.maximum((windows - 1) * stride + reach - d - before, after) if round_up else after)
    return strides, dilations, low, high, needed, out


@onnx_op()
def MaxPool(node: Node, x: Tensor) -> Any:
    kernel = node.require("kernel_shape")
    strides, dilations, low, _, needed, out = _pool_geometry(node, x, kernel)
    result = b.pool("max", x, kernel, strides, dilations, low, needed, out)
    if not node.wants(1):
        return result
    return result, _max_positions(node, x, result, kernel, strides, dilations, low)


def _max_positions(
    node: Node,
    x: Tensor,
    result: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    low: Sequence[Dim],
) -> Tensor:
    """The flat position in `x` of each window's maximum: the first in the window that has its value."""
    column_major = bool(node.get("storage_order", 0))

    def body(*place: Scalar) -> Scalar:
        top = s.read(result, list(place))
        best = s.coerce(-1, b.INDEX)
        for offset in np.ndindex(*kernel):
            position = list(place[:2])
            inside: Scalar | None = None
            for i, k in enumerate(offset):
                p = place[2 + i] * strides[i] + k * dilations[i] - b.dim_scalar(low[i])
                fits = (p >= 0) & (p < b.dim_scalar(x.shape[2 + i]))
                inside = fits if inside is None else inside & fits
                position.append(s.clamp(p, 0, b.dim_scalar(x.shape[2 + i]) - 1))
            assert inside is not None
            order = [0, 1, *(reversed(range(2, x.rank)) if column_major else range(2, x.rank))]
            flat = s.coerce(0, b.INDEX)
            for i in order:
                flat = flat * b.dim_scalar(x.shape[i]) + position[i]
            value = s.read(x, position)
            same = value.eq(top) | (s.is_nan(value) & s.is_nan(top)) if b.is_float(x.dtype) else value.eq(top)
            best = s.select(inside & same & (best < 0), flat, best)
        return s.cast(best, b.INT64)

    return b.tabulate(result.shape, b.INT64, body)


@onnx_op()
def AveragePool(node: Node, x: Tensor) -> Tensor:
    kernel = node.require("kernel_shape")
    strides, dilations, low, high, needed, out = _pool_geometry(node, x, kernel)
    total = b.pool("sum", x, kernel, strides, dilations, low, needed, out)
    counts = b.window_counts(
        x.shape[2:], kernel, strides, dilations, low, high, out, bool(node.get("count_include_pad", 0)), total.dtype
    )
    return b.average(total, counts, x.dtype)


@onnx_op()
def LpPool(node: Node, x: Tensor) -> Tensor:
    kernel = node.require("kernel_shape")
    strides, dilations, low, _, needed, out = _pool_geometry(node, x, kernel)
    p = float(node.get("p", 2))
    powers = b.map_(lambda a: s.power(s.absolute(a), s.coerce(p, a.dtype)) if p != 2 else a * a, x)
    total = b.pool("sum", powers, kernel, strides, dilations, low, needed, out)
    return b.map_(lambda a: s.power(a, s.coerce(1 / p, a.dtype)) if p != 2 else s.sqrt(a), total, dtype=x.dtype)


@onnx_op()
def GlobalAveragePool(node: Node, x: Tensor) -> Tensor:
    return b.mean(x, range(2, x.rank), keepdims=True)


@onnx_op()
def GlobalMaxPool(node: Node, x: Tensor) -> Tensor:
    return b.amax(x, range(2, x.rank), keepdims=True)


@onnx_op()
def GlobalLpPool(node: Node, x: Tensor) -> Tensor:
    p = float(node.get("p", 2))
    powers = b.map_(lambda a: s.power(s.absolute(a), s.coerce(p, a.dtype)), x)
    return b.map_(lambda a: s.power(a, s.coerce(1 / p, a.dtype)), b.sum_(powers, range(2, x.rank), keepdims=True))


@onnx_op()
def BatchNormalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Any:
    epsilon = node.get("epsilon", 1e-5)
    training = bool(node.get("training_mode", 0)) and node.opset >= 14
    if node.opset < 9 and not node.get("spatial", 1):
        raise ValueError("batch normalization per element (spatial=0) is not supported")
    if not training:
        return _normalized(x, scale, bias, mean, variance, epsilon)
    momentum = node.get("momentum", 0.9)
    axes = [i for i in range(x.rank) if i != 1]
    batch_mean, batch_variance = (b.reshape(m, (x.shape[1],)) for m in b.moments(x, axes))
    wide = b.compute_dtype(x.dtype)

    def blend(old: Scalar, new: Scalar) -> Scalar:
        return old * momentum + new * (1 - momentum)

    result = _normalized(x, scale, bias, b.cast(batch_mean, wide), batch_variance, epsilon)
    return result, b.map_(blend, mean, batch_mean), b.map_(blend, variance, batch_variance)


def _normalized(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """(x - mean) · scale / sqrt(variance + ε) + bias, as one factor and one term per channel."""
    wide = b.compute_dtype(x.dtype)
    factor = b.map_(lambda v, a: s.cast(a, wide) / s.sqrt(s.cast(v, wide) + epsilon), variance, scale, dtype=wide)
    term = b.map_(lambda m, f, c: s.cast(c, wide) - s.cast(m, wide) * f, mean, factor, bias, dtype=wide)
    return b.map_(lambda a, f, t: a * f + t, x, channels(factor, x.rank), channels(term, x.rank))


@onnx_op()
def InstanceNormalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    epsilon = node.get("epsilon", 1e-5)
    average, variance = b.moments(x, range(2, x.rank))
    return b.map_(
        lambda a, m, v, f, t: (a - m) / s.sqrt(v + epsilon) * f + t,
        x,
        average,
        variance,
        channels(scale, x.rank),
        channels(bias, x.rank),
    )


@onnx_op()
def LRN(node: Node, x: Tensor) -> Tensor:
    size = node.require("size")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    low, high = (size - 1) // 2, size // 2

    def normalized(a: Scalar, total: Scalar) -> Scalar:
        return a / s.power(total * (alpha / size) + bias, s.coerce(beta, total.dtype))

    if size <= _SIDE_BY_SIDE and x.dtype == b.FLOAT32:
        space: list[Dim] = [0] * (x.rank - 2)
        padded = b.pad(x, [0, low, *space], [0, high, *space], 0)
        neighbours = [b.slice_axis(padded, 1, start, x.shape[1]) for start in range(size)]
        return b.map_(
            lambda *a: normalized(a[low], functools.reduce(lambda total, n: total + n * n, a[1:], a[0] * a[0])),
            *neighbours,
        )
    # Sum over the channel window, as pooling with the channels as the one spatial axis.
    squares = b.map_(lambda a: a * a, x)
    flat = b.reshape(squares, (x.shape[0], 1, x.shape[1], b.product(x.shape[2:])))
    total = b.pool("sum", flat, [size, 1], [1, 1], [1, 1], [low, 0], [high, 0], flat.shape[2:])
    return b.map_(normalized, x, b.reshape(total, x.shape))
