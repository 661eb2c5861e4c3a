"""input-expand-complex-functions: functions of complex numbers become real arithmetic, infinities and NaN included.

    %w = complex.exp %z : complex<f32>
    =>
    %e = math.exp %a : f64; %w = complex.create (%e · cos %b), (%e · sin %b)               with z = a + ib, parts in f64

Special values are those of annex G of the C standard, which upstream's expansions do not follow: exp(-inf + i·NaN) is
0, sqrt(x + i·inf) is inf + i·inf. Numbers of f32 and less are computed in f64, where nothing overflows in between;
those of f64 are scaled where squares or exponentials would. Products and quotients are left to the code generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlirage.input.builders import FLOAT64, Scalar
from mlirage.input.builders import scalar as s
from mlirage.input.builders.tensor import TensorBuilder
from mlirage.mlir import arith, complex_, ir, math, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_INFINITY = float("inf")
_LOG_OF_LARGEST = 709.0  # exp beyond overflows


@module_pass("input-expand-complex-functions")
def expand_complex_functions(program: Program) -> None:
    """Replaces the ops of `_FUNCTIONS`, wherever they stand."""
    ops = [op for op in walk(program.module.operation) if op.name in _FUNCTIONS]
    if not ops:
        return
    with TensorBuilder(program.module, program.module.body, program.constants).active():
        for op in ops:
            with op.location, ir.InsertionPoint(op):
                result = _FUNCTIONS[op.name](*(_parts(value) for value in op.operands))
                op.results[0].replace_all_uses_with(_narrow(result, op.results[0].type))
            op.erase()


@dataclass(frozen=True)
class _Complex:
    """Both parts, in f64."""

    re: Scalar
    im: Scalar


def _parts(value: ir.Value[Any]) -> _Complex:
    return _Complex(*(Scalar(_to_f64(part(value)), FLOAT64) for part in (complex_.re, complex_.im)))


def _to_f64(value: ir.Value[Any]) -> ir.Value[Any]:
    wide = ir.F64Type.get()
    return value if value.type == wide else arith.extf(wide, value)


def _narrow(result: _Complex | Scalar, kind: ir.Type) -> ir.Value[Any]:
    if isinstance(result, Scalar):
        return _from_f64(result.value, kind)
    part = ir.ComplexType(kind).element_type
    return complex_.create_(kind, _from_f64(result.re.value, part), _from_f64(result.im.value, part))


def _from_f64(value: ir.Value[Any], kind: ir.Type) -> ir.Value[Any]:
    return value if value.type == kind else arith.truncf(kind, value)


# --- Real numbers. ---


def _f64(value: float) -> Scalar:
    return s.coerce(value, FLOAT64)


def _copysign(size: Scalar, sign: Scalar) -> Scalar:
    return Scalar(math.copysign(size.value, sign.value), FLOAT64)


def _atan2(y: Scalar, x: Scalar) -> Scalar:
    return Scalar(math.atan2(y.value, x.value), FLOAT64)


def _is_infinite(x: Scalar) -> Scalar:
    return s.absolute(x).eq(_INFINITY)


def _is_finite(x: Scalar) -> Scalar:
    return s.absolute(x) < _INFINITY


def _ordered(z: _Complex) -> tuple[Scalar, Scalar]:
    """|re| and |im|, the larger first."""
    a, b = s.absolute(z.re), s.absolute(z.im)
    return s.maximum(a, b), s.minimum(a, b)


def _scaled_parts(z: _Complex, factor: Scalar) -> _Complex:
    return _Complex(z.re * factor, z.im * factor)


def _scale_for_squares(z: _Complex) -> tuple[Scalar, Scalar]:
    """A power of two that keeps squares of the parts finite and normal, and its inverse."""
    large, _ = _ordered(z)
    huge, tiny = large > 2.0**500, large < 2.0**-500
    return (
        s.select(huge, _f64(2.0**-600), s.select(tiny, _f64(2.0**600), _f64(1.0))),
        s.select(huge, _f64(2.0**600), s.select(tiny, _f64(2.0**-600), _f64(1.0))),
    )


def _hypot(z: _Complex) -> Scalar:
    """|z|: infinite where a part is, even if the other is NaN."""
    factor, inverse = _scale_for_squares(z)
    w = _scaled_parts(z, factor)
    size = s.sqrt(w.re * w.re + w.im * w.im) * inverse
    return s.select(_is_infinite(z.re) | _is_infinite(z.im), _f64(_INFINITY), size)


def _exp_times(x: Scalar, factor: Scalar) -> Scalar:
    """exp(x) · factor, in two steps where exp(x) alone would overflow."""
    far = x > _LOG_OF_LARGEST
    first = s.exp(s.select(far, x * 0.5, x))
    return first * factor * s.select(far, first, _f64(1.0))


def _hyperbolic(x: Scalar, factor: Scalar) -> tuple[Scalar, Scalar]:
    """sinh(x) · factor and cosh(x) · factor, in two steps where they alone would overflow."""
    size = s.absolute(x)
    far = size > _LOG_OF_LARGEST
    half = _exp_times(size, factor * 0.5)
    return (
        s.select(far, s.select(x < 0.0, -half, half), s.sinh(x) * factor),
        s.select(far, half, s.cosh(x) * factor),
    )


# --- Functions of complex numbers. ---


def _exp(z: _Complex) -> _Complex:
    vanishes = z.re.eq(-_INFINITY) & ~_is_finite(z.im)
    real_axis = z.im.eq(0.0)
    re, im = _exp_times(z.re, s.cos(z.im)), _exp_times(z.re, s.sin(z.im))
    grows = z.re.eq(_INFINITY) & ~_is_finite(z.im)
    re = s.select(vanishes, _f64(0.0), s.select(grows, _f64(_INFINITY), re))
    return _Complex(re, s.select(vanishes, _f64(0.0), s.select(real_axis, z.im, im)))


def _expm1(z: _Complex) -> _Complex:
    """expm1(a) cos b - 2 sin²(b/2), so that nothing cancels near 0."""
    w = _exp(z)
    half = s.sin(z.im * 0.5)
    near = s.expm1(z.re) * s.cos(z.im) - half * half * 2.0
    small = s.absolute(z.re) < 1.0
    re = s.select(z.im.eq(0.0), s.expm1(z.re), s.select(small, near, w.re - 1.0))
    return _Complex(re, w.im)


def _log(z: _Complex) -> _Complex:
    """log |z|, where |z| is near 1 by log1p((x - 1)(x + 1) + y²)."""
    large, small = _ordered(z)
    near = (large > 0.5) & (large < 2.0)
    by_log1p = s.log1p((large - 1.0) * (large + 1.0) + small * small) * 0.5
    factor, _ = _scale_for_squares(z)
    scale = s.select(factor > 1.0, _f64(-600.0), s.select(factor < 1.0, _f64(600.0), _f64(0.0)))
    scaled = large * factor, small * factor
    by_log = s.log(scaled[0] * scaled[0] + scaled[1] * scaled[1]) * 0.5 + scale * float(np.log(2.0))
    re = s.select(near, by_log1p, by_log)
    re = s.select(_is_infinite(z.re) | _is_infinite(z.im), _f64(_INFINITY), re)
    return _Complex(re, _atan2(z.im, z.re))


def _log1p(z: _Complex) -> _Complex:
    """log |1 + z| by log1p(x(x + 2) + y²) where z is small."""
    away = _log(_Complex(z.re + 1.0, z.im))
    small = (s.absolute(z.re) < 0.5) & (s.absolute(z.im) < 0.5)
    near = s.log1p(z.re * (z.re + 2.0) + z.im * z.im) * 0.5
    return _Complex(s.select(small, near, away.re), away.im)


def _sqrt(z: _Complex) -> _Complex:
    """By halves of |z| ± |re|, scaled by a power of four; the imaginary part has the sign of z's."""
    factor, inverse = _scale_for_squares(z)
    back = s.select(inverse > 1.0, _f64(2.0**300), s.select(inverse < 1.0, _f64(2.0**-300), _f64(1.0)))
    w = _scaled_parts(z, factor)
    larger = s.sqrt((_hypot(w) + s.absolute(w.re)) * 0.5)
    other = s.select(larger.eq(0.0), larger, s.absolute(w.im) / (larger + larger))
    larger, other = larger * back, other * back
    right = ~(z.re < 0.0)
    re, im = s.select(right, larger, other), s.select(right, other, larger)
    vertical = _is_infinite(z.im)
    re = s.select(vertical, _f64(_INFINITY), re)
    im = s.select(vertical, _f64(_INFINITY), im)
    return _Complex(re, s.select(s.is_nan(im), im, _copysign(im, z.im)))


