"""Colours of images: red, green, blue; and hue, saturation, value (all from 0 to 1, along the last axis).

Hue and saturation after Smith, "Color gamut transform pairs", SIGGRAPH 1978.
"""

from __future__ import annotations

from collections.abc import Callable

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s

Colour = tuple[Scalar, Scalar, Scalar]


def _hsv(red: Scalar, green: Scalar, blue: Scalar) -> Colour:
    value = s.maximum(s.maximum(red, green), blue)
    spread = value - s.minimum(s.minimum(red, green), blue)
    saturation = s.select(value > 0, spread / value, 0.0)
    sixth = s.coerce(1.0, value.dtype) / (spread * 6.0)
    hue = s.select(
        red.eq(value),
        (green - blue) * sixth,
        s.select(green.eq(value), (blue - red) * sixth + 2.0 / 6.0, (red - green) * sixth + 4.0 / 6.0),
    )
    hue = s.select(spread > 0, hue, 0.0)
    return s.select(hue < 0, hue + 1.0, hue), saturation, value


def _rgb(hue: Scalar, saturation: Scalar, value: Scalar) -> Colour:
    turn = hue * 6.0
    parts = (s.absolute(turn - 3.0) - 1.0, -s.absolute(turn - 2.0) + 2.0, -s.absolute(turn - 4.0) + 2.0)
    grey = -saturation + 1.0
    red, green, blue = ((grey + saturation * s.clamp(part, 0.0, 1.0)) * value for part in parts)
    return red, green, blue


def _by_pixel(x: Tensor, function: Callable[[Scalar, Scalar, Scalar], Colour]) -> Tensor:
    """The three channels of each pixel from the three that there are."""
    b.TensorBuilder.current().require_equal(x.shape[-1], 3, "an image of colours has three channels")
    dtype = b.compute_dtype(x.dtype)

    def body(*position: Scalar) -> Scalar:
        channel = position[-1]
        made = function(*(s.cast(s.read(x, [*position[:-1], s.coerce(i, b.INDEX)]), dtype) for i in range(3)))
        return s.select(channel.eq(0), made[0], s.select(channel.eq(1), made[1], made[2]))

    return b.tabulate([*x.shape[:-1], 3], x.dtype, body)


@tf_op("RGBToHSV")
def to_hsv(_: Call, x: Tensor) -> Tensor:
    """Hue, saturation, value."""
    return _by_pixel(x, _hsv)


@tf_op("HSVToRGB")
def to_rgb(_: Call, x: Tensor) -> Tensor:
    """Red, green, blue."""
    return _by_pixel(x, _rgb)


@tf_op("AdjustHue")
def adjust_hue(_: Call, x: Tensor, delta: Tensor) -> Tensor:
    """The hue turned by `delta`, of whole turns."""

    def turned(colour: Colour, delta: Scalar) -> Colour:
        hue, saturation, value = colour
        hue = hue + delta
        return hue - s.floor(hue), saturation, value

    return _adjusted(x, delta, turned)


@tf_op("AdjustSaturation")
def adjust_saturation(_: Call, x: Tensor, scale: Tensor) -> Tensor:
    """The saturation times `scale`, at most 1."""
    return _adjusted(x, scale, lambda colour, factor: (colour[0], s.clamp(colour[1] * factor, 0.0, 1.0), colour[2]))


def _adjusted(x: Tensor, amount: Tensor, function: Callable[[Colour, Scalar], Colour]) -> Tensor:
    """Each pixel after `function` of its hue, saturation and value, and of the amount."""
    by = b.scalar_of(amount)
    return _by_pixel(x, lambda *colour: _rgb(*function(_hsv(*colour), s.cast(by, colour[0].dtype))))


@tf_op("AdjustContrastv2")
def adjust_contrast(_: Call, x: Tensor, factor: Tensor) -> Tensor:
    """Differences from the mean of each channel of each image times `factor`."""
    middle = b.mean(x, [x.rank - 3, x.rank - 2], keepdims=True)
    times = b.reshape(b.cast(factor, x.dtype), ())
    return b.add(b.multiply(b.subtract(x, middle), times), middle)
