"""Host programs of the hal phase, run by the runtime: the conversion and the native module `hal` together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compile_host import compile_host
from modules import make_module

from mlirage import runtime
from mlirage.errors import MlirageError
from mlirage.module_file import Import
from mlirage.vm.convert_hal import conventions

F32 = 0x05000020
DRIVERS = [name for name in runtime.driver_names() if name != "null"]


def signature(arguments: list[tuple[str, str, list[Any]]], results: list[tuple[str, str, list[Any]]]) -> str:
    """The attribute `mlirage.signature`."""
    sides = [
        [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in side] for side in (arguments, results)
    ]
    text = json.dumps({"arguments": sides[0], "results": sides[1], "source": "mlir"})
    return f"mlirage.signature = {json.dumps(text)}"


def load(text: str, device: str = "local-sync", **constants: Any) -> runtime.LoadedModule:
    """Compiles the host program and loads it."""
    arrays = {
        name: np.frombuffer(value.encode(), np.uint8) if isinstance(value, str) else value
        for name, value in constants.items()
    }
    return runtime.load(compile_host(text, **arrays).encode(), device=device)


# Takes x: f32[n, 3]; gives a copy with the first row replaced by the pattern 0x40000000 (2.0), and n.
COPY = """
  func.func public @main(%view: !hal.buffer_view) -> (!hal.buffer_view, i64) attributes { {SIGNATURE} } {
    %zero = arith.constant 0 : i64
    %c0 = arith.constant 0 : index
    %c3 = arith.constant 3 : index
    %c4 = arith.constant 4 : index
    %c12 = arith.constant 12 : index
    %any = arith.constant -1 : index
    %type = arith.constant 83886112 : i32
    %slot0 = arith.constant 0 : i32
    %slot1 = arith.constant 1 : i32
    %two = arith.constant 2 : i32
    %four = arith.constant 4 : i32
    %pattern = arith.constant 0x40000000 : i64
    %name = "util.rodata"() {name = "name"} : () -> !util.buffer
    "hal.buffer_view_assert"(%view, %name, %type, %any, %c3)
      : (!hal.buffer_view, !util.buffer, i32, index, index) -> ()
    %n = "hal.buffer_view_dim"(%view, %slot0) : (!hal.buffer_view, i32) -> index
    %length = arith.muli %n, %c12 : index
    %input = "hal.buffer_view_buffer"(%view) : (!hal.buffer_view) -> !hal.buffer
    %device = "hal.device_get"(%zero) : (i64) -> !hal.device
    %null = "util.null"() : () -> !hal.fence
    %done = "hal.fence_create"(%device) : (!hal.device) -> !hal.fence
    %output = "hal.allocator_allocate"(%device, %length) : (!hal.device, index) -> !hal.buffer
    %commands = "hal.command_buffer_create"(%device, %slot1, %two) : (!hal.device, i32, i32) -> !hal.command_buffer
    "hal.command_buffer_copy_buffer"(%commands, %slot0, %c0, %slot1, %c0, %length)
      : (!hal.command_buffer, i32, index, i32, index, index) -> ()
    "hal.command_buffer_execution_barrier"(%commands) : (!hal.command_buffer) -> ()
    %some = arith.cmpi ne, %n, %c0 : index
    scf.if %some {
      "hal.command_buffer_fill_buffer"(%commands, %slot1, %c0, %c12, %pattern, %four)
        : (!hal.command_buffer, i32, index, index, i64, i32) -> ()
    }
    "hal.command_buffer_finalize"(%commands) : (!hal.command_buffer) -> ()
    "hal.device_queue_execute"(%device, %null, %done, %commands, %input, %output, %c0, %c0, %length, %length)
      {operandSegmentSizes = array<i32: 1, 1, 1, 1, 2, 2, 2>}
      : (!hal.device, !hal.fence, !hal.fence, !hal.command_buffer, !hal.buffer, !hal.buffer, index, index, index, index)
      -> ()
    %joined = "hal.fence_join"(%done, %null) : (!hal.fence, !hal.fence) -> !hal.fence
    "hal.fence_await"(%joined) : (!hal.fence) -> ()
    %result = "hal.buffer_view_create"(%output, %c0, %length, %type, %n, %c3)
      : (!hal.buffer, index, index, i32, index, index) -> !hal.buffer_view
    %count = arith.index_cast %n : index to i64
    return %result, %count : !hal.buffer_view, i64
  }
