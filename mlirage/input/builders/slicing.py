"""Slices whose starts, ends and steps may be known only at run time, with numpy's clamping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlirage.input.builders import dims as dim_math
from mlirage.input.builders.dims import Dim
from mlirage.input.builders.movement import dim_scalar, remap, slice_
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor


def slice_between(
    x: Tensor,
    begin: Sequence[Dim],
    end: Sequence[Dim],
    axes: Sequence[int],
    steps: Sequence[Dim],
    least_start: int = -1,
) -> Tensor:
    """x[begin:end:step] along axes, with numpy's clamping; anything may be known only at run time.

    Args:
      x: what is sliced.
      begin, end, axes, steps: as many of each.
      least_start: what starts of negative steps before the first element are raised to: -1, from where nothing is read
        (numpy), or 0, the first element (ONNX).
    """
    starts: list[Dim] = [0] * x.rank
    sizes: list[Dim] = list(x.shape)
    strides: list[Dim] = [1] * x.rank
    for axis, first, last, step in zip(axes, begin, end, steps, strict=True):
        extent = x.shape[axis]
        if isinstance(step, int) and step == 0:
            raise ValueError("a slice step is 0")
        start, size = _clamped(extent, first, last, step, least_start)
        starts[axis], sizes[axis], strides[axis] = start, size, step
    if all(isinstance(step, int) and step > 0 for step in strides):
        return slice_(x, starts, sizes, strides)  # pyright: ignore[reportArgumentType]
    if all(isinstance(d, int) for d in (*starts, *sizes, *strides)) and x.is_foldable:
        places = [np.arange(n) * k + a for a, n, k in zip(starts, sizes, strides, strict=True)]  # pyright: ignore
        assert x.known is not None
        picked = x.known[np.ix_(*places)]
        return Tensor.of_dims(picked, x.dtype) if picked.dtype == object else Tensor.of(picked)

    def place(position: list[Scalar]) -> list[Scalar]:
        return [
            p * dim_scalar(k) + dim_scalar(a) if not (a == 0 and k == 1) else p
            for p, a, k in zip(position, starts, strides, strict=True)
        ]

    return remap(x, sizes, place)


def _clamped(extent: Dim, first: Dim, last: Dim, step: Dim, least_start: int) -> tuple[Dim, Dim]:
    """First position and number of elements of a slice."""
    d = dim_math

    def wrapped(p: Dim) -> Dim:
        if isinstance(p, int):
            return p + extent if p < 0 else p
        return p if d.is_nonnegative(p) else d.select("slt", p, 0, p + extent, p)

    def forward() -> tuple[Dim, Dim]:
        start = d.minimum(d.maximum(wrapped(first), 0), extent)
        stop = extent if isinstance(last, int) and last >= 2**31 - 1 else d.minimum(d.maximum(wrapped(last), 0), extent)
        return start, d.maximum(d.truncated_quotient(stop - start + step - 1, step), 0) if step != 1 else d.maximum(
            stop - start, 0
        )

    def backward() -> tuple[Dim, Dim]:
        start = d.minimum(d.maximum(wrapped(first), least_start), extent - 1)
        stop = d.minimum(d.maximum(wrapped(last), -1), extent - 1)
        return start, d.maximum(d.truncated_quotient(start - stop - step - 1, -step), 0)

    if isinstance(step, int):
        return forward() if step > 0 else backward()
    ahead, behind = forward(), backward()
    return tuple(d.select("slt", step, 0, q, p) for p, q in zip(ahead, behind, strict=True))  # pyright: ignore