def _sin(z: _Complex) -> _Complex:
    """sin a cosh b + i cos a sinh b."""
    _, re = _hyperbolic(z.im, s.sin(z.re))
    im, _ = _hyperbolic(z.im, s.cos(z.re))
    im = s.select(_is_infinite(z.im) & ~_is_finite(z.re), _f64(_INFINITY), s.select(z.im.eq(0.0), z.im, im))
    return _Complex(s.select(z.re.eq(0.0), z.re, re), im)


def _cos(z: _Complex) -> _Complex:
    """cos a cosh b - i sin a sinh b; both parts of cosh are signs and zeros by annex G at infinity."""
    _, re = _hyperbolic(z.im, s.cos(z.re))
    im, _ = _hyperbolic(z.im, s.sin(z.re))
    re = s.select(_is_infinite(z.im) & ~_is_finite(z.re), _f64(_INFINITY), re)
    on_axis = z.im.eq(0.0) | z.re.eq(0.0)
    zero = _copysign(_f64(0.0), z.im) * _copysign(_f64(1.0), z.re)
    return _Complex(re, s.select(on_axis, -zero, -im))


def _tanh(z: _Complex) -> _Complex:
    """Kahan's: with t = tan b and h = sinh a, ((1 + t²) h √(1 + h²) + i t) / (1 + (1 + t²) h²); ±1 far out."""
    far = s.absolute(z.re) > 22.0
    held = s.clamp(z.re, -22.0, 22.0)
    t, h = s.tan(z.im), s.sinh(held)
    squares = t * t + 1.0
    below = squares * h * h + 1.0
    re = squares * h * s.sqrt(h * h + 1.0) / below
    im = t / below
    tail = s.exp(s.absolute(z.re) * -2.0) * s.sin(z.im) * s.cos(z.im) * 4.0
    tail = s.select(_is_infinite(z.re) & ~_is_finite(z.im), _copysign(_f64(0.0), z.im), tail)
    one = s.select(_is_infinite(z.re) | _is_finite(z.im), _copysign(_f64(1.0), z.re), _f64(float("nan")))
    re = s.select(far, one, re)
    im = s.select(far, tail, im)
    re = s.select(z.re.eq(0.0), z.re, re)
    return _Complex(re, s.select(z.im.eq(0.0), z.im, im))


