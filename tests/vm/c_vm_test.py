"""The C tests of the VM (runtime/tests/vm/vm_test.c), with and without sanitizers, and its freestanding build."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from interpreter_test import LOOP
from machine import RUNTIME, SOURCES, WARNINGS, build
from modules import make_module

from mlirage.module_file import Global, Import, ModuleFile

BOXES = """
  const_64_short 0 -> s1
  const_64_short 1 -> s2
  move s1 -> s3
head:
  lt_s_i64 s1, s0 -> s4
  branch_if s4, body, exit
body:
  call_import box.make, [], s1 -> r0
  call_import box.read, [], r0 -> s5
  add_i64 s3, s5 -> s3
  add_i64 s1, s2 -> s1
  branch head
exit:
  global_load_ref kept -> r1
  call_import box.read, [], r1 -> s5
  add_i64 s3, s5 -> s3
  return s3
"""


def make_test_module() -> ModuleFile:
    """What vm_test.c expects."""
    reads = "call_import box.read, [], r0 -> s2\n add_i64 s1, s2 -> s1\n" * 10
    return make_module(
        {
            "__init": ("_", "const_64_short 100 -> s0\n call_import box.make, [], s0 -> r0\n"
                            " global_store_ref kept, r0\n return"),
            "boxes": ("I_I", BOXES),
            "imports": ("I_I", f"global_load_ref kept -> r0\n const_64_short 0 -> s1\n {reads} return s1"),
            "increment": ("I_I", "const_64_short 1 -> s1\n add_i64 s0, s1 -> s0\n return s0"),
            "sum": ("I_I", LOOP),
        },
        imports=[Import("box.make", "I_r"), Import("box.read", "r_I")], globals=[Global("kept", "r")],
    )  # fmt: skip


@pytest.mark.parametrize("flags", [["-O2"], ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]])
def test_c_program(tmp_path: Path, flags: list[str]) -> None:
    module = tmp_path / "test.mlirage"
    module.write_bytes(make_test_module().encode())
    program = build(
        tmp_path / "vm_test", "-D_POSIX_C_SOURCE=200809L", *flags, sources=[RUNTIME / "tests" / "vm" / "vm_test.c"]
    )
    result = subprocess.run([program, module], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    print(result.stdout)
    assert re.search(r"out of memory: ok after \d+ fault points", result.stdout)


def test_freestanding(tmp_path: Path) -> None:
    """Compiles without a C library and needs nothing but the four mem functions; holds no writable data."""
    objects: list[Path] = []
    for source in SOURCES:
        if source.parent.name == "platform":
            continue
        objects.append(tmp_path / f"{source.stem}.o")
        subprocess.run(
            ["gcc", "-std=c11", *WARNINGS, "-Os", "-ffreestanding", "-fno-pic", "-fno-stack-protector",
             f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}", "-c", source, "-o", objects[-1]], check=True
        )  # fmt: skip
    linked = tmp_path / "vm.o"
    subprocess.run(["ld", "-r", *objects, "-o", linked], check=True)
    symbols = subprocess.run(["nm", linked], capture_output=True, text=True, check=True).stdout.splitlines()
    undefined = {line.split()[-1] for line in symbols if " U " in line}
    writable = {line.split()[-1] for line in symbols if line.split()[-2] in "dDbBC"}
    assert undefined <= {"memcpy", "memmove", "memset", "memcmp"}
    assert writable == set()
