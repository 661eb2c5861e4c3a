"""Convolutions, pooling and normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops import complex_math, dequantized
from mlirage.importers.pytorch_ops.registry import Dim, Op, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, dims
from mlirage.input.builders import scalar as s


def per_axis(values: Sequence[int] | int, count: int) -> list[int]:
    """A number for every spatial axis, of one for all or one for each."""
    values = [values] if isinstance(values, int) else list(values)
    return values * count if len(values) == 1 else values


def _batch_of_one(x: Tensor) -> Tensor:
    if isinstance(x, dequantized.Dequantized):
        return x.moved(lambda v: b.unsqueeze(v, [0]))
    return b.unsqueeze(x, [0])


@aten("convolution")
def convolution(
    op: Op, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[Dim],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    batched = x.rank == weight.rank
    x = x if batched else _batch_of_one(x)
    spatial = x.rank - 2
    strides, dilations = per_axis(stride, spatial), per_axis(dilation, spatial)
    pads = per_axis(padding, spatial)  # pyright: ignore[reportArgumentType]
    if b.is_complex(x.dtype):
        raise NotImplementedError("convolution of complex numbers")
    if transposed:
        extra = per_axis(output_padding, spatial)
        high = [p - e for p, e in zip(pads, extra, strict=True)]
        result = b.conv_transpose(x, weight, strides, dilations, pads, high, groups)
    else:
        result = dequantized.convolution(x, weight, strides, dilations, pads, groups)
        if result is None:
            result = b.conv(x, weight, strides, dilations, pads, pads, groups)
    if bias is not None:
        result = b.add(result, b.reshape(bias, [bias.shape[0], *([1] * spatial)]))
    return result if batched else b.squeeze(result, [0])


@aten("_convolution", "_convolution.deprecated")
def convolution_with_settings(op: Op, x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    return convolution(op, x, weight, bias, *settings[:6])


@aten("conv_tbc")
def conv_tbc(op: Op, x: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Time, batch, channels, with filters [width, channels, filters]."""
    result = b.conv(b.transpose(x, [1, 2, 0]), b.transpose(weight, [2, 1, 0]), [1], [1], [pad], [pad])
    return b.add(b.transpose(result, [2, 0, 1]), bias)


