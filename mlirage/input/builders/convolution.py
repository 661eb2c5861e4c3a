"""Convolutions over one, two, three or more spatial axes, channels first, and their transposes.

Plain and depthwise forms become linalg's named ops, the others one `linalg.generic` with the same loops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlirage.input.builders import scalar as s
from mlirage.input.builders.contraction import zeros
from mlirage.input.builders.dims import Dim
from mlirage.input.builders.element_types import DType, compute_dtype, is_float, is_unsigned
from mlirage.input.builders.elementwise import cast, fill
from mlirage.input.builders.movement import insert_slice, pad, reshape, reverse, slice_, transpose
from mlirage.input.builders.reduction import iterators
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor, TensorBuilder, tensor_type
from mlirage.mlir import ir, linalg

_PLAIN = {1: linalg.conv_1d_ncw_fcw, 2: linalg.conv_2d_nchw_fchw, 3: linalg.conv_3d_ncdhw_fcdhw}
_DEPTHWISE = {
    1: linalg.depthwise_conv_1d_ncw_cw,
    2: linalg.depthwise_conv_2d_nchw_chw,
    3: linalg.depthwise_conv_3d_ncdhw_cdhw,
}


def window_extent(extent: Dim, kernel: Dim, stride: int, dilation: int) -> Dim:
    """The number of whole windows in a padded extent."""
    return (extent - dilation * (kernel - 1) - 1) // stride + 1


def conv(
    x: Tensor,
    weight: Tensor,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads_low: Sequence[Dim],
    pads_high: Sequence[Dim],
    groups: int = 1,
    dtype: DType | None = None,
) -> Tensor:
    """Cross-correlation of `x` [n, c, …] with `weight` [f, c/groups, …].

    Args:
      x: input.
      weight: filters.
      strides: per spatial axis.
      dilations: per spatial axis.
      pads_low: zeros before each spatial axis.
      pads_high: zeros after it.
      groups: channels split into so many independent convolutions.
      dtype: of the result; for integers also of the sums.

    Raises:
      ValueError: shapes do not fit.
    """
    dtype = dtype or x.dtype
    spatial = x.rank - 2
    builder = TensorBuilder.current()
    if spatial < 1 or weight.rank != x.rank:
        raise ValueError(f"convolution of shape {list(x.shape)} with filters {list(weight.shape)}")
    channels = weight.shape[1] * groups
    builder.require_equal(x.shape[1], channels, "convolution: channels of input and filters differ")
    if isinstance(channels, int) and not isinstance(x.shape[1], int):  # an open extent that the filters settle
        x = Tensor.from_value(x.value, x.dtype, (x.shape[0], channels, *x.shape[2:]))
    accumulator = compute_dtype(dtype)
    if is_float(x.dtype) and x.dtype.itemsize < 2:
        x, weight = cast(x, accumulator), cast(weight, accumulator)
    if not is_float(x.dtype) and (is_unsigned(x.dtype) or is_unsigned(weight.dtype) or x.dtype != weight.dtype):
        x, weight = cast(x, accumulator), cast(weight, accumulator)
    filters = weight.shape[0]
    is_plain = groups == 1 and spatial in _PLAIN
    is_depthwise = weight.shape[1] == 1 and filters == groups and spatial in _DEPTHWISE
    if not is_plain and not is_depthwise:  # padded after that: a convolution pads what it reads itself
        x = reshape(x, (x.shape[0], groups, weight.shape[1], *x.shape[2:]))
    before = [0] * (x.rank - spatial)
    x = pad(x, [*before, *pads_low], [*before, *pads_high], 0)
    out_spatial = [
        window_extent(d, k, stride, dilation)
        for d, k, stride, dilation in zip(x.shape[-spatial:], weight.shape[2:], strides, dilations, strict=True)
    ]
    if any(isinstance(d, int) and d < 0 for d in out_spatial):
        raise ValueError(
            f"convolution window {list(weight.shape[2:])} is larger than the padded input {list(x.shape[-spatial:])}"
        )
    shape = (x.shape[0], filters, *out_spatial)
    if is_plain:
        value = _PLAIN[spatial](
            x.value, weight.value, outs=[zeros(shape, accumulator)], strides=list(strides), dilations=list(dilations)
        )
        return cast(Tensor(shape, accumulator, value=value), dtype)
    if is_depthwise:
        kernel = reshape(weight, (filters, *weight.shape[2:]))
        value = _DEPTHWISE[spatial](
            x.value, kernel.value, outs=[zeros(shape, accumulator)], strides=list(strides), dilations=list(dilations)
        )
        return cast(Tensor(shape, accumulator, value=value), dtype)
    grouped = _grouped(
        x,
        reshape(weight, (groups, filters // groups, *weight.shape[1:])),
        (x.shape[0], groups, filters // groups, *out_spatial),
        strides,
        dilations,
        accumulator,
    )
    return cast(reshape(grouped, shape), dtype)


def _grouped(
    x: Tensor,
    weight: Tensor,
    shape: tuple[Dim, ...],
    strides: Sequence[int],
    dilations: Sequence[int],
    accumulator: DType,
) -> Tensor:
    """[n, g, c, …] with [g, f, c, …] to [n, g, f, …]."""
    spatial = len(strides)
    if spatial == 2:
        value = linalg.conv_2d_ngchw_gfchw(
            x.value, weight.value, outs=[zeros(shape, accumulator)], strides=list(strides), dilations=list(dilations)
        )
        return Tensor(shape, accumulator, value=value)
    n, g, f = (ir.AffineExpr.get_dim(i) for i in range(3))
    out = [ir.AffineExpr.get_dim(3 + i) for i in range(spatial)]
    c = ir.AffineExpr.get_dim(3 + spatial)
    window = [ir.AffineExpr.get_dim(4 + spatial + i) for i in range(spatial)]
    rank = 4 + 2 * spatial
    place = [o * stride + w * dilation for o, w, stride, dilation in zip(out, window, strides, dilations, strict=True)]
    maps = [[n, g, c, *place], [g, f, c, *window], [n, g, f, *out]]
    kinds = ["parallel"] * (3 + spatial) + ["reduction"] * (1 + spatial)
    return _sum_of_products(x, weight, shape, [ir.AffineMap.get(rank, 0, m) for m in maps], kinds, accumulator)


def _sum_of_products(
    x: Tensor,
    weight: Tensor,
    shape: tuple[Dim, ...],
    maps: Sequence[ir.AffineMap],
    loops: Sequence[str],
    accumulator: DType,
) -> Tensor:
    """A generic that multiplies and adds, both factors widened."""
    init = zeros(shape, accumulator)
    op = linalg.GenericOp(
        [tensor_type(shape, accumulator)],
        [x.value, weight.value],
        [init],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
        iterators(list(loops)),
    )
    kinds = [ir.RankedTensorType(v.type).element_type for v in (x.value, weight.value, init)]
    block = op.regions[0].blocks.append(*kinds, arg_locs=[ir.Location.current] * 3)
    with TensorBuilder.current().block(block):
        a, b = s.load(block.arguments[0], x.dtype), s.load(block.arguments[1], weight.dtype)
        total = Scalar(block.arguments[2], accumulator) + s.cast(a, accumulator) * s.cast(b, accumulator)
        linalg.yield_([total.value])
    return Tensor(shape, accumulator, value=op.results[0])


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads_low: Sequence[Dim],
    pads_high: Sequence[Dim],
    groups: int = 1,
) -> Tensor:
    """The transpose of a convolution: `x` [n, c, …], `weight` [c, f/groups, …]; pads are cut from the full result.

    Zeros are set between the input's elements, then it is convolved with the mirrored filters; or, where that would
    multiply by the zeros for the most part, each remainder of places by the strides is a convolution of its own.
    """
    is_static = all(isinstance(d, int) and d >= 0 for d in (*weight.shape, *pads_low)) and 0 not in weight.shape
    is_depthwise = groups > 1 and weight.shape[0] == groups
    if is_static and not is_depthwise and max(strides) > 1 and all(d == 1 for d in dilations):
        return _by_remainders(x, weight, strides, pads_low, pads_high, groups)
    spatial = list(range(2, x.rank))
    per_group, channels = weight.shape[1], weight.shape[0]
    if any(stride != 1 for stride in strides):
        spread_shape = (
            *x.shape[:2],
            *((d - 1) * stride + 1 for d, stride in zip(x.shape[2:], strides, strict=True)),
        )
        x = insert_slice(x, fill(spread_shape, 0, x.dtype), [0] * x.rank, [1, 1, *strides])
    mirrored = reverse(weight, spatial)
    split = reshape(mirrored, (groups, channels // groups, per_group, *weight.shape[2:]))
    turned = transpose(split, [0, 2, 1, *range(3, split.rank)])
    kernel = reshape(turned, (per_group * groups, channels // groups, *weight.shape[2:]))
    reach = [dilation * (k - 1) for k, dilation in zip(weight.shape[2:], dilations, strict=True)]
    low = [r - p for r, p in zip(reach, pads_low, strict=True)]
    high = [r - p for r, p in zip(reach, pads_high, strict=True)]
    return conv(x, kernel, [1] * len(spatial), dilations, low, high, groups)


def _by_remainders(
    x: Tensor,
    weight: Tensor,
    strides: Sequence[int],
    pads_low: Sequence[Dim],
    pads_high: Sequence[Dim],
    groups: int,
) -> Tensor:
    """A transposed convolution as one convolution that has filters for every remainder of places by the strides.

        y[q * stride + r] = sum over j:  x[q - j] * weight[j * stride + r]

    The filters of all r are computed side by side, then the results are laid between each other.
    """
    spatial = len(strides)
    kernel = [int(k) for k in weight.shape[2:]]  # pyright: ignore[reportArgumentType]
    taps = [-(-k // stride) for k, stride in zip(kernel, strides, strict=True)]
    whole = [
        (d - 1) * stride + k - before - after
        for d, stride, k, before, after in zip(x.shape[2:], strides, kernel, pads_low, pads_high, strict=True)
    ]
    # q runs from the first that is not cut off, as far as there are results
    first = [int(p) // stride for p, stride in zip(pads_low, strides, strict=True)]  # pyright: ignore[reportArgumentType]
    skipped = [p - q * stride for p, q, stride in zip(pads_low, first, strides, strict=True)]
    count = [(skip + w + stride - 1) // stride for skip, w, stride in zip(skipped, whole, strides, strict=True)]
    low = [t - 1 - q for t, q in zip(taps, first, strict=True)]
    high = [n + t - 1 - d - before for n, t, d, before in zip(count, taps, x.shape[2:], low, strict=True)]

    channels, per_group = weight.shape[0], weight.shape[1]
    filled = pad(
        weight, [0] * weight.rank, [0, 0, *(t * s_ - k for t, s_, k in zip(taps, strides, kernel, strict=True))], 0
    )
    split = reshape(
        filled,
        (groups, channels // groups, per_group, *(d for pair in zip(taps, strides, strict=True) for d in pair)),
    )
    tap_axes = [3 + 2 * axis for axis in range(spatial)]
    mirrored = reverse(split, [axis for axis, t in zip(tap_axes, taps, strict=True) if t > 1])
    turned = transpose(mirrored, [0, *(axis + 1 for axis in tap_axes), 2, 1, *tap_axes])
    remainders = math.prod(strides)
    filters = reshape(turned, (groups * remainders * per_group, channels // groups, *taps))

    order = [0, *(axis for i in range(spatial) for axis in (3 + spatial + i, 2 + i)), 1, 2 + spatial]
    if all(t == 1 for t in taps):
        weights = reshape(filters, (groups, *strides, per_group, channels // groups))
        between = _apart(pad(x, [0, 0, *low], [0, 0, *high], 0), weights, count)
    else:
        results = conv(x, filters, [1] * spatial, [1] * spatial, low, high, groups)
        apart = reshape(results, (x.shape[0], groups, *strides, per_group, *count))
        between = transpose(apart, order)
    # Channels last: the elements of a pixel stay together where the results are laid between each other.
    shape = (x.shape[0], *(n * stride for n, stride in zip(count, strides, strict=True)), groups * per_group)
    full = slice_(reshape(between, shape), [0, *skipped, 0], [x.shape[0], *whole, groups * per_group])
    return transpose(full, [0, spatial + 1, *range(1, spatial + 1)])


def _apart(x: Tensor, weight: Tensor, count: Sequence[Dim]) -> Tensor:
    """Pixels times a filter for every remainder: [n, c, q…] with [g, r…, f, c/g] to [n, (q, r)…, g, f]."""
    spatial, groups = len(count), weight.shape[0]
    accumulator = compute_dtype(x.dtype)
    n, g, f, c = (ir.AffineExpr.get_dim(i) for i in (0, 2 * spatial + 1, 2 * spatial + 2, 2 * spatial + 3))
    q = [ir.AffineExpr.get_dim(1 + 2 * i) for i in range(spatial)]
    r = [ir.AffineExpr.get_dim(2 + 2 * i) for i in range(spatial)]
    pixels = reshape(x, (x.shape[0], groups, weight.shape[-1], *x.shape[2:]))
    remainders = weight.shape[1 : 1 + spatial]
    shape = (x.shape[0], *(d for pair in zip(count, remainders, strict=True) for d in pair), groups, weight.shape[-2])
    together = [e for pair in zip(q, r, strict=True) for e in pair]
    maps = [[n, g, c, *q], [g, *r, f, c], [n, *together, g, f]]
    affine = [ir.AffineMap.get(2 * spatial + 4, 0, m) for m in maps]
    loops = ["parallel"] * (2 * spatial + 3) + ["reduction"]
    return cast(_sum_of_products(pixels, weight, shape, affine, loops, accumulator), x.dtype)


__all__ = ["conv", "conv_transpose", "slice_", "window_extent"]
