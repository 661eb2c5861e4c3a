"""`mlirage dump`: what it prints, and that it refuses what is no module."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from modules import make_module

from mlirage.cli import main
from mlirage.module_file import Executable, Global, Import, Location, ModuleFile, Rodata

SIGNATURE = json.dumps(
    {
        "arguments": [{"name": "x", "dtype": "float32", "shape": ["batch", 3, None]}, {"name": "n", "dtype": "int64"}],
        "results": [{"name": "", "dtype": "bool", "shape": []}],
    }
)


def write(folder: Path) -> Path:
    module = make_module(
        {"main": ("rI_r", 'assert s0, 8, "text; with \\"marks\\""\n'
                          " call_import a.b, [2], s0, s0, r0 -> r1\n return r1"),
         "_helper": ("_", "x:\n branch x")},
        imports=[Import("a.b", "r[I]_r"), Import("a.c", "_", optional=True)], globals=[Global("count", "I", 3)],
        rodata=[Rodata.of("library", np.arange(1500, dtype=np.uint8)),
                Rodata.of("ones", np.broadcast_to(np.float32(1), (1 << 20,)), splat=True)],
        executables=[Executable("kernels", "embedded-elf-x86_64", 0)], name="demo",
    )  # fmt: skip
    module.exports[0] = type(module.exports[0])("main", 0, SIGNATURE)
    module.functions[0].locations = [Location(6, "/conv1")]
    path = folder / "demo.mlirage"
    path.write_bytes(module.encode())
    return path


EXPECTED = """\
module demo version 0: {SIZE} bytes
exports:
  main(x: float32[batch,3,?], n: int64[]) -> (bool[])
imports:
  a.b (r[I]_r)
  a.c (_) optional
executables:
  kernels embedded-elf-x86_64 1,500 bytes (#0)
globals:
  count: i64 = 3
rodata:
  #0 library 1,500 bytes
  #1 ones 4,194,304 bytes, a splat of 0000803f

main (rI_r) scalars=8 refs=4 34 bytes
  assert s0, 8, "text; with \\"marks\\""
  call_import a.b, [2], s0, s0, r0 -> r1        ; /conv1
  return r1

_helper (_) scalars=8 refs=4 6 bytes
L0:
  branch L0
"""


def test_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert main(["dump", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed == EXPECTED.replace("{SIZE}", f"{path.stat().st_size:,}")
    assert main(["dump", "--no-code", str(path)]) == 0
    assert capsys.readouterr().out == printed[: printed.index("\nmain (rI_r)")]


@pytest.mark.parametrize(
    ("contents", "text"),
    [(b"", "not a mlirage module"), (b"\x7fELF" + bytes(100), "not a mlirage module"), (None, "only 200 are here")],
)
def test_what_is_no_module(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: bytes | None, text: str
) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:200] if contents is None else contents)
    assert main(["dump", str(path)]) == 1
    assert text in capsys.readouterr().err


def test_malformed_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module: ModuleFile = make_module({"main": ("_", "return")})
    module.functions[0].code = np.array([4], np.uint16)
    path = tmp_path / "bad.mlirage"
    path.write_bytes(module.encode())
    assert main(["dump", str(path)]) == 2
    assert "function 'main' has malformed code: unit 1: the code is cut short" in capsys.readouterr().err
