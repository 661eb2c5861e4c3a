"""Fourier transforms: the builders', or products with tables where a length is only known when the program runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlirage.importers.pytorch_ops.registry import Dim, Op, aten
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.input.builders.fourier import fourier, inverse_real_fourier, real_fourier

_Parts = tuple[Tensor, Tensor]  # real and imaginary


def _by_table(x: Tensor, axis: int, inverse: bool) -> Tensor:
    """The transform along an axis of a length that is not known."""
    order = [*(i for i in range(x.rank) if i != axis), axis]
    back = [order.index(i) for i in range(x.rank)]
    n = x.shape[axis]
    re, im = (b.transpose(part, order) for part in _parts(x))
    cosines, sines = _runtime_table(n, 1 if inverse else -1, re.dtype)
    real = b.subtract(b.matmul(re, cosines), b.matmul(im, sines))
    imaginary = b.add(b.matmul(re, sines), b.matmul(im, cosines))
    return b.map_(s.make_complex, b.transpose(real, back), b.transpose(imaginary, back), dtype=x.dtype)


def _runtime_table(n: Dim, sign: int, dtype: DType) -> _Parts:
    def entry(function: object) -> Tensor:
        def body(i: Scalar, j: Scalar) -> Scalar:
            size = b.dim_scalar(n)
            turn = s.cast(s.cast((i * j) % size, b.INT64), b.FLOAT64)
            angle = turn * (sign * 2 * math.pi) / s.cast(s.cast(size, b.INT64), b.FLOAT64)
            return s.cast(function(angle), dtype)  # pyright: ignore

        return b.tabulate([n, n], dtype, body)

    return entry(s.cos), entry(s.sin)


def _transform(x: Tensor, axes: Sequence[int], inverse: bool, scale: float) -> Tensor:
    for axis in axes:
        if isinstance(x.shape[axis], int):
            x = fourier(x, axis, inverse=inverse, scale=scale)
            scale = 1.0
        else:
            x = _by_table(x, axis, inverse)
    return x if scale == 1 else b.map_(lambda a: a * scale, x)


def _factor(count: Dim, normalization: int) -> float:
    """1 over nothing (0), the root of the number of elements (1), or the number (2); 1.0 where that is not known."""
    if normalization == 0 or not isinstance(count, int) or count == 0:
        return 1.0
    return 1.0 / (math.sqrt(count) if normalization == 1 else count)


def _scaled(x: Tensor, count: Dim, normalization: int) -> Tensor:
    """What `_factor` could not do."""
    if normalization == 0 or isinstance(count, int):
        return x
    part = x.dtype if x.dtype.kind == "f" else np.dtype(f"f{x.dtype.itemsize // 2}")
    number = b.cast(Tensor.of_dims(count), part)

    def divided(a: Scalar, n: Scalar) -> Scalar:
        by = s.sqrt(n) if normalization == 1 else n
        return a / by if a.dtype == part else s.make_complex(s.real(a) / by, s.imaginary(a) / by)

    return b.map_(divided, x, number, dtype=x.dtype)


def _parts(x: Tensor) -> _Parts:
    part = np.dtype(np.float64 if x.dtype.itemsize == 16 else np.float32)
    return b.map_(s.real, x, dtype=part), b.map_(s.imaginary, x, dtype=part)


def _complex(x: Tensor) -> Tensor:
    return b.map_(lambda a: s.make_complex(a, s.coerce(0.0, a.dtype)), x, dtype=np.dtype(f"c{2 * x.dtype.itemsize}"))


@aten("_fft_c2c")
def c2c(op: Op, x: Tensor, axes: Sequence[int], normalization: int, forward: bool) -> Tensor:
    axes = [b.normalize_axis(a, x.rank) for a in axes]
    count = b.product(x.shape[a] for a in axes)
    return _scaled(_transform(x, axes, not forward, _factor(count, normalization)), count, normalization)


@aten("_fft_r2c")
def r2c(op: Op, x: Tensor, axes: Sequence[int], normalization: int, onesided: bool) -> Tensor:
    axes = [b.normalize_axis(a, x.rank) for a in axes]
    count = b.product(x.shape[a] for a in axes)
    last, scale = axes[-1], _factor(count, normalization)
    if isinstance(x.shape[last], int):
        done = real_fourier(x, last, whole=not onesided, scale=scale)
    else:
        done = _transform(_complex(x), [last], False, scale)
        if onesided:
            done = b.slice_axis(done, last, 0, x.shape[last] // 2 + 1)
    return _scaled(_transform(done, axes[:-1], False, 1.0), count, normalization)


@aten("_fft_c2r")
def c2r(op: Op, x: Tensor, axes: Sequence[int], normalization: int, size: Dim) -> Tensor:
    """The inverse of a transform of which half is given: the other half is its mirror image, conjugated."""
    axes = [b.normalize_axis(a, x.rank) for a in axes]
    last = axes[-1]
    count = b.product(size if a == last else x.shape[a] for a in axes)
    scale = _factor(count, normalization)
    x = _transform(x, axes[:-1], True, 1.0)
    if isinstance(size, int):
        half = size // 2 + 1
        kept = x.shape[last]
        if kept != half:
            x = b.slice_axis(x, last, 0, half)
        return _scaled(inverse_real_fourier(x, last, size, scale=scale), count, normalization)
    part = np.dtype(f"f{x.dtype.itemsize // 2}")
    done = _transform(_mirrored(x, last, size), [last], True, scale)
    return _scaled(b.map_(s.real, done, dtype=part), count, normalization)


def _mirrored(x: Tensor, axis: int, size: Dim) -> Tensor:
    extent = x.shape[axis]

    def body(*position: Scalar) -> Scalar:
        at = list(position)
        here, whole = position[axis], b.dim_scalar(size)
        beyond = here > whole / 2
        at[axis] = s.minimum(s.select(beyond, whole - here, here), b.dim_scalar(extent) - 1)
        z = s.read(x, at)
        imaginary = s.imaginary(z)
        own = here.eq(0) | (here * 2).eq(whole)  # what must be real there is taken as real
        odd = s.select(own, s.coerce(0.0, imaginary.dtype), s.select(beyond, -imaginary, imaginary))
        return s.make_complex(s.real(z), odd)

    return b.tabulate([size if i == axis else d for i, d in enumerate(x.shape)], x.dtype, body)
