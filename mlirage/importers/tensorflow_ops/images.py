"""Resizing: each axis is a product with a matrix of weights, whose rows are made as TensorFlow's kernels make them.

out = rows [new height, height] · image · columnsᵀ [width, new width]
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s

F = b.FLOAT32
_Kernel = tuple[float, Callable[[Scalar], Scalar]]  # radius, and weight by distance


def _lanczos(radius: float) -> _Kernel:
    def weight(x: Scalar) -> Scalar:
        turn = x * math.pi
        safe = s.select(x <= 1e-3, s.coerce(1.0, F), turn * turn)
        made = s.sin(turn) * s.sin(turn / radius) * radius / safe
        return s.select(x > radius, s.coerce(0.0, F), s.select(x <= 1e-3, s.coerce(1.0, F), made))

    return radius, weight


def _pieces(radius: float, *pieces: tuple[float, tuple[float, ...]]) -> _Kernel:
    """Polynomials of the distance, each up to a bound; highest powers first."""

    def weight(x: Scalar) -> Scalar:
        result = s.coerce(0.0, F)
        for bound, factors in reversed(pieces):
            value = s.coerce(factors[0], F)
            for factor in factors[1:]:
                value = value * x + factor
            result = s.select(x < bound, value, result)
        return result

    return radius, weight


def _gaussian(x: Scalar) -> Scalar:
    return s.select(x >= 1.5, s.coerce(0.0, F), s.exp(x * x * (-1 / (2 * 0.5**2))))


def _box(x: Scalar) -> Scalar:
    return s.select(x < 0.5, s.coerce(1.0, F), s.select(x.eq(0.5), s.coerce(0.5, F), 0.0))


_KERNELS: dict[str, _Kernel] = {
    "lanczos1": _lanczos(1.0), "lanczos3": _lanczos(3.0), "lanczos5": _lanczos(5.0), "gaussian": (1.5, _gaussian),
    "box": (1.0, _box), "triangle": _pieces(1.0, (1.0, (-1.0, 1.0))),
    "keyscubic": _pieces(2.0, (1.0, (1.5, -2.5, 0.0, 1.0)), (2.0, (-0.5, 2.5, -4.0, 2.0))),
    "mitchellcubic": _pieces(2.0, (1.0, (7 / 6, -2.0, 0.0, 8 / 9)), (2.0, (-7 / 18, 2.0, -10 / 3, 16 / 9))),
}  # fmt: skip


def _number(x: Scalar) -> Scalar:
    """A position as f32."""
    return s.cast(s.cast(x, b.INT64), F)


def _size(dim: Dim) -> Scalar:
    return _number(b.dim_scalar(dim))


def _normalized(weights: Tensor) -> Tensor:
    """Rows that add up to 1, where they add up to anything."""
    total = b.sum_(weights, [1], keepdims=True)

    def body(a: Scalar, t: Scalar) -> Scalar:
        small = s.absolute(t) < 1000 * 1.1754943508222875e-38
        return s.select(small, a, a / s.select(small, s.coerce(1.0, F), t))

    return b.map_(body, weights, total, shape=weights.shape)


def _by_matrices(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    wide = b.cast(image, F)
    return b.einsum("yh,bhwc,xw->byxc", [rows, wide, columns])


def _extents(size: Tensor) -> list[Dim]:
    return b.reshape(size, [2]).dims()


@tf_op("ScaleAndTranslate")
def scale_and_translate(call: Call, image: Tensor, size: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    kind = call.text("kernel_type", "lanczos3")
    if kind not in _KERNELS:
        raise NotImplementedError(f"the kernel {kind!r}")
    radius, kernel = _KERNELS[kind]
    smooth = call.flag("antialias", True)

    def matrix(axis: int, new: Dim, old: Dim) -> Tensor:
        def body(o: Scalar, i: Scalar) -> Scalar:
            step = s.coerce(1.0, F) / s.read(scale, [axis])
            wide = s.maximum(step, 1.0) if smooth else s.coerce(1.0, F)
            place = (_number(o) + 0.5) * step - step * s.read(shift, [axis])
            first = s.ceil(place - wide * radius - 0.5)
            last = s.floor(place + wide * radius - 0.5)
            here, end = _number(i), _size(old) - 1.0
            first, last = (s.clamp(x, s.coerce(0.0, F), end) for x in (first, last))
            inside = (here >= first) & (here <= last) & (place >= 0.0) & (place <= _size(old))
            return s.select(inside, kernel(s.absolute((here + 0.5 - place) / wide)), 0.0)

        return _normalized(b.tabulate([new, old], F, body))

    new = _extents(size)
    return _by_matrices(image, *(matrix(k, new[k], image.shape[k + 1]) for k in (0, 1)))


def _step(call: Call, new: Dim, old: Dim) -> Scalar:
    """Source positions between neighbours."""
    a, c = _size(old), _size(new)
    if not call.flag("align_corners"):
        return a / c
    return s.select(c > 1.0, (a - 1.0) / s.maximum(c - 1.0, 1.0), a / c)


@tf_op("ResizeBicubic")
def resize_cubic(call: Call, image: Tensor, size: Tensor) -> Tensor:
    """Weights are read from a table of 1024 steps by the kernel; here they are calculated for those steps."""
    half = call.flag("half_pixel_centers")
    a = -0.5 if half else -0.75

    def near(x: Scalar) -> Scalar:
        return ((x * (a + 2) - (a + 3)) * x) * x + 1.0

    def far(x: Scalar) -> Scalar:
        x = x + 1.0
        return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a

    def matrix(new: Dim, old: Dim) -> Tensor:
        def body(o: Scalar, i: Scalar) -> Scalar:
            step = _step(call, new, old)
            place = (_number(o) + 0.5) * step - 0.5 if half else _number(o) * step
            base = s.floor(place)
            part = s.round_even((place - base) * 1024.0) / 1024.0
            rest = s.coerce(1.0, F) - part
            here, end = _number(i), _size(old) - 1.0
            total = s.coerce(0.0, F)
            for offset, weight in ((-1.0, far(part)), (0.0, near(part)), (1.0, near(rest)), (2.0, far(rest))):
                wanted = base + offset
                place_ = s.clamp(wanted, s.coerce(0.0, F), end)
                hit = place_.eq(here) & (place_.eq(wanted) if half else place_.eq(place_))
                total = total + s.select(hit, weight, 0.0)
            return total

        made = b.tabulate([new, old], F, body)
        return _normalized(made) if half else made

    new = _extents(size)
    return _by_matrices(image, *(matrix(new[k], image.shape[k + 1]) for k in (0, 1)))


def _place(call: Call, o: Scalar, step: Scalar) -> Scalar:
    """Where a new element is among the old ones."""
    return (_number(o) + 0.5) * step - 0.5 if call.flag("half_pixel_centers") else _number(o) * step


@tf_op("ResizeBilinear")
def resize_linear(call: Call, image: Tensor, size: Tensor) -> Tensor:
    """Between two neighbours; beyond the last ones these themselves."""

    def matrix(new: Dim, old: Dim) -> Tensor:
        def body(o: Scalar, i: Scalar) -> Scalar:
            end = _size(old) - 1.0
            place = _place(call, o, _step(call, new, old))
            base = s.floor(place)
            low, high = (s.clamp(base + step, s.coerce(0.0, F), end) for step in (0.0, 1.0))
            part = place - base
            here = _number(i)
            first = s.select(low.eq(here), s.coerce(1.0, F) - part, 0.0)
            return first + s.select(high.eq(here), part, 0.0)

        return b.tabulate([new, old], F, body)

    new = _extents(size)
    return _by_matrices(image, *(matrix(new[k], image.shape[k + 1]) for k in (0, 1)))


@tf_op("ResizeNearestNeighbor")
def resize_nearest(call: Call, image: Tensor, size: Tensor) -> Tensor:
    new = _extents(size)
    half, corners = call.flag("half_pixel_centers"), call.flag("align_corners")

    def source(position: list[Scalar]) -> list[Scalar]:
        result = list(position)
        for k in (0, 1):
            old = image.shape[k + 1]
            place = (_number(position[k + 1]) + 0.5 if half else _number(position[k + 1])) * _step(call, new[k], old)
            place = s.floor(place + 0.5) if corners else s.floor(place)
            held = s.clamp(place, s.coerce(0.0, F), _size(old) - 1.0)
            result[k + 1] = s.cast(s.cast(held, b.INT64), b.INDEX)
        return result

    return b.remap(image, [image.shape[0], *new, image.shape[3]], source)


@tf_op("ResizeArea")
def resize_area(call: Call, image: Tensor, size: Tensor) -> Tensor:
    """Means over what each new element covers; what lies behind the last element is that element."""

    def matrix(new: Dim, old: Dim) -> Tensor:
        def body(o: Scalar, i: Scalar) -> Scalar:
            step, here = _step(call, new, old), _number(i)
            start, end = _number(o) * step, (_number(o) + 1.0) * step
            limit = s.select(here >= _size(old) - 1.0, s.maximum(end, here + 1.0), here + 1.0)
            covered = s.minimum(limit, end) - s.maximum(here, start)
            return s.maximum(covered, 0.0) / step

        return b.tabulate([new, old], F, body)

    new = _extents(size)
    return _by_matrices(image, *(matrix(new[k], image.shape[k + 1]) for k in (0, 1)))


@tf_op("ResizeNearestNeighborGrad")
def resize_nearest_gradient(call: Call, gradients: Tensor, size: Tensor) -> Tensor:
    """Each new element's gradient goes to the element that it was copied from."""
    half, corners = call.flag("half_pixel_centers"), call.flag("align_corners")

    def matrix(old: Dim, new: Dim) -> Tensor:
        def body(i: Scalar, o: Scalar) -> Scalar:
            place = (_number(o) + 0.5 if half else _number(o)) * _step(call, new, old)
            place = s.floor(place + 0.5) if corners else s.floor(place)
            return s.cast(s.minimum(place, _size(old) - 1.0).eq(_number(i)), F)

        return b.tabulate([old, new], F, body)

    old = _extents(size)
    made = _by_matrices(gradients, *(matrix(old[k], gradients.shape[k + 1]) for k in (0, 1)))
    return b.cast(made, call.results[0])


