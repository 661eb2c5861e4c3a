# ruff: noqa: E501 - cases are lines
"""TOSA's elementwise operators, comparisons, selections, casts and rescaling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from tests.importers.stablehlo_elementwise import pairs, random, shaped
from tests.importers.stablehlo_oracle import Array, Case, dtype_of
from tests.importers.tosa_cases import FLOATS, case, hard, sample, scalar, tensor_constant

INTEGERS = ("i8", "i16", "i32")


def in_f64(function: Callable[..., Any]) -> Callable[..., Array]:
    """A float function computed in f64 and rounded once."""

    def compute(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(*(x.astype(np.float64) for x in arrays))).astype(arrays[0].dtype)

    return compute


def _wrapping(function: Callable[..., Any]) -> Callable[..., Array]:
    def compute(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(*(x.astype(np.int64) for x in arrays))).astype(arrays[0].dtype)

    return compute


_ERF = np.vectorize(math.erf, otypes=[np.float64])
_UNARY: dict[str, tuple[Callable[..., Any], float]] = {
    "abs": (np.abs, 0), "ceil": (np.ceil, 0), "floor": (np.floor, 0), "cos": (np.cos, 2), "sin": (np.sin, 2),
    "exp": (np.exp, 2), "log": (np.log, 2), "reciprocal": (lambda x: 1 / x, 1), "rsqrt": (lambda x: 1 / np.sqrt(x), 2),
    "erf": (_ERF, 4), "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 4), "tanh": (np.tanh, 4),
}  # fmt: skip


def _unary() -> Iterator[Case]:
    for name, (function, ulps) in _UNARY.items():
        for element in FLOATS:
            x = hard(element)
            if name in ("sin", "cos"):
                x = x[~(np.abs(x.astype(np.float64)) > 1e4) | ~np.isfinite(x.astype(np.float64))]
            yield case(name, element, [x], [], [shaped(x, element)], in_f64(function), ulps=ulps)
        x = sample("f32", (5, 7))
        yield case(name, "f32", [np.abs(x)], [], [shaped(x, "f32")], in_f64(function), dynamic=True, ulps=ulps)
    x = hard("i32")
    yield case("abs", "i32", [x], [], [shaped(x, "i32")], _wrapping(np.abs))
    yield case("clz", "i32", [x], [], [shaped(x, "i32")], _clz)
    for element in INTEGERS:
        x = hard(element)
        yield case("bitwise_not", element, [x], [], [shaped(x, element)], np.invert)
        yield case("identity", element, [x], [], [shaped(x, element)], lambda x: x)
    for element in FLOATS:
        x = hard(element)
        zeros = [scalar(element, 0)] * 2
        yield case("negate", element, [x], zeros, [shaped(x, element)], lambda x: -x)
    for element, a, b in (("i8", 0, 0), ("i8", 7, -3), ("i8", -128, 127), ("i8", 0, 5), ("i16", 0, 0), ("i32", 0, 0)):
        x = hard(element)
        if element == "i32":
            x = x[x != -(2**31)]  # overflow is left open
        zeros = [scalar(element, a), scalar(element, b)]
        yield case(
            "negate", f"{element}:{a}:{b}", [x], zeros, [shaped(x, element)], lambda x, a=a, b=b: _negate(x, a, b)
        )
    x = sample("i1", (17,))
    yield case("logical_not", "i1", [x], [], ["17xi1"], np.logical_not)
    yield from _clamp()
    yield from _table()


def _clz(x: Array) -> Array:
    return np.array([32 - int(v & 0xFFFFFFFF).bit_length() for v in x.astype(np.int64)], np.int32)


def _negate(x: Array, input_zp: int, output_zp: int) -> Array:
    """apply_sub(0, x - zp), saturated after the output's zero point where that is a quantized type."""
    wide = -(x.astype(np.int64) - input_zp) + output_zp
    if x.dtype == np.int32 or (x.dtype == np.int16):
        info = np.iinfo(x.dtype)
        return np.clip(wide, info.min, info.max).astype(x.dtype) if x.dtype == np.int16 else wide.astype(x.dtype)
    info = np.iinfo(x.dtype)
    return np.clip(wide, info.min, info.max).astype(x.dtype)


