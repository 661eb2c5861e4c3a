"""Extents and scalars that are calculated when the program runs."""

from __future__ import annotations

from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import tensor


def scalar_of(x: Tensor) -> Scalar:
    """The one element of a tensor, at the current insertion point."""
    splat = x.splat()
    if splat is not None:
        return s.coerce(splat, b.compute_dtype(x.dtype))
    return s.load(tensor.extract(b.reshape(x, ()).value, []), x.dtype)


def runtime_scalar(x: Tensor) -> Scalar:
    """The one element of a tensor, extracted here, to be captured by bodies."""
    return scalar_of(x)


def float_count(start: Tensor, limit: Tensor, delta: Tensor) -> Dim:
    """ceil((limit - start) / delta), at least 0."""
    first, last, step = (scalar_of(x) for x in (start, limit, delta))
    number = s.cast(s.ceil((last - first) / step), b.INT64)
    index = s.cast(s.maximum(number, 0), b.INDEX)
    return b.TensorBuilder.current().runtime_dim(index.value, nonnegative=True)
