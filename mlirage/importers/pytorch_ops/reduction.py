"""Reductions over axes and running totals along one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops import complex_math as z
from mlirage.importers.pytorch_ops.registry import Number, Op, as_tensor, at_least_1d, aten, axes_of
from mlirage.input import builders as b
from mlirage.input import linalgx
from mlirage.input.builders import Scalar, Sym, Tensor, ordering
from mlirage.input.builders import scalar as s

Dims = int | Sequence[int] | None


def _wide(x: Tensor) -> Tensor:
    """16-bit floats as f32, for reductions of several steps that round once."""
    return b.cast(x, b.compute_dtype(x.dtype)) if b.is_float(x.dtype) else x


@aten("sum", "sum.dim_IntList")
def sum_(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    return b.sum_(as_tensor(x, op.dtype), axes_of(dim, x.rank), keepdim)


@aten("sum", namespace="prims")
def prims_sum(op: Op, x: Tensor, dim: Dims) -> Tensor:
    return b.sum_(as_tensor(x, op.dtype), axes_of(dim, x.rank)) if dim else as_tensor(x, op.dtype)


@aten("nansum")
def nansum(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    x = as_tensor(x, op.dtype)
    if b.is_float(x.dtype):
        x = b.map_(lambda a: s.select(s.is_nan(a), s.coerce(0.0, a.dtype), a), x)
    return b.sum_(x, axes_of(dim, x.rank), keepdim)


@aten("prod", "prod.dim_int")
def prod(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    return b.prod(as_tensor(x, op.dtype), axes_of(dim, x.rank), keepdim)


@aten("prod", namespace="prims")
def prims_prod(op: Op, x: Tensor, dim: Dims) -> Tensor:
    return prod(op, x, dim)


@aten("mean", "mean.dim")
def mean(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    return b.mean(as_tensor(x, op.dtype), axes_of(dim, x.rank), keepdim)


def _required(x: Tensor, dim: Dims) -> None:
    axes = axes_of(dim, x.rank)
    if any(x.shape[axis] == 0 for axis in axes):
        raise ValueError("the maximum or minimum of nothing")


@aten("amax", "max")
def amax(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    _required(x, dim)
    return b.amax(x, axes_of(dim, x.rank), keepdim)


@aten("amin", "min")
def amin(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    _required(x, dim)
    return b.amin(x, axes_of(dim, x.rank), keepdim)


@aten("amax", namespace="prims")
def prims_amax(op: Op, x: Tensor, dim: Dims) -> Tensor:
    return amax(op, x, dim)


@aten("amin", namespace="prims")
def prims_amin(op: Op, x: Tensor, dim: Dims) -> Tensor:
    return amin(op, x, dim)


@aten("aminmax")
def aminmax(op: Op, x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return amin(op, x, dim, keepdim), amax(op, x, dim, keepdim)


def _extreme(x: Tensor, dim: int, keepdim: bool, largest: bool) -> tuple[Tensor, Tensor]:
    if x.rank == 0:
        return x, Tensor.of(0, b.INT64)
    _required(x, dim)
    values = b.amax(x, [dim], keepdim) if largest else b.amin(x, [dim], keepdim)
    return values, b.arg_extreme(x, dim, largest, False, keepdim)


@aten("max.dim")
def max_dim(op: Op, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return _extreme(x, dim, keepdim, True)


@aten("min.dim")
def min_dim(op: Op, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return _extreme(x, dim, keepdim, False)


def _position(x: Tensor, dim: int | None, keepdim: bool, largest: bool) -> Tensor:
    if x.rank == 0:
        return Tensor.of(0, b.INT64)
    _required(x, dim)
    if dim is not None:
        return b.arg_extreme(x, dim, largest, False, keepdim)
    place = b.arg_extreme(b.reshape(x, [b.product(x.shape)]), 0, largest, False, False)
    return b.reshape(place, [1] * x.rank) if keepdim else place


@aten("argmax")
def argmax(op: Op, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return _position(x, dim, keepdim, True)


@aten("argmin")
def argmin(op: Op, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return _position(x, dim, keepdim, False)


def _truth(x: Tensor) -> Tensor:
    return b.map_(lambda a: a.ne(0), x, dtype=b.BOOL) if b.is_complex(x.dtype) else as_tensor(x, b.BOOL)


@aten("any", "any.dim", "any.dims")
def any_(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    return as_tensor(b.amax(_truth(x), axes_of(dim, x.rank), keepdim), op.dtype)


@aten("all", "all.dim", "all.dims")
def all_(op: Op, x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    return as_tensor(b.amin(_truth(x), axes_of(dim, x.rank), keepdim), op.dtype)


@aten("count_nonzero", "count_nonzero.dim_IntList")
def count_nonzero(op: Op, x: Tensor, dim: Dims = None) -> Tensor:
    return b.sum_(as_tensor(_truth(x), b.INT64), axes_of(dim, x.rank))


def _variance(x: Tensor, dim: Dims, correction: Any, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Variance and mean, in two passes."""
    axes = axes_of(dim, x.rank)
    wide = _wide(x)
    average = b.mean(wide, axes, keepdims=True)

    def squared(a: Scalar, m: Scalar) -> Scalar:
        difference = a - m
        if b.is_complex(a.dtype):
            re, im = s.real(difference), s.imaginary(difference)
            return re * re + im * im
        return difference * difference

    real = b.map_(squared, wide, average, dtype=_real(wide.dtype))
    total = b.sum_(real, axes, keepdim)
    count = b.count(x, axes)
    amount = 1 if correction is None else correction
    divisor = as_tensor(count, b.FLOAT64) if isinstance(count, Sym) else Tensor.of(float(count), b.FLOAT64)
    divisor = b.map_(lambda n: s.maximum(n - float(amount), 0.0), divisor)
    variance = b.map_(lambda t, n: t / n, total, b.cast(divisor, total.dtype))
    kept = average if keepdim else b.squeeze(average, axes) if axes else average
    return variance, kept


