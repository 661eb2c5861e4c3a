"""Softmax and other normalizations."""

from __future__ import annotations

import numpy as np

from mlirage.importers.tflite_ops import gemmlowp, lookup
from mlirage.importers.tflite_ops.activation import activated
from mlirage.importers.tflite_ops.fixed_point import (
    high_product,
    quantize_multiplier,
    rounding_divide,
    rounding_divide_by,
    saturated,
    scaled,
    shift_right,
)
from mlirage.importers.tflite_ops.fixed_point_functions import lifted, logarithm
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.importers.tflite_ops.windows import to_nearest
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith, math
from mlirage.program import Array

F32 = np.float32


@tflite_op
def SOFTMAX(node: Node, x: Tensor) -> Tensor:
    beta = F32(node.option("Beta", 1.0))
    if not node.is_quantized():
        scaled_x = x if beta == 1 else b.map_(lambda a: a * float(beta), x)
        return b.softmax(scaled_x, [x.rank - 1])
    if x.dtype == np.int16:
        return _softmax_16(node, x, beta)
    target, dtype = node.output_quantization(), node.dtype()
    weights = _exponentials(x, node.quantization().scale, beta)
    total = b.sum_(weights, [x.rank - 1], keepdims=True)
    low, high = b.integer_range(dtype)

    def body(a: Scalar, t: Scalar) -> Scalar:
        share = a * (s.coerce(1.0, b.FLOAT32) / (t * float(target.scale)))
        number = share + 0.5 if dtype == b.UINT8 else to_nearest(share)
        return s.cast(s.clamp(s.cast(number, b.INT32) + target.zero_point, low, high), dtype)

    return b.map_(body, weights, total, dtype=dtype, shape=x.shape)


def _exponentials(x: Tensor, scale: np.float32, beta: np.float32) -> Tensor:
    """exp(scale · beta · (x - the row's largest)): a table of 256 numbers."""
    table = np.exp((-F32(scale * beta)) * np.arange(256).astype(F32)).astype(F32)
    values = Tensor.of(table, name="exp_table")
    top = b.amax(x, [x.rank - 1], keepdims=True)

    def body(a: Scalar, m: Scalar) -> Scalar:
        return s.read(values, [s.cast(s.cast(m, b.INT32) - s.cast(a, b.INT32), b.INDEX)])

    return b.map_(body, x, top, dtype=b.FLOAT32, shape=x.shape)


def _looked_up(knots: Array, name: str) -> Tensor:
    return Tensor.of(lookup.interpolated(knots, np.arange(-32768, 32768)).astype(np.int32), name=name)


def _softmax_16(node: Node, x: Tensor, beta: np.float32) -> Tensor:
    """Exponentials and the reciprocal of their sum from tables of 513 knots, in Q0.15."""
    exponentials = _looked_up(lookup.knots_of(np.exp, -10.0, 0.0, 32768.0), "exp_table")
    reciprocals = _looked_up(lookup.knots_of(lambda v: 1.0 / (1.0 + v), 0.0, 1.0, 32768.0), "reciprocal_table")
    factor = quantize_multiplier(float(F32(node.quantization().scale * beta)) / (10.0 / 65535.0))
    top = b.amax(x, [x.rank - 1], keepdims=True)

    def exponential(a: Scalar, m: Scalar) -> Scalar:
        difference = scaled(s.cast(a, b.INT32) - s.cast(m, b.INT32), *factor)
        place = s.clamp(difference + 32767, -32768, 32767) + 32768
        return s.read(exponentials, [s.cast(place, b.INDEX)])

    weights = b.map_(exponential, x, top, dtype=b.INT32, shape=x.shape)
    total = b.sum_(weights, [x.rank - 1], keepdims=True)

    def body(a: Scalar, t: Scalar) -> Scalar:
        headroom = Scalar(math.ctlz(t.value), b.INT32)
        wide = Scalar(arith.shli(s.cast(t, b.INT64).value, s.cast(headroom - 1, b.INT64).value), b.INT64)
        shifted = s.cast(shift_right(wide + (1 << 13), 14), b.INT32)
        place = s.clamp(shifted - ((1 << 15) + (1 << 16)), -32768, 32767) + 32768
        inverse = s.read(reciprocals, [s.cast(place, b.INDEX)])
        right = -headroom + 31
        half = Scalar(arith.shli(s.coerce(1, b.INT64).value, s.cast(right - 1, b.INT64).value), b.INT64)
        product = s.cast(a, b.INT64) * s.cast(inverse, b.INT64) + half
        result = s.cast(Scalar(arith.shrsi(product.value, s.cast(right, b.INT64).value), b.INT64), b.INT32)
        return s.cast(s.clamp(result, 0, 32767), np.dtype(np.int16))

    return b.map_(body, weights, total, dtype=x.dtype, shape=x.shape)


