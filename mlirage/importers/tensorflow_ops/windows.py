"""Windows over images, channels last: morphology, and the largest element with its place."""

from __future__ import annotations

from collections.abc import Iterator

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def _geometry(x: Tensor, window: list[int], strides: list[int], rates: list[int], padding: str) -> list[list[Dim]]:
    """Extents of the result, and what is added before the first element, of both axes."""
    extents: list[Dim] = []
    before: list[Dim] = []
    for d, k, step, rate in zip(x.shape[1:3], window, strides, rates, strict=True):
        size = (k - 1) * rate + 1
        if padding == "SAME":
            out = (d + step - 1) // step
            before.append(b.dims.maximum((out - 1) * step + size - d, 0) // 2)
        elif padding == "VALID":
            out = (d - size) // step + 1
            before.append(0)
        else:
            raise NotImplementedError(f"padding {padding}")
        extents.append(out)
    return [extents, before]


def _places(
    x: Tensor, window: list[int], strides: list[int], rates: list[int], before: list[Dim], p: tuple[Scalar, ...]
) -> Iterator[tuple[list[Scalar], Scalar, tuple[int, int]]]:
    """The positions of a window, held inside the image; whether they are inside; and their place in the window."""
    for dy in range(window[0]):
        for dx in range(window[1]):
            held: list[Scalar] = []
            inside: Scalar | None = None
            for axis, offset in ((0, dy), (1, dx)):
                place = p[axis + 1] * strides[axis] + offset * rates[axis] - b.dim_scalar(before[axis])
                size = b.dim_scalar(x.shape[axis + 1])
                here = (place >= 0) & (place < size)
                inside = here if inside is None else inside & here
                held.append(s.clamp(place, 0, size - 1))
            assert inside is not None
            yield held, inside, (dy, dx)


@tf_op("Dilation2D")
def dilation(call: Call, x: Tensor, weights: Tensor) -> Tensor:
    """The largest sum of an element and its weight in each window."""
    window = [int(d) for d in weights.shape[:2]]  # pyright: ignore
    strides, rates = call.numbers("strides")[1:3], call.numbers("rates")[1:3]
    extents, before = _geometry(x, window, strides, rates, call.text("padding"))

    def body(*p: Scalar) -> Scalar:
        best: Scalar | None = None
        for held, inside, (dy, dx) in _places(x, window, strides, rates, before, p):
            value = s.read(x, [p[0], *held, p[3]]) + s.read(weights, [dy, dx, p[3]])
            value = s.select(inside, value, b.lowest(x.dtype))
            best = value if best is None else s.select(value > best, value, best)
        assert best is not None
        return best

    return b.tabulate([x.shape[0], *extents, x.shape[3]], x.dtype, body)


@tf_op("MaxPoolWithArgmax")
def pool_with_places(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest elements, and their flat positions in the image or in the batch."""
    window, strides = call.numbers("ksize")[1:3], call.numbers("strides")[1:3]
    extents, before = _geometry(x, window, strides, [1, 1], call.text("padding"))
    whole = call.flag("include_batch_in_index")
    shape = [x.shape[0], *extents, x.shape[3]]

    def best(p: tuple[Scalar, ...]) -> tuple[Scalar, Scalar]:
        largest: Scalar | None = None
        place: Scalar | None = None
        for held, inside, _ in _places(x, window, strides, [1, 1], before, p):
            value = s.select(inside, s.read(x, [p[0], *held, p[3]]), b.lowest(x.dtype))
            row = p[0] * b.dim_scalar(x.shape[1]) + held[0] if whole else held[0]
            flat = (row * b.dim_scalar(x.shape[2]) + held[1]) * b.dim_scalar(x.shape[3]) + p[3]
            if largest is None or place is None:
                largest, place = value, flat
            else:
                better = value > largest
                largest, place = s.select(better, value, largest), s.select(better, flat, place)
        assert largest is not None
        assert place is not None
        return largest, place

    values = b.tabulate(shape, x.dtype, lambda *p: best(p)[0])
    places = b.tabulate(shape, call.results[1], lambda *p: s.cast(best(p)[1], call.results[1]))
    return values, places


@tf_op("ExtractImagePatches")
def patches(call: Call, x: Tensor) -> Tensor:
    """Each window's elements one after the other; zeros outside of the image."""
    window, strides, rates = (call.numbers(name)[1:3] for name in ("ksizes", "strides", "rates"))
    extents, before = _geometry(x, window, strides, rates, call.text("padding"))
    depth = x.shape[3]

    def body(*p: Scalar) -> Scalar:
        channels = b.dim_scalar(depth)
        place, channel = p[3] / channels, p[3] % channels
        offsets = (place / window[1], place % window[1])
        held: list[Scalar] = []
        inside: Scalar | None = None
        for axis in (0, 1):
            at = p[axis + 1] * strides[axis] + offsets[axis] * rates[axis] - b.dim_scalar(before[axis])
            here = (at >= 0) & (at < b.dim_scalar(x.shape[axis + 1]))
            inside = here if inside is None else inside & here
            held.append(s.clamp(at, 0, b.dim_scalar(x.shape[axis + 1]) - 1))
        assert inside is not None
        return s.select(inside, s.read(x, [p[0], *held, channel]), 0)

    return b.tabulate([x.shape[0], *extents, depth * (window[0] * window[1])], x.dtype, body)