def _clamp() -> Iterator[Case]:
    for element in ("i8", "i16"):
        x = hard(element)
        for low, high in ((-3, 70), (-128, 127), (5, 5)):
            yield case(
                "clamp", f"{element}:{low}:{high}", [x], [], [shaped(x, element)],
                lambda x, low=low, high=high: np.clip(x, low, high),
                f"min_val = {low} : {element}, max_val = {high} : {element}",
            )  # fmt: skip
    for element in FLOATS:
        x = hard(element)
        for low, high, mode in (("-1.0", "2.5", "PROPAGATE"), ("-1.0", "2.5", "IGNORE"), ("0.0", "6.0", "PROPAGATE")):
            yield case(
                "clamp", f"{element}:{low}:{high}:{mode}", [x], [], [shaped(x, element)],
                lambda x, low=low, high=high, mode=mode: _clamp_float(x, float(low), float(high), mode),
                f"min_val = {low} : {element}, max_val = {high} : {element}, nan_mode = #tosa.nan_mode<{mode}>",
                ulps=0.5,
            )  # fmt: skip


def _clamp_float(x: Array, low: float, high: float, mode: str) -> Array:
    with np.errstate(all="ignore"):
        y = np.clip(x.astype(np.float64), low, high)
    return np.where(np.isnan(y), low if mode == "IGNORE" else np.nan, y).astype(x.dtype)


def _table() -> Iterator[Case]:
    x = np.arange(-128, 128).astype(np.int8)
    table = sample("i8", (256,))
    yield case("table", "i8", [x], [tensor_constant(table)], ["256xi8"], lambda x: table[x.astype(np.int32) + 128])
    yield case("table", "i8:given", [x, table], [], ["256xi8"], lambda x, t: t[x.astype(np.int32) + 128])
    y = np.concatenate([hard("i16"), sample("i16", (501,))])
    wide = sample("i16", (513,))
    yield case("table", "i16", [y], [tensor_constant(wide)], [shaped(y, "i32")], lambda x: _table16(x, wide))
    steep = np.where(np.arange(513) % 2, 32767, -32768).astype(np.int16)
    yield case("table", "i16:steep", [y], [tensor_constant(steep)], [shaped(y, "i32")], lambda x: _table16(x, steep))


def _table16(x: Array, table: Array) -> Array:
    position = x.astype(np.int64) + 32768
    index, fraction = position >> 7, position & 0x7F
    base, following = table[index].astype(np.int64), table[index + 1].astype(np.int64)
    return (base * 128 + (following - base) * fraction).astype(np.int32)


def _shift_right(a: Array, b: Array, rounding: bool) -> Array:
    wide, by = a.astype(np.int64), b.astype(np.int64)
    extra = (wide >> np.maximum(by - 1, 0)) & 1 if rounding else 0
    return ((wide >> by) + np.where(by > 0, extra, 0)).astype(a.dtype)


