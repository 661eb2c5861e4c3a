"""Reading images at fractional positions: GridSample and RoiAlign."""

from __future__ import annotations

from itertools import product
from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def _whole(x: Scalar) -> Scalar:
    """A float that is whole, as an index."""
    return s.cast(s.cast(x, b.INT64), b.INDEX)


def _extent(dim: Dim, dtype: b.DType) -> Scalar:
    return s.cast(s.cast(b.dim_scalar(dim), b.INT64), dtype)


def _reflected(x: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """`x` mirrored at the borders until it lies between them."""
    span = high - low
    distance = s.select(x < low, low - x, x - high)
    turns = s.trunc(distance / span)
    rest = distance - turns * span
    odd = (turns - s.trunc(turns * 0.5) * 2.0).ne(0.0)
    from_low, from_high = low + rest, high - rest
    inside = s.select((x < low) ^ odd, from_low, from_high)
    inside = s.select(span.eq(0.0), low, inside)
    return s.select((x < low) | (x > high), inside, x)


def _cubic(t: Scalar) -> list[Scalar]:
    """Weights of the four neighbours at a fraction `t` past the second."""
    a = -0.75

    def far(u: Scalar) -> Scalar:
        return ((u * a - 5 * a) * u + 8 * a) * u - 4 * a

    def near(u: Scalar) -> Scalar:
        return (u * (a + 2) - (a + 3)) * u * u + 1.0

    one = s.coerce(1.0, t.dtype)
    return [far(t + 1.0), near(t), near(one - t), far(s.coerce(2.0, t.dtype) - t)]


@onnx_op()
def GridSample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(node.get("mode", "linear"), node.get("mode", "linear"))
    padding = node.get("padding_mode", "zeros")
    corners = bool(node.get("align_corners", 0))
    spatial = x.rank - 2
    dtype = b.compute_dtype(grid.dtype)
    wide = b.compute_dtype(x.dtype)

    def borders(dim: Dim) -> tuple[Scalar, Scalar]:
        extent = _extent(dim, dtype)
        if corners:
            return s.coerce(0.0, dtype), extent - 1.0
        return s.coerce(-0.5, dtype), extent - 0.5

    def pixel(place: list[Scalar], positions: list[Scalar]) -> Scalar:
        inside: Scalar | None = None
        indices: list[Scalar] = []
        for dim, p in zip(x.shape[2:], positions, strict=True):
            top = _extent(dim, dtype) - 1.0
            if padding == "reflection":
                p = s.trunc(_reflected(p, *borders(dim)))
            fits = (p >= 0.0) & (p <= top)
            inside = fits if inside is None else inside & fits
            indices.append(_whole(s.clamp(p, 0.0, top)))
        value = s.read(x, [*place, *indices])
        assert inside is not None
        return s.select(inside, value, s.coerce(0, wide)) if padding == "zeros" else value

    def source(position: list[Scalar], axis: int) -> Scalar:
        """Where the grid points along a spatial axis; the grid lists axes from the last to the first."""
        last = s.coerce(spatial - 1 - axis, b.INDEX)
        n = s.read(grid, [position[0], *position[2:], last])
        extent = _extent(x.shape[2 + axis], dtype)
        p = (n + 1.0) * 0.5 * (extent - 1.0) if corners else ((n + 1.0) * extent - 1.0) * 0.5
        if mode == "nearest":
            p = s.round_even(p)
        low, high = borders(x.shape[2 + axis])
        outside = (p < low) | (p > high)
        if padding == "border":
            p = s.select(outside, s.clamp(p, 0.0, extent - 1.0), p)
        elif padding == "reflection":
            p = _reflected(p, low, high)
        return p

    def body(*position: Scalar) -> Scalar:
        place, points = list(position[:2]), [source(list(position), i) for i in range(spatial)]
        if mode == "nearest":
            return pixel(place, [s.round_even(p) for p in points])
        bases = [s.floor(p) for p in points]
        if mode == "linear":
            offsets = range(2)
            weights = [[s.coerce(1.0, dtype) - (p - q), p - q] for p, q in zip(points, bases, strict=True)]
        else:
            offsets = range(-1, 3)
            weights = [_cubic(p - q) for p, q in zip(points, bases, strict=True)]
        total = s.coerce(0, wide)
        for combination in product(range(len(offsets)), repeat=spatial):
            weight = weights[0][combination[0]]
            for i in range(1, spatial):
                weight = weight * weights[i][combination[i]]
            taps = [base + float(offsets[k]) for base, k in zip(bases, combination, strict=True)]
            total = total + pixel(place, taps) * s.cast(weight, wide)
        return total

    return b.tabulate((*x.shape[:2], *grid.shape[1:-1]), x.dtype, body)


@onnx_op()
def RoiAlign(node: Node, x: Tensor, rois: Tensor, batches: Tensor) -> Tensor:
    rows, columns = node.get("output_height", 1), node.get("output_width", 1)
    ratio = node.get("sampling_ratio", 0)
    scale = node.get("spatial_scale", 1.0)
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    half = node.get("coordinate_transformation_mode", default) == "half_pixel"
    maximum = node.get("mode", "avg") == "max"
    wide = b.compute_dtype(x.dtype)
    count = rois.shape[0]

    def region(n: Scalar, axis: int) -> tuple[Scalar, Scalar]:
        """Start and extent of a region along rows (1) or columns (0), in the image's pixels."""
        shift = 0.5 if half else 0.0
        start = s.read(rois, [n, axis]) * scale - shift
        extent = s.read(rois, [n, axis + 2]) * scale - shift - start
        return start, extent if half else s.maximum(extent, 1.0)

    def samples(axis: int, bins: int) -> tuple[Dim, Tensor]:
        """The most samples per bin of any region, and each region's own number."""
        if ratio > 0:
            return ratio, b.fill([count], ratio, b.INT64)
        own = b.tabulate([count], b.INT64, lambda n: s.cast(s.ceil(region(n, axis)[1] / float(bins)), b.INT64))
        return b.dims.maximum(b.cast(b.amax(own), b.INT64).dims()[0], 0), own

    most_rows, own_rows = samples(1, rows)
    most_columns, own_columns = samples(0, columns)

    def along(n: Scalar, axis: int, bins: int, own: Tensor, cell: Scalar, sample: Scalar) -> tuple[Scalar, Scalar]:
        start, extent = region(n, axis)
        size = extent / float(bins)
        number = s.cast(s.read(own, [n]), wide)
        at = s.cast(s.cast(sample, b.INT64), wide)
        return start + s.cast(s.cast(cell, b.INT64), wide) * size + (at + 0.5) * size / number, number

    def corners(dim: Dim, p: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """Both neighbours and their weights."""
        top = _extent(dim, wide) - 1.0
        p = s.maximum(p, 0.0)
        low = s.minimum(s.floor(p), top)
        p = s.select(s.floor(p) >= top, top, p)
        fraction = p - low
        return low, s.minimum(low + 1.0, top), s.coerce(1.0, wide) - fraction, fraction

    def body(total: Scalar, *_: Scalar) -> Scalar:
        n, c, row, column, i, j = (s.index_of(k) for k in range(6))
        y, row_samples = along(n, 1, rows, own_rows, row, i)
        z, column_samples = along(n, 0, columns, own_columns, column, j)
        height, width = _extent(x.shape[2], wide), _extent(x.shape[3], wide)
        outside = (y < -1.0) | (y > height) | (z < -1.0) | (z > width)
        y0, y1, wy0, wy1 = corners(x.shape[2], y)
        z0, z1, wz0, wz1 = corners(x.shape[3], z)
        batch = b.checked_index(s.read(batches, [n]), x.shape[0])
        parts: list[Scalar] = []
        for yy, wy in ((y0, wy0), (y1, wy1)):
            for zz, wz in ((z0, wz0), (z1, wz1)):
                yi, zi = (s.clamp(_whole(q), 0, b.dim_scalar(d) - 1) for q, d in ((yy, x.shape[2]), (zz, x.shape[3])))
                parts.append(s.read(x, [batch, c, yi, zi]) * wy * wz)
        live = (s.cast(s.cast(i, b.INT64), wide) < row_samples) & (s.cast(s.cast(j, b.INT64), wide) < column_samples)
        if maximum:
            value = s.maximum(s.maximum(parts[0], parts[1]), s.maximum(parts[2], parts[3]))
            value = s.select(outside, s.coerce(0.0, wide), value)
            return s.select(live, s.maximum(total, value), total)
        value = s.select(outside, s.coerce(0.0, wide), parts[0] + parts[1] + parts[2] + parts[3])
        return s.select(live, total + value, total)

    shape = (count, x.shape[1], rows, columns, most_rows, most_columns)
    start: Any = float("-inf") if maximum else 0
    pooled = b.reduce_(body, start, [], [4, 5], wide, shape=shape)
    if maximum:
        return b.cast(b.map_(lambda a: s.select(a.eq(float("-inf")), 0.0, a), pooled), x.dtype)
    area = b.map_(lambda p, q: s.cast(s.maximum(p * q, 1), wide), own_rows, own_columns, dtype=wide)
    return b.cast(b.map_(lambda a, n: a / n, pooled, b.reshape(area, (count, 1, 1, 1))), x.dtype)


@onnx_op()
def AffineGrid(node: Node, theta: Tensor, size: Tensor) -> Tensor:
    """theta [n, d, d + 1] times every position of a grid from -1 to 1, coordinates from the last axis to the first."""
    if not isinstance(size.shape[0], int):
        raise ValueError("the number of axes of the grid must be known")
    extents = size.dims()[2:]
    corners = bool(node.get("align_corners", 0))
    dtype = b.compute_dtype(theta.dtype)

    def coordinate(place: Scalar, dim: Dim) -> Scalar:
        extent, p = _extent(dim, dtype), s.cast(s.cast(place, b.INT64), dtype)
        if corners:
            return s.select(extent.eq(1.0), s.coerce(-1.0, dtype), p * 2.0 / (extent - 1.0) - 1.0)
        return (p * 2.0 + 1.0) / extent - 1.0

    def body(*position: Scalar) -> Scalar:
        n, row = position[0], position[-1]
        axes = [coordinate(p, dim) for p, dim in zip(position[1:-1], extents, strict=True)][::-1]
        total = s.read(theta, [n, row, len(axes)])
        for i, value in enumerate(axes):
            total = total + s.read(theta, [n, row, i]) * value
        return total

    return b.tabulate((theta.shape[0], *extents, len(extents)), theta.dtype, body)


@onnx_op()
def DeformConv(
    node: Node, x: Tensor, weight: Tensor, offset: Tensor, bias: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """A convolution whose taps are moved by offsets: the moved taps are gathered first, then contracted."""
    if x.rank != 4:
        raise ValueError("deformable convolution is defined for images")
    strides, dilations = node.get("strides", [1, 1]), node.get("dilations", [1, 1])
    pads, groups, sets = node.get("pads", [0] * 4), node.get("group", 1), node.get("offset_group", 1)
    kernel = weight.shape[2:]
    rows, columns = offset.shape[2:]
    channels = x.shape[1]
    offsets = b.reshape(offset, (x.shape[0], sets, *kernel, 2, rows, columns))
    masks = b.reshape(mask, (x.shape[0], sets, *kernel, rows, columns)) if mask is not None else None
    wide = b.compute_dtype(x.dtype)

    def tap(n: Scalar, c: Scalar, i: Scalar, j: Scalar, row: Scalar, column: Scalar) -> Scalar:
        group = c / b.dim_scalar(channels // sets)
        points: list[Scalar] = []
        for k, (place, inside) in enumerate(((row, i), (column, j))):
            start = s.cast(s.cast(place * strides[k] + inside * dilations[k], b.INT64), wide) - float(pads[k])
            points.append(start + s.read(offsets, [n, group, i, j, k, row, column]))
        total = s.coerce(0.0, wide)
        bases = [s.floor(p) for p in points]
        for di, dj in product(range(2), repeat=2):
            indices: list[Scalar] = []
            weight_here = s.coerce(1.0, wide)
            live = s.coerce(True, b.BOOL)
            for k, step in enumerate((di, dj)):
                at = bases[k] + float(step)
                fraction = points[k] - bases[k]
                weight_here = weight_here * (fraction if step else s.coerce(1.0, wide) - fraction)
                top = _extent(x.shape[2 + k], wide) - 1.0
                live = live & (at >= 0.0) & (at <= top)
                indices.append(_whole(s.clamp(at, 0.0, top)))
            total = total + s.select(live, s.read(x, [n, c, *indices]) * weight_here, 0.0)
        return total if masks is None else total * s.read(masks, [n, group, i, j, row, column])

    taps = b.tabulate((x.shape[0], channels, *kernel, rows, columns), x.dtype, tap)
    per_group = channels // groups
    grouped = b.reshape(taps, (x.shape[0], groups, per_group * b.product(kernel), rows * columns))
    filters = b.reshape(weight, (groups, weight.shape[0] // groups, per_group * b.product(kernel)))
    result = b.reshape(b.einsum("gfk,ngks->ngfs", [filters, grouped]), (x.shape[0], weight.shape[0], rows, columns))
    return result if bias is None else b.add(result, b.reshape(bias, (weight.shape[0], 1, 1)))
