"""Quantized programs in PT2E's form; what follows a dequantize stays in integers as `dequantized.py` says."""

from __future__ import annotations

from typing import Any

import torch

from mlirage.importers.pytorch_ops.dequantized import dequantized
from mlirage.importers.pytorch_ops.registry import Op, Operand, as_tensor, aten, numpy_dtype
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s


def _decomposed(*names: str) -> Any:
    return aten(*names, namespace="quantized_decomposed")


def _quantize(x: Tensor, scale: Operand, zero: Operand, low: int, high: int, dtype: torch.dtype) -> Tensor:
    """round(x / scale) + zero, held to low … high."""

    def body(a: Scalar, f: Scalar, z: Scalar) -> Scalar:
        inverse = f if isinstance(scale, float | int) else s.coerce(1.0, f.dtype) / f
        at = s.round_even(a * inverse) + z
        return s.cast(s.clamp(at, float(low), float(high)), numpy_dtype(dtype))

    factor = 1.0 / scale if isinstance(scale, float | int) else scale  # inverted in f64, as PyTorch does
    parts = (as_tensor(v, b.FLOAT32) for v in (x, factor, zero))
    return b.map_(body, *parts, dtype=numpy_dtype(dtype), shape=x.shape)


def _dequantize(x: Tensor, scale: Operand, zero: Operand | None, dtype: torch.dtype | None) -> Tensor:
    wanted = b.FLOAT32 if dtype is None else numpy_dtype(dtype)

    def body(q: Scalar, f: Scalar, z: Scalar) -> Scalar:
        return s.cast(s.cast(s.cast(q, b.INT32) - z, b.FLOAT32) * f, b.compute_dtype(wanted))

    scales, zeros = as_tensor(scale, b.FLOAT32), as_tensor(0 if zero is None else zero, b.INT32)
    kept = dequantized(x, scales, zeros, wanted)
    return kept if kept is not None else b.map_(body, x, scales, zeros, dtype=wanted, shape=x.shape)


def _spread(v: Tensor | None, x: Tensor, axis: int) -> Tensor | None:
    """Values of channels, so that they broadcast."""
    if v is None:
        return None
    axis = b.normalize_axis(axis, x.rank)
    return b.reshape(v, [v.shape[0] if i == axis else 1 for i in range(x.rank)])


@_decomposed("quantize_per_tensor", "quantize_per_tensor.tensor", "quantize_per_tensor.tensor2")
def quantize_per_tensor(
    op: Op, x: Tensor, scale: Operand, zero: Operand, low: Any, high: Any, dtype: torch.dtype
) -> Tensor:
    bounds = [int(v.splat()) if isinstance(v, Tensor) else v for v in (low, high)]  # pyright: ignore[reportArgumentType]
    return _quantize(x, _single(scale), _single(zero), bounds[0], bounds[1], dtype)


def _single(v: Operand) -> Operand:
    return b.reshape(v, ()) if isinstance(v, Tensor) else v


