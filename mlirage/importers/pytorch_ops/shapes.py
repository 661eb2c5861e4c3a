"""Views and other movements of elements: reshape, permute, slice, join, repeat, pad, fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mlirage.importers.pytorch_ops.registry import Dim, Number, Op, Operand, as_tensor, aten, numpy_dtype
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, dims
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith, ir

_FAR = 2**62


def filled_in(shape: Sequence[Dim], count: Dim) -> list[Dim]:
    """A shape with its -1 calculated."""
    shape = list(shape)
    for i, dim in enumerate(shape):
        if isinstance(dim, int) and dim == -1:
            rest = b.product(d for j, d in enumerate(shape) if j != i)
            shape[i] = count // rest if rest != 0 else 0
    return shape


@aten("view", "view_copy", "reshape", "_unsafe_view", "_reshape_alias")
def view(op: Op, x: Tensor, shape: Sequence[Dim], *_: Any) -> Tensor:
    return b.reshape(x, filled_in(shape, b.product(x.shape)))


@aten("view.dtype")
def view_dtype(op: Op, x: Tensor, dtype: torch.dtype) -> Tensor:
    wanted = numpy_dtype(dtype)
    if b.bit_width(wanted) != b.bit_width(x.dtype) or b.BOOL in (wanted, x.dtype):
        raise NotImplementedError(f"the bits of {x.dtype} as {wanted}: only types of one width are supported")
    return bits_as(x, wanted)


def bits_as(x: Tensor, dtype: Any) -> Tensor:
    """The same bits as elements of another type of that width."""
    kind = b.element_type(dtype)
    value = b.generic(
        [x.value],
        [ir.AffineMap.get_identity(x.rank)],
        x.shape,
        dtype,
        lambda a: a if a.type == kind else arith.bitcast(kind, a),
    )
    return Tensor(x.shape, dtype, value=value)


@aten("expand", "expand_copy")
def expand(op: Op, x: Tensor, shape: Sequence[Dim], **_: Any) -> Tensor:
    added = len(shape) - x.rank
    wanted = [x.shape[i - added] if isinstance(d, int) and d == -1 else d for i, d in enumerate(shape)]
    for i, extent in enumerate(x.shape):
        if not isinstance(extent, int) or extent != 1:
            b.TensorBuilder.current().require_equal(extent, wanted[added + i], "expand: extents differ")
            wanted[added + i] = extent
    return b.broadcast_to(x, wanted)


@aten("broadcast_in_dim", namespace="prims")
def broadcast_in_dim(op: Op, x: Tensor, shape: Sequence[Dim], places: Sequence[int]) -> Tensor:
    spread: list[Dim] = [1] * len(shape)
    for extent, place in zip(x.shape, places, strict=True):
        spread[place] = extent
    return b.broadcast_to(b.reshape(x, spread), list(shape))


@aten("permute", "permute_copy")
def permute(op: Op, x: Tensor, order: Sequence[int]) -> Tensor:
    return b.transpose(x, order)


@aten("transpose", namespace="prims")
def prims_transpose(op: Op, x: Tensor, order: Sequence[int]) -> Tensor:
    return b.transpose(x, order)


@aten("transpose.int", "transpose_copy.int", "swapaxes")
def transpose(op: Op, x: Tensor, first: int, second: int) -> Tensor:
    if x.rank == 0:
        return x
    order = list(range(x.rank))
    order[first], order[second] = order[second], order[first]
    return b.transpose(x, order)


@aten("t", "t_copy")
def t(op: Op, x: Tensor) -> Tensor:
    return b.transpose(x, [1, 0]) if x.rank == 2 else x


@aten("squeeze", "squeeze_copy", "squeeze.dim", "squeeze.dims", "squeeze_copy.dim", "squeeze_copy.dims")
def squeeze(op: Op, x: Tensor, dim: Any = None) -> Tensor:
    if x.rank == 0:
        return x
    axes = range(x.rank) if dim is None else [dim] if isinstance(dim, int) else dim
    return b.squeeze(x, [axis for axis in axes if x.shape[axis] == 1])


@aten("squeeze", namespace="prims")
def prims_squeeze(op: Op, x: Tensor, axes: Sequence[int]) -> Tensor:
    return b.squeeze(x, list(axes))


@aten("unsqueeze", "unsqueeze_copy")
def unsqueeze(op: Op, x: Tensor, dim: int) -> Tensor:
    return b.unsqueeze(x, [dim])


@aten("split_dim", namespace="prims")
def split_dim(op: Op, x: Tensor, dim: int, outer: Dim) -> Tensor:
    return b.reshape(x, [*x.shape[:dim], outer, x.shape[dim] // outer, *x.shape[dim + 1 :]])


@aten("collapse_view", "collapse", namespace="prims")
def collapse(op: Op, x: Tensor, first: int, last: int) -> Tensor:
    return b.reshape(x, [*x.shape[:first], b.product(x.shape[first : last + 1]), *x.shape[last + 1 :]])


def _position(at: Dim | None, size: Dim, default: Dim) -> Dim:
    """A bound of a Python slice, in 0 … size."""
    if at is None:
        return default
    if isinstance(at, int):
        if at >= _FAR:
            return size
        if at <= -_FAR:
            return 0
        if at < 0:
            return dims.maximum(at + size, 0)
        return at if (isinstance(size, int) and at <= size) or at == 0 else dims.minimum(at, size)
    at = dims.select("slt", at, 0, at + size, at)
    return dims.minimum(dims.maximum(at, 0), size)


def slice_range(op: Op, x: Tensor, axis: int, start: Dim | None, end: Dim | None, step: int) -> tuple[Dim, Dim]:
    """First position and number of the elements of a Python slice."""
    size = x.shape[axis]
    first = _position(start, size, 0)
    last = _position(end, size, size)
    return first, dims.maximum(dims.ceiling_quotient(last - first, step), 0)


@aten("slice.Tensor", "slice_copy.Tensor")
def slice_(op: Op, x: Tensor, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1) -> Tensor:
    axis = b.normalize_axis(dim, x.rank)
    first, count = slice_range(op, x, axis, start, end, step)
    starts: list[Dim] = [0] * x.rank
    sizes, steps = list(x.shape), [1] * x.rank
    starts[axis], sizes[axis], steps[axis] = first, count, step
    return b.slice_(x, starts, sizes, steps)


@aten("slice_scatter")
def slice_scatter(
    op: Op, x: Tensor, source: Tensor, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1
) -> Tensor:
    axis = b.normalize_axis(dim, x.rank)
    first, count = slice_range(op, x, axis, start, end, step)
    starts: list[Dim] = [0] * x.rank
    steps = [1] * x.rank
    starts[axis], steps[axis] = first, step
    shape = [count if i == axis else d for i, d in enumerate(x.shape)]
    source = b.broadcast_to(as_tensor(source, x.dtype), shape)
    return b.insert_slice(source, x, starts, steps)


def _index(at: Dim, size: Dim) -> Dim:
    """A position counted from the end if negative, checked."""
    if isinstance(at, int) and isinstance(size, int):
        if not -size <= at < size:
            raise IndexError(f"position {at} of an axis of {size}")
        return at % size
    builder = b.TensorBuilder.current()
    if isinstance(at, int):
        builder.require_at_least(size, at + 1 if at >= 0 else -at, "select: position out of range")
        return at if at >= 0 else at + size
    at = dims.select("slt", at, 0, at + size, at)
    builder.require_at_least(at, 0, "select: position out of range")
    builder.require_at_least(size - 1, at, "select: position out of range")
    return at


@aten("select.int", "select_copy.int")
def select(op: Op, x: Tensor, dim: int, at: Dim) -> Tensor:
    axis = b.normalize_axis(dim, x.rank)
    return b.squeeze(b.slice_axis(x, axis, _index(at, x.shape[axis]), 1), [axis])


@aten("select_scatter")
def select_scatter(op: Op, x: Tensor, source: Tensor, dim: int, at: Dim) -> Tensor:
    axis = b.normalize_axis(dim, x.rank)
    starts: list[Dim] = [0] * x.rank
    starts[axis] = _index(at, x.shape[axis])
    return b.insert_slice(b.unsqueeze(as_tensor(source, x.dtype), [axis]), x, starts)


@aten("narrow", "narrow_copy")
def narrow(op: Op, x: Tensor, dim: int, start: Dim, length: Dim) -> Tensor:
    axis = b.normalize_axis(dim, x.rank)
    first = start if isinstance(start, int) and start >= 0 else _position(start, x.shape[axis], 0)
    b.TensorBuilder.current().require_at_least(x.shape[axis], first + length, "narrow: out of range")
    return b.slice_axis(x, axis, first, length)


@aten("split.Tensor", "split_copy.Tensor")
def split(op: Op, x: Tensor, size: Dim, dim: int = 0) -> list[Tensor]:
    axis = b.normalize_axis(dim, x.rank)
    count = len(op.node.meta["val"])
    last = x.shape[axis] - size * (count - 1)
    sizes = [size] * (count - 1) + [last]
    return split_with_sizes(op, x, sizes, axis)


@aten("split_with_sizes", "split_with_sizes_copy")
def split_with_sizes(op: Op, x: Tensor, sizes: Sequence[Dim], dim: int = 0) -> list[Tensor]:
    axis = b.normalize_axis(dim, x.rank)
    b.TensorBuilder.current().require_equal(
        x.shape[axis], sum(sizes[1:], sizes[0]) if sizes else 0, "split: sizes do not add up"
    )
    return b.split(x, axis, sizes)


@aten("unbind.int", "unbind_copy.int")
def unbind(op: Op, x: Tensor, dim: int = 0) -> list[Tensor]:
    axis = b.normalize_axis(dim, x.rank)
    count = len(op.node.meta["val"])
    return [b.squeeze(b.slice_axis(x, axis, i, 1), [axis]) for i in range(count)]


@aten("cat")
def cat(op: Op, parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    parts = [as_tensor(x, op.dtype) for x in parts]
    kept = [x for x in parts if not (x.rank == 1 and x.shape[0] == 0)]  # such parts fit everywhere
    return b.concatenate(kept, dim) if kept else parts[0]


@aten("cat", namespace="prims")
def prims_cat(op: Op, parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    return cat(op, parts, dim)


@aten("stack")
def stack(op: Op, parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    return b.concatenate([b.unsqueeze(as_tensor(x, op.dtype), [dim]) for x in parts], dim)


@aten("flip")
def flip(op: Op, x: Tensor, axes: Sequence[int]) -> Tensor:
    return b.reverse(x, list(axes)) if x.rank else x


@aten("rev", namespace="prims")
def rev(op: Op, x: Tensor, axes: Sequence[int]) -> Tensor:
    return flip(op, x, axes)


@aten("roll")
def roll(op: Op, x: Tensor, shifts: Sequence[Dim], axes: Sequence[int] = ()) -> Tensor:
    if not axes:
        flat = b.reshape(x, [b.product(x.shape)])
        return b.reshape(_rolled(flat, 0, shifts[0]), x.shape)
    for shift, axis in zip(shifts, axes, strict=True):
        x = _rolled(x, b.normalize_axis(axis, x.rank), shift)
    return x


def _rolled(x: Tensor, axis: int, shift: Dim) -> Tensor:
    size = x.shape[axis]
    if size == 0:
        return x
    cut = (-shift) % dims.maximum(size, 1)
    return b.concatenate([b.slice_axis(x, axis, cut, size - cut), b.slice_axis(x, axis, 0, cut)], axis)


@aten("repeat")
def repeat(op: Op, x: Tensor, counts: Sequence[Dim]) -> Tensor:
    return b.tile(b.reshape(x, [1] * (len(counts) - x.rank) + list(x.shape)), list(counts))


@aten("repeat_interleave.self_int")
def repeat_interleave(
    op: Op, x: Tensor, count: Dim, dim: int | None = None, *, output_size: Dim | None = None
) -> Tensor:
    if dim is None:
        x, dim = b.reshape(x, [b.product(x.shape)]), 0
    axis = b.normalize_axis(dim, x.rank)
    spread = b.unsqueeze(x, [axis + 1])
    wide = [count if i == axis + 1 else d for i, d in enumerate(spread.shape)]
    shape = [d * count if i == axis else d for i, d in enumerate(x.shape)]
    if output_size is not None:
        message = "repeat_interleave: output_size is the extent times the repeats"
        b.TensorBuilder.current().require_equal(shape[axis], output_size, message)
    return b.reshape(b.broadcast_to(spread, wide), shape)


@aten("diagonal", "diagonal_copy")
def diagonal(op: Op, x: Tensor, offset: int = 0, first: int = 0, second: int = 1) -> Tensor:
    rows, columns = b.normalize_axis(first, x.rank), b.normalize_axis(second, x.rank)
    low, right = max(-offset, 0), max(offset, 0)
    count = dims.maximum(dims.minimum(x.shape[rows] - low, x.shape[columns] - right), 0)
    rest = [i for i in range(x.rank) if i not in (rows, columns)]

    def place(position: list[Scalar]) -> list[Scalar]:
        at: list[Any] = [None] * x.rank
        for axis, p in zip(rest, position, strict=False):
            at[axis] = p
        at[rows], at[columns] = position[-1] + low, position[-1] + right
        return at

    return b.remap(x, [*(x.shape[i] for i in rest), count], place)


@aten("diagonal_scatter")
def diagonal_scatter(op: Op, x: Tensor, source: Tensor, offset: int = 0, first: int = 0, second: int = 1) -> Tensor:
    rows, columns = b.normalize_axis(first, x.rank), b.normalize_axis(second, x.rank)
    rest = [i for i in range(x.rank) if i not in (rows, columns)]
    low = max(-offset, 0)
    source = as_tensor(source, x.dtype)

    def body(*position: Scalar) -> Scalar:
        here = (position[columns] - position[rows]).eq(offset)
        along = s.clamp(position[rows] - low, 0, b.dim_scalar(source.shape[-1]) - 1)
        return s.select(here, s.read(source, [*(position[i] for i in rest), along]), s.read(x, list(position)))

    return x if source.shape[-1] == 0 else b.tabulate(x.shape, x.dtype, body)


@aten("diag_embed")
def diag_embed(op: Op, x: Tensor, offset: int = 0, first: int = -2, second: int = -1) -> Tensor:
    rank = x.rank + 1
    rows, columns = b.normalize_axis(first, rank), b.normalize_axis(second, rank)
    size = x.shape[-1] + abs(offset)
    rest = [i for i in range(rank) if i not in (rows, columns)]
    shape: list[Dim] = [size] * rank
    for axis, extent in zip(rest, x.shape, strict=False):
        shape[axis] = extent
    low = max(-offset, 0)

    def body(*position: Scalar) -> Scalar:
        here = (position[columns] - position[rows]).eq(offset)
        along = s.clamp(position[rows] - low, 0, b.dim_scalar(x.shape[-1]) - 1)
        element = s.read(x, [*(position[i] for i in rest), along])
        return s.select(here, element, s.coerce(0, element.dtype))

    return b.fill(shape, 0, x.dtype) if x.shape[-1] == 0 else b.tabulate(shape, x.dtype, body)


def _triangle(x: Tensor, keep: Any) -> Tensor:
    def body(a: Scalar) -> Scalar:
        inside = keep(s.index_of(x.rank - 1) - s.index_of(x.rank - 2))
        return s.select(inside, a, s.coerce(0, a.dtype))

    return b.map_(body, b.broadcast_to(x, x.shape), dtype=x.dtype)


@aten("tril")
def tril(op: Op, x: Tensor, diagonal: Dim = 0) -> Tensor:
    return _triangle(x, lambda d: d <= b.dim_scalar(diagonal))


@aten("triu")
def triu(op: Op, x: Tensor, diagonal: Dim = 0) -> Tensor:
    return _triangle(x, lambda d: d >= b.dim_scalar(diagonal))


def _contiguous(op: Op) -> None:
    value = op.node.args[0].meta["val"]  # pyright: ignore
    if not value.is_contiguous() or value.storage_offset():
        raise NotImplementedError("as_strided of a tensor that PyTorch does not keep in row-major order")


@aten("as_strided", "as_strided_copy")
def as_strided(op: Op, x: Tensor, shape: Sequence[Dim], strides: Sequence[Dim], offset: Dim | None = None) -> Tensor:
    _contiguous(op)
    flat = b.reshape(x, [b.product(x.shape)])

    def place(position: list[Scalar]) -> list[Scalar]:
        at = b.dim_scalar(offset or 0)
        for p, stride in zip(position, strides, strict=True):
            at = at + p * b.dim_scalar(stride)
        return [s.clamp(at, 0, b.dim_scalar(flat.shape[0]) - 1)]

    return b.remap(flat, list(shape), place)


@aten("as_strided_scatter")
def as_strided_scatter(
    op: Op, x: Tensor, source: Tensor, shape: Sequence[Dim], strides: Sequence[Dim], offset: Dim | None = None
) -> Tensor:
    _contiguous(op)
    return _strided_scatter(x, source, shape, strides, offset)


@aten("as_strided_scatter", namespace="prims")
def prims_as_strided_scatter(
    op: Op, x: Tensor, source: Tensor, shape: Sequence[Dim], strides: Sequence[Dim], offset: Dim | None = None
) -> Tensor:
    _contiguous(op)
    return _strided_scatter(x, source, shape, strides, offset)


def _strided_scatter(
    x: Tensor, source: Tensor, shape: Sequence[Dim], strides: Sequence[Dim], offset: Dim | None
) -> Tensor:
    def body(*position: Scalar) -> Scalar:
        at = b.dim_scalar(offset or 0)
        for p, stride in zip(position, strides, strict=True):
            at = at + p * b.dim_scalar(stride)
        return s.cast(at, b.INT64)

    places = b.tabulate(list(shape), b.INT64, body)
    count = b.product(places.shape)
    flat = b.reshape(x, [b.product(x.shape)])
    updated = b.scattering.scatter_elements(flat, b.reshape(places, [count]), b.reshape(source, [count]), 0)
    return b.reshape(updated, x.shape)


@aten("unfold", "unfold_copy")
def unfold(op: Op, x: Tensor, dim: int, size: int, step: int) -> Tensor:
    if x.rank == 0:
        return b.slice_axis(b.reshape(x, [1]), 0, 0, size)
    axis = b.normalize_axis(dim, x.rank)
    count = (x.shape[axis] - size) // step + 1
    shape = [*(count if i == axis else d for i, d in enumerate(x.shape)), size]

    def place(position: list[Scalar]) -> list[Scalar]:
        at = list(position[:-1])
        at[axis] = position[axis] * step + position[-1]
        return at

    return b.remap(x, shape, place)


def spatial_pads(pads: Sequence[Dim], rank: int) -> tuple[list[Dim], list[Dim]]:
    """PyTorch's pads, of the last axis first, as one list before and one behind."""
    low: list[Dim] = [0] * rank
    high: list[Dim] = [0] * rank
    for i in range(len(pads) // 2):
        low[rank - 1 - i], high[rank - 1 - i] = pads[2 * i], pads[2 * i + 1]
    return low, high


@aten("constant_pad_nd")
def constant_pad_nd(op: Op, x: Tensor, pads: Sequence[Dim], value: Number = 0) -> Tensor:
    low, high = spatial_pads(pads, x.rank)
    number = value if isinstance(value, int | float | bool) else as_tensor(value, x.dtype)
    return b.pad(x, low, high, number)


def _padding(names: tuple[str, ...], reflected: bool) -> None:
    """Padding by elements of the tensor itself; negative pads cut."""

    @aten(*names)
    def function(op: Op, x: Tensor, pads: Sequence[Dim]) -> Tensor:
        low, high = spatial_pads(pads, x.rank)
        shape = [d + p + q for d, p, q in zip(x.shape, low, high, strict=True)]
        if any(d == 0 for d in x.shape):
            return b.fill(shape, 0, x.dtype)

        def place(position: list[Scalar]) -> list[Scalar]:
            at = list(position)
            for axis, (before, after) in enumerate(zip(low, high, strict=True)):
                if before == 0 and after == 0:
                    continue
                last = b.dim_scalar(x.shape[axis]) - 1
                here = position[axis] - b.dim_scalar(before)
                if reflected:
                    here = s.absolute(here)
                    here = s.select(here > last, last * 2 - here, here)
                at[axis] = s.clamp(here, 0, last)
            return at

        return b.remap(x, shape, place)


_padding(("reflection_pad1d", "reflection_pad2d", "reflection_pad3d"), True)
_padding(("replication_pad1d", "replication_pad2d", "replication_pad3d"), False)


@aten("pixel_shuffle")
def pixel_shuffle(op: Op, x: Tensor, factor: int) -> Tensor:
    outer, (c, h, w) = list(x.shape[:-3]), x.shape[-3:]
    depth = c // (factor * factor)
    n = len(outer)
    split = b.reshape(x, [*outer, depth, factor, factor, h, w])
    turned = b.transpose(split, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return b.reshape(turned, [*outer, depth, h * factor, w * factor])


@aten("pixel_unshuffle")
def pixel_unshuffle(op: Op, x: Tensor, factor: int) -> Tensor:
    outer, (c, h, w) = list(x.shape[:-3]), x.shape[-3:]
    n = len(outer)
    split = b.reshape(x, [*outer, c, h // factor, factor, w // factor, factor])
    turned = b.transpose(split, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return b.reshape(turned, [*outer, c * factor * factor, h // factor, w // factor])


@aten("copy")
def copy(op: Op, x: Tensor, source: Operand, *_: Any) -> Tensor:
    return b.broadcast_to(as_tensor(source, x.dtype), x.shape)


@aten("im2col")
def im2col(
    op: Op, x: Tensor, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Tensor:
    batched = x.rank == 4
    x = x if batched else b.unsqueeze(x, [0])
    x = b.pad(x, [0, 0, *padding], [0, 0, *padding], 0)
    counts = [b.window_extent(d, k, st, di) for d, k, st, di in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    n, c = x.shape[:2]

    def place(p: list[Scalar]) -> list[Scalar]:
        rows = [p[4 + i] * stride[i] + p[2 + i] * dilation[i] for i in range(2)]
        return [p[0], p[1], *rows]

    columns = b.remap(x, [n, c, *kernel, *counts], place)
    result = b.reshape(columns, [n, c * kernel[0] * kernel[1], counts[0] * counts[1]])
    return result if batched else b.squeeze(result, [0])


@aten("col2im")
def col2im(
    op: Op, x: Tensor, size: Sequence[Dim], kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:  # fmt: skip
    """Every element sums the at most kernel-many columns that cover it."""
    batched = x.rank == 3
    x = x if batched else b.unsqueeze(x, [0])
    padded = [d + 2 * p for d, p in zip(size, padding, strict=True)]
    counts = [b.window_extent(d, k, st, di) for d, k, st, di in zip(padded, kernel, stride, dilation, strict=True)]
    n = x.shape[0]
    c = x.shape[1] // (kernel[0] * kernel[1])
    columns = b.reshape(x, [n, c, *kernel, *counts])

    def body(*p: Scalar) -> Scalar:
        total: Scalar | None = None
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                inside: Scalar | None = None
                at: list[Scalar] = []
                for axis, k in enumerate((i, j)):
                    from_start = p[2 + axis] + padding[axis] - k * dilation[axis]
                    window = from_start / stride[axis]
                    limit = b.dim_scalar(counts[axis])
                    good = (from_start >= 0) & (from_start % stride[axis]).eq(0) & (window < limit)
                    inside = good if inside is None else inside & good
                    at.append(s.clamp(window, 0, limit - 1))
                assert inside is not None
                element = s.read(columns, [p[0], p[1], s.coerce(i, b.INDEX), s.coerce(j, b.INDEX), *at])
                term = s.select(inside, element, s.coerce(0, element.dtype))
                total = term if total is None else total + term
        assert total is not None
        return total

    result = b.tabulate([n, c, *size], x.dtype, body)
    return result if batched else b.squeeze(result, [0])
