"""Builders that move elements without calculating: reshape, transpose, slice, concatenate, pad, broadcast, reverse.

Known shapes and shape arithmetic move at compile time; weights are reshaped as views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.input.builders import dims as dim_math
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, Sym, product
from mlirage.input.builders.elementwise import broadcast_shapes, fill, map_, tabulate
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Shape, Tensor, TensorBuilder, empty, tensor_type
from mlirage.mlir import ir, linalg, tensor
from mlirage.program import is_splat

_DYNAMIC = -(2**63)


def normalize_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front.

    Raises:
      ValueError: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor with {rank} axes")
    return axis % rank


def _moved(x: Tensor, move: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], shape: Sequence[Dim]) -> Tensor:
    """The known tensor `x` after a numpy function; a splat stays one."""
    if x.filled is not None or (x.known is not None and is_splat(x.known)):
        return fill(shape, x.splat(), x.dtype)
    assert x.known is not None
    known = np.asarray(move(x.known), x.known.dtype)
    return Tensor(known.shape, x.dtype, known=known) if known.dtype == object else Tensor.of(known, name=x.name)


def _split(dims: Sequence[Dim]) -> tuple[list[ir.Value[Any]], list[int]]:
    """Run-time values and static entries, as ops with mixed sizes want them."""
    builder = TensorBuilder.current()
    return [builder.index(d) for d in dims if isinstance(d, Sym)], [_DYNAMIC if isinstance(d, Sym) else d for d in dims]


def reshape(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """The same elements in row-major order under another shape, by collapsing and expanding runs of axes.

    Raises:
      ValueError: the number of elements provably differs.
    """
    shape = tuple(shape)
    if x.shape == shape:
        return x
    TensorBuilder.current().require_equal(
        product(x.shape), product(shape), f"reshape of {list(x.shape)} to {list(shape)} changes the number of elements"
    )
    if x.filled is not None or (x.known is not None and all(isinstance(d, int) for d in shape)):
        return _moved(x, lambda known: known.reshape(shape), shape)  # pyright: ignore
    if any(d == 0 for d in (*x.shape, *shape)):
        return Tensor(shape, x.dtype, value=empty(shape, x.dtype))
    if not shape and any(d != 1 for d in x.shape):  # collapsing to no axes wants extents that are known to be 1
        x = Tensor.from_value(x.value, x.dtype, [1] * x.rank)
    if not x.shape and any(d != 1 for d in shape):
        return Tensor.from_value(reshape(x, [1] * len(shape)).value, x.dtype, shape)
    groups = _common_runs(x.shape, shape)
    value = x.value
    middle: list[Any] = [math.prod(part) if all(isinstance(d, int) for d in part) else _DYNAMIC for part, _ in groups]
    wanted: list[Any] = [math.prod(part) if all(isinstance(d, int) for d in part) else _DYNAMIC for _, part in groups]
    kind = ir.RankedTensorType(value.type).element_type
    if any(len(part) != 1 for part, _ in groups) or len(groups) != x.rank:
        value = tensor.CollapseShapeOp(
            ir.RankedTensorType.get(middle, kind), value, _runs(part for part, _ in groups)
        ).result
    if middle != wanted:
        value = tensor.cast(ir.RankedTensorType.get(wanted, kind), value)
    if any(len(part) != 1 for _, part in groups) or len(groups) != len(shape):
        sizes, static = _split(shape)
        value = tensor.ExpandShapeOp(
            tensor_type(shape, x.dtype), value, _runs(part for _, part in groups), sizes, static
        ).result
    return Tensor.from_value(value, x.dtype, shape)


def _runs(parts: Any) -> ir.ArrayAttr:
    integer = ir.IntegerType.get_signless(64)
    runs, start = [], 0
    for part in parts:
        runs.append(ir.ArrayAttr.get([ir.IntegerAttr.get(integer, start + i) for i in range(len(part))]))
        start += len(part)
    return ir.ArrayAttr.get(runs)


def _common_runs(source: Shape, target: Shape) -> list[tuple[Shape, Shape]]:
    """Splits two shapes of as many elements into the shortest runs that hold equally many; none is empty.

    A shape without axes gives no runs.
    """
    if not source or not target:
        return []
    groups: list[tuple[Shape, Shape]] = []
    i = j = 0
    while i < len(source) and j < len(target):
        first, second = i, j
        left, right = source[i], target[j]
        i, j = i + 1, j + 1
        while left != right and (i < len(source) or j < len(target)):
            grow_right = j < len(target) and (
                i == len(source)
                or dim_math.exact_quotient(left, right) is not None
                or dim_math.exact_quotient(right, left) is None
            )
            if grow_right:
                right, j = right * target[j], j + 1
            else:
                left, i = left * source[i], i + 1
        groups.append((source[first:i], target[second:j]))
    if i < len(source) or j < len(target):
        last = groups.pop()
        groups.append((last[0] + source[i:], last[1] + target[j:]))
    return groups


def squeeze(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """`x` without the given axes (checked to be 1), or without all that are known to be 1."""
    if axes is None:
        axes = [i for i, dim in enumerate(x.shape) if dim == 1]
    dropped = {normalize_axis(axis, x.rank) for axis in axes}
    for axis in dropped:
        TensorBuilder.current().require_equal(x.shape[axis], 1, f"squeeze of axis {axis} of shape {list(x.shape)}")
    if x.filled is not None:
        return fill([d for i, d in enumerate(x.shape) if i not in dropped], x.filled, x.dtype)
    if any(x.shape[axis] != 1 for axis in dropped):
        x = Tensor.from_value(x.value, x.dtype, [1 if i in dropped else d for i, d in enumerate(x.shape)])
    return reshape(x, [d for i, d in enumerate(x.shape) if i not in dropped])


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x` with unit axes at these positions of the result."""
    rank = x.rank + len(axes)
    positions = {normalize_axis(axis, rank) for axis in axes}
    if len(positions) != len(axes):
        raise ValueError(f"unsqueeze axes {list(axes)} repeat")
    rest = iter(x.shape)
    return reshape(x, [1 if i in positions else next(rest) for i in range(rank)])


