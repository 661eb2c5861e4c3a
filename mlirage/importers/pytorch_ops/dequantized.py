"""Integers that a program of quantize and dequantize operators talks about stay integers.

    dequantize(q, scale, zero)  ->  Dequantized: q, scale and zero; floats only for who asks for them
    linear(Dequantized, Dequantized)  ->  linalg.matmul of i8 to i32, then (sum - zero · Σw) · scales as f32

Operators that only move elements, and max pooling, move the integers (`carried`). What is elementwise around a
contraction (bias, activation, the next quantize) is computed in floats, in the same dispatch. Sums of products are
exact, so that results are those of the float program but for its own rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Tensor
from mlirage.input.builders import scalar as s

_MOST_PRODUCTS = 2**31 // 2**14  # of two bytes each, that fit 32 bits together

# Operators that move elements about, whose first argument is a tensor or a list of them.
_MOVES = frozenset(
    f"aten.{name}"
    for name in (
        "_unsafe_view.default", "alias.default", "alias_copy.default", "cat.default", "channel_shuffle.default",
        "clone.default", "contiguous.default", "detach.default", "expand.default", "expand_copy.default",
        "flatten.using_ints", "flip.default", "index_select.default", "lift_fresh_copy.default", "narrow.default",
        "permute.default", "permute_copy.default", "pixel_shuffle.default", "pixel_unshuffle.default",
        "repeat.default", "reshape.default", "roll.default", "select.int", "select_copy.int", "slice.Tensor",
        "slice_copy.Tensor", "split.Tensor", "split_with_sizes.default", "split_with_sizes_copy.default",
        "squeeze.default", "squeeze.dim", "squeeze.dims", "squeeze_copy.dim", "squeeze_copy.dims", "t.default",
        "t_copy.default", "transpose.int", "transpose_copy.int", "unbind.int", "unflatten.int", "unsqueeze.default",
        "unsqueeze_copy.default", "upsample_nearest2d.vec", "upsample_nearest2d.default", "view.default",
        "view_copy.default",
    )
)  # fmt: skip
# Those whose scales along an axis may be moved the same way, because they keep every axis whole.
_KEEP_AXES = frozenset(
    f"aten.{name}" for name in ("permute.default", "permute_copy.default", "t.default", "t_copy.default",
                                "transpose.int", "transpose_copy.int", "clone.default", "alias.default",
                                "contiguous.default", "detach.default", "unsqueeze.default", "unsqueeze_copy.default")
)  # fmt: skip
_POOLS = frozenset(f"aten.max_pool{n}d{form}.default" for n in (1, 2, 3) for form in ("", "_with_indices"))


class Dequantized(Tensor):
    """(q - zero) · scale, as f32 or narrower, which is computed where its value is asked for.

    Attributes:
      q: i8.
      scale: f32 that broadcasts against q, of rank 0 or q's.
      zero: i32, as `scale`.
    """

    __slots__ = ("q", "scale", "zero")

    def __init__(self, q: Tensor, scale: Tensor, zero: Tensor, dtype: DType) -> None:
        super().__init__(q.shape, dtype)
        self.q, self.scale, self.zero = q, scale, zero

    @property
    def value(self) -> Any:
        """The floats; built for every use, for uses may stand in different blocks."""

        def body(a: Scalar, f: Scalar, z: Scalar) -> Scalar:
            wide = s.cast(s.cast(a, b.INT32) - z, b.FLOAT32) * f
            return s.cast(wide, b.compute_dtype(self.dtype))

        return b.map_(body, self.q, self.scale, self.zero, dtype=self.dtype).value

    @property
    def is_uniform(self) -> bool:
        """Whether there is one scale and one zero point."""
        return self.scale.rank == 0 and self.zero.rank == 0

    def with_shape(self, shape: Sequence[Dim]) -> Dequantized:
        """The same with extents that are known to be equal."""
        q = self.q if self.q.known is not None else Tensor.from_value(self.q.value, self.q.dtype, shape)
        return Dequantized(q, self.scale, self.zero, self.dtype)

    def moved(self, function: Callable[[Tensor], Tensor]) -> Dequantized:
        """Its elements moved by a function that treats scales along an axis alike."""
        scale, zero = (function(v) if v.rank else v for v in (self.scale, self.zero))
        return Dequantized(function(self.q), scale, zero, self.dtype)


def dequantized(q: Tensor, scale: Tensor, zero: Tensor, dtype: DType) -> Tensor | None:
    """Bytes and what they mean; None for other integers. `scale` and `zero` broadcast against `q`."""
    if q.dtype not in (b.INT8, b.UINT8) or dtype not in (b.FLOAT32, b.FLOAT16, b.BFLOAT16):
        return None
    if any(v.rank not in (0, q.rank) for v in (scale, zero)):
        return None
    zero = b.cast(zero, b.INT32)
    if q.dtype == b.UINT8:
        q, zero = _signed(q), b.map_(lambda z: z - 128, zero) if zero.known is None else _shifted(zero)
    return Dequantized(q, b.cast(scale, b.FLOAT32), zero, dtype)


def _signed(q: Tensor) -> Tensor:
    """Unsigned bytes as signed ones, moved by 128."""
    if q.known is not None:
        return Tensor.of((q.known ^ 0x80).view(np.int8), name=q.name)
    return b.map_(lambda a: s.bitcast(a, b.INT8) ^ -128, q, dtype=b.INT8)


def _shifted(zero: Tensor) -> Tensor:
    assert zero.known is not None
    return Tensor.of(zero.known - np.int32(128), name=zero.name)


def carried(name: str, function: Callable[[Any], Any], first: Any) -> Any:
    """What an operator that only moves elements makes of dequantized ones; NotImplemented if it is another one.

    Args:
      name: of the operator.
      function: makes its result of the first argument.
      first: the argument, a tensor or a list of them.
    """
    parts = first if isinstance(first, list | tuple) else [first]
    if not parts or not all(isinstance(part, Dequantized) for part in parts):
        return NotImplemented
    head = parts[0]
    if name == "aten.embedding.default":
        return head.moved(function) if _by_row(head) else NotImplemented
    if name in _KEEP_AXES and isinstance(first, Dequantized) and not head.is_uniform:
        return first.moved(function)
    if not head.is_uniform or not all(_same(part, head) for part in parts[1:]):
        return NotImplemented
    if name in _POOLS:
        result = function(head.q)
        if isinstance(result, tuple):
            return Dequantized(result[0], head.scale, head.zero, head.dtype), *result[1:]
        return Dequantized(result, head.scale, head.zero, head.dtype)
    if name not in _MOVES:
        return NotImplemented
    result = function(head.q if isinstance(first, Tensor) else [part.q for part in parts])
    if isinstance(result, list | tuple):
        return type(result)(Dequantized(part, head.scale, head.zero, head.dtype) for part in result)
    return Dequantized(result, head.scale, head.zero, head.dtype)


def _by_row(x: Dequantized) -> bool:
    """Whether scales and zero points, if there are several, are those of rows."""
    return all(v.rank == 0 or v.shape[0] == x.shape[0] for v in (x.scale, x.zero))


def _same(x: Dequantized, y: Dequantized) -> bool:
    """Whether two tensors are on one scale."""
    pairs = ((x.scale.splat(), y.scale.splat()), (x.zero.splat(), y.zero.splat()))
    return x.is_uniform and x.dtype == y.dtype and all(p is not None and p == q for p, q in pairs)


def _is_zero(zero: Tensor) -> bool:
    splat = zero.splat()
    return splat is not None and not splat


def _sums(q: Tensor, axes: Sequence[int]) -> Tensor:
    """Sums of bytes along axes, which stay with extent 1."""
    if q.known is not None:
        return Tensor.of(
            q.known.astype(np.int32).sum(tuple(axes), dtype=np.int32, keepdims=True), name=f"{q.name}_sums"
        )
    return b.reduce_(lambda t, a: t + s.cast(a, b.INT32), 0, [q], list(axes), b.INT32, keepdims=True)


def _fits(count: Dim) -> bool:
    return isinstance(count, int) and count <= _MOST_PRODUCTS


def product(x: Tensor, y: Tensor) -> Tensor | None:
    """x · y of dequantized matrices with an integer contraction; None where that is not possible."""
    if not isinstance(x, Dequantized) or not isinstance(y, Dequantized) or x.rank < 2 or y.rank < 2:
        return None
    along_x = all(v.rank == 0 or v.shape[-1] == 1 for v in (x.scale, x.zero))
    along_y = all(v.rank == 0 or v.shape[-2] == 1 for v in (y.scale, y.zero))
    if not along_x or not along_y or x.dtype != y.dtype or not _fits(x.shape[-1]):
        return None
    total = b.matmul(x.q, y.q, b.INT32)
    if not _is_zero(x.zero):
        total = b.subtract(total, b.multiply(x.zero, _sums(y.q, [y.rank - 2])))
    if not _is_zero(y.zero):
        rows = _sums(x.q, [x.rank - 1])
        if not _is_zero(x.zero):  # Σ(x - zx)·zy
            count = x.shape[-1]
            assert isinstance(count, int)
            rows = b.map_(lambda r, z: r - z * count, rows, x.zero)
        total = b.subtract(total, b.multiply(rows, y.zero))
    return _scaled(total, x.scale, y.scale, x.dtype)


def _scaled(total: Tensor, left: Tensor, right: Tensor, dtype: DType) -> Tensor:
    """i32 sums as floats, times the scales of both factors."""

    def body(a: Scalar, p: Scalar, q: Scalar) -> Scalar:
        return s.cast(s.cast(a, b.FLOAT32) * (p * q), b.compute_dtype(dtype))

    return b.map_(body, total, left, right, dtype=dtype, shape=total.shape)


def convolution(
    x: Tensor, weight: Tensor, strides: Sequence[int], dilations: Sequence[int], pads: Sequence[Dim], groups: int
) -> Tensor | None:
    """A convolution of dequantized tensors in integers; None where that is not possible."""
    if not isinstance(x, Dequantized) or not isinstance(weight, Dequantized) or x.dtype != weight.dtype:
        return None
    zero = x.zero.splat()
    padded = any(not isinstance(p, int) or p for p in pads)
    per_filter = all(d == 1 for d in weight.scale.shape[1:])
    if not x.is_uniform or not per_filter or not _is_zero(weight.zero) or (zero is None and padded):
        return None
    if not _fits(b.product(weight.shape[1:])):
        return None
    q, nothing = x.q, [0] * len(pads)
    if padded and zero is not None:  # what is outside is 0, which is the zero point
        if not -128 <= int(zero) <= 127:
            return None
        q = b.pad(q, [0, 0, *pads], [0, 0, *pads], int(zero))
    total = b.conv(q, weight.q, strides, dilations, nothing, nothing, groups, b.INT32)
    filters = [weight.shape[0], *([1] * (x.rank - 2))]
    if not _is_zero(x.zero):
        sums = b.reshape(_sums(weight.q, range(1, weight.rank)), filters)
        total = b.subtract(total, b.multiply(x.zero, sums))
    scale = weight.scale if weight.scale.rank == 0 else b.reshape(weight.scale, filters)
    return _scaled(total, x.scale, scale, x.dtype)
