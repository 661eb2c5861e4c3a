"""Dispatches as programs of their own: they compile, and compute what the dispatch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mlirage
from mlirage import compiler
from mlirage.cli import main
from mlirage.flow.dispatch_benchmarks import dispatch_benchmarks
from mlirage.options import make_options

CHAIN = """
#id = affine_map<(i, j) -> (i, j)>
ml_program.global private @w(dense<2.0> : tensor<4x3xf32>) : tensor<4x3xf32>
func.func @main(%x: tensor<?x4xf32>, %s: f32, %n: i64) -> (tensor<?x3xf32>, tensor<?xf32>) {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x4xf32>
  %w = ml_program.global_load_const @w : tensor<4x3xf32>
  %empty = tensor.empty(%m) : tensor<?x3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x3xf32>) -> tensor<?x3xf32>
  %y = linalg.matmul ins(%x, %w : tensor<?x4xf32>, tensor<4x3xf32>) outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  %z = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%y : tensor<?x3xf32>) outs(%empty : tensor<?x3xf32>) {
  ^bb0(%a: f32, %o: f32):
    %b = arith.mulf %a, %s : f32
    linalg.yield %b : f32
  } -> tensor<?x3xf32>
  %k = arith.index_cast %n : i64 to index
  %long = tensor.empty(%k) : tensor<?xf32>
  %v = linalg.fill ins(%s : f32) outs(%long : tensor<?xf32>) -> tensor<?xf32>
  %u = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%v : tensor<?xf32>) outs(%long : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i64
    %f = arith.sitofp %j : i64 to f32
    %b = arith.addf %a, %f : f32
    linalg.yield %b : f32
  } -> tensor<?xf32>
  return %z, %u : tensor<?x3xf32>, tensor<?xf32>
}
"""


def test_benchmarks_compute_what_the_dispatches_do() -> None:
    program = compiler.lower(CHAIN, make_options(compile_to="flow"))
    found = list(dispatch_benchmarks(program))
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    done = set()
    for benchmark in found:
        text = benchmark.program.module.operation.get_asm(enable_debug_info=True)
        run = mlirage.load(mlirage.compile(text, compile_from="flow"), "local-sync")
        arguments = []
        for number, argument in enumerate(run.signatures["main"].arguments):
            if number < len(benchmark.constants) and benchmark.constants[number] is not None:
                arguments.append(np.full(argument.shape, 2, np.float32))
            elif argument.scalar:
                arguments.append(3.0 if argument.dtype == "float32" else 7)
            else:
                arguments.append(x)
        (result,) = run(*arguments)
        wanted = x @ np.full((4, 3), 2, np.float32) * 3 if result.ndim == 2 else np.arange(7, dtype=np.float32) + 3
        np.testing.assert_array_equal(result, wanted)
        done.add(result.ndim)
    assert done == {1, 2}


def test_dumps_have_them(tmp_path: Path) -> None:
    model = tmp_path / "model.mlir"
    model.write_text(CHAIN)
    assert main(["compile", str(model), f"--dump-ir={tmp_path / 'dump'}"]) == 0
    found = sorted((tmp_path / "dump" / "executables").glob("*/benchmark.mlir"))
    assert len(found) == 2
    for path in found:
        assert (path.parent / "asm.s").exists()
        module = tmp_path / "one.mlirage"
        assert main(["compile", str(path), "--compile-from=flow", "-o", str(module)]) == 0
        assert "main" in mlirage.load(module).signatures


CONCATENATION = """
func.func @main(%x: tensor<48x64xf32>, %v: tensor<64x32xf32>, %w: tensor<64x16xf32>) -> tensor<48x48xf32> {
  %zero = arith.constant 0.0 : f32
  %wide = tensor.empty() : tensor<48x32xf32>
  %a = linalg.fill ins(%zero : f32) outs(%wide : tensor<48x32xf32>) -> tensor<48x32xf32>
  %p = linalg.matmul
      ins(%x, %v : tensor<48x64xf32>, tensor<64x32xf32>) outs(%a : tensor<48x32xf32>) -> tensor<48x32xf32>
  %narrow = tensor.empty() : tensor<48x16xf32>
  %b = linalg.fill ins(%zero : f32) outs(%narrow : tensor<48x16xf32>) -> tensor<48x16xf32>
  %q = linalg.matmul
      ins(%x, %w : tensor<48x64xf32>, tensor<64x16xf32>) outs(%b : tensor<48x16xf32>) -> tensor<48x16xf32>
  %whole = tensor.empty() : tensor<48x48xf32>
  %left = tensor.insert_slice %p into %whole[0, 0] [48, 32] [1, 1] : tensor<48x32xf32> into tensor<48x48xf32>
  %both = tensor.insert_slice %q into %left[0, 32] [48, 16] [1, 1] : tensor<48x16xf32> into tensor<48x48xf32>
  return %both : tensor<48x48xf32>
}
"""


def test_parts_of_a_concatenation() -> None:
    """What the first branch leaves to the others is no result of it."""
    program = compiler.lower(CONCATENATION, make_options(compile_to="flow"))
    first, second = dispatch_benchmarks(program)
    assert first.written == ((((0, 48), (0, 32)),),)
    assert second.written == (None,)  # the rest is an operand
