"""Products whose results have their columns in planes: rows of tiles lie side by side in memory."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.abi import compile_entries


@pytest.mark.parametrize(
    ("shape", "kind", "dynamic"),
    [
        ((7, 7, 5, 33), "f32", False),  # tiles reach over the ends of rows
        ((3, 16, 4, 32), "f32", False),  # whole tiles, whole panels
        ((1, 13, 3, 40), "f64", False),
        ((5, 3, 2, 7), "f32", False),
        ((5, 3, 2, 7), "i32", False),
        ((6, 11, 3, 35), "f32", True),
        ((1, 2, 3, 1), "f32", False),
    ],
)
def test_columns_in_planes(shape: tuple[int, int, int, int], kind: str, dynamic: bool) -> None:
    """Sums over c of x[h, w, c] * y[c, f], plus a bias, stored as [f, h, w]."""
    h, w, c, f = shape
    rows = ("?", "?") if dynamic else (h, w)
    x, y = f"tensor<{rows[0]}x{rows[1]}x{c}x{kind}>", f"tensor<{c}x{f}x{kind}>"
    sums, result = f"tensor<{rows[0]}x{rows[1]}x{f}x{kind}>", f"tensor<{f}x{rows[0]}x{rows[1]}x{kind}>"
    multiply, add, zero = ("muli", "addi", "0") if kind == "i32" else ("mulf", "addf", "0.0")
    extra = ", %h: index, %w: index, %rh: index, %rw: index" if dynamic else ""
    text = f"""
    func.func @f(%x: {x}, %y: {y}, %bias: tensor<{f}x{kind}>{extra}) -> {result} {{
      %zero = arith.constant {zero} : {kind}
      %e = tensor.empty({"%rh, %rw" if dynamic else ""}) : {sums}
      %i = linalg.fill ins(%zero : {kind}) outs(%e : {sums}) -> {sums}
      %s = linalg.generic {{indexing_maps = [affine_map<(h, w, f, c) -> (h, w, c)>, affine_map<(h, w, f, c) -> (c, f)>,
          affine_map<(h, w, f, c) -> (h, w, f)>],
          iterator_types = ["parallel", "parallel", "parallel", "reduction"]}}
          ins(%x, %y : {x}, {y}) outs(%i : {sums}) {{
      ^bb0(%a: {kind}, %b: {kind}, %t: {kind}):
        %m = arith.{multiply} %a, %b : {kind}
        %q = arith.{add} %t, %m : {kind}
        linalg.yield %q : {kind}
      }} -> {sums}
      %o = tensor.empty({"%rh, %rw" if dynamic else ""}) : {result}
      %r = linalg.generic {{indexing_maps = [affine_map<(f, h, w) -> (h, w, f)>, affine_map<(f, h, w) -> (f)>,
          affine_map<(f, h, w) -> (f, h, w)>], iterator_types = ["parallel", "parallel", "parallel"]}}
          ins(%s, %bias : {sums}, tensor<{f}x{kind}>) outs(%o : {result}) {{
      ^bb0(%a: {kind}, %b: {kind}, %t: {kind}):
        %q = arith.{add} %a, %b : {kind}
        linalg.yield %q : {kind}
      }} -> {result}
      return %r : {result}
    }}"""
    dtype = {"f32": np.float32, "f64": np.float64, "i32": np.int32}[kind]
    generator = np.random.default_rng(f)
    arrays = [(generator.standard_normal(s) * 9).astype(dtype) for s in ((h, w, c), (c, f), (f,))]
    library = compile_entries(text, keep_files=False)
    library.check_kind("contraction")
    [got] = library.call("f", *arrays, result_dims=[h, w] if dynamic else [])
    wide = [a.astype(np.float64) for a in arrays]
    expected = (np.einsum("hwc,cf->hwf", wide[0], wide[1]) + wide[2]).transpose(2, 0, 1)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
