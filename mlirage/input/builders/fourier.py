"""Fourier transforms along an axis: stages of small ones (linalgx.fourier), by convolution where a prime is too large.

* Lengths without a prime factor above 13: one op. Real numbers are transformed as pairs, at half the work.
* Long ones: n = a·b as transforms of columns and of rows (Gentleman and Sande), so that each fits into a cache and
  many run side by side.
* Others (Bluestein): X[k] = c[k] · Σ_j (x[j]·c[j]) · c̄[k-j] with c[k] = exp(∓πi·k²/n), a convolution by longer
  transforms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlirage.fourier import radices_of, roots, table_of
from mlirage.input import linalgx
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, product
from mlirage.input.builders.element_types import DType
from mlirage.input.builders.elementwise import fill, map_, multiply, tabulate
from mlirage.input.builders.movement import normalize_axis, pad, reshape, slice_axis, transpose
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Tensor, empty

_LONGEST = 1 << 15
"""Numbers whose stages are one op: both buffers and the table fit into a second-level cache."""
_FEWEST_COLUMNS = 4


def fourier(x: Tensor, axis: int, *, inverse: bool = False, scale: float = 1.0) -> Tensor:
    """The transform of complex numbers along an axis of known length; the inverse has no factor but `scale`."""
    axis = normalize_axis(axis, x.rank)
    length = _length(x, axis)
    if length == 0 or 0 in x.shape:
        return x
    if length == 1:
        return _scaled(x, scale)
    inner = product(x.shape[axis + 1 :])
    radices = radices_of(length) if length <= _LONGEST else None
    few = isinstance(inner, int) and 1 < inner < _FEWEST_COLUMNS
    if (radices is None and inner != 1) or few:
        return _with_last(x, axis, lambda y: fourier(y, -1, inverse=inverse, scale=scale))
    flat = reshape(x, [product(x.shape[:axis]), length, inner])
    if radices is not None:
        done = _stages(flat, flat.shape, x.dtype, radices, inverse, 0, scale)
    else:
        rows = reshape(flat, flat.shape[:2])
        split = _halves(length)
        done = _in_two(rows, split, inverse, scale) if split else _by_convolution(rows, inverse, scale)
    return reshape(done, x.shape)


def real_fourier(x: Tensor, axis: int, *, whole: bool = False, scale: float = 1.0) -> Tensor:
    """The transform of real numbers: the coefficients up to the middle one, or all."""
    axis = normalize_axis(axis, x.rank)
    length = _length(x, axis)
    if axis != x.rank - 1:
        return _with_last(x, axis, lambda y: real_fourier(y, -1, whole=whole, scale=scale))
    kept = length if whole else length // 2 + 1
    shape = [*x.shape[:-1], kept]
    kind = np.dtype(f"c{2 * x.dtype.itemsize}")
    if 0 in shape or length == 0:
        return fill(shape, 0, kind)
    radices = radices_of(length // 2) if length % 2 == 0 and 4 <= length <= 2 * _LONGEST else None
    if radices is not None:
        outer = product(shape[:-1])
        rows = reshape(x, [outer, length, 1])
        done = _stages(rows, [outer, kept, 1], kind, radices, False, 3 if whole else 1, scale)
        return reshape(done, shape)
    number = map_(lambda a: s.make_complex(a, s.coerce(0.0, a.dtype)), x, dtype=kind)
    return slice_axis(fourier(number, -1, scale=scale), -1, 0, kept)


def inverse_real_fourier(x: Tensor, axis: int, length: int, *, scale: float = 1.0) -> Tensor:
    """The real numbers of which x has the coefficients up to the middle one; the inverse has no factor but `scale`."""
    axis = normalize_axis(axis, x.rank)
    if axis != x.rank - 1:
        return _with_last(x, axis, lambda y: inverse_real_fourier(y, -1, length, scale=scale))
    shape = [*x.shape[:-1], length]
    part = np.dtype(f"f{x.dtype.itemsize // 2}")
    if 0 in (*shape, *x.shape):
        return fill(shape, 0, part)
    radices = radices_of(length // 2) if length % 2 == 0 and 4 <= length <= 2 * _LONGEST else None
    if radices is not None:
        outer = product(shape[:-1])
        rows = reshape(x, [outer, length // 2 + 1, 1])
        done = _stages(rows, [outer, length, 1], part, radices, True, 2, scale)
        return reshape(done, shape)
    done = fourier(_mirrored(x, length), -1, inverse=True, scale=scale)
    return map_(s.real, done, dtype=part)


def _length(x: Tensor, axis: int) -> int:
    length = x.shape[axis]
    if not isinstance(length, int):
        raise ValueError(f"a Fourier transform of {list(x.shape)} along axis {axis}, whose extent is not known")
    return length


def _with_last(x: Tensor, axis: int, transform: object) -> Tensor:
    """A transform along the last axis, done along another one."""
    order = [*(i for i in range(x.rank) if i != axis), axis]
    back = [order.index(i) for i in range(x.rank)]
    return transpose(transform(transpose(x, order)), back)  # pyright: ignore


def _stages(
    x: Tensor, shape: Sequence[Dim], dtype: DType, radices: Sequence[int], inverse: bool, pairs: int, scale: float
) -> Tensor:
    table = table_of(radices, inverse, pairs != 0)
    part = np.dtype(f"f{(dtype if pairs != 2 else x.dtype).itemsize // 2}")
    numbers = Tensor.of(np.stack([table.real, table.imag]).astype(part), name="roots")
    out = empty(shape, dtype)
    value = linalgx.fourier_transform(x.value, numbers.value, out, radices, inverse=inverse, pairs=pairs, scale=scale)
    return Tensor.from_value(value, dtype, shape)


def _halves(length: int) -> tuple[int, int] | None:
    """Two factors of a long length near its root that have radices."""
    root = math.isqrt(length)
    if radices_of(length) is None:
        return None
    first = max(d for d in range(1, root + 1) if length % d == 0)
    return (first, length // first) if first > 1 and length > _LONGEST else None


def _in_two(x: Tensor, split: tuple[int, int], inverse: bool, scale: float) -> Tensor:
    """Element j·b + c, coefficient k + a·q: transforms over j, then over c."""
    a, b = split
    outer = x.shape[0]
    columns = fourier(reshape(x, [outer, a, b]), 1, inverse=inverse)
    # exp(∓2πi·k·c/n) of c = d·e + f as a product, whose factors are small tables
    e = max(d for d in range(1, math.isqrt(b) + 1) if b % d == 0)
    k = np.arange(a)[:, None]
    coarse = roots(a * b, k * (np.arange(b // e) * e), inverse).astype(x.dtype).reshape(a, b // e, 1)
    fine = roots(a * b, k * np.arange(e), inverse).astype(x.dtype).reshape(a, 1, e)
    turned = map_(
        lambda z, u, v: z * (u * v),
        reshape(columns, [outer, a, b // e, e]), Tensor.of(coarse, name="roots"), Tensor.of(fine, name="roots"),
    )  # fmt: skip
    rows = fourier(reshape(turned, [outer, a, b]), 2, inverse=inverse, scale=scale)
    return reshape(transpose(rows, [0, 2, 1]), [outer, a * b])


def _by_convolution(x: Tensor, inverse: bool, scale: float) -> Tensor:
    length = _length(x, 1)
    longer = _convenient(2 * length - 1)
    k = np.arange(length)
    chirp = roots(2 * length, k * k % (2 * length), inverse)
    kernel = np.zeros(longer, np.complex128)
    kernel[:length] = chirp.conj()
    kernel[longer - length + 1 :] = chirp[:0:-1].conj()
    spectrum = np.fft.fft(kernel) * (scale / longer)
    first = Tensor.of(chirp.astype(x.dtype), name="chirp")
    padded = pad(multiply(x, first), [0, 0], [0, longer - length], 0)
    product_ = multiply(fourier(padded, 1), Tensor.of(spectrum.astype(x.dtype), name="spectrum"))
    return multiply(slice_axis(fourier(product_, 1, inverse=True), 1, 0, length), first)


def _convenient(least: int) -> int:
    """A length of at least so much of which transforms are fast."""
    power = 1 << (least - 1).bit_length()
    return min(n for n in (power, power // 4 * 3, power // 8 * 5) if n >= least)


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else map_(lambda z: z * scale, x)


def _mirrored(x: Tensor, length: int) -> Tensor:
    """All coefficients of real numbers: element n - k is the conjugate of element k."""
    last = x.rank - 1
    extent = _length(x, last)

    def body(*position: Scalar) -> Scalar:
        at = list(position)
        here = position[last]
        beyond = here > length // 2
        at[last] = s.minimum(s.select(beyond, length - here, here), extent - 1)
        z = s.read(x, at)
        imaginary = s.imaginary(z)
        own = here.eq(0) | (here * 2).eq(length)  # what must be real there is taken as real
        odd = s.select(own, s.coerce(0.0, imaginary.dtype), s.select(beyond, -imaginary, imaginary))
        return s.make_complex(s.real(z), odd)

    return tabulate([*x.shape[:-1], length], x.dtype, body)
