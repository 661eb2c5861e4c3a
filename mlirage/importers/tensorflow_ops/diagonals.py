"""Diagonals of matrices, one or a band of them: rows of a band are padded at the end that `align` says."""

from __future__ import annotations

from mlirage.importers.tensorflow_ops.arrangement import numbers
from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def _band(k: Tensor) -> tuple[int, int]:
    found = numbers(k)
    low, high = found[0], found[-1]
    if not isinstance(low, int) or not isinstance(high, int):
        raise NotImplementedError("diagonals that only a run knows")
    return low, high


def _length(rows: Dim, columns: Dim, low: int, high: int) -> Dim:
    """Of the longest diagonal."""
    return b.dims.minimum(rows + min(high, 0), columns - max(low, 0))


def _start(call: Call, d: Scalar, longest: Scalar, rows: Scalar, columns: Scalar) -> Scalar:
    """How many elements of padding are before those of diagonal `d`."""
    above, below = call.text("align", "RIGHT_LEFT").split("_")
    zero = s.coerce(0, b.INDEX)
    own = s.minimum(rows + s.minimum(d, zero), columns - s.maximum(d, zero))
    missing = longest - own
    return s.select(d < 0, missing if below == "RIGHT" else zero, missing if above == "RIGHT" else zero)


@tf_op("MatrixDiagPartV3")
def diagonal_part(call: Call, x: Tensor, k: Tensor, padding: Tensor) -> Tensor:
    low, high = _band(k)
    rows, columns = x.shape[-2:]
    length = _length(rows, columns, low, high)
    count = high - low + 1

    def body(*position: Scalar) -> Scalar:
        batch = list(position[: x.rank - 2])
        zero = s.coerce(0, b.INDEX)
        d = s.coerce(high, b.INDEX) - (position[-2] if count > 1 else zero)
        height, width = b.dim_scalar(rows), b.dim_scalar(columns)
        at = position[-1] - _start(call, d, b.dim_scalar(length), height, width)
        row, column = at - s.minimum(d, zero), at + s.maximum(d, zero)
        inside = (at >= 0) & (row < height) & (column < width)
        held = [s.clamp(row, 0, height - 1), s.clamp(column, 0, width - 1)]
        return s.select(inside, s.read(x, [*batch, *held]), s.read(padding, []))

    return b.tabulate([*x.shape[:-2], *([count] if count > 1 else []), length], x.dtype, body)


def _placed(call: Call, diagonal: Tensor, low: int, high: int, shape: list[Dim], other: Tensor | None) -> Tensor:
    """A matrix with a band; elsewhere the elements of `other`, a scalar or a matrix."""
    count = high - low + 1

    def body(*position: Scalar) -> Scalar:
        batch = list(position[:-2])
        zero = s.coerce(0, b.INDEX)
        d = position[-1] - position[-2]
        inside = (d >= low) & (d <= high)
        longest = b.dim_scalar(diagonal.shape[-1])
        start = _start(call, d, longest, b.dim_scalar(shape[-2]), b.dim_scalar(shape[-1]))
        at = s.clamp(position[-2] + s.minimum(d, zero) + start, 0, longest - 1)
        row = [s.clamp(s.coerce(high, b.INDEX) - d, 0, count - 1)] if count > 1 else []
        value = s.read(diagonal, [*batch, *row, at])
        assert other is not None
        rest = s.read(other, list(position) if other.rank else [])
        return s.select(inside, value, rest)

    return b.tabulate(shape, diagonal.dtype, body)


@tf_op("MatrixDiagV3")
def diagonal_matrix(call: Call, diagonal: Tensor, k: Tensor, rows: Tensor, columns: Tensor, padding: Tensor) -> Tensor:
    low, high = _band(k)
    if (low, high) != (0, 0):
        raise NotImplementedError("a matrix of open extents from diagonals other than the main one")
    longest = diagonal.shape[-1]
    (height,), (width,) = numbers(rows), numbers(columns)
    least = longest - min(high, 0), longest + max(low, 0)
    if height == -1 and width == -1:
        height = width = b.dims.maximum(*least)
    elif not isinstance(height, int) or not isinstance(width, int):
        raise NotImplementedError("numbers of rows or columns that only a run knows")
    height, width = (given if given != -1 else own for given, own in zip((height, width), least, strict=True))
    batch = diagonal.shape[: diagonal.rank - (2 if high > low else 1)]
    return _placed(call, diagonal, low, high, [*batch, height, width], padding)


@tf_op("MatrixSetDiagV3")
def with_diagonal(call: Call, x: Tensor, diagonal: Tensor, k: Tensor) -> Tensor:
    low, high = _band(k)
    return _placed(call, diagonal, low, high, list(x.shape), x)
