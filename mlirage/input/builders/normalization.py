"""Softmax and moments, as short sequences of elementwise and reduction ops along rows that later fuse."""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.input.builders import scalar as s
from mlirage.input.builders.element_types import compute_dtype, is_float
from mlirage.input.builders.elementwise import cast, map_
from mlirage.input.builders.reduction import amax, count, divide_by_count, mean, reduce_, sum_
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor


def softmax(x: Tensor, axes: Sequence[int]) -> Tensor:
    """exp(x - max) / sum(exp(x - max)) over axes."""
    wide = cast(x, compute_dtype(x.dtype))
    top = amax(wide, axes, keepdims=True)
    powers = map_(lambda a, m: s.exp(a - m), wide, top)
    return cast(map_(lambda e, t: e / t, powers, sum_(powers, axes, keepdims=True)), x.dtype)


def log_softmax(x: Tensor, axes: Sequence[int]) -> Tensor:
    """x - max - log(sum(exp(x - max))) over axes."""
    wide = cast(x, compute_dtype(x.dtype))
    shifted = map_(lambda a, m: a - m, wide, amax(wide, axes, keepdims=True))
    total = sum_(map_(s.exp, shifted), axes, keepdims=True)
    return cast(map_(lambda a, t: a - s.log(t), shifted, total), x.dtype)


def moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance over axes, kept with extent 1, in two passes, in at least f32."""
    wide = cast(x, compute_dtype(x.dtype)) if is_float(x.dtype) else x
    average = mean(wide, axes, keepdims=True)

    def body(total: Scalar, a: Scalar, m: Scalar) -> Scalar:
        difference = a - m
        return total + difference * difference

    squares = reduce_(body, 0, [wide, average], axes, wide.dtype, keepdims=True)
    return average, divide_by_count(squares, count(x, axes))
