"""Resize and Upsample: separable, an axis at a time, each by a table of source positions and weights.

The tables are calculated by the program itself from the scales, so that scales and sizes may be run-time inputs;
where they are constants, so are the tables, and constant evaluation folds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s

_F64 = b.FLOAT64


@dataclass
class _Axis:
    """How one axis is resized.

    Attributes:
      number: of the axis.
      extent: of the input.
      size: of the output.
      scale: output over input, as f64.
      static_scale: the same, if known.
      first: start of the region of interest, if there is one.
      last: its end.
    """

    number: int
    extent: Dim
    size: Dim
    scale: Scalar
    static_scale: float | None
    first: Scalar | None
    last: Scalar | None


def _real(dim: Dim) -> Scalar:
    return s.cast(s.cast(b.dim_scalar(dim), b.INT64), _F64)


def _floor_dim(x: Scalar) -> Dim:
    index = s.cast(s.cast(s.floor(x), b.INT64), b.INDEX)
    return b.TensorBuilder.current().runtime_dim(index.value, nonnegative=True)


def _element(x: Tensor, position: int) -> tuple[float | None, Scalar]:
    """An element of a list of numbers, and its value if known."""
    if x.known is not None and x.known.dtype != object:
        known = float(x.known.reshape(-1)[position])
        return known, s.coerce(known, _F64)
    return None, s.cast(b.scalar_of(b.reshape(b.slice_axis(x, 0, position, 1), ())), _F64)


def _source_position(node: Node, axis: _Axis, place: Scalar) -> Scalar:
    """Where an output position lies in the input, as `coordinate_transformation_mode` says."""
    mode = node.get("coordinate_transformation_mode", "half_pixel") if node.opset >= 11 else "asymmetric"
    x = s.cast(s.cast(place, b.INT64), _F64)
    extent = _real(axis.extent)
    width = axis.scale * extent
    zero = s.coerce(0.0, _F64)
    if mode == "asymmetric":
        return x / axis.scale
    if mode == "align_corners":
        return s.select(width.eq(1.0), zero, x * (extent - 1.0) / (width - 1.0))
    half_pixel = (x + 0.5) / axis.scale - 0.5
    if mode == "half_pixel":
        return half_pixel
    if mode == "pytorch_half_pixel":
        return s.select(_real(axis.size).eq(1.0), s.coerce(0.0, _F64), half_pixel)
    if mode == "half_pixel_symmetric":
        return extent * 0.5 * (s.coerce(1.0, _F64) - _real(axis.size) / width) + half_pixel
    if mode == "tf_crop_and_resize":
        if axis.first is None or axis.last is None:
            raise ValueError("tf_crop_and_resize needs a region of interest")
        span = (axis.last - axis.first) * (extent - 1.0)
        inner = s.select(width.eq(1.0), span * 0.5, x * span / (width - 1.0))
        return inner + axis.first * (extent - 1.0)
    if mode == "tf_half_pixel_for_nn":
        return (x + 0.5) / axis.scale
    raise ValueError(f"coordinate_transformation_mode is {mode!r}")


def _nearest(node: Node, axis: _Axis, x: Tensor) -> Tensor:
    mode = node.get("nearest_mode", "round_prefer_floor") if node.opset >= 11 else "floor"
    rounders: dict[str, Callable[[Scalar], Scalar]] = {
        "round_prefer_floor": lambda p: s.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: s.floor(p + 0.5),
        "floor": s.floor,
        "ceil": s.ceil,
    }

    def body(place: Scalar) -> Scalar:
        position = s.cast(rounders[mode](_source_position(node, axis, place)), b.INT64)
        return s.clamp(position, 0, s.cast(b.dim_scalar(axis.extent), b.INT64) - 1)

    return b.gather(x, b.tabulate([axis.size], b.INT64, body), axis.number)


def _taps(node: Node, axis: _Axis) -> tuple[Dim, Dim]:
    """Offset of the first tap from the left neighbour, and number of taps."""
    reach = 2 if node.get("mode", "nearest") == "cubic" else 1
    if not node.get("antialias", 0):
        return 1 - reach, 2 * reach
    if axis.static_scale is not None:
        start = math.floor(-reach / min(axis.static_scale, 1.0)) + 1
        return start, 2 - 2 * start
    start = s.cast(s.cast(s.floor(s.coerce(-float(reach), _F64) / s.minimum(axis.scale, 1.0)), b.INT64), b.INDEX)
    first = b.TensorBuilder.current().runtime_dim(start.value) + 1
    return first, 2 - first * 2


def _weight(node: Node, axis: _Axis, distance: Scalar) -> Scalar:
    """The kernel at a distance from the source position."""
    if node.get("antialias", 0):
        distance = distance * s.minimum(axis.scale, 1.0)
    t = s.absolute(distance)
    if node.get("mode", "nearest") != "cubic":
        return s.clamp(s.coerce(1.0, _F64) - t, 0.0, 1.0)
    a = node.get("cubic_coeff_a", -0.75)
    near = ((t * (a + 2) - (a + 3)) * t) * t + 1.0
    far = ((t * a - 5 * a) * t + 8 * a) * t - 4 * a
    return s.select(t <= 1.0, near, s.select(t < 2.0, far, s.coerce(0.0, _F64)))


def _interpolated(node: Node, axis: _Axis, x: Tensor) -> Tensor:
    start, count = _taps(node, axis)
    outside_counts = not node.get("exclude_outside", 0)

    def neighbour(place: Scalar, tap: Scalar) -> tuple[Scalar, Scalar]:
        """The tap's position in the input and its distance from the source position."""
        position = _source_position(node, axis, place)
        base = s.ceil(position) - 1.0
        index = base + s.cast(s.cast(tap + b.dim_scalar(start), b.INT64), _F64)
        return index, index - position

    def weight(place: Scalar, tap: Scalar) -> Scalar:
        index, distance = neighbour(place, tap)
        result = _weight(node, axis, distance)
        if outside_counts:
            return result
        return s.select((index < 0.0) | (index > _real(axis.extent) - 1.0), 0.0, result)

    def position(place: Scalar, tap: Scalar) -> Scalar:
        index, _ = neighbour(place, tap)
        return s.cast(s.clamp(index, 0.0, _real(axis.extent) - 1.0), b.INT64)

    weights = b.tabulate([axis.size, count], _F64, weight)
    if node.get("antialias", 0) or not outside_counts:
        weights = b.divide(weights, b.sum_(weights, [1], keepdims=True))
    positions = b.tabulate([axis.size, count], b.INT64, position)
    wide = b.compute_dtype(x.dtype) if b.is_float(x.dtype) else b.FLOAT32
    shape = (*(axis.size if i == axis.number else d for i, d in enumerate(x.shape)), count)
    table = [axis.size if i == axis.number else (count if i == x.rank else 1) for i in range(x.rank + 1)]

    def body(total: Scalar, w: Scalar, p: Scalar) -> Scalar:
        place = [s.index_of(i) for i in range(x.rank)]
        place[axis.number] = s.cast(p, b.INDEX)
        return total + s.cast(s.read(x, place), wide) * w

    operands = [b.reshape(b.cast(weights, wide), table), b.reshape(positions, table)]
    result = b.reduce_(body, 0, operands, [x.rank], wide, shape=shape)
    return b.cast(result if b.is_float(x.dtype) else b.map_(s.round_even, result), x.dtype)


