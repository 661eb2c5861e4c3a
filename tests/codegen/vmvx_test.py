"""The tests of entry points on the virtual machine, and what its microkernels alone must show.

The test functions of other files are collected here a second time; `compile_entries` compiles for vmvx.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.codegen import abi, contraction_test, convolution_test, elementwise_test, entry_points_test, loops_test
from tests.codegen.abi import compile_entries
from tests.codegen.elementwise_test import (  # noqa: F401
    test_binary,
    test_comparisons_store_bools,
    test_complex,
    test_float_to_integer,
    test_half_precision_functions,
    test_random_bodies_and_broadcasts,
    test_shapes,
)
from tests.codegen.entry_points_test import test_dynamic_shape_scalar_and_bool  # noqa: F401
from tests.codegen.loops_test import (  # noqa: F401
    test_aggregates,
    test_argmax,
    test_data_movement,
    test_layer_norm,
    test_pooling,
    test_reductions,
    test_softmax_of_half_precision_rows,
    test_transpose,
)

_MODULES = (contraction_test, convolution_test, elementwise_test, entry_points_test, loops_test)


@pytest.fixture(autouse=True, scope="module")
def _on_vmvx() -> object:
    """Compiles for the virtual machine what asks for no other target."""
    patch = pytest.MonkeyPatch()
    for module in _MODULES:
        patch.setattr(module, "compile_entries", functools.partial(abi.compile_entries, target="vmvx"))
    yield
    patch.undo()


_F32_LIMIT = 1e-4
_KINDS: dict[str, tuple[str, str, str, str]] = {
    "f32": ("f32", "f32", "", "mulf addf"),
    "f64": ("f64", "f64", "", "mulf addf"),
    "i32": ("i32", "i32", "", "muli addi"),
    "i64": ("i64", "i64", "", "muli addi"),
    "f16": ("f16", "f32", "extf", "mulf addf"),
    "bf16": ("bf16", "f32", "extf", "mulf addf"),
    "s8": ("i8", "i32", "extsi", "muli addi"),
    "u8": ("i8", "i32", "extui", "muli addi"),
}


def _product(name: str, kind: str, loops: str, maps: tuple[str, str, str], types: tuple[str, str, str]) -> str:
    """out += lhs * rhs over `loops` (p, r) with `maps`, starting with zeros."""
    element, total, extend, (mul, add) = _KINDS[kind][0], _KINDS[kind][1], _KINDS[kind][2], _KINDS[kind][3].split()
    dims = ", ".join(f"d{i}" for i in range(len(loops)))
    lhs, rhs, out = (f"tensor<{t}{'x' if t else ''}{e}>" for t, e in zip(types, (element, element, total), strict=True))
    kinds = ", ".join('"parallel"' if loop == "p" else '"reduction"' for loop in loops)
    body = [f"%x = arith.{extend} %a : {element} to {total}", f"%y = arith.{extend} %b : {element} to {total}"]
    x, y = ("%x", "%y") if extend else ("%a", "%b")
    zero = "0.0" if total[0] == "f" else "0"
    return f"""
