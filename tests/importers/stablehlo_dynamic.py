# ruff: noqa: E501 - lines of MLIR
"""StableHLO's operations on extents that are known at run time alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np

from tests.importers import stablehlo_programs
from tests.importers.stablehlo_elementwise import operation
from tests.importers.stablehlo_oracle import Array, Case, type_of
from tests.importers.stablehlo_structural import binary_region, i64s, matrix, sample


def _hidden(extent: str, keep_sevens: bool) -> str:
    """Extents of 6 and 7 are not told to the compiler."""
    return "?" if extent == "6" or (extent == "7" and not keep_sevens) else extent


def cases() -> Iterator[Case]:
    """All of them; the reference is the static form."""

    def both(label: str, inputs: Sequence[Array], text: str, **options: object) -> Case:
        """`{?5}` is an extent of 5 that the compiler is not told."""
        kinds = [type_of(x) for x in inputs]
        static = re.sub(r"\{\?(\d+)\}", r"\1", text)
        arguments = re.search(r"@main\((.*?)\) ->", static, re.DOTALL)
        assert arguments is not None
        assert all(kind in arguments[1] for kind in kinds), (label, kinds, static)
        return Case(label, re.sub(r"\{\?\d+\}", "?", text), tuple(inputs), reference=static, **options)  # type: ignore

    x = sample("f32", (5, 1))
    yield both(
        "dynamic_broadcast_in_dim",
        [x, np.array([3, 5, 4])],
        """
func.func @main(%x: tensor<{?5}x{?1}xf32>, %s: tensor<3xi64>) -> tensor<{?3}x{?5}x{?4}xf32> {
  %r = stablehlo.dynamic_broadcast_in_dim %x, %s, dims = [1, 2] : (tensor<{?5}x{?1}xf32>, tensor<3xi64>) -> tensor<{?3}x{?5}x{?4}xf32>
  return %r : tensor<{?3}x{?5}x{?4}xf32>
}""",
    )
    for element in ("f32", "i1", "ui8", "complex<f32>"):
        y = sample(element, (6, 4))
        yield both(
            f"dynamic_reshape:{element}",
            [y, np.array([3, 2, 4], np.int32)],
            f"""
func.func @main(%x: tensor<{{?6}}x4x{element}>, %s: tensor<3xi32>) -> tensor<{{?3}}x{{?2}}x{{?4}}x{element}> {{
  %r = stablehlo.dynamic_reshape %x, %s : (tensor<{{?6}}x4x{element}>, tensor<3xi32>) -> tensor<{{?3}}x{{?2}}x{{?4}}x{element}>
  return %r : tensor<{{?3}}x{{?2}}x{{?4}}x{element}>
}}""",
        )
    for element in ("i32", "f32", "ui8", "bf16"):
        for dim in (0, 1):
            yield both(
                f"dynamic_iota{dim}:{element}",
                [np.array([3, 4])],
                f"""
func.func @main(%s: tensor<2xi64>) -> tensor<{{?3}}x{{?4}}x{element}> {{
  %r = stablehlo.dynamic_iota %s, dim = {dim} : (tensor<2xi64>) -> tensor<{{?3}}x{{?4}}x{element}>
  return %r : tensor<{{?3}}x{{?4}}x{element}>
}}""",
            )
    z = sample("f32", (6, 7))
    for label, low, high, inner in (
        ("plain", (1, 0), (2, 3), (0, 0)),
        ("negative", (-2, 1), (1, -3), (0, 0)),
        ("interior", (0, 2), (1, 1), (2, 1)),
        ("all", (-3, 1), (-1, -2), (1, 3)),
    ):
        shape = [n + a + b + c * (n - 1) for n, a, b, c in zip(z.shape, low, high, inner, strict=True)]
        out = "x".join(f"{{?{n}}}" for n in shape)
        yield both(
            f"dynamic_pad:{label}",
            [z, np.float32(9) + np.zeros((), np.float32), *(np.array(v) for v in (low, high, inner))],
            f"""
