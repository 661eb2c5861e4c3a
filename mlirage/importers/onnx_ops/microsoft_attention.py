"""com.microsoft: attention in the forms that ONNX Runtime's optimizer and model builder write.

Heads stand in front of positions, [batch, heads, positions, size], wherever a score is calculated. Masks are added to
scores as ONNX Runtime does: `mask_filter_value` where a mask forbids, the lowest number where order does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlirage.importers.onnx_ops.microsoft_fused import DOMAIN
from mlirage.importers.onnx_ops.quantization import centered
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, positions, heads · size] as [batch, heads, positions, size]."""
    batch, length, width = x.shape
    return b.transpose(b.reshape(x, (batch, length, heads, width // heads)), [0, 2, 1, 3])


def join_heads(x: Tensor) -> Tensor:
    """The other way round."""
    batch, heads, length, size = x.shape
    return b.reshape(b.transpose(x, [0, 2, 1, 3]), (batch, length, heads * size))


@dataclass
class Mask:
    """What is added to scores.

    Attributes:
      filter_value: for what a mask forbids.
      past: number of positions before the first query, where later keys are forbidden; None: none are.
      allowed: tensors that broadcast to scores: 0 forbids.
      ranges: first and end position of the keys of each batch entry, [batch].
      biases: tensors that broadcast to scores, added.
    """

    filter_value: float = -10000.0
    past: Dim | None = None
    allowed: list[Tensor] = field(default_factory=list[Tensor])
    ranges: list[tuple[Tensor | None, Tensor]] = field(default_factory=list[tuple[Tensor | None, Tensor]])
    biases: list[Tensor] = field(default_factory=list[Tensor])

    def add_to(self, scores: Tensor, scale: float) -> Tensor:
        """The scaled scores with all that applies, in at least f32."""
        tensors: list[Tensor] = [*self.allowed, *self.biases]
        for first, end in self.ranges:
            tensors += [t for t in (first, end) if t is not None]
        shaped = [t if t.rank == 4 else b.reshape(t, (t.shape[0], 1, 1, 1)) for t in tensors]
        lowest = float(np.finfo(np.float32).min)

        def body(score: Scalar, *values: Scalar) -> Scalar:
            remaining = iter(values)
            score = score * scale
            added = s.coerce(0.0, score.dtype)
            forbidden = s.coerce(self.filter_value, score.dtype)
            for _ in self.allowed:
                value = next(remaining)
                added = s.select(value.eq(s.coerce(0, value.dtype)), forbidden, added)
            biases = [next(remaining) for _ in self.biases]
            place = s.cast(s.index_of(3), b.INT64)
            for first, _ in self.ranges:
                if first is not None:
                    added = s.select(place < s.cast(next(remaining), b.INT64), forbidden, added)
                added = s.select(place >= s.cast(next(remaining), b.INT64), forbidden, added)
            if self.past is not None:
                later = s.index_of(3) > s.index_of(2) + b.dim_scalar(self.past)
                added = s.select(later, lowest, added)
            score = score + added
            for bias in biases:
                score = score + bias
            return score

        return b.map_(body, b.cast(scores, b.compute_dtype(scores.dtype)), *shaped, shape=scores.shape)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Mask) -> Tensor:
    """softmax(query · keyᵀ · scale + mask) · value."""
    scores = b.matmul(query, b.transpose(key, [0, 1, 3, 2]))
    return b.matmul(b.cast(b.softmax(mask.add_to(scores, scale), [3]), value.dtype), value)


def _scale_of(node: Node, size: Dim) -> float:
    scale = node.get("scale", 0.0)
    if scale:
        return scale
    if not isinstance(size, int):
        raise ValueError("the size of a head must be known at compile time")
    return 1 / math.sqrt(size)


def _after(past: Tensor | None, new: Tensor) -> Tensor:
    return new if past is None else b.concatenate([past, new], 2)


def _with_mask(mask: Mask, given: Tensor | None, batch: Dim, past: Dim) -> None:
    """Takes up `mask_index` or `key_padding_mask`, whose form its shape tells.

    Raises:
      NotImplementedError: a form that is not known.
    """
    if given is None:
        return
    if given.rank == 1:
        # Ends of the keys of each entry come first; behind them their starts, or what only GPUs need.
        length = given.shape[0]
        starts: Tensor | None = None
        if length == batch * 2:
            starts = b.slice_axis(given, 0, batch, batch)
        elif length not in (batch, batch * 3 + 2):
            if all(isinstance(extent, int) for extent in (length, batch)):
                raise NotImplementedError(f"a mask of shape {list(given.shape)} for a batch of {batch}")
            starts = _starts_if_any(given, batch)
        mask.ranges.append((starts, b.slice_axis(given, 0, 0, batch)))
    elif given.rank == 2:
        mask.allowed.append(b.unsqueeze(given, [1, 2]))
    elif given.rank == 3:
        mask.allowed.append(b.unsqueeze(given, [1]))
    else:
        raise NotImplementedError(f"a mask of shape {list(given.shape)}")


def _starts_if_any(given: Tensor, batch: Dim) -> Tensor:
    """The second half of a mask that may have one, of open length; else zeros."""
    padded = b.pad(given, [0], [batch * 2], 0)

    def start(place: Scalar) -> Scalar:
        is_pair = b.dim_scalar(given.shape[0]).eq(b.dim_scalar(batch) * 2)
        return s.select(is_pair, s.read(padded, [place + b.dim_scalar(batch)]), 0)

    return b.tabulate((batch,), given.dtype, start)


def _attention(
    node: Node, parts: Sequence[Tensor], given: Tensor | None, past: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What Attention and QAttention do with [batch, heads, positions, size] of query, key and value."""
    query, key, value = parts
    batch, before = query.shape[0], 0 if past is None else past.shape[3]
    if past is not None:
        old = [b.squeeze(b.slice_axis(past, 0, i, 1), [0]) for i in (0, 1)]
        key, value = _after(old[0], key), _after(old[1], value)
    mask = Mask(node.get("mask_filter_value", -10000.0), before if node.get("unidirectional", 0) else None)
    if given is not None and given.rank == 4:  # for all positions there can be
        rows = b.slice_axis(b.slice_axis(given, 2, before, query.shape[2]), 3, 0, key.shape[2])
        mask.allowed.append(rows)
    else:
        _with_mask(mask, given, batch, before)
    if bias is not None:
        mask.biases.append(bias)
    result = join_heads(attend(query, key, value, _scale_of(node, query.shape[3]), mask))
    present = b.concatenate([b.unsqueeze(t, [0]) for t in (key, value)], 0) if node.wants(1) else key
    return result, present


@onnx_op(DOMAIN)
def Attention(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, mask: Tensor | None = None,
    past: Tensor | None = None, attention_bias: Tensor | None = None, past_length: Tensor | None = None,
) -> Any:  # fmt: skip
    if past_length is not None or node.get("past_present_share_buffer", 0):
        raise NotImplementedError("a past that shares the present's buffer")
    if node.get("do_rotary", 0):
        raise NotImplementedError("rotary positions inside of Attention")
    product = b.matmul(x, weight)
    product = product if bias is None else b.add(product, bias)
    heads = node.require("num_heads")
    sizes = node.get("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
    starts = [0, sizes[0], sizes[0] + sizes[1]]
    parts = [
        split_heads(b.slice_axis(product, 2, start, size), heads) for start, size in zip(starts, sizes, strict=True)
    ]
    return _attention(node, parts, mask, past, attention_bias)


@onnx_op(DOMAIN)
def QAttention(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor, x_scale: Tensor, weight_scale: Tensor,
    mask: Tensor | None = None, x_zero: Tensor | None = None, weight_zero: Tensor | None = None,
    past: Tensor | None = None,
) -> Any:  # fmt: skip
    if node.get("do_rotary", 0) or node.get("past_present_share_buffer", 0):
        raise NotImplementedError("rotary positions, or a past that shares the present's buffer")
    zeros = [None if z is None or z.rank == 0 or z.shape[0] != 1 else b.reshape(z, ()) for z in (x_zero, weight_zero)]
    sums = b.matmul(centered(x, zeros[0] or x_zero), centered(weight, zeros[1] or weight_zero))
    factors = [b.reshape(k, ()) if k.rank and k.shape[0] == 1 else k for k in (x_scale, weight_scale)]
    product = b.map_(
        lambda a, p, q, c: s.cast(a, p.dtype) * (p * q) + c, sums, *factors, bias, dtype=bias.dtype, shape=sums.shape
    )
    heads, size = node.require("num_heads"), weight.shape[1] // 3
    parts = [split_heads(b.slice_axis(product, 2, size * i, size), heads) for i in range(3)]
    return _attention(node, parts, mask, past, None)


@onnx_op(DOMAIN)
def MultiHeadAttention(
    node: Node, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, bias: Tensor | None = None,
    padding: Tensor | None = None, attention_bias: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, past_length: Tensor | None = None, indirection: Tensor | None = None,
) -> Any:  # fmt: skip
    if past_length is not None or indirection is not None:
        raise NotImplementedError("a past that shares the present's buffer, or the indirections of a beam search")
    if node.wants(3):
        raise NotImplementedError("the output qk")
    heads = node.require("num_heads")
    if query.rank == 5:  # [batch, positions, heads, 3, size]
        parts = [b.transpose(_part(query, i), [0, 2, 1, 3]) for i in range(3)]
    elif key is None:
        raise ValueError("there is no key, and query holds none")
    elif key.rank == 5:  # [batch, positions, heads, 2, size]
        parts = [split_heads(query, heads), *(b.transpose(_part(key, i), [0, 2, 1, 3]) for i in range(2))]
    elif value is None:
        raise ValueError("there is no value")
    else:
        parts = [split_heads(query, heads), *(t if t.rank == 4 else split_heads(t, heads) for t in (key, value))]
    if bias is not None:
        start: Dim = 0
        for i, part in enumerate(parts):
            width = heads * part.shape[3]
            piece = b.reshape(b.slice_axis(bias, 0, start, width), (heads, 1, part.shape[3]))
            given = (query, key, value)[i]
            parts[i] = part if given is not None and i and given.rank == 4 else b.add(part, piece)
            start = start + width
    parts[1], parts[2] = _after(past_key, parts[1]), _after(past_value, parts[2])
    before = 0 if past_key is None else past_key.shape[2]
    mask = Mask(node.get("mask_filter_value", -10000.0), before if node.get("unidirectional", 0) else None)
    _with_mask(mask, padding, query.shape[0], before)
    if attention_bias is not None:
        mask.biases.append(attention_bias)
    inner, keys, values = parts
    return join_heads(attend(inner, keys, values, _scale_of(node, inner.shape[3]), mask)), keys, values


def _part(x: Tensor, number: int) -> Tensor:
    """One of the tensors that lie side by side along axis 3."""
    return b.squeeze(b.slice_axis(x, 3, number, 1), [3])


# ---- rotary positions, grouped queries ------------------------------------------------------------------------------


def rotated(x: Tensor, cosines: Tensor, sines: Tensor, positions: Tensor, interleaved: bool) -> Tensor:
    """The first elements of each head, as many as two times the tables are wide, turned by their position's angle."""
    half = cosines.shape[1]
    size = x.shape[3]
    turned = b.slice_axis(x, 3, 0, half * 2) if half * 2 != size else x
    if interleaved:
        pairs = b.reshape(turned, (*x.shape[:3], half, 2))
        left, right = (b.squeeze(b.slice_axis(pairs, 4, i, 1), [4]) for i in (0, 1))
    else:
        left, right = (b.slice_axis(turned, 3, half * i, half) for i in (0, 1))
    cosine, sine = (b.unsqueeze(b.gather(table, positions, 0), [1]) for table in (cosines, sines))
    first = b.map_(lambda p, q, c, n: p * c - q * n, left, right, cosine, sine, shape=left.shape)
    second = b.map_(lambda p, q, c, n: q * c + p * n, left, right, cosine, sine, shape=left.shape)
    if interleaved:
        joined = b.reshape(b.concatenate([b.unsqueeze(t, [4]) for t in (first, second)], 4), turned.shape)
    else:
        joined = b.concatenate([first, second], 3)
    return joined if half * 2 == size else b.concatenate([joined, b.slice_axis(x, 3, half * 2, size - half * 2)], 3)


@onnx_op(DOMAIN)
def RotaryEmbedding(node: Node, x: Tensor, positions: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    if node.get("is_packed_batching", 0):
        raise NotImplementedError("packed batches")
    half = cosines.shape[1]
    if x.rank == 3:
        heads = node.get("num_heads", 0)
        if not heads:
            if not isinstance(x.shape[2], int) or not isinstance(half, int):
                raise ValueError("num_heads is missing")
            heads = x.shape[2] // (half * 2)
        inner = split_heads(x, heads)
    else:
        inner = x
    batch, length = inner.shape[0], inner.shape[2]
    if positions.rank == 1 or (positions.shape[0] == 1 and positions.shape == (1,)):  # the first position
        first = b.reshape(positions, ())
        positions = b.map_(
            lambda p: s.cast(p, b.INT64) + s.cast(s.index_of(1), b.INT64), first, dtype=b.INT64, shape=(batch, length)
        )
    result = rotated(inner, cosines, sines, positions, bool(node.get("interleaved", 0)))
    return join_heads(result) if x.rank == 3 else result


@onnx_op(DOMAIN)
def GroupQueryAttention(
    node: Node, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, lengths: Tensor | None = None, total: Tensor | None = None,
    cosines: Tensor | None = None, sines: Tensor | None = None, positions: Tensor | None = None,
    attention_bias: Tensor | None = None, sink: Tensor | None = None, k_scale: Tensor | None = None,
    v_scale: Tensor | None = None, q_norm: Tensor | None = None, k_norm: Tensor | None = None,
) -> Any:  # fmt: skip
    """`lengths` + 1 keys of each entry count, the new ones being the last; `total` is the largest such number."""
    if lengths is None or total is None:
        raise ValueError("seqlens_k and total_sequence_length are needed")
    if k_scale is not None or v_scale is not None or node.get("kv_cache_bit_width", 0):
        raise NotImplementedError("a quantized cache")
    if node.wants(3):
        raise NotImplementedError("the output qk")
    if node.get("sliding_window_cache", 0) or not node.get("causal", 1):
        raise NotImplementedError("a sliding cache, or attention to later positions")
    heads, groups = node.require("num_heads"), node.require("kv_num_heads")
    if key is None or value is None:
        size = query.shape[2] // (heads + 2 * groups)
        widths = [heads * size, groups * size, groups * size]
        starts = [0, widths[0], widths[0] + widths[1]]
        parts = [b.slice_axis(query, 2, start, width) for start, width in zip(starts, widths, strict=True)]
    else:
        parts = [query, key, value]
    queries, keys, values = (split_heads(t, n) for t, n in zip(parts, (heads, groups, groups), strict=True))
    if q_norm is not None and k_norm is not None:
        epsilon = node.get("qk_norm_epsilon", 1e-6)
        queries, keys = (_head_norm(t, w, epsilon) for t, w in ((queries, q_norm), (keys, k_norm)))
    batch, new = queries.shape[0], queries.shape[2]
    (extent,) = b.reshape(total, (1,)).dims()
    before = _before(lengths, extent, new, batch)
    if node.get("do_rotary", 0):
        if cosines is None or sines is None:
            raise ValueError("the tables of cosines and sines are missing")
        if positions is None:
            positions = b.map_(
                lambda p: p + s.cast(s.index_of(1), b.INT64), b.unsqueeze(before, [1]), shape=(batch, new)
            )
        interleaved = bool(node.get("rotary_interleaved", 0))
        queries, keys = (rotated(t, cosines, sines, positions, interleaved) for t in (queries, keys))
    held = extent if past_key is None else b.dims.maximum(extent, past_key.shape[2])
    keys, values = (_cached(old, t, before, held) for old, t in ((past_key, keys), (past_value, values)))
    result = _grouped(node, queries, keys, values, before, attention_bias, sink)
    return join_heads(result), keys, values


def _before(lengths: Tensor, total: Dim, new: Dim, batch: Dim) -> Tensor:
    """How many keys of each entry are old, [batch]: none if all keys are new (a prompt, of entries cut to length)."""
    difference = Tensor.of_dims(np.array(total - new, dtype=object))

    def body(n: Scalar, d: Scalar) -> Scalar:
        old = s.cast(n, b.INT64) + 1 - s.cast(s.cast(b.dim_scalar(new), b.INT64), b.INT64)
        return s.select(d.eq(0) | (old < 0), 0, old)

    return b.map_(body, b.reshape(lengths, (batch,)), difference, dtype=b.INT64, shape=(batch,))


def _cached(old: Tensor | None, new: Tensor, before: Tensor, extent: Dim) -> Tensor:
    """Old keys, the new ones behind the old ones of their entry, and zeros, `extent` in all."""
    count = new.shape[2]
    # A row of zeros behind the new ones is what stands where there is neither a new nor an old one.
    fresh = b.pad(new, [0] * 4, [0, 0, 1, 0], 0)
    starts = b.reshape(before, (new.shape[0], 1, 1, 1))
    kept: list[Tensor] = []
    if old is not None:
        kept.append(b.pad(old, [0] * 4, [0, 0, extent - old.shape[2], 0], 0))
    shape = (*new.shape[:2], extent, new.shape[3])

    def body(start: Scalar, *old_one: Scalar) -> Scalar:
        place = s.index_of(2) - s.cast(start, b.INDEX)
        is_new = (place >= 0) & (place < b.dim_scalar(count))
        row = s.select(is_new, place, b.dim_scalar(count))
        value = s.read(fresh, [s.index_of(0), s.index_of(1), row, s.index_of(3)])
        return s.select(place < 0, old_one[0], value) if old_one else value

    return b.map_(body, starts, *kept, dtype=new.dtype, shape=shape)


def _head_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    squares = b.reduce_(lambda t, a: t + a * a, 0, [x], [3], b.compute_dtype(x.dtype), keepdims=True)
    mean = b.divide_by_count(squares, x.shape[3])
    return b.map_(lambda a, m, w: a / s.sqrt(m + epsilon) * w, x, mean, weight, shape=x.shape)


def _grouped(
    node: Node, queries: Tensor, keys: Tensor, values: Tensor, before: Tensor, bias: Tensor | None, sink: Tensor | None
) -> Tensor:
    """Attention of groups of heads, each to one head of keys; up to `before` + its own place for every query."""
    batch, heads, new, size = queries.shape
    groups, extent = keys.shape[1], keys.shape[2]
    scale, softcap = _scale_of(node, size), node.get("softcap", 0.0)
    window = node.get("local_window_size", -1)
    shared = b.reshape(queries, (batch, groups, heads // groups * new, size))  # pyright: ignore[reportOperatorIssue]
    scores = b.reshape(b.matmul(shared, b.transpose(keys, [0, 1, 3, 2])), (batch, heads, new, extent))
    extra = [b.reshape(before, (batch, 1, 1, 1)), *([] if bias is None else [_bias_of(bias, extent)])]

    def body(score: Scalar, old: Scalar, *more: Scalar) -> Scalar:
        score = score * scale
        if softcap:
            score = s.tanh(score * (1 / softcap)) * softcap
        for value in more:
            score = score + s.cast(value, score.dtype)
        here = s.cast(s.index_of(2), b.INT64) + old
        there = s.cast(s.index_of(3), b.INT64)
        allowed = there <= here
        if window > 0:
            allowed = allowed & (there > here - window)
        return s.select(allowed, score, -math.inf)

    wide = b.cast(scores, b.compute_dtype(scores.dtype))
    masked = b.map_(body, wide, *extra, shape=scores.shape)
    if sink is not None or node.get("smooth_softmax", 0):
        weights = _softmax_with_sink(masked, sink)
    else:
        weights = b.softmax(masked, [3])
    weights = b.reshape(b.cast(weights, values.dtype), (batch, groups, heads // groups * new, extent))  # pyright: ignore[reportOperatorIssue]
    return b.reshape(b.matmul(weights, values), (batch, heads, new, values.shape[3]))


def _bias_of(bias: Tensor, extent: Dim) -> Tensor:
    """The bias with zeros for keys that are not there yet, behind it."""
    missing = extent - bias.shape[3]
    return bias if missing == 0 else b.pad(bias, [0] * 4, [0, 0, 0, b.dims.maximum(missing, 0)], 0)


def _softmax_with_sink(scores: Tensor, sink: Tensor | None) -> Tensor:
    """A softmax with one more score, 0 or the head's sink, whose share nobody gets."""
    extra = Tensor.of(np.float32(0)) if sink is None else b.reshape(b.cast(sink, scores.dtype), (sink.shape[0], 1, 1))
    top = b.map_(s.maximum, b.amax(scores, [3], keepdims=True), extra)
    powers = b.map_(lambda a, m: s.exp(a - m), scores, top)
    total = b.map_(lambda t, m, e: t + s.exp(e - m), b.sum_(powers, [3], keepdims=True), top, extra)
    return b.map_(lambda p, t: p / t, powers, total)
