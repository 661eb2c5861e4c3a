"""Operators of ai.onnx.ml that compute on numeric tensors, and TfIdfVectorizer on integers."""

from __future__ import annotations

import numpy as np

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

_ML = "ai.onnx.ml"


@onnx_op(_ML)
def ArrayFeatureExtractor(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    flat = b.reshape(indices, (b.product(indices.shape),))
    return b.gather(x if x.rank > 1 else b.unsqueeze(x, [0]), flat, -1)


@onnx_op(_ML)
def Binarizer(node: Node, x: Tensor) -> Tensor:
    threshold = node.get("threshold", 0.0)
    return b.map_(lambda a: s.cast(a > threshold, a.dtype), x)


@onnx_op(_ML)
def Scaler(node: Node, x: Tensor) -> Tensor:
    offset = Tensor.of(node.get("offset", [0.0]), b.FLOAT32)
    scale = Tensor.of(node.get("scale", [1.0]), b.FLOAT32)
    return b.map_(lambda a, o, k: (s.cast(a, b.FLOAT32) - o) * k, x, offset, scale, dtype=b.FLOAT32)


@onnx_op(_ML)
def Normalizer(node: Node, x: Tensor) -> Tensor:
    norm = node.get("norm", "MAX")
    x = b.cast(x, b.FLOAT32)
    if norm == "MAX":
        size = b.amax(x, [-1], keepdims=True)  # not of the absolute values
    elif norm == "L1":
        size = b.sum_(b.map_(s.absolute, x), [-1], keepdims=True)
    else:
        size = b.map_(s.sqrt, b.sum_(b.map_(lambda a: a * a, x), [-1], keepdims=True))
    return b.map_(lambda a, n: s.select(n.eq(0.0), a, a / n), x, size)


@onnx_op(_ML)
def Imputer(node: Node, x: Tensor) -> Tensor:
    floats = b.is_float(x.dtype)
    values = Tensor.of(node.require("imputed_value_floats" if floats else "imputed_value_int64s"), x.dtype)
    marker = node.get("replaced_value_float", 0.0) if floats else node.get("replaced_value_int64", 0)

    def body(a: Scalar, v: Scalar) -> Scalar:
        return s.select(s.is_nan(a) if floats and np.isnan(marker) else a.eq(marker), v, a)

    return b.map_(body, x, values)


@onnx_op(_ML)
def OneHotEncoder(node: Node, x: Tensor) -> Tensor:
    """1 at the place of the category that an element is; with zeros=0 every element must be one."""
    categories = node.get("cats_int64s")
    if not categories:
        raise ValueError("categories are strings, which cannot be computed with")
    # Floats count as the integers towards zero of them.
    number = b.unsqueeze(b.cast(x, b.INT64), [x.rank])
    hot = b.map_(lambda a, c: a.eq(c), number, Tensor.of(np.array(categories, np.int64), name="cats"), dtype=b.BOOL)
    if not node.get("zeros", 1):
        known = b.amin(b.amax(hot, [x.rank]), list(range(x.rank))) if x.rank else b.amax(hot, [0])
        b.TensorBuilder.current().require(loops.scalar_condition(known), "OneHotEncoder: an element is no category")
    return b.cast(hot, b.FLOAT32)


@onnx_op(_ML)
def FeatureVectorizer(node: Node, *inputs: Tensor) -> Tensor:
    """The first columns of each input, as many as it has dimensions, filled up with zeros."""
    widths = node.get("inputdimensions") or []
    parts: list[Tensor] = []
    for number, x in enumerate(inputs):
        x = b.cast(b.unsqueeze(x, [1]) if x.rank == 1 else x, b.FLOAT32)
        width = widths[number] if number < len(widths) else x.shape[1]
        columns = b.dims.minimum(x.shape[1], width)
        parts.append(b.pad(b.slice_axis(x, 1, 0, columns), [0, 0], [0, width - columns], 0.0))
    return b.concatenate(parts, 1)


@onnx_op(_ML)
def LabelEncoder(node: Node, x: Tensor) -> Tensor:
    """Every key is compared; the tables of such models are short."""
    keys, values, default = _table(node)
    result = b.fill(x.shape, default, values.dtype)
    table_keys, table_values = Tensor.of(keys, name="keys"), Tensor.of(values, name="values")

    def body(found: Scalar, a: Scalar, k: Scalar, v: Scalar) -> Scalar:
        same = a.eq(k) | (s.is_nan(a) & s.is_nan(k)) if b.is_float(x.dtype) else a.eq(k)
        return s.select(same, v, found)

    if len(keys) == 0:
        return result
    wide = b.unsqueeze(x, [x.rank])
    return b.reduce_(body, default, [wide, table_keys, table_values], [x.rank], values.dtype)


def _table(node: Node) -> tuple[np.ndarray, np.ndarray, object]:
    def column(role: str) -> np.ndarray:
        for suffix, dtype in (("int64s", np.int64), ("floats", np.float32)):
            if f"{role}_{suffix}" in node.attributes:
                return np.array(node.get(f"{role}_{suffix}"), dtype)
        if f"{role}_tensor" in node.attributes:
            array = np.asarray(node.get(f"{role}_tensor"))
            if array.dtype != object and array.dtype.kind != "U":
                return array.reshape(-1)
        raise ValueError(f"{role} are strings, which cannot be computed with")

    keys, values = column("keys"), column("values")
    if "default_tensor" in node.attributes:
        default = np.asarray(node.get("default_tensor")).reshape(-1)[0]
    else:
        default = node.get("default_int64", -1) if values.dtype.kind == "i" else node.get("default_float", -0.0)
    return keys, values, default


@onnx_op()
def TfIdfVectorizer(node: Node, x: Tensor) -> Tensor:
    """Counts n-grams: for each of the pool, the places where it occurs with any allowed gap."""
    if "pool_int64s" not in node.attributes:
        raise ValueError("n-grams of strings cannot be computed with")
    pool, starts = node.get("pool_int64s"), node.require("ngram_counts")
    indexes, mode = node.require("ngram_indexes"), node.require("mode")
    shortest, longest = node.require("min_gram_length"), node.require("max_gram_length")
    skips = node.require("max_skip_count")
    weights = node.get("weights", [1.0] * len(indexes))
    grams: list[tuple[int, list[int]]] = []
    number = 0
    for length, start in enumerate(starts, 1):
        end = starts[length] if length < len(starts) else len(pool)
        for place in range(start, end, length):
            if shortest <= length <= longest:
                grams.append((number, pool[place : place + length]))
            number += 1
    rows = b.unsqueeze(x, [0]) if x.rank == 1 else x
    extent = rows.shape[1]
    columns: dict[int, Tensor] = {}
    for number, gram in grams:
        total: Tensor | None = None
        for gap in range(1, skips + 2) if len(gram) > 1 else [1]:

            def occurs(count: Scalar, _: Scalar, gram: list[int] = gram, gap: int = gap) -> Scalar:
                row, place = s.index_of(0), s.index_of(1)
                hit = (place + (len(gram) - 1) * gap) < b.dim_scalar(extent)
                for i, item in enumerate(gram):
                    at = s.clamp(place + i * gap, None, b.dim_scalar(extent) - 1)
                    hit = hit & s.read(rows, [row, at]).eq(item)
                return count + s.cast(hit, b.FLOAT32)

            part = b.reduce_(occurs, 0, [rows], [1], b.FLOAT32)
            total = part if total is None else b.add(total, part)
        assert total is not None
        weight = weights[number]
        if mode == "IDF":
            total = b.map_(lambda c, w=weight: s.select(c > 0.0, s.coerce(w, b.FLOAT32), 0.0), total)
        elif mode == "TFIDF":
            total = b.map_(lambda c, w=weight: c * w, total)
        columns[indexes[number]] = total
    width = max(indexes) + 1
    zero = b.broadcast_to(Tensor.of(0, b.FLOAT32), (rows.shape[0],))
    result = b.concatenate([b.unsqueeze(columns.get(i, zero), [1]) for i in range(width)], 1)
    return b.squeeze(result, [0]) if x.rank == 1 else result