def _extrapolated(node: Node, axes: list[_Axis], x: Tensor) -> Tensor:
    """Positions outside the input take a fixed value (tf_crop_and_resize)."""
    value = node.get("extrapolation_value", 0.0)

    def body(a: Scalar) -> Scalar:
        for axis in axes:
            place = _source_position(node, axis, s.index_of(axis.number))
            a = s.select((place < 0.0) | (place > _real(axis.extent) - 1.0), value, a)
        return a

    return b.map_(body, x)


def _resized(node: Node, x: Tensor, axes: list[_Axis]) -> Tensor:
    crop = node.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    result = x
    for axis in axes:
        if axis.static_scale == 1.0 and axis.size == axis.extent and not crop:
            continue
        make = _nearest if node.get("mode", "nearest") == "nearest" else _interpolated
        result = make(node, axis, result)
    return _extrapolated(node, axes, result) if crop else result


def _by_scales(node: Node, x: Tensor, scales: Tensor, roi: Tensor | None, numbers: list[int]) -> list[_Axis]:
    axes: list[_Axis] = []
    for i, number in enumerate(numbers):
        known, scale = _element(scales, i)
        extent = x.shape[number]
        if known is not None and isinstance(extent, int):
            size: Dim = math.floor(extent * known)
        elif known == 1.0:
            size = extent
        else:
            size = _floor_dim(_real(extent) * scale)
        axes.append(_Axis(number, extent, size, scale, known, *_region(roi, i, len(numbers))))
    return axes


