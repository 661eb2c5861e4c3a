# ruff: noqa: E501 - lines of MLIR
"""Cases for CHLO's operations: numpy or JAX in f64 (the interpreter takes no CHLO).

python -m tests.importers.chlo_cases [PATTERN]
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.importers.stablehlo_elementwise import FLOATS, operation, pairs, random, shaped, values
from tests.importers.stablehlo_oracle import Array, Case, failures, type_of
from tests.importers.stablehlo_structural import sample


def _jax(name: str) -> Callable[..., Array]:
    """A function of jax.scipy.special in f64, rounded once."""

    def compute(*arrays: Array) -> Array:
        import jax

        with jax.enable_x64(True):
            wide = [np.asarray(x, np.float64) for x in arrays]
            return np.asarray(getattr(jax.scipy.special, name)(*wide)).astype(arrays[0].dtype)

    return compute


def _numpy(function: Callable[..., Any]) -> Callable[..., Array]:
    def compute(*arrays: Array) -> Array:
        wide = np.complex128 if arrays[0].dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            result = np.asarray(function(*(x.astype(wide) for x in arrays)))
            if result.dtype.kind in "cf":
                return result.astype(arrays[0].dtype)
            return result

    return compute


_UNARY: dict[str, tuple[Callable[..., Any], float]] = {
    "acos": (_numpy(np.arccos), 4), "acosh": (_numpy(np.arccosh), 4), "asin": (_numpy(np.arcsin), 4),
    "asinh": (_numpy(np.arcsinh), 4), "atan": (_numpy(np.arctan), 4), "atanh": (_numpy(np.arctanh), 4),
    "cosh": (_numpy(np.cosh), 16), "sinh": (_numpy(np.sinh), 16), "tan": (_numpy(np.tan), 4),
    "square": (_numpy(np.square), 1),
    "erf": (_numpy(np.vectorize(math.erf, otypes=[np.float64])), 32),
    "erfc": (_numpy(np.vectorize(math.erfc, otypes=[np.float64])), 64),
    "erf_inv": (_jax("erfinv"), 16), "digamma": (_jax("digamma"), 64), "lgamma": (_jax("gammaln"), 32),
    "bessel_i1e": (_jax("i1e"), 16),
}  # fmt: skip


def _unary() -> Iterator[Case]:
    for name, (function, ulps) in _UNARY.items():
        for element in FLOATS:
            x = values(element)
            wide = x.astype(np.float64)
            if name in ("tan",):
                x = x[~(np.abs(wide) > 1e4) | ~np.isfinite(wide)]
            if name in ("digamma", "lgamma", "erf_inv", "bessel_i1e"):
                x = x[np.isfinite(wide) & (np.abs(wide) < 500) & ((np.abs(wide) > 1e-3) | (wide == 0))]
                # Zeros of these functions: only the distance to them counts there.
            atol = (
                {"f64": 1e-12, "f32": 2e-5, "f16": 5e-3, "bf16": 5e-2}[element]
                if name in ("digamma", "lgamma")
                else 0.0
            )
            text = operation(f"chlo.{name}", [x], [shaped(x, element)])
            yield Case(f"{name}:{element}", text, (x,), expected=function, ulps=ulps, atol=atol)
        x = np.abs(sample("f32", (5, 7))) / 4 + np.float32(0.01)
        if name == "acosh":
            x = x + 1
        text = operation(f"chlo.{name}", [x], [shaped(x, "f32")]).replace("tensor<5x7x", "tensor<?x?x")
        yield Case(f"{name}:dynamic", text, (x,), expected=function, ulps=ulps, atol=1e-5)
    for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "sinh", "square"):
        for element in ("complex<f32>", "complex<f64>"):
            part = np.array([0.0, 0.5, -0.5, 1.5, -2.25, 7.0, -30.0])
            x = (part[:, None] + 1j * part[None, :]).ravel()
            x = x[(x.real != 0) & (x.imag != 0)].astype("c8" if element == "complex<f32>" else "c16")  # no branch cuts
            text = operation(f"chlo.{name}", [x], [shaped(x, element)])
            yield Case(
                f"{name}:{element}",
                text,
                (x,),
                expected=_numpy(
                    getattr(np, {"cosh": "cosh", "sinh": "sinh", "square": "square"}.get(name, "arc" + name[1:]))
                ),
                ulps=16,
            )
    for name, function in {"is_inf": np.isinf, "is_pos_inf": np.isposinf, "is_neg_inf": np.isneginf}.items():
        for element in FLOATS:
            x = values(element)
            yield Case(
                f"{name}:{element}", operation(f"chlo.{name}", [x], [shaped(x, "i1")]), (x,), expected=_numpy(function)
            )
    for element in ("complex<f32>", "complex<f64>", "f32"):
        x = values(element)
        yield Case(f"conj:{element}", operation("chlo.conj", [x], [shaped(x, element)]), (x,), expected=np.conj)


_BROADCASTING: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "add": (np.add, ("f32", "i32", "ui8", "i64")), "subtract": (np.subtract, ("f32", "i32", "ui8")),
    "multiply": (np.multiply, ("f32", "i32", "ui8")), "divide": (np.divide, ("f32", "f64")),
    "maximum": (np.maximum, ("f32", "i32", "ui8")), "minimum": (np.minimum, ("f32", "i32", "ui8")),
    "and": (np.bitwise_and, ("i1", "i32", "ui8")), "or": (np.bitwise_or, ("i1", "i32")),
    "xor": (np.bitwise_xor, ("i1", "i32")), "atan2": (np.arctan2, ("f32", "f64")), "remainder": (np.fmod, ("f32",)),
    "shift_left": (np.left_shift, ("i32",)), "shift_right_arithmetic": (np.right_shift, ("i32",)),
    "next_after": (np.nextafter, ("f32", "f64")),
}  # fmt: skip
_SHAPES = (
    ((3, 4), (3, 4)),
    ((4,), (3, 4)),
    ((3, 1), (1, 4)),
    ((), (3, 4)),
    ((2, 1, 4), (3, 1)),
    ((0, 3), (3,)),
    ((1,), (5,)),
)


def _broadcasting() -> Iterator[Case]:
    for name, (function, elements) in _BROADCASTING.items():
        for element in elements:
            for left, right in _SHAPES if element in ("f32", "i32") else _SHAPES[:3]:
                a, b = sample(element, left, "a"), sample(element, right, "b")
                if name.startswith("shift"):
                    b = b % 32
                out = np.broadcast_shapes(left, right)
                text = operation(f"chlo.broadcast_{name}", [a, b], ["".join(f"{n}x" for n in out) + element])
                label = f"broadcast_{name}:{element}:{list(left)}{list(right)}"
                given = dict(expected=lambda a, b, f=function: _exactly(f, a, b), ulps=2 if element[0] == "f" else 0)
                yield Case(label, text, (a, b), **given)  # type: ignore
                opened = re.sub(r"(?<=[<x])\d+x", "?x", text)
                if "?" in opened:
                    yield Case(f"{label}:dynamic", opened, (a, b), **given)  # type: ignore
    p, a, b = sample("i1", (3, 1)), sample("f32", (4,)), sample("f32", (3, 4), 1)
    for dynamic in (False, True):
        text = operation("chlo.broadcast_select", [p, a, b], ["3x4xf32"])
        text = re.sub(r"(?<=[<x])\d+x", "?x", text) if dynamic else text
        yield Case(f"broadcast_select:{dynamic}", text, (p, a, b), expected=np.where)
        text = operation(
            "chlo.broadcast_compare", [a, b], ["3x4xi1"], "comparison_direction = #chlo<comparison_direction LT>"
        )
        text = re.sub(r"(?<=[<x])\d+x", "?x", text) if dynamic else text
        yield Case(f"broadcast_compare:{dynamic}", text, (a, b), expected=np.less)


def _exactly(function: Callable[..., Any], a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(function(a, b)).astype(a.dtype)


def _others() -> Iterator[Case]:
    rng = random("chlo")
    for element, dtype in (("f32", np.float32), ("f64", np.float64)):
        n = rng.integers(0, 4, 23).astype(dtype)
        x = (rng.random(23) * 5 + 0.5).astype(dtype)
        yield Case(
            f"polygamma:{element}",
            operation("chlo.polygamma", [n, x], [shaped(x, element)]),
            (n, x),
            expected=_polygamma,
            ulps=64,
            atol=1e-5 if element == "f32" else 1e-11,
        )
        q = (rng.random(23) * 5 + 1.5).astype(dtype)
        yield Case(
            f"zeta:{element}",
            operation("chlo.zeta", [q, x], [shaped(x, element)]),
            (q, x),
            expected=_jax("zeta"),
            ulps=64,
        )
    a, b = pairs("f32")
    yield Case(
        "next_after:f32", operation("chlo.next_after", [a, b], [shaped(a, "f32")]), (a, b), expected=np.nextafter
    )
    for element in ("f32", "i32", "ui8", "bf16", "i1"):
        if element == "i1":
            continue
        x = sample(element, (3, 17))
        for k in (1, 5, 17):
            yield Case(
                f"top_k:{element}:{k}",
                operation("chlo.top_k", [x], [f"3x{k}x{element}", f"3x{k}xi32"], f"k = {k} : i64"),
                (x,),
                expected=lambda x, k=k: _top_k(x, k),
            )
    x = np.array([[1, np.nan, -0.0, 0.0, np.inf, -np.inf, np.nan, 3]], np.float32)
    yield Case(
        "top_k:nan",
        operation("chlo.top_k", [x], ["1x8xf32", "1x8xi32"], "k = 8 : i64"),
        (x,),
        expected=lambda x: [x[:, [1, 6, 4, 7, 0, 2, 3, 5]], np.array([[1, 6, 4, 7, 0, 2, 3, 5]], np.int32)],
    )
    y = sample("f32", (4, 6))
    yield Case(
        "constant_like",
        'func.func @main(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {\n  %c = "chlo.constant_like"(%x) <{value = 3.5 : f32}> : (tensor<?x6xf32>) -> tensor<?x6xf32>\n  return %c : tensor<?x6xf32>\n}',
        (y,),
        expected=lambda y: np.full_like(y, 3.5),
    )
    lhs, rhs, sizes = sample("f32", (11, 5)), sample("f32", (3, 5, 7)), np.array([4, 5, 2], np.int32)
    yield Case(
        "ragged_dot",
        f"func.func @main(%a: {type_of(lhs)}, %b: {type_of(rhs)}, %g: {type_of(sizes)}) -> tensor<11x7xf32> {{\n"
        '  %r = "chlo.ragged_dot"(%a, %b, %g) <{precision_config = [#chlo<precision DEFAULT>, #chlo<precision DEFAULT>], ragged_dot_dimension_numbers = #chlo.ragged_dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1], lhs_ragged_dimensions = [0], rhs_group_dimensions = [0]>}> '
        f": ({type_of(lhs)}, {type_of(rhs)}, {type_of(sizes)}) -> tensor<11x7xf32>\n  return %r : tensor<11x7xf32>\n}}",
        (lhs, rhs, sizes),
        expected=_ragged,
        ulps=8,
        atol=1e-5,
    )


def _ragged(lhs: Array, rhs: Array, sizes: Array) -> Array:
    group = np.repeat(np.arange(len(sizes)), sizes)
    return np.stack([row @ rhs[g] for row, g in zip(lhs, group, strict=True)])


def _top_k(x: Array, k: int) -> list[Array]:
    order = np.argsort(-x.astype(np.float64), axis=-1, kind="stable")[:, :k]
    return [np.take_along_axis(x, order, -1), order.astype(np.int32)]


def _polygamma(n: Array, x: Array) -> Array:
    import jax

    with jax.enable_x64(True):
        wide = [np.asarray(v, np.float64) for v in (n, x)]
        higher = np.asarray(jax.scipy.special.polygamma(wide[0].astype(np.int64), wide[1]))
        return np.where(n == 0, np.asarray(jax.scipy.special.digamma(wide[1])), higher).astype(x.dtype)


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_unary, _broadcasting, _others):
        yield from section()


def main() -> None:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [case for case in cases() if pattern.search(case.name)]
    found = failures(chosen, lambda name, problem: print(f"{name}: {problem[:600]}", flush=True))
    print(f"{len(chosen) - len(found)} of {len(chosen)} pass")


if __name__ == "__main__":
    main()
