"""Host programs over the kernels of runtime/tests, as the compiler writes them: for tests of the Python binding."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.mlir import ir, new_context
from mlirage.passes import run_passes
from mlirage.program import Program
from mlirage.vm import PIPELINE
from mlirage.vm.encode import build_module

RUNTIME = Path(__file__).parents[2] / "runtime"

# main(a, b) = a + b for f32[n]; copy(x) = x, of any type, given back as it came; twice(a) = (a + a, a + a).
# The command buffer is recorded once and replayed with a binding table, as in compiled programs.
ADD = """
  "util.global"() {sym_name = "device", type = !hal.device, is_mutable = false} : () -> ()
  "util.global"() {sym_name = "kernels", type = !hal.executable, is_mutable = false} : () -> ()
  func.func private @initialize() attributes {mlirage.initializer} {
    %zero = arith.constant 0 : i64
    %device = "hal.device_get"(%zero) : (i64) -> !hal.device
    "util.global_store"(%device) {symbol = @device} : (!hal.device) -> ()
    %format = "util.rodata"() {name = "format"} : () -> !util.buffer
    %data = "util.rodata"() {name = "kernels"} : () -> !util.buffer
    %kernels = "hal.executable_create"(%device, %format, %data)
      : (!hal.device, !util.buffer, !util.buffer) -> !hal.executable
    "util.global_store"(%kernels) {symbol = @kernels} : (!hal.executable) -> ()
    return
  }
  func.func public @main(%a: !hal.buffer_view, %b: !hal.buffer_view) -> !hal.buffer_view attributes { {MAIN} } {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %c63 = arith.constant 63 : index
    %c64 = arith.constant 64 : index
    %any = arith.constant -1 : index
    %type = arith.constant 83886112 : i32
    %s0 = arith.constant 0 : i32
    %s1 = arith.constant 1 : i32
    %s2 = arith.constant 2 : i32
    %s3 = arith.constant 3 : i32
    %name = "util.rodata"() {name = "format"} : () -> !util.buffer
    "hal.buffer_view_assert"(%a, %name, %type, %any) : (!hal.buffer_view, !util.buffer, i32, index) -> ()
    %n = "hal.buffer_view_dim"(%a, %s0) : (!hal.buffer_view, i32) -> index
    "hal.buffer_view_assert"(%b, %name, %type, %n) : (!hal.buffer_view, !util.buffer, i32, index) -> ()
    %length = arith.muli %n, %c4 : index
    %rounded = arith.addi %n, %c63 : index
    %groups = arith.divui %rounded, %c64 : index
    %x = "hal.buffer_view_buffer"(%a) : (!hal.buffer_view) -> !hal.buffer
    %y = "hal.buffer_view_buffer"(%b) : (!hal.buffer_view) -> !hal.buffer
    %device = "util.global_load"() {symbol = @device} : () -> !hal.device
    %kernels = "util.global_load"() {symbol = @kernels} : () -> !hal.executable
    %null = "util.null"() : () -> !hal.fence
    %out = "hal.allocator_allocate"(%device, %length) : (!hal.device, index) -> !hal.buffer
    %commands = "hal.command_buffer_create"(%device, %s1, %s3) : (!hal.device, i32, i32) -> !hal.command_buffer
    "hal.command_buffer_dispatch"(%commands, %kernels, %s0, %groups, %c1, %c1,
        %s0, %s1, %s2, %c0, %c0, %c0, %length, %length, %length)
      {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0, 3, 3, 3>}
      : (!hal.command_buffer, !hal.executable, i32, index, index, index, i32, i32, i32,
         index, index, index, index, index, index) -> ()
    "hal.command_buffer_finalize"(%commands) : (!hal.command_buffer) -> ()
    %done = "hal.fence_create"(%device) : (!hal.device) -> !hal.fence
    "hal.device_queue_execute"(%device, %null, %done, %commands, %x, %y, %out,
        %c0, %c0, %c0, %length, %length, %length)
      {operandSegmentSizes = array<i32: 1, 1, 1, 1, 3, 3, 3>}
      : (!hal.device, !hal.fence, !hal.fence, !hal.command_buffer, !hal.buffer, !hal.buffer, !hal.buffer,
         index, index, index, index, index, index) -> ()
    "hal.fence_await"(%done) : (!hal.fence) -> ()
    %result = "hal.buffer_view_create"(%out, %c0, %length, %type, %n)
      : (!hal.buffer, index, index, i32, index) -> !hal.buffer_view
    return %result : !hal.buffer_view
  }
  func.func public @echo(%x: !hal.buffer_view, %k: i32, %f: f64) -> (!hal.buffer_view, i32, f64) attributes { {ECHO} } {
    return %x, %k, %f : !hal.buffer_view, i32, f64
  }
"""


def _attribute(arguments: list[Any], results: list[Any], **extra: Any) -> str:
    text = json.dumps({"arguments": arguments, "results": results, "source": "test", **extra})
    return f"mlirage.signature = {json.dumps(text)}"


def _field(name: str, dtype: str | None, shape: list[Any] | None) -> dict[str, Any]:
    field: dict[str, Any] = {"name": name}
    if dtype is not None:
        field["dtype"] = dtype
    if shape is not None:
        field["shape"] = shape
    return field


def build_kernels(folder: Path) -> Path:
    """The kernels of runtime/tests as a shared object."""
    path = folder / "kernels.so"
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", "-nostdlib", "-ffreestanding", "-fvisibility=hidden"]
    source = RUNTIME / "tests" / "kernels.c"
    subprocess.run(["gcc", *flags, f"-I{RUNTIME / 'include'}", str(source), "-o", str(path)], check=True)
    return path


def add_module(kernels: Path, dtype: str | None = None, shape: list[Any] | None = None, **trees: Any) -> bytes:
    """The module of ADD; `dtype` and `shape` are what the signature of `echo` tells."""
    vector = ["n"]
    main = _attribute(
        [_field("a", "float32", vector), _field("b", "float32", vector)], [_field("sum", "float32", vector)], **trees
    )
    scalars = [_field("k", "int32", []), _field("f", "float64", [])]
    echo = _attribute([_field("x", dtype, shape), *scalars], [_field("x", dtype, shape), *scalars])
    text = ADD.replace("{MAIN}", main).replace("{ECHO}", echo)
    constants = {
        "format": np.frombuffer(b"embedded-elf-x86_64", np.uint8),
        "kernels": np.frombuffer(kernels.read_bytes(), np.uint8),
    }
    context = new_context()
    with context:
        program = Program(ir.Module.parse(text), dict(constants))
    run_passes(program, PIPELINE)
    return build_module(program).encode()
