"""Largest elements, positions of what is true, sums over segments in any order."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from mlirage.importers.tensorflow_ops.arrangement import numbers
from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, ordering, scattering
from mlirage.input.builders import scalar as s


@tf_op("TopKV2")
def largest(call: Call, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """In order; of equal ones the first."""
    (count,) = numbers(k)
    values, places = ordering.topk(x, count, -1, True)
    return values, b.cast(places, call.results[1])


@tf_op("Where")
def true_places(_: Call, mask: Tensor) -> Tensor:
    """A row of coordinates for each element that is not 0."""
    found = mask if mask.dtype == b.BOOL else b.map_(lambda a: ~a.eq(0), mask, dtype=b.BOOL)
    columns = ordering.unravel(ordering.true_positions(found), mask.shape)
    return b.concatenate([b.unsqueeze(column, [1]) for column in columns], 1)


_START = {"sum": 0, "product": 1, "low": 0, "high": 0}


def _register(name: str, combine: scattering.Combine, start: str) -> None:
    def function(_: Call, x: Tensor, ids: Tensor, count: Tensor) -> Tensor:
        (rows,) = numbers(count)
        first = _START[start]
        if start in ("low", "high"):  # what a segment without elements gives
            limits = ml_dtypes.finfo(x.dtype) if b.is_float(x.dtype) else np.iinfo(x.dtype)
            first = limits.min if start == "low" else limits.max
        target = b.fill([rows, *x.shape[ids.rank :]], first, x.dtype)
        total = b.product(ids.shape)
        flat = b.cast(b.reshape(ids, [total]), b.INT64)
        # Ids out of range fall behind the end, where nothing is written.
        limit = Tensor.of_dims(rows)

        def place(i: Scalar, n: Scalar) -> Scalar:
            return s.select((i < 0) | (i >= n), n, i)

        places = b.unsqueeze(b.map_(place, flat, limit), [1])
        return scattering.scatter_nd(target, places, b.reshape(x, [total, *x.shape[ids.rank :]]), combine)

    tf_op(name)(function)


_register("UnsortedSegmentSum", lambda p, q: p + q, "sum")
_register("UnsortedSegmentProd", lambda p, q: p * q, "product")
_register("UnsortedSegmentMax", s.maximum, "low")
_register("UnsortedSegmentMin", s.minimum, "high")
