"""Matrix products in all their spellings, attention, distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops import dequantized
from mlirage.importers.pytorch_ops.complex_math import conjugate
from mlirage.importers.pytorch_ops.registry import Number, Op, as_tensor, aten, numpy_dtype
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import math


def product(x: Tensor, y: Tensor) -> Tensor:
    """numpy's matmul, complex numbers by products of their parts, bytes in integers."""
    in_integers = dequantized.product(x, y)
    if in_integers is not None:
        return in_integers
    if not b.is_complex(x.dtype):
        return b.matmul(x, y)
    part = np.dtype(np.float64 if x.dtype.itemsize == 16 else np.float32)
    a, c, d, e = (b.map_(take, v, dtype=part) for v in (x, y) for take in (s.real, s.imaginary))
    re = b.subtract(b.matmul(a, d), b.matmul(c, e))
    im = b.add(b.matmul(a, e), b.matmul(c, d))
    return b.map_(s.make_complex, re, im, dtype=x.dtype)


@aten("mm", "bmm", "matmul", "mv", "dot")
def matmul(op: Op, x: Tensor, y: Tensor) -> Tensor:
    return product(x, y)


@aten("mm.dtype", "bmm.dtype")
def matmul_to(op: Op, x: Tensor, y: Tensor, dtype: Any) -> Tensor:
    wide = numpy_dtype(dtype)
    return product(as_tensor(x, wide), as_tensor(y, wide))


@aten("vdot")
def vdot(op: Op, x: Tensor, y: Tensor) -> Tensor:
    return product(b.map_(conjugate, x), y)


def _transposed(x: Tensor) -> Tensor:
    if isinstance(x, dequantized.Dequantized):
        return x.moved(lambda v: b.transpose(v, [1, 0]))
    return b.transpose(x, [1, 0])


