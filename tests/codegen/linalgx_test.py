"""linalgx ops compiled and run, with numpy as oracle: every op with dynamic extents, swept over odd sizes and none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage.input import linalgx
from mlirage.mlir import arith, func, ir, new_context, tensor

LENGTHS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 65, 100, 257)
Array = np.ndarray[Any, Any]


def build(functions: dict[str, tuple[Sequence[str], Callable[..., Sequence[ir.Value]]]]) -> Any:
    """Compiles functions given as argument types and Python bodies, and loads the module."""
    context = new_context()
    with context, ir.Location.unknown():
        module = ir.Module.create()
        for name, (types, body) in functions.items():
            with ir.InsertionPoint(module.body):
                function = func.FuncOp(name, ([ir.Type.parse(t) for t in types], []))
            block = function.add_entry_block()
            with ir.InsertionPoint(block):
                results = list(body(*block.arguments))
                func.return_(results)
            kind = ir.FunctionType.get([a.type for a in block.arguments], [r.type for r in results])
            function.operation.attributes["function_type"] = ir.TypeAttr.get(kind)
        module.operation.verify()
        text = str(module)
    return mlirage.load(mlirage.compile(text), threads=1)


def less(a: ir.Value, b: ir.Value, *_: ir.Value) -> ir.Value:
    return arith.cmpf(arith.CmpFPredicate.OLT, a, b)


def greater(a: ir.Value, b: ir.Value) -> ir.Value:
    return arith.cmpf(arith.CmpFPredicate.OGT, a, b)


def add(a: ir.Value, b: ir.Value) -> ir.Value:
    return arith.addf(a, b)


def topk(x: ir.Value, k: ir.Value, dim: int) -> tuple[ir.Value, ir.Value]:
    other = tensor.dim(x, linalgx.index(1 - dim))
    extents = [other, k] if dim == 1 else [k, other]
    outs = tensor.empty(extents, ir.F32Type.get()), tensor.empty(extents, ir.IntegerType.get_signless(64))
    return linalgx.topk(x, dim, *outs, greater)


@pytest.fixture(scope="module")
def ops() -> Any:
    matrix, vector, ints = "tensor<?x?xf32>", "tensor<?xf32>", "tensor<?x?xi64>"
    functions: dict[str, Any] = {
        "sort0": ((matrix, ints), lambda x, i: linalgx.sort([x, i], 0, less)),
        "sort1": ((matrix, ints), lambda x, i: linalgx.sort([x, i], 1, less)),
        "topk0": ((matrix, "index"), lambda x, k: topk(x, k, 0)),
        "topk1": ((matrix, "index"), lambda x, k: topk(x, k, 1)),
        "scatter": (
            (matrix, "tensor<?x2xi32>", "tensor<?x?x?xf32>"),
            lambda x, i, u: linalgx.scatter([x], i, [u], [0, 1], add),
        ),
        "compact": (("tensor<?xi1>", "tensor<?xi64>"), lambda m, p: [linalgx.compact(m, p)]),
    }
    for dim in (0, 1):
        for exclusive in (False, True):
            for reverse in (False, True):
                functions[f"scan{dim}{int(exclusive)}{int(reverse)}"] = (
                    (matrix, vector),
                    lambda x, t, d=dim, e=exclusive, r=reverse: linalgx.scan(x, t, d, add, exclusive=e, reverse=r),
                )
    return build(functions)


@pytest.mark.parametrize("dim", [0, 1])
def test_sort_is_stable(ops: Any, dim: int) -> None:
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        shape = (n, 3) if dim == 0 else (3, n)
        x = rng.integers(0, max(n // 3, 1), shape).astype(np.float32)  # many equal keys
        positions = np.ascontiguousarray(np.broadcast_to(np.arange(n).reshape((-1, 1) if dim == 0 else (1, -1)), shape))
        values, order = ops[f"sort{dim}"](x, positions)
        expected = np.argsort(x, axis=dim, kind="stable")
        np.testing.assert_array_equal(order, expected)
        np.testing.assert_array_equal(values, np.take_along_axis(x, expected, dim))


@pytest.mark.parametrize("dim", [0, 1])
def test_topk_takes_the_first_of_equals(ops: Any, dim: int) -> None:
    rng = np.random.default_rng(1)
    for n in LENGTHS:
        for k in sorted({0, min(n, 1), min(n, 5), n}):
            shape = (n, 3) if dim == 0 else (3, n)
            x = rng.integers(0, max(n // 3, 1), shape).astype(np.float32)
            values, positions = ops[f"topk{dim}"](x, k)
            expected = np.take(np.argsort(-x, axis=dim, kind="stable"), range(k), dim)
            np.testing.assert_array_equal(positions, expected)
            np.testing.assert_array_equal(values, np.take_along_axis(x, expected, dim))


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_scan(ops: Any, dim: int, exclusive: int, reverse: int) -> None:
    rng = np.random.default_rng(2)
    for n in (0, 1, 2, 7, 33):
        x = rng.integers(-9, 9, (n, 3) if dim == 0 else (3, n)).astype(np.float32)  # sums are exact
        start = np.array([1, 2, 3], np.float32)
        totals, last = ops[f"scan{dim}{exclusive}{reverse}"](x, start)
        ordered = np.flip(x, dim) if reverse else x
        sums = np.cumsum(np.concatenate([np.expand_dims(start, dim), ordered], dim), dim)
        expected = np.take(sums, range(n) if exclusive else range(1, n + 1), dim)
        np.testing.assert_array_equal(totals, np.flip(expected, dim) if reverse else expected)
        np.testing.assert_array_equal(last, np.take(sums, -1, dim))


def test_scatter_skips_what_is_outside(ops: Any) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 4)).astype(np.float32)
    places = np.array([[0, 0], [3, 1], [4, 3], [-1, 0], [5, 0], [3, 1], [2**31 - 1, -(2**31)]], np.int32)
    updates = rng.standard_normal((len(places), 2, 2)).astype(np.float32)
    expected = x.copy()
    for (row, column), window in zip(places.tolist(), updates, strict=True):
        for i in range(2):
            for j in range(2):
                if 0 <= row + i < 5 and 0 <= column + j < 4:
                    expected[row + i, column + j] += window[i, j]
    (found,) = ops.scatter(x, places, updates)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    (same,) = ops.scatter(x, places[:0], updates[:0])
    np.testing.assert_array_equal(same, x)


def test_compact(ops: Any) -> None:
    rng = np.random.default_rng(4)
    for n in LENGTHS:
        mask = rng.random(n) > 0.5
        (found,) = ops.compact(mask, np.full(n, -1, np.int64))
        (true,) = np.nonzero(mask)
        np.testing.assert_array_equal(found[: len(true)], true)
        np.testing.assert_array_equal(found[len(true) :], -1)
