"""Functions of a complex or real number, as scalar code: PyTorch's pointwise functions take both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.input.builders import Scalar, is_complex
from mlirage.input.builders import scalar as s
from mlirage.mlir import math

Function = Callable[[Scalar], Scalar]


def _by_type(for_real: Function, for_complex: Function) -> Function:
    return lambda x: for_complex(x) if is_complex(x.dtype) else for_real(x)


def _constant(re: float, im: float, like: Scalar) -> Scalar:
    return s.coerce(complex(re, im), like.dtype)


def conjugate(z: Scalar) -> Scalar:
    """The complex conjugate; a real number itself."""
    return s.make_complex(s.real(z), -s.imaginary(z)) if is_complex(z.dtype) else z


def angle(z: Scalar) -> Scalar:
    """The argument; of a real number, 0 or π."""
    if is_complex(z.dtype):
        return atan2(s.imaginary(z), s.real(z))
    return s.select(s.is_nan(z), z, s.select(z < 0.0, s.coerce(np.pi, z.dtype), s.coerce(0.0, z.dtype)))


def atan2(y: Scalar, x: Scalar) -> Scalar:
    """The angle of the point (x, y)."""
    return Scalar(math.atan2(y.value, x.value), y.dtype)


def _exp(z: Scalar) -> Scalar:
    size = s.exp(s.real(z))
    im = s.imaginary(z)
    return s.make_complex(size * s.cos(im), s.select(im.eq(0.0), im, size * s.sin(im)))


def _log(z: Scalar) -> Scalar:
    return s.make_complex(s.log(s.absolute(z)), angle(z))


def _sqrt(z: Scalar) -> Scalar:
    """By halves of |z| ± |re|, with the sign of the imaginary part."""
    re, im = s.real(z), s.imaginary(z)
    size = s.absolute(z)
    larger = s.sqrt((size + s.absolute(re)) * 0.5)
    other = s.select(larger.eq(0.0), larger, s.absolute(im) / (larger + larger))
    positive = re >= 0.0
    root_re = s.select(positive, larger, other)
    root_im = s.select(positive, other, larger)
    return s.make_complex(root_re, copy_sign(root_im, im))


def copy_sign(size: Scalar, sign: Scalar) -> Scalar:
    """|size| with the sign of another number."""
    return Scalar(math.copysign(size.value, sign.value), size.dtype)


def _sin(z: Scalar) -> Scalar:
    re, im = s.real(z), s.imaginary(z)
    return s.make_complex(s.sin(re) * s.cosh(im), s.cos(re) * s.sinh(im))


def _cos(z: Scalar) -> Scalar:
    re, im = s.real(z), s.imaginary(z)
    return s.make_complex(s.cos(re) * s.cosh(im), -(s.sin(re) * s.sinh(im)))


def _sinh(z: Scalar) -> Scalar:
    re, im = s.real(z), s.imaginary(z)
    return s.make_complex(s.sinh(re) * s.cos(im), s.cosh(re) * s.sin(im))


def _cosh(z: Scalar) -> Scalar:
    re, im = s.real(z), s.imaginary(z)
    return s.make_complex(s.cosh(re) * s.cos(im), s.sinh(re) * s.sin(im))


def _tanh(z: Scalar) -> Scalar:
    """Of 2z, sums that do not overflow: (sinh 2a + i sin 2b) / (cosh 2a + cos 2b), ±1 where a is large."""
    re, im = s.real(z), s.imaginary(z)
    held = s.clamp(re, -20.0, 20.0)
    below = s.cosh(held * 2.0) + s.cos(im * 2.0)
    return s.make_complex(s.sinh(held * 2.0) / below, s.sin(im * 2.0) / below)


def _tan(z: Scalar) -> Scalar:
    turned = _tanh(_times_i(z))
    return s.make_complex(s.imaginary(turned), -s.real(turned))


def _times_i(z: Scalar) -> Scalar:
    return s.make_complex(-s.imaginary(z), s.real(z))


def _over_i(z: Scalar) -> Scalar:
    return s.make_complex(s.imaginary(z), -s.real(z))


def _asinh(z: Scalar) -> Scalar:
    """sign · log(w + sqrt(w² + 1)) of w = ±z in the right half-plane, where nothing cancels."""
    left = s.real(z) < 0.0
    w = Scalar(_select_value(left, -z, z), z.dtype)
    result = _log(w + _sqrt(w * w + _constant(1, 0, z)))
    return Scalar(_select_value(left, -result, result), z.dtype)


def _select_value(condition: Scalar, x: Scalar, y: Scalar) -> Any:
    return s.select(condition, x, y).value


def _acosh(z: Scalar) -> Scalar:
    one = _constant(1, 0, z)
    return _log(z + _sqrt(z + one) * _sqrt(z - one))


def _atanh(z: Scalar) -> Scalar:
    one = _constant(1, 0, z)
    return (_log(one + z) - _log(one - z)) * _constant(0.5, 0, z)


def _asin(z: Scalar) -> Scalar:
    return _over_i(_asinh(_times_i(z)))


def _acos(z: Scalar) -> Scalar:
    return _constant(np.pi / 2, 0, z) - _asin(z)


def _atan(z: Scalar) -> Scalar:
    return _over_i(_atanh(_times_i(z)))


def _scaled(function: Function, factor: float) -> Function:
    return lambda z: function(z) * _constant(factor, 0, z)


def _reciprocal(z: Scalar) -> Scalar:
    return s.coerce(1.0, z.dtype) / z


def _log10(x: Scalar) -> Scalar:
    return Scalar(math.log10(x.value), x.dtype)


def _sign(z: Scalar) -> Scalar:
    size = s.absolute(z)
    zero = size.eq(0.0)
    divisor = s.select(zero, s.coerce(1.0, size.dtype), size)
    return s.make_complex(s.real(z) / divisor, s.imaginary(z) / divisor)


def real_sign(x: Scalar) -> Scalar:
    """-1, 0 or 1; NaN stays."""
    zero = s.coerce(0, x.dtype)
    positive = s.select(x > zero, s.coerce(1, x.dtype), zero)
    return positive - s.select(x < zero, s.coerce(1, x.dtype), zero)


def power(x: Scalar, y: Scalar) -> Scalar:
    """x to the y, of two complex or two real numbers."""
    if not is_complex(x.dtype):
        return s.power(x, y)
    zero = s.absolute(x).eq(0.0)
    result = exp(y * _log(x))
    at_zero = s.select(s.absolute(y).eq(0.0), _constant(1, 0, x), _constant(0, 0, x))
    return s.select(zero, at_zero, result)


def is_nan(z: Scalar) -> Scalar:
    """Whether any part is NaN."""
    return s.is_nan(s.real(z)) | s.is_nan(s.imaginary(z)) if is_complex(z.dtype) else s.is_nan(z)


def is_infinite(z: Scalar) -> Scalar:
    """Whether any part is infinite."""
    if is_complex(z.dtype):
        return is_infinite(s.real(z)) | is_infinite(s.imaginary(z))
    return s.absolute(z).eq(float("inf"))


exp = _by_type(s.exp, _exp)
log = _by_type(s.log, _log)
log2 = _by_type(s.log2, _scaled(_log, 1 / np.log(2)))
log10 = _by_type(_log10, _scaled(_log, 1 / np.log(10)))
log1p = _by_type(s.log1p, lambda z: _log(z + _constant(1, 0, z)))
expm1 = _by_type(s.expm1, lambda z: _exp(z) - _constant(1, 0, z))
exp2 = _by_type(s.exp2, lambda z: _exp(z * _constant(np.log(2), 0, z)))
sqrt = _by_type(s.sqrt, _sqrt)
rsqrt = _by_type(s.rsqrt, lambda z: _reciprocal(_sqrt(z)))
sin, cos, tan = _by_type(s.sin, _sin), _by_type(s.cos, _cos), _by_type(s.tan, _tan)
sinh, cosh, tanh = _by_type(s.sinh, _sinh), _by_type(s.cosh, _cosh), _by_type(s.tanh, _tanh)
asin, acos, atan = _by_type(s.asin, _asin), _by_type(s.acos, _acos), _by_type(s.atan, _atan)
asinh, acosh, atanh = _by_type(s.asinh, _asinh), _by_type(s.acosh, _acosh), _by_type(s.atanh, _atanh)
reciprocal: Function = _reciprocal
sign = _by_type(real_sign, _sign)
sigmoid = _by_type(s.sigmoid, lambda z: _reciprocal(_exp(-z) + _constant(1, 0, z)))
