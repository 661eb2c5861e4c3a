# ruff: noqa: E501 - lines of MLIR
"""StableHLO's quantized types: the specification's dequantize, compute, quantize in numpy.

Scales are powers of two, so that the reference and any order of the same sums are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.importers.stablehlo_elementwise import random
from tests.importers.stablehlo_oracle import Array, Case, dtype_of


@dataclass(frozen=True)
class Quantized:
    """A quantized element type."""

    storage: str
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int | None = None
    bounds: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        bounds = f"<{self.bounds[0]}:{self.bounds[1]}>" if self.bounds else ""
        name = self.storage.removeprefix("u").replace("i", "u" if self.storage[0] == "u" else "i")
        if self.axis is None:
            return f"!quant.uniform<{name}{bounds}:f32, {self.scales[0]}:{self.zeros[0]}>"
        pairs = ", ".join(f"{s}:{z}" for s, z in zip(self.scales, self.zeros, strict=True))
        return f"!quant.uniform<{name}{bounds}:f32:{self.axis}, {{{pairs}}}>"

    def _along(self, numbers: Sequence[float], rank: int) -> Array:
        shape = [1] * rank
        if self.axis is not None:
            shape[self.axis] = len(numbers)
        return np.array(numbers, np.float64).reshape(shape)

    def real(self, q: Array) -> Array:
        return (q.astype(np.float64) - self._along(self.zeros, q.ndim)) * self._along(self.scales, q.ndim)

    def stored(self, x: Array) -> Array:
        dtype = dtype_of(self.storage)
        info = np.iinfo(dtype) if "4" not in self.storage else None
        low, high = self.bounds or ((int(info.min), int(info.max)) if info else (-8, 7))
        x = x.astype(np.float32).astype(np.float64)
        y = np.rint(x / self._along(self.scales, x.ndim)) + self._along(self.zeros, x.ndim)
        return np.clip(np.where(np.isnan(y), self._along(self.zeros, x.ndim), y), low, high).astype(dtype)


I8 = Quantized("i8", (0.5,), (3,))
U8 = Quantized("ui8", (0.25,), (128,))
NARROW = Quantized("ui8", (0.25,), (100,), bounds=(1, 254))
I4 = Quantized("i4", (1.0,), (-1,))
I16 = Quantized("i16", (0.0078125,), (0,))
I32 = Quantized("i32", (0.0625,), (0,))
ROWS = Quantized("i8", (0.5, 0.25, 2.0), (0, 5, -9), axis=1)
KINDS = {"i8": I8, "u8": U8, "narrow": NARROW, "i4": I4, "i16": I16, "i32": I32, "axis": ROWS}


def _integers(kind: Quantized, shape: Sequence[int], key: object = 0) -> Array:
    rng = random("quantized", kind.text, tuple(shape), key)
    low, high = kind.bounds or {"i4": (-8, 7), "i16": (-900, 900), "i32": (-9000, 9000), "ui8": (0, 255)}.get(
        kind.storage, (-128, 127)
    )
    return rng.integers(low, high, shape, endpoint=True).astype(dtype_of(kind.storage))


def _dims(shape: Sequence[int], dynamic: bool) -> str:
    return "".join("?x" if dynamic and not i else f"{n}x" for i, n in enumerate(shape))


def _case(
    name: str,
    op: str,
    inputs: Sequence[tuple[Array, Quantized | str]],
    result: tuple[Sequence[int], Quantized | str],
    expected: Callable[..., Any],
    attributes: str = "",
    dynamic: bool = False,
) -> Case:
    """One op in generic form; plain types are given by their names."""

    def kind(shape: Sequence[int], of: Quantized | str) -> str:
        return f"tensor<{_dims(shape, dynamic)}{of if isinstance(of, str) else of.text}>"

    kinds = [kind(x.shape, of) for x, of in inputs]
    out = kind(*result)
    arguments = ", ".join(f"%a{i}: {k}" for i, k in enumerate(kinds))
    operands = ", ".join(f"%a{i}" for i in range(len(kinds)))
    properties = f" <{{{attributes}}}>" if attributes else ""
    text = (
        f"func.func @main({arguments}) -> {out} {{\n"
        f'  %r = "stablehlo.{op}"({operands}){properties} : ({", ".join(kinds)}) -> {out}\n  return %r : {out}\n}}'
    )
    return Case(
        f"quantized-{name}" + (":dynamic" if dynamic else ""), text, tuple(x for x, _ in inputs), expected=expected
    )


def _conversions() -> Iterator[Case]:
    hard = np.array(
        [0, -0.0, 0.25, 0.75, 1.25, -0.25, 1e9, -1e9, np.inf, -np.inf, np.nan, 63.5, -64, 0.0625], np.float32
    )
    for name, kind in KINDS.items():
        x = (random("uniform", name).standard_normal((5, 3)) * 30).astype(np.float32)
        if kind.axis is None:
            x = np.concatenate([x.ravel(), hard])
        q = _integers(kind, (5, 3))
        for dynamic in (False, True):
            yield _case(
                f"uniform_quantize:{name}",
                "uniform_quantize",
                [(x, "f32")],
                (x.shape, kind),
                kind.stored,
                dynamic=dynamic,
            )
            yield _case(
                f"uniform_dequantize:{name}",
                "uniform_dequantize",
                [(q, kind)],
                (q.shape, "f32"),
                lambda q, k=kind: k.real(q).astype(np.float32),
                dynamic=dynamic,
            )
    for name, kind in KINDS.items():
        if kind.axis is None and name != "i8":
            q = _integers(I8, (7, 3))
            yield _case(
                f"requantize:{name}",
                "uniform_quantize",
                [(q, I8)],
                (q.shape, kind),
                lambda q, k=kind: k.stored(I8.real(q)),
            )


def _arithmetic() -> Iterator[Case]:
    binary = {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "maximum": np.maximum,
        "minimum": np.minimum,
    }
    for name, function in binary.items():
        for kind in (I8, U8, I4):
            a, b = _integers(kind, (5, 3)), _integers(kind, (5, 3), 1)
            for dynamic in (False, True):
                yield _case(
                    f"{name}:{kind.storage}",
                    name,
                    [(a, kind), (b, kind)],
                    (a.shape, kind),
                    lambda a, b, f=function, k=kind: k.stored(f(k.real(a), k.real(b))),
                    dynamic=dynamic,
                )
    a, b = _integers(I8, (5, 3)), _integers(I8, (5, 3), 1)
    for name, function in {"tanh": np.tanh, "negate": np.negative, "abs": np.abs, "floor": np.floor}.items():
        yield _case(name, name, [(a, I8)], (a.shape, I8), lambda a, f=function: I8.stored(f(I8.real(a))))
    yield _case(
        "compare",
        "compare",
        [(a, I8), (b, I8)],
        (a.shape, "i1"),
        lambda a, b: a < b,
        "comparison_direction = #stablehlo<comparison_direction LT>",
    )
    c = _integers(I8, (5, 3), 2)
    yield _case(
        "clamp", "clamp", [(a, I8), (b, I8), (c, I8)], (a.shape, I8), lambda a, b, c: np.minimum(np.maximum(a, b), c)
    )


def _contractions() -> Iterator[Case]:
    weights = Quantized("i8", (0.25,), (0,))
    columns = Quantized("i8", (0.5, 0.25, 2.0), (0, 0, 0), axis=1)
    numbers = (
        "dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>"
    )
    x = _integers(I8, (6, 17))
    for label, w_kind, out in (
        ("i32", weights, I32),
        ("i8", weights, Quantized("i8", (16.0,), (1,))),
        ("axis", columns, Quantized("i32", (0.25, 0.125, 1.0), (0, 0, 0), axis=1)),
    ):
        w = _integers(w_kind, (17, 3), "w")
        yield _case(
            f"dot_general:{label}",
            "dot_general",
            [(x, I8), (w, w_kind)],
            ((6, 3), out),
            lambda x, w, k=w_kind, o=out: o.stored(I8.real(x) @ k.real(w)),
            numbers,
        )
    f = random("hybrid").integers(-9, 9, (6, 17)).astype(np.float32)
    w = _integers(weights, (17, 3), "h")
    yield _case(
        "dot_general:hybrid",
        "dot_general",
        [(f, "f32"), (w, weights)],
        ((6, 3), "f32"),
        lambda f, w: (f @ weights.real(w)).astype(np.float32),
        numbers,
    )
    image, kernel = _integers(U8, (2, 7, 6, 3)), _integers(weights, (3, 2, 3, 4), "k")
    out = Quantized("i8", (32.0,), (-2,))
    yield _case(
        "convolution",
        "convolution",
        [(image, U8), (kernel, weights)],
        ((2, 5, 5, 4), out),
        lambda x, w: out.stored(_convolve(U8.real(x), weights.real(w))),
        "batch_group_count = 1 : i64, feature_group_count = 1 : i64, "
        "dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>",
    )


def _convolve(x: Array, w: Array) -> Array:
    out = np.zeros((x.shape[0], x.shape[1] - w.shape[0] + 1, x.shape[2] - w.shape[1] + 1, w.shape[3]))
    for i, j in np.ndindex(w.shape[:2]):
        out += x[:, i : i + out.shape[1], j : j + out.shape[2]] @ w[i, j]
    return out


def _movement() -> Iterator[Case]:
    q = _integers(I8, (4, 3))
    yield _case("reshape", "reshape", [(q, I8)], ((3, 4), I8), lambda q: q.reshape(3, 4))
    yield _case("transpose", "transpose", [(q, I8)], ((3, 4), I8), lambda q: q.T, "permutation = array<i64: 1, 0>")
    r = _integers(ROWS, (4, 3))
    turned = Quantized("i8", ROWS.scales, ROWS.zeros, axis=0)
    yield _case(
        "transpose:axis", "transpose", [(r, ROWS)], ((3, 4), turned), lambda q: q.T, "permutation = array<i64: 1, 0>"
    )
    yield _case(
        "concatenate",
        "concatenate",
        [(q, I8), (q, I8)],
        ((8, 3), I8),
        lambda a, b: np.concatenate([a, b]),
        "dimension = 0 : i64",
    )
    one = _integers(I8, ())
    yield _case(
        "pad",
        "pad",
        [(q, I8), (one, I8)],
        ((6, 4), I8),
        lambda x, v: np.pad(x, ((1, 1), (0, 1)), constant_values=v),
        "edge_padding_low = array<i64: 1, 0>, edge_padding_high = array<i64: 1, 1>, interior_padding = array<i64: 0, 0>",
    )
    text = f"""func.func @main(%x: tensor<3x2x{I8.text}>) -> tensor<3x2x{I8.text}> {{
  %c = stablehlo.constant() {{value = dense<[[1, -2], [3, -4], [127, -128]]> : tensor<3x2xi8>}} : () -> tensor<3x2x{I8.text}>
  %r = stablehlo.add %x, %c : tensor<3x2x{I8.text}>
  return %r : tensor<3x2x{I8.text}>
}}"""
    c = np.array([[1, -2], [3, -4], [127, -128]], np.int8)
    x = _integers(I8, (3, 2))
    yield Case("quantized-constant", text, (x,), expected=lambda x: I8.stored(I8.real(x) + I8.real(c)))
    text = f"""func.func @main(%x: tensor<4x9x{I8.text}>, %z: tensor<{I8.text}>) -> tensor<4x{I8.text}> {{
  %r = stablehlo.reduce(%x init: %z) applies stablehlo.maximum across dimensions = [1] : (tensor<4x9x{I8.text}>, tensor<{I8.text}>) -> tensor<4x{I8.text}>
  return %r : tensor<4x{I8.text}>
}}"""
    y, z = _integers(I8, (4, 9)), np.array(-128, np.int8)
    yield Case("quantized-reduce", text, (y, z), expected=lambda y, z: y.max(1))


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_conversions, _arithmetic, _contractions, _movement):
        yield from section()