def window_count(extent: Dim, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> Dim:
    """The number of windows along an axis, the last of which may reach over the end by `ceil`."""
    room = extent + 2 * pad - dilation * (kernel - 1) - 1
    if not ceil:
        return room // stride + 1
    count = (room + stride - 1) // stride + 1
    starts_outside = (count - 1) * stride - (extent + pad)  # such a window is dropped
    return dims.select("slt", starts_outside, 0, count, count - 1)


def pool_windows(
    x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, spatial: int
) -> tuple[list[int], list[int], list[int], list[int], list[Dim], list[Dim]]:
    """Kernel, strides, dilations, pads before and behind, numbers of windows."""
    kernels = per_axis(kernel, spatial)
    strides = per_axis(stride, spatial) if stride else kernels
    pads, dilations = per_axis(padding, spatial), per_axis(dilation, spatial)
    counts = [
        window_count(d, k, st, p, di, ceil)
        for d, k, st, p, di in zip(x.shape[2:], kernels, strides, pads, dilations, strict=True)
    ]
    reach = [
        dims.maximum((n - 1) * st + di * (k - 1) + 1 - d - p, 0)
        for n, st, di, k, d, p in zip(counts, strides, dilations, kernels, x.shape[2:], pads, strict=True)
    ]
    return kernels, strides, dilations, pads, reach, counts


def _pooled(x: Tensor, spatial: int, function: Any) -> Any:
    """`function` of a tensor with a batch axis."""
    if x.rank == spatial + 2:
        return function(x)
    results = function(b.unsqueeze(x, [0]))
    if isinstance(results, Tensor):
        return b.squeeze(results, [0])
    return tuple(b.squeeze(r, [0]) for r in results)


def _max_pool(names: tuple[str, ...], spatial: int, with_places: bool) -> None:
    @aten(*names)
    def function(
        op: Op, x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
    ) -> Any:
        def pool(x: Tensor) -> Any:
            k, st, di, low, high, counts = pool_windows(x, kernel, stride, padding, dilation, ceil, spatial)
            values = b.pool("max", x, k, st, di, low, high, counts)
            if not with_places:
                return values
            return values, _max_places(x, k, st, di, low, high, counts)

        if with_places and not _second_used(op):
            values = _pooled(x, spatial, lambda v: pool(v)[0])
            return values, b.fill(values.shape, 0, b.INT64)
        return _pooled(x, spatial, pool)


def _second_used(op: Op) -> bool:
    """Whether anybody looks at the positions."""
    return any(user.args[1] == 1 or user.op == "output" for user in op.node.users if len(user.args) > 1) or any(
        user.op == "output" for user in op.node.users
    )


def _max_places(
    x: Tensor, kernel: list[int], strides: list[int], dilations: list[int], low: list[int], high: list[Dim],
    counts: list[Dim],
) -> Tensor:  # fmt: skip
    """Flat positions of the maxima: the first of equals; a NaN wins. One window after the other, element by element."""
    spatial = len(kernel)
    extents = x.shape[2:]
    wide = b.compute_dtype(x.dtype)

    def body(*position: Scalar) -> Scalar:
        best: Scalar | None = None
        place: Scalar | None = None
        for offset in np.ndindex(*kernel):
            inside: Scalar | None = None
            at: list[Scalar] = []
            flat: Scalar | None = None
            for axis in range(spatial):
                here = position[2 + axis] * strides[axis] + (offset[axis] * dilations[axis] - low[axis])
                limit = b.dim_scalar(extents[axis])
                good = (here >= 0) & (here < limit)
                inside = good if inside is None else inside & good
                held = s.clamp(here, 0, limit - 1)
                at.append(held)
                flat = held if flat is None else flat * limit + held
            assert inside is not None
            assert flat is not None
            element = s.read(x, [position[0], position[1], *at])
            number = s.cast(flat, b.INT64)
            if best is None or place is None:
                best = s.select(inside, element, s.coerce(b.lowest(x.dtype), wide))
                place = s.select(inside, number, s.coerce(-1, b.INT64))
                continue
            better = (element > best) | (place < 0)
            if b.is_float(wide):
                better = better | s.is_nan(element)
            better = better & inside
            best, place = s.select(better, element, best), s.select(better, number, place)
        assert place is not None
        return place

    del high
    return b.tabulate([*x.shape[:2], *counts], b.INT64, body)


_max_pool(("max_pool1d",), 1, False)
_max_pool(("max_pool2d",), 2, False)
_max_pool(("max_pool3d",), 3, False)
_max_pool(("max_pool1d_with_indices",), 1, True)
_max_pool(("max_pool2d_with_indices",), 2, True)
_max_pool(("max_pool3d_with_indices",), 3, True)


def _average_pool(name: str, spatial: int) -> None:
    @aten(name)
    def function(
        op: Op, x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False,
        include_padding: bool = True, divisor: int | None = None,
    ) -> Tensor:  # fmt: skip
        def pool(x: Tensor) -> Tensor:
            k, st, di, low, high, counts = pool_windows(x, kernel, stride, padding, 1, ceil, spatial)
            total = b.pool("sum", x, k, st, di, low, high, counts)
            covered: Any = divisor
            if divisor is None:
                covered = b.window_counts(x.shape[2:], k, st, di, low, low, counts, include_padding, total.dtype)
            return b.average(total, covered, x.dtype)

        return _pooled(x, spatial, pool)


for _spatial in (1, 2, 3):
    _average_pool(f"avg_pool{_spatial}d", _spatial)


def _adaptive_bounds(place: Scalar, extent: Dim, count: Dim) -> tuple[Scalar, Scalar]:
    """First position and end of a window: floor(i · d / n) and ceil((i + 1) · d / n)."""
    size, number = b.dim_scalar(extent), b.dim_scalar(count)
    return place * size / number, ((place + 1) * size + number - 1) / number


def _adaptive(x: Tensor, counts: Sequence[Dim | None]) -> tuple[list[Dim], list[int] | None]:
    """Numbers of windows, and the windows' extents if all are equal and side by side."""
    numbers = [d if n is None else n for n, d in zip(counts, x.shape[2:], strict=True)]
    kernel: list[int] = []
    for n, d in zip(numbers, x.shape[2:], strict=True):
        if not (isinstance(n, int) and isinstance(d, int) and n and d % n == 0):
            return numbers, None
        kernel.append(d // n)
    return numbers, kernel


def _adaptive_average(name: str, spatial: int) -> None:
    @aten(name)
    def function(op: Op, x: Tensor, size: Sequence[Dim]) -> Tensor:
        return _pooled(x, spatial, lambda v: _adaptive_mean(v, list(size)))


def _adaptive_mean(x: Tensor, size: list[Dim]) -> Tensor:
    if all(n == 1 for n in size):
        return b.mean(x, list(range(2, x.rank)), keepdims=True)
    counts, kernel = _adaptive(x, size)
    if kernel is not None:
        zeros, ones = [0] * len(kernel), [1] * len(kernel)
        total = b.pool("sum", x, kernel, kernel, ones, zeros, zeros, counts)
        return b.average(total, int(np.prod(kernel)), x.dtype)
    # One axis after the other: the mean over windows is the mean of means along each axis.
    wide = b.cast(x, b.compute_dtype(x.dtype))
    for axis in range(2, x.rank):
        wide = _adaptive_axis(wide, axis, counts[axis - 2])
    return b.cast(wide, x.dtype)


def _adaptive_axis(x: Tensor, axis: int, count: Dim) -> Tensor:
    """Means of windows along one axis, as sums over all its elements that a window holds."""
    extent = x.shape[axis]
    moved = b.unsqueeze(b.transpose(x, [*(i for i in range(x.rank) if i != axis), axis]), [x.rank - 1])
    rank = x.rank
    shape = (*(d for i, d in enumerate(x.shape) if i != axis), count, extent)

    def body(total: Scalar, a: Scalar) -> Scalar:
        first, end = _adaptive_bounds(s.index_of(rank - 1), extent, count)
        at = s.index_of(rank)
        inside = (at >= first) & (at < end)
        return total + s.select(inside, a / s.cast(s.cast(end - first, b.INT64), a.dtype), s.coerce(0, a.dtype))

    summed = b.reduce_(body, 0, [moved], [rank], x.dtype, shape=shape)
    back = [*range(axis), rank - 1, *range(axis, rank - 1)]
    return b.transpose(summed, back)


for _spatial in (1, 2, 3):
    _adaptive_average(f"adaptive_avg_pool{_spatial}d", _spatial)
    if _spatial > 1:
        _adaptive_average(f"_adaptive_avg_pool{_spatial}d", _spatial)


def _adaptive_max(name: str, spatial: int) -> None:
    @aten(name)
    def function(op: Op, x: Tensor, size: Sequence[Dim]) -> tuple[Tensor, Tensor]:
        return _pooled(x, spatial, lambda v: _adaptive_maxima(v, list(size)))


def _adaptive_maxima(x: Tensor, size: list[Dim]) -> tuple[Tensor, Tensor]:
    """Values and flat positions, by a search through every window; extents must be known."""
    counts, _ = _adaptive(x, size)
    extents = list(x.shape[2:])
    if not all(isinstance(d, int) for d in (*counts, *extents)):
        raise NotImplementedError("adaptive maximum pooling needs extents known at compile time")
    known = [(n, d) for n, d in zip(counts, extents, strict=True) if isinstance(n, int) and isinstance(d, int)]
    widest = [max(-(-(i + 1) * d // n) - i * d // n for i in range(n)) for n, d in known]
    starts = [Tensor.of(np.array([i * d // n for i in range(n)], np.int64)) for n, d in known]
    wide = b.compute_dtype(x.dtype)

    def search(position: tuple[Scalar, ...], want_place: bool) -> Scalar:
        best: Scalar | None = None
        place: Scalar | None = None
        for offset in np.ndindex(*widest):
            inside: Scalar | None = None
            at: list[Scalar] = []
            flat: Scalar | None = None
            for axis, (n, d) in enumerate(zip(counts, extents, strict=True)):
                p = position[2 + axis]
                first = s.cast(s.read(starts[axis], [p]), b.INDEX)
                _, end = _adaptive_bounds(p, d, n)
                here = first + offset[axis]
                good = here < end
                inside = good if inside is None else inside & good
                held = s.clamp(here, 0, b.dim_scalar(d) - 1)
                at.append(held)
                flat = held if flat is None else flat * b.dim_scalar(d) + held
            assert inside is not None
            assert flat is not None
            element = s.read(x, [position[0], position[1], *at])
            number = s.cast(flat, b.INT64)
            if best is None or place is None:
                best, place = element, number
                continue
            better = element > best
            if b.is_float(wide):
                better = better | s.is_nan(element)
            better = better & inside
            best, place = s.select(better, element, best), s.select(better, number, place)
        assert best is not None
        assert place is not None
        return place if want_place else best

    shape = [*x.shape[:2], *counts]
    values = b.tabulate(shape, x.dtype, lambda *p: search(p, False))
    return values, b.tabulate(shape, b.INT64, lambda *p: search(p, True))


for _spatial in (1, 2, 3):
    _adaptive_max(f"adaptive_max_pool{_spatial}d", _spatial)


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = b.multiply(x, as_tensor(weight, x.dtype))
    return x if bias is None else b.add(x, as_tensor(bias, x.dtype))


@aten("native_layer_norm")
def native_layer_norm(
    op: Op, x: Tensor, normalized: Sequence[Dim], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    axes = list(range(x.rank - len(normalized), x.rank))
    average, variance = b.moments(x, axes)
    scale = b.map_(lambda v: s.rsqrt(v + eps), variance)
    wide = b.map_(lambda a, m, r: (a - m) * r, as_tensor(x, average.dtype), average, scale)
    return b.cast(_affine(wide, weight, bias), x.dtype), average, scale


@aten("layer_norm")
def layer_norm(
    op: Op, x: Tensor, normalized: Sequence[Dim], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, *_: Any,
) -> Tensor:  # fmt: skip
    return native_layer_norm(op, x, normalized, weight, bias, eps)[0]


@aten("rms_norm")
def rms_norm(
    op: Op, x: Tensor, normalized: Sequence[Dim], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    return _rms_norm(x, normalized, weight, eps)[0]


@aten("_fused_rms_norm")
def fused_rms_norm(
    op: Op, x: Tensor, normalized: Sequence[Dim], weight: Tensor | None, eps: float | None
) -> tuple[Tensor, Tensor]:
    return _rms_norm(x, normalized, weight, eps)


def _rms_norm(x: Tensor, normalized: Sequence[Dim], weight: Tensor | None, eps: float | None) -> tuple[Tensor, Tensor]:
    axes = list(range(x.rank - len(normalized), x.rank))
    wide = b.cast(x, b.compute_dtype(x.dtype))
    epsilon = float(np.finfo(wide.dtype if x.dtype.kind != "V" else np.float32).eps) if eps is None else eps
    squares = b.mean(b.map_(lambda a: a * a, wide), axes, keepdims=True)
    scale = b.map_(lambda v: complex_math.rsqrt(v + epsilon), squares)
    return b.cast(_affine(b.map_(lambda a, r: a * r, wide, scale), weight, None), x.dtype), scale


@aten("native_group_norm")
def native_group_norm(
    op: Op, x: Tensor, weight: Tensor | None, bias: Tensor | None, n: Dim, c: Dim, rest: Dim, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    grouped = b.reshape(x, [x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]])
    average, variance = b.moments(grouped, list(range(2, grouped.rank)))
    scale = b.map_(lambda v: s.rsqrt(v + eps), variance)
    wide = b.map_(lambda a, m, r: (a - m) * r, as_tensor(grouped, average.dtype), average, scale)
    channels = [x.shape[1], *([1] * (x.rank - 2))]
    parts = [None if v is None else b.reshape(v, channels) for v in (weight, bias)]
    result = b.cast(_affine(b.reshape(wide, x.shape), *parts), x.dtype)
    flat = [x.shape[0], groups]
    return result, b.cast(b.reshape(average, flat), x.dtype), b.cast(b.reshape(scale, flat), x.dtype)


@aten("group_norm")
def group_norm(
    op: Op, x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5, *_: Any
) -> Tensor:
    return native_group_norm(op, x, weight, bias, 0, 0, 0, groups, eps)[0]


def _channels(v: Tensor, x: Tensor) -> Tensor:
    return b.reshape(v, [v.shape[0], *([1] * (x.rank - 2))])


def _normalized(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, average: Tensor, variance: Tensor, eps: float
) -> Tensor:
    """Of the channels' own or the running statistics: one factor and one summand per channel."""
    wide = b.cast(x, b.compute_dtype(x.dtype))
    average, variance = (as_tensor(v, wide.dtype) for v in (average, variance))
    scale = b.map_(lambda v: s.rsqrt(v + eps), variance)
    if weight is not None:
        scale = b.multiply(scale, as_tensor(weight, wide.dtype))
    centered = b.map_(lambda a, m, r: (a - m) * r, wide, _channels(average, x), _channels(scale, x))
    if bias is not None:
        centered = b.add(centered, _channels(as_tensor(bias, wide.dtype), x))
    return b.cast(centered, x.dtype)


@aten("_native_batch_norm_legit_no_training")
def batch_norm_no_training(
    op: Op, x: Tensor, weight: Tensor | None, bias: Tensor | None, average: Tensor, variance: Tensor, momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    nothing = b.fill([0], 0, average.dtype)
    return _normalized(x, weight, bias, average, variance, eps), nothing, nothing


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    average, variance = b.moments(x, [0, *range(2, x.rank)])
    shape = [x.shape[1]]
    return b.reshape(average, shape), b.reshape(variance, shape)


@aten("_native_batch_norm_legit_functional")
def batch_norm_functional(
    op: Op, x: Tensor, weight: Tensor | None, bias: Tensor | None, average: Tensor, variance: Tensor, training: bool,
    momentum: float, eps: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    if not training:
        nothing = b.fill([0], 0, average.dtype)
        return _normalized(x, weight, bias, average, variance, eps), nothing, nothing, average, variance
    mean, spread = _statistics(x)
    count = b.count(x, [0, *range(2, x.rank)])
    number = as_tensor(count, mean.dtype)
    unbiased = b.map_(lambda v, n: v * (n / (n - 1.0)), spread, number)
    result = _normalized(x, weight, bias, mean, spread, eps)
    scale = b.map_(lambda v: s.rsqrt(v + eps), spread)

    def moved(old: Tensor, new: Tensor) -> Tensor:
        return b.map_(lambda o, n: o * (1 - momentum) + s.cast(n, o.dtype) * momentum, old, new, dtype=old.dtype)

    return result, mean, scale, moved(average, mean), moved(variance, unbiased)


@aten("_native_batch_norm_legit.no_stats")
def batch_norm_no_stats(
    op: Op, x: Tensor, weight: Tensor | None, bias: Tensor | None, training: bool, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    mean, spread = _statistics(x)
    scale = b.map_(lambda v: s.rsqrt(v + eps), spread)
    return _normalized(x, weight, bias, mean, spread, eps), mean, scale


@aten("native_dropout")
def native_dropout(op: Op, x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    if train and p:
        from mlirage.importers.pytorch_ops.random import uniform

        kept = b.map_(lambda u: u >= p, uniform(op, x.shape, b.FLOAT32), dtype=b.BOOL)
        scale = 0.0 if p == 1 else 1 / (1 - p)
        return b.map_(lambda a, k: s.select(k, a * scale, s.coerce(0, a.dtype)), x, kept, dtype=x.dtype), kept
    return x, b.fill(x.shape, True, b.BOOL)


@aten("dropout")
def dropout(op: Op, x: Tensor, p: float, train: bool) -> Tensor:
    return native_dropout(op, x, p, train)[0]
