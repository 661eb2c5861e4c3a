"""Functions of one quantized number: a table of all its values, calculated at import as the kernels calculate it.

y = f(scale · (x - zero point))   ->   y = table[x + 128]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.importers.tflite_file import Quantization
from mlirage.importers.tflite_ops.fixed_point import round_away
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.program import Array

F32 = np.float32


def look_up(x: Tensor, table: Array, name: str) -> Tensor:
    """table[x - lowest] for each integer x of 8 or 16 bits."""
    low, high = b.integer_range(x.dtype)
    assert len(table) == high - low + 1
    values = Tensor.of(table, name=f"{name}_table")

    def body(a: Scalar) -> Scalar:
        return s.read(values, [s.cast(s.cast(a, b.INT32) - low, b.INDEX)])

    return b.map_(body, x, dtype=values.dtype)


def rounded_table(
    function: Callable[[Any], Any], source: Quantization, target: Quantization, dtype: DType, by_inverse: bool = True
) -> Array:
    """f32 arithmetic for every integer: scale, apply, scale back, round half away from zero, add the zero point, clamp.

    Args:
      function: of an array of f32.
      source: quantization of the input.
      target: of the output.
      dtype: of both.
      by_inverse: whether the kernel multiplies by the inverse of the scale or divides.
    """
    low, high = b.integer_range(dtype)
    integers = np.arange(low, high + 1, dtype=np.int32)
    real = F32(source.scale) * (integers - source.zero_point).astype(F32)
    with np.errstate(all="ignore"):
        made = np.asarray(function(real), F32)
        inverse = F32(1) / target.scale
        steps = made * inverse if by_inverse else made / target.scale
    return from_steps(steps, target.zero_point, dtype)


def from_steps(steps: Array, zero_point: int, dtype: DType) -> Array:
    """Rounds half away from zero, adds the zero point, clamps; NaN becomes the zero point."""
    low, high = b.integer_range(dtype)
    finite = np.nan_to_num(steps.astype(np.float64), nan=0.0, posinf=2.0**31, neginf=-(2.0**31))
    rounded = np.sign(finite) * np.floor(np.abs(finite) + 0.5)
    return np.clip(rounded + zero_point, low, high).astype(dtype)


def interpolated(knots: Array, values: Array) -> Array:
    """Values of i16 looked up between 513 knots, as the kernels do it."""
    values = values.astype(np.int32)
    index, offset = 256 + (values >> 7), values & 127
    base = knots[index].astype(np.int32)
    slope = (knots[index + 1].astype(np.int32) - base).astype(np.int16).astype(np.int32)
    return (base + ((slope * offset + 64) >> 7)).astype(np.int16)


def knots_of(function: Callable[[Any], Any], low: Any, high: Any, scaling: Any) -> Array:
    """513 values of `function` over [low, high] times `scaling`, as i16; each moved by half the error in its middle.

    The arithmetic is that of the type of `low`, `high` and `scaling`.
    """
    steps = 512
    step = (high - low) / type(low)(steps)
    positions = np.arange(steps + 1).astype(type(low))
    made = np.asarray(function(low + positions * step)) * scaling
    following = np.asarray(function(low + (positions[:-1] + type(low)(1)) * step)) * scaling
    middle = rounded(np.asarray(function(low + positions[:-1] * step + step / type(low)(2))) * scaling)
    error = rounded((following + rounded(made[:-1])) / type(low)(2)) - middle
    knots = np.append(rounded(made[:-1]) - rounded(error / type(low)(2)), rounded(np.asarray(function(high)) * scaling))
    return np.clip(knots, -32768, 32767).astype(np.int16)


def rounded(x: Any) -> Any:
    """To the nearest integer, halves away from zero."""
    return np.sign(x) * np.floor(np.abs(x) + type(x.flat[0])(0.5))


def interpolated_table(function: Callable[[Any], Any], source: Quantization, target: Quantization) -> Array:
    """The table of an i16 function that the kernels interpolate between 513 knots of f32."""
    low, high = (source.scale * F32(x - source.zero_point) for x in (-32768, 32767))
    bottom, top = (target.scale * F32(x - target.zero_point) for x in (-32768, 32767))
    with np.errstate(all="ignore"):
        knots = knots_of(function, low, high, F32(65536) / (top - bottom))
    return interpolated(knots, np.arange(-32768, 32768))


def sigmoid_knots() -> Array:
    """256 values of sigmoid(i / 24) in 16 bits, each moved by half the interpolation's error in the middle after it."""

    def curve(x: Array) -> Array:
        return 65536 / (1 + np.exp(-x / 24))

    i = np.arange(256, dtype=np.float64)
    error = curve(i + 0.5) - (curve(i) + curve(i + 1)) / 2
    knots = np.floor(curve(i) + error / 2 + 0.5).astype(np.int64)
    knots[255] = 65535  # the last one is rounded up
    return knots


def sixteenth_bits_input(scale: np.float32, largest_shift: int) -> Array:
    """All i16 values on the scale 1 / (3 · 4096) of the sigmoid table.

    Args:
      scale: of the input.
      largest_shift: the most that a scale which is a power of two may be shifted left.
    """
    exponent = float(np.log(scale) * (F32(1) / np.log(F32(2))))
    power = round_away(exponent)
    shift = 12 + power
    multiplier = 3 << max(shift, 0)
    if abs(exponent - power) < 1e-3 and 0 <= shift <= largest_shift:
        shift = 0
    else:
        factor, shift = float(scale) * 4096.0 * 3.0, 0
        while factor <= 32767.0 / 2.0 and shift <= 30:
            shift, factor = shift + 1, factor * 2.0
        multiplier = int(factor)
    half = 1 << (shift - 1) if shift > 0 else 0
    return (np.arange(-32768, 32768, dtype=np.int64) * multiplier + half) >> shift


def logistic_table_16(scale: np.float32) -> Array:
    """The table of LOGISTIC of i16."""
    x = sixteenth_bits_input(scale, 0)
    knots, size = sigmoid_knots(), np.abs(x)
    place = np.minimum(size >> 9, 254)
    result = (knots[place] << 9) + (size & 0x1FF) * (knots[place + 1] - knots[place])
    result = np.where(size >> 9 >= 255, 0x7FFF << 10, result)
    result = np.where(x >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1)
    return (result >> 10).astype(np.int16)


def tanh_table_16(scale: np.float32) -> Array:
    """The table of TANH of i16."""
    x = sixteenth_bits_input(scale, 1)
    knots, size = sigmoid_knots(), np.abs(x)
    place = np.minimum(size >> 8, 254)
    result = (knots[place] << 8) + (size & 0xFF) * (knots[place + 1] - knots[place])
    result = np.where(size >> 8 >= 255, 0xFFFF << 8, result)
    result = np.where(x >= 0, result - (1 << 23) + (1 << 7), -result + (1 << 23) + (1 << 7) - 1)
    return (result >> 8).astype(np.int16)
