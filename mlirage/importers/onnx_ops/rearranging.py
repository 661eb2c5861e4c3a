"""Rearrangements of images and sequences: depth and space, centred crops, columns to image, unpooling."""

from __future__ import annotations

from mlirage.importers.onnx_ops.registry import Node, onnx_op, pairs
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, scattering
from mlirage.input.builders import scalar as s


@onnx_op()
def DepthToSpace(node: Node, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    size = node.require("blocksize")
    if node.get("mode", "DCR") == "DCR":
        split = b.reshape(x, (n, size, size, c // (size * size), h, w))
        moved = b.transpose(split, [0, 3, 4, 1, 5, 2])
    else:
        split = b.reshape(x, (n, c // (size * size), size, size, h, w))
        moved = b.transpose(split, [0, 1, 4, 2, 5, 3])
    return b.reshape(moved, (n, c // (size * size), h * size, w * size))


@onnx_op()
def SpaceToDepth(node: Node, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    size = node.require("blocksize")
    split = b.reshape(x, (n, c, h // size, size, w // size, size))
    if node.get("mode", "DCR") == "DCR":
        moved = b.transpose(split, [0, 3, 5, 1, 2, 4])
    else:
        moved = b.transpose(split, [0, 1, 3, 5, 2, 4])
    return b.reshape(moved, (n, c * size * size, h // size, w // size))


@onnx_op()
def CenterCropPad(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    axes = [b.normalize_axis(a, x.rank) for a in node.get("axes", list(range(x.rank)))]
    low: list[Dim] = [0] * x.rank
    high: list[Dim] = [0] * x.rank
    for axis, wanted in zip(axes, shape.dims(), strict=True):
        extent = x.shape[axis]
        # Cropping removes floor(difference / 2) in front, padding adds floor(difference / 2) in front.
        more = wanted - extent
        front = b.dims.select("slt", more, 0, -((-more) // 2), more // 2)
        low[axis], high[axis] = front, more - front
    return b.pad(x, low, high, 0)


@onnx_op()
def Col2Im(node: Node, x: Tensor, image: Tensor, block: Tensor) -> Tensor:
    """Sums the columns of blocks back into an image: each pixel reads every block that covers it."""
    extents, kernel = image.dims(), block.dims()
    rank = len(kernel)
    dilations = node.get("dilations", [1] * rank)
    strides = node.get("strides", [1] * rank)
    low, high = pairs(node.get("pads", [0] * 2 * rank))
    counts = [
        (e + p + q - d * (k - 1) - 1) // stride + 1
        for e, k, p, q, d, stride in zip(extents, kernel, low, high, dilations, strides, strict=True)
    ]
    channels = x.shape[1] // b.product(kernel)
    columns = b.reshape(x, (x.shape[0], channels, *kernel, *counts))
    # Place every block element in a padded image, then cut the padding off.
    padded = [e + p + q for e, p, q in zip(extents, low, high, strict=True)]
    total = b.product(columns.shape)

    def coordinate(n: Scalar, axis: Scalar) -> Scalar:
        position = []
        for i in range(columns.rank):
            inner = b.dim_scalar(b.product(columns.shape[i + 1 :]))
            position.append((n / inner) % b.dim_scalar(columns.shape[i]))
        places = position[:2] + [
            position[2 + i] * dilations[i] + position[2 + rank + i] * strides[i] for i in range(rank)
        ]
        result = places[0]
        for i, place in enumerate(places):
            result = s.select(axis.eq(i), place, result)
        return s.cast(result, b.INT64)

    indices = b.tabulate([total, 2 + rank], b.INT64, coordinate)
    canvas = b.fill((x.shape[0], channels, *padded), 0, x.dtype)
    summed = scattering.scatter_nd(canvas, indices, b.reshape(columns, (total,)), lambda old, new: old + new)
    return b.slice_(summed, [0, 0, *low], [x.shape[0], channels, *extents])


@onnx_op()
def MaxUnpool(node: Node, x: Tensor, indices: Tensor, output_shape: Tensor | None = None) -> Tensor:
    kernel = node.require("kernel_shape")
    strides = node.get("strides", [1] * len(kernel))
    low, high = pairs(node.get("pads", [0] * 2 * len(kernel)))
    shape: list[Dim] = list(x.shape[:2])
    for d, k, stride, p, q in zip(x.shape[2:], kernel, strides, low, high, strict=True):
        shape.append((d - 1) * stride + k - p - q)
    inferred = tuple(shape)
    count = b.product(x.shape)
    flat = b.fill((b.product(inferred),), 0, x.dtype)
    places = b.reshape(indices, (count, 1))
    filled = b.reshape(scattering.scatter_nd(flat, places, b.reshape(x, (count,))), inferred)
    if output_shape is None:
        return filled
    wanted = output_shape.dims()
    return b.pad(filled, [0] * x.rank, [w - d for w, d in zip(wanted, inferred, strict=True)], 0)