@tflite_op
def LOG_SOFTMAX(node: Node, x: Tensor) -> Tensor:
    if not node.is_quantized():
        return b.log_softmax(x, [x.rank - 1])
    if x.dtype == b.UINT8:
        return _log_softmax_of_bytes(node, x)
    return _log_softmax_of_int8(node, x)


def _log_softmax_of_int8(node: Node, x: Tensor) -> Tensor:
    """Sums of exponentials in Q12.19 and their logarithm in Q5.26, in fixed point throughout."""
    scale = float(node.quantization().scale)
    multiplier, shift = quantize_multiplier(min(scale * (1 << 26), 2.0**31 - 1))
    reverse, reverse_shift = quantize_multiplier((1 << (31 - shift)) / multiplier if shift <= 31 else 0.0)
    least = -int(np.floor(31.0 * (1 << 26) / (1 << shift)))
    steps = [gemmlowp.scaled_number(-d, multiplier, shift) if -d >= least else 0 for d in range(256)]
    powers = [
        gemmlowp.rounding_divide(gemmlowp.exp_on_negative(v), 12) if -d >= least else 0 for d, v in enumerate(steps)
    ]
    exponentials = Tensor.of(np.array(powers, np.int32), name="exp_table")
    distances = Tensor.of(np.array(steps, np.int32), name="distance_table")
    top = b.amax(x, [x.rank - 1], keepdims=True)

    def place(a: Scalar, m: Scalar) -> Scalar:
        return s.cast(s.cast(m, b.INT32) - s.cast(a, b.INT32), b.INDEX)

    weights = b.map_(lambda a, m: s.read(exponentials, [place(a, m)]), x, top, dtype=b.INT32, shape=x.shape)
    logs = b.map_(logarithm, b.sum_(weights, [x.rank - 1], keepdims=True))

    def body(a: Scalar, m: Scalar, log_sum: Scalar) -> Scalar:
        limit = s.maximum(scaled(log_sum + -(2**31), reverse, reverse_shift), least - 1)
        number = rounding_divide(s.read(distances, [place(a, m)]) - log_sum, 22)
        found = saturated(number, 127, x.dtype)
        return s.select(s.cast(a, b.INT32) - s.cast(m, b.INT32) > limit, found, s.coerce(-128, x.dtype))

    return b.map_(body, x, top, logs, dtype=x.dtype, shape=x.shape)


def _log_softmax_of_bytes(node: Node, x: Tensor) -> Tensor:
    source, target = node.quantization(), node.output_quantization()
    total = b.sum_(_exponentials(x, source.scale, F32(1)), [x.rank - 1], keepdims=True)
    top = b.amax(x, [x.rank - 1], keepdims=True)

    def body(a: Scalar, t: Scalar, m: Scalar) -> Scalar:
        log_sum = s.log(t)
        precise = (s.cast(a, b.FLOAT32) - s.cast(m, b.FLOAT32)) * float(source.scale) - log_sum
        number = to_nearest(precise / float(target.scale))
        return saturated(s.cast(number, b.INT32), target.zero_point, x.dtype)

    return b.map_(body, x, total, top, dtype=x.dtype, shape=x.shape)