def _binary() -> Iterator[Case]:
    integer: dict[str, Callable[..., Any]] = {
        "add": _wrapping(np.add), "sub": _wrapping(np.subtract), "maximum": np.maximum, "minimum": np.minimum,
    }  # fmt: skip
    for name, function in integer.items():
        a, b = pairs("i32")
        yield case(name, "i32", [a, b], [], [shaped(a, "i32")], function)
    for name, function, ulps in (
        ("add", np.add, 0), ("sub", np.subtract, 0), ("pow", np.power, 4)
    ):  # fmt: skip
        for element in FLOATS:
            a, b = pairs(element)
            yield case(name, element, [a, b], [], [shaped(a, element)], in_f64(function), ulps=ulps)
    for name, element, mode in itertools.product(("maximum", "minimum"), FLOATS, ("PROPAGATE", "IGNORE")):
        a, b = pairs(element)
        keep = ~((a.astype(np.float64) == 0) & (b.astype(np.float64) == 0))  # the sign of zero is left open
        a, b = np.ascontiguousarray(a[keep]), np.ascontiguousarray(b[keep])
        propagate = {"maximum": np.maximum, "minimum": np.minimum}[name]
        ignore = {"maximum": np.fmax, "minimum": np.fmin}[name]
        yield case(
            name, f"{element}:{mode}", [a, b], [], [shaped(a, element)],
            in_f64(propagate if mode == "PROPAGATE" else ignore), f"nan_mode = #tosa.nan_mode<{mode}>",
        )  # fmt: skip
    for name, function in (("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor)):  # fmt: skip
        for element in INTEGERS:
            a, b = pairs(element)
            yield case(name, element, [a, b], [], [shaped(a, element)], function)
    for name, function in (("logical_and", np.logical_and), ("logical_or", np.logical_or), ("logical_xor", np.logical_xor)):  # fmt: skip
        a, b = pairs("i1")
        yield case(name, "i1", [a, b], [], [shaped(a, "i1")], function)
    for element in INTEGERS:
        bits = int(element[1:])
        a = np.repeat(hard(element)[:, None], bits, 1)
        by = np.broadcast_to(np.arange(bits, dtype=a.dtype), a.shape).copy()
        mask = (1 << bits) - 1
        for rounding in (False, True):
            yield case(
                "arithmetic_right_shift", f"{element}:{rounding}", [a, by], [], [shaped(a, element)],
                lambda a, b, rounding=rounding: _shift_right(a, b, rounding), f"round = {str(rounding).lower()}",
            )  # fmt: skip
        yield case("logical_left_shift", element, [a, by], [], [shaped(a, element)], _wrapping(np.left_shift))
        yield case(
            "logical_right_shift", element, [a, by], [], [shaped(a, element)],
            lambda a, b, mask=mask: ((a.astype(np.int64) & mask) >> b.astype(np.int64)).astype(a.dtype),
        )  # fmt: skip
    a, b = pairs("i32")
    keep = (b != 0) & ~((a == -(2**31)) & (b == -1))
    a, b = np.ascontiguousarray(a[keep]), np.ascontiguousarray(b[keep])
    yield case("intdiv", "i32", [a, b], [], [shaped(a, "i32")], _divide)
    yield from _multiply()
    for element in ("i32", *FLOATS):
        a, b = pairs(element)
        for name, function in (("equal", np.equal), ("greater", np.greater), ("greater_equal", np.greater_equal)):
            yield case(name, element, [a, b], [], [shaped(a, "i1")], function)
    yield from _broadcasts()


def _divide(a: Array, b: Array) -> Array:
    quotient = np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64))
    return (quotient * np.sign(a.astype(np.int64)) * np.sign(b.astype(np.int64))).astype(np.int32)


def _multiply() -> Iterator[Case]:
    for element in FLOATS:
        a, b = pairs(element)
        yield case("mul", element, [a, b], [scalar("i8", 0)], [shaped(a, element)], in_f64(np.multiply))
    for element in ("i8", "i16"):
        a, b = pairs(element)
        yield case(
            "mul", element, [a, b], [scalar("i8", 0)], [shaped(a, "i32")],
            lambda a, b: (a.astype(np.int64) * b.astype(np.int64)).astype(np.int32),
        )  # fmt: skip
    for shift in (0, 1, 7, 31, 62):
        a, b = pairs("i32")
        wide = a.astype(object) * b.astype(object)
        fits = [-(2**31) <= _round_shift(int(v), shift) < 2**31 for v in wide.ravel()]
        keep = np.array(fits).reshape(a.shape)
        a, b = np.ascontiguousarray(a[keep]), np.ascontiguousarray(b[keep])
        yield case(
            "mul", f"i32:{shift}", [a, b], [scalar("i8", shift)], [shaped(a, "i32")],
            lambda a, b, shift=shift: np.array(
                [_round_shift(int(x) * int(y), shift) for x, y in zip(a, b, strict=True)], np.int32
            ),
        )  # fmt: skip


def _round_shift(value: int, shift: int) -> int:
    return (value + (1 << (shift - 1))) >> shift if shift else value


