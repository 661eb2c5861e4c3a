"""Numbers in equal steps, of bounds that may come from anywhere."""

from __future__ import annotations

import numpy as np

from mlirage.input.builders import dims
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim
from mlirage.input.builders.element_types import INDEX, INT64, compute_dtype, is_integer
from mlirage.input.builders.elementwise import tabulate
from mlirage.input.builders.movement import reshape
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor, TensorBuilder
from mlirage.mlir import tensor

_FEW = 4096  # elements that become a constant


def scalar_of(x: Tensor) -> Scalar:
    """The one element of a tensor, at the current insertion point."""
    splat = x.splat()
    if splat is not None:
        return s.coerce(splat, compute_dtype(x.dtype))
    return s.load(tensor.extract(reshape(x, ()).value, []), x.dtype)


def arange(start: Tensor, limit: Tensor, step: Tensor, *, away: str | None = None) -> Tensor:
    """start, start + step, … before `limit`, whatever the sign of the step.

    Args:
      start: a scalar, of the result's type; as `limit` and `step`.
      away: what the program fails with where the step leads away from the limit; without it there are no elements.
    """
    if is_integer(start.dtype):
        first, last, by = (x.dims()[0] for x in (start, limit, step))
        if isinstance(by, int) and by != 0:
            number = dims.ceiling_quotient(last - first if by > 0 else first - last, abs(by))
        else:
            number = -((first - last) // by)  # rounds up without knowing the sign
        count = _at_least_none(number, away)
        if isinstance(first, int) and isinstance(by, int) and isinstance(count, int) and count <= _FEW:
            return Tensor.of(np.arange(count) * by + first, start.dtype)
    else:
        p, q, r = (scalar_of(x) for x in (start, limit, step))
        value = s.cast(s.cast(s.ceil((q - p) / r), INT64), INDEX)
        count = _at_least_none(TensorBuilder.current().runtime_dim(value.value), away)

    def body(position: Scalar) -> Scalar:
        p = scalar_of(start)
        return p + s.cast(s.cast(position, INT64), p.dtype) * scalar_of(step)

    return tabulate([count], start.dtype, body)


def _at_least_none(number: Dim, away: str | None) -> Dim:
    if away is not None:
        TensorBuilder.current().require_at_least(number, 0, away)
    return dims.maximum(number, 0)
