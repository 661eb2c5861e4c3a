"""Convolutions, channels last. Those of integers are exact sums in i32 or i64 that are scaled afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.importers.tflite_ops.windows import (
    accumulator,
    centered,
    finish_float,
    finish_integer,
    folded_bias,
    is_hybrid,
    pads,
    product_factors,
    quantized_rows,
    signed,
)
from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.input.builders.contraction import zeros
from mlirage.mlir import linalg


def _extents(x: Tensor, kernel: Sequence[Dim], strides: Sequence[int], dilations: Sequence[int]) -> list[Dim]:
    """Numbers of windows.

    Raises:
      ValueError: the window is larger than the padded input.
    """
    found = [
        b.window_extent(d, k, stride, dilation)
        for d, k, stride, dilation in zip(x.shape[1:-1], kernel, strides, dilations, strict=True)
    ]
    if any(isinstance(d, int) and d < 0 for d in found):
        raise ValueError(f"the window {list(kernel)} is larger than the padded input {list(x.shape)}")
    return found


def _conv(x: Tensor, weight: Tensor, strides: Sequence[int], dilations: Sequence[int], dtype: DType) -> Tensor:
    """x [n, h, w, c] with weight [f, h, w, c / groups]."""
    depth, filters = x.shape[3], weight.shape[0]
    if not all(isinstance(d, int) for d in (depth, *weight.shape)):
        raise ValueError(f"channels of input {list(x.shape)} and filters {list(weight.shape)} must be known")
    if weight.shape[3] == 0 or depth % weight.shape[3]:
        raise ValueError(f"{depth} channels, filters for {weight.shape[3]}")
    groups = depth // weight.shape[3]
    spatial = _extents(x, weight.shape[1:3], strides, dilations)
    if groups == 1:
        shape = (x.shape[0], *spatial, filters)
        value = linalg.conv_2d_nhwc_fhwc(
            x.value, weight.value, outs=[zeros(shape, dtype)], strides=list(strides), dilations=list(dilations)
        )
        return Tensor(shape, dtype, value=value)
    if filters % groups:
        raise ValueError(f"{filters} filters in {groups} groups")
    shape = (x.shape[0], *spatial, groups, filters // groups)
    parts = b.reshape(x, (*x.shape[:3], groups, weight.shape[3]))
    kernel = b.reshape(weight, (groups, filters // groups, *weight.shape[1:]))
    value = linalg.conv_2d_nhwgc_gfhwc(
        parts.value, kernel.value, outs=[zeros(shape, dtype)], strides=list(strides), dilations=list(dilations)
    )
    return b.reshape(Tensor(shape, dtype, value=value), (*shape[:3], filters))


def _depthwise(x: Tensor, weight: Tensor, strides: Sequence[int], dilations: Sequence[int], dtype: DType) -> Tensor:
    """x [n, h, w, c] with weight [1, h, w, c · m]."""
    depth, filters = x.shape[3], weight.shape[3]
    if (
        not isinstance(depth, int)
        or depth == 0
        or not isinstance(filters, int)
        or filters % depth
        or weight.shape[0] != 1
    ):
        raise ValueError(f"filters {list(weight.shape)} for input {list(x.shape)}")
    spatial = _extents(x, weight.shape[1:3], strides, dilations)
    if filters == depth:
        shape = (x.shape[0], *spatial, depth)
        value = linalg.depthwise_conv_2d_nhwc_hwc(
            x.value,
            b.reshape(weight, weight.shape[1:]).value,
            outs=[zeros(shape, dtype)],
            strides=list(strides),
            dilations=list(dilations),
        )
        return Tensor(shape, dtype, value=value)
    shape = (x.shape[0], *spatial, depth, filters // depth)
    value = linalg.depthwise_conv_2d_nhwc_hwcm(
        x.value,
        b.reshape(weight, (*weight.shape[1:3], depth, filters // depth)).value,
        outs=[zeros(shape, dtype)],
        strides=list(strides),
        dilations=list(dilations),
    )
    return b.reshape(Tensor(shape, dtype, value=value), (*shape[:3], filters))


def _windowed(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None, depthwise: bool) -> Tensor:
    if x.rank != 4 or weight.rank != 4:
        raise ValueError(f"input {list(x.shape)} and filters {list(weight.shape)} must have 4 axes")
    strides = [node.option("StrideH", 1), node.option("StrideW", 1)]
    dilations = [node.option("DilationHFactor", 1), node.option("DilationWFactor", 1)]
    low, high = pads(node, x.shape[1:3], weight.shape[1:3], strides, dilations)
    run = _depthwise if depthwise else _conv
    axes = (0, 1, 2) if depthwise else (1, 2, 3)

    def padded(a: Tensor, value: Any) -> Tensor:
        return b.pad(a, [0, *low, 0], [0, *high, 0], value)

    if is_hybrid(node, x, 1):
        return _hybrid(node, x, weight, bias, lambda a, z, w: run(padded(a, z), w, strides, dilations, b.INT32))
    if not node.is_quantized():
        wide = b.compute_dtype(x.dtype)
        total = run(padded(x, 0), b.cast(weight, x.dtype), strides, dilations, wide)
        return b.cast(finish_float(node, total, None if bias is None else b.cast(bias, wide)), x.dtype)
    dtype = accumulator(x, bias)
    per_channel = x.dtype != b.UINT8
    factors = product_factors(node, 0, 1, per_channel)
    x, zero = signed(x, node.quantization(0).zero_point)
    kernel = centered(weight, node.quantization(1).zero_point)
    total = run(padded(x, zero), kernel, strides, dilations, dtype)
    return finish_integer(node, total, folded_bias(kernel, axes, zero, bias, dtype), factors)


def _hybrid(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None, run: Any) -> Tensor:
    """Real activations, quantized for each image; sums in i32 on the scales of image and filter."""
    rows, scale, zero = quantized_rows(b.flatten(x, 1), asymmetric=True)
    assert zero is not None
    image = b.reshape(rows, x.shape)
    # The zero point differs from image to image, so that padding cannot hold it: take it from the numbers instead.
    wide = b.map_(
        lambda a, z: s.cast(s.cast(a, b.INT32) - z, _INT16),
        image,
        b.reshape(zero, (x.shape[0], 1, 1, 1)),
        dtype=_INT16,
    )
    total = run(wide, 0, centered(weight, 0))
    weights = node.quantization(1)
    factors = Tensor.of(weights.scales, name="filter_scales")

    def body(a: Scalar, k: Scalar, f: Scalar) -> Scalar:
        return s.cast(a, b.FLOAT32) * k * f

    result = b.map_(body, total, b.reshape(scale, (x.shape[0], 1, 1, 1)), factors, dtype=b.FLOAT32, shape=total.shape)
    return finish_float(node, result, bias)


_INT16 = np.dtype(np.int16)


@tflite_op
def CONV_2D(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _windowed(node, x, weight, bias, depthwise=False)


@tflite_op
def DEPTHWISE_CONV_2D(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _windowed(node, x, weight, bias, depthwise=True)


def _spread(
    node: Node, x: Tensor, kernel: Sequence[Dim], out: Sequence[Dim], strides: Sequence[int], zero: int
) -> Tensor:
    """`x` with its elements `strides` apart and padding around it, over which the turned filters slide one by one."""
    low: list[Dim] = []
    high: list[Dim] = []
    reach: list[Dim] = []
    for extent, k, wanted, stride in zip(x.shape[1:-1], kernel, out, strides, strict=True):
        count = b.dims.ceiling_quotient(wanted if node.option("Padding") == 0 else wanted - k + 1, stride)
        before = b.dims.maximum((count - 1) * stride + k - wanted, 0) // 2
        reach.append((extent - 1) * stride + 1)
        low.append(k - 1 - before)
        high.append(wanted - reach[-1] - low[-1] + k - 1)
    if any(stride != 1 for stride in strides):
        target = b.fill((x.shape[0], *reach, x.shape[-1]), zero, x.dtype)
        x = b.insert_slice(x, target, [0] * x.rank, [1, *strides, 1])
    return b.pad(x, [0, *low, 0], [0, *high, 0], zero)


@tflite_op
def TRANSPOSE_CONV(node: Node, shape: Tensor, weight: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    strides = [node.option("StrideH", 1), node.option("StrideW", 1)]
    if any(stride < 1 for stride in strides) or x.rank != 4 or weight.rank != 4:
        raise ValueError(f"strides {strides}, input {list(x.shape)}, filters {list(weight.shape)}")
    out = shape.dims()[1:3]
    turned = _turned(weight, (1, 2))
    if is_hybrid(node, x, 1):

        def run(image: Tensor, padding: int, kernel: Tensor) -> Tensor:
            spread = _spread(node, image, weight.shape[1:3], out, strides, padding)
            return _conv(spread, kernel, [1, 1], [1, 1], b.INT32)

        return _hybrid(node, x, turned, bias, run)
    if not b.is_float(x.dtype):
        dtype = accumulator(x, bias)
        factors = product_factors(node, 2, 1, x.dtype != b.UINT8)
        x, zero = signed(x, node.quantization(2).zero_point)
        kernel = centered(turned, node.quantization(1).zero_point)
        total = _conv(_spread(node, x, weight.shape[1:3], out, strides, zero), kernel, [1, 1], [1, 1], dtype)
        return finish_integer(node, total, folded_bias(kernel, (1, 2, 3), zero, bias, dtype), factors)
    total = _conv(
        _spread(node, x, weight.shape[1:3], out, strides, 0), turned, [1, 1], [1, 1], b.compute_dtype(x.dtype)
    )
    return finish_float(node, total, bias)


def _turned(weight: Tensor, axes: Sequence[int]) -> Tensor:
    if weight.known is not None:
        return Tensor.of(np.ascontiguousarray(np.flip(weight.known, tuple(axes))), name=weight.name)
    return b.reverse(weight, axes)


def _conv_3d(x: Tensor, weight: Tensor, strides: Sequence[int], dilations: Sequence[int]) -> Tensor:
    """x [n, d, h, w, c] with weight [d, h, w, c, f]."""
    b.TensorBuilder.current().require_equal(x.shape[4], weight.shape[3], "channels of input and filters differ")
    shape = (x.shape[0], *_extents(x, weight.shape[:3], strides, dilations), weight.shape[4])
    value = linalg.conv_3d_ndhwc_dhwcf(
        x.value, weight.value, outs=[zeros(shape, x.dtype)], strides=list(strides), dilations=list(dilations)
    )
    return Tensor(shape, x.dtype, value=value)


@tflite_op
def CONV_3D(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    strides = [node.option(f"Stride{a}", 1) for a in "DHW"]
    dilations = [node.option(f"Dilation{a}Factor", 1) for a in "DHW"]
    if x.rank != 5 or weight.rank != 5 or not b.is_float(x.dtype):
        raise ValueError(f"input {x} and filters {weight}: 5 axes of real numbers are needed")
    low, high = pads(node, x.shape[1:4], weight.shape[:3], strides, dilations)
    return finish_float(node, _conv_3d(b.pad(x, [0, *low, 0], [0, *high, 0], 0), weight, strides, dilations), bias)


@tflite_op
def CONV_3D_TRANSPOSE(node: Node, shape: Tensor, weight: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    strides = [node.option(f"Stride{a}", 1) for a in "DHW"]
    if x.rank != 5 or weight.rank != 5 or not b.is_float(x.dtype):
        raise ValueError(f"input {x} and filters {weight}: 5 axes of real numbers are needed")
    out = shape.dims()[1:4]
    turned = b.transpose(_turned(weight, (0, 1, 2)), [0, 1, 2, 4, 3])
    return finish_float(
        node, _conv_3d(_spread(node, x, weight.shape[:3], out, strides, 0), turned, [1] * 3, [1] * 3), bias
    )