@_decomposed("dequantize_per_tensor", "dequantize_per_tensor.tensor", "dequantize_per_tensor.tensor2")
def dequantize_per_tensor(
    op: Op, x: Tensor, scale: Operand, zero: Operand, low: Any, high: Any, dtype: torch.dtype, *,
    out_dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    return _dequantize(x, _single(scale), _single(zero), out_dtype)


@_decomposed("quantize_per_channel")
def quantize_per_channel(
    op: Op, x: Tensor, scales: Tensor, zeros: Tensor, axis: int, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    return _quantize(x, _spread(scales, x, axis) or scales, _spread(zeros, x, axis) or zeros, low, high, dtype)


@_decomposed("dequantize_per_channel")
def dequantize_per_channel(
    op: Op, x: Tensor, scales: Tensor, zeros: Tensor | None, axis: int, low: int, high: int, dtype: torch.dtype, *,
    out_dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    return _dequantize(x, _spread(scales, x, axis) or scales, _spread(zeros, x, axis), out_dtype)


@_decomposed("quantize_per_token")
def quantize_per_token(
    op: Op, x: Tensor, scales: Tensor, zeros: Tensor, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    return _quantize(x, scales, zeros, low, high, dtype)


@_decomposed("dequantize_per_token")
def dequantize_per_token(
    op: Op, x: Tensor, scales: Tensor, zeros: Tensor, low: int, high: int, dtype: torch.dtype, result: torch.dtype
) -> Tensor:
    return _dequantize(x, scales, zeros, result)


@_decomposed("choose_qparams.tensor")
def choose_qparams(op: Op, x: Tensor, low: int, high: int, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Scale and zero point of the range of the data, in which 0 lies."""
    return _parameters(b.amin(x), b.amax(x), low, high, eps, [1])


@_decomposed("_choose_qparams_per_token_asymmetric_impl", "choose_qparams_per_token_asymmetric")
def choose_qparams_per_token(op: Op, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    least, most = b.amin(x, [-1], keepdims=True), b.amax(x, [-1], keepdims=True)
    return _parameters(least, most, -128, 127, float(torch.finfo(torch.float32).eps), list(least.shape))


def _parameters(
    least: Tensor, most: Tensor, low: int, high: int, eps: float, shape: list[Any]
) -> tuple[Tensor, Tensor]:
    least, most = (as_tensor(v, b.FLOAT32) for v in (least, most))

    def scale_of(p: Scalar, q: Scalar) -> Scalar:
        return s.maximum((s.maximum(q, 0.0) - s.minimum(p, 0.0)) / float(high - low), eps)

    scale = b.map_(scale_of, least, most)

    def zero_of(p: Scalar, f: Scalar) -> Scalar:
        at = s.coerce(float(low), f.dtype) - s.round_even(s.minimum(p, 0.0) / f)
        return s.cast(s.clamp(at, float(low), float(high)), b.INT64)

    zero = b.map_(zero_of, least, scale, dtype=b.INT64)
    return b.reshape(b.cast(scale, b.FLOAT64), shape), b.reshape(zero, shape)


@aten("fake_quantize_per_tensor_affine_cachemask")
def fake_quantize_cachemask(
    op: Op, x: Tensor, scale: Operand, zero: Operand, low: int, high: int
) -> tuple[Tensor, Tensor]:
    return _fake(x, scale, zero, low, high), _inside(x, scale, zero, low, high)


@aten("_fake_quantize_per_tensor_affine_cachemask_tensor_qparams")
def fake_quantize_cachemask_of_tensors(
    op: Op, x: Tensor, scale: Tensor, zero: Tensor, enabled: Tensor, low: int, high: int
) -> tuple[Tensor, Tensor]:
    scale, zero = (b.reshape(v, ()) for v in (scale, zero))
    on = b.map_(lambda e: e.ne(0), b.reshape(enabled, ()), dtype=b.BOOL)
    result = _fake(x, scale, zero, low, high)
    if on.splat() is None or not on.splat():
        result = b.map_(s.select, on, result, x, dtype=x.dtype, shape=x.shape)
    mask = b.map_(lambda e, m: m | ~e, on, _inside(x, scale, zero, low, high), shape=x.shape)
    return result, mask


@aten("fake_quantize_per_channel_affine_cachemask")
def fake_quantize_per_channel_cachemask(
    op: Op, x: Tensor, scales: Tensor, zeros: Tensor, axis: int, low: int, high: int
) -> tuple[Tensor, Tensor]:
    scales, zeros = _spread(scales, x, axis) or scales, _spread(zeros, x, axis) or zeros
    return _fake(x, scales, zeros, low, high), _inside(x, scales, zeros, low, high)


@aten("fake_quantize_per_tensor_affine", "fake_quantize_per_tensor_affine.tensor_qparams")
def fake_quantize(op: Op, x: Tensor, scale: Operand, zero: Operand, low: int, high: int) -> Tensor:
    return _fake(x, _single(scale), _single(zero), low, high)


@aten("fake_quantize_per_channel_affine")
def fake_quantize_per_channel(
    op: Op, x: Tensor, scales: Tensor, zeros: Tensor, axis: int, low: int, high: int
) -> Tensor:
    return _fake(x, _spread(scales, x, axis) or scales, _spread(zeros, x, axis) or zeros, low, high)


def _inside(x: Tensor, scale: Operand, zero: Operand, low: int, high: int) -> Tensor:
    """Where nothing is cut off: what gradients pass through."""

    def body(a: Scalar, f: Scalar, z: Scalar) -> Scalar:
        at = s.round_even(a * (s.coerce(1.0, f.dtype) / f)) + z
        return (at >= float(low)) & (at <= float(high))

    kind = b.compute_dtype(x.dtype)
    parts = x, as_tensor(scale, kind), as_tensor(zero, kind)
    return b.map_(body, *parts, dtype=b.BOOL, shape=x.shape)


def _fake(x: Tensor, scale: Operand, zero: Operand, low: int, high: int) -> Tensor:
    """To integers and back: bytes stay bytes for what follows."""
    if x.dtype == b.FLOAT32 and low >= -128 and high <= (127 if low < 0 else 255):
        q = _quantize(x, as_tensor(scale, b.FLOAT32), zero, low, high, torch.int8 if low < 0 else torch.uint8)
        return _dequantize(q, scale, zero, torch.float32)

    def body(a: Scalar, f: Scalar, z: Scalar) -> Scalar:
        at = s.clamp(s.round_even(a * (s.coerce(1.0, f.dtype) / f)) + z, float(low), float(high))
        return (at - z) * f

    kind = b.compute_dtype(x.dtype)
    return b.map_(body, x, as_tensor(scale, kind), as_tensor(zero, kind), dtype=x.dtype, shape=x.shape)
