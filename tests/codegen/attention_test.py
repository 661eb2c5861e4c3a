"""linalgx.attention compiled and run, with the formula in float64 as oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mlirage
from mlirage.input import linalgx
from mlirage.mlir import arith, func, ir, new_context, tensor

Array = np.ndarray[Any, Any]
DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64, "i1": np.bool_}
TOLERANCES = {"f16": 2e-3, "bf16": 1.5e-2, "f32": 4e-6, "f64": 1e-13}
# loops: b(atch), h(ead), m (row), k(ey), d(epth), c(olumn)
LOOPS = "bhmkdc"


def build(
    types: Sequence[str],
    places: Sequence[str],
    *,
    scale: float = 0.25,
    masked_rows: str = "nan",
    causal: bool = False,
    cap: float = 0.0,
    target: str | None = None,
) -> Any:
    """A module with one attention of tensors `types` (the last one is the result) read along the loops `places`."""
    loops = "".join(dict.fromkeys("".join(places)))
    context = new_context()
    with context, ir.Location.unknown():
        maps = [ir.AffineMap.get(len(loops), 0, [ir.AffineDimExpr.get(loops.index(x)) for x in p]) for p in places]
        kind = ir.Type.parse("f64" if types[0].endswith("f64>") else "f32")
        extra = len(types) - 4

        def score(s: ir.Value, *others: ir.Value) -> ir.Value:
            s = arith.mulf(s, arith.constant(kind, scale))
            if cap:
                limit = arith.constant(kind, cap)
                from mlirage.mlir import math

                s = arith.mulf(math.tanh(arith.divf(s, limit)), limit)
            lowest = arith.constant(kind, float("-inf"))
            for other in others[:extra]:
                if isinstance(other.type, ir.IntegerType):
                    s = arith.select(other, s, lowest)
                else:
                    s = arith.addf(s, other if other.type == kind else arith.extf(kind, other))
            if causal:
                row, key = (others[extra + loops.index(x)] for x in "mk")
                s = arith.select(arith.cmpi(arith.CmpIPredicate.ule, key, row), s, lowest)
            return s

        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            main = func.FuncOp("main", ([ir.Type.parse(t) for t in types[:-1]], [ir.Type.parse(types[-1])]))
        with ir.InsertionPoint(main.add_entry_block()):
            arguments = list(main.entry_block.arguments)
            result = ir.RankedTensorType(ir.Type.parse(types[-1]))
            sizes: list[Any] = []
            for dim, loop in enumerate(places[-1]):
                source = next(n for n, p in enumerate(places) if loop in p)
                size = tensor.dim(arguments[source], linalgx.index(places[source].index(loop)))
                sizes.append(size if result.is_dynamic_dim(dim) else result.get_dim_size(dim))
            out = tensor.empty(sizes, result.element_type)
            func.return_(
                [linalgx.attention(*arguments[:3], arguments[3:], out, maps, kind, masked_rows, score)]  # pyright: ignore
            )
        module.operation.verify()
        options = {} if target is None else {"target": target}
        return mlirage.load(mlirage.compile(str(module), **options), threads=2)


def oracle(
    arrays: Sequence[Array],
    places: Sequence[str],
    *,
    scale: float = 0.25,
    masked_rows: str = "nan",
    causal: bool = False,
    cap: float = 0.0,
) -> Array:
    """The plain formula."""
    query, key, value = (a.astype(np.float64) for a in arrays[:3])
    scores = np.einsum(f"{places[0]},{places[1]}->bhmk", query, key) * scale
    if cap:
        scores = cap * np.tanh(scores / cap)
    for array, place in zip(arrays[3:], places[3:-1], strict=True):
        wide = np.einsum(f"{place}->{''.join(x for x in 'bhmk' if x in place)}", array.astype(np.float64))
        for axis, loop in enumerate("bhmk"):
            wide = wide if loop in place else np.expand_dims(wide, axis)
        scores = np.where(wide != 0, scores, -np.inf) if array.dtype == np.bool_ else scores + wide
    if causal:
        scores = np.where(np.arange(scores.shape[3]) <= np.arange(scores.shape[2])[:, None], scores, -np.inf)
    if not scores.shape[3]:
        return np.einsum(f"bhmk,{places[2]}->{places[-1]}", np.zeros_like(scores), value)
    with np.errstate(invalid="ignore", divide="ignore"):
        powers = np.exp(scores - np.max(scores, -1, keepdims=True, initial=-np.inf))
        weights = powers / powers.sum(-1, keepdims=True)
    if masked_rows == "zero":
        weights = np.where(np.all(scores == -np.inf, -1, keepdims=True), 0.0, weights)
    if masked_rows == "zero_nan":
        weights = np.where(np.isnan(weights), 0.0, weights)
    return np.einsum(f"bhmk,{places[2]}->{places[-1]}", weights, value)


def run(
    sizes: dict[str, int], places: Sequence[str], kinds: Sequence[str], dynamic: str = "", seed: int = 0, **options: Any
) -> None:
    """Compiles, runs and compares."""
    types = [
        f"tensor<{''.join(('?' if x in dynamic else str(sizes[x])) + 'x' for x in p)}{k}>"
        for p, k in zip(places, kinds, strict=True)
    ]
    random = np.random.default_rng(seed)
    arrays = [
        random.random([sizes[x] for x in p]) < 0.7
        if k == "i1"
        else random.standard_normal([sizes[x] for x in p]).astype(DTYPES[k])
        for p, k in zip(places[:-1], kinds[:-1], strict=True)
    ]
    module = build(types, places, **options)
    got = np.asarray(module.main(*arrays)[0]).astype(np.float64)
    options.pop("target", None)
    np.testing.assert_allclose(got, oracle(arrays, places, **options), rtol=0, atol=TOLERANCES[kinds[0]])


PLAIN = ("bhmd", "bhkd", "bhkc", "bhmc")
MASKED = ("bhmd", "bhkd", "bhkc", "mk", "bhmc")
SIZES = (
    (1, 1, 1, 1, 1, 1),
    (2, 3, 5, 7, 16, 40),
    (1, 2, 33, 130, 24, 65),
    (1, 2, 64, 64, 64, 64),
    (3, 1, 1, 300, 8, 32),
    (1, 2, 41, 1100, 19, 33),
    (1, 1, 300, 31, 64, 16),
)


@pytest.mark.parametrize("extents", SIZES)
def test_sizes(extents: Sequence[int]) -> None:
    run(dict(zip(LOOPS, extents, strict=True)), PLAIN, ["f32"] * 4)


@pytest.mark.parametrize("extents", [*SIZES[1:3], (0, 2, 3, 4, 8, 8), (1, 0, 3, 4, 8, 8), (1, 2, 0, 4, 8, 8),
                                     (1, 2, 3, 0, 8, 8), (1, 2, 513, 513, 8, 8)])  # fmt: skip
def test_dynamic_sizes(extents: Sequence[int]) -> None:
    run(dict(zip(LOOPS, extents, strict=True)), PLAIN, ["f32"] * 4, dynamic="bhmk")


@pytest.mark.parametrize("kind", ["f16", "bf16", "f64"])
@pytest.mark.parametrize("mask", ["", "f32", "i1"])
def test_element_types(kind: str, mask: str) -> None:
    sizes = dict(zip(LOOPS, (2, 2, 19, 37, 20, 24), strict=True))
    if not mask:
        run(sizes, PLAIN, [kind] * 4)
    else:
        run(sizes, MASKED, [kind, kind, kind, "f64" if mask == kind == "f64" else mask, kind], dynamic="mk",
            masked_rows="zero")  # fmt: skip


@pytest.mark.parametrize("places", [("mbhd", "bkhd", "kbhc", "bmhc"), ("bmhd", "bhdk", "bhck", "bhcm"),
                                    ("bhmd", "bkd", "bkc", "bhmc")])  # fmt: skip
@pytest.mark.parametrize("dynamic", ["", "bmk"])
def test_layouts(places: Sequence[str], dynamic: str) -> None:
    """Heads inside rows, transposed keys and values, keys that all heads share."""
    run(dict(zip(LOOPS, (2, 3, 21, 45, 18, 34), strict=True)), places, ["f32"] * 4, dynamic)


@pytest.mark.parametrize("keys", [40, 700])
@pytest.mark.parametrize("masked_rows", ["nan", "zero", "zero_nan"])
@pytest.mark.parametrize("dynamic", ["", "mk"])
def test_masks(keys: int, masked_rows: str, dynamic: str) -> None:
    sizes = dict(zip(LOOPS, (2, 2, 7, keys, 8, 8), strict=True))
    places = ("bhmd", "bhkd", "bhkc", "bmk", "bhmc")
    types = [f"tensor<{''.join(('?' if x in dynamic else str(sizes[x])) + 'x' for x in p)}f32>" for p in places]
    types[3] = types[3].replace("f32", "i1")
    random = np.random.default_rng(0)
    query, key, value = (random.standard_normal([sizes[x] for x in p]).astype(np.float32) for p in places[:3])
    mask = random.random((2, 7, keys)) < 0.5
    mask[0, 2], mask[1, 5] = False, False
    mask[:, 0, : keys - 3] = False  # whole blocks of keys come first in which nothing is seen
    module = build(types, places, masked_rows=masked_rows)
    got = np.asarray(module.main(query, key, value, mask)[0])
    np.testing.assert_allclose(got, oracle([query, key, value, mask], places, masked_rows=masked_rows), atol=4e-6)
    query[0, 1, 3, 2], key[1, 0, 4, 1], value[0, 0, 1, 1] = np.nan, np.inf, np.nan
    got = np.asarray(module.main(query, key, value, mask)[0])
    with np.errstate(invalid="ignore"):
        want = oracle([query, key, value, mask], places, masked_rows=masked_rows)
    np.testing.assert_allclose(got, want, atol=4e-6)


@pytest.mark.parametrize("keys", [33, 600])
def test_causal_and_capped(keys: int) -> None:
    sizes = dict(zip(LOOPS, (1, 2, 35, keys, 16, 16), strict=True))
    run(sizes, PLAIN, ["f32"] * 4, causal=True)
    run(sizes, PLAIN, ["f32"] * 4, dynamic="mk", causal=True, cap=3.0)


@pytest.mark.parametrize("target", ["x86_64-unknown-linux-gnu:x86-64-v3", "x86_64-unknown-linux-gnu"])
def test_other_registers(target: str) -> None:
    run(dict(zip(LOOPS, (1, 2, 19, 45, 18, 34), strict=True)), MASKED, ["f32"] * 5, dynamic="mk", target=target)


def test_depth_only_a_run_knows() -> None:
    """Plain loops: nothing bounds what would be staged."""
    run(dict(zip(LOOPS, (1, 2, 3, 5, 6, 7), strict=True)), PLAIN, ["f32"] * 4, dynamic="bhmkdc")


def test_large_scores_do_not_overflow() -> None:
    module = build(["tensor<1x1x2x4xf32>", "tensor<1x1x600x4xf32>", "tensor<1x1x600x4xf32>", "tensor<1x1x2x4xf32>"],
                   PLAIN, scale=1.0)  # fmt: skip
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype(np.float32) * 60 for s in ((1, 1, 2, 4), (1, 1, 600, 4))]
    arrays.append(random.standard_normal((1, 1, 600, 4)).astype(np.float32))
    np.testing.assert_allclose(np.asarray(module.main(*arrays)[0]), oracle(arrays, PLAIN, scale=1.0), atol=2e-3)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_weights_to_the_last_places(kind: str) -> None:
    """The values are a unit matrix: results are the weights, which shrink until they are 0."""
    keys = 160
    scores = -np.linspace(0, 100 if kind == "f32" else 720, keys).astype(DTYPES[kind])
    arrays = [
        np.ones((1, 1, 1, 1), scores.dtype),
        scores.reshape(1, 1, keys, 1),
        np.eye(keys, dtype=scores.dtype)[None, None],
    ]
    types = [f"tensor<{'x'.join(map(str, a.shape))}x{kind}>" for a in arrays] + [f"tensor<1x1x1x{keys}x{kind}>"]
    got = np.asarray(build(types, PLAIN, scale=1.0).main(*arrays)[0]).astype(np.float64).ravel()
    want = oracle(arrays, PLAIN, scale=1.0).ravel()
    normal = scores > (-86 if kind == "f32" else -700)
    # log2 e of an exponential is rounded to the type, which counts as much as a rounding of the scores would
    bound = 3e-7 - 1.4e-8 * scores if kind == "f32" else 1e-15 - 1.5e-17 * scores
    assert np.all((np.abs(got - want) <= bound * want)[normal])
    np.testing.assert_allclose(got[~normal], want[~normal], rtol=0, atol=1e-37)
    assert np.all(got >= 0)


@pytest.mark.parametrize("keys", [20, 600])
def test_rows_masked_by_the_least_number_are_means(keys: int) -> None:
    """Such masks are common: scores are then all the least float, and none of the steps to their weights overflows."""
    places = ("bhmd", "bhkd", "bhkc", "mk", "bhmc")
    shapes = ((1, 2, 3, 8), (1, 2, keys, 8), (1, 2, keys, 8), (3, keys), (1, 2, 3, 8))
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype(np.float32) for s in shapes[:3]]
    mask = np.zeros(shapes[3], np.float32)
    mask[1], mask[2, keys // 2 :] = (np.finfo(np.float32).min,) * 2
    types = [f"tensor<{'x'.join(map(str, s))}xf32>" for s in shapes]
    got = np.asarray(build(types, places).main(*arrays, mask)[0])
    np.testing.assert_allclose(got[:, :, 1], arrays[2].mean(2), atol=1e-6)
    want = oracle([*arrays, mask], places)
    np.testing.assert_allclose(got[:, :, [0, 2]], want[:, :, [0, 2]], atol=4e-6)
