"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.fixed_point import quantize_multiplier, saturated, scaled
from mlirage.importers.tflite_ops.registry import Node, static_ints, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def _axes(node: Node, x: Tensor, axes: Tensor) -> tuple[list[int], bool]:
    places = sorted({b.normalize_axis(a, x.rank) for a in static_ints(axes, "axes")}) if x.rank else []
    return places, bool(node.option("KeepDims", False))


def _fewer(node: Node, x: Tensor, axes: Tensor, reduce: Callable[..., Tensor]) -> Tensor:
    places, keep = _axes(node, x, axes)
    return reduce(x, places, keep) if places else x


@tflite_op
def SUM(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    if not node.is_quantized():
        return _fewer(node, x, axes, b.sum_)
    places, keep = _axes(node, x, axes)
    source, target = node.quantization(), node.output_quantization()
    factor = quantize_multiplier(float(source.scale) / float(target.scale))
    total = _integer_sum(x, places, keep)
    count = b.cast(Tensor.of_dims(_scalar(b.product(x.shape[i] for i in places))), b.INT32)

    def body(a: Scalar, n: Scalar) -> Scalar:
        return saturated(scaled(a - n * source.zero_point, *factor), target.zero_point, x.dtype)

    return b.map_(body, total, count, dtype=x.dtype, shape=total.shape)


def _integer_sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return b.reduce_(lambda t, a: t + s.cast(a, b.INT32), 0, [x], axes, b.INT32, keep)


def _scalar(dim: Dim) -> Any:
    array = np.empty((), object)
    array[()] = dim
    return array


@tflite_op
def MEAN(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    if not node.is_quantized():
        if b.is_float(x.dtype):
            return _fewer(node, x, axes, b.mean)
        return _fewer(node, x, axes, _integer_mean)
    places, keep = _axes(node, x, axes)
    source, target = node.quantization(), node.output_quantization()
    number = b.product(x.shape[i] for i in places)
    if not isinstance(number, int):
        raise NotImplementedError("MEAN of integers over an axis whose extent is not known")
    if not number:
        raise ValueError("MEAN over nothing")
    multiplier, shift = quantize_multiplier(float(source.scale) / float(target.scale))
    # The division by the number of elements goes into the multiplier.
    more = min(number.bit_length() - 1, 32, 31 + shift)
    multiplier, shift = (multiplier << more) // number, shift - more
    total = _integer_sum(x, places, keep)

    def body(a: Scalar) -> Scalar:
        return saturated(scaled(a - number * source.zero_point, multiplier, shift), target.zero_point, x.dtype)

    return b.map_(body, total, dtype=x.dtype)


def _integer_mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    total = b.reduce_(lambda t, a: t + s.cast(a, b.INT64), 0, [x], axes, b.INT64, keep)
    return b.cast(b.divide_by_count(total, b.count(x, axes)), x.dtype)


@tflite_op
def REDUCE_PROD(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    if not node.is_quantized():
        return _fewer(node, x, axes, b.prod)
    places, keep = _axes(node, x, axes)
    source, target = node.quantization(), node.output_quantization()
    number = b.product(x.shape[i] for i in places)
    if not isinstance(number, int) or not number:
        raise NotImplementedError("REDUCE_PROD of integers over an axis whose extent is not known, or 0")
    # Each product is scaled, so that the sums of the exponents come out right; the order matters.
    factor = quantize_multiplier(float(source.scale) / float(target.scale) ** (1.0 / number))
    front = [i for i in range(x.rank) if i not in places]
    rows = b.reshape(b.transpose(x, [*front, *places]), [b.product(x.shape[i] for i in front), number])
    total = b.map_(lambda a: s.cast(a, b.INT32) - source.zero_point, b.slice_axis(rows, 1, 0, 1), dtype=b.INT32)
    for i in range(1, number):
        total = b.map_(
            lambda t, a: scaled(t * (s.cast(a, b.INT32) - source.zero_point), *factor),
            total,
            b.slice_axis(rows, 1, i, 1),
            dtype=b.INT32,
        )
    result = b.map_(lambda t: saturated(scaled(t, *factor), target.zero_point, x.dtype), total, dtype=x.dtype)
    return b.reshape(result, [1 if i in places else d for i, d in enumerate(x.shape) if keep or i not in places])


@tflite_op
def REDUCE_MAX(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    return _fewer(node, x, axes, b.amax)


@tflite_op
def REDUCE_MIN(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    return _fewer(node, x, axes, b.amin)


@tflite_op
def REDUCE_ANY(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    return _fewer(node, x, axes, b.amax)


@tflite_op
def REDUCE_ALL(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    return _fewer(node, x, axes, b.amin)