func.func @{name}(%l: {lhs}, %r: {rhs}) -> {out} {{
  %z = arith.constant {zero} : {total}
  %e = tensor.empty() : {out}
  %f = linalg.fill ins(%z : {total}) outs(%e : {out}) -> {out}
  %y = linalg.generic {{indexing_maps = [{", ".join(f"affine_map<({dims}) -> ({m})>" for m in maps)}],
      iterator_types = [{kinds}]}} ins(%l, %r : {lhs}, {rhs}) outs(%f : {out}) {{
  ^bb0(%a: {element}, %b: {element}, %o: {total}):
    {chr(10).join(body) if extend else ""}
    %p = arith.{mul} {x}, {y} : {total}
    %s = arith.{add} %o, %p : {total}
    linalg.yield %s : {total}
  }} -> {out}
  return %y : {out}
}}"""


# name: loops, maps, types of operands, einsum; every order of the three, windows, sums without a parallel loop.
_FORMS: dict[str, tuple[str, tuple[str, str, str], tuple[str, str, str], str]] = {
    "matmul": ("ppr", ("d0, d2", "d2, d1", "d0, d1"), ("5x7", "7x35", "5x35"), "mk,kn->mn"),
    "transposed": ("ppr", ("d0, d2", "d1, d2", "d0, d1"), ("5x7", "35x7", "5x35"), "mk,nk->mn"),
    "swapped": ("ppr", ("d2, d1", "d0, d2", "d0, d1"), ("7x35", "5x7", "5x35"), "kn,mk->mn"),
    "result_transposed": ("ppr", ("d0, d2", "d2, d1", "d1, d0"), ("5x7", "7x35", "35x5"), "mk,kn->nm"),
    "batch": ("pppr", ("d0, d1, d3", "d0, d3, d2", "d0, d1, d2"), ("3x5x7", "3x7x18", "3x5x18"), "bmk,bkn->bmn"),
    "dot": ("r", ("d0", "d0", ""), ("129", "129", ""), "k,k->"),
    "outer": ("pp", ("d0", "d1", "d0, d1"), ("5", "33", "5x33"), "m,n->mn"),
    "two_sums": ("prr", ("d0, d1, d2", "d1, d2", "d0"), ("5x3x7", "3x7", "5"), "mij,ij->m"),
    "one_row": ("ppr", ("d0, d2", "d2, d1", "d0, d1"), ("1x1", "1x33", "1x33"), "mk,kn->mn"),
}  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS)
def test_contractions(kind: str) -> None:
    """Sums of products of every type and form are one microkernel, and right."""
    texts = [_product(name, kind, loops, maps, types) for name, (loops, maps, types, _) in _FORMS.items()]
    library = compile_entries("\n".join(texts), target="vmvx")
    assert library.files[""]["lowered.mlir"].count("vmvx.contract_") == len(_FORMS)
    assert "scf.for" not in library.files[""]["lowered.mlir"]
    random = np.random.default_rng(0)
    for name, (_, _, types, subscripts) in _FORMS.items():
        shapes = [tuple(map(int, t.split("x"))) if t else () for t in types[:2]]
        lhs, rhs = (_values(random, shape, kind) for shape in shapes)
        (result,) = library.call(name, lhs, rhs)
        unsigned = kind == "u8"
        wide = [x.view(np.uint8).astype(np.int64) if unsigned else x.astype(_wide(kind)) for x in (lhs, rhs)]
        expected = np.einsum(subscripts, *wide)
        if result.dtype.kind == "i":
            np.testing.assert_array_equal(result, expected.astype(result.dtype))
        else:
            np.testing.assert_allclose(result, expected, rtol=_F32_LIMIT, atol=_F32_LIMIT)


def _wide(kind: str) -> type:
    return np.float64 if _KINDS[kind][1][0] == "f" else np.int64


def _values(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    dtype = abi._DTYPES[_KINDS[kind][0]]
    if _KINDS[kind][1][0] == "f":
        return random.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max, shape, dtype, endpoint=True)


def test_windows() -> None:
    """A convolution with strides and dilations: linear steps of two loops in one dimension."""
    text = """
    func.func @conv(%x: tensor<2x11x12x3xf32>, %w: tensor<3x2x3x20xf32>) -> tensor<2x4x11x20xf32> {
      %z = arith.constant 0.0 : f32
      %e = tensor.empty() : tensor<2x4x11x20xf32>
      %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x4x11x20xf32>) -> tensor<2x4x11x20xf32>
      %y = linalg.conv_2d_nhwc_hwcf {dilations = dense<[2, 1]> : tensor<2xi64>, strides = dense<[2, 1]> : tensor<2xi64>}
          ins(%x, %w : tensor<2x11x12x3xf32>, tensor<3x2x3x20xf32>) outs(%f : tensor<2x4x11x20xf32>)
          -> tensor<2x4x11x20xf32>
      return %y : tensor<2x4x11x20xf32>
    }"""
    library = compile_entries(text, target="vmvx")
    assert "vmvx.contract_f32" in library.files[""]["lowered.mlir"]
    random = np.random.default_rng(3)
    x, w = (random.standard_normal(s).astype(np.float32) for s in ((2, 11, 12, 3), (3, 2, 3, 20)))
    expected = np.zeros((2, 4, 11, 20))
    for i in range(3):
        for j in range(2):
            expected += np.einsum("nhwc,cf->nhwf", x[:, 2 * i : 2 * i + 8 : 2, j : j + 11], w[i, j])
    np.testing.assert_allclose(library.call("conv", x, w)[0], expected, rtol=1e-4, atol=1e-4)


def test_temporaries_are_in_scratch_memory() -> None:
    """Known sizes are part of the entry's scratch; what is only known at run time is allocated when that is full."""
    text = loops_test.softmax("s", (4,), 33) + loops_test.softmax("d", (4,), 33, dynamic=True)
    library = compile_entries(text, target="vmvx")
    x = np.random.default_rng(0).standard_normal((1000, 300)).astype(np.float32)
    expected = np.exp(x.astype(np.float64))
    (result,) = library.call("d", x)
    np.testing.assert_allclose(result, expected / expected.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("f32", "[1.5, -2.0, 0.25]"), ("i8", "[-1, 7, 3]"), ("i1", "[true, false, true]"), ("bf16", "[1.5, -2.0, 0.25]"),
     ("f16", "[1.5, 2.0, 4.0]"), ("i64", "[1, -5, 70000000000]"), ("f32", "2.5"), ("i32", "9")],
)  # fmt: skip
def test_constants_are_read_only_data(kind: str, values: str) -> None:
    """Tables inside of kernels, splats included."""
    stored = "i8" if kind == "i1" else kind
    cast = "%y = arith.extui %c : i1 to i8" if kind == "i1" else "%y = arith.select %t, %c, %c : " + kind
    text = f"""
    func.func @pick(%i: tensor<5xi32>) -> tensor<5x{stored}> {{
      %table = arith.constant dense<{values}> : tensor<3x{kind}>
      %t = arith.constant true
      %e = tensor.empty() : tensor<5x{stored}>
      %r = linalg.generic {{indexing_maps = [affine_map<(a) -> (a)>, affine_map<(a) -> (a)>],
          iterator_types = ["parallel"]}} ins(%i : tensor<5xi32>) outs(%e : tensor<5x{stored}>) {{
      ^bb0(%n: i32, %o: {stored}):
        %k = arith.index_cast %n : i32 to index
        %c = tensor.extract %table[%k] : tensor<3x{kind}>
        {cast}
        linalg.yield %y : {stored}
      }} -> tensor<5x{stored}>
      return %r : tensor<5x{stored}>
    }}"""
    library = compile_entries(text, target="vmvx")
    picks = np.array([2, 0, 1, 1, 2], np.int32)
    numbers = eval(values.replace("true", "1").replace("false", "0"))
    table = np.broadcast_to(np.array(numbers), (3,))
    (result,) = library.call("pick", picks)
    np.testing.assert_array_equal(result.astype(np.float64), table[picks].astype(np.float64))