func.func @main(%x: tensor<{{?6}}x{{?7}}xf32>, %v: tensor<f32>, %l: tensor<2xi64>, %h: tensor<2xi64>, %i: tensor<2xi64>) -> tensor<{out}xf32> {{
  %r = stablehlo.dynamic_pad %x, %v, %l, %h, %i : (tensor<{{?6}}x{{?7}}xf32>, tensor<f32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<{out}xf32>
  return %r : tensor<{out}xf32>
}}""",
        )
    yield both(
        "real_dynamic_slice",
        [z, np.array([1, 0]), np.array([6, 7]), np.array([2, 3])],
        """
func.func @main(%x: tensor<{?6}x{?7}xf32>, %b: tensor<2xi64>, %e: tensor<2xi64>, %s: tensor<2xi64>) -> tensor<{?3}x{?3}xf32> {
  %r = stablehlo.real_dynamic_slice %x, %b, %e, %s : (tensor<{?6}x{?7}xf32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<{?3}x{?3}xf32>
  return %r : tensor<{?3}x{?3}xf32>
}""",
        expected=lambda x, b, e, s: x[b[0] : e[0] : s[0], b[1] : e[1] : s[1]],
    )
    yield both(
        "dynamic_gather",
        [z, np.array([[5], [-2], [9]], np.int32), np.array([2, 7], np.int32)],
        """
func.func @main(%x: tensor<{?6}x{?7}xf32>, %i: tensor<{?3}x1xi32>, %s: tensor<2xi32>) -> tensor<{?3}x{?2}x{?7}xf32> {
  %r = "stablehlo.dynamic_gather"(%x, %i, %s) <{dimension_numbers = #stablehlo.gather<offset_dims = [1, 2], start_index_map = [0], index_vector_dim = 1>}>
    : (tensor<{?6}x{?7}xf32>, tensor<{?3}x1xi32>, tensor<2xi32>) -> tensor<{?3}x{?2}x{?7}xf32>
  return %r : tensor<{?3}x{?2}x{?7}xf32>
}""",
    )
    image, kernel = sample("f32", (2, 7, 6, 4)), sample("f32", (3, 2, 4, 5), 1)
    attributes = (
        "dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>, window_strides = array<i64: 2, 1>, "
        "rhs_dilation = array<i64: 1, 2>, feature_group_count = 1 : i64, batch_group_count = 1 : i64"
    )
    yield both(
        "dynamic_conv",
        [image, kernel, np.array([[1, 1], [0, 2]])],
        f"""
func.func @main(%x: tensor<{{?2}}x{{?7}}x6x4xf32>, %w: tensor<3x2x4x5xf32>, %p: tensor<2x2xi64>) -> tensor<{{?2}}x{{?4}}x{{?6}}x5xf32> {{
  %r = "stablehlo.dynamic_conv"(%x, %w, %p) <{{{attributes}}}>
    : (tensor<{{?2}}x{{?7}}x6x4xf32>, tensor<3x2x4x5xf32>, tensor<2x2xi64>) -> tensor<{{?2}}x{{?4}}x{{?6}}x5xf32>
  return %r : tensor<{{?2}}x{{?4}}x{{?6}}x5xf32>
}}""",
    )
    yield both(
        "convolution:dynamic",
        [image, kernel],
        f"""
func.func @main(%x: tensor<{{?2}}x{{?7}}x6x4xf32>, %w: tensor<3x2x4x5xf32>) -> tensor<{{?2}}x{{?4}}x5x5xf32> {{
  %r = "stablehlo.convolution"(%x, %w) <{{{attributes}, padding = {matrix([(1, 1), (0, 1)])}}}>
    : (tensor<{{?2}}x{{?7}}x6x4xf32>, tensor<3x2x4x5xf32>) -> tensor<{{?2}}x{{?4}}x5x5xf32>
  return %r : tensor<{{?2}}x{{?4}}x5x5xf32>
}}""",
    )
    generic = {
        "reduce_window": (
            [image[..., 0].copy(), np.array(0, np.float32)],
            ["2x4x5xf32"],
            f"window_dimensions = {i64s((1, 3, 2))}, window_strides = {i64s((1, 2, 1))}, padding = {matrix([(0, 0), (1, 1), (0, 0)])}",
            [binary_region("add", "f32")],
        ),
        "reduce": (
            [image, np.array(1, np.float32)],
            ["2x7xf32"],
            f"dimensions = {i64s((2, 3))}",
            [binary_region("maximum", "f32")],
        ),
        "sort": (
            [z],
            ["6x7xf32"],
            "dimension = 0 : i64",
            [
                "^bb0(%x: tensor<f32>, %y: tensor<f32>):\n %z = stablehlo.compare LT, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
                ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n'
            ],
        ),
        "scatter": (
            [z, np.array([[1], [9], [1]]), sample("f32", (3, 7), 1)],
            ["6x7xf32"],
            "scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], "
            "scatter_dims_to_operand_dims = [0], index_vector_dim = 1>",
            [binary_region("add", "f32")],
        ),
        "dynamic_slice": ([z, np.array(4), np.array(9)], ["3x2xf32"], f"slice_sizes = {i64s((3, 2))}", []),
        "dynamic_update_slice": ([z, sample("f32", (3, 2)), np.array(4), np.array(-9)], ["6x7xf32"], "", []),
        "select_and_scatter": (
            [z, sample("f32", (3, 3), 1), np.array(0, np.float32)],
            ["6x7xf32"],
            f"window_dimensions = {i64s((2, 2))}, window_strides = {i64s((2, 2))}",
            [
                "^bb0(%x: tensor<f32>, %y: tensor<f32>):\n %z = stablehlo.compare GE, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
                ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n',
                binary_region("add", "f32"),
            ],
        ),
        "concatenate": ([z, sample("f32", (6, 2))], ["6x9xf32"], "dimension = 1 : i64", []),
        "transpose": ([z], ["7x6xf32"], f"permutation = {i64s((1, 0))}", []),
        "reverse": ([z], ["6x7xf32"], f"dimensions = {i64s((1,))}", []),
        "pad": (
            [z, np.array(2, np.float32)],
            ["9x5xf32"],
            f"edge_padding_low = {i64s((1, -1))}, edge_padding_high = {i64s((2, -1))}, "
            f"interior_padding = {i64s((0, 0))}",
            [],
        ),
        "pad-interior": (
            [z, np.array(2, np.float32)],
            ["14x11xf32"],
            f"edge_padding_low = {i64s((1, -1))}, edge_padding_high = {i64s((2, -1))}, "
            f"interior_padding = {i64s((1, 1))}",
            [],
        ),
        "dot_general": (
            [z, sample("f32", (7, 3))],
            ["6x3xf32"],
            "dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>",
            [],
        ),
        "select": ([z > 0, z, -z], ["6x7xf32"], "", []),
        "clamp": ([np.array(-1, np.float32), z, np.array(2, np.float32)], ["6x7xf32"], "", []),
        "get_dimension_size": ([z], ["i32"], "dimension = 1 : i64", []),
        "convert": ([z], ["6x7xi8"], "", []),
        "slice": (
            [z],
            ["2x3xf32"],
            f"start_indices = {i64s((1, 0))}, limit_indices = {i64s((5, 7))}, strides = {i64s((3, 3))}",
            [],
        ),
    }
    for label, (given, results, text, regions) in generic.items():
        static = operation(label.split("-")[0], given, results, text, regions)
        keep = label in ("slice", "dynamic_slice")
        dynamic = re.sub(
            r"tensor<((?:\d+x)+)",
            lambda m, keep=keep: "tensor<" + re.sub(r"\d+", lambda n, keep=keep: _hidden(n[0], keep), m[1]),
            static,
        )
        if label in ("pad", "pad-interior", "concatenate", "reduce_window"):
            dynamic = re.sub(
                r"tensor<(9x5|14x11|6x9|2x4x5)xf32",
                lambda m: "tensor<" + "x".join("?" * (m[1].count("x") + 1)) + "xf32",
                dynamic,
            )
            dynamic = dynamic.replace("?x9xf32", "?x?xf32") if label == "concatenate" else dynamic
        if label == "slice":
            dynamic = dynamic.replace("?x7xf32", "6x?xf32").replace("2x3xf32", "2x3xf32")
        yield Case(f"{label}:dynamic", dynamic, tuple(np.asarray(v) for v in given), reference=static)
    yield from _grouped_convolutions()
    yield from _normalizations()


def _grouped_convolutions() -> Iterator[Case]:
    """Groups and reversed windows; image sizes and batches are open. The reference is the static form."""
    forms = (
        ("feature", 3, 1, (False, False)),
        ("batch", 1, 2, (False, False)),
        ("reversed", 1, 1, (True, False)),
        ("feature-reversed", 3, 1, (False, True)),
        ("batch-reversed", 1, 4, (True, True)),
    )
    for label, features, batches, turned in forms:
        x = sample("f32", (4, 9, 8, 6), label)
        w = sample("f32", (3, 2, 6 // features, 12), label)
        n = 4 // batches
        out = f"{n}x5x8x12xf32"
        attributes = (
            f"feature_group_count = {features} : i64, batch_group_count = {batches} : i64, "
            f"window_strides = {i64s((2, 1))}, padding = dense<[[1, 2], [0, 1]]> : tensor<2x2xi64>, "
            f"rhs_dilation = {i64s((1, 1))}, window_reversal = array<i1: {', '.join(str(t).lower() for t in turned)}>, "
            "dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>"
        )
        static = operation("convolution", [x, w], [out], attributes)
        dynamic = static.replace("tensor<4x9x8x6xf32>", "tensor<?x?x?x6xf32>").replace(
            f"tensor<{out}>", "tensor<?x?x?x12xf32>"
        )
        yield Case(f"convolution-{label}:dynamic", dynamic, (x, w), reference=static, ulps=16, atol=1e-5)


def _normalizations() -> Iterator[Case]:
    """Batch, features and image open."""
    for case in stablehlo_programs.normalizations():
        if case.name.endswith(":f32"):
            dynamic = case.text.replace("tensor<4x3x5xf32>", "tensor<?x?x?xf32>").replace(
                "tensor<3xf32>", "tensor<?xf32>"
            )
            yield dataclasses.replace(case, name=f"{case.name}:dynamic", text=dynamic)
            batch = case.text.replace("tensor<4x3x5xf32>", "tensor<?x3x5xf32>")
            yield dataclasses.replace(case, name=f"{case.name}:batch", text=batch)
