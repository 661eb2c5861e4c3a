"""Elementwise entry points of every type against numpy: static, odd, empty and dynamic shapes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.codegen.abi import CompiledLibrary, compile_entries

_NUMPY: dict[str, Any] = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8,
    "i16": np.int16, "i32": np.int32, "i64": np.int64,
}  # fmt: skip
_SHAPES = {"aligned": (4, 64), "odd": (3, 37), "prime": (127,), "empty": (5, 0, 3), "scalar": (), "one": (1, 1)}
_UNSIGNED = {"i8": np.uint8, "i16": np.uint16, "i32": np.uint32, "i64": np.uint64}


def elementwise(name: str, ins: list[str], out: str, shape: tuple[int, ...], body: str, dynamic: bool = False) -> str:
    """An entry point that applies `body` (%a, %b, … to %v) to every element."""
    extents = "".join("?x" if dynamic else f"{n}x" for n in shape)
    types = [f"tensor<{extents}{kind}>" for kind in ins]
    result = f"tensor<{extents}{out}>"
    names = [f"%x{i}" for i in range(len(ins))]
    arguments = [f"{n}: {t}" for n, t in zip(names, types, strict=True)]
    dims = [f"%d{i}_{j}" for i in range(len(ins)) for j in range(len(shape))] if dynamic else []
    result_dims = [f"%r{j}" for j in range(len(shape))] if dynamic else []
    arguments += [f"{d}: index" for d in (*dims, *result_dims)]
    loops = ", ".join(f"d{i}" for i in range(len(shape)))
    maps = ", ".join([f"affine_map<({loops}) -> ({loops})>"] * (len(ins) + 1))
    iterators = ", ".join(['"parallel"'] * len(shape))
    block = ", ".join(f"%{chr(97 + i)}: {kind}" for i, kind in enumerate(ins))
    return f"""
