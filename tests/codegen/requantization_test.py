"""Quotients by constants as two products, and ways through integers that are left out: the same bits as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlirage.codegen.cpu.requantization import two_factors
from tests.codegen.abi import compile_entries

Array = np.ndarray[Any, np.dtype[Any]]


def _rounded_quotients(divisor: float, x: Array) -> Array:
    text = f"""
    func.func @f(%x: tensor<{x.size}xf32>) -> tensor<{x.size}xf32> {{
      %c = arith.constant {float(np.float32(divisor))!r} : f32
      %e = tensor.empty() : tensor<{x.size}xf32>
      %r = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
          iterator_types = ["parallel"]}} ins(%x : tensor<{x.size}xf32>) outs(%e : tensor<{x.size}xf32>) {{
      ^bb0(%v: f32, %o: f32):
        %q = arith.divf %v, %c : f32
        %n = math.roundeven %q : f32
        linalg.yield %n : f32
      }} -> tensor<{x.size}xf32>
      return %r : tensor<{x.size}xf32>
    }}"""
    return compile_entries(text).call("f", x)[0]


def _dividends(divisor: float) -> Array:
    """Numbers whose quotients are halves or nearly, others of all sizes, and the special ones."""
    generator = np.random.default_rng(1)
    scale = np.float32(divisor)
    halves = (np.arange(-600, 600) + np.float32(0.5)) * scale
    near = [np.asarray(halves.view(np.int32) + step).view(np.float32) for step in range(-3, 4)]
    any_bits = generator.integers(0, 1 << 32, 1 << 18, np.uint32).view(np.float32)
    special = np.float32([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 3.4e38, -3.4e38])
    return np.concatenate([*near, any_bits, special, generator.standard_normal(1 << 16).astype(np.float32)])


@pytest.mark.parametrize("divisor", [0.0127136828, 1.0, 0.5, -3.0, 1e-30, 2.0**-99, 7.0, 0.99999994, 1.00000012, 1e-42])
def test_quotients(divisor: float) -> None:
    x = _dividends(divisor)
    with np.errstate(all="ignore"):
        expected = np.rint(x / np.float32(divisor))
    result = _rounded_quotients(divisor, x)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.signbit(result), np.signbit(expected))


def test_every_significand() -> None:
    """Numbers whose quotients are from 2^23 on are not rounded: all bits of them are seen."""
    x = np.arange(1 << 23, 1 << 24, dtype=np.uint32).astype(np.float32)
    for divisor in np.random.default_rng(2).uniform(0.001, 0.02, 4).astype(np.float32):
        np.testing.assert_array_equal(_rounded_quotients(divisor, x), np.rint(x / divisor))


def test_divisors_without_factors() -> None:
    """Most divisors have two factors; those that have none are divided by."""
    divisors = np.random.default_rng(3).uniform(1, 2, 1000).astype(np.float32)
    without = [float(d) for d in divisors if two_factors(float(d)) is None]
    assert 0 < len(without) < len(divisors) // 20
    x = np.arange(1 << 23, 1 << 24, dtype=np.uint32).astype(np.float32)
    np.testing.assert_array_equal(_rounded_quotients(without[0], x), np.rint(x / np.float32(without[0])))
    assert [two_factors(d) for d in (0.0, float("inf"), float("nan"), 2.0**-120)] == [None] * 4
    assert two_factors(-0.25) == (-4.0, 0.0)


def _round_trip(body: str, x: Array) -> tuple[Array, bool]:
    text = f"""
    func.func @f(%x: tensor<{x.size}xf32>) -> tensor<{x.size}xf32> {{
      %zero = arith.constant 0.0 : f32
      %low = arith.constant -128.0 : f32
      %high = arith.constant 127.0 : f32
      %most = arith.constant 255.0 : f32
      %center = arith.constant 131.0 : f32
      %c = arith.constant 131 : i32
      %e = tensor.empty() : tensor<{x.size}xf32>
      %r = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
          iterator_types = ["parallel"]}} ins(%x : tensor<{x.size}xf32>) outs(%e : tensor<{x.size}xf32>) {{
      ^bb0(%v: f32, %o: f32):
        %n = math.roundeven %v : f32
        {body}
      }} -> tensor<{x.size}xf32>
      return %r : tensor<{x.size}xf32>
    }}"""
    library = compile_entries(text)
    (files,) = library.files.values()
    return library.call("f", x)[0], "sitofp" in files["optimized.ll"] or "uitofp" in files["optimized.ll"]


_CLAMPED = """
        %g = arith.cmpf ogt, %n, {low} : f32
        %m = arith.select %g, %n, {low} : f32
        %l = arith.cmpf olt, %m, {high} : f32
        %k = arith.select %l, %m, {high} : f32
        %i = arith.fptosi %k : f32 to i32
        %b = arith.trunci %i : i32 to i8"""


@pytest.mark.parametrize(
    ("low", "high", "rest", "remains"),
    [
        (
            "%zero",
            "%most",
            "%w = arith.extui %b : i8 to i32\n%d = arith.subi %w, %c : i32\n%f = arith.sitofp %d",
            False,
        ),
        ("%low", "%high", "%d = arith.extsi %b : i8 to i32\n%f = arith.sitofp %d", False),
        ("%zero", "%most", "%d = arith.extsi %b : i8 to i32\n%f = arith.sitofp %d", True),
        ("%low", "%high", "%d = arith.extui %b : i8 to i32\n%f = arith.sitofp %d", True),
    ],
)
def test_ways_through_integers(low: str, high: str, rest: str, remains: bool) -> None:
    x = np.float32(
        [0, -0.0, 0.2, -0.2, 0.5, 1.5, 254.5, 255, 256, 1e30, -1e30, -3, -128.4, 127.5, np.inf, -np.inf, np.nan]
    )
    x = np.concatenate([x, np.random.default_rng(0).uniform(-300, 300, 200).astype(np.float32)])
    result, converts = _round_trip(
        _CLAMPED.format(low=low, high=high) + rest + " : i32 to f32\nlinalg.yield %f : f32", x
    )
    bounds = {"%zero": 0, "%most": 255, "%low": -128, "%high": 127}
    numbers = np.nan_to_num(np.clip(np.rint(x), bounds[low], bounds[high]), nan=bounds[low]).astype(np.int32)
    numbers = numbers.astype(np.uint8 if "extui" in rest else np.int8).astype(np.float32) - (
        131 if "subi" in rest else 0
    )
    np.testing.assert_array_equal(result, numbers)
    assert not np.signbit(result[numbers == 0]).any()
    assert converts == remains
