"""Sums of products in 16-bit floats are as exact as a sum in f32 that is rounded once."""

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
