"""Programs compute the same numbers with channels first and last."""

from __future__ import annotations

import numpy as np
import pytest

from mlirage.global_optimization.channels_last import channels_last
from mlirage.mlir import ir, new_context
from mlirage.passes import run_passes
from mlirage.program import Array, Program
from tests.codegen.abi import compile_entries

_ELEMENTWISE = "affine_map<(n, c, h, w) -> (n, c, h, w)>"
_PARALLEL = 'iterator_types = ["parallel", "parallel", "parallel", "parallel"]'


def _both(text: str, *arguments: Array) -> tuple[list[Array], list[Array], str]:
    """Results before and after the pass, and the text after it."""
    with new_context():
        module = ir.Module.parse(text)
    program = Program(module)
    run_passes(program, [channels_last, "canonicalize", "cse"])
    module.operation.verify()
    after = module.operation.get_asm(assume_verified=True, print_generic_op_form=True, use_local_scope=True)
    functions = after[after.index('"func.func"') : after.rindex("})")]
    return compile_entries(text).call("f", *arguments), compile_entries(functions).call("f", *arguments), str(module)


def _pad(result: str, source: str, before: str, after: str, amounts: str = "[0, 0, 1, 1]") -> str:
    return f"""
    {result} = tensor.pad {source} low{amounts} high{amounts} {{
    ^bb0(%i: index, %j: index, %k: index, %l: index):
      tensor.yield %z : f32
    }} : tensor<{before}xf32> to tensor<{after}xf32>"""


def _filled(result: str, shape: str) -> str:
    return f"""
    {result}_e = tensor.empty() : tensor<{shape}xf32>
    {result} = linalg.fill ins(%z : f32) outs({result}_e : tensor<{shape}xf32>) -> tensor<{shape}xf32>"""


def _add(result: str, a: str, b: str, shape: str, b_map: str = _ELEMENTWISE, b_shape: str = "") -> str:
    return f"""
    {result}_e = tensor.empty() : tensor<{shape}xf32>
    {result} = linalg.generic {{indexing_maps = [{_ELEMENTWISE}, {b_map}, {_ELEMENTWISE}], {_PARALLEL}}}
        ins({a}, {b} : tensor<{shape}xf32>, tensor<{b_shape or shape}xf32>) outs({result}_e : tensor<{shape}xf32>) {{
    ^bb0(%p: f32, %q: f32, %o: f32):
      %s = arith.addf %p, %q : f32
      linalg.yield %s : f32
    }} -> tensor<{shape}xf32>"""


