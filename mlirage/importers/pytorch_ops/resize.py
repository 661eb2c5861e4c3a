"""Upsampling: nearest and (bi-, tri-)linear by reading where the result's pixels lie; the others are decomposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlirage.importers.pytorch_ops.registry import Dim, Op, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Sym, Tensor
from mlirage.input.builders import scalar as s


def _sizes(op: Op, x: Tensor, size: Sequence[Dim] | None, factors: Sequence[float] | None) -> list[Dim]:
    if size is not None:
        return list(size)
    assert factors is not None
    sizes: list[Dim] = []
    for extent, factor in zip(x.shape[2:], factors, strict=True):
        if isinstance(extent, Sym):
            if float(factor).is_integer():
                sizes.append(extent * int(factor))
            elif (float(factor) * 2**20).is_integer():
                sizes.append((extent * int(factor * 2**20)) // 2**20)
            else:
                raise NotImplementedError(f"scale factor {factor} of an extent that varies")
        else:
            sizes.append(int(extent * factor))
    return sizes


def _ratio(extent: Dim, size: Dim, factor: float | None, corners: bool) -> Scalar:
    """Pixels of the source per pixel of the result."""
    if corners:
        if size == 1:
            return s.coerce(0.0, b.FLOAT32)
        return _float(extent - 1) / s.maximum(_float(size - 1), 1.0)
    if factor:
        return s.coerce(1.0 / factor, b.FLOAT32)
    return _float(extent) / _float(size)


def _float(dim: Dim) -> Scalar:
    if isinstance(dim, int):
        return s.coerce(float(dim), b.FLOAT32)
    return s.cast(s.cast(b.dim_scalar(dim), b.INT64), b.FLOAT32)


def _place(position: Scalar) -> Scalar:
    return s.cast(s.cast(position, b.INT64), b.FLOAT32)


def _nearest(x: Tensor, sizes: Sequence[Dim], factors: Sequence[Any], exact: bool) -> Tensor:
    def place(position: list[Scalar]) -> list[Scalar]:
        at = list(position)
        for axis, (size, factor) in enumerate(zip(sizes, factors, strict=True)):
            extent = x.shape[2 + axis]
            if extent == size:
                continue
            p = _place(position[2 + axis])
            source = (p + 0.5 if exact else p) * _ratio(extent, size, factor, False)
            index = s.cast(s.cast(s.floor(source), b.INT64), b.INDEX)
            at[2 + axis] = s.clamp(index, 0, b.dim_scalar(extent) - 1)
        return at

    return b.remap(x, [*x.shape[:2], *sizes], place)


def _linear(x: Tensor, sizes: Sequence[Dim], factors: Sequence[Any], corners: bool) -> Tensor:
    """The weighted mean of the pixels around, an axis at a time inside one element's code."""
    whole = b.is_integer(x.dtype)

    def body(*position: Scalar) -> Scalar:
        around: list[tuple[Scalar, Scalar, Scalar]] = []
        for axis, (size, factor) in enumerate(zip(sizes, factors, strict=True)):
            extent = x.shape[2 + axis]
            p = _place(position[2 + axis])
            ratio = _ratio(extent, size, factor, corners)
            source = p * ratio if corners else s.maximum((p + 0.5) * ratio - 0.5, 0.0)
            low = s.clamp(s.cast(s.cast(s.floor(source), b.INT64), b.INDEX), 0, b.dim_scalar(extent) - 1)
            high = s.minimum(low + 1, b.dim_scalar(extent) - 1)
            around.append((low, high, s.clamp(source - _place(low), 0.0, 1.0)))

        def mixed(axis: int, at: list[Scalar]) -> Scalar:
            if axis == len(around):
                element = s.read(x, [position[0], position[1], *at])
                return s.cast(element, b.FLOAT32) if whole else element
            low, high, weight = around[axis]
            first, second = mixed(axis + 1, [*at, low]), mixed(axis + 1, [*at, high])
            share = s.cast(weight, first.dtype)
            return first * (s.coerce(1.0, share.dtype) - share) + second * share

        mean = mixed(0, [])
        return s.cast(s.clamp(s.floor(mean + 0.5), 0.0, 255.0), x.dtype) if whole else mean  # bytes, rounded

    return b.tabulate([*x.shape[:2], *sizes], x.dtype, body)


def _given(op: Op, values: Sequence[Any], count: int) -> list[Any]:
    """Scale factors, which follow the other arguments; None where there are none."""
    given = [v for v in values if v is None or isinstance(v, int | float)]
    return (given + [None] * count)[:count]


def _register(spatial: int, linear: str) -> None:
    for name, exact in ((f"upsample_nearest{spatial}d", False), (f"_upsample_nearest_exact{spatial}d", True)):

        @aten(name)
        def nearest(op: Op, x: Tensor, size: Sequence[Dim], *factors: Any, exact: bool = exact) -> Tensor:
            return _nearest(x, list(size), _given(op, factors, spatial), exact)

        @aten(f"{name}.vec")
        def nearest_vec(op: Op, x: Tensor, size: Any, factors: Any, *_: Any, exact: bool = exact) -> Tensor:
            return _nearest(x, _sizes(op, x, size, factors), factors or [None] * spatial, exact)

    @aten(linear)
    def interpolated(op: Op, x: Tensor, size: Sequence[Dim], corners: bool, *factors: Any) -> Tensor:
        return _linear(x, list(size), _given(op, factors, spatial), corners)

    @aten(f"{linear}.vec")
    def interpolated_vec(op: Op, x: Tensor, size: Any, corners: bool, factors: Any) -> Tensor:
        return _linear(x, _sizes(op, x, size, factors), factors or [None] * spatial, corners)


_register(1, "upsample_linear1d")
_register(2, "upsample_bilinear2d")
_register(3, "upsample_trilinear3d")
