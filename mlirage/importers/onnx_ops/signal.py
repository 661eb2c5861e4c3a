"""Fourier transforms: the builders', or products with tables where a length is only known when the program runs."""

from __future__ import annotations

import math

import numpy as np

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s
from mlirage.input.builders.fourier import fourier, inverse_real_fourier, real_fourier


def _table(rows: Dim, columns: Dim, length: Dim, function: object, dtype: b.DType) -> Tensor:
    """function(2π·row·column / length), with the product reduced modulo `length` first."""

    def body(i: Scalar, j: Scalar) -> Scalar:
        turn = s.cast(s.cast((i * j) % b.dim_scalar(length), b.INT64), b.FLOAT64)
        angle = turn * (2 * math.pi) / s.cast(s.cast(b.dim_scalar(length), b.INT64), b.FLOAT64)
        return function(angle)  # pyright: ignore

    return b.cast(b.tabulate([rows, columns], b.FLOAT64, body), dtype)


def _fit(x: Tensor, axis: int, extent: Dim) -> Tensor:
    """The axis cut or padded with zeros to an extent."""
    high: list[Dim] = [0] * x.rank
    high[axis] = extent - x.shape[axis]
    return b.pad(x, [0] * x.rank, high, 0)


def _part(x: Tensor, number: int) -> Tensor:
    return b.squeeze(b.slice_axis(x, x.rank - 1, number, 1), [-1])


def dft(x: Tensor, axis: int, length: Dim, inverse: bool, onesided: bool) -> Tensor:
    """The discrete Fourier transform of [..., axis, ..., 1 or 2] along an axis, as [..., 2] (or [..., 1] if real)."""
    dtype = x.dtype
    taken = length // 2 + 1 if inverse and onesided else length
    if isinstance(length, int) and dtype in (b.FLOAT32, b.FLOAT64):
        return _of_known_length(_fit(x, axis, taken), axis, length, inverse, onesided)
    made = length // 2 + 1 if onesided and not inverse else length
    # In f64: sums of many terms that cancel are the rule here.
    x = b.cast(_fit(x, axis, taken), b.FLOAT64)
    order = [i for i in range(x.rank - 1) if i != axis] + [axis]
    real = b.transpose(_part(x, 0), order)
    imaginary = b.transpose(_part(x, 1), order) if x.shape[-1] != 1 else None
    cosines, sines = (_table(taken, made, length, f, x.dtype) for f in (s.cos, s.sin))
    if inverse and onesided:
        weights = b.tabulate([taken], x.dtype, lambda k: _mirrored_weight(k, length, x.dtype))
        real = b.multiply(real, weights)
        imaginary = b.multiply(imaginary, weights) if imaginary is not None else None
    sign = 1.0 if inverse else -1.0
    re = b.matmul(real, cosines)
    im = b.map_(lambda a: a * sign, b.matmul(real, sines))
    if imaginary is not None:
        re = b.map_(lambda a, c: a - c * sign, re, b.matmul(imaginary, sines))
        im = b.add(im, b.matmul(imaginary, cosines))
    parts = [re] if inverse and onesided else [re, im]
    if inverse:
        parts = [b.divide_by_count(part, length) for part in parts]
    back = [order.index(i) for i in range(len(order))]
    result = b.concatenate([b.unsqueeze(b.transpose(part, back), [x.rank - 1]) for part in parts], x.rank - 1)
    return b.cast(result, dtype)


