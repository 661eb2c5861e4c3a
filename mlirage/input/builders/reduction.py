"""Reductions: one `linalg.generic` with reduction loops over a filled start value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, Sym, product
from mlirage.input.builders.element_types import (
    BOOL,
    INT64,
    DType,
    compute_dtype,
    integer_range,
    is_complex,
    is_float,
    is_small_float,
)
from mlirage.input.builders.elementwise import aligned_operands, broadcast_shapes, cast, fill, map_
from mlirage.input.builders.movement import normalize_axis, unsqueeze
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Shape, Tensor, TensorBuilder, empty, tensor_type
from mlirage.mlir import ir, linalg


def iterators(kinds: Sequence[str]) -> ir.ArrayAttr:
    """The iterator types of a linalg op, from their names."""
    return ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in kinds])


def reduce_(
    body: Callable[..., Scalar],
    start: Any,
    operands: Sequence[Tensor],
    axes: Sequence[int],
    dtype: DType,
    keepdims: bool = False,
    shape: Shape | None = None,
) -> Tensor:
    """Folds elements along axes: `accumulator = body(accumulator, *elements)`, from `start`.

    Args:
      body: scalar code; must be associative and commutative in its accumulator.
      start: the neutral element.
      operands: tensors that broadcast to one shape.
      axes: what to fold.
      dtype: of the result; 16-bit floats accumulate in f32.
      keepdims: keep folded axes with extent 1.
      shape: what is folded, if more than the operands' common shape.
    """
    if shape is None:
        shape = broadcast_shapes([x.shape for x in operands])
    rank = len(shape)
    folded = sorted({normalize_axis(axis, rank) for axis in axes})
    kept = [i for i in range(rank) if i not in folded]
    accumulator = compute_dtype(dtype)
    out_shape = [shape[i] for i in kept]
    if any(dim == 0 for dim in shape):  # nothing to fold
        nothing = cast(fill(out_shape, start, accumulator), dtype)
        return unsqueeze(nothing, folded) if keepdims else nothing
    inputs, maps, load = aligned_operands(operands, shape)
    covered = {ir.AffineDimExpr(expr).position for m in maps for expr in m.results}
    if not set(folded) <= covered:
        # Nothing is read along some folded axes (splats, broadcasts): a tensor without contents says their extents.
        inputs.append(empty([shape[i] for i in folded], accumulator))
        maps.append(ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(i) for i in folded]))
    builder = TensorBuilder.current()
    init = linalg.fill(builder.scalar_constant(start, accumulator), outs=[empty(out_shape, accumulator)])
    result_map = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(i) for i in kept])
    op = linalg.GenericOp(
        [tensor_type(out_shape, accumulator)],
        inputs,
        [init],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in (*maps, result_map)]),
        iterators(["reduction" if i in folded else "parallel" for i in range(rank)]),
    )
    kinds = [ir.RankedTensorType(v.type).element_type for v in (*inputs, init)]
    block = op.regions[0].blocks.append(*kinds, arg_locs=[ir.Location.current] * len(kinds))
    with builder.block(block):
        arguments = list(block.arguments)
        result = body(Scalar(arguments[-1], accumulator), *load(arguments[:-1]))
        linalg.yield_([s.store(result, accumulator)])
    reduced = cast(Tensor(out_shape, accumulator, value=op.results[0]), dtype)
    return unsqueeze(reduced, folded) if keepdims else reduced


def lowest(dtype: DType) -> Any:
    """The neutral element of maximum."""
    if is_float(dtype):
        return -np.inf if not is_small_float(dtype) else float(np.finfo(np.float32).min)
    return False if dtype == BOOL else integer_range(dtype)[0]


def highest(dtype: DType) -> Any:
    """The neutral element of minimum."""
    if is_float(dtype):
        return np.inf
    return True if dtype == BOOL else integer_range(dtype)[1]


def _all_axes(x: Tensor, axes: Sequence[int] | None) -> list[int]:
    return list(range(x.rank)) if axes is None else [normalize_axis(axis, x.rank) for axis in axes]


def _fold(x: Tensor, function: Callable[..., Any], axes: list[int], keepdims: bool) -> Tensor | None:
    if not x.is_foldable or x.known is None or x.known.size == 0:
        return None
    result = function(x.known, axis=tuple(axes), keepdims=keepdims)
    return Tensor.of_dims(np.asarray(result, object), x.dtype)


def sum_(x: Tensor, axes: Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over axes (all by default)."""
    axes = _all_axes(x, axes)
    folded = _fold(x, np.sum, axes, keepdims) if x.dtype == INT64 else None
    if folded is not None:
        return folded
    return reduce_(lambda total, a: total + a, 0, [x], axes, x.dtype, keepdims)