def _tan(z: _Complex) -> _Complex:
    turned = _tanh(_Complex(-z.im, z.re))
    return _Complex(turned.im, -turned.re)


def _sign(z: _Complex) -> _Complex:
    """z / |z|; NaN where that is infinite."""
    factor, _ = _scale_for_squares(z)
    w = _scaled_parts(z, factor)
    size = _hypot(w)
    nothing = size.eq(0.0)
    parts = (s.select(nothing, _f64(0.0), part / size) for part in (w.re, w.im))
    finite = _is_finite(z.re) & _is_finite(z.im)
    return _Complex(*(s.select(finite, part, _f64(float("nan"))) for part in parts))


def _power(z: _Complex, w: _Complex) -> _Complex:
    """exp(w log z); 0 to the 0 is 1, to what has a positive real part 0."""
    log = _log(z)
    product = _Complex(w.re * log.re - w.im * log.im, w.re * log.im + w.im * log.re)
    result = _exp(product)
    base_is_zero = z.re.eq(0.0) & z.im.eq(0.0)
    exponent_is_zero = w.re.eq(0.0) & w.im.eq(0.0)
    vanishes = base_is_zero & (w.re > 0.0)
    re = s.select(exponent_is_zero, _f64(1.0), s.select(vanishes, _f64(0.0), result.re))
    return _Complex(re, s.select(exponent_is_zero | vanishes, _f64(0.0), result.im))


_FUNCTIONS: dict[str, Callable[..., _Complex | Scalar]] = {
    "complex.abs": _hypot,
    "complex.exp": _exp,
    "complex.expm1": _expm1,
    "complex.log": _log,
    "complex.log1p": _log1p,
    "complex.sqrt": _sqrt,
    "complex.sin": _sin,
    "complex.cos": _cos,
    "complex.tan": _tan,
    "complex.tanh": _tanh,
    "complex.sign": _sign,
    "complex.pow": _power,
}
