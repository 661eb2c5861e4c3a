"""Sequences and optionals of lengths that only the running program knows, and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import parser

import mlirage
from mlirage.errors import DeviceError, ImportFailure, UsageError

HEAD = '<ir_version: 9, opset_import: ["": 19]>'


def load(text: str, **options: Any) -> Any:
    return mlirage.load(mlirage.compile(parser.parse_model(f"{HEAD} {text}"), jobs=1, **options), device="local-sync")


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
    return [
        np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape) + 10 * i for i, shape in enumerate(shapes)
    ]


def same(got: list[Any], want: list[Any]) -> bool:
    return len(got) == len(want) and all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(got, want, strict=True)
    )


def test_any_number_of_tensors() -> None:
    """A sequence of known rank needs no example; elements have extents of their own."""
    run = load(
        """g (seq(float[a, b]) s, float[c, d] x, int64 i) => (seq(float[a, b]) t, float[e, f] y, int64 n) {
            t = SequenceInsert(s, x, i)
            y = SequenceAt(t, i)
            n = SequenceLength(t)
        }"""
    )
    (x,) = arrays((2, 5))
    for shapes in ([], [(1, 3)], [(2, 2), (0, 4), (3, 1)]):
        for place in range(-len(shapes), len(shapes) + 1):
            want = arrays(*shapes)
            want.insert(place, x)
            t, y, n = run(arrays(*shapes), x, np.array(place))
            assert same(t, want)
            assert np.array_equal(y, want[place])
            assert n == len(want)
    with pytest.raises(DeviceError, match="no such position"):
        run(arrays((1, 1)), x, np.array(5))
    with pytest.raises(UsageError, match=r"float32 with 2 axes expected, got float32 with 1"):
        run(arrays((3,)), x, np.array(0))


def test_erase_and_concatenate() -> None:
    run = load(
        """g (seq(float[a, 3]) s, int64 i) => (float[b, 3] y, float[c, d, 3] z) {
            t = SequenceErase(s, i)
            y = ConcatFromSequence<axis = 0>(t)
            u = SequenceErase(t)
            z = ConcatFromSequence<axis = 0, new_axis = 1>(u)
        }"""
    )
    for place in (0, 1, -1):
        parts = arrays((2, 3), (2, 3), (2, 3), (2, 3))
        y, z = run(parts, np.array(place))
        del parts[place]
        assert np.array_equal(y, np.concatenate(parts))
        assert np.array_equal(z, np.stack(parts[:-1]))


def test_split_at_run_time() -> None:
    run = load("g (float[a, 4] x, int64 n) => (seq(float[b, 4]) s) { s = SplitToSequence<axis = 0>(x, n) }")
    for rows in (0, 1, 5, 6):
        for size in (1, 2, 7):
            (x,) = arrays((rows, 4))
            (got,) = run(x, np.array(size))
            assert same(got, [x[i : i + size] for i in range(0, rows, size)])


def test_example_inputs() -> None:
    text = """g (seq(float[]) s, optional(float[2]) o) => (seq(float[]) t, bool has) {
        x = Constant<value = float[2] {1.0, 2.0}>() t = SequenceInsert(s, x) has = OptionalHasElement(o) }"""
    with pytest.raises(ImportFailure, match="example_inputs"):
        load(text)
    run = load(text, example_inputs=(arrays((3,), (2, 2)), None))
    t, has = run(arrays((3,), (1, 4)), None)
    assert same(t, [*arrays((3,), (1, 4)), np.float32([1, 2])])
    assert not has
    run = load(text, example_keywords={"s": [], "o": np.zeros(2, np.float32)})
    assert run([], np.zeros(2, np.float32))[1]


def test_random_numbers() -> None:
    """Moments, range, and independence of neighbours; the same at every call, others for another seed."""
    run = load(
        """g (float[n] p, float[2, 4] logits) => (float[m] u, float[m] v, float[m] z, bool[n] k, int64[2, 40000] c) {
            u = RandomUniform<shape = [40000], low = -1.0, high = 3.0, seed = 1.0>()
            v = RandomUniform<shape = [40000], low = -1.0, high = 3.0, seed = 2.0>()
            z = RandomNormal<shape = [40000], mean = 2.0, scale = 0.5, seed = 1.0>()
            k = Bernoulli<dtype = 9, seed = 3.0>(p)
            c = Multinomial<dtype = 7, sample_size = 40000, seed = 4.0>(logits)
        }"""
    )
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    p = np.full(40000, 0.3, np.float32)
    logits = np.log(shares).astype(np.float32)
    u, v, z, k, c = run(p, logits)
    assert all(np.array_equal(a, b) for a, b in zip((u, v, z, k, c), run(p, logits), strict=True))
    assert not np.array_equal(u, v)
    assert -1 <= u.min() < -0.99
    assert 2.99 < u.max() < 3
    assert abs(u.mean() - 1) < 0.03
    assert abs(u.var() - 16 / 12) < 0.03
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.02
    assert abs(z.mean() - 2) < 0.01
    assert abs(z.std() - 0.5) < 0.01
    assert abs(((z - 2) / 0.5 > 1).mean() - 0.1587) < 0.01
    assert abs(k.mean() - 0.3) < 0.01
    for row, share in zip(c, shares, strict=True):
        np.testing.assert_allclose(np.bincount(row, minlength=4) / 40000, share, atol=0.012)


def test_dropout_in_training() -> None:
    run = load("g (float[n] x, float r, bool t) => (float[n] y, bool[n] m) { y, m = Dropout<seed = 5>(x, r, t) }")
    x = np.ones(20000, np.float32)
    y, mask = run(x, np.float32(0.25), np.array(True))
    assert abs(mask.mean() - 0.75) < 0.015
    np.testing.assert_allclose(y, np.where(mask, 1 / 0.75, 0), rtol=1e-6)
    y, mask = run(x, np.float32(0.25), np.array(False))
    assert mask.all()
    assert (y == 1).all()
