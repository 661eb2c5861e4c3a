# ruff: noqa: E501 - cases are lines
"""TOSA's convolutions, poolings, matrix products and resizing, quantized forms included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tests.importers.stablehlo_oracle import Array, Case, dtype_of
from tests.importers.tosa_cases import case, sample, scalar, shape_constant

_ACCUMULATORS = {"i8": "i32", "f32": "f32", "f16": "f32", "bf16": "f32", "f8E4M3FN": "f16", "f8E5M2": "f16"}
_RESULTS = {"i8": "i32", "f32": "f32", "f16": "f16", "bf16": "bf16", "f8E4M3FN": "f16", "f8E5M2": "f16"}


def _kind(shape: Sequence[int], element: str) -> str:
    return "".join(f"{n}x" for n in shape) + element


def _values(element: str, shape: Sequence[int], key: object = 0) -> Array:
    x = sample(element, shape, key)
    return x if element in ("i8", "f32") else (x.astype(np.float32) / 2).astype(dtype_of(element))


def _numbers(text: Sequence[int]) -> str:
    return f"array<i64: {', '.join(map(str, text))}>"


def convolve(
    x: Array, w: Array, pad: Sequence[int], stride: Sequence[int], dilation: Sequence[int], depthwise: bool = False
) -> Array:
    """Any number of spatial dims; weights are OC, spatial, IC, or spatial, C, M where depthwise."""
    spatial = x.ndim - 2
    x = np.pad(x, [(0, 0), *zip(pad[::2], pad[1::2], strict=True), (0, 0)])
    kernel = w.shape[:spatial] if depthwise else w.shape[1:-1]
    sizes = [
        (x.shape[1 + i] - 1 - (kernel[i] - 1) * dilation[i]) // stride[i] + 1 for i in range(spatial)
    ]  # fmt: skip
    channels = w.shape[-2] * w.shape[-1] if depthwise else w.shape[0]
    out = np.zeros((x.shape[0], *sizes, channels), x.dtype)
    for place in np.ndindex(*kernel):
        cut = tuple(
            slice(place[i] * dilation[i], place[i] * dilation[i] + (sizes[i] - 1) * stride[i] + 1, stride[i])
            for i in range(spatial)
        )
        part = x[(slice(None), *cut)]
        if depthwise:
            out += (part[..., None] * w[place]).reshape(out.shape)
        else:
            out += part @ np.moveaxis(w[(slice(None), *place)], 0, -1)
    return out


def _finished(out: Array, bias: Array, element: str) -> Array:
    with np.errstate(all="ignore"):
        return (out + bias.astype(out.dtype)).astype(dtype_of(_RESULTS[element]))


def _wide(x: Array, zero: int = 0) -> Array:
    return x.astype(np.int64) - zero if x.dtype.kind == "i" else x.astype(np.float64)


def _tolerance(element: str) -> dict[str, float]:
    return {"i8": {"ulps": 0.0}, "f32": {"atol": 5e-5}, "f16": {"ulps": 2, "atol": 5e-3}, "bf16": {"ulps": 2, "atol": 4e-2}}.get(
        element, {"atol": 5e-2}
    )  # fmt: skip


def _convolutions() -> Iterator[Case]:
    forms = (((0, 0, 0, 0), (1, 1), (1, 1)), ((1, 1, 2, 0), (2, 1), (1, 1)), ((2, 2, 1, 3), (1, 2), (2, 3)))
    for element, (pad, stride, dilation) in itertools.product(_ACCUMULATORS, forms):
        tolerance = _tolerance(element)
        zx, zw = (5, -3) if element == "i8" else (0, 0)
        total = _RESULTS[element]
        x, w = _values(element, (2, 9, 10, 5)), _values(element, (7, 3, 2, 5), "w")
        bias = sample(total, (7,), "b")
        reach = [(k - 1) * d for k, d in zip((3, 2), dilation, strict=True)]
        pad = [p for p in pad]
        extents = [9 + pad[0] + pad[1] - reach[0] - 1, 10 + pad[2] + pad[3] - reach[1] - 1]
        for i in range(2):  # the specification wants windows to cover everything
            pad[2 * i + 1] += -extents[i] % stride[i]
        attributes = (
            f"acc_type = {_ACCUMULATORS[element]}, pad = {_numbers(pad)}, stride = {_numbers(stride)}, "
            f"dilation = {_numbers(dilation)}"
        )
        zeros = [scalar(element, zx), scalar(element, zw)]

        def conv(x: Array, w: Array, b: Array, o=(pad, stride, dilation), z=(zx, zw), e=element) -> Array:  # type: ignore
            return _finished(convolve(_wide(x, z[0]), _wide(w, z[1]), *o), b, e)

        out = conv(x, w, bias)
        label = f"{element}:{stride}{dilation}"
        for dynamic in (False, "batch"):
            yield case("conv2d", label, [x, w, bias], zeros, [_kind(out.shape, total)], conv, attributes, dynamic=dynamic, **tolerance)  # fmt: skip
        one = sample(total, (1,), "b")
        yield case("conv2d", f"one bias:{label}", [x, w, one], zeros, [_kind(out.shape, total)], conv, attributes, **tolerance)  # fmt: skip
        d = _values(element, (3, 2, 5, 2), "d")
        bias2 = sample(total, (10,), "b")

        def deep(x: Array, w: Array, b: Array, o=(pad, stride, dilation), z=(zx, zw), e=element) -> Array:  # type: ignore
            return _finished(convolve(_wide(x, z[0]), _wide(w, z[1]), *o, depthwise=True), b, e)

        out = deep(x, d, bias2)
        for dynamic in (False, "batch"):
            yield case("depthwise_conv2d", label, [x, d, bias2], zeros, [_kind(out.shape, total)], deep, attributes, dynamic=dynamic, **tolerance)  # fmt: skip
        y, v = _values(element, (2, 4, 5, 6, 3)), _values(element, (4, 2, 3, 2, 3), "w")
        bias3 = sample(total, (4,), "b")
        attributes3 = (
            f"acc_type = {_ACCUMULATORS[element]}, pad = {_numbers((1, 0, 0, 2, 1, 1))}, stride = {_numbers((1, 2, 1))}, "
            f"dilation = {_numbers((1, 1, 2))}"
        )

        def cube(x: Array, w: Array, b: Array, z=(zx, zw), e=element) -> Array:  # type: ignore
            return _finished(convolve(_wide(x, z[0]), _wide(w, z[1]), (1, 0, 0, 2, 1, 1), (1, 2, 1), (1, 1, 2)), b, e)

        if stride == (1, 1):  # once per type
            out = cube(y, v, bias3)
            for dynamic in (False, "batch"):
                yield case("conv3d", element, [y, v, bias3], zeros, [_kind(out.shape, total)], cube, attributes3, dynamic=dynamic, **tolerance)  # fmt: skip
    for element, (out_pad, stride) in itertools.product(_ACCUMULATORS, (((0, 0, 0, 0), (1, 1)), ((1, 0, 0, 2), (2, 3)), ((-1, -2, 0, -1), (2, 1)))):  # fmt: skip
        zx, zw = (5, -3) if element == "i8" else (0, 0)
        total = _RESULTS[element]
        x, w, bias = _values(element, (2, 4, 5, 3)), _values(element, (6, 3, 4, 3), "w"), sample(total, (6,), "b")

        def back(x: Array, w: Array, b: Array, o=(out_pad, stride), z=(zx, zw), e=element) -> Array:  # type: ignore
            return _finished(_transposed(_wide(x, z[0]), _wide(w, z[1]), *o), b, e)

        out = back(x, w, bias)
        for dynamic in (False, "batch"):
            yield case(
                "transpose_conv2d", f"{element}:{out_pad}{stride}", [x, w, bias],
                [scalar(element, zx), scalar(element, zw)], [_kind(out.shape, total)], back,
                f"acc_type = {_ACCUMULATORS[element]}, out_pad = {_numbers(out_pad)}, stride = {_numbers(stride)}",
                dynamic=dynamic, **_tolerance(element),
            )  # fmt: skip


def _transposed(x: Array, w: Array, pad: Sequence[int], stride: Sequence[int]) -> Array:
    n, h, width, _ = x.shape
    oc, kh, kw, _ = w.shape
    oh = (h - 1) * stride[0] + pad[0] + pad[1] + kh
    ow = (width - 1) * stride[1] + pad[2] + pad[3] + kw
    out = np.zeros((n, oh, ow, oc), x.dtype)
    for iy, ix, ky, kx in np.ndindex(h, width, kh, kw):
        oy, ox = iy * stride[0] + pad[0] + ky, ix * stride[1] + pad[2] + kx
        if 0 <= oy < oh and 0 <= ox < ow:
            out[:, oy, ox] += x[:, iy, ix] @ w[:, ky, kx].T
    return out


def _sixteen_bits() -> Iterator[Case]:
    """Sums of 48 bits never leave a program: a rescale follows."""
    x, w = sample("i16", (1, 6, 5, 8)), sample("i8", (4, 3, 3, 8), "w")
    bias = (sample("i32", (4,), "b").astype(np.int64) * 99).astype(np.int64)
    multiplier, shift = np.array([1700000000], np.int32), np.array([48], np.int8)
    text = f"""func.func @main(%x: tensor<1x6x5x8xi16>, %w: tensor<4x3x3x8xi8>) -> tensor<1x6x5x4xi16> {{
  %b = "tosa.const"() {{values = dense<{bias.tolist()}> : tensor<4xi48>}} : () -> tensor<4xi48>
  %zx = "tosa.const"() {{values = dense<0> : tensor<1xi16>}} : () -> tensor<1xi16>
  %zw = "tosa.const"() {{values = dense<0> : tensor<1xi8>}} : () -> tensor<1xi8>
  %zt = "tosa.const"() {{values = dense<0> : tensor<1xi48>}} : () -> tensor<1xi48>
  %y = tosa.conv2d %x, %w, %b, %zx, %zw {{acc_type = i48, pad = array<i64: 1, 1, 1, 1>, stride = array<i64: 1, 1>, dilation = array<i64: 1, 1>}}
    : (tensor<1x6x5x8xi16>, tensor<4x3x3x8xi8>, tensor<4xi48>, tensor<1xi16>, tensor<1xi8>) -> tensor<1x6x5x4xi48>
  %m = "tosa.const"() {{values = dense<{multiplier[0] // 65536}> : tensor<1xi16>}} : () -> tensor<1xi16>
  %s = "tosa.const"() {{values = dense<{shift[0] - 16}> : tensor<1xi8>}} : () -> tensor<1xi8>
  %r = tosa.rescale %y, %m, %s, %zt, %zx {{scale32 = false, rounding_mode = SINGLE_ROUND, per_channel = false, input_unsigned = false, output_unsigned = false}}
    : (tensor<1x6x5x4xi48>, tensor<1xi16>, tensor<1xi8>, tensor<1xi48>, tensor<1xi16>) -> tensor<1x6x5x4xi16>
  return %r : tensor<1x6x5x4xi16>
}}"""

    def expected(x: Array, w: Array) -> Array:
        total = convolve(x.astype(np.int64), w.astype(np.int64), (1, 1, 1, 1), (1, 1), (1, 1)) + bias
        down = int(shift[0]) - 16
        scaled = (total * int(multiplier[0] // 65536) + (1 << (down - 1))) >> down
        return np.clip(scaled, -32768, 32767).astype(np.int16)

    yield Case("conv2d:i16", text, (x, w), expected=expected)


def _products() -> Iterator[Case]:
    for element in _ACCUMULATORS:
        za, zb = (5, -3) if element == "i8" else (0, 0)
        a, b = _values(element, (3, 4, 7)), _values(element, (3, 7, 5), "b")
        for dynamic in (False, "batch"):
            yield case(
                "matmul", element, [a, b], [scalar(element, za), scalar(element, zb)], [f"3x4x5x{_RESULTS[element]}"],
                lambda a, b, z=(za, zb), e=element: (_wide(a, z[0]) @ _wide(b, z[1])).astype(dtype_of(_RESULTS[e])),
                dynamic=dynamic, **_tolerance(element),
            )  # fmt: skip


def _poolings() -> Iterator[Case]:
    for element, (kernel, stride, pad) in itertools.product(
        ("i8", "i16", "f32", "f16", "bf16"), (((2, 2), (2, 2), (0, 0, 0, 0)), ((3, 2), (2, 1), (1, 2, 1, 1)))
    ):
        x = sample(element, (2, 8, 7, 3))
        sizes = [
            (n + pad[2 * i] + pad[2 * i + 1] - kernel[i]) // stride[i] + 1 for i, n in enumerate((8, 7))
        ]  # fmt: skip
        pad = list(pad)
        for i, n in enumerate((8, 7)):
            pad[2 * i + 1] += -(n + pad[2 * i] + pad[2 * i + 1] - kernel[i]) % stride[i]
            sizes[i] = (n + pad[2 * i] + pad[2 * i + 1] - kernel[i]) // stride[i] + 1
        if any(pad[2 * i + 1] >= kernel[i] for i in range(2)):
            continue
        common = f"kernel = {_numbers(kernel)}, stride = {_numbers(stride)}, pad = {_numbers(pad)}"
        label = f"{element}:{kernel}"
        for dynamic in (False, "batch"):
            yield case(
                "max_pool2d", label, [x], [], [_kind((2, *sizes, 3), element)],
                lambda x, o=(kernel, stride, pad, sizes): _max_pool(x, *o), common, dynamic=dynamic,
            )  # fmt: skip
            zx, zy = (7, -4) if element == "i8" else (0, 0)
            total = "i32" if element[0] == "i" else "f32"
            yield case(
                "avg_pool2d", label, [x], [scalar(element, zx), scalar(element, zy)], [_kind((2, *sizes, 3), element)],
                lambda x, o=(kernel, stride, pad, sizes), z=(zx, zy): _mean_pool(x, *o, *z),
                f"{common}, acc_type = {total}", dynamic=dynamic, ulps=0 if element[0] == "i" else 2,
                atol=0.0 if element[0] == "i" else 1e-6,
            )  # fmt: skip
    for mode in ("PROPAGATE", "IGNORE"):
        x = sample("f32", (1, 4, 4, 2))
        x[0, 0, 0, 0] = x[0, 2:, 2, 1] = np.nan
        yield case(
            "max_pool2d", f"nan:{mode}", [x], [], ["1x2x2x2xf32"], lambda x, mode=mode: _nan_pool(x, mode),
            f"kernel = {_numbers((2, 2))}, stride = {_numbers((2, 2))}, pad = {_numbers((0, 0, 0, 0))}, "
            f"nan_mode = #tosa.nan_mode<{mode}>",
        )  # fmt: skip


def _nan_pool(x: Array, mode: str) -> Array:
    windows = x.reshape(1, 2, 2, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4).reshape(1, 2, 2, 2, 4)
    with np.errstate(all="ignore"):
        return np.fmax.reduce(windows, -1) if mode == "IGNORE" else np.max(windows, -1)


def _windows(x: Array, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], sizes: Sequence[int]):  # type: ignore
    for oy, ox in np.ndindex(*sizes):
        top, left = oy * stride[0] - pad[0], ox * stride[1] - pad[2]
        rows = slice(max(top, 0), min(top + kernel[0], x.shape[1]))
        columns = slice(max(left, 0), min(left + kernel[1], x.shape[2]))
        yield oy, ox, x[:, rows, columns]


def _max_pool(x: Array, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], sizes: Sequence[int]) -> Array:  # fmt: skip
    out = np.zeros((x.shape[0], *sizes, x.shape[3]), x.dtype)
    for oy, ox, window in _windows(x, kernel, stride, pad, sizes):
        out[:, oy, ox] = window.max((1, 2))
    return out


def _mean_pool(
    x: Array, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], sizes: Sequence[int], zx: int, zy: int
) -> Array:
    """Elements of the padding do not count; integers divide by reciprocal_scale and round."""
    out = np.zeros((x.shape[0], *sizes, x.shape[3]), x.dtype)
    for oy, ox, window in _windows(x, kernel, stride, pad, sizes):
        count = window.shape[1] * window.shape[2]
        total = _wide(window, zx).sum((1, 2))
        if x.dtype.kind != "i":
            out[:, oy, ox] = (total / count).astype(x.dtype)
            continue
        k = (count - 1).bit_length()
        numerator = ((1 << 30) + 1) << k
        multiplier, shift = numerator // count, 30 + k
        info = np.iinfo(x.dtype)
        scaled = (total * multiplier + (1 << (shift - 1))) >> shift
        out[:, oy, ox] = np.clip(scaled + zy, info.min, info.max).astype(x.dtype)
    return out


def _resizes() -> Iterator[Case]:
    forms = (
        ((4, 2, 4, 2), (0, 0), (0, 0)), ((2, 1, 2, 1), (0, 0), (1, 1)), ((4, 2, 6, 2), (-1, 0), (1, 2)),
        ((1, 2, 1, 2), (0, 0), (0, 0)), ((16, 6, 10, 4), (3, -1), (-3, 3)), ((3, 1, 5, 2), (-1, -1), (1, 1)),
    )  # fmt: skip
    for element, (scale, offset, border), mode in itertools.product(
        ("i8", "i16", "f32", "f16", "bf16"), forms, ("NEAREST_NEIGHBOR", "BILINEAR")
    ):
        ih, iw = 5, 7
        sizes = [
            ((n - 1) * scale[2 * i] - offset[i] + border[i], scale[2 * i + 1]) for i, n in enumerate((ih, iw))
        ]  # fmt: skip
        if any(a % b or a < 0 for a, b in sizes) or (element == "i16" and mode == "BILINEAR"):
            continue
        oh, ow = (a // b + 1 for a, b in sizes)
        x = sample(element, (2, ih, iw, 3))
        out = {"i8": "i32"}.get(element, element) if mode == "BILINEAR" else element
        label = f"{element}:{mode}:{scale}"
        for dynamic in (False, "batch"):
            yield case(
                "resize", label, [x], [shape_constant(scale), shape_constant(offset), shape_constant(border)],
                [f"2x{oh}x{ow}x3x{out}"],
                lambda x, o=(scale, offset, (oh, ow), mode, out): _resize(x, *o),
                f"mode = #tosa.resize_mode<{mode}>", dynamic=dynamic, ulps=0 if element[0] == "i" else 4,
                atol=0.0 if element[0] == "i" else {"f32": 1e-6, "f16": 4e-3, "bf16": 3e-2}[element],
            )  # fmt: skip


def _resize(x: Array, scale: Sequence[int], offset: Sequence[int], sizes: Sequence[int], mode: str, out: str) -> Array:
    n, ih, iw, c = x.shape
    result = np.zeros((n, *sizes, c), dtype_of(out))
    is_float = out not in ("i8", "i16", "i32")
    wide = x.astype(np.float64) if is_float else x.astype(np.int64)
    for oy, ox in np.ndindex(*sizes):
        y, dx = oy * scale[1] + offset[0], ox * scale[3] + offset[1]
        iy, ix = y // scale[0], dx // scale[2]
        ry, rx = y - iy * scale[0], dx - ix * scale[2]
        y0, x0 = np.clip(iy, 0, ih - 1), np.clip(ix, 0, iw - 1)
        y1, x1 = np.clip(iy + 1, 0, ih - 1), np.clip(ix + 1, 0, iw - 1)
        if mode == "BILINEAR":
            top = wide[:, y0, x0] * (scale[2] - rx) + wide[:, y0, x1] * rx
            bottom = wide[:, y1, x0] * (scale[2] - rx) + wide[:, y1, x1] * rx
            value = top * (scale[0] - ry) + bottom * ry
            result[:, oy, ox] = (value / (scale[0] * scale[2]) if is_float else value).astype(result.dtype)
        else:
            result[:, oy, ox] = x[:, y1 if 2 * ry >= scale[0] else y0, x1 if 2 * rx >= scale[2] else x0]
    return result


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_convolutions, _sixteen_bits, _products, _poolings, _resizes):
        yield from section()
