"""stablehlo.rng: the interval and moments it asks for, other numbers at every call; sizes beyond a bound are held."""

from __future__ import annotations

import numpy as np
import pytest

import mlirage
from tests.importers.stablehlo_oracle import dtype_of


def _program(kind: str, low: str, high: str, distribution: str, shape: str = "99x101") -> str:
    return f"""
func.func @main(%s: tensor<2xi64>) -> tensor<{shape}x{kind}> {{
  %a = stablehlo.constant dense<{low}> : tensor<{kind}>
  %b = stablehlo.constant dense<{high}> : tensor<{kind}>
  %r = stablehlo.rng %a, %b, %s, distribution = {distribution}
    : (tensor<{kind}>, tensor<{kind}>, tensor<2xi64>) -> tensor<{shape}x{kind}>
  return %r : tensor<{shape}x{kind}>
}}"""


@pytest.mark.parametrize("kind", ["f32", "f64", "bf16", "f16"])
def test_floats(kind: str) -> None:
    uniform = mlirage.load(mlirage.compile(_program(kind, "-1.0", "3.0", "UNIFORM")))
    size = np.array([99, 101])
    first, second = (np.asarray(uniform(size)[0]) for _ in range(2))
    assert first.dtype == dtype_of(kind)
    x = first.astype(np.float64)
    assert x.min() >= -1
    assert x.max() < 3
    assert abs(x.mean() - 1) < 0.05
    assert abs(x.std() - 4 / 12**0.5) < 0.03
    assert abs(np.corrcoef(x.ravel()[1:], x.ravel()[:-1])[0, 1]) < 0.04
    assert (first != second).mean() > 0.9
    normal = mlirage.load(mlirage.compile(_program(kind, "-1.0", "3.0", "NORMAL", "?x?")))
    x = np.asarray(normal(size)[0]).astype(np.float64)
    assert x.shape == (99, 101)
    assert abs(x.mean() + 1) < 0.15
    assert abs(x.std() - 3) < 0.1
    assert abs((np.abs(x + 1) < 3).mean() - 0.6827) < 0.02


@pytest.mark.parametrize("kind", ["i8", "ui8", "i32", "ui64"])
def test_integers(kind: str) -> None:
    low = "0" if kind[0] == "u" else "-5"
    run = mlirage.load(mlirage.compile(_program(kind, low, "7", "UNIFORM")))
    values, counts = np.unique(np.asarray(run(np.array([99, 101]))[0]), return_counts=True)
    assert values.tolist() == list(range(int(low), 7))
    assert counts.min() > 0.8 * counts.mean()
    empty = mlirage.load(mlirage.compile(_program(kind, "7", "7", "UNIFORM")))
    assert (np.asarray(empty(np.array([99, 101]))[0]) == 7).all()


def test_random_bits_of_floats() -> None:
    program = """
func.func @main(%s: tensor<2xui64>) -> (tensor<2xui64>, tensor<7x3x{0}>) {{
  %t, %r = stablehlo.rng_bit_generator %s, algorithm = PHILOX : (tensor<2xui64>) -> (tensor<2xui64>, tensor<7x3x{0}>)
  return %t, %r : tensor<2xui64>, tensor<7x3x{0}>
}}"""
    state = np.array([1, 2], np.uint64)
    (s1, floats), (s2, words) = (
        mlirage.load(mlirage.compile(program.format(kind)))(state) for kind in ("f32", "ui32")
    )  # fmt: skip
    np.testing.assert_array_equal(s1, s2)
    np.testing.assert_array_equal(np.asarray(floats).view(np.uint32), words)


@pytest.mark.parametrize(("size", "kept"), [(2, 2), (9, 4), (-3, 0), (0, 0)])
def test_set_dimension_size(size: int, kept: int) -> None:
    run = mlirage.load(
        mlirage.compile("""
func.func @main(%x: tensor<4xf32>, %n: tensor<i32>) -> (tensor<i32>, tensor<f32>) {
  %r = stablehlo.set_dimension_size %x, %n, dim = 0
    : (tensor<4xf32>, tensor<i32>) -> tensor<?xf32, #stablehlo.bounds<4>>
  %s = stablehlo.get_dimension_size %r, dim = 0 : (tensor<?xf32, #stablehlo.bounds<4>>) -> tensor<i32>
  %z = stablehlo.constant dense<0.0> : tensor<f32>
  %t = stablehlo.reduce(%r init: %z) applies stablehlo.add across dimensions = [0]
    : (tensor<?xf32, #stablehlo.bounds<4>>, tensor<f32>) -> tensor<f32>
  return %s, %t : tensor<i32>, tensor<f32>
}""")
    )
    count, total = run(np.array([1, 10, 100, 1000], np.float32), np.int32(size))
    assert (int(count), float(total)) == (kept, [0, 1, 11, 111, 1111][kept])
