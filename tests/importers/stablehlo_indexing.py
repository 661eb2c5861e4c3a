# ruff: noqa: E501 - lines of MLIR
"""StableHLO's gather, scatter, dot products and convolutions, of every order of dimension numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.importers.stablehlo_elementwise import random, shaped
from tests.importers.stablehlo_oracle import Array, Case, dtype_of
from tests.importers.stablehlo_structural import ELEMENTS, Integers, binary_region, i64s, matrix, one, sample


def _numbers(name: str, **lists: Integers | int) -> str:
    """A dimension numbers attribute, without what is empty."""
    items = [
        f"{key} = {list(v) if not isinstance(v, int) else v}" for key, v in lists.items() if v or isinstance(v, int)
    ]
    return f"#stablehlo.{name}<{', '.join(items)}>"


# operand, indices, slice_sizes, result; offset_dims, collapsed, operand batching, indices batching, start_index_map, vector
_GATHERS = {
    "rows": ((7, 3), (5, 1), (1, 3), (5, 3), (1,), (0,), (), (), (0,), 1),
    "scalar-index": ((7, 3), (), (1, 3), (3,), (0,), (0,), (), (), (0,), 0),
    "implicit-vector": ((7, 3), (4,), (2, 3), (4, 2, 3), (1, 2), (), (), (), (0,), 1),
    "windows": ((6, 5, 4), (3, 2), (2, 1, 3), (2, 3, 3), (0, 2), (1,), (), (), (2, 0), 1),
    "vector-first": ((6, 5, 4), (2, 3), (2, 1, 3), (2, 3, 3), (0, 2), (1,), (), (), (0, 2), 0),
    "batching": ((3, 6, 5), (3, 4, 1), (1, 2, 5), (3, 4, 2, 5), (2, 3), (), (0,), (0,), (1,), 2),
    "batching-swapped": ((2, 6, 3), (3, 4, 2, 1), (1, 1, 1), (3, 4, 2), (), (1,), (0, 2), (2, 0), (1,), 3),
    "everything": ((4, 3), (2, 2), (1, 1), (2,), (), (0, 1), (), (), (1, 0), 1),
    "whole": ((4, 3), (5, 0), (4, 3), (5, 4, 3), (1, 2), (), (), (), (), 1),
    "nothing": ((4, 3), (0, 1), (1, 3), (0, 3), (1,), (0,), (), (), (0,), 1),
    "empty-window": ((4, 3), (2, 1), (0, 3), (2, 0, 3), (1, 2), (), (), (), (0,), 1),
}
# operand, indices, updates; update_window_dims, inserted, input batching, indices batching, dims to operand, vector
_SCATTERS = {
    "rows": ((7, 3), (5, 1), (5, 3), (1,), (0,), (), (), (0,), 1),
    "scalar-index": ((7, 3), (), (3,), (0,), (0,), (), (), (0,), 0),
    "implicit-vector": ((7, 3), (4,), (4, 2, 3), (1, 2), (), (), (), (0,), 1),
    "windows": ((6, 5, 4), (3, 2), (2, 3, 3), (0, 2), (1,), (), (), (2, 0), 1),
    "vector-first": ((6, 5, 4), (2, 3), (2, 3, 3), (0, 2), (1,), (), (), (0, 2), 0),
    "batching": ((3, 6, 5), (3, 4, 1), (3, 4, 2, 5), (2, 3), (), (0,), (0,), (1,), 2),
    "batching-swapped": ((2, 6, 3), (3, 4, 2, 1), (3, 4, 2), (), (1,), (0, 2), (2, 0), (1,), 3),
    "points": ((4, 3), (6, 2), (6,), (), (0, 1), (), (), (1, 0), 1),
    "whole": ((4, 3), (5, 0), (5, 4, 3), (1, 2), (), (), (), (), 1),
    "no-updates": ((4, 3), (0, 1), (0, 3), (1,), (0,), (), (), (0,), 1),
    "small-window": ((9,), (5, 1), (5, 3), (1,), (), (), (), (0,), 1),
}


def _gathers() -> Iterator[Case]:
    for label, (
        operand,
        indices,
        sizes,
        result,
        offsets,
        collapsed,
        batching,
        index_batching,
        start_map,
        vector,
    ) in _GATHERS.items():
        for element, kind in (("f32", np.int32), ("ui8", np.int64), ("complex<f32>", np.int8), ("i1", np.uint32)):
            x = sample(element, operand)
            index = random(label).integers(0 if kind == np.uint32 else -4, 10, indices).astype(kind)
            numbers = _numbers(
                "gather",
                offset_dims=offsets,
                collapsed_slice_dims=collapsed,
                operand_batching_dims=batching,
                start_indices_batching_dims=index_batching,
                start_index_map=start_map,
                index_vector_dim=vector,
            )
            text = "".join(f"{n}x" for n in result) + element
            yield one(
                "gather",
                f"{label}:{element}",
                [x, index],
                [text],
                f"dimension_numbers = {numbers}, slice_sizes = {i64s(sizes)}",
            )


def _scatters() -> Iterator[Case]:
    for label, (
        operand,
        indices,
        updates,
        windows,
        inserted,
        batching,
        index_batching,
        dims,
        vector,
    ) in _SCATTERS.items():
        numbers = _numbers(
            "scatter",
            update_window_dims=windows,
            inserted_window_dims=inserted,
            input_batching_dims=batching,
            scatter_indices_batching_dims=index_batching,
            scatter_dims_to_operand_dims=dims,
            index_vector_dim=vector,
        )
        for element, kind, body in (
            ("f32", np.int32, "add"),
            ("ui8", np.int64, "maximum"),
            ("i32", np.int8, "subtract"),
            ("complex<f32>", np.int32, "multiply"),
            ("bf16", np.uint8, "add"),
            ("i1", np.int32, "add"),
        ):
            x, u = sample(element, operand), sample(element, updates, 1)
            index = random(label).integers(0 if kind == np.uint8 else -3, 9, indices).astype(kind)
            yield one(
                "scatter",
                f"{label}:{element}",
                [x, index, u],
                [shaped(x, element)],
                f"scatter_dimension_numbers = {numbers}",
                [binary_region(body, element)],
            )
        x, y = sample("f32", operand), sample("i32", operand, 2)
        u, v = sample("f32", updates, 3), sample("i32", updates, 4)
        index = random(label).integers(-3, 9, indices)
        region = (
            "^bb0(%a: tensor<f32>, %b: tensor<i32>, %c: tensor<f32>, %d: tensor<i32>):\n"
            " %e = stablehlo.add %a, %c : tensor<f32>\n %f = stablehlo.convert %a : (tensor<f32>) -> tensor<i32>\n"
            " %g = stablehlo.xor %b, %d : tensor<i32>\n %h = stablehlo.add %g, %f : tensor<i32>\n"
            ' "stablehlo.return"(%e, %h) : (tensor<f32>, tensor<i32>) -> ()\n'
        )
        yield one(
            "scatter",
            f"{label}:two",
            [x, y, index, u, v],
            [shaped(x, "f32"), shaped(y, "i32")],
            f"scatter_dimension_numbers = {numbers}",
            [region],
        )
        second = '^bb0(%x: tensor<f32>, %y: tensor<f32>):\n "stablehlo.return"(%y) : (tensor<f32>) -> ()\n'
        yield one(
            "scatter",
            f"{label}:set",
            [x, index, u],
            [shaped(x, "f32")],
            f"scatter_dimension_numbers = {numbers}",
            [second],
        )


def _dots() -> Iterator[Case]:
    for element in ELEMENTS:
        if element.startswith("f8"):
            continue
        a, b = sample(element, (3, 5, 2, 7)), sample(element, (2, 7, 4, 3), 1)
        yield one(
            "dot_general",
            element,
            [a, b],
            [f"2x3x5x4x{element}"],
            "dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [2, 0], "
            "rhs_batching_dimensions = [0, 3], lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [1]>",
        )
        if element != "i1":
            m, v = sample(element, (4, 6)), sample(element, (6,), 2)
            yield one(
                "dot",
                f"matrix-vector:{element}",
                [m, v],
                [f"4x{element}"],
                expected=lambda m, v: (
                    m.astype(np.int64 if m.dtype.kind in "iuV" else m.dtype)
                    @ v.astype(np.int64 if m.dtype.kind in "iuV" else m.dtype)
                ).astype(m.dtype),
            )
    plain = "dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>"
    for left, right, out in (
        ("i8", "i8", "i32"),
        ("ui8", "ui8", "ui32"),
        ("i4", "i4", "i32"),
        ("bf16", "bf16", "f32"),
        ("f16", "f16", "f32"),
        ("f8E4M3FN", "f8E5M2", "f32"),
        ("f32", "f32", "f64"),
    ):
        a, b = sample(left, (5, 9)), sample(right, (9, 3), 1)
        yield one(
            "dot_general",
            f"{left},{right}-{out}",
            [a, b],
            [f"5x3x{out}"],
            plain,
            expected=lambda a, b, out=out: _dot(a, b, out),
        )
    a, b = sample("f32", (5, 9)), sample("f32", (9, 3), 1)
    yield one(
        "dot_general",
        "algorithm",
        [a, b],
        ["5x3xf32"],
        plain
        + (
            ", algorithm = #stablehlo.dot_algorithm<lhs_precision_type = tf32, rhs_precision_type = tf32, "
            "accumulation_type = f32, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, "
            "allow_imprecise_accumulation = false>"
        ),
        expected=lambda a, b: a @ b,
    )
    yield one(
        "dot_general",
        "precision",
        [a, b],
        ["5x3xf32"],
        plain + ", precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision DEFAULT>]",
    )
    yield one(
        "dot_general",
        "outer",
        [sample("f32", (3,)), sample("f32", (4,), 1)],
        ["3x4xf32"],
        "dot_dimension_numbers = #stablehlo.dot<>",
    )
    yield one(
        "dot_general",
        "inner",
        [sample("f32", (7,)), sample("f32", (7,), 1)],
        ["f32"],
        "dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [0], rhs_contracting_dimensions = [0]>",
    )
    yield one(
        "dot_general",
        "empty",
        [sample("f32", (3, 0)), sample("f32", (0, 4), 1)],
        ["3x4xf32"],
        plain,
        expected=lambda a, b: a @ b,
    )


def _dot(a: np.ndarray, b: np.ndarray, out: str) -> np.ndarray:
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype_of(out))


_PLAIN_CONVOLUTION = dict(
    stride=(1, 1), padding=((0, 0), (0, 0)), lhs=(1, 1), rhs=(1, 1), reverse=(False, False), groups=1, batches=1
)
_CONVOLUTIONS = {
    "plain": {},
    "strided": {"stride": (2, 3)},
    "padded": {"padding": ((1, 2), (0, 3))},
    "negative": {"padding": ((-1, 2), (1, -2))},
    "lhs-dilated": {"lhs": (2, 3), "padding": ((1, 1), (2, 0))},
    "rhs-dilated": {"rhs": (2, 2)},
    "reversed": {"reverse": (True, False)},
    "reversed-both": {"reverse": (True, True)},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4},
    "batch-groups": {"batches": 2},
    "all": {
        "stride": (2, 1),
        "padding": ((2, -1), (1, 3)),
        "lhs": (2, 1),
        "rhs": (1, 2),
        "reverse": (False, True),
        "groups": 2,
    },
    "all-batches": {
        "stride": (1, 2),
        "padding": ((2, 1), (1, 3)),
        "lhs": (2, 1),
        "rhs": (2, 1),
        "reverse": (True, False),
        "batches": 2,
    },
}
_LAYOUTS = {"nhwc": ("b01f", "01io", "b01f"), "nchw": ("bf01", "oi01", "bf01"), "mixed": ("f0b1", "1o0i", "10fb")}


def _convolutions() -> Iterator[Case]:
    for label, options in _CONVOLUTIONS.items():
        for layout in _LAYOUTS:
            yield _convolution(f"{label}:{layout}", "f32", layout, **options)
    for element in ("i8", "ui8", "i32", "bf16", "f16", "f64", "complex<f32>", "i64"):
        yield _convolution(f"type:{element}", element, "nhwc", padding=((1, 1), (1, 1)))
        yield _convolution(f"group-type:{element}", element, "mixed", groups=2, stride=(2, 1))
    x, w = sample("f32", (2, 9, 3)), sample("f32", (4, 3, 5), 1)
    yield one(
        "convolution",
        "1d",
        [x, w],
        ["2x6x5xf32"],
        "dimension_numbers = #stablehlo.conv<[b, 0, f]x[0, i, o]->[b, 0, f]>, "
        "feature_group_count = 1 : i64, batch_group_count = 1 : i64",
    )
    x, w = sample("f32", (2, 3)), sample("f32", (3, 5), 1)
    yield one(
        "convolution",
        "0d",
        [x, w],
        ["2x5xf32"],
        "dimension_numbers = #stablehlo.conv<[b, f]x[i, o]->[b, f]>, "
        "feature_group_count = 1 : i64, batch_group_count = 1 : i64",
    )
    x, w = sample("f32", (1, 4, 5, 3, 2)), sample("f32", (2, 3, 2, 2, 4), 1)
    yield one(
        "convolution",
        "3d",
        [x, w],
        ["1x3x3x2x4xf32"],
        "dimension_numbers = #stablehlo.conv<[b, 0, 1, 2, f]x[0, 1, 2, i, o]->[b, 0, 1, 2, f]>, "
        "feature_group_count = 1 : i64, batch_group_count = 1 : i64",
    )


def _convolution(label: str, element: str, layout: str, **changes: Any) -> Case:
    options: dict[str, Any] = {**_PLAIN_CONVOLUTION, **changes}
    groups, batches = options["groups"], options["batches"]
    extents = {"b": 2, "f": 4, "0": 7, "1": 6}
    window = {"i": 4 // groups, "o": 4, "0": 3, "1": 2}
    result = {"b": 2 // batches, "f": 4}
    for d in range(2):
        size = (extents[str(d)] - 1) * options["lhs"][d] + 1 + sum(options["padding"][d])
        wide = (window[str(d)] - 1) * options["rhs"][d] + 1
        result[str(d)] = 0 if size < wide else (size - wide) // options["stride"][d] + 1
    lhs, rhs, out = _LAYOUTS[layout]
    x = sample(element, [extents[c] for c in lhs])
    w = sample(element, [window[c] for c in rhs], 1)
    numbers = f"[{', '.join(lhs)}]x[{', '.join(rhs)}]->[{', '.join(out)}]"
    flags = ", ".join(str(r).lower() for r in options["reverse"])
    attributes = (
        f"dimension_numbers = #stablehlo.conv<{numbers}>, window_strides = {i64s(options['stride'])}, "
        f"padding = {matrix(options['padding'])}, lhs_dilation = {i64s(options['lhs'])}, "
        f"rhs_dilation = {i64s(options['rhs'])}, window_reversal = array<i1: {flags}>, "
        f"feature_group_count = {groups} : i64, batch_group_count = {batches} : i64"
    )
    text = "".join(f"{result[c]}x" for c in out) + element
    # The interpreter fails at layouts whose output is no permutation of its own.
    expected = None if layout != "mixed" else lambda x, w: _convolve(x, w, lhs, rhs, out, options)
    return one("convolution", label, [x, w], [text], attributes, expected=expected)


def _convolve(x: Array, w: Array, lhs: str, rhs: str, out: str, options: dict[str, Any]) -> Array:
    """A convolution written out: window by window."""
    wide = np.complex128 if x.dtype.kind == "c" else np.float64 if x.dtype.kind not in "iu" else np.int64
    image = np.transpose(x.astype(wide), [lhs.index(c) for c in "b01f"])
    kernel = np.transpose(w.astype(wide), [rhs.index(c) for c in "01io"])
    for d in (0, 1):
        if options["reverse"][d]:
            kernel = np.flip(kernel, d)
        kernel = _spread(kernel, d, options["rhs"][d])
        image = _spread(image, d + 1, options["lhs"][d])
        low, high = options["padding"][d]
        image = np.pad(image, [(max(low, 0), max(high, 0)) if i == d + 1 else (0, 0) for i in range(4)])
        image = np.take(image, range(max(-low, 0), image.shape[d + 1] - max(-high, 0)), d + 1)
    groups, batches = options["groups"], options["batches"]
    parts = []
    for g in range(groups * batches):
        some = np.split(kernel, groups * batches, 3)[g]
        part = np.split(image, groups, 3)[g] if groups > 1 else np.split(image, batches, 0)[g]
        windows = np.lib.stride_tricks.sliding_window_view(part, kernel.shape[:2], (1, 2))
        windows = windows[:, :: options["stride"][0], :: options["stride"][1]]
        parts.append(np.einsum("bhwfkl,klfo->bhwo", windows, some))
    return np.transpose(np.concatenate(parts, 3), ["b01f".index(c) for c in out]).astype(x.dtype)


def _spread(x: Array, axis: int, step: int) -> Array:
    """`x` with zeros between its elements along an axis."""
    shape = list(x.shape)
    shape[axis] = (shape[axis] - 1) * step + 1
    result = np.zeros(shape, x.dtype)
    result[tuple(slice(None, None, step) if i == axis else slice(None) for i in range(x.ndim))] = x
    return result


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_gathers, _scatters, _dots, _convolutions):
        yield from section()
