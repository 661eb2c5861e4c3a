"""Resizing images."""

from __future__ import annotations

import numpy as np

from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.importers.tflite_ops.windows import to_nearest
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def _form(node: Node, x: Tensor, size: Tensor) -> tuple[list[Dim], bool, bool]:
    corners, centers = bool(node.option("AlignCorners", False)), bool(node.option("HalfPixelCenters", False))
    if x.rank != 4:
        raise ValueError(f"input {list(x.shape)}")
    return size.dims(), corners, centers


def _number(dim: Dim, dtype: b.DType) -> Scalar:
    return s.coerce(dim, dtype) if isinstance(dim, int) else s.cast(s.cast(b.dim_scalar(dim), b.INT64), dtype)


def _scale(extent: Dim, wanted: Dim, corners: bool) -> Scalar:
    """Input positions per output position, f32."""
    plain = _number(extent, b.FLOAT32) / _number(wanted, b.FLOAT32)
    if not corners:
        return plain
    several = s.coerce(wanted > 1, b.BOOL) if isinstance(wanted, int) else b.dim_scalar(wanted) > 1
    inner = _number(extent - 1, b.FLOAT32) / s.maximum(_number(wanted - 1, b.FLOAT32), 1.0)
    return s.select(several, inner, plain)


@tflite_op
def RESIZE_NEAREST_NEIGHBOR(node: Node, x: Tensor, size: Tensor) -> Tensor:
    out, corners, centers = _form(node, x, size)

    def nearest(position: Scalar, extent: Dim, wanted: Dim) -> Scalar:
        place = (s.cast(position, b.FLOAT32) + (0.5 if centers else 0.0)) * _scale(extent, wanted, corners)
        place = to_nearest(place) if corners else s.floor(place)
        return s.clamp(s.cast(s.cast(place, b.INT32), b.INDEX), 0, b.dim_scalar(extent) - 1)

    def body(n: Scalar, y: Scalar, z: Scalar, c: Scalar) -> Scalar:
        return s.read(x, [n, nearest(y, x.shape[1], out[0]), nearest(z, x.shape[2], out[1]), c])

    return b.tabulate((x.shape[0], *out, x.shape[3]), x.dtype, body)


@tflite_op
def RESIZE_BILINEAR(node: Node, x: Tensor, size: Tensor) -> Tensor:
    if x.dtype in (b.INT8, np.dtype(np.int16)):
        return _bilinear_integer(node, x, size)
    out, corners, centers = _form(node, x, size)

    def bounds(position: Scalar, extent: Dim, wanted: Dim) -> tuple[Scalar, Scalar, Scalar]:
        place, scale = s.cast(position, b.FLOAT32), _scale(extent, wanted, corners)
        place = (place + 0.5) * scale - 0.5 if centers else place * scale
        last = b.dim_scalar(extent) - 1
        low = s.cast(s.cast(s.floor(place), b.INT32), b.INDEX)
        high = s.cast(s.cast(s.ceil(place), b.INT32), b.INDEX)
        low, high = s.clamp(s.maximum(low, 0), 0, last), s.clamp(s.minimum(high, last), 0, last)
        return place - s.cast(s.cast(low, b.INT64), b.FLOAT32), low, high

    def body(n: Scalar, y: Scalar, z: Scalar, c: Scalar) -> Scalar:
        dy, y0, y1 = bounds(y, x.shape[1], out[0])
        dx, x0, x1 = bounds(z, x.shape[2], out[1])
        one = s.coerce(1.0, b.FLOAT32)

        def at(p: Scalar, q: Scalar) -> Scalar:
            return s.cast(s.read(x, [n, p, q, c]), b.FLOAT32)

        total = at(y0, x0) * (one - dy) * (one - dx) + at(y1, x0) * dy * (one - dx)
        total = total + at(y0, x1) * (one - dy) * dx + at(y1, x1) * dy * dx
        return s.cast(total if b.is_float(x.dtype) else total + 0.5, b.compute_dtype(x.dtype))

    return b.tabulate((x.shape[0], *out, x.shape[3]), x.dtype, body)


def _bilinear_integer(node: Node, x: Tensor, size: Tensor) -> Tensor:
    """Positions in 1/1024 of a pixel; weights are integers, the sum is rounded half away from zero."""
    out, corners, centers = _form(node, x, size)
    wide = b.INT64

    def bounds(position: Scalar, extent: Dim, wanted: Dim) -> tuple[Scalar, Scalar, Scalar]:
        e, w = _number(extent, wide), _number(wanted, wide)
        scale = (e * 1024 + w / 2) / w
        if corners:
            inner = ((e - 1) * 1024 + (w - 1) / 2) / s.maximum(w - 1, 1)
            scale = s.select(w > 1, inner, scale)
        place = s.cast(position, wide) * scale
        place = place + scale / 2 - 512 if centers else place
        low = s.maximum(place / 1024, 0)
        high = s.minimum((place + 1023) / 1024, e - 1)
        return place - low * 1024, s.clamp(low, 0, e - 1), s.clamp(high, 0, e - 1)

    def body(n: Scalar, y: Scalar, z: Scalar, c: Scalar) -> Scalar:
        dy, y0, y1 = bounds(y, x.shape[1], out[0])
        dx, x0, x1 = bounds(z, x.shape[2], out[1])

        def at(p: Scalar, q: Scalar) -> Scalar:
            return s.cast(s.read(x, [n, s.cast(p, b.INDEX), s.cast(q, b.INDEX), c]), wide)

        total = at(y0, x0) * (-dy + 1024) * (-dx + 1024) + at(y1, x0) * dy * (-dx + 1024)
        total = total + at(y0, x1) * (-dy + 1024) * dx + at(y1, x1) * dy * dx
        half = s.select(total > 0, s.coerce(1 << 19, wide), -(1 << 19))
        return s.cast((total + half) / (1 << 20), x.dtype)

    return b.tabulate((x.shape[0], *out, x.shape[3]), x.dtype, body)