def prod(x: Tensor, axes: Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Product over axes."""
    axes = _all_axes(x, axes)
    folded = _fold(x, np.prod, axes, keepdims) if x.dtype == INT64 else None
    if folded is not None:
        return folded
    return reduce_(lambda total, a: total * a, 1, [x], axes, x.dtype, keepdims)


def amax(x: Tensor, axes: Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Maximum over axes; NaN wins; of booleans, any."""
    combine = (lambda m, a: m | a) if x.dtype == BOOL else s.maximum
    return reduce_(combine, lowest(x.dtype), [x], _all_axes(x, axes), x.dtype, keepdims)


def amin(x: Tensor, axes: Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Minimum over axes; NaN wins; of booleans, all."""
    combine = (lambda m, a: m & a) if x.dtype == BOOL else s.minimum
    return reduce_(combine, highest(x.dtype), [x], _all_axes(x, axes), x.dtype, keepdims)


def count(x: Tensor, axes: Sequence[int] | None = None) -> Dim:
    """The number of elements that a reduction over axes folds."""
    return product(x.shape[i] for i in _all_axes(x, axes))


def divide_by_count(x: Tensor, number: Dim) -> Tensor:
    """`x / number`, integers rounded towards zero."""
    if isinstance(number, Sym):
        divisor = cast(Tensor.of_dims(number), x.dtype)
        return map_(lambda a, b: a / b, x, divisor)
    if is_float(x.dtype) or is_complex(x.dtype):
        return map_(lambda a: a / number if number else a * float("nan"), x)
    return map_(lambda a: a / number, x)


def mean(x: Tensor, axes: Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over axes."""
    wide = compute_dtype(x.dtype)
    total = reduce_(lambda t, a: t + a, 0, [x], _all_axes(x, axes), wide, keepdims)
    return cast(divide_by_count(total, count(x, axes)), x.dtype)


def arg_extreme(x: Tensor, axis: int, largest: bool, last: bool, keepdims: bool) -> Tensor:
    """The position of the largest or smallest element along an axis: the first such, or the last.

    A NaN counts as the extreme (numpy's rule).
    """
    axis = normalize_axis(axis, x.rank)
    kept = [i for i in range(x.rank) if i != axis]
    shape = [x.shape[i] for i in kept]
    kind = compute_dtype(x.dtype)
    builder = TensorBuilder.current()
    start = lowest(x.dtype) if largest else highest(x.dtype)
    best = linalg.fill(builder.scalar_constant(start, kind), outs=[empty(shape, kind)])
    place = linalg.fill(builder.scalar_constant(-1, INT64), outs=[empty(shape, INT64)])
    full = ir.AffineMap.get_identity(x.rank)
    part = ir.AffineMap.get(x.rank, 0, [ir.AffineExpr.get_dim(i) for i in kept])
    op = linalg.GenericOp(
        [best.type, place.type],
        [x.value],
        [best, place],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in (full, part, part)]),
        iterators(["reduction" if i == axis else "parallel" for i in range(x.rank)]),
    )
    types = [ir.RankedTensorType(v.type).element_type for v in (x.value, best, place)]
    block = op.regions[0].blocks.append(*types, arg_locs=[ir.Location.current] * 3)
    with builder.block(block):
        a = s.load(block.arguments[0], x.dtype)
        b, i = Scalar(block.arguments[1], kind), Scalar(block.arguments[2], INT64)
        better = (a >= b if last else a > b) if largest else (a <= b if last else a < b)
        if is_float(kind):
            a_nan, b_nan = s.is_nan(a), s.is_nan(b)
            better = (better & ~b_nan) | (a_nan & (~b_nan if not last else a_nan))
        better = better | (i < 0)
        position = s.cast(s.index_of(axis), INT64)
        linalg.yield_([s.select(better, a, b).value, s.select(better, position, i).value])
    result = Tensor(shape, INT64, value=op.results[1])
    return unsqueeze(result, [axis]) if keepdims else result