@aten("linear")
def linear(op: Op, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias, in one product of all rows."""
    turned = _transposed(weight) if weight.rank == 2 else weight
    result = product(x, turned)
    return result if bias is None else b.add(result, bias)


def _combined(op: Op, x: Tensor, result: Tensor, beta: Number, alpha: Number) -> Tensor:
    """beta · x + alpha · result; what beta 0 multiplies is not looked at."""
    plain = isinstance(alpha, int | float | complex) and alpha == 1
    scaled = result if plain else b.multiply(result, as_tensor(alpha, result.dtype))
    if isinstance(beta, int | float | complex):
        if beta == 0:
            return scaled
        if beta == 1:
            return b.add(scaled, x)
    if result.dtype == b.BOOL:
        return b.add(scaled, b.multiply(x, as_tensor(beta, b.BOOL)))
    return b.map_(lambda r, a, f: f * a + r, scaled, x, as_tensor(beta, x.dtype))


@aten("addmm", "baddbmm", "addmv")
def addmm(op: Op, x: Tensor, m: Tensor, n: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    return _combined(op, x, product(m, n), beta, alpha)


@aten("addbmm")
def addbmm(op: Op, x: Tensor, m: Tensor, n: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    return _combined(op, x, b.sum_(product(m, n), [0]), beta, alpha)


@aten("addr")
def addr(op: Op, x: Tensor, m: Tensor, n: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    outer = b.multiply(b.unsqueeze(m, [1]), b.unsqueeze(n, [0]))
    return _combined(op, as_tensor(x, op.dtype), as_tensor(outer, op.dtype), beta, alpha)


@aten("_int_mm")
def int_mm(op: Op, x: Tensor, y: Tensor) -> Tensor:
    return b.matmul(x, y, b.INT32)


@aten("_scaled_mm")
def scaled_mm(
    op: Op, x: Tensor, y: Tensor, x_scale: Tensor, y_scale: Tensor, bias: Tensor | None = None,
    result_scale: Tensor | None = None, dtype: Any = None, fast: bool = False,
) -> Tensor:  # fmt: skip
    wide = b.matmul(as_tensor(x, b.FLOAT32), as_tensor(y, b.FLOAT32))
    wide = b.map_(lambda a, p, q: a * p * q, wide, _scale(x_scale), _scale(y_scale))
    if bias is not None:
        wide = b.add(wide, as_tensor(bias, b.FLOAT32))
    return as_tensor(wide, numpy_dtype(dtype) if dtype is not None else op.dtype)


def _scale(x: Tensor) -> Tensor:
    return b.reshape(x, ()) if all(d == 1 for d in x.shape) else x


@aten("scaled_dot_product_attention")
def scaled_dot_product_attention(
    op: Op, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0,
    causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    if dropout:
        raise NotImplementedError("attention with dropout: export the model in eval mode")
    return attention(query, key, value, mask, causal, scale, enable_gqa)[0]


@aten("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention_for_cpu(
    op: Op, query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0, causal: bool = False, *,
    attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if dropout:
        raise NotImplementedError("attention with dropout: export the model in eval mode")
    return attention(query, key, value, attn_mask, causal, scale, False)


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None, grouped: bool
) -> tuple[Tensor, Tensor]:
    """softmax(query · keyᵀ · scale + mask) · value, and the logarithms of its sums; rows masked whole are 0."""
    dtype = query.dtype
    if grouped and query.rank >= 3 and key.shape[-3] != query.shape[-3]:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (_repeated(x, repeats) for x in (key, value))
    factor: Any = scale
    width = query.shape[-1]
    if factor is None:
        factor = 1 / float(np.sqrt(width)) if isinstance(width, int) and width else None
    turned = b.transpose(key, [*range(key.rank - 2), key.rank - 1, key.rank - 2])
    scores = b.cast(product(query, turned), b.compute_dtype(dtype))
    if factor is None:
        root = as_tensor(width, scores.dtype)
        scores = b.map_(lambda a, n: a / Scalar(math.sqrt(n.value), n.dtype), scores, root)
    else:
        scores = b.map_(lambda a: a * float(factor), scores)
    if causal:
        last = scores.rank - 1

        def visible(a: Scalar) -> Scalar:
            return s.select(s.index_of(last) <= s.index_of(last - 1), a, s.coerce(-np.inf, a.dtype))

        scores = b.map_(visible, scores)
    if mask is not None:
        if mask.dtype == b.BOOL:
            scores = b.map_(lambda a, m: s.select(m, a, s.coerce(-np.inf, a.dtype)), scores, mask, dtype=scores.dtype)
        else:
            scores = b.add(scores, as_tensor(mask, scores.dtype))
    top = b.amax(scores, [-1], keepdims=True)
    masked = causal or mask is not None
    held = b.map_(lambda m: s.select(m.eq(-np.inf), s.coerce(0.0, m.dtype), m), top) if masked else top
    powers = b.map_(lambda a, m: s.exp(a - m), scores, held)
    total = b.sum_(powers, [-1], keepdims=True)
    safe = b.map_(lambda t: s.select(t.eq(0.0), s.coerce(1.0, t.dtype), t), total) if masked else total
    weights = b.cast(b.map_(lambda p, t: p / t, powers, safe), dtype)
    logarithm = b.squeeze(b.map_(lambda t, m: s.log(t) + m, total, held), [-1])
    return product(weights, value), logarithm


def _repeated(x: Tensor, count: Any) -> Tensor:
    spread = b.unsqueeze(x, [x.rank - 2])
    wide = [*x.shape[:-2], count, *x.shape[-2:]]
    return b.reshape(b.broadcast_to(spread, wide), [*x.shape[:-3], x.shape[-3] * count, *x.shape[-2:]])


@aten("_cdist_forward")
def cdist(op: Op, x: Tensor, y: Tensor, order: float, mode: int | None = None) -> Tensor:
    left, right = b.unsqueeze(x, [x.rank - 1]), b.unsqueeze(y, [y.rank - 2])
    return _distance(left, right, order)


@aten("_pdist_forward")
def pdist(op: Op, x: Tensor, order: float = 2) -> Tensor:
    rows = x.shape[0]
    if not isinstance(rows, int):
        raise NotImplementedError("pdist of a number of rows that only a run knows")
    first, second = (Tensor.of(v.astype(np.int64)) for v in np.triu_indices(rows, 1))
    return _distance(b.gather(x, first, 0), b.gather(x, second, 0), order)


def _distance(x: Tensor, y: Tensor, order: float) -> Tensor:
    size = b.map_(lambda p, q: s.absolute(p - q), x, y)
    if order == 0:
        return b.sum_(b.map_(lambda a: s.select(a.ne(0.0), s.coerce(1.0, a.dtype), s.coerce(0.0, a.dtype)), size), [-1])
    if order == 1:
        return b.sum_(size, [-1])
    if order == np.inf:
        return b.amax(size, [-1])
    if order == 2:
        return b.map_(s.sqrt, b.sum_(b.map_(lambda a: a * a, size), [-1]))
    total = b.sum_(b.map_(lambda a: s.power(a, s.coerce(order, a.dtype)), size), [-1])
    return b.map_(lambda a: s.power(a, s.coerce(1 / order, a.dtype)), total)


@aten("_trilinear")
def trilinear(
    op: Op, x: Tensor, y: Tensor, z: Tensor, expand_x: list[int], expand_y: list[int], expand_z: list[int],
    summed: list[int], unroll: int = 1,
) -> Tensor:  # fmt: skip
    """The sum over axes of the products of three tensors, each with unit axes put in."""
    spread = [b.unsqueeze(v, axes) if axes else v for v, axes in ((x, expand_x), (y, expand_y), (z, expand_z))]
    joined = b.multiply(b.multiply(spread[0], spread[1]), spread[2])
    return b.sum_(joined, summed) if summed else joined
