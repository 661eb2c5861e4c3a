"""Layers with an open batch that TensorFlow's lowering does not take: averages of windows, transposed convolutions."""

from __future__ import annotations

import math
import re

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


def _same_pads(extent: Dim, out: Dim, kernel: int, stride: int) -> tuple[Dim, Dim]:
    total = b.dims.maximum((out - 1) * stride + kernel - extent, 0)
    return total // 2, total - total // 2


@tf_op("AvgPool", "AvgPool3D")
def average_pool(call: Call, x: Tensor) -> Tensor:
    """Means of what each window covers of the image."""
    _check_layout(call)
    window, strides = _inner(call.numbers("ksize")), _inner(call.numbers("strides"))
    low: list[Dim] = []
    high: list[Dim] = []
    out: list[Dim] = []
    for extent, k, stride in zip(x.shape[1:-1], window, strides, strict=True):
        if call.text("padding") == "SAME":
            out.append((extent + stride - 1) // stride)
            before, after = _same_pads(extent, out[-1], k, stride)
        else:
            out.append((extent - k) // stride + 1)
            before, after = 0, 0
        low.append(before)
        high.append(after)
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


@tf_op("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def transposed_convolution(call: Call, sizes: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """The gradient of a convolution by its input, which is how transposed convolutions are written."""
    _check_layout(call)
    spatial = x.rank - 2
    strides = _inner(call.numbers("strides"))
    dilations = _inner(call.numbers("dilations")) or [1] * spatial
    kernel = [(int(k) - 1) * d + 1 for k, d in zip(weight.shape[:spatial], dilations, strict=True)]  # pyright: ignore
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
