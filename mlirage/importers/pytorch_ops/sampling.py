"""Reading volumes at places that data says, and resizing with a filter against aliasing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops.registry import Dim, Op, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s

_ZEROS, _BORDER, _REFLECTION = range(3)


def _extent(dim: Dim, like: Scalar) -> Scalar:
    if isinstance(dim, int):
        return s.coerce(float(dim), like.dtype)
    return s.cast(s.cast(b.dim_scalar(dim), b.INT64), like.dtype)


def _place(at: Scalar, extent: Dim, padding: int, corners: bool) -> Scalar:
    """A coordinate from -1 … 1 as a position along an axis."""
    size = _extent(extent, at)
    position = (at + 1.0) * 0.5 * (size - 1.0) if corners else ((at + 1.0) * size - 1.0) * 0.5
    if padding == _REFLECTION:
        position = _reflected(position, size, corners)
    if padding in (_BORDER, _REFLECTION):
        position = s.maximum(s.minimum(position, size - 1.0), 0.0)
        position = s.select(s.is_nan(position), s.coerce(0.0, at.dtype), position)
    return position


def _reflected(x: Scalar, size: Scalar, corners: bool) -> Scalar:
    """Mirrored at the ends, as often as it takes: at the middles of the outer pixels, or at their edges."""
    low = s.coerce(0.0 if corners else -0.5, x.dtype)
    span = size - 1.0 if corners else size
    safe = s.select(span.eq(0.0), s.coerce(1.0, x.dtype), span)
    away = s.absolute(x - low)
    turns = s.floor(away / safe)
    rest = away - turns * safe
    even = (s.floor(turns * 0.5) * 2.0).eq(turns)
    return s.select(span.eq(0.0), s.coerce(0.0, x.dtype), s.select(even, rest + low, safe - rest + low))


@aten("grid_sampler_3d")
def grid_sampler_3d(op: Op, x: Tensor, grid: Tensor, mode: int, padding: int, corners: bool) -> Tensor:
    """grid [n, d, h, w, 3] holds coordinates, of the last axis first."""
    if mode not in (0, 1):
        raise NotImplementedError("grid_sampler_3d: only linear and nearest interpolation")
    spatial = x.shape[2:]

    def body(*position: Scalar) -> Scalar:
        n, c, *out = position
        coordinates = [
            s.read(grid, [n, *out, s.coerce(len(spatial) - 1 - axis, b.INDEX)]) for axis in range(len(spatial))
        ]
        places = [_place(at, d, padding, corners) for at, d in zip(coordinates, spatial, strict=True)]

        def element(at: Sequence[Scalar]) -> Scalar:
            """The pixel at whole positions, 0 outside."""
            inside: Scalar | None = None
            index: list[Scalar] = []
            for p, extent in zip(at, spatial, strict=True):
                good = (p >= 0.0) & (p < _extent(extent, p))
                inside = good if inside is None else inside & good
                held = s.select(good, p, s.coerce(0.0, p.dtype))
                index.append(s.cast(s.cast(held, b.INT64), b.INDEX))
            assert inside is not None
            value = s.read(x, [n, c, *index])
            return s.select(inside, value, s.coerce(0.0, value.dtype))

        if mode == 1:
            return element([s.round_even(p) for p in places])

        def mixed(axis: int, at: list[Scalar]) -> Scalar:
            if axis == len(places):
                return element(at)
            low = s.floor(places[axis])
            share = places[axis] - low
            rest = s.coerce(1.0, share.dtype) - share
            return mixed(axis + 1, [*at, low]) * rest + mixed(axis + 1, [*at, low + 1.0]) * share

        return mixed(0, [])

    if any(d == 0 for d in spatial):
        raise ValueError("grid_sampler_3d of a volume without elements")
    return b.tabulate((*x.shape[:2], *grid.shape[1:-1]), x.dtype, body)


def _triangle(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    x, a = np.abs(x), -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _weights(
    extent: int, size: int, factor: float | None, corners: bool, reach: int, shape: Callable[..., Any]
) -> np.ndarray[Any, Any]:
    """The matrix [size, extent] that resizes an axis: the filter, widened where the axis shrinks."""
    if corners:
        scale = (extent - 1) / (size - 1) if size > 1 else 0.0
    else:
        scale = 1 / factor if factor else extent / size
    support = reach * max(scale, 1.0)
    matrix = np.zeros((size, extent))
    for i in range(size):
        middle = scale * (i + 0.5)
        first, end = max(int(middle - support + 0.5), 0), min(int(middle + support + 0.5), extent)
        row = shape((np.arange(first, end) - middle + 0.5) / max(scale, 1.0))
        matrix[i, first:end] = row / row.sum() if row.sum() else row
    return matrix


def _resize(name: str, reach: int, shape: Callable[..., Any]) -> None:
    def resized(x: Tensor, size: Sequence[Dim], corners: bool, factors: Sequence[float | None]) -> Tensor:
        height, width = x.shape[2:]
        if not all(isinstance(d, int) for d in (height, width, *size)):
            raise NotImplementedError("resizing with antialiasing needs extents known at compile time")
        whole = b.is_integer(x.dtype)
        wide = b.FLOAT32 if whole else b.compute_dtype(x.dtype)

        def stored(y: Tensor) -> Tensor:
            """Bytes are rounded after each axis, as PyTorch does."""
            return b.map_(lambda a: s.clamp(s.floor(a + 0.5), 0.0, 255.0), y) if whole else y

        rows, columns = (
            Tensor.of(_weights(d, n, f, corners, reach, shape).astype(wide), name="resize_weights")  # pyright: ignore
            for d, n, f in zip((height, width), size, factors, strict=True)
        )
        across = stored(b.matmul(b.cast(x, wide), b.transpose(columns, [1, 0])))
        down = stored(b.matmul(b.broadcast_to(rows, (*x.shape[:2], *rows.shape)), across))
        return b.cast(down, x.dtype)

    @aten(name)
    def function(op: Op, x: Tensor, size: Sequence[Dim], corners: bool, *factors: float | None) -> Tensor:
        return resized(x, size, corners, ([*factors, None, None])[:2])

    @aten(f"{name}.vec")
    def from_vector(op: Op, x: Tensor, size: Any, corners: bool, factors: Any) -> Tensor:
        sizes = size or [int(d * f) for d, f in zip(x.shape[2:], factors, strict=True)]  # pyright: ignore
        return resized(x, sizes, corners, factors or [None, None])


_resize("_upsample_bilinear2d_aa", 1, _triangle)
_resize("_upsample_bicubic2d_aa", 2, _cubic)
