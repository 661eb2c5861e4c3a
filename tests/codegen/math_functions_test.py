"""Accuracy of the mathematical functions: greatest error in units in the last place, and every special value."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from tests.codegen.abi import CompiledLibrary, compile_entries

_INF, _NAN = float("inf"), float("nan")
# name: (oracle in mpmath, lowest and highest interesting argument, allowed ulp of f32, of f64)
_UNARY: dict[str, tuple[Any, float, float, float, float]] = {
    "exp": (mpmath.exp, -105.0, 89.0, 1.5, 1.5),
    "exp2": (lambda x: mpmath.power(2, x), -150.0, 128.0, 1.5, 1.5),
    "expm1": (mpmath.expm1, -30.0, 80.0, 2.0, 2.0),
    "log": (mpmath.log, 1e-38, 1e38, 1.0, 1.0),
    "log2": (lambda x: mpmath.log(x, 2), 1e-38, 1e38, 2.5, 2.5),
    "log10": (mpmath.log10, 1e-38, 1e38, 2.5, 2.5),
    "log1p": (mpmath.log1p, -0.99999, 1e30, 1.5, 1.5),
    "sin": (mpmath.sin, -1e6, 1e6, 1.5, 1.0),
    "cos": (mpmath.cos, -1e6, 1e6, 1.5, 1.0),
    "tan": (mpmath.tan, -1e6, 1e6, 0.6, 2.5),
    "asin": (mpmath.asin, -1.0, 1.0, 0.6, 2.5),
    "acos": (mpmath.acos, -1.0, 1.0, 0.6, 2.0),
    "atan": (mpmath.atan, -1e4, 1e4, 0.6, 2.0),
    "sinh": (mpmath.sinh, -88.0, 88.0, 0.6, 3.0),
    "cosh": (mpmath.cosh, -88.0, 88.0, 0.6, 2.5),
    "tanh": (mpmath.tanh, -20.0, 20.0, 2.5, 2.5),
    "asinh": (mpmath.asinh, -1e6, 1e6, 0.6, 3.0),
    "acosh": (mpmath.acosh, 1.0, 1e6, 0.6, 3.0),
    "atanh": (mpmath.atanh, -0.99999, 0.99999, 0.6, 3.0),
    "erf": (mpmath.erf, -6.0, 6.0, 2.0, 1.5),
    "erfc": (mpmath.erfc, -6.0, 10.0, 0.6, 6.0),
    "sqrt": (mpmath.sqrt, 0.0, 1e38, 0.5, 0.5),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), 1e-38, 1e38, 1.5, 1.5),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), -1e38, 1e38, 0.6, 1.5),
}
_ROUNDING = {
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "roundeven": np.rint,
    "round": lambda x: np.copysign(np.floor(np.abs(x)) + (np.abs(x) - np.floor(np.abs(x)) >= 0.5), x),
}  # fmt: skip
_DTYPES = {"f32": np.float32, "f64": np.float64}


def _unary(name: str, kind: str) -> str:
    return f"""
func.func @{name}_{kind}(%x: tensor<?x{kind}>, %d: index, %r: index) -> tensor<?x{kind}> {{
  %e = tensor.empty(%r) : tensor<?x{kind}>
  %y = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                        iterator_types = ["parallel"]}}
      ins(%x : tensor<?x{kind}>) outs(%e : tensor<?x{kind}>) {{
  ^bb0(%a: {kind}, %o: {kind}):
    %v = math.{name} %a : {kind}
    linalg.yield %v : {kind}
  }} -> tensor<?x{kind}>
  return %y : tensor<?x{kind}>
}}"""


def _binary(name: str, kind: str) -> str:
    return f"""
