"""Reductions along contiguous elements and chains around them, in vectors, against numpy."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.codegen.abi import CompiledLibrary, compile_entries
from tests.codegen.loops_test import chain, generic, softmax, tensor_type

# One element, less than a vector, whole vectors, odd numbers of them, blocks of them.
_COLUMNS = (0, 1, 3, 16, 17, 49, 64, 65, 127, 513, 9001)


def _check(library: CompiledLibrary) -> None:
    """All but short rows must be computed as rows."""
    assert set(library.kinds.values()) <= {"rows", "loops"}
    assert list(library.kinds.values()).count("rows") > len(library.kinds) / 2


def _arg_extreme(name: str, columns: int, body: str, start: str, dynamic: bool = False) -> str:
    """The form in which importers write argmax: -1 says that nothing was found yet."""
    x, v, i = tensor_type((5, columns), dynamic=dynamic), tensor_type((5,), dynamic=dynamic), "tensor<5xi64>"
    i = tensor_type((5,), "i64", dynamic)
    dims = "%d0" if dynamic else ""
    arguments = f"%x: {x}" + (", %d0: index, %d1: index, %r0: index" if dynamic else "")
    return f"""func.func @{name}({arguments}) -> {i} {{
  %start = arith.constant {start} : f32
  %none = arith.constant -1 : i64
  %zero = arith.constant 0 : i64
  %true = arith.constant true
  %ev = tensor.empty({dims}) : {v}
  %ei = tensor.empty({dims}) : {i}
  %fv = linalg.fill ins(%start : f32) outs(%ev : {v}) -> {v}
  %fi = linalg.fill ins(%none : i64) outs(%ei : {i}) -> {i}
  %r:2 = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
      affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}}
      ins(%x : {x}) outs(%fv, %fi : {v}, {i}) {{
  ^bb0(%a: f32, %v: f32, %n: i64):
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i64
    %anan = arith.cmpf une, %a, %a : f32
    %vnan = arith.cmpf une, %v, %v : f32
    %vnum = arith.xori %vnan, %true : i1
{body}
    %unset = arith.cmpi slt, %n, %zero : i64
    %c = arith.ori %better, %unset : i1
    %s = arith.select %c, %a, %v : f32
    %t = arith.select %c, %k, %n : i64
    linalg.yield %s, %t : f32, i64
  }} -> ({v}, {i})
  return %r#1 : {i}
}}
"""


_FIRST = """    %g = arith.cmpf {sign}, %a, %v : f32
    %e = arith.andi %g, %vnum : i1
    %f = arith.andi %anan, %vnum : i1
    %better = arith.ori %e, %f : i1"""
_LAST = """    %g = arith.cmpf {sign}, %a, %v : f32
    %e = arith.andi %g, %vnum : i1
    %better = arith.ori %e, %anan : i1"""


def _last(x: np.ndarray[Any, Any], pick: Any) -> np.ndarray[Any, Any]:
    return x.shape[1] - 1 - pick(x[:, ::-1], axis=1)


@pytest.mark.parametrize("dynamic", [False, True])
def test_positions_of_extremes(dynamic: bool) -> None:
    columns = [n for n in _COLUMNS if n]
    forms = {"max": (_FIRST, "ogt", "0xFF800000"), "min": (_FIRST, "olt", "0x7F800000"),
             "last": (_LAST, "oge", "0xFF800000")}  # fmt: skip
    text = "".join(
        _arg_extreme(f"{name}{n}", n, form.format(sign=sign), start, dynamic)
        for name, (form, sign, start) in forms.items()
        for n in columns
    )
    library = compile_entries(text, keep_files=False)
    _check(library)
    for n in columns:
        random = np.random.default_rng(n)
        x = random.integers(-3, 4, (5, n)).astype(np.float32)  # many are equal
        x[1], x[2] = -np.inf, np.inf
        if n > 2:
            x[3, [n // 2, n - 1]] = np.nan
        for name, expected in (("max", x.argmax(1)), ("min", x.argmin(1)), ("last", _last(x, np.argmax))):
            (result,) = library.call(f"{name}{n}", x, result_dims=[5] if dynamic else [])
            np.testing.assert_array_equal(result, expected, err_msg=f"{name} of {n}")


def _compared_position(columns: int) -> str:
    """The form of jax.numpy.argmax: positions are an operand, and compared to break ties."""
    x = tensor_type((4, columns))
    return f"""func.func @argmax{columns}(%x: {x}) -> tensor<4xi32> {{
  %start = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0 : i32
  %ep = tensor.empty() : tensor<{columns}xi32>
  %p = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}}
      outs(%ep : tensor<{columns}xi32>) {{
  ^bb0(%o: i32):
    %j = linalg.index 0 : index
    %k = arith.index_cast %j : index to i32
    linalg.yield %k : i32
  }} -> tensor<{columns}xi32>
  %ev = tensor.empty() : tensor<4xf32>
  %ei = tensor.empty() : tensor<4xi32>
  %fv = linalg.fill ins(%start : f32) outs(%ev : tensor<4xf32>) -> tensor<4xf32>
  %fi = linalg.fill ins(%zero : i32) outs(%ei : tensor<4xi32>) -> tensor<4xi32>
  %r:2 = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>,
      affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}}
      ins(%p, %x : tensor<{columns}xi32>, {x}) outs(%fv, %fi : tensor<4xf32>, tensor<4xi32>) {{
  ^bb0(%k: i32, %a: f32, %v: f32, %n: i32):
    %g = arith.cmpf ogt, %v, %a : f32
    %nan = arith.cmpf une, %v, %v : f32
    %better = arith.ori %g, %nan : i1
    %equal = arith.cmpf oeq, %v, %a : f32
    %earlier = arith.cmpi slt, %n, %k : i32
    %tie = arith.andi %equal, %earlier : i1
    %keep = arith.ori %better, %tie : i1
    %s = arith.select %better, %v, %a : f32
    %t = arith.select %keep, %n, %k : i32
    linalg.yield %s, %t : f32, i32
  }} -> (tensor<4xf32>, tensor<4xi32>)
  return %r#1 : tensor<4xi32>
}}
"""


def test_positions_as_operands() -> None:
    columns = [n for n in _COLUMNS if n]
    library = compile_entries("".join(map(_compared_position, columns)), keep_files=False)
    _check(library)
    for n in columns:
        x = np.random.default_rng(n).integers(-3, 4, (4, n)).astype(np.float32)
        x[1] = -np.inf
        if n > 2:
            x[3, [n // 3, n - 1]] = np.nan
        np.testing.assert_array_equal(library.call(f"argmax{n}", x)[0], x.argmax(1))


def _reduce(name: str, columns: int, kind: str, op: str, start: str, dynamic: bool) -> str:
    x, r = tensor_type((3, columns), kind, dynamic), tensor_type((3,), kind, dynamic)
    arguments = f"%x: {x}" + (", %d0: index, %d1: index, %r0: index" if dynamic else "")
    body = f"""  %z = arith.constant {start} : {kind}
  %e = tensor.empty({"%r0" if dynamic else ""}) : {r}
  %f = linalg.fill ins(%z : {kind}) outs(%e : {r}) -> {r}"""
    body += generic("%y", [("%x", x, "i, j")], ("%f", r, "i"), "i, j", "pr", f"    %v = arith.{op} %a, %o : {kind}")
    return chain(name, arguments, r, body)


_REDUCTIONS: list[tuple[str, str, str, str, Any, Any]] = [
    ("sum_f64", "f64", "addf", "0.5", np.float64, lambda x: x.sum(1) + 0.5),
    ("product", "f64", "mulf", "1.0", np.float64, lambda x: x.prod(1)),
    ("least", "f32", "minimumf", "0x7F800000", np.float32, lambda x: x.min(1, initial=np.inf)),
    ("sum_i64", "i64", "addi", "7", np.int64, lambda x: x.sum(1) + 7),
    ("most_i32", "i32", "maxsi", "-100", np.int32, lambda x: x.max(1, initial=-100)),
    ("most_u8", "i8", "maxui", "0", np.uint8, lambda x: x.max(1, initial=0)),
    ("least_u16", "i16", "minui", "-1", np.uint16, lambda x: x.min(1, initial=65535)),
    ("least_i8", "i8", "minsi", "127", np.int8, lambda x: x.min(1, initial=127)),
    ("parity", "i8", "xori", "0", np.uint8, lambda x: np.bitwise_xor.reduce(x, 1)),
    ("every", "i8", "andi", "-1", np.uint8, lambda x: np.bitwise_and.reduce(x, 1)),
]


@pytest.mark.parametrize("dynamic", [False, True])
def test_reductions_of_all_types(dynamic: bool) -> None:
    columns = (0, 1, 17, 64, 129, 513)
    text = "".join(
        _reduce(f"{name}{n}", n, kind, op, start, dynamic)
        for name, kind, op, start, _, _ in _REDUCTIONS
        for n in columns
    )
    library = compile_entries(text, keep_files=False)
    _check(library)
    for name, _, _, _, dtype, oracle in _REDUCTIONS:
        for n in columns:
            x = np.random.default_rng(n).standard_normal((3, n))
            x = x.astype(dtype) if np.issubdtype(dtype, np.floating) else (x * 40).astype(np.int64).astype(dtype)
            (result,) = library.call(f"{name}{n}", x, result_dims=[3] if dynamic else [])
            result = result.view(dtype)
            if name == "product":
                np.testing.assert_allclose(result, oracle(x), rtol=1e-12)
            else:
                np.testing.assert_allclose(result, oracle(x), rtol=1e-12, atol=1e-12, err_msg=f"{name} of {n}")


@pytest.mark.parametrize("dynamic", [False, True])
def test_means_over_several_axes(dynamic: bool) -> None:
    shapes = [(2, 5, 14, 14), (1, 3, 7, 7), (2, 1, 1, 1), (1, 2, 3, 67), (1, 2, 0, 5)]
    text = ""
    for number, shape in enumerate(shapes):
        x, r = tensor_type(shape, dynamic=dynamic), tensor_type(shape[:2], dynamic=dynamic)
        arguments = f"%x: {x}" + "".join(f", %d{i}: index" for i in range(4) if dynamic)
        arguments += ", %r0: index, %r1: index" if dynamic else ""
        body = f"""  %z = arith.constant 0.0 : f32
  %n = arith.constant {float(max(shape[2] * shape[3], 1))} : f32
  %e = tensor.empty({"%r0, %r1" if dynamic else ""}) : {r}
  %f = linalg.fill ins(%z : f32) outs(%e : {r}) -> {r}"""
        body += generic("%s", [("%x", x, "i, j, k, l")], ("%f", r, "i, j"), "i, j, k, l", "pprr",
                        "    %v = arith.addf %a, %o : f32")  # fmt: skip
        body += generic("%y", [("%s", r, "i, j")], ("%e", r, "i, j"), "i, j", "pp", "    %v = arith.divf %a, %n : f32")
        text += chain(f"mean{number}", arguments, r, body)
    library = compile_entries(text, keep_files=False)
    _check(library)
    for number, shape in enumerate(shapes):
        x = np.random.default_rng(number).standard_normal(shape, np.float32)
        (result,) = library.call(f"mean{number}", x, result_dims=shape[:2] if dynamic else [])
        expected = x.astype(np.float64).sum((2, 3)) / max(shape[2] * shape[3], 1)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_sums_of_squares_of_narrow_floats() -> None:
    x, r = tensor_type((3, 1000), "bf16"), tensor_type((3,))
    body = f"""  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : {r}
  %f = linalg.fill ins(%z : f32) outs(%e : {r}) -> {r}"""
    body += generic("%y", [("%x", x, "i, j")], ("%f", r, "i"), "i, j", "pr",
                    "    %w = arith.extf %a : bf16 to f32\n    %q = arith.mulf %w, %w : f32\n"
                    "    %v = arith.addf %q, %o : f32")  # fmt: skip
    library = compile_entries(chain("squares", f"%x: {x}", r, body), keep_files=False)
    _check(library)
    data = np.random.default_rng(0).standard_normal((3, 1000)).astype(ml_dtypes.bfloat16)
    expected = (data.astype(np.float64) ** 2).sum(1)
    np.testing.assert_allclose(library.call("squares", data)[0], expected, rtol=1e-6)


def test_long_sums_are_taken_in_blocks() -> None:
    """A sum of a million equal numbers is as good as one of a few: 0.1 in order would be off by one in a thousand."""
    library = compile_entries(_reduce("s", 3_000_001, "f32", "addf", "0.0", False), keep_files=False)
    x = np.full((3, 3_000_001), 0.1, np.float32)
    np.testing.assert_allclose(library.call("s", x)[0], x.astype(np.float64).sum(1), rtol=4e-6)


def test_sum_and_norm_in_one() -> None:
    """Two results: a sum, which later passes read where it was written, and its norm."""
    t, r = tensor_type((33, 77)), tensor_type((33,))
    body = f"""  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : {t}
  %er = tensor.empty() : {r}
  %f = linalg.fill ins(%z : f32) outs(%er : {r}) -> {r}"""
    body += generic("%s", [("%x", t, "i, j"), ("%w", t, "i, j")], ("%e", t, "i, j"), "i, j", "pp",
                    "    %v = arith.addf %a, %b : f32")  # fmt: skip
    body += generic("%q", [("%s", t, "i, j")], ("%f", r, "i"), "i, j", "pr",
                    "    %p = arith.mulf %a, %a : f32\n    %v = arith.addf %p, %o : f32")  # fmt: skip
    body += generic("%y", [("%s", t, "i, j"), ("%q", r, "i")], ("%e", t, "i, j"), "i, j", "pp",
                    "    %u = math.rsqrt %b : f32\n    %v = arith.mulf %a, %u : f32")  # fmt: skip
    text = f"func.func @norm(%x: {t}, %w: {t}) -> ({t}, {t}) {{\n{body}\n  return %s, %y : {t}, {t}\n}}\n"
    library = compile_entries(text, keep_files=False)
    library.check_kind("rows")
    random = np.random.default_rng(0)
    x, w = random.standard_normal((33, 77), np.float32), random.standard_normal((33, 77), np.float32)
    total, norm = library.call("norm", x, w)
    np.testing.assert_array_equal(total, x + w)
    wide = x.astype(np.float64) + w
    np.testing.assert_allclose(norm, wide / np.sqrt((wide**2).sum(1, keepdims=True)), rtol=1e-5, atol=1e-7)


def test_a_result_that_replaces_its_operand_is_left_to_loops() -> None:
    """Later passes would read what earlier ones wrote."""
    t, r = tensor_type((3, 40)), tensor_type((3,))
    body = f"""  %z = arith.constant 0.0 : f32
  %er = tensor.empty() : {r}
  %f = linalg.fill ins(%z : f32) outs(%er : {r}) -> {r}"""
    body += generic("%s", [("%x", t, "i, j")], ("%f", r, "i"), "i, j", "pr", "    %v = arith.addf %a, %o : f32")
    body += generic("%y", [("%s", r, "i")], ("%x", t, "i, j"), "i, j", "pp", "    %v = arith.mulf %a, %o : f32")
    text = chain("f", f"%x: {t}", t, body).replace(" {\n", " attributes {flow.tied = [0]} {\n", 1)
    library = compile_entries(text, keep_files=False)
    assert set(library.kinds.values()) != {"rows"}
    x = np.random.default_rng(0).standard_normal((3, 40), np.float32)
    expected = x * x.sum(1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(library.call("f", x.copy())[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dynamic", [False, True])
def test_extremes_tell_nans_and_signs_of_zeros(dynamic: bool) -> None:
    """maximum and minimum of IEEE 754: a NaN of either sign wins, -0 is less than 0."""
    columns = (0, 1, 17, 129)
    kinds: list[tuple[str, Any]] = [("f32", np.float32), ("f64", np.float64)]
    text = "".join(
        _reduce(f"{op}_{kind}_{n}", n, kind, op, start, dynamic)
        for kind, _ in kinds
        for op, start in (("maximumf", "-1.0e30"), ("minimumf", "1.0e30"))
        for n in columns
    )
    library = compile_entries(text, keep_files=False)
    _check(library)
    for kind, dtype in kinds:
        for n in columns:
            x = np.random.default_rng(n).standard_normal((3, n)).astype(dtype)
            zeros = np.copysign(dtype(0), np.random.default_rng(n).standard_normal((3, n))).astype(dtype)
            lost = x.copy()
            if n:
                lost[0, n // 2] = np.nan
                lost[1, n - 1] = -np.nan
                lost[2, :] = -np.inf
            for given in (x, zeros, lost):
                for op, start in (("maximumf", -1e30), ("minimumf", 1e30)):
                    (result,) = library.call(f"{op}_{kind}_{n}", given, result_dims=[3] if dynamic else [])
                    reduce = np.max if op == "maximumf" else np.min
                    expected = reduce(given, 1, initial=start)
                    np.testing.assert_array_equal(result.view(dtype), expected, err_msg=f"{op} of {n}")
                    if given is zeros and n:
                        negative = np.signbit(zeros)
                        sign = negative.all(1) if op == "maximumf" else negative.any(1)
                        np.testing.assert_array_equal(np.signbit(result.view(dtype)), sign, err_msg=f"{op} of {n}")


def test_softmax_of_extreme_rows() -> None:
    """Rows of NaNs, infinities and far apart numbers, alone and masked as attention does it."""
    library = compile_entries(softmax("s", (7,), 67, False) + softmax("d", (7,), 67, True), keep_files=False)
    _check(library)
    x = np.random.default_rng(0).standard_normal((7, 67)).astype(np.float32)
    x[0, 3] = np.nan
    x[1, 5] = np.inf
    x[2] = -np.inf
    x[3, ::2] = -np.inf
    x[4] *= 60
    x[5] = np.linspace(-110, 0, 67)
    with np.errstate(invalid="ignore"):
        e = np.exp((x - x.max(1, keepdims=True)).astype(np.float64))
        expected = e / e.sum(1, keepdims=True)
    for name in "sd":
        (result,) = library.call(name, x, result_dims=list(x.shape) if name == "d" else [])
        np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-38)
