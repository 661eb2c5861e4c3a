"""Convolution, depthwise and pooling kernels against numpy in f64: strides, dilations, padding, ragged channels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlirage.global_optimization.pack_weights import into_panels
from tests.codegen.abi import compile_entries

Array = np.ndarray[Any, np.dtype[Any]]


def _out(extent: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    return (extent + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _patches(x: Array, kernel: Sequence[int], stride: int, dilation: int, padding: int, fill: float) -> Array:
    """[n, *out, c, *kernel] in f64."""
    spatial = len(kernel)
    wide = np.pad(x.astype(np.float64), [(0, 0), *([(padding, padding)] * spatial), (0, 0)], constant_values=fill)
    out = [_out(e, k, stride, dilation, padding) for e, k in zip(x.shape[1:-1], kernel, strict=True)]
    patches = np.empty((x.shape[0], *out, x.shape[-1], *kernel))
    for tap in itertools.product(*map(range, kernel)):
        where = tuple(
            slice(t * dilation, t * dilation + (o - 1) * stride + 1, stride) for t, o in zip(tap, out, strict=True)
        )
        patches[(..., *tap)] = wide[(slice(None), *where)]
    return patches


def _program(
    x: Sequence[int],
    kernel: Sequence[int],
    stride: int,
    dilation: int,
    padding: int,
    filters: str,
    filter_map: str,
    out_channels: int,
    body: str,
    init: str,
    fill: str,
    dynamic: bool,
) -> str:
    """A window op over [n, …, c], padded, followed by a bias and a relu; `filters` is the type of the filter or ''."""
    spatial = len(kernel)
    places = [f"o{i}" for i in range(spatial)]
    taps = [f"k{i}" for i in range(spatial)]
    reads_channels = "f" in filter_map
    loops = ["b", *places, *(["f", "c"] if reads_channels else ["c"]), *taps]
    reductions = {"c", *taps} if reads_channels else set(taps)
    kinds = ", ".join('"reduction"' if loop in reductions else '"parallel"' for loop in loops)
    at = [f"{o} * {stride} + {k} * {dilation}" for o, k in zip(places, taps, strict=True)]
    domain = f"({', '.join(loops)})"
    channel = "f" if reads_channels else "c"
    shown = ["?" if dynamic else str(d) for d in x[:-1]] + [str(x[-1])]
    source = f"tensor<{'x'.join(shown)}xf32>"
    padded_dims = [shown[0], *("?" if dynamic else str(d + 2 * padding) for d in x[1:-1]), shown[-1]]
    padded = f"tensor<{'x'.join(padded_dims)}xf32>"
    out = [_out(d, k, stride, dilation, padding) for d, k in zip(x[1:-1], kernel, strict=True)]
    result_dims = [shown[0], *("?" if dynamic else str(d) for d in out), str(out_channels)]
    result = f"tensor<{'x'.join(result_dims)}xf32>"
    amounts = f"[0, {', '.join([str(padding)] * spatial)}, 0]"
    indices = ", ".join(f"%i{i}: index" for i in range(spatial + 2))
    extra = "".join(f", %d{i}: index" for i in range(2 * (spatial + 1))) if dynamic else ""
    empty = ", ".join(f"%d{spatial + 1 + i}" for i in range(spatial + 1)) if dynamic else ""
    window = f"tensor<{'x'.join(map(str, kernel))}xf32>"
    all_ = ", ".join(f"d{i}" for i in range(spatial + 2))
    identity = f"affine_map<({all_}) -> ({all_})>"
    parallel = ", ".join(['"parallel"'] * (spatial + 2))
    return f"""
    func.func @f(%x: {source}{f", %w: {filters}" if filters else ""}, %bias: tensor<{out_channels}xf32>{extra})
        -> {result} {{
      %zero = arith.constant 0.0 : f32
      %init = arith.constant {init} : f32
      %fill = arith.constant {fill} : f32
      %p = tensor.pad %x low{amounts} high{amounts} {{
      ^bb0({indices}):
        tensor.yield %fill : f32
      }} : {source} to {padded}
      {"" if filters else f"%w = tensor.empty() : {window}"}
      %e = tensor.empty({empty}) : {result}
      %f = linalg.fill ins(%init : f32) outs(%e : {result}) -> {result}
      %c = linalg.generic {{indexing_maps = [affine_map<{domain} -> (b, {", ".join(at)}, c)>,
          affine_map<{domain} -> ({filter_map})>, affine_map<{domain} -> (b, {", ".join(places)}, {channel})>],
          iterator_types = [{kinds}]}} ins(%p, %w : {padded}, {filters or window}) outs(%f : {result}) {{
      ^bb0(%a: f32, %y: f32, %acc: f32):
        {body}
        linalg.yield %q : f32
      }} -> {result}
      %r = linalg.generic {{indexing_maps = [{identity}, affine_map<({all_}) -> (d{spatial + 1})>, {identity}],
          iterator_types = [{parallel}]}} ins(%c, %bias : {result}, tensor<{out_channels}xf32>) outs(%e : {result}) {{
      ^bb0(%a: f32, %y: f32, %o: f32):
        %s = arith.addf %a, %y : f32
        %m = arith.maximumf %s, %zero : f32
        linalg.yield %m : f32
      }} -> {result}
      return %r : {result}
    }}"""


_PRODUCT = "%m = arith.mulf %a, %y : f32\n%q = arith.addf %acc, %m : f32"


def _random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def _run(text: str, kind: str, result: tuple[int, ...], dynamic: bool, *arguments: Array) -> Array:
    library = compile_entries(text, keep_files=False)
    library.check_kind(kind)
    return library.call("f", *arguments, result_dims=result[:-1] if dynamic else [])[0]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("x", "kernel", "stride", "dilation", "padding", "filters"),
    [
        ((1, 5, 7, 3), (3, 3), 1, 1, 1, 5),
        ((2, 9, 8, 5), (3, 2), 2, 2, 1, 33),
        ((1, 6, 6, 20), (1, 1), 2, 1, 0, 40),
        ((1, 13, 11, 4), (7, 7), 2, 1, 3, 64),
        ((2, 17, 6), (5,), 1, 2, 4, 35),
        ((1, 4, 5, 6, 3), (3, 2, 3), 1, 1, 1, 10),
        ((1, 1, 1, 8), (3, 3), 1, 1, 1, 16),
    ],
)
def test_convolution(
    x: tuple[int, ...], kernel: tuple[int, ...], stride: int, dilation: int, padding: int, filters: int,
    packed: bool, dynamic: bool,
) -> None:  # fmt: skip
    channels = x[-1]
    image, w, bias = _random(*x), _random(filters, *kernel, channels), _random(filters)
    taps = [f"k{i}" for i in range(len(kernel))]
    panels = into_panels(w, 0, 32)
    given = panels if packed else w.transpose(*range(1, w.ndim), 0).copy()
    filter_map = ", ".join(["f floordiv 32", *taps, "c", "f mod 32"] if packed else [*taps, "c", "f"])
    shape = f"tensor<{'x'.join(map(str, given.shape))}xf32>"
    text = _program(x, kernel, stride, dilation, padding, shape, filter_map, filters, _PRODUCT, "0.0", "0.0", dynamic)
    patches = _patches(image, kernel, stride, dilation, padding, 0)
    turned = w.transpose(0, w.ndim - 1, *range(1, w.ndim - 1)).reshape(filters, -1)
    flat = patches.reshape(*patches.shape[: len(x) - 1], -1)
    expected = np.maximum(flat @ turned.T.astype(np.float64) + bias, 0)
    result = _run(text, "contraction", expected.shape, dynamic, image, given, bias)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


_WINDOWS = [
    ((1, 5, 7, 3), (3, 3), 1, 1, 1),
    ((2, 9, 8, 37), (3, 5), 2, 2, 2),
    ((1, 6, 6, 16), (2, 2), 2, 1, 0),
    ((1, 3, 3, 5), (7, 7), 1, 1, 3),
    ((1, 1, 1, 20), (5, 5), 1, 1, 2),
    ((2, 17, 6), (5,), 1, 2, 4),
    ((1, 4, 5, 6, 3), (3, 2, 3), 1, 1, 1),
    ((1, 20, 20, 33), (3, 3), 1, 1, 1),
]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(("x", "kernel", "stride", "dilation", "padding"), _WINDOWS)
def test_depthwise(
    x: tuple[int, ...], kernel: tuple[int, ...], stride: int, dilation: int, padding: int, dynamic: bool
) -> None:
    image, w, bias = _random(*x), _random(*kernel, x[-1]), _random(x[-1])
    taps = ", ".join(f"k{i}" for i in range(len(kernel)))
    shape = f"tensor<{'x'.join(map(str, w.shape))}xf32>"
    text = _program(x, kernel, stride, dilation, padding, shape, f"{taps}, c", x[-1], _PRODUCT, "0.0", "0.0", dynamic)
    patches = _patches(image, kernel, stride, dilation, padding, 0)
    turned = np.moveaxis(w, -1, 0).astype(np.float64)
    expected = np.maximum((patches * turned).sum(tuple(range(-len(kernel), 0))) + bias, 0)
    result = _run(text, "window", expected.shape, dynamic, image, w, bias)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("fill", ["neutral", "1.5"])
@pytest.mark.parametrize(("kind", "neutral"), [("max", "0xFF800000"), ("sum", "0.0")])
@pytest.mark.parametrize(("x", "kernel", "stride", "dilation", "padding"), _WINDOWS[:3])
def test_pooling(
    x: tuple[int, ...], kernel: tuple[int, ...], stride: int, dilation: int, padding: int, kind: str, neutral: str,
    fill: str, dynamic: bool,
) -> None:  # fmt: skip
    """Padding that counts is read; padding that does not is left out."""
    image, bias = _random(*x), _random(x[-1])
    body = "%q = arith.maximumf %acc, %a : f32" if kind == "max" else "%q = arith.addf %acc, %a : f32"
    value = neutral if fill == "neutral" else fill
    taps = ", ".join(f"k{i}" for i in range(len(kernel)))
    text = _program(x, kernel, stride, dilation, padding, "", taps, x[-1], body, neutral, value, dynamic)
    number = {"0xFF800000": -np.inf, "0.0": 0.0, "1.5": 1.5}[value]
    patches = _patches(image, kernel, stride, dilation, padding, number)
    fold: Callable[..., Array] = np.max if kind == "max" else np.sum
    expected = np.maximum(fold(patches, axis=tuple(range(-len(kernel), 0))) + bias, 0)
    library = compile_entries(text, keep_files=False)
    library.check_kind("window")
    result = library.call("f", image, bias, result_dims=expected.shape[:-1] if dynamic else [])[0]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_grouped_convolution() -> None:
    text = """
    func.func @f(%x: tensor<2x5x6x3x4xf32>, %w: tensor<3x7x4x2x3xf32>) -> tensor<2x4x4x3x7xf32> {
      %z = arith.constant 0.0 : f32
      %e = tensor.empty() : tensor<2x4x4x3x7xf32>
      %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x4x4x3x7xf32>) -> tensor<2x4x4x3x7xf32>
      %c = linalg.generic {indexing_maps = [affine_map<(n, h, w, g, f, c, i, j) -> (n, h + i, w + j, g, c)>,
          affine_map<(n, h, w, g, f, c, i, j) -> (g, f, c, i, j)>,
          affine_map<(n, h, w, g, f, c, i, j) -> (n, h, w, g, f)>],
          iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "reduction", "reduction",
            "reduction"]}
          ins(%x, %w : tensor<2x5x6x3x4xf32>, tensor<3x7x4x2x3xf32>) outs(%f : tensor<2x4x4x3x7xf32>) {
      ^bb0(%a: f32, %b: f32, %s: f32):
        %m = arith.mulf %a, %b : f32
        %q = arith.addf %s, %m : f32
        linalg.yield %q : f32
      } -> tensor<2x4x4x3x7xf32>
      return %c : tensor<2x4x4x3x7xf32>
    }"""
    x, w = _random(2, 5, 6, 3, 4), _random(3, 7, 4, 2, 3)
    expected = sum(
        np.einsum("nhwgc,gfc->nhwgf", x[:, i : i + 4, j : j + 4].astype(np.float64), w[..., i, j])
        for i in range(2)
        for j in range(3)
    )
    library = compile_entries(text, keep_files=False)
    library.check_kind("contraction")
    np.testing.assert_allclose(library.call("f", x, w)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("groups", "channels", "filters"), [(4, 34, 34), (3, 7, 19), (2, 16, 131)])
@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("shuffled", [False, True])
def test_groups_of_pixels_in_blocks(
    groups: int, channels: int, filters: int, batch: int | None, shuffled: bool
) -> None:
    """Grouped products of pixels, their channels shuffled or not: workgroups are blocks of pixels."""
    count = "?" if batch is None else str(batch)
    out = "f, g" if shuffled else "g, f"
    x_type = f"tensor<{count}x29x13x{groups}x{channels}xf32>"
    c_type = f"tensor<{count}x29x13x{groups}x{filters}xf32>"
    y_type = f"tensor<{count}x29x13x{filters}x{groups}xf32>" if shuffled else c_type
    dims, extra = ("%n", ", %k: index, %n: index") if batch is None else ("", "")
    text = f"""
    func.func @f(%x: {x_type}, %w: tensor<{groups}x{channels}x{filters}xf32>,
                 %b: tensor<{groups}x{filters}xf32>{extra}) -> {y_type} {{
      %z = arith.constant 0.0 : f32
      %e = tensor.empty({dims}) : {c_type}
      %i = linalg.fill ins(%z : f32) outs(%e : {c_type}) -> {c_type}
      %c = linalg.generic {{indexing_maps = [affine_map<(n, h, w, g, f, c) -> (n, h, w, g, c)>,
          affine_map<(n, h, w, g, f, c) -> (g, c, f)>, affine_map<(n, h, w, g, f, c) -> (n, h, w, g, f)>],
          iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "reduction"]}}
          ins(%x, %w : {x_type}, tensor<{groups}x{channels}x{filters}xf32>) outs(%i : {c_type}) {{
      ^bb0(%a: f32, %q: f32, %s: f32):
        %m = arith.mulf %a, %q : f32
        %r = arith.addf %s, %m : f32
        linalg.yield %r : f32
      }} -> {c_type}
      %o = tensor.empty({dims}) : {y_type}
      %y = linalg.generic {{indexing_maps = [affine_map<(n, h, w, g, f) -> (n, h, w, g, f)>,
          affine_map<(n, h, w, g, f) -> (g, f)>, affine_map<(n, h, w, g, f) -> (n, h, w, {out})>],
          iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]}}
          ins(%c, %b : {c_type}, tensor<{groups}x{filters}xf32>) outs(%o : {y_type}) {{
      ^bb0(%a: f32, %q: f32, %s: f32):
        %r = arith.addf %a, %q : f32
        linalg.yield %r : f32
      }} -> {y_type}
      return %y : {y_type}
    }}"""
    library = compile_entries(text, keep_files=False)
    library.check_kind("contraction")
    w, b = _random(groups, channels, filters), _random(groups, filters)
    for size in (batch,) if batch is not None else (0, 1, 3):
        x = _random(size, 29, 13, groups, channels)
        expected = np.einsum("nhwgc,gcf->nhwgf", x.astype(np.float64), w) + b
        expected = expected.swapaxes(3, 4) if shuffled else expected
        result = library.call("f", x, w, b, result_dims=[size] if batch is None else [])[0]
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
