"""Contraction kernels against numpy in f64: every form of operands, odd, prime, empty and dynamic extents."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mlirage.codegen.cpu.contraction import even_heights
from mlirage.global_optimization.pack_weights import into_panels
from tests.codegen.abi import CompiledLibrary, compile_entries

Array = np.ndarray[Any, np.dtype[Any]]
_BODIES = {
    "f32": ("f32", "%p = arith.mulf %x, %y : f32", "arith.addf"),
    "f64": ("f64", "%p = arith.mulf %x, %y : f64", "arith.addf"),
    "f16": (
        "f32",
        "%a = arith.extf %x : f16 to f32\n%b = arith.extf %y : f16 to f32\n%p = arith.mulf %a, %b : f32",
        "arith.addf",
    ),
    "bf16": (
        "f32",
        "%a = arith.extf %x : bf16 to f32\n%b = arith.extf %y : bf16 to f32\n%p = arith.mulf %a, %b : f32",
        "arith.addf",
    ),
    "i8": (
        "i32",
        "%a = arith.extsi %x : i8 to i32\n%b = arith.extsi %y : i8 to i32\n%p = arith.muli %a, %b : i32",
        "arith.addi",
    ),
}
_DTYPES: dict[str, Any] = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8,
}  # fmt: skip


def _shape(dims: list[int | None], element: str) -> str:
    return f"tensor<{'x'.join('?' if d is None else str(d) for d in dims)}x{element}>"


def _random(dtype: str, *shape: int) -> Array:
    generator = np.random.default_rng(sum(shape))
    if dtype == "i8":
        return generator.integers(-128, 128, shape, np.int8)
    return generator.standard_normal(shape).astype(_DTYPES[dtype])


@functools.cache
def _matmul(
    left: tuple[int | None, ...],
    right: tuple[int | None, ...],
    result: tuple[int | None, ...],
    maps: tuple[str, str, str],
    loops: str,
    dtype: str = "f32",
    target: str = "host",
) -> CompiledLibrary:
    """A contraction; `loops` names the loops, upper case for reductions."""
    accumulator, multiply, add = _BODIES[dtype]
    ta, tb, tc = _shape([*left], dtype), _shape([*right], dtype), _shape([*result], accumulator)
    dynamic = sum(d is None for d in (*left, *right, *result))
    out = [f"%d{dynamic - result.count(None) + i}" for i in range(result.count(None))]
    extra = "".join(f", %d{i}: index" for i in range(dynamic))
    zero = "0 : i32" if accumulator == "i32" else f"0.0 : {accumulator}"
    domain = f"({', '.join(loops.lower())})"
    kinds = ", ".join('"reduction"' if loop.isupper() else '"parallel"' for loop in loops)
    indexing = ", ".join(f"affine_map<{domain} -> ({m})>" for m in maps)
    text = f"""
    func.func @f(%l: {ta}, %r: {tb}{extra}) -> {tc} {{
      %z = arith.constant {zero}
      %e = tensor.empty({", ".join(out)}) : {tc}
      %f = linalg.fill ins(%z : {accumulator}) outs(%e : {tc}) -> {tc}
      %m = linalg.generic {{indexing_maps = [{indexing}], iterator_types = [{kinds}]}}
          ins(%l, %r : {ta}, {tb}) outs(%f : {tc}) {{
      ^bb0(%x: {dtype}, %y: {dtype}, %acc: {accumulator}):
        {multiply}
        %s = {add} %acc, %p : {accumulator}
        linalg.yield %s : {accumulator}
      }} -> {tc}
      return %m : {tc}
    }}"""
    library = compile_entries(text, target, keep_files=False)
    library.check_kind("contraction")
    return library


def _check(result: Array, expected: Array, depth: int, dtype: str = "f32") -> None:
    if dtype == "i8":
        np.testing.assert_array_equal(result, expected)
        return
    epsilon = 1e-15 if dtype == "f64" else 3e-7
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=epsilon * max(1, depth) * 4)


_SIZES = [1, 2, 3, 7, 8, 9, 16, 31, 33, 127]


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (7, 33, 5), (13, 17, 19), (64, 64, 64), (127, 61, 3),
                                           (5, 100, 300), (9, 31, 0), (0, 5, 3), (3, 0, 5), (1, 768, 64),
                                           (97, 1, 64)])  # fmt: skip
@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16", "i8"])
def test_static(m: int, n: int, k: int, dtype: str) -> None:
    a, b = _random(dtype, m, k), _random(dtype, k, n)
    library = _matmul((m, k), (k, n), (m, n), ("m, k", "k, n", "m, n"), "mnK", dtype)
    wide = np.int32 if dtype == "i8" else np.float64
    _check(library.call("f", a, b)[0], a.astype(wide) @ b.astype(wide), k, dtype)


@pytest.mark.parametrize("m", [0, *_SIZES])
def test_dynamic_rows(m: int) -> None:
    library = _matmul((None, 40), (40, 50), (None, 50), ("m, k", "k, n", "m, n"), "mnK")
    a, b = _random("f32", m, 40), _random("f32", 40, 50)
    _check(library.call("f", a, b, result_dims=[m])[0], a.astype(np.float64) @ b, 40)


@pytest.mark.parametrize(("n", "width"), [(50, 32), (13, 16)])
def test_dynamic_rows_by_packed_weights(n: int, width: int) -> None:
    panels = -(-n // width)
    maps = ("m, k", f"n floordiv {width}, k, n mod {width}", "m, n")
    library = _matmul((None, 40), (panels, 40, width), (None, n), maps, "mnK")
    w = _random("f32", 40, n)
    packed = into_panels(np.ascontiguousarray(w.T), 0, width)
    for m in (*range(35), 47, 65, 130):
        a = _random("f32", m, 40)
        _check(library.call("f", a, packed, result_dims=[m])[0], a.astype(np.float64) @ w, 40)


@pytest.mark.parametrize(("m", "n", "k"), list(itertools.product([1, 5, 33], [1, 31, 64], [0, 1, 29])))
@pytest.mark.parametrize("transposed", [False, True])
def test_all_dynamic(m: int, n: int, k: int, transposed: bool) -> None:
    a, b = _random("f32", m, k), _random("f32", k, n)
    right = "n, k" if transposed else "k, n"
    library = _matmul((None, None), (None, None), (None, None), ("m, k", right, "m, n"), "mnK")
    given = np.ascontiguousarray(b.T) if transposed else b
    _check(library.call("f", a, given, result_dims=[m, n])[0], a.astype(np.float64) @ b, k)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 5, 7), (32, 48, 64), (33, 47, 65), (100, 17, 16)])
def test_transposed_right_operand(m: int, n: int, k: int) -> None:
    a, b = _random("f32", m, k), _random("f32", n, k)
    library = _matmul((m, k), (n, k), (m, n), ("m, k", "n, k", "m, n"), "mnK")
    _check(library.call("f", a, b)[0], a.astype(np.float64) @ b.T, k)


def test_transposed_left_operand_and_swapped_factors() -> None:
    a, b = _random("f32", 19, 37), _random("f32", 19, 21)
    library = _matmul((19, 37), (19, 21), (37, 21), ("k, m", "k, n", "m, n"), "mnK")
    _check(library.call("f", a, b)[0], a.astype(np.float64).T @ b, 19)
    library = _matmul((19, 37), (19, 21), (21, 37), ("k, n", "k, m", "m, n"), "mnK")
    _check(library.call("f", a, b)[0], b.astype(np.float64).T @ a, 19)


@pytest.mark.parametrize("transposed", [False, True])
def test_batches_of_heads(transposed: bool) -> None:
    """Attention scores and values: [batch, row, head, depth] with dynamic rows."""
    q, k = _random("f32", 2, 13, 3, 16), _random("f32", 2, 37, 3, 16)
    scores = _matmul(
        (None, None, 3, 16), (None, None, 3, 16), (None, 3, None, None),
        ("b, m, h, d", "b, n, h, d", "b, h, m, n"), "bhmnD",
    )  # fmt: skip
    expected = np.einsum("bmhd,bnhd->bhmn", q.astype(np.float64), k)
    _check(scores.call("f", q, k, result_dims=[2, 13, 37])[0], expected, 16)
    p = _random("f32", 2, 3, 13, 37)
    order = "b, h, m, d" if transposed else "b, m, h, d"
    values = _matmul(
        (None, 3, None, None), (None, None, 3, 16), (None, 3, None, 16) if transposed else (None, None, 3, 16),
        ("b, h, m, n", "b, n, h, d", order), "bhmdN",
    )  # fmt: skip
    expected = np.einsum(f"bhmn,bnhd->{order.replace(', ', '')}", p.astype(np.float64), k)
    _check(values.call("f", p, k, result_dims=[2, 13])[0], expected, 37)


@pytest.mark.parametrize("target", ["x86_64-unknown-linux-gnu:x86-64-v3", "x86_64-unknown-linux-gnu"])
def test_other_vector_widths(target: str) -> None:
    a, b = _random("f32", 13, 20), _random("f32", 20, 37)
    library = _matmul((13, 20), (20, 37), (13, 37), ("m, k", "k, n", "m, n"), "mnK", "f32", target)
    _check(library.call("f", a, b)[0], a.astype(np.float64) @ b, 20)


def test_matrix_times_vector() -> None:
    a, x = _random("f32", 50, 40), _random("f32", 40)
    library = _matmul((50, 40), (40,), (50,), ("m, k", "k", "m"), "mK")
    _check(library.call("f", a, x)[0], a.astype(np.float64) @ x, 40)


@pytest.mark.parametrize("m", [None, 1, 3, 23])
@pytest.mark.parametrize("n", [10, 32, 45, 96])
def test_packed_with_bias_residual_and_activation(m: int | None, n: int) -> None:
    """Epilogues see the result in registers; the second result is the transposed product."""
    rows, k, width = 23 if m is None else m, 17, 32
    mm = "?" if m is None else str(m)
    panels = -(-n // width)
    extra = ", %d0: index, %d1: index, %d2: index, %d3: index" if m is None else ""
    e0, e1 = ("(%d2)", "(%d3)") if m is None else ("()", "()")
    text = f"""
    func.func @f(%l: tensor<{mm}x{k}xf32>, %w: tensor<{panels}x{k}x{width}xf32>, %b: tensor<{n}xf32>,
        %res: tensor<{mm}x{n}xf32>{extra}) -> (tensor<{mm}x{n}xf32>, tensor<{n}x{mm}xf32>) {{
      %z = arith.constant 0.0 : f32
      %e = tensor.empty{e0} : tensor<{mm}x{n}xf32>
      %f = linalg.fill ins(%z : f32) outs(%e : tensor<{mm}x{n}xf32>) -> tensor<{mm}x{n}xf32>
      %m = linalg.generic {{indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
            affine_map<(m, n, k) -> (n floordiv {width}, k, n mod {width})>, affine_map<(m, n, k) -> (m, n)>],
          iterator_types = ["parallel", "parallel", "reduction"]}}
          ins(%l, %w : tensor<{mm}x{k}xf32>, tensor<{panels}x{k}x{width}xf32>) outs(%f : tensor<{mm}x{n}xf32>) {{
      ^bb0(%x: f32, %y: f32, %acc: f32):
        %p = arith.mulf %x, %y : f32
        %s = arith.addf %acc, %p : f32
        linalg.yield %s : f32
      }} -> tensor<{mm}x{n}xf32>
      %o = linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
            affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}}
          ins(%m, %b, %res : tensor<{mm}x{n}xf32>, tensor<{n}xf32>, tensor<{mm}x{n}xf32>)
          outs(%e : tensor<{mm}x{n}xf32>) {{
      ^bb0(%x: f32, %y: f32, %r: f32, %u: f32):
        %s = arith.addf %x, %y : f32
        %t = arith.addf %s, %r : f32
        %q = arith.maximumf %t, %z : f32
        linalg.yield %q : f32
      }} -> tensor<{mm}x{n}xf32>
      %et = tensor.empty{e1} : tensor<{n}x{mm}xf32>
      %t = linalg.generic {{indexing_maps = [affine_map<(n, m) -> (m, n)>, affine_map<(n, m) -> (n, m)>],
          iterator_types = ["parallel", "parallel"]}} ins(%m : tensor<{mm}x{n}xf32>) outs(%et : tensor<{n}x{mm}xf32>) {{
      ^bb0(%x: f32, %u: f32):
        linalg.yield %x : f32
      }} -> tensor<{n}x{mm}xf32>
      return %o, %t : tensor<{mm}x{n}xf32>, tensor<{n}x{mm}xf32>
    }}"""
    library = compile_entries(text, keep_files=False)
    library.check_kind("contraction")
    a, w, b, residual = _random("f32", rows, k), _random("f32", k, n), _random("f32", n), _random("f32", rows, n)
    product = a.astype(np.float64) @ w
    panels_ = into_panels(np.ascontiguousarray(w.T), 0, width)
    dims_ = [rows, rows] if m is None else []
    result, turned = library.call("f", a, panels_, b, residual, result_dims=dims_)
    _check(result, np.maximum(product + b + residual, 0), k)
    _check(turned, product.T, k)


@pytest.mark.parametrize("rows", [1, 5, 12, 13])
def test_in_place_result_is_computed_once(rows: int) -> None:
    """The residual is overwritten: no row may be computed twice."""
    text = """
    func.func @f(%l: tensor<?x8xf32>, %r: tensor<8x9xf32>, %res: tensor<?x9xf32>, %d0: index, %d1: index, %d2: index)
        -> tensor<?x9xf32> attributes {flow.tied = [2]} {
      %z = arith.constant 0.0 : f32
      %e = tensor.empty(%d2) : tensor<?x9xf32>
      %f = linalg.fill ins(%z : f32) outs(%e : tensor<?x9xf32>) -> tensor<?x9xf32>
      %m = linalg.matmul ins(%l, %r : tensor<?x8xf32>, tensor<8x9xf32>) outs(%f : tensor<?x9xf32>) -> tensor<?x9xf32>
      %o = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>,
            affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
          ins(%m, %res : tensor<?x9xf32>, tensor<?x9xf32>) outs(%e : tensor<?x9xf32>) {
      ^bb0(%x: f32, %y: f32, %u: f32):
        %s = arith.addf %x, %y : f32
        linalg.yield %s : f32
      } -> tensor<?x9xf32>
      return %o : tensor<?x9xf32>
    }"""
    library = compile_entries(text, keep_files=False)
    a, b, residual = _random("f32", rows, 8), _random("f32", 8, 9), _random("f32", rows, 9)
    (result,) = library.call("f", a, b, residual, result_dims=[rows])
    _check(result, a.astype(np.float64) @ b + residual, 8)


def test_accumulates_onto_an_initial_value() -> None:
    text = """
    func.func @f(%l: tensor<6x7xf32>, %r: tensor<7x40xf32>, %c: tensor<6x40xf32>) -> tensor<6x40xf32> {
      %m = linalg.matmul ins(%l, %r : tensor<6x7xf32>, tensor<7x40xf32>) outs(%c : tensor<6x40xf32>) -> tensor<6x40xf32>
      return %m : tensor<6x40xf32>
    }"""
    a, b, c = _random("f32", 6, 7), _random("f32", 7, 40), _random("f32", 6, 40)
    _check(compile_entries(text, keep_files=False).call("f", a, b, c)[0], c + a.astype(np.float64) @ b, 7)


def test_operands_that_are_computed() -> None:
    """The left operand is scaled, the right one is dequantized from i8: both are staged."""
    text = """
    func.func @f(%l: tensor<21x40xf32>, %s: tensor<40xf32>, %r: tensor<40x50xi8>) -> tensor<21x50xf32> {
      %z = arith.constant 0.0 : f32
      %e0 = tensor.empty() : tensor<21x40xf32>
      %a = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (k)>,
            affine_map<(m, k) -> (m, k)>], iterator_types = ["parallel", "parallel"]}
          ins(%l, %s : tensor<21x40xf32>, tensor<40xf32>) outs(%e0 : tensor<21x40xf32>) {
      ^bb0(%x: f32, %y: f32, %u: f32):
        %p = arith.mulf %x, %y : f32
        linalg.yield %p : f32
      } -> tensor<21x40xf32>
      %e1 = tensor.empty() : tensor<40x50xf32>
      %b = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>],
          iterator_types = ["parallel", "parallel"]} ins(%r : tensor<40x50xi8>) outs(%e1 : tensor<40x50xf32>) {
      ^bb0(%x: i8, %u: f32):
        %p = arith.sitofp %x : i8 to f32
        linalg.yield %p : f32
      } -> tensor<40x50xf32>
      %e = tensor.empty() : tensor<21x50xf32>
      %f = linalg.fill ins(%z : f32) outs(%e : tensor<21x50xf32>) -> tensor<21x50xf32>
      %m = linalg.matmul ins(%a, %b : tensor<21x40xf32>, tensor<40x50xf32>) outs(%f : tensor<21x50xf32>)
          -> tensor<21x50xf32>
      return %m : tensor<21x50xf32>
    }"""
    a, s, b = _random("f32", 21, 40), _random("f32", 40), _random("i8", 40, 50)
    library = compile_entries(text, keep_files=False)
    library.check_kind("contraction")
    expected = (a * s).astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(library.call("f", a, s, b)[0], expected, rtol=1e-4, atol=1e-2)


def test_even_heights_cover_all_rows() -> None:
    for count in range(100):
        for inner in (1, 7, 14, 28):
            height, more, lower = even_heights(count, 8, inner)
            assert more * height + lower * (height - 1) == count
            assert height <= 8


@pytest.mark.parametrize(("left", "shape"), [("()", ""), ("(m)", "7x")])
def test_sums_of_one_factor_are_no_contractions(left: str, shape: str) -> None:
    """x[m] * w[k, n] summed over k: the depth is in one operand only (einsum of a scalar and a matrix)."""
    a, c = f"tensor<{shape}f32>", "tensor<7x19xf32>"
    text = f"""
    func.func @f(%a: {a}, %w: tensor<13x19xf32>) -> {c} {{
      %z = arith.constant 0.0 : f32
      %e = tensor.empty() : {c}
      %i = linalg.fill ins(%z : f32) outs(%e : {c}) -> {c}
      %r = linalg.generic {{indexing_maps = [affine_map<(m, n, k) -> {left}>, affine_map<(m, n, k) -> (k, n)>,
          affine_map<(m, n, k) -> (m, n)>], iterator_types = ["parallel", "parallel", "reduction"]}}
          ins(%a, %w : {a}, tensor<13x19xf32>) outs(%i : {c}) {{
      ^bb0(%x: f32, %y: f32, %s: f32):
        %1 = arith.mulf %x, %y : f32
        %2 = arith.addf %s, %1 : f32
        linalg.yield %2 : f32
      }} -> {c}
      return %r : {c}
    }}"""
    x, w = _random("f32", *([7] if shape else [])), _random("f32", 13, 19)
    (result,) = compile_entries(text, keep_files=False).call("f", np.asarray(x, np.float32), w)
    expected = np.broadcast_to(np.reshape(x, (-1, 1)).astype(np.float64) * w.astype(np.float64).sum(0), (7, 19))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
