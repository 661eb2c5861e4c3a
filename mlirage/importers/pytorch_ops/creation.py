"""New tensors: filled, counted, triangular; what `empty` leaves open is zero here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops.registry import Dim, Number, Op, Operand, RuntimeNumber, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Sym, Tensor
from mlirage.input.builders import scalar as s


def filled(shape: Sequence[Dim], value: Operand, dtype: Any) -> Tensor:
    """A tensor of equal elements, of a number or a tensor of one element."""
    if isinstance(value, Tensor | Sym | RuntimeNumber):
        return b.broadcast_to(b.reshape(as_tensor(value, dtype), ()), list(shape))
    splat = as_tensor(value, dtype).splat()
    return b.fill(shape, splat, dtype)


@aten("full")
def full(op: Op, shape: Sequence[Dim], value: Operand) -> Tensor:
    return filled(shape, value, op.dtype)


@aten("full_like", "fill.Scalar", "fill.Tensor")
def full_like(op: Op, x: Tensor, value: Operand) -> Tensor:
    return filled(x.shape, value, op.dtype)


@aten("new_full")
def new_full(op: Op, x: Tensor, shape: Sequence[Dim], value: Operand) -> Tensor:
    return filled(shape, value, op.dtype)


@aten("zeros", "empty.memory_format", "empty_permuted")
def zeros(op: Op, shape: Sequence[Dim], *_: Any) -> Tensor:
    return filled(shape, 0, op.dtype)


@aten("empty_strided")
def empty_strided(op: Op, shape: Sequence[Dim], strides: Sequence[Dim]) -> Tensor:
    return filled(shape, 0, op.dtype)


@aten("empty_strided", namespace="prims")
def prims_empty_strided(op: Op, shape: Sequence[Dim], strides: Sequence[Dim]) -> Tensor:
    return filled(shape, 0, op.dtype)


@aten("ones")
def ones(op: Op, shape: Sequence[Dim]) -> Tensor:
    return filled(shape, 1, op.dtype)


@aten("zeros_like", "empty_like")
def zeros_like(op: Op, x: Tensor) -> Tensor:
    return filled(x.shape, 0, op.dtype)


@aten("ones_like")
def ones_like(op: Op, x: Tensor) -> Tensor:
    return filled(x.shape, 1, op.dtype)


@aten("new_zeros", "new_empty", "new_empty_strided")
def new_zeros(op: Op, x: Tensor, shape: Sequence[Dim], *_: Any) -> Tensor:
    return filled(shape, 0, op.dtype)


@aten("new_ones")
def new_ones(op: Op, x: Tensor, shape: Sequence[Dim]) -> Tensor:
    return filled(shape, 1, op.dtype)


@aten("scalar_tensor")
def scalar_tensor(op: Op, value: Number) -> Tensor:
    return as_tensor(value, op.dtype)


@aten("scalar_tensor", namespace="prims")
def prims_scalar_tensor(op: Op, value: Number) -> Tensor:
    return as_tensor(value, op.dtype)


@aten("arange.start_step")
def arange_start_step(op: Op, start: Number, end: Number, step: Number = 1) -> Tensor:
    return counted(op, start, end, step)


@aten("arange.start")
def arange_start(op: Op, start: Number, end: Number) -> Tensor:
    return counted(op, start, end, 1)


@aten("arange")
def arange(op: Op, end: Number) -> Tensor:
    return counted(op, 0, end, 1)


def counted(op: Op, start: Any, end: Any, step: Any) -> Tensor:
    """start, start + step, … before end."""
    dtype = op.dtype
    if all(isinstance(v, int | float) for v in (start, end, step)):
        count = max(0, int(np.ceil((end - start) / step)))
        if all(isinstance(v, int) for v in (start, end, step)):
            count = max(0, -((start - end) // step))
        wide = np.int64 if b.is_integer(dtype) else np.float64
        return Tensor.of((wide(start) + np.arange(count, dtype=wide) * wide(step)).astype(dtype), name="arange")
    if all(isinstance(v, int | Sym) for v in (start, end)) and isinstance(step, int):
        forward = end - start if step > 0 else start - end
        number: Dim = b.dims.maximum(b.dims.ceiling_quotient(forward, abs(step)), 0)
    else:
        first, last, by = (as_tensor(v, b.FLOAT64) for v in (start, end, step))
        counts = b.map_(
            lambda p, q, r: s.cast(s.maximum(s.ceil((q - p) / r), 0.0), b.INT64), first, last, by, dtype=b.INT64
        )
        (number,) = counts.dims()
        b.TensorBuilder.current().require_at_least(number, 0, "arange: the step leads away from the end")
    kind = b.INT64 if b.is_integer(dtype) else b.FLOAT64
    first, by = as_tensor(start, kind), as_tensor(step, kind)

    def body(p: Scalar, q: Scalar) -> Scalar:
        at = s.cast(s.index_of(0), b.INT64)
        return s.cast(p + s.cast(at, kind) * q, b.compute_dtype(dtype))

    return b.map_(body, first, by, dtype=dtype, shape=(number,))


@aten("range", "range.step")
def range_(op: Op, start: Number, end: Number, step: Number = 1) -> Tensor:
    """As `arange`, with the end."""
    if not all(isinstance(v, int | float) for v in (start, end, step)):
        raise NotImplementedError("range: bounds and step must be constants")
    count = int(np.floor((end - start) / step)) + 1  # pyright: ignore
    return Tensor.of((start + np.arange(count) * step).astype(op.dtype), name="range")  # pyright: ignore


def _window(name: str, overloads: tuple[str, ...], values: Callable[..., np.ndarray[Any, Any]]) -> None:
    @aten(*(f"{name}_window{overload}" for overload in ("", ".periodic", *overloads)))
    def function(op: Op, count: int, periodic: bool = True, *settings: float) -> Tensor:
        steps = count if periodic else count - 1
        at = np.arange(count) / max(steps, 1)
        made = values(at, *settings) if count > 1 else np.ones(count)
        return Tensor.of(made.astype(op.dtype), name=f"{name}_window")


def _cosines(at: np.ndarray[Any, Any], *weights: float) -> np.ndarray[Any, Any]:
    return np.sum([w * (-1) ** k * np.cos(2 * np.pi * k * at) for k, w in enumerate(weights)], axis=0)


_window("bartlett", (), lambda at: 1 - np.abs(2 * at - 1))
_window("blackman", (), lambda at: _cosines(at, 0.42, 0.5, 0.08))
_window("hann", (), lambda at: _cosines(at, 0.5, 0.5))
_window("hamming", (".periodic_alpha", ".periodic_alpha_beta"), lambda at, a=0.54, b=0.46: _cosines(at, a, b))
_window("kaiser", (".beta",), lambda at, beta=12.0: np.i0(beta * np.sqrt(1 - (2 * at - 1) ** 2)) / np.i0(beta))


@aten("fft_fftfreq", "fft_rfftfreq")
def fft_frequencies(op: Op, count: int, spacing: float = 1.0) -> Tensor:
    whole = np.fft.rfftfreq if "rfftfreq" in op.name else np.fft.fftfreq
    return Tensor.of(whole(count, spacing).astype(op.dtype), name="frequencies")


@aten("iota", namespace="prims")
def iota(op: Op, length: Dim, *, start: Dim, step: Dim) -> Tensor:
    def body(p: Scalar, q: Scalar) -> Scalar:
        return s.cast(p + s.cast(s.index_of(0), b.INT64) * q, op.dtype)

    if all(isinstance(v, int) for v in (length, start, step)):
        return Tensor.of((np.arange(length) * step + start).astype(op.dtype), name="iota")  # pyright: ignore
    return b.map_(body, as_tensor(start, b.INT64), as_tensor(step, b.INT64), dtype=op.dtype, shape=(length,))


@aten("linspace")
def linspace(op: Op, start: Number, end: Number, steps: int) -> Tensor:
    return _spaced(op, start, end, steps, lambda v: v)


@aten("logspace")
def logspace(op: Op, start: Number, end: Number, steps: int, base: float = 10.0) -> Tensor:
    return _spaced(op, start, end, steps, lambda v: np.float64(base) ** v)


def _spaced(op: Op, start: Any, end: Any, steps: Any, function: Any) -> Tensor:
    dtype = op.dtype
    if not isinstance(steps, int) or not all(isinstance(v, int | float | complex) for v in (start, end)):
        raise NotImplementedError("bounds and number of steps must be constants")
    wide = np.complex128 if b.is_complex(dtype) else np.float64
    step = (wide(end) - wide(start)) / max(steps - 1, 1)
    at = np.arange(steps)
    with np.errstate(all="ignore"):
        values = np.where(at < steps // 2, wide(start) + step * at, wide(end) - step * (steps - 1 - at))
        values = function(values if steps != 1 else np.asarray([start], wide))
        if b.is_integer(dtype):
            values = np.trunc(values)
    return Tensor.of(values.astype(dtype), name="linspace")


@aten("eye")
def eye(op: Op, rows: Dim) -> Tensor:
    return _eye(op, rows, rows)


@aten("eye.m")
def eye_m(op: Op, rows: Dim, columns: Dim) -> Tensor:
    return _eye(op, rows, columns)


def _eye(op: Op, rows: Dim, columns: Dim) -> Tensor:
    def body(i: Scalar, j: Scalar) -> Scalar:
        kind = b.compute_dtype(op.dtype)
        return s.select(i.eq(j), s.coerce(1, kind), s.coerce(0, kind))

    return b.tabulate([rows, columns], op.dtype, body)


@aten("tril_indices")
def tril_indices(op: Op, rows: int, columns: int, offset: int = 0) -> Tensor:
    return Tensor.of(np.stack(np.tril_indices(rows, offset, columns)).astype(op.dtype), name="tril_indices")


@aten("triu_indices")
def triu_indices(op: Op, rows: int, columns: int, offset: int = 0) -> Tensor:
    return Tensor.of(np.stack(np.triu_indices(rows, offset, columns)).astype(op.dtype), name="triu_indices")
