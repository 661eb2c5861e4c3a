"""Windows: maximum, sum and average pooling over any number of spatial axes, channels first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, product
from mlirage.input.builders.element_types import INT64, DType, compute_dtype, is_float
from mlirage.input.builders.elementwise import cast, map_, tabulate
from mlirage.input.builders.movement import dim_scalar, pad
from mlirage.input.builders.reduction import iterators, lowest
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor, TensorBuilder, empty, tensor_type
from mlirage.mlir import ir, linalg

_NAMED = {
    "max": {1: linalg.pooling_ncw_max, 2: linalg.pooling_nchw_max},
    "sum": {1: linalg.pooling_ncw_sum, 2: linalg.pooling_nchw_sum},
}


def _filled(shape: Sequence[Dim], value: Any, dtype: DType) -> ir.Value[Any]:
    return linalg.fill(TensorBuilder.current().scalar_constant(value, dtype), outs=[empty(shape, dtype)])


def pool(
    kind: str,
    x: Tensor,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads_low: Sequence[Dim],
    pads_high: Sequence[Dim],
    out_spatial: Sequence[Dim],
) -> Tensor:
    """The `max` or `sum` of each window of `x` [n, c, …]; padding never wins and adds nothing.

    `pads_high` must be what the last window needs, so that `out_spatial` windows fit exactly or with a rest.
    """
    accumulator = compute_dtype(x.dtype) if kind == "sum" else x.dtype
    start = lowest(x.dtype) if kind == "max" else 0
    x = pad(x, [0, 0, *pads_low], [0, 0, *pads_high], start)
    shape = (*x.shape[:2], *out_spatial)
    spatial = len(window)
    named = _NAMED[kind].get(spatial)
    if named is not None and (is_float(x.dtype) and x.dtype.itemsize > 1):
        value = named(
            x.value,
            empty(window, x.dtype),
            outs=[_filled(shape, start, accumulator)],
            strides=list(strides),
            dilations=list(dilations),
        )
        return Tensor(shape, accumulator, value=value)

    def body(total: Scalar, a: Scalar) -> Scalar:
        return s.maximum(total, a) if kind == "max" else total + s.cast(a, total.dtype)

    return windows(x, window, strides, dilations, shape, accumulator, start, body)


def windows(
    x: Tensor,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    shape: tuple[Dim, ...],
    dtype: DType,
    start: Any,
    body: Callable[[Scalar, Scalar], Scalar],
) -> Tensor:
    """Folds each window of the padded `x` [n, c, …] with `body`, from `start`."""
    spatial = len(window)
    rank = 2 + 2 * spatial
    batch = [ir.AffineExpr.get_dim(0), ir.AffineExpr.get_dim(1)]
    out = [ir.AffineExpr.get_dim(2 + i) for i in range(spatial)]
    inside = [ir.AffineExpr.get_dim(2 + spatial + i) for i in range(spatial)]
    place = [o * stride + w * dilation for o, w, stride, dilation in zip(out, inside, strides, dilations, strict=True)]
    maps = [[*batch, *place], inside, [*batch, *out]]
    accumulator = compute_dtype(dtype)
    init = _filled(shape, start, accumulator)
    inputs = [x.value, empty(window, x.dtype)]
    op = linalg.GenericOp(
        [tensor_type(shape, accumulator)],
        inputs,
        [init],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(ir.AffineMap.get(rank, 0, m)) for m in maps]),
        iterators(["parallel"] * (2 + spatial) + ["reduction"] * spatial),
    )
    kinds = [ir.RankedTensorType(v.type).element_type for v in (*inputs, init)]
    block = op.regions[0].blocks.append(*kinds, arg_locs=[ir.Location.current] * 3)
    with TensorBuilder.current().block(block):
        result = body(Scalar(block.arguments[2], accumulator), s.load(block.arguments[0], x.dtype))
        linalg.yield_([s.store(result, accumulator)])
    return cast(Tensor(shape, accumulator, value=op.results[0]), dtype)


def window_counts(
    extents: Sequence[Dim],
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads_low: Sequence[Dim],
    pads_high: Sequence[Dim],
    out_spatial: Sequence[Dim],
    include_padding: bool,
    dtype: DType,
) -> Tensor | int:
    """How many elements each window covers: one number if all cover as many, else a tensor over the spatial axes.

    Args:
      extents: of the unpadded input.
      window: its extents.
      strides: per axis.
      dilations: per axis.
      pads_low: padding before each axis.
      pads_high: declared padding after each axis (windows may reach beyond it; that is never counted).
      out_spatial: number of windows per axis.
      include_padding: whether declared padding counts.
      dtype: of the counts.
    """
    if not any(isinstance(d, Dim.__args__[1]) for d in (*extents, *pads_low, *pads_high, *out_spatial)):  # pyright: ignore
        per_axis = []
        for d, k, stride, dilation, low, high, n in zip(
            extents, window, strides, dilations, pads_low, pads_high, out_spatial, strict=True
        ):
            positions = np.arange(n)[:, None] * stride + np.arange(k)[None, :] * dilation  # pyright: ignore
            first, last = (0, low + d + high) if include_padding else (low, low + d)
            per_axis.append(((positions >= first) & (positions < last)).sum(1))
        if all((counts == counts[:1]).all() for counts in per_axis):
            return int(np.prod([counts[0] if len(counts) else 1 for counts in per_axis]))
        grid = per_axis[0]
        for counts in per_axis[1:]:
            grid = grid[..., None] * counts
        return Tensor.of(grid.astype(dtype), name="window_counts")

    def body(*position: Scalar) -> Scalar:
        total: Scalar | None = None
        for i, p in enumerate(position):
            first = dim_scalar(pads_low[i]) if not include_padding else s.coerce(0, s.INDEX)
            end = dim_scalar(pads_low[i] + extents[i] + (pads_high[i] if include_padding else 0))
            start = p * strides[i]
            number: Scalar | None = None
            if dilations[i] == 1:
                number = s.minimum(start + window[i], end) - s.maximum(start, first)
                number = s.maximum(number, 0)
            else:
                for k in range(window[i]):
                    at = start + k * dilations[i]
                    one = s.select((at >= first) & (at < end), s.coerce(1, s.INDEX), 0)
                    number = one if number is None else number + one
            assert number is not None
            total = number if total is None else total * number
        assert total is not None
        return s.cast(s.cast(total, INT64), compute_dtype(dtype))

    return tabulate(out_spatial, dtype, body)


def average(total: Tensor, counts: Tensor | int, dtype: DType) -> Tensor:
    """Window sums over their counts."""
    if isinstance(counts, int):
        return map_(lambda a: s.cast(a / counts, compute_dtype(dtype)), total, dtype=dtype)
    return map_(lambda a, n: s.cast(a / n, compute_dtype(dtype)), total, cast(counts, total.dtype), dtype=dtype)


def global_extent(x: Tensor) -> Dim:
    """Number of spatial elements."""
    return product(x.shape[2:])