@tflite_op
def L2_NORMALIZATION(node: Node, x: Tensor) -> Tensor:
    axis = x.rank - 1
    if not node.is_quantized():
        squares = b.reduce_(lambda t, a: t + a * a, 0, [x], [axis], x.dtype, keepdims=True)
        length = b.map_(lambda n: s.maximum(s.sqrt(n), 1e-6), squares)
        return activated(b.map_(lambda a, n: a / n, x, length, shape=x.shape), node.option("FusedActivationFunction"))
    source = node.quantization()
    zero = source.zero_point

    def square(t: Scalar, a: Scalar) -> Scalar:
        number = s.cast(a, b.INT32) - zero
        return t + number * number

    total = b.reduce_(square, 0, [x], [axis], b.INT32, keepdims=True)
    multiplier, shift = _inverse_roots(total)
    target_zero = 128 if x.dtype == b.UINT8 else 0

    def body(a: Scalar, m: Scalar, n: Scalar) -> Scalar:
        # 128 · number · m · 2^(n - 31): unsigned bytes are multiplied by 128 first, signed ones last
        power = n if x.dtype == b.UINT8 else n + 7
        number = (s.cast(a, b.INT32) - zero) * (128 if x.dtype == b.UINT8 else 1)
        lifted = Scalar(arith.shli(number.value, s.maximum(power, 0).value), b.INT32)
        return saturated(rounding_divide_by(high_product(lifted, m), s.maximum(-power, 0)), target_zero, x.dtype)

    return b.map_(body, x, multiplier, shift, dtype=x.dtype, shape=x.shape)


def _inverse_roots(total: Tensor) -> tuple[Tensor, Tensor]:
    """The kernels' 1/√n for each n ≥ 0: multiplier and shift."""

    def parts(n: Scalar) -> tuple[Scalar, Scalar]:
        # Divided by 4 while it has more than 29 bits, which is two times at most.
        number, shift = n, s.coerce(11, b.INT32)
        for _ in range(2):
            large = number >= 1 << 29
            number = s.select(large, shift_right(number, 2), number)
            shift = s.select(large, shift + 1, shift)
        headroom = Scalar(math.ctlz(s.maximum(number, 1).value), b.INT32) - 1
        pairs = shift_right(headroom, 1) - 1
        shift = shift - pairs
        number = Scalar(arith.shli(number.value, (pairs + pairs).value), b.INT32)
        x = shift_right(number, 1)
        half = rounding_divide(x, 1)
        estimate = s.coerce(1 << 28, b.INT32)
        for _ in range(5):
            cube = lifted(high_product(high_product(estimate, estimate), estimate), 6)
            estimate = lifted(high_product(estimate, (1 << 28) + (1 << 27)) - high_product(half, cube), 3)
        inverse = high_product(estimate, 1518500250)
        inverse = Scalar(arith.shli(inverse.value, s.maximum(-shift, 0).value), b.INT32)
        shift = s.maximum(shift, 0)
        small = n <= 1
        return s.select(small, s.coerce(2**31 - 1, b.INT32), inverse), s.select(small, s.coerce(0, b.INT32), -shift)

    return b.map_(lambda n: parts(n)[0], total), b.map_(lambda n: parts(n)[1], total)


@tflite_op
def LOCAL_RESPONSE_NORMALIZATION(node: Node, x: Tensor) -> Tensor:
    radius = node.option("Radius")
    bias, alpha, beta = (float(node.option(k, 0.0)) for k in ("Bias", "Alpha", "Beta"))
    if not 0 <= radius < 1 << 16:
        raise ValueError(f"radius {radius}")
    depth = x.shape[-1]
    around = [0] * (x.rank - 1)
    squares = b.pad(b.map_(lambda a: a * a, x), [*around, radius], [*around, radius], 0)
    total = b.fill(x.shape, 0, x.dtype)
    for offset in range(2 * radius):  # the channel that is `radius` further does not count, in the kernel
        total = b.add(total, b.slice_axis(squares, x.rank - 1, offset, depth))
    return b.map_(lambda a, t: a * s.power(t * alpha + bias, s.coerce(-beta, a.dtype)), x, total)
