# ruff: noqa: E501 - lines of MLIR
"""StableHLO's operations that move, window, reduce, sort and contract, in their static forms."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tests.importers.stablehlo_elementwise import operation, random, shaped, total_order, values
from tests.importers.stablehlo_oracle import Array, Case, dtype_of

Integers = Sequence[int]


def sample(element: str, shape: Integers, *key: object) -> Array:
    """Small numbers of a type, exact in sums."""
    rng = random(element, tuple(shape), *key)
    dtype = dtype_of(element)
    if element == "i1":
        return rng.random(shape) < 0.5
    low, high = (0 if element.startswith("u") else -2, 2) if element[-1] in "24" and "i" in element else (-5, 6)
    whole = rng.integers(0 if element.startswith("u") else low, high, tuple(shape))
    if element.startswith("complex"):
        return (whole + 1j * rng.integers(low, high, tuple(shape))).astype(dtype)
    return whole.astype(dtype)


def i64s(numbers: Integers) -> str:
    """An attribute of type `array<i64: …>`."""
    return f"array<i64: {', '.join(map(str, numbers))}>" if len(numbers) else "array<i64>"


def matrix(rows: Sequence[Integers]) -> str:
    """An attribute of type `tensor<Nx2xi64>`."""
    text = ", ".join(f"[{a}, {b}]" for a, b in rows)
    return f"dense<[{text}]> : tensor<{len(rows)}x2xi64>" if rows else "dense<> : tensor<0x2xi64>"


def binary_region(name: str, element: str, swapped: bool = False) -> str:
    """A region of two 0-d tensors that combines them by an operation."""
    kind = f"tensor<{element}>"
    a, b = ("%y", "%x") if swapped else ("%x", "%y")
    return (
        f"^bb0(%x: {kind}, %y: {kind}):\n %z = stablehlo.{name} {a}, {b} : {kind}\n"
        f' "stablehlo.return"(%z) : ({kind}) -> ()\n'
    )


def one(
    name: str,
    label: str,
    inputs: Sequence[Array],
    results: Sequence[str],
    attributes: str = "",
    regions: Sequence[str] = (),
    **options: Any,
) -> Case:
    """A case of a single operation."""
    return Case(f"{name}-{label}", operation(name, inputs, results, attributes, regions), tuple(inputs), **options)


ELEMENTS = (
    "i1",
    "i4",
    "ui2",
    "i8",
    "ui8",
    "i16",
    "ui32",
    "i64",
    "ui64",
    "f8E4M3FN",
    "f16",
    "bf16",
    "f32",
    "f64",
    "complex<f32>",
    "complex<f64>",
)


def _window(x: Array, start: Array) -> Array:
    first = min(max(int(start), 0), len(x) - 3)
    return x[first : first + 3]


def _updated(x: Array, update: Array, start: Array) -> Array:
    first = min(max(int(start), 0), len(x) - 3)
    return np.concatenate([x[:first], update, x[first + 3 :]])


def _movement() -> Iterator[Case]:
    for element in ELEMENTS:
        x = sample(element, (3, 5, 2))
        e = element
        yield one("transpose", e, [x], [f"2x3x5x{e}"], f"permutation = {i64s((2, 0, 1))}")
        yield one("reshape", e, [x], [f"6x5x{e}"])
        yield one("reverse", e, [x], [shaped(x, e)], f"dimensions = {i64s((0, 2))}")
        yield one("broadcast_in_dim", e, [sample(e, (5, 1))], [f"5x3x7x{e}"], f"broadcast_dimensions = {i64s((0, 2))}")
        yield one(
            "slice",
            e,
            [x],
            [f"2x2x1x{e}"],
            f"start_indices = {i64s((0, 1, 1))}, limit_indices = {i64s((3, 5, 2))}, strides = {i64s((2, 2, 3))}",
        )
        zero = sample(e, (), "pad")
        yield one(
            "pad",
            e,
            [x, zero],
            [f"7x3x4x{e}"],
            f"edge_padding_low = {i64s((1, -1, 0))}, edge_padding_high = {i64s((1, -1, 0))}, interior_padding = {i64s((1, 0, 2))}",
        )
        yield one(
            "concatenate", e, [x, sample(e, (3, 1, 2)), sample(e, (3, 0, 2))], [f"3x6x2x{e}"], "dimension = 1 : i64"
        )
        starts = [np.array(v, np.int32) for v in (-3, 4, 1)]
        yield one("dynamic_slice", e, [x, *starts], [f"2x3x1x{e}"], f"slice_sizes = {i64s((2, 3, 1))}")
        yield one("dynamic_update_slice", e, [x, sample(e, (2, 3, 1), 1), *starts], [shaped(x, e)])
        if element not in ("i1", "f8E4M3FN"):
            yield one("iota", e, [], [f"2x3x2x{e}"], "iota_dimension = 1 : i64")
    f = sample("f32", (4, 0, 3))
    scalar = sample("f32", ())
    yield one(
        "pad",
        "empty",
        [f, scalar],
        ["4x2x5xf32"],
        f"edge_padding_low = {i64s((0, 1, 1))}, edge_padding_high = {i64s((0, 1, 1))}, interior_padding = {i64s((0, 3, 0))}",
    )
    x = sample("f32", (7,))
    for low, high, inner in ((-3, -3, 0), (-8, 3, 1), (3, -9, 1), (-2, 5, 3), (0, 0, 2), (-7, 0, 0), (2, 2, 0)):
        size = 7 + low + high + inner * 6
        yield one(
            "pad",
            f"1d{low},{high},{inner}",
            [x, scalar],
            [f"{size}xf32"],
            f"edge_padding_low = {i64s((low,))}, edge_padding_high = {i64s((high,))}, interior_padding = {i64s((inner,))}",
        )
    for kind in (np.int8, np.uint8, np.int64, np.uint32, np.uint64):
        for start in sorted({0, 3, min(200, np.iinfo(kind).max), np.iinfo(kind).max, np.iinfo(kind).min}):
            index = np.array(start, kind)
            # The interpreter reads unsigned starts as signed ones.
            yield one(
                "dynamic_slice",
                f"{np.dtype(kind)}:{start}",
                [x, index],
                ["3xf32"],
                f"slice_sizes = {i64s((3,))}",
                expected=_window,
            )
            yield one(
                "dynamic_update_slice",
                f"{np.dtype(kind)}:{start}",
                [x, sample("f32", (3,), 2), index],
                ["7xf32"],
                expected=_updated,
            )
    yield one("reverse", "empty", [f], [shaped(f, "f32")], f"dimensions = {i64s((0, 1))}")
    yield one("transpose", "empty", [f], ["0x3x4xf32"], f"permutation = {i64s((1, 2, 0))}")
    yield one("concatenate", "none", [f, f], ["8x0x3xf32"], "dimension = 0 : i64")
    yield one("reshape", "scalar", [sample("f32", (1, 1))], ["f32"])
    yield one("get_dimension_size", "0", [f], ["i32"], "dimension = 0 : i64")
    yield one("optimization_barrier", "2", [f, x], [shaped(f, "f32"), "7xf32"])


def _reductions() -> Iterator[Case]:
    for element in ELEMENTS:
        for name in ("add", "maximum", "minimum", "multiply", "and", "xor"):
            if (name in ("and", "xor") and "f" in element) or element.startswith("f8"):
                continue
            x, init = sample(element, (3, 7, 2)), sample(element, (), "init")
            region = binary_region(name, element)
            yield one(
                "reduce", f"{name}:{element}", [x, init], [f"7x{element}"], f"dimensions = {i64s((0, 2))}", [region]
            )
            if name in ("multiply", "xor"):
                continue
            yield one(
                "reduce_window",
                f"{name}:{element}",
                [x, init],
                [f"3x3x2x{element}"],
                f"window_dimensions = {i64s((1, 3, 2))}, window_strides = {i64s((1, 2, 1))}, "
                f"padding = {matrix([(0, 0), (0, 0), (0, 1)])}",
                [region],
            )
    for element in ("f16", "bf16", "f32", "f64"):
        x = np.array([[1, np.nan, -0.0], [0.0, -0.0, 0.0], [np.inf, -np.inf, 1]]).astype(dtype_of(element))
        for name, start in (("maximum", -np.inf), ("minimum", np.inf), ("add", 0)):
            yield one(
                "reduce",
                f"{name}-special:{element}",
                [x, np.array(start).astype(dtype_of(element))],
                [f"3x{element}"],
                f"dimensions = {i64s((1,))}",
                [binary_region(name, element)],
            )
    x = sample("f32", (5, 7))
    init = np.array(0, np.float32)
    add = binary_region("add", "f32")
    for label, window, strides, base, dilation, padding, out in (
        ("dilated", (2, 3), (1, 2), (2, 1), (2, 2), [(1, 0), (2, -1)], None),
        ("negative", (1, 2), (1, 1), (1, 3), (1, 1), [(-1, -1), (0, 2)], None),
        ("interior", (3, 3), (2, 3), (3, 2), (1, 2), [(0, 0), (1, 1)], None),
        ("all", (5, 7), (1, 1), (1, 1), (1, 1), [(4, 4), (6, 6)], None),
        ("too-large", (6, 3), (1, 1), (1, 1), (1, 1), [(0, 0), (0, 0)], None),
    ):
        del out
        shape = []
        for size, w, s, b, d, (lo, hi) in zip(x.shape, window, strides, base, dilation, padding, strict=True):
            padded = (size - 1) * b + 1 + lo + hi
            effective = (w - 1) * d + 1
            shape.append(0 if effective > padded else (padded - effective) // s + 1)
        text = "x".join(map(str, shape))
        yield one(
            "reduce_window",
            label,
            [x, init],
            [f"{text}xf32"],
            f"window_dimensions = {i64s(window)}, window_strides = {i64s(strides)}, base_dilations = {i64s(base)}, "
            f"window_dilations = {i64s(dilation)}, padding = {matrix(padding)}",
            [add],
        )
    for shape in ((0, 4), (4, 0), (0, 0)):
        y = sample("f32", shape)
        yield one(
            "reduce",
            f"empty{list(shape)}",
            [y, np.array(3, np.float32)],
            [f"{shape[1]}xf32"],
            f"dimensions = {i64s((0,))}",
            [add],
        )
    pair = (
        "^bb0(%a: tensor<f32>, %i: tensor<i32>, %b: tensor<f32>, %j: tensor<i32>):\n"
        " %p = stablehlo.compare GT, %a, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
        " %v = stablehlo.select %p, %a, %b : tensor<i1>, tensor<f32>\n"
        " %k = stablehlo.select %p, %i, %j : tensor<i1>, tensor<i32>\n"
        ' "stablehlo.return"(%v, %k) : (tensor<f32>, tensor<i32>) -> ()\n'
    )
    ids = np.arange(35, dtype=np.int32).reshape(5, 7)
    two = [x, ids, np.array(-np.inf, np.float32), np.array(-1, np.int32)]
    yield one("reduce", "pair", two, ["5xf32", "5xi32"], f"dimensions = {i64s((1,))}", [pair])
    yield one(
        "reduce_window",
        "pair",
        two,
        ["2x3xf32", "2x3xi32"],
        f"window_dimensions = {i64s((2, 3))}, window_strides = {i64s((2, 2))}",
        [pair],
    )
    yield one(
        "reduce",
        "mixed-types",
        [sample("f32", (6, 3)).astype(ml_dtypes.bfloat16), np.array(1, np.float32).astype(ml_dtypes.bfloat16)],
        ["3xbf16"],
        f"dimensions = {i64s((0,))}",
        [binary_region("add", "bf16")],
    )


def _select_and_scatter() -> Iterator[Case]:
    for element in ("f32", "f64", "bf16", "i32", "ui8"):
        select = (
            f"^bb0(%x: tensor<{element}>, %y: tensor<{element}>):\n"
            f" %z = stablehlo.compare GE, %x, %y : (tensor<{element}>, tensor<{element}>) -> tensor<i1>\n"
            ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n'
        )
        x, init = sample(element, (1, 6, 8)), np.zeros((), dtype_of(element))  # the interpreter adds others twice
        source = sample(element, (1, 3, 4), 2)
        yield one(
            "select_and_scatter",
            element,
            [x, source, init],
            [shaped(x, element)],
            f"window_dimensions = {i64s((1, 2, 2))}, window_strides = {i64s((1, 2, 2))}",
            [select, binary_region("add", element)],
        )
        source = sample(element, (1, 4, 7), 2)
        yield one(
            "select_and_scatter",
            f"padded:{element}",
            [x, source, init],
            [shaped(x, element)],
            f"window_dimensions = {i64s((1, 3, 4))}, window_strides = {i64s((1, 2, 1))}, "
            f"padding = {matrix([(0, 0), (2, 1), (1, 1)])}",
            [select, binary_region("add", element)],
        )


def _sorted(dim: int, direction: str, x: Array) -> Array:
    keys = total_order(x)
    return np.take_along_axis(x, np.argsort(-keys if direction == "GT" else keys, axis=dim, kind="stable"), dim)


def _sorts() -> Iterator[Case]:
    for element in ("i1", "i4", "ui2", "i8", "ui8", "ui32", "i64", "ui64", "f16", "bf16", "f32", "f64"):
        kind = "TOTALORDER" if "f" in element else "UNSIGNED" if element[0] == "u" or element == "i1" else "SIGNED"
        x = values(element)
        random(element).shuffle(x)
        x = np.resize(x, (3, 11))
        for direction in ("LT", "GT"):
            region = (
                f"^bb0(%x: tensor<{element}>, %y: tensor<{element}>):\n"
                f" %z = stablehlo.compare {direction}, %x, %y, {kind} : (tensor<{element}>, tensor<{element}>) -> tensor<i1>\n"
                ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n'
            )
            for dim in (0, 1):
                yield one(
                    "sort",
                    f"{direction}{dim}:{element}",
                    [x],
                    [shaped(x, element)],
                    f"dimension = {dim} : i64, is_stable = true",
                    [region],
                    expected=functools.partial(_sorted, dim, direction) if kind == "TOTALORDER" else None,
                )
    keys, ids = (
        np.resize([3, 1, 3, 2, 1, 1, 0], (2, 23)).astype(np.int32),
        np.arange(46, dtype=np.float32).reshape(2, 23),
    )
    third = ids.astype(np.uint8)
    region = (
        "^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<f32>, %d: tensor<f32>, %e: tensor<ui8>, %f: tensor<ui8>):\n"
        " %z = stablehlo.compare GT, %a, %b, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n'
    )
    for dim in (-1, 0, 1):
        yield one(
            "sort",
            f"stable{dim}",
            [keys, ids, third],
            ["2x23xi32", "2x23xf32", "2x23xui8"],
            f"dimension = {dim} : i64, is_stable = true",
            [region],
        )
    lexicographic = (
        "^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<f32>, %d: tensor<f32>):\n"
        " %p = stablehlo.compare LT, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        " %q = stablehlo.compare EQ, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>\n"
        " %r = stablehlo.compare GT, %c, %d : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
        " %s = stablehlo.and %q, %r : tensor<i1>\n %t = stablehlo.or %p, %s : tensor<i1>\n"
        ' "stablehlo.return"(%t) : (tensor<i1>) -> ()\n'
    )
    yield one("sort", "lexicographic", [keys, ids], ["2x23xi32", "2x23xf32"], "dimension = 1 : i64", [lexicographic])
    empty = sample("f32", (0, 4))
    less = (
        "^bb0(%x: tensor<f32>, %y: tensor<f32>):\n"
        " %z = stablehlo.compare LT, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
        ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n'
    )
    for dim in (0, 1):
        yield one("sort", f"empty{dim}", [empty], ["0x4xf32"], f"dimension = {dim} : i64", [less])


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_movement, _reductions, _select_and_scatter, _sorts):
        yield from section()
