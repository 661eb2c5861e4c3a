"""Sorting, selection, uniqueness, counting: what compares elements with each other."""

from __future__ import annotations

from typing import Any

from mlirage.importers.pytorch_ops.registry import Dim, Op, Operand, as_tensor, at_least_1d, aten, promoted
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, dims, ordering, scattering
from mlirage.input.builders import scalar as s


def _sorted(x: Tensor, dim: int, descending: bool) -> tuple[Tensor, Tensor]:
    flat = at_least_1d(x)
    values, places = ordering.sort_with_positions(flat, dim, descending)
    return b.reshape(values, x.shape), b.reshape(places, x.shape)


@aten("sort")
def sort(op: Op, x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    return _sorted(x, dim, descending)


@aten("sort.stable")
def sort_stable(op: Op, x: Tensor, *, stable: Any = None, dim: int = -1, descending: bool = False) -> Any:
    return _sorted(x, dim, descending)


@aten("argsort", "argsort.stable")
def argsort(op: Op, x: Tensor, *arguments: Any, stable: Any = None, dim: int = -1, descending: bool = False) -> Tensor:
    if arguments:
        dim, descending = arguments
    return _sorted(x, dim, descending)[1]


@aten("msort")
def msort(op: Op, x: Tensor) -> Tensor:
    return _sorted(x, 0, False)[0]


@aten("topk")
def topk(op: Op, x: Tensor, count: Dim, dim: int = -1, largest: bool = True, ordered: bool = True) -> Any:
    if x.rank == 0:
        return x, Tensor.of(0, b.INT64)
    return ordering.topk(x, count, dim, largest)


def _nth(x: Tensor, dim: int, place: Any, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The element, and its position, at `place(row)` of each sorted row."""
    flat = at_least_1d(x)
    axis = b.normalize_axis(dim, flat.rank)
    values, places = ordering.sort_with_positions(flat, axis)
    shape = [1 if i == axis else d for i, d in enumerate(flat.shape)]
    at = place(flat, axis)
    at = b.broadcast_to(at, shape)
    results = [b.gather_elements(v, at, axis) for v in (values, places)]
    kept = results if keepdim and x.rank else [b.squeeze(v, [axis]) for v in results]
    return kept[0], kept[1]


@aten("kthvalue")
def kthvalue(op: Op, x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return _nth(x, dim, lambda flat, axis: as_tensor(k - 1, b.INT64), keepdim)


def _middle(x: Tensor, axis: int, skip_nan: bool) -> Tensor:
    """The position of the lower median: NaNs are at the end; one of them is the median unless they are skipped."""
    size = extent_tensor(x.shape[axis])
    if not b.is_float(x.dtype):
        return b.map_(lambda n: (n - 1) / 2, size)
    nans = b.sum_(b.cast(b.map_(lambda a: s.is_nan(a), x, dtype=b.BOOL), b.INT64), [axis], keepdims=True)
    if skip_nan:
        return b.map_(lambda k, n: s.maximum((n - k - 1) / 2, 0), nans, size)
    return b.map_(lambda k, n: s.select(k > 0, n - k, (n - 1) / 2), nans, size, dtype=b.INT64)


def extent_tensor(extent: Dim) -> Tensor:
    """An extent as a tensor of rank 0."""
    return as_tensor(extent, b.INT64)


@aten("median.dim")
def median_dim(op: Op, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return _nth(x, dim, lambda flat, axis: _middle(flat, axis, False), keepdim)


@aten("nanmedian.dim")
def nanmedian_dim(op: Op, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return _nth(x, dim, lambda flat, axis: _middle(flat, axis, True), keepdim)


@aten("median")
def median(op: Op, x: Tensor) -> Tensor:
    return _nth(b.reshape(x, [b.product(x.shape)]), 0, lambda f, a: _middle(f, a, False), False)[0]


@aten("nanmedian")
def nanmedian(op: Op, x: Tensor) -> Tensor:
    return _nth(b.reshape(x, [b.product(x.shape)]), 0, lambda f, a: _middle(f, a, True), False)[0]


@aten("mode")
def mode(op: Op, x: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The most frequent element, the smallest of those, and its last position: by comparing all pairs of a row."""
    flat = at_least_1d(x)
    axis = b.normalize_axis(dim, flat.rank)
    values, places = ordering.sort_with_positions(flat, axis)
    last = b.transpose(values, [*(i for i in range(flat.rank) if i != axis), axis])
    left, right = b.unsqueeze(last, [-1]), b.unsqueeze(last, [-2])
    counts = b.reduce_(lambda t, p, q: t + s.cast(p.eq(q), b.INT64), 0, [left, right], [last.rank], b.INT64)
    best = b.arg_extreme(counts, -1, True, False, True)  # the first, so the smallest element
    most = b.gather_elements(counts, best, -1)
    at = b.map_(lambda p, n: p + n - 1, best, most)  # the last of its run: sorting is stable
    turned = b.transpose(places, [*(i for i in range(flat.rank) if i != axis), axis])
    results = [b.gather_elements(v, at, -1) for v in (last, turned)]
    if not keepdim or not x.rank:
        results = [b.squeeze(v, [-1]) for v in results]
    else:
        back = [*range(axis), flat.rank - 1, *range(axis, flat.rank - 1)]
        results = [b.transpose(v, back) for v in results]
    return results[0], results[1]


@aten("searchsorted.Tensor", "searchsorted.Scalar")
def searchsorted(
    op: Op, ordered: Tensor, values: Operand, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The number of elements before each value, by counting them."""
    if sorter is not None:
        ordered = b.gather_elements(ordered, sorter, -1)
    return _search(op, ordered, as_tensor(values), right or side == "right")


@aten("bucketize.Tensor", "bucketize.Scalar")
def bucketize(op: Op, values: Operand, ordered: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    return _search(op, ordered, as_tensor(values), right)


def _search(op: Op, ordered: Tensor, values: Tensor, right: bool) -> Tensor:
    """A binary search of every value in its row."""
    common = promoted([ordered, values])
    ordered, values = as_tensor(ordered, common), as_tensor(values, common)
    size = ordered.shape[-1]
    if size == 0:
        return b.fill(values.shape, 0, op.dtype)
    steps = int(size).bit_length() if isinstance(size, int) else 48
    shared = ordered.rank == 1

    def body(value: Scalar) -> Scalar:
        row = [] if shared else [s.index_of(i) for i in range(values.rank - 1)]
        low, high = s.coerce(0, b.INDEX), b.dim_scalar(size)
        top = b.dim_scalar(size) - 1
        for _ in range(steps):
            middle = (low + high) / 2
            element = s.read(ordered, [*row, s.minimum(middle, top)])
            before = (element <= value) if right else (element < value)
            if b.is_float(common):  # NaN is the largest
                nan, other = s.is_nan(value), s.is_nan(element)
                before = before | (nan & ~other) | (nan & other if right else nan & ~other)
            open_ = low < high
            low, high = (
                s.select(open_ & before, middle + 1, low),
                s.select(open_ & ~before, middle, high),
            )
        return s.cast(s.cast(low, b.INT64), op.dtype)

    return b.map_(body, values, dtype=op.dtype)


def unique_rows(x: Tensor, axis: int, consecutive: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Slices along an axis without repetition, in order (or only runs joined), with inverse positions and counts."""
    turned = b.transpose(x, [axis, *(i for i in range(x.rank) if i != axis)])
    rows = b.reshape(turned, [x.shape[axis], b.product(turned.shape[1:])])
    count, width = rows.shape
    numbers = b.tabulate([count], b.INT64, lambda i: s.cast(i, b.INT64))
    origin = numbers
    if not consecutive:
        # Stable sorts by the columns, the last one first, order rows lexicographically.
        if not isinstance(width, int) or width > 64:
            raise NotImplementedError("unique slices of more than 64 elements, or of a number that only a run knows")
        for column in reversed(range(width)):
            key = b.gather(b.squeeze(b.slice_axis(rows, 1, column, 1), [1]), origin, 0)
            _, order = ordering.sort_with_positions(key, 0)
            origin = b.gather(origin, order, 0)
    ordered = b.gather(rows, origin, 0)
    previous = b.map_(lambda i: s.maximum(i - 1, 0), numbers)
    different = b.map_(lambda p, q: p.ne(q), ordered, b.gather(ordered, previous, 0), dtype=b.BOOL)
    starts = b.amax(different, [1])
    starts = b.map_(lambda d, i: d | i.eq(0), starts, numbers, dtype=b.BOOL)
    places = ordering.true_positions(starts)
    number = places.shape[0]
    group = b.map_(lambda t: t - 1, ordering.scan(b.cast(starts, b.INT64), 0, 0, lambda t, a: t + a, False, False))
    inverse = scattering.scatter_elements(b.fill([count], 0, b.INT64), origin, group, 0)
    ones = b.fill([count], 1, b.INT64)
    counts = scattering.scatter_elements(b.fill([number], 0, b.INT64), group, ones, 0, lambda old, new: old + new)
    kept = b.gather(ordered, places, 0)
    shaped = b.reshape(kept, [number, *turned.shape[1:]])
    back = [*range(1, axis + 1), 0, *range(axis + 1, x.rank)]
    return b.transpose(shaped, back), inverse, counts


def _unique(x: Tensor, axis: int | None, consecutive: bool) -> tuple[Tensor, Tensor, Tensor]:
    if axis is None:
        values, inverse, counts = unique_rows(b.reshape(x, [b.product(x.shape)]), 0, consecutive)
        return values, b.reshape(inverse, x.shape), counts
    return unique_rows(x, b.normalize_axis(axis, x.rank), consecutive)


@aten("_unique2")
def unique2(op: Op, x: Tensor, ordered: bool = True, inverse: bool = False, counts: bool = False) -> Any:
    return _wanted(_unique(x, None, False), inverse or counts, counts)


@aten("unique_dim")
def unique_dim(op: Op, x: Tensor, dim: int, ordered: bool = True, inverse: bool = False, counts: bool = False) -> Any:
    return _wanted(_unique(x, dim, False), True, True)


@aten("unique_consecutive")
def unique_consecutive(op: Op, x: Tensor, inverse: bool = False, counts: bool = False, dim: int | None = None) -> Any:
    return _wanted(_unique(x, dim, True), inverse or dim is not None, counts or dim is not None)


def _wanted(found: tuple[Tensor, Tensor, Tensor], inverse: bool, counts: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values, positions and counts; empty tensors for what was not asked for."""
    nothing = b.fill([0], 0, b.INT64)
    return found[0], found[1] if inverse else nothing, found[2] if counts else nothing


@aten("bincount")
def bincount(op: Op, x: Tensor, weights: Tensor | None = None, least: Dim = 0) -> Tensor:
    places = as_tensor(x, b.INT64)
    count = x.shape[0]
    top = b.map_(lambda t: t + 1, b.reduce_(s.maximum, -1, [places], [0], b.INT64)).dims()[0]
    size = dims.maximum(top, least)
    values = b.fill([count], 1, b.INT64) if weights is None else as_tensor(weights, op.dtype)
    zero = b.fill([size], 0, op.dtype)
    return scattering.scatter_elements(zero, places, values, 0, lambda old, new: old + new)


@aten("histc")
def histc(op: Op, x: Tensor, bins: int = 100, low: Any = 0, high: Any = 0) -> Tensor:
    count = b.product(x.shape)
    flat = b.reshape(x, [count])
    wide = b.compute_dtype(x.dtype) if b.is_float(x.dtype) else b.FLOAT64
    least, most = as_tensor(low, wide), as_tensor(high, wide)
    if low == high:
        if count != 0:
            least, most = b.cast(b.amin(flat, [0]), wide), b.cast(b.amax(flat, [0]), wide)
        same = b.map_(lambda p, q: p.eq(q), least, most, dtype=b.BOOL)
        least, most = (
            b.map_(lambda e, v, d=d: s.select(e, v + d, v), same, v, dtype=wide)
            for v, d in ((least, -1.0), (most, 1.0))
        )

    def place(a: Scalar, p: Scalar, q: Scalar) -> Scalar:
        a = s.cast(a, wide)
        at = s.cast((a - p) * float(bins) / (q - p), b.INT64)
        inside = (a >= p) & (a <= q)
        return s.select(inside, s.clamp(at, 0, bins - 1), s.coerce(bins, b.INT64))

    places = b.map_(place, flat, least, most, dtype=b.INT64)
    ones = b.fill([count], 1, op.dtype)
    zero = b.fill([bins + 1], 0, op.dtype)  # what lies outside is counted in a bin that is dropped
    counted = scattering.scatter_elements(zero, places, ones, 0, lambda old, new: old + new)
    return b.slice_axis(counted, 0, 0, bins)


@aten("isin.Tensor_Tensor", "isin.Tensor_Scalar", "isin.Scalar_Tensor")
def isin(op: Op, x: Operand, values: Operand, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    common = promoted([x, values])
    left, right = as_tensor(x, common), as_tensor(values, common)
    flat = b.reshape(right, [b.product(right.shape)])
    found = b.reduce_(lambda t, p, q: t | p.eq(q), False, [b.unsqueeze(left, [-1]), flat], [left.rank], b.BOOL)
    return b.map_(lambda a: ~a, found) if invert else found