@tf_op("CropAndResize")
def crop_and_resize(call: Call, image: Tensor, boxes: Tensor, numbers: Tensor, size: Tensor) -> Tensor:
    """Boxes of images, each resized; elements outside of the image are `extrapolation_value`."""
    outside = float(call.text("extrapolation_value", "0.0").partition(":")[0])
    height, width = _extents(size)
    nearest = call.text("method", "bilinear") == "nearest"

    def body(*p: Scalar) -> Scalar:
        box, channel = p[0], p[3]
        number = s.clamp(s.cast(s.read(numbers, [box]), b.INDEX), 0, b.dim_scalar(image.shape[0]) - 1)
        places: list[Scalar] = []
        valid: Scalar | None = None
        for axis, new in ((0, height), (1, width)):
            low, high = s.read(boxes, [box, axis]), s.read(boxes, [box, axis + 2])
            last = _size(image.shape[axis + 1]) - 1.0
            steps = _size(new) - 1.0
            spread = low * last + _number(p[axis + 1]) * ((high - low) * last / s.maximum(steps, 1.0))
            place = s.select(steps > 0.0, spread, (low + high) * 0.5 * last)
            inside = (place >= 0.0) & (place <= last)
            valid = inside if valid is None else valid & inside
            places.append(s.clamp(place, s.coerce(0.0, F), last))
        assert valid is not None

        def at(y: Scalar, x: Scalar) -> Scalar:
            position = [s.cast(s.cast(v, b.INT64), b.INDEX) for v in (y, x)]
            return s.cast(s.read(image, [number, *position, channel]), F)

        if nearest:
            value = at(*(s.floor(v + 0.5) for v in places))
        else:
            (top, left), (bottom, right) = ([f(v) for v in places] for f in (s.floor, s.ceil))
            dy, dx = places[0] - top, places[1] - left
            above = at(top, left) + (at(top, right) - at(top, left)) * dx
            below = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * dx
            value = above + (below - above) * dy
        return s.select(valid, value, outside)

    return b.tabulate([boxes.shape[0], height, width, image.shape[3]], F, body)