func.func @{name}({", ".join(arguments)}) -> {result} {{
  %e = tensor.empty({", ".join(result_dims)}) : {result}
  %y = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}}
      ins({", ".join(names)} : {", ".join(types)}) outs(%e : {result}) {{
  ^bb0({block}, %o: {out}):
{body}
    linalg.yield %v : {out}
  }} -> {result}
  return %y : {result}
}}"""


def numbers(kind: str, shape: tuple[int, ...], seed: int) -> Any:
    """Random values of a type, special ones among the floats and extremes among the integers."""
    random = np.random.default_rng(seed)
    dtype = _NUMPY[kind]
    if kind.startswith("i"):
        info = np.iinfo(dtype)
        values = random.integers(info.min, info.max, shape, dtype, endpoint=True)
    else:
        values = (random.standard_normal(shape) * 10).astype(dtype)
        if values.size > 8:
            values.reshape(-1)[:5] = [np.inf, -np.inf, np.nan, 0.0, -0.0]
    return values


def assert_same(result: Any, expected: Any, message: str) -> None:
    """Equal arrays; NaNs equal each other (ml_dtypes types do not tell numpy that they have some)."""
    assert result.dtype == expected.dtype
    if result.dtype.itemsize < 4 and result.dtype.kind in "fV":
        result, expected = result.astype(np.float32), expected.astype(np.float32)
    np.testing.assert_array_equal(result, expected, err_msg=message)


_FLOAT_OPS: dict[str, Any] = {
    "addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide, "maximumf": np.maximum,
    "minimumf": np.minimum, "maxnumf": np.fmax, "minnumf": np.fmin,
}  # fmt: skip
_INTEGER_OPS: dict[str, Any] = {
    "addi": np.add, "subi": np.subtract, "muli": np.multiply, "andi": np.bitwise_and, "ori": np.bitwise_or,
    "xori": np.bitwise_xor, "maxsi": np.maximum, "minsi": np.minimum,
}  # fmt: skip
_UNSIGNED_OPS: dict[str, Any] = {
    "maxui": np.maximum, "minui": np.minimum, "divui": np.floor_divide, "remui": np.remainder,
}  # fmt: skip
_SIGNED_DIVISIONS: dict[str, Any] = {
    "divsi": lambda a, b: np.trunc(a.astype(object) / b.astype(object)),
    "floordivsi": np.floor_divide,
    "ceildivsi": lambda a, b: -(np.floor_divide(-a.astype(object), b.astype(object))),
    "remsi": np.fmod,
}


def _binary_library(kind: str, shape: tuple[int, ...], dynamic: bool) -> CompiledLibrary:
    ops = list(_FLOAT_OPS) if not kind.startswith("i") else [*_INTEGER_OPS, *_UNSIGNED_OPS, *_SIGNED_DIVISIONS]
    texts = [elementwise(op, [kind, kind], kind, shape, f"    %v = arith.{op} %a, %b : {kind}", dynamic) for op in ops]
    return compile_entries("\n".join(texts), keep_files=False)


@pytest.mark.parametrize("kind", _NUMPY)
@pytest.mark.parametrize("shape", ["odd", "dynamic"])
def test_binary(kind: str, shape: str) -> None:
    extents = _SHAPES["odd"]
    library = _binary_library(kind, extents, shape == "dynamic")
    a, b = numbers(kind, extents, 1), numbers(kind, extents, 2)
    with np.errstate(all="ignore"):
        if not kind.startswith("i"):
            for op, oracle in _FLOAT_OPS.items():
                (result,) = library.call(op, a, b)
                expected = oracle(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)
                assert_same(result, expected, op)
            return
        for op, oracle in _INTEGER_OPS.items():
            np.testing.assert_array_equal(library.call(op, a, b)[0], oracle(a, b), err_msg=op)
        unsigned = _UNSIGNED[kind]
        divisor = np.where(b == 0, 3, b).astype(a.dtype)
        for op, oracle in _UNSIGNED_OPS.items():
            expected = oracle(a.view(unsigned), divisor.view(unsigned)).view(a.dtype)
            np.testing.assert_array_equal(library.call(op, a, divisor)[0], expected, err_msg=op)
        divisor = np.where(divisor == -1, 5, divisor).astype(a.dtype)
        for op, oracle in _SIGNED_DIVISIONS.items():
            if op == "divsi":
                expected = (np.abs(a.astype(object)) // np.abs(divisor.astype(object))) * (
                    np.sign(a.astype(object)) * np.sign(divisor.astype(object))
                )
            else:
                expected = oracle(a, divisor)
            np.testing.assert_array_equal(library.call(op, a, divisor)[0], expected.astype(a.dtype), err_msg=op)


@pytest.mark.parametrize("name", _SHAPES)
def test_shapes(name: str) -> None:
    shape = _SHAPES[name]
    body = "    %w = math.exp %a : f32\n    %v = arith.addf %w, %b : f32"
    text = elementwise("s", ["f32", "f32"], "f32", shape, body)
    if shape:
        text += elementwise("d", ["f32", "f32"], "f32", shape, body, dynamic=True)
    library = compile_entries(text, keep_files=False)
    a, b = numbers("f32", shape, 3), numbers("f32", shape, 4)
    for entry in ("s", "d") if shape else ("s",):
        with np.errstate(all="ignore"):
            (result,) = library.call(entry, a, b)
            np.testing.assert_allclose(result, np.exp(a) + b, rtol=1e-6)


@pytest.mark.parametrize("elements", [1, 1000, 131071, 500_009])
def test_many_workgroups(elements: int) -> None:
    text = elementwise("k", ["f32"], "f32", (elements,), "    %v = math.tanh %a : f32")
    text += elementwise("d", ["f32"], "f32", (elements,), "    %v = math.tanh %a : f32", dynamic=True)
    library = compile_entries(text, keep_files=False)
    a = np.random.default_rng(0).standard_normal(elements).astype(np.float32)
    for entry in ("k", "d"):
        np.testing.assert_allclose(library.call(entry, a)[0], np.tanh(a), rtol=1e-6)
    assert library.counts["k"]([]) == library.counts["k"]([])
    assert elements < 400_000 or library.counts["k"]([]) > 1


_F8 = ("f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ", "f8E4M3B11FNUZ")
_NUMPY |= {
    "f8E4M3FN": ml_dtypes.float8_e4m3fn, "f8E5M2": ml_dtypes.float8_e5m2, "f8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "f8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "f8E4M3B11FNUZ": ml_dtypes.float8_e4m3b11fnuz,
}  # fmt: skip
_CASTS = [
    *((kind, "f32", "extf", None) for kind in _F8), *(("f32", kind, "truncf", None) for kind in _F8),
    ("f16", "f8E5M2", "truncf", None), ("f64", "f8E4M3FN", "truncf", None),
    ("f32", "f64", "extf", None), ("f64", "f32", "truncf", None), ("f32", "f16", "truncf", None),
    ("f16", "f32", "extf", None), ("f32", "bf16", "truncf", None), ("bf16", "f32", "extf", None),
    ("f64", "f16", "truncf", None), ("f64", "bf16", "truncf", None), ("i32", "f32", "sitofp", None),
    ("i64", "f64", "sitofp", None), ("i8", "f16", "sitofp", None), ("i16", "bf16", "sitofp", None),
    ("i8", "f32", "uitofp", np.uint8), ("i64", "f32", "uitofp", np.uint64), ("i8", "i32", "extsi", None),
    ("i8", "i32", "extui", np.uint8), ("i64", "i8", "trunci", None), ("i32", "i16", "trunci", None),
]  # fmt: skip


def every_value(kind: str) -> Any:
    """All values of an 8-bit type."""
    return np.resize(np.arange(256, dtype=np.uint8), (7, 37)).view(_NUMPY[kind])


@pytest.fixture(scope="module", params=["host", "x86_64-unknown-linux-gnu", "x86_64-unknown-linux-gnu:x86-64-v3"])
def casts(request: pytest.FixtureRequest) -> CompiledLibrary:
    """Every conversion, also for processors without f16 and bf16 instructions."""
    texts = [
        elementwise(f"{op}_{a}_{b}", [a], b, (7, 37) if a in _F8 else (3, 37), f"    %v = arith.{op} %a : {a} to {b}")
        for a, b, op, _ in _CASTS
    ]
    return compile_entries("\n".join(texts), target=request.param, keep_files=False)


@pytest.mark.parametrize(("source", "to", "op", "view"), _CASTS)
def test_casts(casts: CompiledLibrary, source: str, to: str, op: str, view: Any) -> None:
    a = every_value(source) if source in _F8 else numbers(source, (3, 37), 5)
    with np.errstate(all="ignore"):
        expected = (a.view(view) if view is not None else a).astype(_NUMPY[to])
        (result,) = casts.call(f"{op}_{source}_{to}", a)
    assert_same(result, expected, op)


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "f64"])
def test_float_to_integer(kind: str) -> None:
    text = "\n".join(
        elementwise(f"to_{to}", [kind], to, (37,), f"    %v = arith.fptosi %a : {kind} to {to}")
        for to in ("i8", "i32", "i64")
    )
    library = compile_entries(text, keep_files=False)
    a = (np.random.default_rng(6).uniform(-100, 100, 37)).astype(_NUMPY[kind])
    for to in ("i8", "i32", "i64"):
        np.testing.assert_array_equal(library.call(f"to_{to}", a)[0], a.astype(np.float64).astype(_NUMPY[to]))


def test_comparisons_store_bools() -> None:
    text = elementwise("less", ["f32", "f32"], "i8", (3, 37), "    %c = arith.cmpf olt, %a, %b : f32\n"
                       "    %v = arith.extui %c : i1 to i8")  # fmt: skip
    text += elementwise("pick", ["i1", "f32", "f32"], "f32", (3, 37), "    %v = arith.select %a, %b, %c : f32")
    text += elementwise(
        "negate", ["i1"], "i1", (3, 37), "    %t = arith.constant true\n    %v = arith.xori %a, %t : i1"
    )
    library = compile_entries(text, keep_files=False)
    a, b = numbers("f32", (3, 37), 7), numbers("f32", (3, 37), 8)
    np.testing.assert_array_equal(library.call("less", a, b)[0], a < b)
    mask = b > 0
    np.testing.assert_array_equal(library.call("pick", mask, a, b)[0], np.where(mask, a, b))
    np.testing.assert_array_equal(library.call("negate", mask)[0], ~mask)


def test_complex() -> None:
    bodies = {
        "mul": "    %v = complex.mul %a, %b : complex<f32>",
        "div": "    %v = complex.div %a, %b : complex<f32>",
        "exp": "    %w = complex.exp %a : complex<f32>\n    %v = complex.add %w, %b : complex<f32>",
        "tanh": "    %w = complex.tanh %a : complex<f32>\n    %v = complex.add %w, %b : complex<f32>",
        "sqrt": "    %w = complex.sqrt %a : complex<f32>\n    %v = complex.sub %w, %b : complex<f32>",
        "log": "    %w = complex.log %a : complex<f32>\n    %v = complex.sub %w, %b : complex<f32>",
    }
    kind = "complex<f32>"
    text = "\n".join(elementwise(name, [kind, kind], kind, (3, 37), body) for name, body in bodies.items())
    text += elementwise("abs", [kind], "f32", (3, 37), "    %v = complex.abs %a : complex<f32>")
    library = compile_entries(text, keep_files=False)
    random = np.random.default_rng(9)
    a, b = (
        (random.standard_normal((3, 37)) + 1j * random.standard_normal((3, 37))).astype(np.complex64) for _ in range(2)
    )
    oracles = {
        "mul": a * b, "div": a / b, "exp": np.exp(a) + b, "tanh": np.tanh(a) + b, "sqrt": np.sqrt(a) - b,
        "log": np.log(a) - b,
    }  # fmt: skip
    for name, expected in oracles.items():
        np.testing.assert_allclose(library.call(name, a, b)[0], expected, rtol=2e-5, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(library.call("abs", a)[0], np.abs(a), rtol=1e-6)


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_half_precision_functions(kind: str) -> None:
    text = "\n".join(
        elementwise(name, [kind], kind, (3, 37), f"    %v = math.{name} %a : {kind}")
        for name in ("exp", "tanh", "erf", "sqrt", "sin", "floor", "log")
    )
    library = compile_entries(text, keep_files=False)
    a = np.abs(numbers(kind, (3, 37), 10))
    import math

    functions: dict[str, Any] = {
        "exp": np.exp, "tanh": np.tanh, "sqrt": np.sqrt, "sin": np.sin, "floor": np.floor, "log": np.log,
        "erf": np.vectorize(math.erf),
    }  # fmt: skip
    with np.errstate(all="ignore"):
        for name, function in functions.items():
            expected = function(a.astype(np.float64)).astype(np.float32).astype(a.dtype)
            got = library.call(name, a)[0].astype(np.float32)
            tolerance = 2e-3 if kind == "f16" else 1e-2
            np.testing.assert_allclose(got, expected.astype(np.float32), rtol=tolerance, atol=1e-7, err_msg=name)


_PIECES = [
    "arith.addf {0}, {1}", "arith.mulf {0}, {1}", "arith.subf {0}, {1}", "arith.maximumf {0}, {1}", "math.exp {0}",
    "math.tanh {0}", "arith.negf {0}", "math.absf {0}", "arith.divf {0}, {1}", "math.sin {0}",
]  # fmt: skip
_ORACLES: list[Any] = [
    np.add, np.multiply, np.subtract, np.maximum, lambda a, b: np.exp(a), lambda a, b: np.tanh(a),
    lambda a, b: np.negative(a), lambda a, b: np.abs(a), np.divide, lambda a, b: np.sin(a),
]  # fmt: skip


def test_random_bodies_and_broadcasts() -> None:
    random = np.random.default_rng(11)
    texts: list[str] = []
    programs: list[tuple[list[tuple[int, int, int]], tuple[int, ...], list[tuple[int, ...]]]] = []
    for number in range(24):
        rank = int(random.integers(1, 5))
        shape = tuple(int(n) for n in random.choice([1, 2, 3, 5, 8, 17, 33], rank))
        inputs = int(random.integers(1, 4))
        subsets: list[tuple[int, ...]] = [tuple(range(rank))]
        for _ in range(inputs - 1):
            chosen = [d for d in range(rank) if random.random() < 0.6]
            random.shuffle(chosen)
            subsets.append(tuple(chosen))
        steps: list[tuple[int, int, int]] = []
        for step in range(int(random.integers(1, 6))):
            values = inputs + step
            steps.append(
                (int(random.integers(len(_PIECES))), int(random.integers(values)), int(random.integers(values)))
            )
        texts.append(_random_text(number, shape, subsets, steps))
        programs.append((steps, shape, subsets))
    library = compile_entries("\n".join(texts), keep_files=False)
    for number, (steps, shape, subsets) in enumerate(programs):
        arrays = [random.standard_normal([shape[d] for d in s]).astype(np.float32) for s in subsets]
        values = [_spread(array.astype(np.float64), s, shape) for array, s in zip(arrays, subsets, strict=True)]
        with np.errstate(all="ignore"):
            for op, a, b in steps:
                values.append(_ORACLES[op](values[a], values[b]))
            (result,) = library.call(f"random{number}", *arrays)
            expected = values[-1].astype(np.float32)
        finite = np.abs(values[-1]) < 1e30
        scale = max([1.0, *(float(np.abs(v[np.isfinite(v) & (np.abs(v) < 1e6)]).max(initial=1.0)) for v in values)])
        close = np.isclose(result, expected, rtol=1e-3, atol=1e-5 * scale, equal_nan=True) | ~finite
        # functions of huge arguments have no correct digits to compare
        assert close.mean() > 0.97, (number, steps)


def _spread(array: Any, dims: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    order = np.argsort(dims)
    sorted_array = np.transpose(array, order) if dims else array
    full = sorted_array.reshape([shape[d] if d in dims else 1 for d in range(len(shape))])
    return np.broadcast_to(full, shape)


def _random_text(
    number: int, shape: tuple[int, ...], subsets: list[tuple[int, ...]], steps: list[tuple[int, int, int]]
) -> str:
    loops = ", ".join(f"d{i}" for i in range(len(shape)))
    maps = [f"affine_map<({loops}) -> ({', '.join(f'd{d}' for d in s)})>" for s in (*subsets, tuple(range(len(shape))))]
    types = ["tensor<" + "".join(f"{shape[d]}x" for d in s) + "f32>" for s in subsets]
    result = "tensor<" + "".join(f"{n}x" for n in shape) + "f32>"
    names = [f"%a{i}" for i in range(len(subsets))]
    body: list[str] = []
    values = list(names)
    for index, (op, a, b) in enumerate(steps):
        body.append(f"    %t{index} = {_PIECES[op].format(values[a], values[b])} : f32")
        values.append(f"%t{index}")
    return f"""
func.func @random{number}({", ".join(f"%x{i}: {t}" for i, t in enumerate(types))}) -> {result} {{
  %e = tensor.empty() : {result}
  %y = linalg.generic {{indexing_maps = [{", ".join(maps)}],
                        iterator_types = [{", ".join(['"parallel"'] * len(shape))}]}}
      ins({", ".join(f"%x{i}" for i in range(len(types)))} : {", ".join(types)}) outs(%e : {result}) {{
  ^bb0({", ".join(f"{n}: f32" for n in names)}, %o: f32):
{chr(10).join(body)}
    linalg.yield {values[-1]} : f32
  }} -> {result}
  return %y : {result}
}}"""
