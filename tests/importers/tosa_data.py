# ruff: noqa: E501 - cases are lines
"""TOSA's reductions, operators that move data, control flow, variables and Fourier transforms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.importers.stablehlo_elementwise import random
from tests.importers.stablehlo_oracle import Array, Case
from tests.importers.tosa_cases import FLOATS, case, sample, scalar, shape_constant


def _kind(shape: Sequence[int], element: str) -> str:
    return "".join(f"{n}x" for n in shape) + element


def _reductions() -> Iterator[Case]:
    sums: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
        "reduce_sum": (np.sum, ("i32", *FLOATS)),
        "reduce_product": (np.prod, FLOATS),
        "reduce_max": (np.max, ("i8", "i16", "i32", *FLOATS)),
        "reduce_min": (np.min, ("i8", "i16", "i32", *FLOATS)),
        "reduce_all": (np.all, ("i1",)),
        "reduce_any": (np.any, ("i1",)),
    }
    for name, (function, elements) in sums.items():
        for element, axis in itertools.product(elements, range(3)):
            x = sample(element, (5, 7, 3))
            out = [n if i != axis else 1 for i, n in enumerate(x.shape)]
            for dynamic in (False, True):
                yield case(
                    name, f"{element}:{axis}", [x], [], [_kind(out, element)],
                    lambda x, f=function, axis=axis: _reduce(f, x, axis), f"axis = {axis} : i32", dynamic=dynamic,
                    ulps=0 if "max" in name or "min" in name or element[0] == "i" else 4,
                    atol=0.0 if element[0] == "i" else {"f32": 1e-5, "f16": 5e-3, "bf16": 4e-2}[element],
                )  # fmt: skip
    for name, mode in itertools.product(("max", "min"), ("PROPAGATE", "IGNORE")):
        x = sample("f32", (9, 5))
        x[2, 3] = x[0, 0] = np.nan
        x[:, 1] = np.nan
        x[:, 2] = np.inf if name == "max" else -np.inf
        function = {"maxPROPAGATE": np.max, "minPROPAGATE": np.min, "maxIGNORE": np.fmax.reduce, "minIGNORE": np.fmin.reduce}[name + mode]  # fmt: skip
        yield case(
            f"reduce_{name}", f"nan:{mode}", [x], [], ["1x5xf32"],
            lambda x, f=function: f(x, axis=0)[None], f"axis = 0 : i32, nan_mode = #tosa.nan_mode<{mode}>",
        )  # fmt: skip
    for element, axis in itertools.product(("i8", "i16", *FLOATS), range(3)):
        x = sample(element, (5, 7, 3))
        if element == "i8":
            x = (x // 32).astype(np.int8)  # ties go to the first
        out = [n for i, n in enumerate(x.shape) if i != axis]
        yield case(
            "argmax", f"{element}:{axis}", [x], [], [_kind(out, "i32")],
            lambda x, axis=axis: np.argmax(x.astype(np.float64), axis).astype(np.int32), f"axis = {axis} : i32",
        )  # fmt: skip
    for mode in ("PROPAGATE", "IGNORE"):
        x = sample("f32", (4, 9))
        x[0, 3] = x[1, 0] = x[2, 8] = x[1, 5] = np.nan
        yield case(
            "argmax", f"nan:{mode}", [x], [], ["4xi32"],
            lambda x, mode=mode: _argmax(x, mode), f"axis = 1 : i32, nan_mode = #tosa.nan_mode<{mode}>",
        )  # fmt: skip
    low = np.full((2, 3), -np.inf, np.float32)
    yield case("argmax", "lowest", [low], [], ["2xi32"], lambda x: np.zeros(2, np.int32), "axis = 1 : i32")
    least = np.full((2, 3), -128, np.int8)
    yield case("argmax", "least", [least], [], ["2xi32"], lambda x: np.zeros(2, np.int32), "axis = 1 : i32")


def _reduce(function: Callable[..., Any], x: Array, axis: int) -> Array:
    wide = x.astype(np.float64) if x.dtype.kind not in "biu" else x.astype(np.int64) if x.dtype.kind != "b" else x
    return function(wide, axis=axis, keepdims=True).astype(x.dtype)


def _argmax(x: Array, mode: str) -> Array:
    return (np.nanargmax(x, 1) if mode == "IGNORE" else np.argmax(x, 1)).astype(np.int32)


_ELEMENTS = ("i1", "i8", "i16", "i32", *FLOATS)


def _movement() -> Iterator[Case]:
    for element in _ELEMENTS:
        x, y, z = sample(element, (3, 4, 5)), sample(element, (3, 2, 5), 1), sample(element, (3, 1, 5), 2)
        for dynamic in (False, True):
            yield case(
                "concat", element, [x, y, z], [], [f"3x7x5x{element}"],
                lambda *v: np.concatenate(v, 1), "axis = 1 : i32", dynamic=dynamic,
            )  # fmt: skip
            yield case(
                "reverse", element, [x], [], [f"3x4x5x{element}"],
                lambda x: np.flip(x, 2), "axis = 2 : i32", dynamic=dynamic,
            )  # fmt: skip
            yield case(
                "transpose", element, [x], [], [f"5x3x4x{element}"],
                lambda x: x.transpose(2, 0, 1), "perms = array<i32: 2, 0, 1>", dynamic=dynamic,
            )  # fmt: skip
        yield case(
            "pad", element, [x], [shape_constant((1, 2, 0, 3, 4, 0)), scalar(element, 1)], [f"6x7x9x{element}"],
            lambda x: np.pad(x, ((1, 2), (0, 3), (4, 0)), constant_values=1),
        )  # fmt: skip
        yield case("reshape", element, [x], [shape_constant((2, 15, 2))], [f"2x15x2x{element}"], lambda x: x.reshape(2, 15, 2))  # fmt: skip
        yield case(
            "slice", element, [x], [shape_constant((1, 0, 2)), shape_constant((2, 4, 3))], [f"2x4x3x{element}"],
            lambda x: x[1:3, :, 2:],
        )  # fmt: skip
        yield case("tile", element, [x], [shape_constant((2, 1, 3))], [f"6x4x15x{element}"], lambda x: np.tile(x, (2, 1, 3)))  # fmt: skip
        i = random("gather", element).integers(0, 4, (3, 6)).astype(np.int32)
        yield case(
            "gather", element, [x, i], [], [f"3x6x5x{element}"],
            lambda x, i: np.take_along_axis(x, i[..., None].astype(np.int64), 1),
        )  # fmt: skip
        if element != "i1":
            into = sample(element, (3, 6, 5), "into")
            where = np.stack([random("scatter", element, n).permutation(6)[:4] for n in range(3)]).astype(np.int32)
            for dynamic in (False, True):
                yield case(
                    "scatter", element, [into, where, x], [], [f"3x6x5x{element}"], _scatter, dynamic=dynamic
                )  # fmt: skip
    x = sample("f32", (3, 4, 5))
    for name, constants, out, function in (
        ("reshape", [shape_constant((-1, 5))], "12x5", lambda x: x.reshape(-1, 5)),
        ("tile", [shape_constant((2, 1, 3))], "6x4x15", lambda x: np.tile(x, (2, 1, 3))),
        ("pad", [shape_constant((1, 2, 0, 3, 4, 0)), scalar("f32", 1)], "6x7x9", lambda x: np.pad(x, ((1, 2), (0, 3), (4, 0)), constant_values=1)),
        ("slice", [shape_constant((1, 0, 2)), shape_constant((2, -1, -1))], "2x4x3", lambda x: x[1:3, :, 2:]),
    ):  # fmt: skip
        yield case(name, "f32", [x], constants, [f"{out}xf32"], function, dynamic=True)
    i = random("gather").integers(0, 4, (3, 6)).astype(np.int32)
    yield case(
        "gather", "f32", [x, i], [], ["3x6x5xf32"],
        lambda x, i: np.take_along_axis(x, i[..., None].astype(np.int64), 1), dynamic=True,
    )  # fmt: skip
    one = sample("f32", (1, 1))
    yield case("reshape", "scalar", [one], [shape_constant(())], ["f32"], lambda x: x.reshape(()))


def _scatter(into: Array, where: Array, x: Array) -> Array:
    result = into.copy()
    for n, w in np.ndindex(where.shape):
        result[n, where[n, w]] = x[n, w]
    return result


def _fourier() -> Iterator[Case]:
    for h, w in ((8, 8), (1, 4), (4, 1), (2, 16)):
        re, im = sample("f32", (3, h, w)), sample("f32", (3, h, w), 1)
        for inverse in (False, True):
            yield case(
                "fft2d", f"{h}x{w}:{inverse}", [re, im], [], [f"3x{h}x{w}xf32"] * 2,
                lambda re, im, inverse=inverse: _fft(re, im, inverse), f"inverse = {str(inverse).lower()}",
                atol=2e-5 * h * w,
            )  # fmt: skip
        yield case(
            "rfft2d", f"{h}x{w}", [re], [], [f"3x{h}x{w // 2 + 1}xf32"] * 2,
            lambda x: [v.astype(np.float32) for v in (np.fft.rfft2(x).real, np.fft.rfft2(x).imag)],
            atol=2e-5 * h * w,
        )  # fmt: skip


def _fft(re: Array, im: Array, inverse: bool) -> list[Array]:
    z = re.astype(np.float64) + 1j * im
    out = np.fft.ifft2(z) * (z.shape[1] * z.shape[2]) if inverse else np.fft.fft2(z)
    return [out.real.astype(np.float32), out.imag.astype(np.float32)]


def _programs() -> Iterator[Case]:
    x, y = sample("f32", (3,)), sample("f32", (3,), 1)
    for chosen in (False, True):
        yield Case(
            f"cond_if:{chosen}",
            """func.func @main(%p: tensor<i1>, %x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<3xf32> {
  %r = "tosa.cond_if"(%p, %x, %y) ({ ^bb0(%a: tensor<3xf32>, %b: tensor<3xf32>):
    %s = tosa.add %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    tosa.yield %s : tensor<3xf32> }, { ^bb0(%a: tensor<3xf32>, %b: tensor<3xf32>):
    %s = tosa.sub %a, %b : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    tosa.yield %s : tensor<3xf32> }) : (tensor<i1>, tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
  return %r : tensor<3xf32>
}""",
            (np.array(chosen), x, y),
            expected=lambda p, x, y: x + y if p else x - y,
        )
    for count in (0, 1, 5):
        yield Case(
            f"while_loop:{count}",
            """func.func @main(%n: tensor<i32>, %x: tensor<3xf32>) -> (tensor<i32>, tensor<3xf32>) {
  %zero = "tosa.const"() {values = dense<0> : tensor<i32>} : () -> tensor<i32>
  %one = "tosa.const"() {values = dense<1> : tensor<i32>} : () -> tensor<i32>
  %r:3 = "tosa.while_loop"(%zero, %x, %n) ({ ^bb0(%i: tensor<i32>, %v: tensor<3xf32>, %m: tensor<i32>):
    %c = tosa.greater %m, %i : (tensor<i32>, tensor<i32>) -> tensor<i1>
    tosa.yield %c : tensor<i1> }, { ^bb0(%i: tensor<i32>, %v: tensor<3xf32>, %m: tensor<i32>):
    %j = tosa.add %i, %one : (tensor<i32>, tensor<i32>) -> tensor<i32>
    %w = tosa.add %v, %v : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    tosa.yield %j, %w, %m : tensor<i32>, tensor<3xf32>, tensor<i32>
  }) : (tensor<i32>, tensor<3xf32>, tensor<i32>) -> (tensor<i32>, tensor<3xf32>, tensor<i32>)
  return %r#0, %r#1 : tensor<i32>, tensor<3xf32>
}""",
            (np.array(count, np.int32), x),
            expected=lambda n, x: [n, x * np.float32(2.0**n)],
        )


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_reductions, _movement, _fourier, _programs):
        yield from section()
