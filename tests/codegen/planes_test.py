"""Depthwise convolutions and poolings with the channels first against numpy in f64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.codegen.abi import compile_entries

Array = np.ndarray[Any, np.dtype[Any]]

_OPS = {
    "sum": ("%m = arith.mulf %a, %y : f32\n%q = arith.addf %acc, %m : f32", "0.0", "0.0"),
    "max": ("%q = arith.maximumf %acc, %a : f32", "0xFF800000", "0xFF800000"),
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("channels", "space", "kernel", "stride", "dilation", "padding", "op"),
    [
        (3, (5, 56), (3, 3), 1, 1, 1, "sum"),
        (2, (6, 7), (3, 3), 1, 1, 1, "sum"),
        (2, (4, 16), (3, 3), 1, 1, 0, "sum"),
        (3, (9, 112), (3, 3), 2, 1, 1, "max"),
        (1, (7, 200), (2, 2), 2, 1, 0, "max"),
        (2, (5, 37), (5, 5), 3, 1, 2, "sum"),
        (2, (5, 45), (3, 3), 4, 2, 2, "max"),
        (2, (9, 33), (3, 5), 1, 4, 6, "sum"),
        (1, (9, 40), (7, 7), 1, 1, 3, "sum"),  # more taps than are unrolled
        (2, (3, 300), (1, 4), 1, 1, 0, "sum"),
    ],
)
def test_planes(
    channels: int,
    space: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    dilation: int,
    padding: int,
    op: str,
    dynamic: bool,
) -> None:
    """A window over [c, h, w], padded, followed by a bias per channel."""
    body, init, fill = _OPS[op]
    out = [(e + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for e, k in zip(space, kernel, strict=True)]
    shown = ["?", "?"] if dynamic else [str(e) for e in space]
    x = f"tensor<{channels}x{shown[0]}x{shown[1]}xf32>"
    wide = ["?", "?"] if dynamic else [str(e + 2 * padding) for e in space]
    padded = f"tensor<{channels}x{wide[0]}x{wide[1]}xf32>"
    dims = ["?", "?"] if dynamic else [str(e) for e in out]
    result = f"tensor<{channels}x{dims[0]}x{dims[1]}xf32>"
    window = f"tensor<{f'{channels}x' if op == 'sum' else ''}{kernel[0]}x{kernel[1]}xf32>"
    filters = "(c, k, l)" if op == "sum" else "(k, l)"
    extra = ", %h: index, %w: index, %rh: index, %rw: index" if dynamic else ""
    sizes = "%rh, %rw" if dynamic else ""
    text = f"""
    func.func @f(%x: {x}{f", %y: {window}" if op == "sum" else ""}, %bias: tensor<{channels}xf32>{extra}) -> {result} {{
      %init = arith.constant {init} : f32
      %fill = arith.constant {fill} : f32
      %p = tensor.pad %x low[0, {padding}, {padding}] high[0, {padding}, {padding}] {{
      ^bb0(%i: index, %j: index, %k: index):
        tensor.yield %fill : f32
      }} : {x} to {padded}
      {"" if op == "sum" else f"%y = tensor.empty() : {window}"}
      %e = tensor.empty({sizes}) : {result}
      %f = linalg.fill ins(%init : f32) outs(%e : {result}) -> {result}
      %c = linalg.generic {{indexing_maps = [
          affine_map<(c, i, j, k, l) -> (c, i * {stride} + k * {dilation}, j * {stride} + l * {dilation})>,
          affine_map<(c, i, j, k, l) -> {filters}>, affine_map<(c, i, j, k, l) -> (c, i, j)>],
          iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]}}
          ins(%p, %y : {padded}, {window}) outs(%f : {result}) {{
      ^bb0(%a: f32, %y0: f32, %acc: f32):
        {body.replace("%y ", "%y0 ")}
        linalg.yield %q : f32
      }} -> {result}
      %r = linalg.generic {{indexing_maps = [affine_map<(c, i, j) -> (c, i, j)>, affine_map<(c, i, j) -> (c)>,
          affine_map<(c, i, j) -> (c, i, j)>], iterator_types = ["parallel", "parallel", "parallel"]}}
          ins(%c, %bias : {result}, tensor<{channels}xf32>) outs(%e : {result}) {{
      ^bb0(%a: f32, %b: f32, %o: f32):
        %s = arith.addf %a, %b : f32
        linalg.yield %s : f32
      }} -> {result}
      return %r : {result}
    }}"""
    generator = np.random.default_rng(sum(space))
    image = generator.standard_normal((channels, *space), np.float32)
    weights = generator.standard_normal((channels, *kernel), np.float32)
    bias = generator.standard_normal(channels, np.float32)
    library = compile_entries(text, keep_files=False)
    library.check_kind("planes")
    arguments = [image, weights, bias] if op == "sum" else [image, bias]
    [got] = library.call("f", *arguments, result_dims=out if dynamic else [])
    expected = _expected(image, weights, stride, dilation, padding, op, out) + bias[:, None, None]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def _expected(image: Array, weights: Array, stride: int, dilation: int, padding: int, op: str, out: list[int]) -> Array:
    fill = 0.0 if op == "sum" else -np.inf
    wide = np.pad(image.astype(np.float64), [(0, 0), *[(padding, padding)] * 2], constant_values=fill)
    taps: list[Array] = []
    for k, n in np.ndindex(weights.shape[1:]):
        y, x = k * dilation, n * dilation
        part = wide[:, y : y + (out[0] - 1) * stride + 1 : stride, x : x + (out[1] - 1) * stride + 1 : stride]
        taps.append(part * weights[:, k, n][:, None, None] if op == "sum" else part)
    return np.sum(taps, 0) if op == "sum" else np.max(taps, 0)