def flatten(x: Tensor, axis: int) -> Tensor:
    """A matrix: the axes before `axis` as rows, the others as columns."""
    return reshape(x, [product(x.shape[:axis]), product(x.shape[axis:])])


def transpose(x: Tensor, permutation: Sequence[int]) -> Tensor:
    """Axis i of the result is axis `permutation[i]` of `x`."""
    permutation = [normalize_axis(p, x.rank) for p in permutation]
    if sorted(permutation) != list(range(x.rank)):
        raise ValueError(f"permutation {permutation} of {x.rank} axes")
    shape = tuple(x.shape[p] for p in permutation)
    if permutation == sorted(permutation):
        return x
    if x.splat() is not None or x.is_foldable:
        return _moved(x, lambda known: known.transpose(permutation), shape)
    if [p for p in permutation if x.shape[p] != 1] == [p for p in range(x.rank) if x.shape[p] != 1]:
        return reshape(x, shape)
    source: Any = x.value
    target: Any = empty(shape, x.dtype)
    value = linalg.transpose(source, outs=[target], permutation=permutation)
    return Tensor(shape, x.dtype, value=value.results[0])


def broadcast_to(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """`x` repeated along its unit axes to have `shape`."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    if x.known is not None and all(isinstance(d, int) for d in shape) and (x.is_foldable or x.splat() is not None):
        return _moved(x, lambda known: np.broadcast_to(known, shape), shape)  # pyright: ignore
    if (splat := x.splat()) is not None:
        return fill(shape, splat, x.dtype)
    return map_(lambda a: a, x, shape=shape)


def expand(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """`x` broadcast against a shape, in which 1 also stands for "as `x` has it" (numpy's rule both ways)."""
    return broadcast_to(x, broadcast_shapes([x.shape, tuple(shape)]))


def slice_(x: Tensor, starts: Sequence[Dim], sizes: Sequence[Dim], steps: Sequence[int] | None = None) -> Tensor:
    """`sizes` elements from `starts`, `steps` (≥ 1) apart; all in bounds."""
    steps = list(steps or [1] * x.rank)
    sizes = tuple(sizes)
    if sizes == x.shape and all(start == 0 for start in starts) and all(step == 1 for step in steps):
        return x
    if any(d == 0 for d in (*x.shape, *sizes)):
        return Tensor(sizes, x.dtype, value=empty(sizes, x.dtype))
    static = all(isinstance(d, int) for d in (*starts, *sizes))
    if x.filled is not None:
        return fill(sizes, x.filled, x.dtype)
    if static and x.known is not None and (x.is_foldable or x.splat() is not None):
        place = tuple(
            slice(a, a + (n - 1) * step + 1 if n else a, step) for a, n, step in zip(starts, sizes, steps, strict=True)
        )
        return _moved(x, lambda known: known[place], sizes)  # pyright: ignore
    offsets, static_offsets = _split(starts)
    extents, static_sizes = _split(sizes)
    op = tensor.ExtractSliceOp(
        tensor_type(sizes, x.dtype), x.value, offsets, extents, [], static_offsets, static_sizes, steps
    )
    return Tensor(sizes, x.dtype, value=op.result)


def slice_axis(x: Tensor, axis: int, start: Dim, size: Dim) -> Tensor:
    """`size` positions of one axis, from `start`."""
    starts: list[Dim] = [0] * x.rank
    sizes = list(x.shape)
    starts[axis], sizes[axis] = start, size
    return slice_(x, starts, sizes)


def split(x: Tensor, axis: int, sizes: Sequence[Dim]) -> list[Tensor]:
    """Parts of so many positions of one axis, one after the other; all in bounds."""
    parts: list[Tensor] = []
    start: Dim = 0
    for size in sizes:
        parts.append(slice_axis(x, axis, start, size))
        start = start + size
    return parts


def insert_slice(source: Tensor, target: Tensor, starts: Sequence[Dim], steps: Sequence[int] | None = None) -> Tensor:
    """`target` with `source` written from `starts`, `steps` apart."""
    if any(d == 0 for d in source.shape):
        return target
    offsets, static_offsets = _split(starts)
    extents, static_sizes = _split(source.shape)
    op = tensor.InsertSliceOp(
        source.value, target.value, offsets, extents, [], static_offsets, static_sizes, list(steps or [1] * source.rank)
    )
    return Tensor(target.shape, target.dtype, value=op.result)


def concatenate(parts: Sequence[Tensor], axis: int) -> Tensor:
    """The parts one after the other along an axis; the other extents must agree."""
    axis = normalize_axis(axis, parts[0].rank)
    if len(parts) == 1:
        return parts[0]
    builder = TensorBuilder.current()
    shape = list(parts[0].shape)
    for part in parts[1:]:
        if part.rank != len(shape) or part.dtype != parts[0].dtype:
            raise ValueError(f"parts {', '.join(map(repr, parts))} do not fit together")
        for i, dim in enumerate(part.shape):
            if i != axis:
                builder.require_equal(shape[i], dim, f"concatenation along axis {axis}: extent of axis {i} differs")
                shape[i] = dim if isinstance(dim, int) else shape[i]
        shape[axis] = shape[axis] + part.shape[axis]
    if all(part.is_foldable for part in parts):
        arrays = [np.asarray(part.known) for part in parts]
        if any(array.dtype == object for array in arrays):
            joined = np.concatenate([array.astype(object) for array in arrays], axis)
            return Tensor(joined.shape, parts[0].dtype, known=joined)
        return Tensor.of(np.concatenate(arrays, axis))
    result = Tensor(shape, parts[0].dtype, value=empty(shape, parts[0].dtype))
    position: Dim = 0
    for part in parts:
        if part.shape[axis] != 0:
            part = _with_shape(part, [part.shape[i] if i == axis else dim for i, dim in enumerate(shape)])
            result = insert_slice(part, result, [position if i == axis else 0 for i in range(part.rank)])
        position = position + part.shape[axis]
    return result


def _with_shape(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """`x` with extents that are known to equal its own, so that types and sizes agree."""
    if x.shape == tuple(shape):
        return x
    return Tensor.from_value(x.value, x.dtype, shape)


def pad(x: Tensor, low: Sequence[Dim], high: Sequence[Dim], value: Any) -> Tensor:
    """`x` with elements of `value` (a number or a Tensor of rank 0) added before and after; negative counts remove."""
    if all(p == 0 for p in (*low, *high)):
        return x
    zero: Dim = 0
    crop_low = [dim_math.maximum(-p, zero) for p in low]
    crop_high = [dim_math.maximum(-p, zero) for p in high]
    sizes = [d - a - b for d, a, b in zip(x.shape, crop_low, crop_high, strict=True)]
    x = slice_(x, crop_low, sizes)
    low = [dim_math.maximum(p, zero) for p in low]
    high = [dim_math.maximum(p, zero) for p in high]
    shape = tuple(a + d + b for a, d, b in zip(low, x.shape, high, strict=True))
    if shape == x.shape:
        return x
    lows, static_low = _split(low)
    highs, static_high = _split(high)
    if isinstance(value, Tensor):
        splat = value.splat()
        outer = None if splat is not None else tensor.extract(value.value, [])
    else:
        splat, outer = value, None
    op = tensor.PadOp(tensor_type(shape, x.dtype), x.value, lows, highs, static_low, static_high)
    index = ir.IndexType.get()
    block = op.regions[0].blocks.append(*[index] * x.rank, arg_locs=[ir.Location.current] * x.rank)
    with TensorBuilder.current().block(block):
        tensor.YieldOp(outer or TensorBuilder.current().scalar_constant(splat, x.dtype))
    return Tensor(shape, x.dtype, value=op.result)


def dim_scalar(dim: Dim) -> Scalar:
    """A dim as an index scalar in a body."""
    return Scalar(TensorBuilder.current().index(dim), s.INDEX)


def remap(x: Tensor, shape: Sequence[Dim], place: Callable[[list[Scalar]], list[Scalar]]) -> Tensor:
    """The tensor of `shape` whose element at p is the element of `x` at `place(p)` (in bounds)."""
    return tabulate(shape, x.dtype, lambda *position: s.read(x, place(list(position))))


def reverse(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x` with the order of elements along the axes turned round."""
    axes = [normalize_axis(axis, x.rank) for axis in axes]
    if not axes:
        return x
    if x.is_foldable or x.splat() is not None:
        return _moved(x, lambda known: np.flip(known, tuple(axes)), x.shape)

    def place(position: list[Scalar]) -> list[Scalar]:
        return [dim_scalar(x.shape[i]) - 1 - p if i in axes else p for i, p in enumerate(position)]

    return remap(x, x.shape, place)


def pad_by_position(x: Tensor, low: Sequence[Dim], high: Sequence[Dim], mode: str) -> Tensor:
    """Padding with elements of `x`: `edge` repeats the last, `reflect` mirrors about it, `wrap` starts again."""
    shape = tuple(d + a + b for d, a, b in zip(x.shape, low, high, strict=True))

    def source(i: int, position: Scalar) -> Scalar:
        extent = dim_scalar(x.shape[i])
        p = position - dim_scalar(low[i])
        if mode == "edge":
            return s.clamp(p, 0, extent - 1)
        if mode == "wrap":
            remainder = p % extent
            return s.select(remainder < 0, remainder + extent, remainder)
        period = s.maximum((extent - 1) * 2, 1)
        remainder = p % period
        remainder = s.select(remainder < 0, remainder + period, remainder)
        return s.select(remainder < extent, remainder, period - remainder)

    def place(position: list[Scalar]) -> list[Scalar]:
        return [p if low[i] == 0 and high[i] == 0 else source(i, p) for i, p in enumerate(position)]

    return x if shape == x.shape and all(p == 0 for p in low) else remap(x, shape, place)


def tile(x: Tensor, repeats: Sequence[Dim]) -> Tensor:
    """`x` laid `repeats` times after itself along each axis."""
    if all(r == 1 for r in repeats):
        return x
    shape = [r * d for r, d in zip(repeats, x.shape, strict=True)]
    if x.splat() is not None:
        return fill(shape, x.splat(), x.dtype)
    if x.is_foldable and all(isinstance(r, int) for r in repeats):
        return _moved(x, lambda known: np.tile(known, tuple(repeats)), shape)  # pyright: ignore
    spread_shape = [dim for r, d in zip(repeats, x.shape, strict=True) for dim in (r, d)]
    return reshape(broadcast_to(reshape(x, [dim for d in x.shape for dim in (1, d)]), spread_shape), shape)