func.func @{name.split(".")[1]}_{kind}(%x: tensor<?x{kind}>, %z: tensor<?x{kind}>, %d: index, %f: index, %r: index)
    -> tensor<?x{kind}> {{
  %e = tensor.empty(%r) : tensor<?x{kind}>
  %y = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                       iterator_types = ["parallel"]}}
      ins(%x, %z : tensor<?x{kind}>, tensor<?x{kind}>) outs(%e : tensor<?x{kind}>) {{
  ^bb0(%a: {kind}, %b: {kind}, %o: {kind}):
    %v = {name} %a, %b : {kind}
    linalg.yield %v : {kind}
  }} -> tensor<?x{kind}>
  return %y : tensor<?x{kind}>
}}"""


# Exponents that products and square roots make, and neighbours that they do not.
_EXPONENTS = (-1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0, -1.25, 0.0, 2.25, 5.0)


def _constant_power(number: int, kind: str) -> str:
    named = _unary("sqrt", kind).replace("@sqrt_", f"@power_{number}_")
    value = f"%y0 = arith.constant {_EXPONENTS[number]!r} : {kind}\n    %v = math.powf %a, %y0 : {kind}"
    return named.replace(f"%v = math.sqrt %a : {kind}", value)


def _one_plus_erf() -> str:
    value = """%c = arith.constant 1.41421354 : f32
    %one = arith.constant 1.0 : f32
    %q = arith.divf %a, %c : f32
    %p = math.erf %q : f32
    %v = arith.addf %p, %one : f32"""
    return _unary("erf", "f32").replace("@erf_f32", "@one_plus_erf").replace("%v = math.erf %a : f32", value)


_TEXT = "\n".join(
    [_unary(name, kind) for name in (*_UNARY, *_ROUNDING) for kind in _DTYPES]
    + [_binary(name, kind) for name in ("math.powf", "math.atan2", "arith.remf") for kind in _DTYPES]
    + [_constant_power(number, kind) for number in range(len(_EXPONENTS)) for kind in _DTYPES]
    + [_one_plus_erf()]
)


@pytest.fixture(scope="module", params=["host", "x86_64-unknown-linux-gnu"])
def library(request: pytest.FixtureRequest) -> CompiledLibrary:
    """Every function, for the host and for a processor without FMA and rounding instructions."""
    return compile_entries(_TEXT, target=request.param, keep_files=False)


def _arguments(low: float, high: float, dtype: Any) -> Any:
    """Arguments over the whole range: evenly, by magnitude, near 0."""
    random = np.random.default_rng(1)
    magnitudes = 10.0 ** random.uniform(-30, np.log10(max(abs(low), abs(high), 1e-3)), 300)
    signs = random.choice([-1.0, 1.0], 300) if low < 0 else np.ones(300)
    even = random.uniform(low, high, 400)
    near = random.uniform(-2.0, 2.0, 200)
    values = np.concatenate([even, magnitudes * signs, near, [low, high]]).astype(dtype)
    return values[(values >= low) & (values <= high)]


def _ulps(result: Any, exact: list[Any], dtype: Any) -> float:
    """Greatest distance from the exact values in units in the last place of those."""
    worst = 0.0
    smallest = np.finfo(dtype).smallest_subnormal
    for value, reference in zip(result.tolist(), exact, strict=True):
        rounded = dtype(float(reference)) if abs(reference) < float(np.finfo(dtype).max) else dtype(np.inf)
        if not np.isfinite(rounded) or not np.isfinite(value):
            worst = max(worst, 0.0 if rounded == value else _INF)
            continue
        unit = max(float(np.spacing(np.abs(rounded))), float(smallest))
        worst = max(worst, float(abs(mpmath.mpf(value) - reference) / unit))
    return worst


@pytest.mark.parametrize("kind", _DTYPES)
@pytest.mark.parametrize("name", _UNARY)
def test_error_in_ulps(library: CompiledLibrary, name: str, kind: str) -> None:
    mpmath.mp.prec = 200
    oracle, low, high, *allowed = _UNARY[name]
    dtype = _DTYPES[kind]
    x = _arguments(low, high, dtype)
    (result,) = library.call(f"{name}_{kind}", x)
    exact = [oracle(mpmath.mpf(v)) for v in x.tolist()]
    assert _ulps(result, exact, dtype) <= allowed[kind == "f64"]


@pytest.mark.parametrize("kind", _DTYPES)
@pytest.mark.parametrize("name", [*_UNARY, *_ROUNDING])
def test_special_values(library: CompiledLibrary, name: str, kind: str) -> None:
    dtype = _DTYPES[kind]
    info = np.finfo(dtype)
    small, tiny, huge = float(info.smallest_subnormal), float(info.tiny), float(info.max)
    special = [0.0, -0.0, _INF, -_INF, _NAN, 1.0, -1.0, small, -small, tiny, -tiny, huge, -huge, 0.5, -0.5, 2.5, -1.5]
    x = np.array(special, dtype)
    (result,) = library.call(f"{name}_{kind}", x)
    for value, got in zip(x.tolist(), result.tolist(), strict=True):
        expected = _expected_special(name, value, dtype)
        if math.isnan(expected):
            assert math.isnan(got), (name, value, got)
        elif math.isinf(expected) or expected == 0:
            assert (got, math.copysign(1, got)) == (expected, math.copysign(1, expected)), (name, value)
        else:
            np.testing.assert_allclose(got, expected, rtol=4 * float(info.eps), err_msg=f"{name}({value})")


def _expected_special(name: str, value: float, dtype: Any) -> float:
    """What C says."""
    functions = {
        **_ROUNDING, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
        "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
        "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
        "acosh": np.arccosh, "atanh": np.arctanh, "sqrt": np.sqrt, "cbrt": np.cbrt,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        if name in ("erf", "erfc"):
            return float(dtype(getattr(math, name)(value)))
        if name == "rsqrt":
            return float(dtype(1.0) / np.sqrt(dtype(value)))
        return float(dtype(functions[name](np.float64(value))))


@pytest.mark.parametrize("kind", _DTYPES)
def test_large_circular_arguments(library: CompiledLibrary, kind: str) -> None:
    mpmath.mp.prec = 1400
    dtype = _DTYPES[kind]
    top = 38 if kind == "f32" else 307
    x = (10.0 ** np.random.default_rng(2).uniform(6, top, 300)).astype(dtype)
    x = np.concatenate([x, -x, np.array([np.finfo(dtype).max], dtype)])
    for name, oracle in (("sin", mpmath.sin), ("cos", mpmath.cos)):
        (result,) = library.call(f"{name}_{kind}", x)
        assert _ulps(result, [oracle(mpmath.mpf(v)) for v in x.tolist()], dtype) <= 1.5


@pytest.mark.parametrize("kind", _DTYPES)
def test_power(library: CompiledLibrary, kind: str) -> None:
    mpmath.mp.prec = 200
    dtype = _DTYPES[kind]
    random = np.random.default_rng(3)
    x = (10.0 ** random.uniform(-6, 6, 1000)).astype(dtype)
    y = random.uniform(-6, 6, 1000).astype(dtype)
    (result,) = library.call(f"powf_{kind}", x, y)
    exact = [mpmath.power(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert _ulps(result, exact, dtype) <= (2.0 if kind == "f64" else 0.6)
    special = [0.0, -0.0, 1.0, -1.0, _INF, -_INF, _NAN, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, 4.0]
    grid = [(a, b) for a in special for b in special]
    x, y = (np.array(column, dtype) for column in zip(*grid, strict=True))
    (result,) = library.call(f"powf_{kind}", x, y)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(result, np.power(x.astype(np.float64), y).astype(dtype), rtol=1e-6)
        expected = np.power(x.astype(np.float64), y).astype(dtype)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("kind", _DTYPES)
def test_powers_with_known_exponents(library: CompiledLibrary, kind: str) -> None:
    mpmath.mp.prec = 200
    dtype = _DTYPES[kind]
    random = np.random.default_rng(5)
    low, high = np.log10(float(np.finfo(dtype).tiny)), np.log10(float(np.finfo(dtype).max))
    wide = 10.0 ** random.uniform(low, high, 300)
    x = np.concatenate(
        [wide, random.uniform(0, 3, 300), np.finfo(dtype).smallest_subnormal * np.array([1.0, 1000.0])]
    ).astype(dtype)
    special = np.array([0.0, -0.0, 1.0, -1.0, _INF, -_INF, _NAN, -2.5, -1e-30], dtype)
    for number, exponent in enumerate(_EXPONENTS):
        (result,) = library.call(f"power_{number}_{kind}", x)
        exact = [mpmath.power(mpmath.mpf(a), mpmath.mpf(exponent)) for a in x.tolist()]
        normal = np.array([float(np.finfo(dtype).tiny) < e < float(np.finfo(dtype).max) for e in exact])
        kept = [e for e, is_normal in zip(exact, normal, strict=True) if is_normal]
        assert _ulps(result[normal], kept, dtype) <= 3.5, exponent
        (result,) = library.call(f"power_{number}_{kind}", special)
        with np.errstate(all="ignore"):
            # (a scalar 0.5 would be a square root to numpy)
            expected = np.power(special.astype(np.float64), np.full(len(special), exponent)).astype(dtype)
        np.testing.assert_allclose(result, expected, rtol=1e-6, err_msg=str(exponent))
        zero = expected == 0
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("kind", _DTYPES)
def test_atan2_and_remainder(library: CompiledLibrary, kind: str) -> None:
    dtype = _DTYPES[kind]
    random = np.random.default_rng(4)
    special = [0.0, -0.0, 1.0, -1.0, _INF, -_INF, _NAN, 2.5, -0.3, 1e-30, 1e30]
    grid = [(a, b) for a in special for b in special] + random.uniform(-9, 9, (500, 2)).tolist()
    x, y = (np.array(column, dtype) for column in zip(*grid, strict=True))
    with np.errstate(all="ignore"):
        expected = np.arctan2(x.astype(np.longdouble), y.astype(np.longdouble)).astype(dtype)
        (result,) = library.call(f"atan2_{kind}", x, y)
        np.testing.assert_allclose(result, expected, rtol=6 * float(np.finfo(dtype).eps), atol=0)
        np.testing.assert_array_equal(
            np.signbit(result), np.signbit(expected) & ~np.isnan(expected) | np.isnan(expected) & np.signbit(result)
        )
        (result,) = library.call(f"remf_{kind}", x, y)
        np.testing.assert_array_equal(result, np.fmod(x, y))


def test_one_plus_erf_is_close_where_digits_would_cancel(library: CompiledLibrary) -> None:
    x = np.concatenate([np.linspace(-7, 7, 4001), [-_INF, _INF, _NAN, -0.0]]).astype(np.float32)
    (result,) = library.call("one_plus_erf", x)
    exact = np.array([math.erfc(-float(v) / 1.41421354) for v in x[:-4]])
    np.testing.assert_allclose(result[:-4], exact, rtol=0, atol=1.5e-7)
    tail = (x[:-4] < 0) & (x[:-4] > -5.6)
    np.testing.assert_allclose(result[:-4][tail], exact[tail], rtol=2e-5)
    np.testing.assert_array_equal(result[-4:], np.array([0, 2, _NAN, 1], np.float32))
