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
from machine import RUNTIME, WARNINGS

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
        **{f"random{seed}": compile_host(make_program(seed)[0]) for seed in (1, 2, 3)},
    }
    paths = [folder / f"{name}.mlirage" for name in modules]
    for path, module in zip(paths, modules.values(), strict=True):
        path.write_bytes(module.encode())
    return paths


def test_damaged_modules(tmp_path: Path) -> None:
    program = tmp_path / "vm_fuzz"
    sources = [source for source in sorted((RUNTIME / "src").rglob("*.c")) if source.name != "none.c"]
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
