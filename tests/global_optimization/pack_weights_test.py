"""Packed operands hold the same numbers: panel by panel, for matmuls, batches and convolutions."""

from __future__ import annotations

import numpy as np
import pytest

from mlirage.contractions import match_contraction
from mlirage.global_optimization.pack_weights import into_panels, pack_weights
from mlirage.mlir import ir, new_context, walk
from mlirage.options import CompileOptions
from mlirage.passes import run_passes
from mlirage.program import Array, Program, is_splat

_TARGET = "x86_64-unknown-linux-gnu:x86-64-v4"


def _pack(function: str, weights: dict[str, Array]) -> Program:
    globals_ = "".join(
        f"ml_program.global private @{name}(#ml_program.extern : tensor<{shape}xf32>) : tensor<{shape}xf32>\n"
        for name, array in weights.items()
        for shape in ["x".join(map(str, array.shape))]
    )
    with new_context():
        module = ir.Module.parse(globals_ + function)
    program = Program(module, dict(weights), CompileOptions(target=_TARGET))
    run_passes(program, [pack_weights])
    module.operation.verify()
    return program


def _matmul(k: int, n: int, weight: str = "%w = ml_program.global_load_const @w : tensor<{k}x{n}xf32>") -> str:
    return f"""
    func.func @f(%x: tensor<?x{k}xf32>, %init: tensor<?x{n}xf32>) -> tensor<?x{n}xf32> {{
      {weight.format(k=k, n=n)}
      %r = linalg.matmul ins(%x, %w : tensor<?x{k}xf32>, tensor<{k}x{n}xf32>) outs(%init : tensor<?x{n}xf32>)
          -> tensor<?x{n}xf32>
      return %r : tensor<?x{n}xf32>
    }}"""


def _array(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("k", "n", "width"), [(24, 64, 32), (24, 40, 32), (7, 10, 16), (3, 16, 16), (5, 17, 32)])
def test_matmul(k: int, n: int, width: int) -> None:
    w = _array(k, n)
    program = _pack(_matmul(k, n), {"w": w})
    ((name, packed),) = program.constants.items()
    assert name == f"w.panels{width}"
    assert packed.shape == (-(-n // width), k, width)
    columns = packed.transpose(1, 0, 2).reshape(k, -1)
    np.testing.assert_array_equal(columns[:, :n], w)
    assert not columns[:, n:].any()
    (contraction,) = [c for op in walk(program.module.operation) if (c := match_contraction(op))]
    assert contraction.panel == width


def test_transposed_weight_is_packed_without_its_transpose() -> None:
    w = _array(40, 24)
    text = """%t = ml_program.global_load_const @w : tensor<{n}x{k}xf32>
      %e = tensor.empty() : tensor<{k}x{n}xf32>
      %w = linalg.transpose ins(%t : tensor<{n}x{k}xf32>) outs(%e : tensor<{k}x{n}xf32>) permutation = [1, 0]"""
    program = _pack(_matmul(24, 40, text), {"w": w})
    (packed,) = program.constants.values()
    np.testing.assert_array_equal(packed.transpose(1, 0, 2).reshape(24, -1)[:, :40], w.T)
    assert "linalg.transpose" not in str(program.module)


def test_splat_stays_splat() -> None:
    program = _pack(_matmul(24, 40), {"w": np.broadcast_to(np.float32(2), (24, 40))})
    (packed,) = program.constants.values()
    assert is_splat(packed)
    assert packed.shape == (2, 24, 32)


def test_shared_weight_is_packed_once() -> None:
    two = """
    func.func @f(%x: tensor<4x8xf32>, %y: tensor<6x8xf32>, %i: tensor<4x8xf32>, %j: tensor<6x8xf32>)
        -> (tensor<4x8xf32>, tensor<6x8xf32>) {
      %w = ml_program.global_load_const @w : tensor<8x8xf32>
      %r = linalg.matmul ins(%x, %w : tensor<4x8xf32>, tensor<8x8xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
      %s = linalg.matmul ins(%y, %w : tensor<6x8xf32>, tensor<8x8xf32>) outs(%j : tensor<6x8xf32>) -> tensor<6x8xf32>
      return %r, %s : tensor<4x8xf32>, tensor<6x8xf32>
    }"""
    assert len(_pack(two, {"w": _array(8, 8)}).constants) == 1


def test_weight_with_other_readers_stays() -> None:
    text = """
    func.func @f(%x: tensor<4x8xf32>, %i: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<8x8xf32>) {
      %w = ml_program.global_load_const @w : tensor<8x8xf32>
      %r = linalg.matmul ins(%x, %w : tensor<4x8xf32>, tensor<8x8xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
      return %r, %w : tensor<4x8xf32>, tensor<8x8xf32>
    }"""
    assert sorted(_pack(text, {"w": _array(8, 8)}).constants) == ["w", "w.panels16"]


def test_filters_of_a_convolution() -> None:
    text = """
    func.func @f(%x: tensor<1x9x9x5xf32>, %i: tensor<1x7x7x40xf32>) -> tensor<1x7x7x40xf32> {
      %w = ml_program.global_load_const @w : tensor<3x3x5x40xf32>
      %r = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x9x9x5xf32>, tensor<3x3x5x40xf32>)
          outs(%i : tensor<1x7x7x40xf32>) -> tensor<1x7x7x40xf32>
      return %r : tensor<1x7x7x40xf32>
    }"""
    w = _array(3, 3, 5, 40)
    program = _pack(text, {"w": w})
    (packed,) = program.constants.values()
    assert packed.shape == (2, 3, 3, 5, 32)
    np.testing.assert_array_equal(packed.transpose(1, 2, 3, 0, 4).reshape(3, 3, 5, 64)[..., :40], w)


def test_batch_of_weights() -> None:
    text = """
    func.func @f(%x: tensor<3x4x8xf32>, %i: tensor<3x4x40xf32>) -> tensor<3x4x40xf32> {
      %w = ml_program.global_load_const @w : tensor<3x8x40xf32>
      %r = linalg.batch_matmul ins(%x, %w : tensor<3x4x8xf32>, tensor<3x8x40xf32>) outs(%i : tensor<3x4x40xf32>)
          -> tensor<3x4x40xf32>
      return %r : tensor<3x4x40xf32>
    }"""
    w = _array(3, 8, 40)
    (packed,) = _pack(text, {"w": w}).constants.values()
    np.testing.assert_array_equal(packed, into_panels(w.transpose(0, 2, 1), 1, 32))
