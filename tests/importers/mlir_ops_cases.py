# ruff: noqa: E501 - lines of MLIR
"""Every op of the dialects below StableHLO, TOSA and torch that a program may hold, on tensors, beside numpy.

    python -m tests.importers.mlir_ops_cases [PATTERN]

linalg's named ops have their own cases (linalg_cases.py). What is refused is listed with the error that it gets.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tests.importers.stablehlo_elementwise import random
from tests.importers.stablehlo_oracle import ELEMENTS, Array, Case, failures

_BF16 = ml_dtypes.bfloat16

# Ops that a program may not hold: the error names them and their places.
REFUSED = {
    "arith.scaling_extf",
    "arith.scaling_truncf",
    "bufferization.alloc_tensor",
    "complex.bitcast",
    "index",
    "math.isnormal",
    "tensor.gather",
    "tensor.scatter",
}  # fmt: skip


def _plain(array: Array) -> str:
    """The type of an array with integers without signs."""
    return (
        "tensor<"
        + "".join(f"{n}x" for n in array.shape)
        + ELEMENTS[np.asarray(array).dtype.name].removeprefix("u")
        + ">"
    )


def _program(lines: str, inputs: Sequence[Array], results: Sequence[Array], before: str = "") -> str:
    """A `@main` of `lines` on %a, %b … that returns %r, or %r0, %r1 …; {A}, {R0} … are the types."""
    kinds = {"abcdef"[i].upper(): _plain(x) for i, x in enumerate(inputs)}
    outs = {f"R{i}": _plain(x) for i, x in enumerate(results)}
    arguments = ", ".join(f"%{name.lower()}: {kind}" for name, kind in kinds.items())
    names = ", ".join(["%r"] if len(results) == 1 else [f"%r{i}" for i in range(len(results))])
    body = lines
    for name, kind in {**kinds, **outs, "R": outs["R0"]}.items():
        body = body.replace("{" + name + "}", kind)
    returned = ", ".join(outs.values())
    return f"{before}\nfunc.func @main({arguments}) -> ({returned}) {{\n  {body}\n  return {names} : {returned}\n}}"


def _case(
    name: str, lines: str, inputs: Sequence[Array], expected: Callable[..., Any], before: str = "", **options: Any
) -> Case:
    def wanted(*arrays: Array) -> list[Array]:
        with np.errstate(all="ignore"):
            found = expected(*arrays)
        return [np.asarray(x) for x in (found if isinstance(found, (tuple, list)) else [found])]

    text = _program(lines, inputs, wanted(*inputs), before)
    return Case(name, text, tuple(inputs), expected=wanted, **options)


def _floats(element: Any = np.float32, low: float = -4, high: float = 4) -> Array:
    hard = np.array([0.0, -0.0, 1, -1, 0.5, 2.5, -2.5, 3.5, np.inf, -np.inf, np.nan, 1e-3])
    return np.concatenate(
        [hard[(hard >= low) & (hard <= high) | ~np.isfinite(hard)], random(low, high).uniform(low, high, 17)]
    ).astype(element)


def _ints(dtype: Any = np.int32, low: int | None = None, high: int | None = None, key: int = 0) -> Array:
    info = np.iinfo(dtype)
    low, high = info.min if low is None else low, info.max if high is None else high
    edges = [v for v in (0, 1, 2, 7, -1, -7, info.max, info.min) if low <= v <= high]
    values = np.array([*edges, *random(low, high, key).integers(low, high, 17, endpoint=True, dtype=dtype)], dtype)
    return random(key).permutation(values).astype(dtype)


def _arith() -> Iterator[Case]:
    f = _floats()
    g = random("g").permutation(f)
    for name, function in {
        "addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide, "maximumf": np.maximum,
        "minimumf": np.minimum, "remf": np.fmod, "maxnumf": np.fmax, "minnumf": np.fmin,
    }.items():  # fmt: skip
        for dtype in (np.float32, np.float64, np.float16, _BF16):
            yield _case(f"arith.{name}:{np.dtype(dtype).name}", f"%r = arith.{name} %a, %b : {{A}}", [f.astype(dtype), g.astype(dtype)],
                        lambda a, b, u=function: u(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype), ulps=1)  # fmt: skip
    yield _case("arith.negf", "%r = arith.negf %a : {A}", [f], np.negative)
    p, q = _ints(), _ints(key=1)
    unsigned = lambda x: x.view(np.dtype(f"u{x.dtype.itemsize}"))  # noqa: E731
    nonzero, small = np.where(q == 0, 3, q), _ints(low=0, high=31, key=2)[:17].astype(np.int32)
    safe = np.where((p == p.min()) & (nonzero == -1), 5, p)
    for name, function in {
        "addi": np.add, "subi": np.subtract, "muli": np.multiply, "andi": np.bitwise_and, "ori": np.bitwise_or,
        "xori": np.bitwise_xor, "maxsi": np.maximum, "minsi": np.minimum,
        "maxui": lambda a, b: np.maximum(unsigned(a), unsigned(b)).view(a.dtype),
        "minui": lambda a, b: np.minimum(unsigned(a), unsigned(b)).view(a.dtype),
    }.items():  # fmt: skip
        for dtype in (np.int32, np.int8, np.int64):
            a, b = _ints(dtype), _ints(dtype, key=1)
            yield _case(f"arith.{name}:{np.dtype(dtype).name}", f"%r = arith.{name} %a, %b : {{A}}", [a, b], function)
    division: dict[str, Callable[..., Any]] = {
        "divsi": lambda a, b: np.trunc(a / b), "remsi": lambda a, b: a - np.trunc(a / b) * b, "floordivsi": lambda a, b: np.floor(a / b),
        "ceildivsi": lambda a, b: np.ceil(a / b), "divui": lambda a, b: unsigned(a) // unsigned(b),
        "remui": lambda a, b: unsigned(a) % unsigned(b), "ceildivui": lambda a, b: np.ceil(unsigned(a) / unsigned(b)),
    }  # fmt: skip
    for name, function in division.items():
        yield _case(f"arith.{name}", f"%r = arith.{name} %a, %b : {{A}}", [safe, nonzero],
                    lambda a, b, u=function: u(a, b).astype(np.int64).astype(np.int32))  # fmt: skip
    for name, function in {
        "shli": lambda a, b: a << b, "shrsi": lambda a, b: a >> b, "shrui": lambda a, b: (unsigned(a) >> unsigned(b)).view(np.int32),
    }.items():  # fmt: skip
        yield _case(f"arith.{name}", f"%r = arith.{name} %a, %b : {{A}}", [p[:17], small], function)
    flags = "tensor<25xi1>"
    yield _case("arith.addui_extended", f"%r0, %r1 = arith.addui_extended %a, %b : {{A}}, {flags}", [p, q],
                lambda a, b: (a + b, unsigned(a).astype(np.uint64) + unsigned(b) > 0xFFFFFFFF))  # fmt: skip
    yield _case("arith.subui_extended", f"%r0, %r1 = arith.subui_extended %a, %b : {{A}}, {flags}", [p, q],
                lambda a, b: (a - b, unsigned(a) < unsigned(b)))  # fmt: skip
    for sign, wide in (("s", lambda x: x.astype(np.int64)), ("u", lambda x: unsigned(x).astype(np.uint64))):
        yield _case(f"arith.mul{sign}i_extended", f"%r0, %r1 = arith.mul{sign}i_extended %a, %b : {{A}}", [p, q],
                    lambda a, b, w=wide: ((w(a) * w(b)).astype(np.int32), ((w(a) * w(b)) >> np.array(32, w(a).dtype)).astype(np.int32)))  # fmt: skip
    predicates = {
        "oeq": np.equal,
        "olt": np.less,
        "oge": np.greater_equal,
        "une": np.not_equal,
        "ord": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
        "ult": lambda a, b: ~(a >= b),
    }
    for name, function in predicates.items():
        yield _case(f"arith.cmpf-{name}", f"%r = arith.cmpf {name}, %a, %b : {{A}}", [f, g], function)
    for name, function in {"eq": np.equal, "slt": np.less, "ult": lambda a, b: unsigned(a) < unsigned(b)}.items():
        yield _case(f"arith.cmpi-{name}", f"%r = arith.cmpi {name}, %a, %b : {{A}}", [p, q], function)
    yield _case(
        "arith.select", "%r = arith.select %c, %a, %b : {C}, {A}", [f, g, f > g], lambda a, b, c: np.where(c, a, b)
    )
    yield _case(
        "arith.constant", "%r = arith.constant dense<[1.5, -2.0]> : {R}", [], lambda: np.array([1.5, -2], np.float32)
    )
    casts = [
        ("extf", f.astype(np.float16), np.float32), ("extf", f.astype(_BF16), np.float64), ("truncf", f, np.float16), ("truncf", f, _BF16),
        ("extsi", _ints(np.int8), np.int32), ("trunci", p, np.int16), ("sitofp", p, np.float32), ("sitofp", _ints(np.int8), np.float16),
        ("fptosi", _floats(low=-3, high=3)[np.isfinite(_floats(low=-3, high=3))], np.int32),
    ]  # fmt: skip
    for name, x, out in casts:
        yield _case(
            f"arith.{name}:{x.dtype.name}-{np.dtype(out).name}",
            f"%r = arith.{name} %a : {{A}} to {{R}}",
            [x],
            lambda a, o=out: a.astype(o),
        )
    yield _case(
        "arith.convertf", "%r = arith.convertf %a : {A} to {R}", [f.astype(np.float16)], lambda a: a.astype(_BF16)
    )
    yield _case(
        "arith.extui", "%r = arith.extui %a : {A} to {R}", [_ints(np.int8)], lambda a: a.view(np.uint8).astype(np.int32)
    )
    yield _case(
        "arith.uitofp", "%r = arith.uitofp %a : {A} to {R}", [p], lambda a: a.view(np.uint32).astype(np.float32)
    )
    yield _case(
        "arith.fptoui",
        "%r = arith.fptoui %a : {A} to {R}",
        [np.array([0, 1.9, 250.5, 4e9], np.float32)],
        lambda a: a.astype(np.int64).astype(np.uint32).view(np.int32),
    )
    yield _case("arith.bitcast", "%r = arith.bitcast %a : {A} to {R}", [f], lambda a: a.view(np.int32))
    for name in ("index_cast", "index_castui"):
        yield _case(f"arith.{name}", f"%0 = arith.{name} %a : {{A}} to tensor<25xindex>\n  %r = arith.{name} %0 : tensor<25xindex> to {{R}}", [p],
                    lambda a, n=name: a.astype(np.int64) if n == "index_cast" else a.view(np.uint32).astype(np.int64))  # fmt: skip
    scale = np.array([0.5, 1, 4, 2], ml_dtypes.float8_e8m0fnu)
    yield _case("arith.scaling_extf", "%r = arith.scaling_extf %a, %b : {A}, {B} to {R}", [np.array([1.5, -2, 0.5, 6], ml_dtypes.float8_e5m2), scale],
                lambda a, s: a.astype(np.float32) * s.astype(np.float32))  # fmt: skip
    yield _case("arith.scaling_truncf", "%r = arith.scaling_truncf %a, %b : {A}, {B} to {R}", [np.array([1.5, -2, 0.5, 6], np.float32), scale],
                lambda a, s: (a / s.astype(np.float32)).astype(ml_dtypes.float8_e5m2))  # fmt: skip


def _math() -> Iterator[Case]:
    erf, erfc = np.vectorize(math.erf), np.vectorize(math.erfc)
    whole: dict[str, Callable[..., Any]] = {
        "absf": np.abs, "atan": np.arctan, "asinh": np.arcsinh, "cbrt": np.cbrt, "ceil": np.ceil, "cos": np.cos,
        "cosh": np.cosh, "erf": erf, "erfc": erfc, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "floor": np.floor,
        "round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x), "roundeven": np.rint, "sin": np.sin, "sinh": np.sinh,
        "tan": np.tan, "tanh": np.tanh, "trunc": np.trunc,
    }  # fmt: skip
    unit: dict[str, Callable[..., Any]] = {"acos": np.arccos, "asin": np.arcsin, "atanh": np.arctanh}
    positive: dict[str, Callable[..., Any]] = {
        "acosh": np.arccosh, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt,
        "rsqrt": lambda x: 1 / np.sqrt(x),
    }  # fmt: skip
    for names, (low, high) in ((whole, (-4, 4)), (unit, (-1, 1)), (positive, (0, 100))):
        for name, function in names.items():
            for dtype in (np.float32, np.float64, np.float16, _BF16):
                yield _case(f"math.{name}:{np.dtype(dtype).name}", f"%r = math.{name} %a : {{A}}", [_floats(dtype, low, high)],
                            lambda a, u=function: u(a.astype(np.float64)).astype(a.dtype), ulps=4)  # fmt: skip
    f = _floats()
    g = random("g").permutation(f)
    h = random("h").permutation(f)
    for name, function in {"atan2": np.arctan2, "copysign": np.copysign}.items():
        yield _case(f"math.{name}", f"%r = math.{name} %a, %b : {{A}}", [f, g], function, ulps=2)
    yield _case(
        "math.powf",
        "%r = math.powf %a, %b : {A}",
        [np.abs(f), g],
        lambda a, b: np.power(a.astype(np.float64), b).astype(np.float32),
        ulps=4,
    )
    yield _case(
        "math.fma",
        "%r = math.fma %a, %b, %c : {A}",
        [f, g, h],
        lambda a, b, c: (a.astype(np.float64) * b + c).astype(np.float32),
        ulps=1,
    )
    yield _case(
        "math.clampf",
        "%r = math.clampf %a to [%b, %c] : {A}",
        [f, np.full_like(f, -1), np.full_like(f, 2)],
        lambda a, b, c: np.minimum(np.maximum(a, b), c),
    )
    yield _case("math.sincos", "%r0, %r1 = math.sincos %a : {A}", [f], lambda a: (np.sin(a), np.cos(a)), ulps=4)
    for name, function in {
        "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan,
        "isnormal": lambda a: np.isfinite(a) & (np.abs(a) >= np.finfo(np.float32).tiny),
    }.items():  # fmt: skip
        yield _case(f"math.{name}", f"%r = math.{name} %a : {{A}}", [np.append(f, np.float32(1e-40))], function)
    p = _ints()
    bits = lambda a: [format(int(v) & 0xFFFFFFFF, "032b") for v in a]  # noqa: E731
    yield _case("math.absi", "%r = math.absi %a : {A}", [p], np.abs)
    yield _case(
        "math.ctlz",
        "%r = math.ctlz %a : {A}",
        [p],
        lambda a: np.array([32 - len(b.lstrip("0")) for b in bits(a)], np.int32),
    )
    yield _case(
        "math.cttz",
        "%r = math.cttz %a : {A}",
        [p],
        lambda a: np.array([32 - len(b.rstrip("0")) for b in bits(a)], np.int32),
    )
    yield _case(
        "math.ctpop", "%r = math.ctpop %a : {A}", [p], lambda a: np.array([b.count("1") for b in bits(a)], np.int32)
    )
    k = np.array([0, 1, 2, 3, -1, 5, -2, 7], np.int32)
    yield _case(
        "math.fpowi",
        "%r = math.fpowi %a, %b : {A}, {B}",
        [np.array([1.5, -2, 0.5, 3, -4, 1, 2, -1], np.float32), k],
        lambda a, b: np.power(a, b.astype(np.float32)),
        ulps=2,
    )
    yield _case("math.ipowi", "%r = math.ipowi %a, %b : {A}", [np.array([3, -2, 5, -7, 1, 2, -1, 3], np.int32), k],
                lambda a, b: np.array([int(x) ** int(y) if y >= 0 else int(float(x) ** int(y)) for x, y in zip(a, b, strict=True)], np.int32))  # fmt: skip


def _complex() -> Iterator[Case]:
    body = '  %r = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel"]}} ins({ins}) outs(%o : {{R}}) {{\n  ^bb0({arguments}, %out: {out}):\n    %v = {op}\n    linalg.yield %v : {out}\n  }} -> {{R}}'
    rng = random("complex")
    for part, dtype in (("f32", np.complex64), ("f64", np.complex128)):
        kind = f"complex<{part}>"
        z = np.array(
            [1 + 2j, -1.5 + 0.5j, 0.25 - 3j, -2 - 1j, 1, 1j, *(rng.standard_normal(7) + 1j * rng.standard_normal(7))],
            dtype,
        )
        w = rng.permutation(z)
        unary: dict[str, Callable[..., Any]] = {
            "neg": np.negative, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin, "cos": np.cos,
            "tan": np.tan, "tanh": np.tanh, "sqrt": np.sqrt, "rsqrt": lambda a: 1 / np.sqrt(a), "sign": lambda a: a / np.abs(a), "conj": np.conj,
        }  # fmt: skip
        real = {"abs": np.abs, "angle": np.angle, "re": np.real, "im": np.imag}
        binary = {
            "add": np.add,
            "sub": np.subtract,
            "mul": np.multiply,
            "div": np.divide,
            "pow": np.power,
            "atan2": lambda a, b: -1j * np.log((b + 1j * a) / np.sqrt(a * a + b * b)),
        }
        compare = {"eq": np.equal, "neq": np.not_equal}
        for names, count, suffix, out in (
            (unary, 1, f": {kind}", kind),
            (real, 1, f": {kind}", part),
            (binary, 2, f": {kind}", kind),
            (compare, 2, f": {kind}", "i1"),
        ):
            for name, function in names.items():
                operands = ", ".join(["%x", "%y"][:count])
                inputs = [z, w][:count]
                maps = ", ".join(["affine_map<(i) -> (i)>"] * (count + 1))
                ins = ", ".join(["%a", "%b"][:count]) + " : " + ", ".join(["{A}", "{B}"][:count])
                arguments = ", ".join(f"{v}: {kind}" for v in ["%x", "%y"][:count])
                text = body.format(
                    maps=maps, ins=ins, arguments=arguments, out=out, op=f"complex.{name} {operands} {suffix}"
                )
                empty = "%o = tensor.empty() : {R}\n"
                scale = {"f32": 8, "f64": 64}[part]
                target = {kind: dtype, part: np.dtype(dtype).type(0).real.dtype, "i1": np.bool_}[out]
                yield _case(
                    f"complex.{name}:{part}",
                    empty + text,
                    inputs,
                    lambda *a, u=function, t=target: u(*(x.astype(np.complex128) for x in a)).astype(t),
                    ulps=scale,
                )
    z = np.array([1 + 2j, -1.5 + 0.5j], np.complex64)
    one = 'linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}'
    yield _case("complex.create", f"%o = tensor.empty() : {{R}}\n  %r = {one} ins(%a : {{A}}) outs(%o : {{R}}) {{\n  ^bb0(%x: f32, %out: complex<f32>):\n    %c = complex.constant [1.0 : f32, 2.0 : f32] : complex<f32>\n    %v = complex.create %x, %x : complex<f32>\n    %s = complex.add %v, %c : complex<f32>\n    linalg.yield %s : complex<f32>\n  }} -> {{R}}",
                [np.array([1.5, 2], np.float32)], lambda a: (a + 1j * a + 1 + 2j).astype(np.complex64))  # fmt: skip
    yield _case("complex.bitcast", f"%o = tensor.empty() : {{R}}\n  %r = {one} ins(%a : {{A}}) outs(%o : {{R}}) {{\n  ^bb0(%x: complex<f32>, %out: i64):\n    %v = complex.bitcast %x : complex<f32> to i64\n    linalg.yield %v : i64\n  }} -> {{R}}",
                [z], lambda a: a.view(np.int64))  # fmt: skip
    yield _case("complex.powi", f"%o = tensor.empty() : {{R}}\n  %r = {one} ins(%a : {{A}}) outs(%o : {{R}}) {{\n  ^bb0(%x: complex<f32>, %out: complex<f32>):\n    %k = arith.constant 3 : i32\n    %v = complex.powi %x, %k : complex<f32>, i32\n    linalg.yield %v : complex<f32>\n  }} -> {{R}}",
                [z], lambda a: a**3, ulps=8)  # fmt: skip


def _tensor() -> Iterator[Case]:
    x = random("t").standard_normal((3, 4)).astype(np.float32)
    i, j = np.array(1, np.int64), np.array(2, np.int64)
    at = "%i0 = tensor.extract %b[] : {B}\n  %j0 = tensor.extract %c[] : {C}\n  %i = arith.index_cast %i0 : i64 to index\n  %j = arith.index_cast %j0 : i64 to index\n  "
    yield _case(
        "tensor.bitcast",
        "%0 = tensor.bitcast %a : tensor<3x4xf32> to tensor<3x4xi32>\n  %r = arith.addi %0, %0 : {R}",
        [x],
        lambda a: a.view(np.int32) * 2,
    )
    yield _case(
        "tensor.cast",
        "%0 = tensor.cast %a : {A} to tensor<?x4xf32>\n  %1 = arith.addf %0, %0 : tensor<?x4xf32>\n  %r = tensor.cast %1 : tensor<?x4xf32> to {R}",
        [x],
        lambda a: a + a,
    )
    yield _case(
        "tensor.collapse_shape", "%r = tensor.collapse_shape %a [[0, 1]] : {A} into {R}", [x], lambda a: a.reshape(12)
    )
    yield _case(
        "tensor.expand_shape",
        "%r = tensor.expand_shape %a [[0], [1, 2]] output_shape [3, 2, 2] : {A} into {R}",
        [x],
        lambda a: a.reshape(3, 2, 2),
    )
    yield _case(
        "tensor.concat",
        "%r = tensor.concat dim(1) %a, %b : ({A}, {B}) -> {R}",
        [x, x[:, :3] + 1],
        lambda a, b: np.concatenate([a, b], 1),
    )
    yield _case(
        "tensor.dim",
        "%c0 = arith.constant 1 : index\n  %d = tensor.dim %a, %c0 : {A}\n  %0 = arith.index_cast %d : index to i64\n  %r = tensor.from_elements %0 : {R}",
        [x],
        lambda a: np.array(4, np.int64),
    )
    yield _case(
        "tensor.empty",
        "%z = arith.constant 2.0 : f32\n  %0 = tensor.empty() : {R}\n  %r = linalg.fill ins(%z : f32) outs(%0 : {R}) -> {R}",
        [],
        lambda: np.full((2, 3), 2, np.float32),
    )
    yield _case(
        "tensor.extract",
        at + "%v = tensor.extract %a[%i, %j] : {A}\n  %r = tensor.from_elements %v : {R}",
        [x, i, j],
        lambda a, i, j: a[i, j],
    )
    yield _case(
        "tensor.insert",
        at + "%v = arith.constant 9.0 : f32\n  %r = tensor.insert %v into %a[%i, %j] : {A}",
        [x, i, j],
        lambda a, i, j: np.concatenate([a.ravel()[:6], [9], a.ravel()[7:]]).reshape(3, 4).astype(np.float32),
    )
    yield _case(
        "tensor.extract_slice",
        at + "%r = tensor.extract_slice %a[%i, 0] [2, 2] [1, 2] : {A} to {R}",
        [x, i, j],
        lambda a, i, j: a[1:3, ::2],
    )
    yield _case(
        "tensor.extract_slice-rank",
        at + "%r = tensor.extract_slice %a[%i, 1] [1, 3] [1, 1] : {A} to {R}",
        [x, i, j],
        lambda a, i, j: a[1, 1:],
    )
    yield _case(
        "tensor.insert_slice",
        "%r = tensor.insert_slice %b into %a[1, 0] [2, 2] [1, 2] : {B} into {A}",
        [x, np.zeros((2, 2), np.float32)],
        lambda a, b: np.where((np.arange(3)[:, None] >= 1) & (np.arange(4) % 2 == 0), 0, a).astype(np.float32),
    )
    yield _case(
        "tensor.from_elements",
        "%v = arith.constant 1.0 : f32\n  %w = arith.constant 2.0 : f32\n  %r = tensor.from_elements %v, %w, %w, %v : {R}",
        [],
        lambda: np.array([[1, 2], [2, 1]], np.float32),
    )
    where = np.array([[2], [0], [1], [2]], np.int64)
    yield _case(
        "tensor.gather",
        "%n = arith.index_cast %b : {B} to tensor<4x1xindex>\n  %r = tensor.gather %a[%n] gather_dims([0]) : ({A}, tensor<4x1xindex>) -> {R}",
        [x, where],
        lambda a, b: a[b[:, 0]][:, None],
    )
    yield _case(
        "tensor.scatter",
        "%r = tensor.scatter %b into %a[%c] scatter_dims([0]) unique : ({B}, {A}, {C}) -> {R}",
        [x, np.ones((2, 1, 4), np.float32), np.array([[2], [0]], np.int64)],
        lambda a, b, c: np.where(np.array([[1], [0], [1]]), 1, a).astype(np.float32),
    )
    yield _case(
        "tensor.generate",
        "%r = tensor.generate {\n  ^bb0(%p: index, %q: index):\n    %s = arith.addi %p, %q : index\n    %t = arith.index_cast %s : index to i32\n    tensor.yield %t : i32\n  } : {R}",
        [],
        lambda: (np.arange(3)[:, None] + np.arange(5)).astype(np.int32),
    )
    yield _case(
        "tensor.pad",
        "%v = arith.constant 7.0 : f32\n  %r = tensor.pad %a low[1, 0] high[0, 2] {\n  ^bb0(%p: index, %q: index):\n    tensor.yield %v : f32\n  } : {A} to {R}",
        [x],
        lambda a: np.pad(a, ((1, 0), (0, 2)), constant_values=7),
    )
    yield _case("tensor.pad-computed", "%v = arith.constant 7.0 : f32\n  %r = tensor.pad %a low[1, 0] high[0, 2] {\n  ^bb0(%p: index, %q: index):\n    %s = arith.index_cast %q : index to i32\n    %t = arith.sitofp %s : i32 to f32\n    tensor.yield %t : f32\n  } : {A} to {R}", [x],
                lambda a: np.where(np.pad(np.ones_like(a), ((1, 0), (0, 2))) == 1, np.pad(a, ((1, 0), (0, 2))), np.broadcast_to(np.arange(6), (4, 6))).astype(np.float32))  # fmt: skip
    yield _case(
        "tensor.rank",
        "%d = tensor.rank %a : {A}\n  %0 = arith.index_cast %d : index to i64\n  %r = tensor.from_elements %0 : {R}",
        [x],
        lambda a: np.array(2, np.int64),
    )
    yield _case(
        "tensor.reshape",
        "%s = arith.constant dense<[2, 6]> : tensor<2xi64>\n  %r = tensor.reshape %a(%s) : ({A}, tensor<2xi64>) -> {R}",
        [x],
        lambda a: a.reshape(2, 6),
    )
    yield _case(
        "tensor.reshape-open",
        "%0 = tensor.reshape %a(%b) : ({A}, {B}) -> tensor<?x?xf32>\n  %r = tensor.cast %0 : tensor<?x?xf32> to {R}",
        [x, np.array([2, 6], np.int64)],
        lambda a, b: a.reshape(2, 6),
    )
    yield _case(
        "tensor.splat",
        "%v = arith.constant 1.5 : f32\n  %r = tensor.splat %v : {R}",
        [],
        lambda: np.full((2, 3), 1.5, np.float32),
    )
    yield _case(
        "linalg.generic-scalar",
        '%v = arith.constant 1.5 : f32\n  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> ()>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%v, %a : f32, {A}) outs(%a : {A}) {\n  ^bb0(%s: f32, %x: f32, %o: f32):\n    %t = arith.mulf %s, %x : f32\n    linalg.yield %t : f32\n  } -> {R}',
        [x],
        lambda a: a * np.float32(1.5),
    )
    yield _case(
        "linalg.index",
        '%r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} outs(%a : {A}) {\n  ^bb0(%o: f32):\n    %i = linalg.index 1 : index\n    %k = arith.index_cast %i : index to i32\n    %f = arith.sitofp %k : i32 to f32\n    %t = arith.addf %f, %o : f32\n    linalg.yield %t : f32\n  } -> {R}',
        [x],
        lambda a: a + np.arange(4, dtype=np.float32),
    )
    yield _case(
        "linalg.elementwise",
        "%r = linalg.elementwise kind=#linalg.elementwise_kind<add> ins(%a, %a : {A}, {A}) outs(%a : {A}) -> {R}",
        [x],
        lambda a: a + a,
    )
    yield _case(
        "linalg.copy",
        "%o = tensor.empty() : {R}\n  %r = linalg.copy ins(%a : {A}) outs(%o : {R}) -> {R}",
        [x],
        lambda a: a,
    )
    yield _case(
        "linalg.div_unsigned",
        "%r = linalg.div_unsigned ins(%a, %b : {A}, {A}) outs(%a : {A}) -> {R}",
        [np.array([-1, 7, 100], np.int32), np.array([2, 3, -5], np.int32)],
        lambda a, b: (a.view(np.uint32) // b.view(np.uint32)).view(np.int32),
    )
    yield _case(
        "linalg.erf",
        "%r = linalg.erf ins(%a : {A}) outs(%a : {A}) -> {R}",
        [x],
        lambda a: np.vectorize(math.erf)(a).astype(np.float32),
        ulps=4,
    )
    yield _case(
        "linalg.powf",
        "%r = linalg.powf ins(%a, %b : {A}, {A}) outs(%a : {A}) -> {R}",
        [np.abs(x), x],
        lambda a, b: np.power(a.astype(np.float64), b).astype(np.float32),
        ulps=4,
    )
    yield _case(
        "linalg.fill_rng_2d",
        "%l = arith.constant -1.0 : f64\n  %h = arith.constant 1.0 : f64\n  %s = arith.constant 5 : i32\n  %o = tensor.empty() : tensor<8x8xf32>\n  %0 = linalg.fill_rng_2d ins(%l, %h, %s : f64, f64, i32) outs(%o : tensor<8x8xf32>) -> tensor<8x8xf32>\n  %m = math.absf %0 : tensor<8x8xf32>\n  %u = arith.constant dense<1.0> : tensor<8x8xf32>\n  %r = arith.cmpf ole, %m, %u : tensor<8x8xf32>",
        [],
        lambda: np.ones((8, 8), bool),
    )


def _control() -> Iterator[Case]:
    x = random("s").standard_normal((3, 4)).astype(np.float32)
    n, p = np.array(3, np.int64), np.array(True)
    bounds = "%c0 = arith.constant 0 : index\n  %c1 = arith.constant 1 : index\n  %n0 = tensor.extract %b[] : {B}\n  %n = arith.index_cast %n0 : i64 to index\n  "
    yield _case(
        "scf.for",
        bounds
        + "%r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %a) -> ({A}) {\n    %u = arith.addf %t, %a : {A}\n    scf.yield %u : {A}\n  }",
        [x, n],
        lambda a, b: ((a + a) + a) + a,
    )
    yield _case(
        "scf.if",
        "%p = tensor.extract %b[] : {B}\n  %r = scf.if %p -> ({A}) {\n    %u = arith.addf %a, %a : {A}\n    scf.yield %u : {A}\n  } else {\n    scf.yield %a : {A}\n  }",
        [x, p],
        lambda a, b: a + a,
    )
    yield _case(
        "scf.while",
        bounds
        + "%k, %r = scf.while (%i = %c0, %t = %a) : (index, {A}) -> (index, {A}) {\n    %go = arith.cmpi slt, %i, %n : index\n    scf.condition(%go) %i, %t : index, {A}\n  } do {\n  ^bb0(%i: index, %t: {A}):\n    %j = arith.addi %i, %c1 : index\n    %u = arith.addf %t, %t : {A}\n    scf.yield %j, %u : index, {A}\n  }",
        [x, n],
        lambda a, b: a * 8,
    )
    yield _case(
        "scf.index_switch",
        bounds
        + "%r = scf.index_switch %n -> {A}\n  case 2 {\n    scf.yield %a : {A}\n  }\n  case 3 {\n    %u = arith.addf %a, %a : {A}\n    scf.yield %u : {A}\n  }\n  default {\n    %u = arith.mulf %a, %a : {A}\n    scf.yield %u : {A}\n  }",
        [x, n],
        lambda a, b: a + a,
    )
    yield _case(
        "scf.execute_region",
        "%r = scf.execute_region -> {A} {\n    %u = arith.addf %a, %a : {A}\n    scf.yield %u : {A}\n  }",
        [x],
        lambda a: a + a,
    )
    yield _case(
        "scf.forall",
        "%o = tensor.empty() : {R}\n  %r = scf.forall (%i) in (3) shared_outs(%t = %o) -> ({R}) {\n    %s = tensor.extract_slice %a[%i, 0] [1, 4] [1, 1] : {A} to tensor<1x4xf32>\n    %u = arith.addf %s, %s : tensor<1x4xf32>\n    scf.forall.in_parallel {\n      tensor.parallel_insert_slice %u into %t[%i, 0] [1, 4] [1, 1] : tensor<1x4xf32> into {R}\n    }\n  }",
        [x],
        lambda a: a + a,
    )
    yield _case(
        "scf.parallel",
        bounds
        + "%z = arith.constant 0.0 : f32\n  %v = scf.parallel (%i) = (%c0) to (%n) step (%c1) init (%z) -> f32 {\n    %e = tensor.extract %a[%i, %c0] : {A}\n    scf.reduce(%e : f32) {\n    ^bb0(%p: f32, %q: f32):\n      %s = arith.addf %p, %q : f32\n      scf.reduce.return %s : f32\n    }\n  }\n  %r = tensor.from_elements %v : {R}",
        [x, n],
        lambda a, b: np.float32(np.float32(a[0, 0] + a[1, 0]) + a[2, 0]),
        ulps=2,
    )
    yield _case(
        "func.call",
        "%r = func.call @twice(%a) : ({A}) -> {A}",
        [x],
        lambda a: a + a,
        before="func.func private @twice(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {\n  %0 = arith.addf %x, %x : tensor<3x4xf32>\n  return %0 : tensor<3x4xf32>\n}",
    )
    yield _case(
        "cf.assert",
        '%t = arith.constant true\n  cf.assert %t, "never"\n  %r = arith.addf %a, %a : {A}',
        [x],
        lambda a: a + a,
    )
    yield _case(
        "cf.cond_br",
        "%p = tensor.extract %b[] : {B}\n  cf.cond_br %p, ^yes, ^no\n^yes:\n  %u = arith.addf %a, %a : {A}\n  cf.br ^end(%u : {A})\n^no:\n  cf.br ^end(%a : {A})\n^end(%r: {A}):",
        [x, p],
        lambda a, b: a + a,
    )
    yield _case(
        "cf.switch",
        "%p = tensor.extract %b[] : {B}\n  %k = arith.trunci %p : i64 to i32\n  cf.switch %k : i32, [\n    default: ^no,\n    3: ^yes\n  ]\n^yes:\n  %u = arith.addf %a, %a : {A}\n  cf.br ^end(%u : {A})\n^no:\n  cf.br ^end(%a : {A})\n^end(%r: {A}):",
        [x, n],
        lambda a, b: a + a,
    )
    yield _case(
        "affine",
        bounds
        + "%d = affine.apply affine_map<(i) -> (i * 2 - 3)>(%n)\n  %e = affine.max affine_map<(i) -> (i, 1)>(%d)\n  %f = affine.min affine_map<(i) -> (i, 5)>(%e)\n  %g:2 = affine.delinearize_index %f into (2, 2) : index, index\n  %h = affine.linearize_index [%g#0, %g#1] by (2, 2) : index\n  %v = arith.index_cast %h : index to i64\n  %r = tensor.from_elements %v : {R}",
        [x, n],
        lambda a, b: np.array(3, np.int64),
    )
    yield _case(
        "affine.for",
        bounds
        + "%r = affine.for %i = 0 to 3 iter_args(%t = %a) -> ({A}) {\n    %u = arith.addf %t, %a : {A}\n    affine.yield %u : {A}\n  }",
        [x, n],
        lambda a, b: ((a + a) + a) + a,
    )
    yield _case(
        "index",
        bounds
        + "%two = index.constant 2\n  %s = index.add %n, %two\n  %m = index.mul %s, %two\n  %q = index.floordivs %m, %n\n  %c = index.cmp sgt(%q, %two)\n  %v = index.casts %q : index to i64\n  %r0 = tensor.from_elements %v : {R0}\n  %r1 = tensor.from_elements %c : {R1}",
        [x, n],
        lambda a, b: (np.array(3, np.int64), np.array(True)),
    )
    yield _case(
        "shape",
        "%s = shape.shape_of %a : {A} -> tensor<2xindex>\n  %c1 = arith.constant 1 : index\n  %d = tensor.extract %s[%c1] : tensor<2xindex>\n  %v = arith.index_cast %d : index to i64\n  %r = tensor.from_elements %v : {R}",
        [x],
        lambda a: np.array(4, np.int64),
    )
    yield _case(
        "bufferization.alloc_tensor",
        "%z = arith.constant 1.0 : f32\n  %0 = bufferization.alloc_tensor() : {A}\n  %1 = linalg.fill ins(%z : f32) outs(%0 : {A}) -> {A}\n  %r = arith.addf %a, %1 : {A}",
        [x],
        lambda a: a + 1,
    )
    yield _case(
        "ml_program.global",
        "%w = ml_program.global_load_const @w : tensor<4xf32>\n  %e = tensor.empty() : {A}\n  %0 = linalg.broadcast ins(%w : tensor<4xf32>) outs(%e : {A}) dimensions = [0]\n  %r = arith.addf %a, %0 : {A}",
        [x],
        lambda a: a + np.arange(1, 5, dtype=np.float32),
        before="ml_program.global private @w(dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>) : tensor<4xf32>",
    )
    yield _case(
        "ml_program.global_store",
        "%0 = ml_program.global_load @n : tensor<i64>\n  %c = arith.constant dense<2> : tensor<i64>\n  %1 = arith.muli %0, %c : tensor<i64>\n  ml_program.global_store @n = %1 : tensor<i64>\n  %r = ml_program.global_load @n : tensor<i64>",
        [],
        lambda: np.array(10, np.int64),
        before="ml_program.global private mutable @n(dense<5> : tensor<i64>) : tensor<i64>",
    )
    yield _case(
        "ub.poison",
        "%0 = ub.poison : f32\n  %o = tensor.splat %0 : {R}\n  %r = arith.addf %a, %a : {A}",
        [x],
        lambda a: a + a,
    )


def _mixed() -> Iterator[Case]:
    """Several dialects in one function, and one that calls functions of others."""
    x = random("m").standard_normal((3, 4)).astype(np.float32)
    yield _case("mixed:stablehlo-linalg-tosa-math",
                "%0 = stablehlo.add %a, %a : {A}\n  %1 = math.tanh %0 : {A}\n  %2 = tosa.abs %1 : ({A}) -> {A}\n  %e = tensor.empty() : {A}\n  %3 = linalg.sqrt ins(%2 : {A}) outs(%e : {A}) -> {A}\n  %r = chlo.tan %3 : {A} -> {A}",
                [x], lambda a: np.tan(np.sqrt(np.abs(np.tanh((a + a).astype(np.float64))))).astype(np.float32), ulps=8)  # fmt: skip
    yield _case("mixed:calls", "%0 = func.call @s(%a) : ({A}) -> {A}\n  %1 = func.call @t(%0) : ({A}) -> {A}\n  %r = arith.addf %0, %1 : {A}", [x], lambda a: (a * a) + np.maximum(a * a, 0),
                before="func.func private @s(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {\n  %0 = stablehlo.multiply %x, %x : tensor<3x4xf32>\n  return %0 : tensor<3x4xf32>\n}\nfunc.func private @t(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {\n  %z = arith.constant dense<0.0> : tensor<3x4xf32>\n  %0 = tosa.maximum %x, %z : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>\n  return %0 : tensor<3x4xf32>\n}")  # fmt: skip
    torch = "%t = torch_c.from_builtin_tensor %a : {A} -> !torch.vtensor<[3,4],f32>\n  %u = torch.aten.relu %t : !torch.vtensor<[3,4],f32> -> !torch.vtensor<[3,4],f32>\n  %v = torch_c.to_builtin_tensor %u : !torch.vtensor<[3,4],f32> -> {A}\n  "
    yield _case("mixed:torch-stablehlo", torch + "%r = stablehlo.add %v, %a : {A}", [x], lambda a: np.maximum(a, 0) + a)
    yield _case(
        "mixed:unsigned",
        "%0 = stablehlo.convert %a : ({A}) -> tensor<3x4xui8>\n  %1 = stablehlo.add %0, %0 : tensor<3x4xui8>\n  %r = stablehlo.convert %1 : (tensor<3x4xui8>) -> {R}",
        [np.array([[100, 200, 0, 255]] * 3, np.int32)],
        lambda a: (a * 2 % 256).astype(np.float32),
    )


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_arith, _math, _complex, _tensor, _control, _mixed):
        yield from section()


def main() -> None:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [case for case in cases() if pattern.search(case.name)]
    found = failures(chosen, lambda name, problem: print(f"{name}: {problem[:900]}", flush=True))
    print(f"{len(chosen) - len(found)} of {len(chosen)} pass")


if __name__ == "__main__":
    main()