def _region(roi: Tensor | None, i: int, count: int) -> tuple[Scalar | None, Scalar | None]:
    if roi is None or roi.shape[0] == 0:
        return None, None
    return _element(roi, i)[1], _element(roi, count + i)[1]


def _by_sizes(node: Node, x: Tensor, sizes: list[Dim], roi: Tensor | None, numbers: list[int]) -> list[_Axis]:
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    ratios = [_ratio(size, x.shape[number]) for size, number in zip(sizes, numbers, strict=True)]
    if policy != "stretch":
        pick = min if policy == "not_larger" else max
        if all(known is not None for known, _ in ratios):
            chosen = pick(known for known, _ in ratios if known is not None)
            ratios = [(chosen, s.coerce(chosen, _F64))] * len(ratios)
            sizes = [_round_half_up(chosen, x.shape[n]) for n in numbers]
        else:
            combine = s.minimum if policy == "not_larger" else s.maximum
            total = ratios[0][1]
            for _, ratio in ratios[1:]:
                total = combine(total, ratio)
            ratios = [(None, total)] * len(ratios)
            sizes = [_floor_dim(_real(x.shape[n]) * total + 0.5) for n in numbers]
        ratios = [(None if known is None else known, scale) for known, scale in ratios]
    return [
        _Axis(number, x.shape[number], size, scale, known, *_region(roi, i, len(numbers)))
        for i, (number, size, (known, scale)) in enumerate(zip(numbers, sizes, ratios, strict=True))
    ]


def _round_half_up(scale: float, extent: Dim) -> Dim:
    return math.floor(scale * extent + 0.5) if isinstance(extent, int) else _floor_dim(_real(extent) * scale + 0.5)


def _ratio(size: Dim, extent: Dim) -> tuple[float | None, Scalar]:
    if isinstance(size, int) and isinstance(extent, int):
        known = size / extent
        return known, s.coerce(known, _F64)
    if size == extent:
        return 1.0, s.coerce(1.0, _F64)
    return None, _real(size) / _real(extent)


@onnx_op()
def Resize(
    node: Node, x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    if node.opset < 11:
        roi, scales = None, roi
    numbers = [b.normalize_axis(a, x.rank) for a in node.get("axes", list(range(x.rank)))]
    if sizes is not None and sizes.shape != (0,):
        return _resized(node, x, _by_sizes(node, x, sizes.dims(), roi, numbers))
    if scales is None or scales.shape == (0,):
        raise ValueError("neither scales nor sizes are given")
    return _resized(node, x, _by_scales(node, x, scales, roi, numbers))


@onnx_op()
def Upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Tensor:
    given = scales if scales is not None else Tensor.of(node.require("scales"), b.FLOAT32)
    return _resized(node, x, _by_scales(node, x, given, None, list(range(x.rank))))
