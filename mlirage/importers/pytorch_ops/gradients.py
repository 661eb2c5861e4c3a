"""Backward passes that PyTorch keeps as operators: convolutions, pooling, resizing, padding, attention, weight norm.

What reads each element through a fixed weight is transposed as a product with that weight's matrix, an axis at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops.contraction import product
from mlirage.importers.pytorch_ops.neural import per_axis, pool_windows
from mlirage.importers.pytorch_ops.registry import Dim, Op, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, scattering
from mlirage.input.builders import scalar as s

Matrix = np.ndarray[Any, Any]


def _filters_gradient(
    gradient: Tensor, x: Tensor, kernel: Sequence[int], strides: list[int], pads: list[Any], dilations: list[int],
    groups: int,
) -> Tensor:  # fmt: skip
    """Of filters [f, c/groups, …]: x is correlated with the gradient [n, f, …], whose steps the strides are."""
    spatial = list(range(2, x.rank))
    batch, channels = x.shape[:2]
    assert isinstance(channels, int)
    split = b.reshape(x, [batch, groups, channels // groups, *x.shape[2:]])
    turned = b.transpose(split, [2, 1, 0, *(i + 1 for i in spatial)])
    image = b.reshape(turned, [channels // groups, batch * groups, *x.shape[2:]])
    filters = b.transpose(gradient, [1, 0, *spatial])
    result = b.conv(image, filters, dilations, strides, pads, pads, groups)
    result = b.transpose(result, [1, 0, *spatial])
    return b.slice_(result, [0] * x.rank, [*result.shape[:2], *kernel])


def _spread(gradient: Tensor, weight: Tensor, extents: Sequence[Dim], strides: list[int], pads: list[Any],
            dilations: list[int], groups: int) -> Tensor:  # fmt: skip
    """The transposed convolution whose result has these extents."""
    high = [
        (d - 1) * st + di * (k - 1) + 1 - p - extent
        for d, st, di, k, p, extent in zip(
            gradient.shape[2:], strides, dilations, weight.shape[2:], pads, extents, strict=True
        )
    ]
    return b.conv_transpose(gradient, weight, strides, dilations, pads, high, groups)


@aten("convolution_backward")
def convolution_backward(
    op: Op, gradient: Tensor, x: Tensor, weight: Tensor, bias: Any, stride: Sequence[int], padding: Sequence[Dim],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int, mask: Sequence[bool],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    spatial = x.rank - 2
    strides, dilations = per_axis(stride, spatial), per_axis(dilation, spatial)
    pads: list[Any] = per_axis(padding, spatial)  # pyright: ignore[reportArgumentType]
    kernel: Any = weight.shape[2:]
    for_x = for_weight = for_bias = None
    if mask[0] and transposed:
        whole = b.conv(gradient, weight, strides, dilations, pads, pads, groups)
        for_x = b.slice_(whole, [0] * x.rank, [*whole.shape[:2], *x.shape[2:]])
    elif mask[0]:
        for_x = _spread(gradient, weight, x.shape[2:], strides, pads, dilations, groups)
    if mask[1]:
        small, large = (x, gradient) if transposed else (gradient, x)
        for_weight = _filters_gradient(small, large, kernel, strides, pads, dilations, groups)
    if mask[2]:
        for_bias = b.sum_(gradient, [0, *range(2, x.rank)])
    return for_x, for_weight, for_bias


def _average_pool_backward(name: str, spatial: int) -> None:
    @aten(name)
    def function(
        op: Op, gradient: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil: bool, include_padding: bool,
        divisor: int | None,
    ) -> Tensor:  # fmt: skip
        single = x.rank == spatial + 1
        if single:
            gradient, x = b.unsqueeze(gradient, [0]), b.unsqueeze(x, [0])
        k, st, di, low, _, counts = pool_windows(x, kernel, stride, padding, 1, ceil, spatial)
        covered: Any = divisor
        if divisor is None:
            covered = b.window_counts(x.shape[2:], k, st, di, low, low, counts, include_padding, gradient.dtype)
        shares = b.average(gradient, covered, x.dtype)
        channels = x.shape[1]
        ones = b.fill([channels, 1, *k], 1, x.dtype)
        assert isinstance(channels, int)
        result = _spread(shares, ones, x.shape[2:], st, list(low), di, channels)
        return b.squeeze(result, [0]) if single else result


for _spatial in (2, 3):
    _average_pool_backward(f"avg_pool{_spatial}d_backward", _spatial)


def _through(x: Tensor, matrices: Sequence[Matrix]) -> Tensor:
    """The last axes of `x`, each multiplied by its matrix [extent of x, extent of the result]."""
    wide = b.compute_dtype(x.dtype)
    result = b.cast(x, wide)
    first = x.rank - len(matrices)
    for axis, matrix in enumerate(matrices, first):
        order = [*(i for i in range(x.rank) if i != axis), axis]
        moved = b.transpose(result, order)
        moved = product(moved, Tensor.of(matrix.astype(wide), name="axis_weights"))
        result = b.transpose(moved, [order.index(i) for i in range(x.rank)])
    return b.cast(result, x.dtype)


def _known(what: str, *extents: Dim) -> list[int]:
    known = [d for d in extents if isinstance(d, int)]
    if len(known) != len(extents):
        raise NotImplementedError(f"{what} needs extents known at compile time")
    return known


def _adaptive_backward(name: str, spatial: int) -> None:
    @aten(name)
    def function(op: Op, gradient: Tensor, x: Tensor) -> Tensor:
        matrices: list[Matrix] = []
        for n, d in zip(gradient.shape[-spatial:], x.shape[-spatial:], strict=True):
            count, extent = _known(name, n, d)
            matrix = np.zeros((count, extent))
            for i in range(count):
                first, end = i * extent // count, -(-(i + 1) * extent // count)
                matrix[i, first:end] = 1 / (end - first)
            matrices.append(matrix)
        return _through(gradient, matrices)


for _spatial in (2, 3):
    _adaptive_backward(f"_adaptive_avg_pool{_spatial}d_backward", _spatial)


def _replication_backward(name: str, spatial: int) -> None:
    @aten(name)
    def function(op: Op, gradient: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
        matrices: list[Matrix] = []
        for axis in range(spatial):
            count, extent = _known(name, gradient.shape[axis - spatial], x.shape[axis - spatial])
            low = padding[2 * (spatial - 1 - axis)]
            source = np.clip(np.arange(count) - low, 0, extent - 1)
            matrices.append(np.eye(extent)[source])
        return _through(gradient, matrices)


for _spatial in (1, 2, 3):
    _replication_backward(f"replication_pad{_spatial}d_backward", _spatial)


def _nearest_backward(name: str, spatial: int, exact: bool) -> None:
    @aten(name)
    def function(op: Op, gradient: Tensor, size: Sequence[Dim], shape: Sequence[Dim], *factors: float | None) -> Tensor:
        matrices: list[Matrix] = []
        scales = [*factors, *[None] * spatial][:spatial]
        for n, d, factor in zip(size, shape[2:], scales, strict=True):
            count, extent = _known(name, n, d)
            ratio = np.float32(1 / factor) if factor else np.float32(extent) / np.float32(count)
            places = np.arange(count, dtype=np.float32) + np.float32(0.5 if exact else 0)
            source = np.minimum(np.floor(places * ratio).astype(np.int64), extent - 1)
            matrices.append(np.eye(extent)[source])
        return _through(gradient, matrices)


for _spatial in (1, 2, 3):
    _nearest_backward(f"upsample_nearest{_spatial}d_backward", _spatial, False)
    _nearest_backward(f"_upsample_nearest_exact{_spatial}d_backward", _spatial, True)


def _linear_matrix(count: int, extent: int, factor: float | None, corners: bool) -> Matrix:
    """[count, extent]: each of `count` pixels as the mean of two."""
    if corners:
        ratio = (extent - 1) / (count - 1) if count > 1 else 0.0
    else:
        ratio = 1 / factor if factor else extent / count
    places = np.arange(count) * ratio if corners else np.maximum((np.arange(count) + 0.5) * ratio - 0.5, 0)
    low = np.minimum(np.floor(places).astype(np.int64), extent - 1)
    high, share = np.minimum(low + 1, extent - 1), np.clip(places - low, 0, 1)[:, None]
    return np.eye(extent)[low] * (1 - share) + np.eye(extent)[high] * share


def _linear_backward(name: str, spatial: int) -> None:
    @aten(name)
    def function(
        op: Op, gradient: Tensor, size: Sequence[Dim], shape: Sequence[Dim], corners: bool, *factors: float | None
    ) -> Tensor:
        scales = [*factors, *[None] * spatial][:spatial]
        known = [_known(name, n, d) for n, d in zip(size, shape[2:], strict=True)]
        pairs = zip(known, scales, strict=True)
        return _through(gradient, [_linear_matrix(n, d, factor, corners) for (n, d), factor in pairs])


for _spatial, _name in ((1, "linear1d"), (2, "bilinear2d"), (3, "trilinear3d")):
    _linear_backward(f"upsample_{_name}_backward", _spatial)


@aten("hardshrink_backward", "softshrink_backward")
def shrink_backward(op: Op, gradient: Tensor, x: Tensor, limit: float) -> Tensor:
    return b.map_(lambda g, a: s.select(s.absolute(a) <= limit, s.coerce(0.0, g.dtype), g), gradient, x)


def _to_positions(gradient: Tensor, x: Tensor, indices: Tensor, spatial: int) -> Tensor:
    """Every gradient added where its maximum stood, at a flat position of the last axes."""
    outer = b.product(x.shape[:-spatial])
    flat = b.fill([outer, b.product(x.shape[-spatial:])], 0, x.dtype)
    shape = [outer, b.product(gradient.shape[-spatial:])]
    result = scattering.scatter_elements(
        flat, b.reshape(indices, shape), b.reshape(gradient, shape), 1, lambda old, new: old + new
    )
    return b.reshape(result, x.shape)


@aten("max_pool3d_with_indices_backward")
def max_pool3d_backward(
    op: Op, gradient: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool,
    indices: Tensor,
) -> Tensor:  # fmt: skip
    return _to_positions(gradient, x, indices, 3)


@aten("adaptive_max_pool2d_backward")
def adaptive_max_pool2d_backward(op: Op, gradient: Tensor, x: Tensor, indices: Tensor) -> Tensor:
    return _to_positions(gradient, x, indices, 2)


@aten("adaptive_max_pool3d_backward")
def adaptive_max_pool3d_backward(op: Op, gradient: Tensor, x: Tensor, indices: Tensor) -> Tensor:
    return _to_positions(gradient, x, indices, 3)


def _turned(x: Tensor) -> Tensor:
    return b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


@aten("_scaled_dot_product_flash_attention_for_cpu_backward")
def attention_backward(
    op: Op, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logarithm: Tensor, dropout: float,
    causal: bool, *, attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    if dropout:
        raise NotImplementedError("attention with dropout")
    dtype, wide = query.dtype, b.compute_dtype(query.dtype)
    gradient, query, key, value, out = (b.cast(v, wide) for v in (gradient, query, key, value, out))
    width = query.shape[-1]
    assert isinstance(width, int)
    factor = width**-0.5 if scale is None else scale
    scores = b.map_(lambda a: a * factor, product(query, _turned(key)))
    if causal:
        rank = scores.rank

        def visible(a: Scalar) -> Scalar:
            return s.select(s.index_of(rank - 1) <= s.index_of(rank - 2), a, s.coerce(-np.inf, a.dtype))

        scores = b.map_(visible, scores)
    if attn_mask is not None and attn_mask.dtype == b.BOOL:
        scores = b.map_(lambda a, m: s.select(m, a, s.coerce(-np.inf, a.dtype)), scores, attn_mask, dtype=wide)
    elif attn_mask is not None:
        scores = b.add(scores, b.cast(attn_mask, wide))

    def share(a: Scalar, n: Scalar) -> Scalar:
        """Rows that are masked whole have none."""
        return s.select(n.eq(-np.inf), s.coerce(0.0, a.dtype), s.exp(a - n))

    shares = b.map_(share, scores, b.unsqueeze(b.cast(logarithm, wide), [-1]))
    for_value = product(_turned(shares), gradient)
    for_shares = product(gradient, _turned(value))
    common = b.sum_(b.multiply(gradient, out), [-1], keepdims=True)
    for_scores = b.map_(lambda p, g, c: p * (g - c) * factor, shares, for_shares, common)
    for_query, for_key = product(for_scores, key), product(_turned(for_scores), query)
    return b.cast(for_query, dtype), b.cast(for_key, dtype), b.cast(for_value, dtype)


@aten("_weight_norm_interface_backward")
def weight_norm_backward(
    op: Op, gradient: Tensor, direction: Tensor, size: Tensor, lengths: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """Of w = size · direction / |direction|, lengths along all axes but one."""
    axes = [i for i in range(direction.rank) if i != b.normalize_axis(dim, direction.rank)]
    along = b.sum_(b.multiply(gradient, direction), axes, keepdims=True)
    for_direction = b.map_(
        lambda g, v, p, n, t: p / n * (g - v * t / (n * n)), gradient, direction, size, lengths, along
    )
    return for_direction, b.map_(lambda t, n: t / n, along, lengths)
