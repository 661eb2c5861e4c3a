"""Orthogonal polynomials of a degree that may differ from element to element; degrees below 0 give 0, as in PyTorch.

Chebyshev's are trigonometric functions of acos x, and hyperbolic ones outside [-1, 1]. The others are recurrences,
which a loop runs up to the largest degree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlirage.importers.pytorch_ops.registry import PROMOTION, Dim, Op, Operand, as_tensor, aten, promoted
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, loops
from mlirage.input.builders import scalar as s
from mlirage.input.builders.special import number

_UNROLLED = 32  # the highest degree that is known while compiling and needs no loop


def _register(name: str, body: Callable[[Op, Tensor, Tensor], Tensor]) -> None:
    @aten(f"special_{name}", f"special_{name}.n_scalar", f"special_{name}.x_scalar")
    def function(op: Op, x: Operand, n: Operand) -> Tensor:
        common = promoted([x, n], PROMOTION.INT_TO_FLOAT)
        wide = [as_tensor(as_tensor(v, common), b.FLOAT64) for v in (x, n)]
        return b.cast(body(op, *wide), op.dtype)


def _whole(n: Scalar) -> Scalar:
    """A degree: towards zero; -1 is none, as are NaN and infinities."""
    return s.select(s.absolute(n) < 2.0**62, s.maximum(s.trunc(n), -1.0), number(-1.0))


def _is_even(n: Scalar) -> Scalar:
    return (s.floor(n * 0.5) * 2.0).eq(n)


def _alternating(n: Scalar) -> Scalar:
    return s.select(_is_even(n), number(1.0), number(-1.0))


def _chebyshev_t(x: Scalar, n: Scalar) -> Scalar:
    inside, outside = s.cos(n * s.acos(_held(x))), s.cosh(n * s.acosh(_beyond(x)))
    value = s.select(s.absolute(x) <= 1.0, inside, s.select(x < 0.0, outside * _alternating(n), outside))
    return s.select(s.absolute(x).eq(1.0), s.select(x > 0.0, number(1.0), _alternating(n)), value)


def _chebyshev_u(x: Scalar, n: Scalar) -> Scalar:
    count = n + 1.0
    turn, size = s.acos(_held(x)), s.acosh(_beyond(x))
    inside, outside = s.sin(count * turn) / s.sin(turn), s.sinh(count * size) / s.sinh(size)
    value = s.select(s.absolute(x) < 1.0, inside, s.select(x < 0.0, outside * _alternating(n), outside))
    edge = s.select(x > 0.0, count, count * _alternating(n))
    return s.select(s.absolute(x).eq(1.0), edge, value)


def _chebyshev_w(x: Scalar, n: Scalar) -> Scalar:
    """Inside, sin((n + ½)θ) / sin(θ/2); to the left of -1 it is V of -x."""
    count = n + 0.5
    turn, size = s.acos(_held(x)), s.acosh(_beyond(x))
    inside = s.sin(count * turn) / s.sin(turn * 0.5)
    right = s.sinh(count * size) / s.sinh(size * 0.5)
    left = s.cosh(count * size) / s.cosh(size * 0.5) * _alternating(n)
    value = s.select(s.absolute(x) < 1.0, inside, s.select(x < 0.0, left, right))
    return s.select(s.absolute(x).eq(1.0), s.select(x > 0.0, n + n + 1.0, _alternating(n)), value)


def _chebyshev_v(x: Scalar, n: Scalar) -> Scalar:
    return _chebyshev_w(-x, n) * _alternating(n)


def _held(x: Scalar) -> Scalar:
    return s.clamp(x, -1.0, 1.0)


def _beyond(x: Scalar) -> Scalar:
    return s.maximum(s.absolute(x), 1.0)


def _closed(function: Callable[[Scalar, Scalar], Scalar], shifted: bool) -> Callable[[Op, Tensor, Tensor], Tensor]:
    def element(x: Scalar, n: Scalar) -> Scalar:
        n = _whole(n)
        at = x + x - 1.0 if shifted else x
        value = s.select(n.eq(0.0), number(1.0), function(at, n))
        value = s.select(s.is_nan(x), s.select(n.eq(0.0), number(1.0), x), value)
        return s.select(n < 0.0, number(0.0), value)

    return lambda op, x, n: b.map_(element, x, n)


for _letter, _function in (("t", _chebyshev_t), ("u", _chebyshev_u), ("v", _chebyshev_v), ("w", _chebyshev_w)):
    _register(f"chebyshev_polynomial_{_letter}", _closed(_function, False))
    _register(f"shifted_chebyshev_polynomial_{_letter}", _closed(_function, True))

_Start = Callable[[Scalar], Scalar]
_Step = Callable[[Scalar, Scalar, Scalar, Scalar], Scalar]  # of k, x, and the polynomials of degrees k - 1 and k


def _recurrent(start: _Start, step: _Step, limits: dict[str, int] | None = None) -> Callable[..., Tensor]:
    def function(op: Op, x: Tensor, n: Tensor) -> Tensor:
        limit = (limits or {}).get(op.dtype.name)
        shape = b.broadcast_shapes([x.shape, n.shape])
        degree = n.splat()
        if degree is not None and degree <= _UNROLLED:
            return b.map_(lambda a, m: _chosen(a, _whole(m), _unrolled(a, int(degree), start, step)), x, n)
        x, n = b.broadcast_to(x, shape), b.broadcast_to(b.map_(_whole, n), shape)
        if limit is not None:
            n = b.map_(lambda m: s.select(m > float(limit), number(-2.0), m), n)
        highest = b.amax(b.reshape(n, [b.product(shape)])) if shape else n
        count = b.map_(lambda m: s.cast(s.clamp(m, 1.0, 2.0**31), b.INT64) - 1, highest, dtype=b.INT64)
        if any(d == 0 for d in shape):
            return x

        def iterate(i: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
            before, now = carried
            number_of = b.cast(Tensor.of_dims(i + 1), b.FLOAT64)

            def body(k: Scalar, a: Scalar, m: Scalar, p: Scalar, q: Scalar) -> Scalar:
                return s.select(k < m, step(k, a, p, q), q)

            return None, [now, b.map_(body, number_of, x, n, before, now)], []

        ones = b.map_(lambda a: number(1.0), x)
        (_, last), _ = loops.loop(count.dims()[0], None, [ones, b.map_(start, x)], iterate)
        return b.map_(_chosen, x, n, last)

    return function


def _unrolled(x: Scalar, degree: int, start: _Start, step: _Step) -> Scalar:
    before, now = number(1.0), start(x)
    for k in range(1, degree):
        before, now = now, step(number(float(k)), x, before, now)
    return now


def _chosen(x: Scalar, n: Scalar, value: Scalar) -> Scalar:
    """Degrees 0 and below 0; -2 stands for a degree that PyTorch refuses by NaN."""
    value = s.select(n.eq(0.0), number(1.0), value)
    return s.select(n.eq(-2.0), number(np.nan), s.select(n < 0.0, number(0.0), value))


_LIMITS = {"float32": 128, "float64": 512}
_register("hermite_polynomial_h", _recurrent(lambda x: x + x, lambda k, x, p, q: (x * q - k * p) * 2.0, _LIMITS))
_register("hermite_polynomial_he", _recurrent(lambda x: x, lambda k, x, p, q: x * q - k * p, _LIMITS))
_register(
    "laguerre_polynomial_l",
    _recurrent(lambda x: -x + 1.0, lambda k, x, p, q: ((k + k + 1.0 - x) * q - k * p) / (k + 1.0)),
)
_register(
    "legendre_polynomial_p",
    _recurrent(lambda x: x, lambda k, x, p, q: ((k + k + 1.0) * x * q - k * p) / (k + 1.0)),
)