def _random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def test_residual_with_bias_and_strided_convolution() -> None:
    text = f"""
    func.func @f(%x: tensor<2x3x7x9xf32>, %w: tensor<5x3x3x3xf32>, %b: tensor<5xf32>, %v: tensor<5x3x1x1xf32>)
        -> tensor<2x5x4x5xf32> {{
      %z = arith.constant 0.0 : f32
      {_pad("%padded", "%x", "2x3x7x9", "2x3x9x11")}
      {_filled("%f", "2x5x4x5")}
      %c = linalg.conv_2d_nchw_fchw {{strides = dense<2> : tensor<2xi64>}}
          ins(%padded, %w : tensor<2x3x9x11xf32>, tensor<5x3x3x3xf32>) outs(%f : tensor<2x5x4x5xf32>)
          -> tensor<2x5x4x5xf32>
      %d = linalg.conv_2d_nchw_fchw {{strides = dense<2> : tensor<2xi64>}}
          ins(%x, %v : tensor<2x3x7x9xf32>, tensor<5x3x1x1xf32>) outs(%f : tensor<2x5x4x5xf32>) -> tensor<2x5x4x5xf32>
      {_add("%g", "%c", "%b", "2x5x4x5", "affine_map<(n, c, h, w) -> (c)>", "5")}
      {_add("%r", "%g", "%d", "2x5x4x5")}
      return %r : tensor<2x5x4x5xf32>
    }}"""
    before, after, _ = _both(text, _random(2, 3, 7, 9), _random(5, 3, 3, 3), _random(5), _random(5, 3, 1, 1))
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit", [False, True])
def test_flatten_and_second_reader(unit: bool) -> None:
    """A flatten of wide maps needs the old order; one of single elements does not."""
    h = 1 if unit else 3
    text = f"""
    func.func @f(%x: tensor<2x3x{h + 2}x{h + 2}xf32>, %w: tensor<4x3x3x3xf32>)
        -> (tensor<2x{4 * h * h}xf32>, tensor<2x4x{h}x{h}xf32>) {{
      %z = arith.constant 0.0 : f32
      {_filled("%f", f"2x4x{h}x{h}")}
      %c = linalg.conv_2d_nchw_fchw ins(%x, %w : tensor<2x3x{h + 2}x{h + 2}xf32>, tensor<4x3x3x3xf32>)
          outs(%f : tensor<2x4x{h}x{h}xf32>) -> tensor<2x4x{h}x{h}xf32>
      {_add("%s", "%c", "%c", f"2x4x{h}x{h}")}
      %r = tensor.collapse_shape %s [[0], [1, 2, 3]] : tensor<2x4x{h}x{h}xf32> into tensor<2x{4 * h * h}xf32>
      return %r, %s : tensor<2x{4 * h * h}xf32>, tensor<2x4x{h}x{h}xf32>
    }}"""
    before, after, _ = _both(text, _random(2, 3, h + 2, h + 2), _random(4, 3, 3, 3))
    for a, b in zip(after, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_concat_slice_depthwise_and_pool() -> None:
    text = f"""
    func.func @f(%x: tensor<1x4x6x6xf32>, %w: tensor<4x3x3xf32>) -> tensor<1x6x4x4xf32> {{
      %z = arith.constant 0.0 : f32
      {_filled("%f", "1x4x4x4")}
      %c = linalg.depthwise_conv_2d_nchw_chw ins(%x, %w : tensor<1x4x6x6xf32>, tensor<4x3x3xf32>)
          outs(%f : tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32>
      %win = tensor.empty() : tensor<3x3xf32>
      %p = linalg.pooling_nchw_sum ins(%x, %win : tensor<1x4x6x6xf32>, tensor<3x3xf32>)
          outs(%f : tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32>
      %s = tensor.extract_slice %p[0, 1, 0, 0] [1, 2, 4, 4] [1, 1, 1, 1] : tensor<1x4x4x4xf32> to tensor<1x2x4x4xf32>
      %r = tensor.concat dim(1) %c, %s : (tensor<1x4x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x6x4x4xf32>
      return %r : tensor<1x6x4x4xf32>
    }}"""
    before, after, shown = _both(text, _random(1, 4, 6, 6), _random(4, 3, 3))
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-5)
    assert "tensor.concat dim(3)" in shown


def test_grouped_convolution_and_reduction() -> None:
    text = """
    func.func @f(%x: tensor<2x6x5x5xf32>, %w: tensor<3x4x2x3x3xf32>) -> tensor<2x12xf32> {
      %z = arith.constant 0.0 : f32
      %g = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 3, 2, 5, 5]
          : tensor<2x6x5x5xf32> into tensor<2x3x2x5x5xf32>
      %e = tensor.empty() : tensor<2x3x4x3x3xf32>
      %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x3x4x3x3xf32>) -> tensor<2x3x4x3x3xf32>
      %c = linalg.conv_2d_ngchw_gfchw ins(%g, %w : tensor<2x3x2x5x5xf32>, tensor<3x4x2x3x3xf32>)
          outs(%f : tensor<2x3x4x3x3xf32>) -> tensor<2x3x4x3x3xf32>
      %r = tensor.collapse_shape %c [[0], [1, 2], [3], [4]] : tensor<2x3x4x3x3xf32> into tensor<2x12x3x3xf32>
      %e2 = tensor.empty() : tensor<2x12xf32>
      %f2 = linalg.fill ins(%z : f32) outs(%e2 : tensor<2x12xf32>) -> tensor<2x12xf32>
      %s = linalg.generic {indexing_maps = [affine_map<(n, c, h, w) -> (n, c, h, w)>,
            affine_map<(n, c, h, w) -> (n, c)>],
          iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
          ins(%r : tensor<2x12x3x3xf32>) outs(%f2 : tensor<2x12xf32>) {
      ^bb0(%a: f32, %o: f32):
        %t = arith.addf %a, %o : f32
        linalg.yield %t : f32
      } -> tensor<2x12xf32>
      return %s : tensor<2x12xf32>
    }"""
    before, after, _ = _both(text, _random(2, 6, 5, 5), _random(3, 4, 2, 3, 3))
    np.testing.assert_allclose(after[0], before[0], rtol=1e-4, atol=1e-4)
