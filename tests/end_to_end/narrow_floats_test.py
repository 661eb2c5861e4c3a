"""Sums and products in 16-bit floats are as exact as those in f32 that are rounded once."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mlirage

_MATMUL = """
func.func @main(%a: tensor<?x1000x{t}>, %b: tensor<1000x9x{t}>) -> tensor<?x9x{t}> {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : tensor<?x1000x{t}>
  %zero = arith.constant 0.0 : {t}
  %empty = tensor.empty(%n) : tensor<?x9x{t}>
  %init = linalg.fill ins(%zero : {t}) outs(%empty : tensor<?x9x{t}>) -> tensor<?x9x{t}>
  %0 = linalg.matmul ins(%a, %b : tensor<?x1000x{t}>, tensor<1000x9x{t}>) outs(%init : tensor<?x9x{t}>)
      -> tensor<?x9x{t}>
  return %0 : tensor<?x9x{t}>
}}
"""


@pytest.mark.parametrize(("text", "dtype"), [("bf16", ml_dtypes.bfloat16), ("f16", np.float16)])
def test_long_sums(text: str, dtype: Any) -> None:
    """A thousand products, any number of rows."""
    run = mlirage.load(mlirage.compile(_MATMUL.format(t=text)))
    random = np.random.default_rng(0)
    b = random.random((1000, 9), np.float32).astype(dtype)
    for rows in (0, 1, 7, 17):
        a = random.random((rows, 1000), np.float32).astype(dtype)
        (result,) = run(a, b)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        # half a unit in the last place of the result, and a little for the order of the f32 sum
        np.testing.assert_allclose(result.astype(np.float64), exact, rtol=0.51 * float(ml_dtypes.finfo(dtype).eps))


_SUMS = """
func.func @main(%x: tensor<?x1201x{t}>, %w: tensor<1x40x40x3x{t}>)
    -> (tensor<?x{t}>, tensor<1201x{t}>, tensor<1x3x3x3x{t}>) {{
  %zero = stablehlo.constant dense<0.0> : tensor<{t}>
  %one = stablehlo.constant dense<1.0> : tensor<{t}>
  %0 = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [1]
      : (tensor<?x1201x{t}>, tensor<{t}>) -> tensor<?x{t}>
  %1 = stablehlo.reduce(%x init: %one) applies stablehlo.multiply across dimensions = [0]
      : (tensor<?x1201x{t}>, tensor<{t}>) -> tensor<1201x{t}>
  %2 = "stablehlo.reduce_window"(%w, %zero) <{{
      window_dimensions = array<i64: 1, 20, 20, 1>, window_strides = array<i64: 1, 10, 10, 1>}}> ({{
    ^bb0(%a: tensor<{t}>, %b: tensor<{t}>):
      %s = stablehlo.add %a, %b : tensor<{t}>
      stablehlo.return %s : tensor<{t}>
  }}) : (tensor<1x40x40x3x{t}>, tensor<{t}>) -> tensor<1x3x3x3x{t}>
  return %0, %1, %2 : tensor<?x{t}>, tensor<1201x{t}>, tensor<1x3x3x3x{t}>
}}
"""


@pytest.mark.parametrize(("text", "dtype"), [("bf16", ml_dtypes.bfloat16), ("f16", np.float16)])
def test_reductions(text: str, dtype: Any) -> None:
    """Whole sums, products and windows: JAX's own reductions are no less exact."""
    run = mlirage.load(mlirage.compile(_SUMS.format(t=text)))
    random = np.random.default_rng(0)
    w = random.random((1, 40, 40, 3), np.float32).astype(dtype)
    windows = np.lib.stride_tricks.sliding_window_view(w.astype(np.float64), (20, 20), (1, 2))[:, ::10, ::10]
    for rows in (0, 1, 17):
        x = (0.5 + random.random((rows, 1201), np.float32)).astype(dtype)
        exact = x.astype(np.float64)
        for got, wanted in zip(run(x, w), (exact.sum(1), exact.prod(0), windows.sum((-1, -2))), strict=True):
            np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=0.51 * float(ml_dtypes.finfo(dtype).eps))