def _of_known_length(x: Tensor, axis: int, length: int, inverse: bool, onesided: bool) -> Tensor:
    is_real = x.shape[-1] == 1
    scale = 1 / length if inverse and length else 1.0
    real = _part(x, 0)
    if is_real and not inverse:
        return _as_pairs(real_fourier(real, axis, whole=not onesided))
    imaginary = b.fill(real.shape, 0, x.dtype) if is_real else _part(x, 1)
    z = b.map_(s.make_complex, real, imaginary, dtype=np.dtype(f"c{2 * x.dtype.itemsize}"))
    if inverse and onesided:
        return b.unsqueeze(inverse_real_fourier(z, axis, length, scale=scale), [x.rank - 1])
    done = fourier(z, axis, inverse=inverse, scale=scale)
    return _as_pairs(b.slice_axis(done, axis, 0, length // 2 + 1) if onesided else done)


def _as_pairs(z: Tensor) -> Tensor:
    """[..., 2]: real and imaginary parts."""

    def body(*position: Scalar) -> Scalar:
        number = s.read(z, list(position[:-1]))
        return s.select(position[-1].eq(0), s.real(number), s.imaginary(number))

    return b.tabulate([*z.shape, 2], np.dtype(f"f{z.dtype.itemsize // 2}"), body)


def _mirrored_weight(k: Scalar, length: Dim, dtype: b.DType) -> Scalar:
    """1 for the frequencies that stand alone in a one-sided spectrum, 2 for those that stand for two."""
    alone = k.eq(0) | (k * 2).eq(b.dim_scalar(length))
    return s.select(alone, s.coerce(1.0, dtype), 2.0)


@onnx_op()
def DFT(node: Node, x: Tensor, length: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    inverse, onesided = bool(node.get("inverse", 0)), bool(node.get("onesided", 0))
    number: Dim = node.get("axis", 1)
    if node.opset >= 20:
        number = axis.dims()[0] if axis is not None else -2

    def along(axis: int) -> Tensor:
        if length is not None:
            size = length.dims()[0]
        else:
            size = (x.shape[axis] - 1) * 2 if inverse and onesided else x.shape[axis]
        return dft(x, axis, size, inverse, onesided)

    if isinstance(number, int):
        return along(b.normalize_axis(number, x.rank))
    place = b.dims.select("slt", number, 0, number + x.rank, number)
    return loops.choose(place, [lambda i=i: along(i) for i in range(x.rank - 1)])


@onnx_op()
def STFT(
    node: Node, signal: Tensor, step: Tensor, window: Tensor | None = None, length: Tensor | None = None
) -> Tensor:
    stride = step.dims()[0]
    if length is not None:
        size = length.dims()[0]
    elif window is not None:
        size = window.shape[0]
    else:
        raise ValueError("neither a window nor a frame length is given")
    if signal.rank == 2:
        signal = b.unsqueeze(signal, [-1])
    frames = (signal.shape[1] - size) // stride + 1

    def place(position: list[Scalar]) -> list[Scalar]:
        batch, frame, offset, part = position
        return [batch, frame * b.dim_scalar(stride) + offset, part]

    cut = b.remap(signal, [signal.shape[0], frames, size, signal.shape[2]], place)
    if window is not None:
        cut = b.multiply(cut, b.unsqueeze(window, [1]))
    return dft(cut, 2, size, False, bool(node.get("onesided", 1)))


@onnx_op()
def MelWeightMatrix(node: Node, bins: Tensor, length: Tensor, rate: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Triangles that overlap by half, evenly spread over the mel scale, over the bins of a spectrum."""
    dtype = node.dtype("output_datatype", 1)
    count, size = b.cast(bins, b.INT64).dims()[0], b.cast(length, b.INT64).dims()[0]

    def mel(hertz: Scalar) -> Scalar:
        return s.log(hertz / 700.0 + 1.0) * (2595.0 / math.log(10.0))

    def edge(place: Scalar, low: Scalar, high: Scalar, samples: Scalar) -> Scalar:
        step = (mel(high) - mel(low)) / s.cast(s.cast(b.dim_scalar(count + 2), b.INT64), b.FLOAT64)
        point = mel(low) + s.cast(s.cast(place, b.INT64), b.FLOAT64) * step
        hertz = (s.exp(point * (math.log(10.0) / 2595.0)) - 1.0) * 700.0
        bin_width = s.cast(s.cast(b.dim_scalar(size + 1), b.INT64), b.FLOAT64)
        return s.cast(s.floor(bin_width * hertz / samples), b.INT64)

    numbers = [b.reshape(b.cast(x, b.FLOAT64), (1,)) for x in (lower, upper, rate)]
    edges = b.map_(lambda *n: edge(s.index_of(0), *n), *numbers, dtype=b.INT64, shape=(count + 2,))

    def weight(row: Scalar, column: Scalar) -> Scalar:
        j = s.cast(row, b.INT64)
        low, middle, high = (s.read(edges, [column + i]) for i in range(3))
        one, zero = s.coerce(1.0, b.FLOAT64), s.coerce(0.0, b.FLOAT64)
        rise = s.cast(j - low, b.FLOAT64) / s.cast(middle - low, b.FLOAT64)
        fall = s.cast(high - j, b.FLOAT64) / s.cast(high - middle, b.FLOAT64)
        up = s.select(
            middle.eq(low), s.select(j.eq(middle), one, zero), s.select((j >= low) & (j <= middle), rise, zero)
        )
        value = s.select((j >= middle) & (j < high), fall, up)
        return s.cast(value, b.compute_dtype(dtype))

    return b.tabulate([size // 2 + 1, count], dtype, weight)