""".replace("{SIGNATURE}", signature([("x", "float32", ["n", 3])], [("y", "float32", ["n", 3]), ("n", "int64", [])]))


@pytest.mark.parametrize("device", DRIVERS)
def test_a_program_of_copies_and_fills(device: str) -> None:
    run = load(COPY, device, name="input 0 'x'")
    for rows in (0, 1, 2, 17):
        x = np.random.default_rng(rows).standard_normal((rows, 3), np.float32)
        y, count = run(x)
        expected = x.copy()
        expected[:1] = 2.0
        np.testing.assert_array_equal(y, expected)
        assert int(count) == rows


def test_wrong_arguments_are_named() -> None:
    run = load(COPY, name="input 0 'x'")
    with pytest.raises(MlirageError, match=r"x.*f32|float32"):
        run(np.zeros((2, 4), np.float32))
    with pytest.raises(MlirageError, match=r"x"):
        run(np.zeros((2, 3), np.float64))


# Constants live in globals that the initializer sets; a splat is filled into memory of the device.
STATE = """
  "util.global"() {sym_name = "device", type = !hal.device, is_mutable = false} : () -> ()
  "util.global"() {sym_name = "weights", type = !hal.buffer, is_mutable = false} : () -> ()
  "util.global"() {sym_name = "splat", type = !hal.buffer, is_mutable = false} : () -> ()
  "util.global"() {sym_name = "calls", type = i64, is_mutable = true, initial_value = 100 : i64} : () -> ()
  func.func private @initialize() attributes {mlirage.initializer} {
    %zero = arith.constant 0 : i64
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    %c1 = arith.constant 1 : index
    %c12 = arith.constant 12 : index
    %device = "hal.device_get"(%zero) : (i64) -> !hal.device
    "util.global_store"(%device) {symbol = @device} : (!hal.device) -> ()
    %data = "util.rodata"() {name = "weights"} : () -> !util.buffer
    %weights = "hal.allocator_import"(%device, %data, %c4, %c12)
      : (!hal.device, !util.buffer, index, index) -> !hal.buffer
    "util.global_store"(%weights) {symbol = @weights} : (!hal.buffer) -> ()
    %ones = "util.rodata"() {name = "splat"} : () -> !util.buffer
    %splat = "hal.allocator_import"(%device, %ones, %c1, %c8) : (!hal.device, !util.buffer, index, index) -> !hal.buffer
    "util.global_store"(%splat) {symbol = @splat} : (!hal.buffer) -> ()
    return
  }
  func.func public @main(%at: i64) -> (i64, i64, i64, i64) attributes { {SIGNATURE} } {
    %one = arith.constant 1 : i64
    %four = arith.constant 4 : i32
    %eight = arith.constant 8 : i32
    %c0 = arith.constant 0 : index
    %index = arith.index_cast %at : i64 to index
    %weights = "util.global_load"() {symbol = @weights} : () -> !hal.buffer
    %splat = "util.global_load"() {symbol = @splat} : () -> !hal.buffer
    %calls = "util.global_load"() {symbol = @calls} : () -> i64
    %more = arith.addi %calls, %one : i64
    "util.global_store"(%more) {symbol = @calls} : (i64) -> ()
    %a = "hal.buffer_load"(%weights, %index, %four) : (!hal.buffer, index, i32) -> i64
    %b = "hal.buffer_load"(%splat, %c0, %eight) : (!hal.buffer, index, i32) -> i64
    %n = "hal.buffer_length"(%splat) : (!hal.buffer) -> index
    %length = arith.index_cast %n : index to i64
    return %a, %b, %length, %more : i64, i64, i64, i64
  }
