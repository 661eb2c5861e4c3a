"""Damaged modules under sanitizers: an error or an answer, never a crash, a hang or a leak."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import numpy as np
from compile_host import compile_host
from encode_test import make_program
from hal_module_test import COPY, STATE
from lists_and_buffers_test import COMPILED as BUFFERS
from machine import RUNTIME, WARNINGS
from modules import make_module

from tests.codegen.abi import compile_entries

# Every list instruction, and nested lists that are filled inside out; yields.
LISTS = {
    "nest": ("II_I", """
      list_create -> r0
      list_resize r0, s0
      const_64_short 1 -> s2
    L0:
      yield
      list_create -> r1
      list_resize r1, s0
      list_set_i64 r1, s1, s0
      list_set_ref r1, s1, r0
      list_get_ref r1, s1 -> r0
      list_set_i32 r1, s1, s0
      list_get_i32 r1, s1 -> s3
      sub_i64 s0, s2 -> s0
      trunc_i64_i32 s0 -> s4
      branch_if s4, L0, L1
    L1:
      list_size r1 -> s5
      return s5"""),
    "kinds": ("IfFr_fFir", """
      list_create -> r1
      const_64_short 3 -> s3
      list_resize r1, s3
      const_64_short 0 -> s4
      list_set_f32 r1, s4, s1
      list_get_f32 r1, s4 -> s5
      list_set_f64 r1, s4, s2
      list_get_f64 r1, s4 -> s6
      list_set_ref r1, s0, r0
      list_kind r1, s0 -> s7
      list_get_ref r1, s0 -> r2
      return s5, s6, s7, r2"""),
}  # fmt: skip
KERNELS = """
func.func @scaled(%a: tensor<?x4xf32>, %s: f32, %d0: index, %r0: index) -> tensor<?x4xf32> {
  %e = tensor.empty(%r0) : tensor<?x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%a : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%i: f32, %o: f32):
    %q = arith.mulf %i, %s : f32
    linalg.yield %q : f32
  } -> tensor<?x4xf32>
  return %r : tensor<?x4xf32>
}
func.func @product(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>, %d0: index, %d1: index, %d2: index, %d3: index,
                   %r0: index, %r1: index) -> tensor<?x?xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty(%r0, %r1) : tensor<?x?xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %r = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%f : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}
func.func @quantized(%a: tensor<5x6xi8>, %b: tensor<6x10xi8>) -> tensor<5x10xi32> {
  %z = arith.constant 0 : i32
  %t = arith.constant 3 : i32
  %e = tensor.empty() : tensor<5x10xi32>
  %f = linalg.fill ins(%z : i32) outs(%e : tensor<5x10xi32>) -> tensor<5x10xi32>
  %r = linalg.quantized_matmul ins(%a, %b, %t, %z : tensor<5x6xi8>, tensor<6x10xi8>, i32, i32)
      outs(%f : tensor<5x10xi32>) -> tensor<5x10xi32>
  return %r : tensor<5x10xi32>
}
func.func @gather(%a: tensor<8xf32>, %i: tensor<4xi32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(a) -> (a)>, affine_map<(a) -> (a)>], iterator_types = ["parallel"]}
      ins(%i : tensor<4xi32>) outs(%e : tensor<4xf32>) {
  ^bb0(%n: i32, %o: f32):
    %k = arith.index_cast %n : i32 to index
    %x = tensor.extract %a[%k] : tensor<8xf32>
    linalg.yield %x : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}
"""
COUNT = int(os.environ.get("MLIRAGE_FUZZ_COUNT", "100000"))


def make_corpus(folder: Path) -> list[Path]:
    """Modules of every feature: arithmetic, control flow, state, device memory, splats, assertions."""
    text = {name: np.frombuffer(name.encode(), np.uint8) for name in ("name",)}
    splat = np.broadcast_to(np.uint32(0x04030201), (1 << 12,))
    modules = {
        "copy": compile_host(COPY, **text),
        "state": compile_host(STATE, weights=np.arange(1, 6, dtype=np.int32), splat=splat),
        "recursion": compile_host("""
          func.func private @odd(%n: i64) -> i1 {
            %zero = arith.constant 0 : i64
            %one = arith.constant 1 : i64
            %end = arith.cmpi sle, %n, %zero : i64
            %r = scf.if %end -> i1 { %f = arith.constant false scf.yield %f : i1 } else {
              %m = arith.subi %n, %one : i64
              %e = func.call @even(%m) : (i64) -> i1
              scf.yield %e : i1
            }
            return %r : i1
          }
          func.func @even(%n: i64) -> i1 {
            %zero = arith.constant 0 : i64
            %one = arith.constant 1 : i64
            %end = arith.cmpi sle, %n, %zero : i64
            %r = scf.if %end -> i1 { %t = arith.constant true scf.yield %t : i1 } else {
              %m = arith.subi %n, %one : i64
              %o = func.call @odd(%m) : (i64) -> i1
              scf.yield %o : i1
            }
            cf.assert %r, "odd"
            return %r : i1
          }
          func.func @floats(%x: f32, %y: f64, %n: i32) -> (f64, i32, i64) {
            %a = arith.extf %x : f32 to f64
            %b = arith.divf %a, %y : f64
            %c = math.sqrt %b : f64
            %d = arith.fptosi %c : f64 to i64
            %e = arith.remsi %n, %n : i32
            return %c, %e, %d : f64, i32, i64
          }"""),
        "buffers": compile_host(BUFFERS),
        "lists": make_module(LISTS),
        **{f"random{seed}": compile_host(make_program(seed)[0]) for seed in (1, 2, 3)},
    }
    paths = [folder / f"{name}.mlirage" for name in modules]
    for path, module in zip(paths, modules.values(), strict=True):
        path.write_bytes(module.encode())
    kernels = folder / "kernels.mlirage"
    kernels.write_bytes(compile_entries(KERNELS, target="vmvx").data)
    return [*paths, kernels]


def test_damaged_modules(tmp_path: Path) -> None:
    program = tmp_path / "vm_fuzz"
    sources = [source for source in sorted((RUNTIME / "src").rglob("*.c")) if not source.name.endswith("none.c")]
    sources += [RUNTIME / "tests" / "vm" / name for name in ("vm_fuzz.c", "vm_fuzz_main.c")]
    subprocess.run(
        ["gcc", "-std=c11", *WARNINGS, "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
         f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}", *sources, "-o", program, "-lm", "-ldl", "-lpthread"],
        check=True,
    )  # fmt: skip
    seed = random.Random(os.environ.get("MLIRAGE_FUZZ_SEED", "1")).randrange(2**31)
    command = [program, str(COUNT), str(seed), *make_corpus(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120 + COUNT // 200, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    print(result.stdout)
    counts = [int(number) for number in re.findall(r"\d+", result.stdout)]
    assert counts[0] >= COUNT
    assert min(counts[:5]) > 0  # damage went as deep as calls that return and calls that fail