def _broadcasts() -> Iterator[Case]:
    for left, right in (((3, 1, 5), (3, 4, 5)), ((1, 1, 1), (2, 3, 4)), ((2, 1, 4), (1, 3, 1)), ((), ())):  # fmt: skip
        a, b = sample("f32", left), sample("f32", right, 1)
        out = np.broadcast_shapes(left, right)
        kind = "".join(f"{n}x" for n in out)
        label = f"{list(left)}{list(right)}"
        yield case("add", label, [a, b], [], [f"{kind}f32"], np.add)
        yield case("greater", label, [a, b], [], [f"{kind}i1"], np.greater)
        yield case("mul", label, [a, b], [scalar("i8", 0)], [f"{kind}f32"], np.multiply)
    for left, right in (((3, 1, 5), (3, 4, 5)), ((2, 3), (2, 3)), ((1, 3), (4, 3)), ((7, 1), (1, 1))):
        a, b = sample("f32", left), sample("f32", right, 1)
        out = np.broadcast_shapes(left, right)
        kind = "".join(f"{n}x" for n in out)
        yield case("sub", f"{list(left)}{list(right)}", [a, b], [], [f"{kind}f32"], np.subtract, dynamic=True)
    for element in ("i1", "i8", "i32", "f16", "f32"):
        p, a, b = sample("i1", (3, 1, 5)), sample(element, (3, 4, 1)), sample(element, (1, 4, 5), 1)
        yield case("select", element, [p, a, b], [], [f"3x4x5x{element}"], np.where)


_CASTS = {
    "i1": ("i8", "i16", "i32"),
    "i8": ("i1", "i16", "i32", "f16", "bf16", "f32"),
    "i16": ("i1", "i8", "i32", "f16", "bf16", "f32"),
    "i32": ("i1", "i8", "i16", "f16", "bf16", "f32"),
    "f16": ("i8", "i16", "i32", "f32"),
    "bf16": ("i8", "i16", "i32", "f32"),
    "f32": ("i8", "i16", "i32", "f16", "bf16", "f8E4M3FN", "f8E5M2"),
    "f8E4M3FN": ("f16", "f32", "bf16"),
    "f8E5M2": ("f16", "f32", "bf16"),
}


def _casts() -> Iterator[Case]:
    for source, targets in _CASTS.items():
        for target in targets:
            x = hard(source)
            if source in FLOATS and target.startswith("i"):
                x = x[~np.isnan(x.astype(np.float64))]  # left open
            yield case("cast", f"{source}-{target}", [x], [], [shaped(x, target)], lambda x, t=target: _cast(x, t))
    for source, target in (("f32", "i32"), ("i8", "f32"), ("i32", "i1")):
        x = sample(source, (3, 5))
        yield case(
            "cast", f"{source}-{target}", [x], [], [shaped(x, target)], lambda x, t=target: _cast(x, t), dynamic=True
        )


def _cast(x: Array, target: str) -> Array:
    """Floats to integers round half to even and saturate (NaN: 0); integers wrap; bool is != 0."""
    dtype = dtype_of(target)
    if target == "i1":
        return x != 0
    with np.errstate(all="ignore"):
        if x.dtype.kind in "biu" or target.startswith(("f", "b")):
            return x.astype(dtype)
        info = ml_dtypes.iinfo(dtype)
        return np.clip(np.nan_to_num(np.rint(x.astype(np.float64))), info.min, info.max).astype(dtype)


def apply_scale(value: int, multiplier: int, shift: int, double: bool) -> int:
    """apply_scale_32 of the specification."""
    rounding = 1 << (shift - 1)
    if double and shift > 31:
        rounding += (1 << 30) if value >= 0 else -(1 << 30)
    return (value * multiplier + rounding) >> shift


def rescale(
    x: Array, multiplier: Array, shift: Array, input_zp: int, output_zp: int, out: np.dtype[Any], mode: str
) -> Array:
    """RESCALE: per channel along the last dim where there are several multipliers."""
    info = np.iinfo(out)
    result = np.zeros(x.shape, out)
    for place in np.ndindex(x.shape):
        channel = place[-1] if len(multiplier) > 1 else 0
        value = apply_scale(
            int(x[place]) - input_zp, int(multiplier[channel]), int(shift[channel]), mode == "DOUBLE_ROUND"
        )
        result[place] = max(info.min, min(info.max, value + output_zp))
    return result