""".replace("{SIGNATURE}", signature([("at", "int64", [])], [(name, "int64", []) for name in "abcd"]))


@pytest.mark.parametrize("device", DRIVERS)
def test_constants_splats_and_state(device: str) -> None:
    splat = np.broadcast_to(np.uint32(0x04030201), (1 << 20,))
    run = load(STATE, device, weights=np.arange(1, 6, dtype=np.int32), splat=splat)
    assert [int(value) for value in run(0)] == [2, 0x0104030201040302, 8, 101]
    assert [int(value) for value in run(8)] == [4, 0x0104030201040302, 8, 102]
    with pytest.raises(MlirageError, match=r"at hal\.buffer_load\n  at main"):
        run(9)
    with pytest.raises(MlirageError, match=r"offset of -1 is no size\n  at hal\.buffer_load"):
        run(-1)
    assert int(run(4)[3]) == 105


def test_writing_to_constants_of_a_file_is_no_crash(tmp_path: Path) -> None:
    """No compiler makes such programs; a hostile one must not take the process down nor change the file."""
    module = compile_host(
        """
        func.func public @main(%v: i64) -> i64 attributes { {SIGNATURE} } {
          %zero = arith.constant 0 : i64
          %c0 = arith.constant 0 : index
          %c16 = arith.constant 16 : index
          %eight = arith.constant 8 : i32
          %d = "hal.device_get"(%zero) : (i64) -> !hal.device
          %r = "util.rodata"() {name = "data"} : () -> !util.buffer
          %b = "hal.allocator_import"(%d, %r, %c0, %c16) : (!hal.device, !util.buffer, index, index) -> !hal.buffer
          "hal.buffer_store"(%v, %b, %c0, %eight) : (i64, !hal.buffer, index, i32) -> ()
          %x = "hal.buffer_load"(%b, %c0, %eight) : (!hal.buffer, index, i32) -> i64
          return %x : i64
        }""".replace("{SIGNATURE}", signature([("v", "int64", [])], [("x", "int64", [])])),
        data=np.zeros(16, np.uint8),
    )
    path = tmp_path / "hostile.mlirage"
    path.write_bytes(module.encode())
    assert int(runtime.load(path, device="local-sync")(5)[0]) == 5
    assert path.read_bytes() == module.encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('"hal.device_get"(%n) : (i64) -> !hal.device', "device 7 is needed, but there are 1"),
        ('"hal.buffer_length"(%null) : (!hal.buffer) -> index', "buffer is null"),
        ('"hal.allocator_import"(%d, %r, %i, %i) : (!hal.device, !util.buffer, index, index) -> !hal.buffer',
         r"range \[7, \+7\) of 8 bytes"),
        ('"hal.executable_create"(%d, %r, %r) : (!hal.device, !util.buffer, !util.buffer) -> !hal.executable',
         "abcdefgh"),
        ('"hal.allocator_allocate"(%d, %m) : (!hal.device, index) -> !hal.buffer', "size of -1 is no size"),
        ('"hal.allocator_allocate"(%d, %h) : (!hal.device, index) -> !hal.buffer', "no memory for a buffer of 46116"),
        ('"hal.command_buffer_create"(%d, %z, %b) : (!hal.device, i32, i32) -> !hal.command_buffer', "too large"),
    ],
)  # fmt: skip
def test_misuse_is_an_error(body: str, text: str) -> None:
    program = """
      func.func public @main() -> i64 attributes { {SIGNATURE} } {
        %n = arith.constant 7 : i64
        %i = arith.constant 7 : index
        %m = arith.constant -1 : index
        %h = arith.constant 0x4000000000000000 : index
        %z = arith.constant 0 : i32
        %b = arith.constant 70000 : i32
        %zero = arith.constant 0 : i64
        %d = "hal.device_get"(%zero) : (i64) -> !hal.device
        %null = "util.null"() : () -> !hal.buffer
        %r = "util.rodata"() {name = "data"} : () -> !util.buffer
        %x = {BODY}
        return %n : i64
      }""".replace("{BODY}", body).replace("{SIGNATURE}", signature([], [("n", "int64", [])]))
    if "device_get" in body or "length" in body:  # pure: keep it alive
        kind = body.rpartition("-> ")[2]
        use = (
            "%k = arith.index_cast %x : index to i64\n return %k : i64"
            if kind == "index"
            else '%k = "hal.device_supports"(%x, %r) : (!hal.device, !util.buffer) -> i32\n'
            "%l = arith.extui %k : i32 to i64\n return %l : i64"
        )
        program = program.replace("return %n : i64", use)
    run = load(program, data="abcdefgh")
    with pytest.raises(MlirageError, match=text):
        run()


def test_conventions_are_those_of_the_native_module() -> None:
    """Linking compares them: a program that imports every function of the dialect loads."""
    others = ("hal.interface_", "hal_inline.dispatch")  # of executables, of the host program
    host_ops = {name: text for name, text in conventions().items() if not name.startswith(others)}
    imports = [Import(name, convention) for name, convention in host_ops.items()]
    module = make_module({"main": ("_", "return")}, imports=imports)
    runtime.load(module.encode(), device="local-sync")
    assert len(imports) >= 25
