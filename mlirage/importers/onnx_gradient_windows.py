"""Rules of gradients (onnx_gradient.py) for windows, normalizations, extremes, and what only moves elements.

A convolution's gradients are convolutions: by its input a transposed one, by its weights one whose strides are the
dilations. What only moves elements is applied to their numbers; the gradient is added up at those places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from mlirage.importers.onnx_gradient import Tape, rule

_MOVING = (
    "DepthToSpace", "Gather", "GatherElements", "GatherND", "Pad", "ReverseSequence", "Slice", "SpaceToDepth", "Tile",
    "Trilu",
)  # fmt: skip


def _static(tape: Tape, name: str, axes: slice = slice(2, None)) -> list[int]:
    """Extents of a tensor, which must be known.

    Raises:
      NotImplementedError: they are not.
    """
    extents = list(tape.tensor(name).shape[axes])
    if not all(isinstance(extent, int) for extent in extents):
        raise NotImplementedError(f"the gradient of a window over {name!r}, whose extents only a run knows")
    return [int(extent) for extent in extents]  # pyright: ignore[reportArgumentType]


def _geometry(
    tape: Tape, settings: dict[str, Any], extents: Sequence[int], kernel: Sequence[int]
) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations, and paddings of every axis, low ones first."""
    rank = len(extents)
    strides = list(settings.get("strides") or [1] * rank)
    dilations = list(settings.get("dilations") or [1] * rank)
    pads = list(settings.get("pads") or [0] * 2 * rank)
    automatic = settings.get("auto_pad", "NOTSET")
    if automatic == "VALID":
        pads = [0] * 2 * rank
    elif automatic in ("SAME_UPPER", "SAME_LOWER"):
        low, high = [], []
        for extent, k, s, d in zip(extents, kernel, strides, dilations, strict=True):
            total = max((-(-extent // s) - 1) * s + (k - 1) * d + 1 - extent, 0)
            small, large = total // 2, total - total // 2
            low.append(small if automatic == "SAME_UPPER" else large)
            high.append(total - low[-1])
        pads = [*low, *high]
    return strides, dilations, pads


def _by_weights(
    tape: Tape, x: str, g: str, kernel: Sequence[int], group: int, geometry: tuple[list[int], list[int], list[int]]
) -> str:
    """Of y = Conv(x, w): the gradient by w, a convolution of x with g over batches in place of channels."""
    strides, dilations, pads = geometry
    rank = len(kernel)
    batch, channels = _static(tape, x, slice(0, 2))
    inner = list(range(2, 2 + rank))
    # [n, G * i, …] as [i, G * n, …].
    split = tape.op("Reshape", x, tape.op("Concat", tape.constant([batch, group, channels // group]),
                    tape.op("Shape", x, start=2), axis=0))  # fmt: skip
    turned = tape.op("Transpose", split, perm=[2, 1, 0, *range(3, 3 + rank)])
    image = tape.op("Reshape", turned, tape.op("Concat", tape.constant([channels // group, group * batch]),
                    tape.op("Shape", x, start=2), axis=0))  # fmt: skip
    weights = tape.op("Transpose", g, perm=[1, 0, *inner])
    found = tape.op("Conv", image, weights, strides=dilations, dilations=strides, pads=pads, group=group)
    axes = tape.constant(inner)
    found = tape.op("Slice", found, tape.constant([0] * rank), tape.constant(list(kernel)), axes)
    return tape.op("Transpose", found, perm=[1, 0, *inner])


@rule("Conv")
def _conv(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x, w = node.input[:2]
    settings = tape.attributes(node)
    kernel, extents, made = _static(tape, w), _static(tape, x), _static(tape, g)
    group = settings.get("group", 1)
    geometry = strides, dilations, pads = _geometry(tape, settings, extents, kernel)
    rank = len(kernel)
    missing = [
        extents[i] - ((made[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] - pads[i + rank])
        for i in range(rank)
    ]
    by_x = tape.op(
        "ConvTranspose", g, w, strides=strides, dilations=dilations, pads=pads, group=group, output_padding=missing
    )
    parts: list[str | None] = [by_x, _by_weights(tape, x, g, kernel, group, geometry)]
    if len(node.input) > 2:
        parts.append(_over_channels(tape, g))
    return parts


@rule("ConvTranspose")
def _conv_transpose(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x, w = node.input[:2]
    settings = tape.attributes(node)
    if "output_shape" in settings or settings.get("auto_pad", "NOTSET") != "NOTSET":
        raise NotImplementedError("the gradient of a ConvTranspose with auto_pad or output_shape: write its pads")
    kernel, extents = _static(tape, w), _static(tape, x)
    group = settings.get("group", 1)
    geometry = strides, dilations, pads = _geometry(tape, settings, _static(tape, g), kernel)
    by_x = tape.op("Conv", g, w, strides=strides, dilations=dilations, pads=pads, group=group)
    limits = tape.constant(extents)
    axes = tape.constant(list(range(2, 2 + len(extents))))
    by_x = tape.op("Slice", by_x, tape.constant([0] * len(extents)), limits, axes)
    parts: list[str | None] = [by_x, _by_weights(tape, g, x, kernel, group, geometry)]
    if len(node.input) > 2:
        parts.append(_over_channels(tape, g))
    return parts


def _over_channels(tape: Tape, g: str) -> str:
    """The sum of everything but channels."""
    axes = [0, *range(2, tape.tensor(g).rank)]
    return tape.op("ReduceSum", g, tape.constant(axes), keepdims=0)


@rule("AveragePool")
def _average_pool(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x = node.input[0]
    settings = tape.attributes(node)
    kernel = settings["kernel_shape"]
    extents, made = _static(tape, x), _static(tape, g)
    channels = _static(tape, x, slice(1, 2))[0]
    strides, dilations, pads = _geometry(tape, settings, extents, kernel)
    rank = len(kernel)
    if settings.get("ceil_mode", 0):
        raise NotImplementedError("the gradient of an AveragePool with ceil_mode")
    one = np.ones((1, 1, *kernel))
    if settings.get("count_include_pad", 0):
        share = tape.op("Div", g, tape.constant(float(np.prod(kernel)), g))
    else:
        whole = tape.constant(np.ones((1, 1, *extents)), g)
        counts = tape.op("Conv", whole, tape.constant(one, g), strides=strides, dilations=dilations, pads=pads)
        share = tape.op("Div", g, counts)
    missing = [
        extents[i] - ((made[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] - pads[i + rank])
        for i in range(rank)
    ]
    weights = tape.constant(np.ones((channels, 1, *kernel)), g)
    return [
        tape.op(
            "ConvTranspose", share, weights, strides=strides, dilations=dilations, pads=pads, group=channels,
            output_padding=missing,
        )
    ]  # fmt: skip


@rule("MaxPool")
def _max_pool(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    """What each window took its value from is the operator's own second output."""
    if tape.attributes(node).get("storage_order", 0):
        raise NotImplementedError("the gradient of a MaxPool with indices in column-major order")
    _, places = tape.ops("MaxPool", 2, *node.input, **tape.attributes(node))
    return [_added_at(tape, node.input[0], places, g)]


def _added_at(tape: Tape, x: str, places: str, g: str) -> str:
    """Zeros like `x` with `g` added at places, which count its elements; what is at -1 is dropped."""
    flat = tape.constant([-1])
    size = tape.op("Reshape", tape.op("Size", x), tape.constant([1]))
    one = tape.constant([1])
    zero = numpy_helper.from_array(np.zeros(1, tape.tensor(g).dtype))
    zeros = tape.op("ConstantOfShape", tape.op("Add", size, one), value=zero)
    at = tape.op("Reshape", places, flat)
    at = tape.op("Where", tape.op("Less", at, tape.constant(0)), size, at)
    total = tape.op("ScatterElements", zeros, at, tape.op("Reshape", g, flat), reduction="add", axis=0)
    total = tape.op("Slice", total, tape.constant([0]), size)
    return tape.op("Reshape", total, tape.op("Shape", x), allowzero=1)


@rule(*_MOVING)
def _moved(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    """The elements' numbers go the same way; numbers begin at 1, for padding and triangles leave zeros."""
    x, *others = node.input
    settings = tape.attributes(node)
    if node.op_type == "Pad":  # with zeros, whatever the value
        settings.pop("value", None)
        others = [*others[:1], *("" for _ in others[1:2]), *others[2:]]
    size = tape.op("Size", x)
    numbers = tape.op("Range", tape.constant(1), tape.op("Add", size, tape.constant(1)), tape.constant(1))
    numbers = tape.op("Reshape", numbers, tape.op("Shape", x), allowzero=1)
    gone = tape.as_written(node.op_type, numbers, *others, **settings)
    places = tape.op("Sub", gone, tape.constant(1))
    return [_added_at(tape, x, places, g), *[None] * len(others)]


@rule("GlobalAveragePool")
def _global_average_pool(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x = node.input[0]
    count = tape.op("CastLike", tape.op("Div", tape.op("Size", x), tape.op("Size", g)), g)
    return [tape.op("Expand", tape.op("Div", g, count), tape.op("Shape", x))]


@rule("GlobalMaxPool", "ReduceMax", "ReduceMin")
def _extreme(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    """Equal extremes share."""
    x, y = node.input[0], node.output[0]
    rank = tape.tensor(x).rank
    axes = list(range(2, rank)) if node.op_type == "GlobalMaxPool" else tape.axes(node, rank)
    if node.op_type != "GlobalMaxPool" and not tape.attributes(node).get("keepdims", 1) and axes:
        g, y = (tape.op("Unsqueeze", name, tape.constant(axes)) for name in (g, y))
    met = tape.op("CastLike", tape.op("Equal", x, y), g)
    count = tape.op("ReduceSum", met, tape.constant(axes), keepdims=1) if axes else met
    return [tape.op("Mul", met, tape.op("Div", g, count)), *[None] * (len(node.input) - 1)]


@rule("Max", "Min")
def _largest(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    """Equal inputs share."""
    met = [tape.op("CastLike", tape.op("Equal", name, node.output[0]), g) for name in node.input]
    count = tape.op("Sum", *met)
    share = tape.op("Div", g, count)
    return [tape.like(tape.op("Mul", share, m), name) for m, name in zip(met, node.input, strict=True)]


@rule("Clip")
def _clip(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    inside = tape.op("CastLike", tape.op("Equal", node.input[0], node.output[0]), g)
    return [tape.op("Mul", g, inside), *[None] * (len(node.input) - 1)]


@rule("BatchNormalization")
def _batch_normalization(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x, scale, _, mean, variance = node.input
    settings = tape.attributes(node)
    rank = tape.tensor(x).rank
    others = [0, *range(2, rank)]
    epsilon = settings.get("epsilon", 1e-5)
    batch = settings.get("training_mode", 0)
    if batch:
        mean = tape.op("ReduceMean", x, axes=others, keepdims=1)
        centred = tape.op("Sub", x, mean)
        variance = tape.op("ReduceMean", tape.op("Mul", centred, centred), axes=others, keepdims=1)
    places = tape.constant([a - 1 for a in range(2, rank)])

    def over_channels(name: str) -> str:
        return tape.op("Unsqueeze", name, places) if rank > 2 else name

    factor = over_channels(scale)
    if not batch:
        mean, variance = over_channels(mean), over_channels(variance)
    inverse = tape.op("Reciprocal", tape.op("Sqrt", tape.op("Add", variance, tape.constant(epsilon, x))))
    normal = tape.op("Mul", tape.op("Sub", x, mean), inverse)
    moved = tape.op("Mul", g, factor)
    by_scale = _over_channels(tape, tape.op("Mul", g, normal))
    if batch:
        return [
            _through_statistics(tape, moved, normal, inverse, others),
            by_scale,
            _over_channels(tape, g),
            None,
            None,
        ]
    by_x = tape.op("Mul", moved, inverse)
    half = tape.op("Mul", tape.constant(-0.5, x), tape.op("Mul", inverse, inverse))
    by_variance = _over_channels(tape, tape.op("Mul", tape.op("Mul", moved, normal), half))
    return [by_x, by_scale, _over_channels(tape, g), tape.op("Neg", _over_channels(tape, by_x)), by_variance]


def _through_statistics(tape: Tape, g: str, normal: str, inverse: str, axes: Sequence[int]) -> str:
    """Of (x - mean(x)) / sqrt(var(x) + ε) by x."""
    mean = tape.op("ReduceMean", g, axes=list(axes), keepdims=1)
    along = tape.op("ReduceMean", tape.op("Mul", g, normal), axes=list(axes), keepdims=1)
    return tape.op("Mul", inverse, tape.op("Sub", tape.op("Sub", g, mean), tape.op("Mul", normal, along)))


@rule("InstanceNormalization", "LayerNormalization")
def _own_statistics(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x, scale, *bias = node.input
    settings = tape.attributes(node)
    rank = tape.tensor(x).rank
    if node.op_type == "LayerNormalization":
        axes = list(range(settings.get("axis", -1) % rank, rank))
        factor = scale
    else:
        axes = list(range(2, rank))
        factor = tape.op("Unsqueeze", scale, tape.constant([a - 1 for a in axes])) if axes else scale
    mean = tape.op("ReduceMean", x, axes=axes, keepdims=1)
    centred = tape.op("Sub", x, mean)
    variance = tape.op("ReduceMean", tape.op("Mul", centred, centred), axes=axes, keepdims=1)
    epsilon = tape.constant(settings.get("epsilon", 1e-5), x)
    inverse = tape.op("Reciprocal", tape.op("Sqrt", tape.op("Add", variance, epsilon)))
    normal = tape.op("Mul", centred, inverse)
    by_x = _through_statistics(tape, tape.op("Mul", g, factor), normal, inverse, axes)
    by_scale = tape.like(tape.op("Mul", g, normal), factor)
    by_bias = tape.like(g, factor)
    if factor != scale:
        by_scale, by_bias = (tape.op("Reshape", name, tape.op("Shape", scale)) for name in (by_scale, by_bias))
    return [by_x, by_scale, by_bias if bias and bias[0] else None]