def _rescales() -> Iterator[Case]:
    rng = random("rescale")
    for source, target in itertools.product(("i8", "ui8", "i16", "ui16", "i32"), repeat=2):
        if "ui" in source + target and ("ui16" in (source, target)) and not {source, target} & {"i8", "ui8", "i16"}:
            continue
        signless_source, signless_target = source.removeprefix("u"), target.removeprefix("u")
        for mode in ("SINGLE_ROUND", "DOUBLE_ROUND"):
            for per_channel in (False, True):
                x = (
                    sample(source, (5, 7, 3))
                    if source != "i32"
                    else rng.integers(-(2**31), 2**31, (5, 7, 3)).astype(np.int32)
                )
                x.ravel()[:2] = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
                count = 3 if per_channel else 1
                multiplier = rng.integers(2**30, 2**31, count).astype(np.int32)
                down = 33 if source != "i32" or target == "i32" else 31 + 16
                shift = np.array([down, down + 3, down - 2][:count], np.int8)
                zp_in = {"i8": -5, "ui8": 128, "ui16": 32768}.get(source, 0)
                zp_out = {"i8": 11, "ui8": 100, "ui16": 32768}.get(target, 0)
                if (zp_in or zp_out) and "ui16" in (source, target) and "i32" in (source, target):
                    continue
                view = x.view(dtype_of(signless_source))
                constants = [
                    tensor_constant(multiplier), tensor_constant(shift),
                    tensor_constant(np.array([zp_in]).astype(x.dtype).view(dtype_of(signless_source))),
                    tensor_constant(np.array([zp_out]).astype(dtype_of(target)).view(dtype_of(signless_target))),
                ]  # fmt: skip
                yield case(
                    "rescale", f"{source}-{target}:{mode}:{per_channel}", [view], constants,
                    [shaped(x, signless_target)],
                    lambda v, s=source, t=target, m=multiplier, h=shift, zi=zp_in, zo=zp_out, mode=mode: rescale(
                        v.view(dtype_of(s)), m, h, zi, zo, dtype_of(t), mode
                    ).view(dtype_of(t.removeprefix("u"))),
                    f"scale32 = true, rounding_mode = #tosa.rounding_mode<{mode}>, "
                    f"per_channel = {str(per_channel).lower()}, input_unsigned = {str(source[0] == 'u').lower()}, "
                    f"output_unsigned = {str(target[0] == 'u').lower()}",
                )  # fmt: skip
    x = sample("i16", (4, 6))
    multiplier, shift = np.array([20000], np.int16), np.array([14], np.int8)
    yield case(
        "rescale", "scale16", [x], [tensor_constant(multiplier), tensor_constant(shift), scalar("i16", 0), scalar("i8", 3)],
        ["4x6xi8"],
        lambda x: rescale(x, multiplier, shift, 0, 3, np.dtype(np.int8), "SINGLE_ROUND"),
        "scale32 = false, rounding_mode = #tosa.rounding_mode<SINGLE_ROUND>, per_channel = false, "
        "input_unsigned = false, output_unsigned = false",
    )  # fmt: skip
    for dynamic in (False, "batch"):
        y = sample("i32", (5, 3))
        many, shifts = rng.integers(2**30, 2**31, 3).astype(np.int32), np.array([40, 42, 38], np.int8)
        yield case(
            "rescale", "i32-i8:rows", [y], [tensor_constant(many), tensor_constant(shifts), scalar("i32", 0), scalar("i8", -7)],
            ["5x3xi8"],
            lambda x, m=many, h=shifts: rescale(x, m, h, 0, -7, np.dtype(np.int8), "SINGLE_ROUND"),
            "scale32 = true, rounding_mode = #tosa.rounding_mode<SINGLE_ROUND>, per_channel = true, "
            "input_unsigned = false, output_unsigned = false", dynamic=dynamic,
        )  # fmt: skip


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_unary, _binary, _casts, _rescales):
        yield from section()