def _real(dtype: Any) -> Any:
    return np.dtype(np.float64 if dtype.itemsize == 16 else np.float32) if b.is_complex(dtype) else dtype


@aten("var.correction")
def var(op: Op, x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return b.cast(_variance(x, dim, correction, keepdim)[0], op.dtype)


@aten("var", namespace="prims")
def prims_var(op: Op, x: Tensor, dim: Dims, correction: Any = 1) -> Tensor:
    return b.cast(_variance(x, dim, correction, False)[0], op.dtype)


@aten("std.correction")
def std(op: Op, x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return b.cast(b.map_(s.sqrt, _variance(x, dim, correction, keepdim)[0]), op.dtype)


@aten("var_mean.correction")
def var_mean(op: Op, x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    variance, average = _variance(x, dim, correction, keepdim)
    return b.cast(variance, op.dtype), b.cast(average, x.dtype)


@aten("std_mean.correction")
def std_mean(op: Op, x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    variance, average = _variance(x, dim, correction, keepdim)
    return b.cast(b.map_(s.sqrt, variance), op.dtype), b.cast(average, x.dtype)


@aten("linalg_vector_norm")
def vector_norm(op: Op, x: Tensor, order: Number = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    axes = axes_of(dim, x.rank)
    result = op.dtype
    if not b.is_complex(x.dtype):
        x = as_tensor(x, result if not b.is_complex(result) else x.dtype)
    size = _wide(b.map_(s.absolute, x, dtype=_real(x.dtype)))
    p = float(order)  # pyright: ignore[reportArgumentType]
    if p == np.inf:
        return b.cast(b.amax(size, axes, keepdim), result)
    if p == -np.inf:
        return b.cast(b.amin(size, axes, keepdim), result)
    if p == 0:
        ones = b.map_(lambda a: s.select(a.ne(0.0), s.coerce(1.0, a.dtype), s.coerce(0.0, a.dtype)), size)
        return b.cast(b.sum_(ones, axes, keepdim), result)
    if p == 1:
        return b.cast(b.sum_(size, axes, keepdim), result)
    if p == 2:
        squares = b.map_(lambda a: a * a, size)
        return b.cast(b.map_(s.sqrt, b.sum_(squares, axes, keepdim)), result)
    powers = b.map_(lambda a: s.power(a, s.coerce(p, a.dtype)), size)
    total = b.sum_(powers, axes, keepdim)
    return b.cast(b.map_(lambda a: s.power(a, s.coerce(1 / p, a.dtype)), total), result)


@aten("logsumexp")
def logsumexp(op: Op, x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    axes = axes_of(dim, x.rank)
    if b.is_complex(x.dtype):
        return b.map_(z.log, b.sum_(b.map_(z.exp, x), axes, keepdim))
    wide = _wide(as_tensor(x, op.dtype))
    top = b.amax(wide, axes, keepdims=True)
    held = b.map_(lambda m: s.select(s.absolute(m).eq(np.inf), s.coerce(0.0, m.dtype), m), top)
    total = b.sum_(b.map_(lambda a, m: s.exp(a - m), wide, held), axes, keepdims=True)
    result = b.map_(lambda t, m: s.log(t) + m, total, held)
    return b.cast(result if keepdim or not axes else b.squeeze(result, axes), op.dtype)


def _running(op: Op, x: Tensor, dim: int, start: int, combine: Callable[[Scalar, Scalar], Scalar]) -> Tensor:
    x = as_tensor(x, op.dtype)
    flat = at_least_1d(x)
    return b.reshape(ordering.scan(flat, dim, start, combine, False, False), x.shape)


@aten("cumsum")
def cumsum(op: Op, x: Tensor, dim: int) -> Tensor:
    return _running(op, x, dim, 0, lambda total, a: total + a)


@aten("cumprod")
def cumprod(op: Op, x: Tensor, dim: int) -> Tensor:
    return _running(op, x, dim, 1, lambda total, a: total * a)


@aten("logcumsumexp", "_logcumsumexp")
def logcumsumexp(op: Op, x: Tensor, dim: int) -> Tensor:
    """log(exp(total) + exp(a)) step by step; equal infinities have no difference."""
    wide = at_least_1d(_wide(x))

    def combine(total: Scalar, a: Scalar) -> Scalar:
        if b.is_complex(a.dtype):  # the larger one is that of the larger real part
            first = s.real(total) >= s.real(a)
            top, low = s.select(first, total, a), s.select(first, a, total)
            infinite = top.eq(low) & s.absolute(s.real(top)).eq(np.inf)
        else:
            top, low = s.maximum(total, a), s.minimum(total, a)
            infinite = top.eq(low) & s.absolute(top).eq(np.inf)
        return s.select(infinite, top, top + z.log1p(z.exp(low - top)))

    axis = b.normalize_axis(dim, wide.rank)
    initial = b.fill([d for i, d in enumerate(wide.shape) if i != axis], -np.inf, wide.dtype)
    value, _ = linalgx.scan(
        wide.value, initial.value, axis, lambda t, a: combine(Scalar(t, wide.dtype), Scalar(a, wide.dtype)).value
    )
    return b.reshape(b.cast(Tensor.from_value(value, wide.dtype, wide.shape), x.dtype), x.shape)


def _cumulative_extreme(op: Op, x: Tensor, dim: int, largest: bool) -> tuple[Tensor, Tensor]:
    """The last of equal extremes wins, a NaN for good: a scan of values, then one of the places they were met."""
    flat = at_least_1d(x)
    axis = b.normalize_axis(dim, flat.rank)
    positions = b.tabulate(flat.shape, b.INT64, lambda *p: s.cast(p[axis], b.INT64))
    wide = _wide(flat)
    # Values first; then a position is the last one at which the running extreme was met.
    begin = b.lowest(wide.dtype) if largest else b.highest(wide.dtype)
    choose = s.maximum if largest else s.minimum
    values = ordering.scan(wide, axis, begin, choose, False, False)

    def met(a: Scalar, v: Scalar, at: Scalar) -> Scalar:
        same = a.eq(v)
        if b.is_float(a.dtype):
            same = same | s.is_nan(a)
        return s.select(same, at, s.coerce(0, b.INT64))

    hits = b.map_(met, wide, values, positions, dtype=b.INT64)
    places = ordering.scan(hits, axis, 0, s.maximum, False, False)
    return b.reshape(b.cast(values, x.dtype), x.shape), b.reshape(places, x.shape)


@aten("cummax")
def cummax(op: Op, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    return _cumulative_extreme(op, x, dim, True)


@aten("cummin")
def cummin(op: Op, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    return _cumulative_extreme(op, x, dim, False)


@aten("_softmax", "_safe_softmax", "softmax.int")
def softmax(op: Op, x: Tensor, dim: int, *_: Any) -> Tensor:
    x = as_tensor(x, op.dtype)
    if x.rank == 0:
        return b.map_(lambda a: a - a + 1.0, x)
    result = b.softmax(x, [dim])
    if op.name.startswith("aten._safe_softmax"):  # rows of -inf alone are zero
        dead = b.amin(b.map_(lambda a: a.eq(-np.inf), x, dtype=b.BOOL), [dim], keepdims=True)
        result = b.map_(lambda d, r: s.select(d, s.coerce(0.0, r.dtype), r), dead, result, dtype=x.dtype)
    return result


@aten("_log_softmax", "log_softmax.int")
def log_softmax(op: Op, x: Tensor, dim: int, *_: Any) -> Tensor:
    x = as_tensor(x, op.dtype)
    return b.map_(lambda a: a - a, x) if x.rank == 0 else b.log_softmax(x, [dim])


@aten("dist")
def dist(op: Op, x: Tensor, y: Tensor, order: Number = 2) -> Tensor:
    return vector_norm(op, b.map_(lambda p, q: p - q, x, y), order)
