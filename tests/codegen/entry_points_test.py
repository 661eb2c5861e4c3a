"""Entry points from tensor function to ELF, called through the ABI and compared with numpy."""

from __future__ import annotations

import numpy as np

from tests.codegen.abi import compile_entries

_SCALED = """
#m = affine_map<(a, b) -> (a, b)>
func.func @scaled(%a: tensor<?x4xf32>, %b: tensor<?x4xi1>, %s: f32, %d0: index, %d1: index, %r0: index)
    -> tensor<?x4xf32> {
  %e = tensor.empty(%r0) : tensor<?x4xf32>
  %r = linalg.generic {indexing_maps = [#m, #m, #m], iterator_types = ["parallel", "parallel"]}
      ins(%a, %b : tensor<?x4xf32>, tensor<?x4xi1>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%i: f32, %j: i1, %o: f32):
    %q = arith.mulf %i, %s : f32
    %w = arith.select %j, %q, %i : f32
    linalg.yield %w : f32
  } -> tensor<?x4xf32>
  return %r : tensor<?x4xf32>
}
"""


def test_dynamic_shape_scalar_and_bool() -> None:
    library = compile_entries(_SCALED)
    for rows in (0, 1, 7, 1000):
        a = np.random.default_rng(rows).standard_normal((rows, 4), np.float32)
        (result,) = library.call("scaled", a, a > 0.5, 2.5)
        np.testing.assert_array_equal(result, np.where(a > 0.5, a * np.float32(2.5), a))
