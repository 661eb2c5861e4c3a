"""Layers of open extents that TensorFlow's lowering does not take, or pads wrongly: windows and convolutions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mlirage.importers.tensorflow_ops.arrangement import numbers
from mlirage.importers.tensorflow_ops.registry import Call, constant, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, pooling
from mlirage.input.builders import scalar as s


def _channels_first(x: Tensor) -> Tensor:
    return b.transpose(x, [0, x.rank - 1, *range(1, x.rank - 1)])


def _channels_last(x: Tensor) -> Tensor:
    return b.transpose(x, [0, *range(2, x.rank), 1])


def _inner(values: list[int]) -> list[int]:
    """Those of the spatial axes; an attribute that is missing is all ones."""
    return values[1:-1]


def _check_layout(call: Call) -> None:
    if call.text("data_format", "NHWC") not in ("NHWC", "NDHWC"):
        raise NotImplementedError(f"data format {call.text('data_format')}")


def _same_pads(extent: Dim, out: Dim, kernel: Dim, stride: int) -> tuple[Dim, Dim]:
    total = b.dims.maximum((out - 1) * stride + kernel - extent, 0)
    return total // 2, total - total // 2


def _kernel(call: Call, weight: Tensor) -> tuple[list[int], list[Dim]]:
    """The dilations, and what filters of them cover of each spatial axis."""
    spatial = weight.rank - 2
    dilations = _inner(call.numbers("dilations")) or [1] * spatial
    return dilations, [(k - 1) * d + 1 for k, d in zip(weight.shape[:spatial], dilations, strict=True)]


Pads = tuple[list[Dim], list[Dim], list[Dim]]


def _pads(call: Call, extents: Sequence[Dim], kernel: Sequence[Dim], strides: Sequence[int]) -> Pads:
    """What is added before and after each spatial axis of a window of `kernel` elements, and the result's extents."""
    padding, explicit = call.text("padding"), call.numbers("explicit_paddings")[2:-2]
    low: list[Dim] = []
    high: list[Dim] = []
    out: list[Dim] = []
    for axis, (extent, k, stride) in enumerate(zip(extents, kernel, strides, strict=True)):
        before: Dim = 0
        after: Dim = 0
        if padding == "SAME":
            out.append((extent + stride - 1) // stride)
            before, after = _same_pads(extent, out[-1], k, stride)
        else:
            if padding == "EXPLICIT":
                before, after = explicit[2 * axis : 2 * axis + 2]
            out.append((extent + before + after - k) // stride + 1)
        low.append(before)
        high.append(after)
    return low, high, out


@tf_op("AvgPool", "AvgPool3D")
def average_pool(call: Call, x: Tensor) -> Tensor:
    """Means of what each window covers of the image."""
    _check_layout(call)
    window, strides = _inner(call.numbers("ksize")), _inner(call.numbers("strides"))
    low, high, out = _pads(call, x.shape[1:-1], window, strides)
    ones = [1] * len(window)
    total = _channels_last(pooling.pool("sum", _channels_first(x), window, strides, ones, low, high, out))

    def mean(*position: Scalar) -> Scalar:
        count = s.coerce(1, b.INDEX)
        for p, before, k, stride, extent in zip(position[1:-1], low, window, strides, x.shape[1:-1], strict=True):
            start = p * stride - b.dim_scalar(before)
            end = s.minimum(start + k, b.dim_scalar(extent))
            count = count * (end - s.maximum(start, 0))
        value = s.read(total, list(position))
        return value / s.cast(s.cast(count, b.INT64), value.dtype)

    return b.tabulate([x.shape[0], *out, x.shape[-1]], x.dtype, mean)


@tf_op("MaxPool", "MaxPool3D")
def max_pool(call: Call, x: Tensor) -> Tensor:
    """The largest element of each window."""
    _check_layout(call)
    window, strides = _inner(call.numbers("ksize")), _inner(call.numbers("strides"))
    low, high, out = _pads(call, x.shape[1:-1], window, strides)
    ones = [1] * len(window)
    return _channels_last(pooling.pool("max", _channels_first(x), window, strides, ones, low, high, out))


@tf_op("Conv2D", "Conv3D")
def convolution(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    """Convolutions; filters of fewer channels than the image are groups."""
    have, take = x.shape[-1], weight.shape[-2]
    return _convolution(call, x, weight, have // take if isinstance(have, int) and isinstance(take, int) else 1)


@tf_op("DepthwiseConv2dNative")
def depthwise_convolution(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    """Several filters for each channel."""
    channels = weight.shape[2]
    if not isinstance(channels, int):
        raise NotImplementedError("channels that only a run knows")
    return _convolution(call, x, b.reshape(weight, [*weight.shape[:2], 1, channels * weight.shape[3]]), channels)


def _convolution(call: Call, x: Tensor, weight: Tensor, groups: int) -> Tensor:
    _check_layout(call)
    spatial = x.rank - 2
    strides = _inner(call.numbers("strides"))
    dilations, kernel = _kernel(call, weight)
    low, high, _ = _pads(call, x.shape[1:-1], kernel, strides)
    filters = b.transpose(weight, [spatial + 1, spatial, *range(spatial)])
    made = b.conv(_channels_first(x), filters, strides, dilations, low, high, groups)
    return b.cast(_channels_last(made), x.dtype)


@tf_op("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def transposed_convolution(call: Call, sizes: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """The gradient of a convolution by its input, which is how transposed convolutions are written."""
    _check_layout(call)
    spatial = x.rank - 2
    strides = _inner(call.numbers("strides"))
    dilations, kernel = _kernel(call, weight)
    wanted = numbers(sizes)[1:-1]
    explicit = call.numbers("explicit_paddings")[2:-2]
    low: list[Dim] = []
    high: list[Dim] = []
    for axis, (extent, new, k, stride) in enumerate(zip(x.shape[1:-1], wanted, kernel, strides, strict=True)):
        if call.text("padding") == "SAME":
            before, _ = _same_pads(new, extent, k, stride)
        else:
            before = explicit[2 * axis] if call.text("padding") == "EXPLICIT" else 0
        low.append(before)
        high.append((extent - 1) * stride + k - before - new)
    filters = b.transpose(weight, [spatial + 1, spatial, *range(spatial)])
    made = b.conv_transpose(_channels_first(x), filters, strides, dilations, low, high)
    return b.cast(_channels_last(made), x.dtype)


@tf_op("Bucketize")
def bucketize(call: Call, x: Tensor) -> Tensor:
    """How many of the boundaries each element has reached."""
    bounds = [float(v) for v in re.sub(r":[^,\]]*|[\[\]]", "", call.text("boundaries")).split(",") if v.strip()]

    def body(a: Scalar) -> Scalar:
        total = s.coerce(0, b.INT32)
        wide = s.cast(a, b.FLOAT64)
        for bound in bounds:
            total = total + s.cast(wide >= bound, b.INT32)
        return total

    return b.map_(body, x, dtype=b.INT32)


@tf_op("CumulativeLogsumexp")
def running_logarithm_of_sums(call: Call, x: Tensor, axis: Tensor) -> Tensor:
    """log of the running sum of exponentials, without overflow: totals of what the largest so far leaves."""
    if constant(axis) is None:
        raise NotImplementedError("running totals along an axis that only a run knows")
    place = b.normalize_axis(numbers(axis)[0], x.rank)  # pyright: ignore[reportArgumentType]

    def joined(p: Scalar, q: Scalar) -> Scalar:
        high, low = s.maximum(p, q), s.minimum(p, q)
        rest = s.log1p(s.exp(low - high))
        return s.select(high.eq(float("-inf")) | high.eq(float("inf")), high, high + rest)

    return b.ordering.scan(x, place, -math.inf, joined, call.flag("exclusive"), call.flag("reverse"))
