"""Worker processes and the executable cache."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlirage.codegen import translation, worker
from mlirage.codegen.cache import Cache
from mlirage.errors import TargetError, UsageError
from mlirage.hal.configure_executables import configure_executables
from mlirage.hal.link_executables import link_executables
from mlirage.hal.materialize_interfaces import materialize_interfaces
from mlirage.hal.translate_executables import translate_executables
from mlirage.mlir import ir, new_context
from mlirage.options import CompileOptions
from mlirage.passes import run_passes
from mlirage.program import Program

_EXECUTABLE = """
module @ex{n} attributes {{flow.executable, sym_visibility = "private"}} {{
  func.func @add{n}(%a: tensor<{n}x4xf32>) -> tensor<{n}x4xf32> {{
    %e = tensor.empty() : tensor<{n}x4xf32>
    %r = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                         iterator_types = ["parallel", "parallel"]}}
        ins(%a : tensor<{n}x4xf32>) outs(%e : tensor<{n}x4xf32>) {{
    ^bb0(%x: f32, %o: f32):
      %y = {op} %x, %x : f32
      linalg.yield %y : f32
    }} -> tensor<{n}x4xf32>
    return %r : tensor<{n}x4xf32>
  }}
}}"""


def _compile(count: int = 3, op: str = "arith.addf", **options: Any) -> bytes:
    with new_context():
        text = "\n".join(_EXECUTABLE.format(n=n, op=op) for n in range(1, count + 1))
        module = ir.Module.parse(f"module {{ {text} }}")
    program = Program(module, options=CompileOptions(**options))
    run_passes(program, [materialize_interfaces, configure_executables, translate_executables, link_executables])
    return program.constants["executables-x86_64.so"].tobytes()


def test_workers_and_cache_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _compile(jobs=1, cache_dir="off")
    assert _compile(jobs=3, cache_dir="off") == first
    assert _compile(cache_dir=str(tmp_path)) == first
    assert len(list(tmp_path.glob("*.object"))) == 3

    def refuse(*_: Any) -> Any:
        raise AssertionError("everything is cached")

    monkeypatch.setattr(worker.WorkerPool, "run", refuse)
    assert _compile(cache_dir=str(tmp_path)) == first


def test_damaged_cache_entries_are_no_hits(tmp_path: Path) -> None:
    first = _compile(cache_dir=str(tmp_path))
    for path in tmp_path.glob("*.object"):
        path.write_bytes(path.read_bytes()[:-7])
    assert _compile(cache_dir=str(tmp_path)) == first


def test_cache_is_bounded(tmp_path: Path) -> None:
    _compile(cache_dir=str(tmp_path))
    cache = Cache(tmp_path)
    newest = max(tmp_path.glob("*.object"), key=lambda p: p.stat().st_mtime_ns)
    for number, path in enumerate(sorted(tmp_path.glob("*.object"))):
        os.utime(path, (number, number) if path != newest else (1000, 1000))
    row = cache.load(newest.stem)
    assert row is not None
    cache.store("0" * 64, row)
    os.utime(tmp_path / ("0" * 64 + ".object"), (2000, 2000))
    cache.prune(limit=newest.stat().st_size * 2 + 100)
    assert {p.stem for p in tmp_path.glob("*.object")} <= {newest.stem, "0" * 64}


def test_unusable_cache_folder_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="cache folder"):
        _compile(cache_dir=str(file / "folder"))


def test_a_crash_names_the_dispatch(monkeypatch: pytest.MonkeyPatch) -> None:
    start = worker.WorkerPool._start  # pyright: ignore[reportPrivateUsage]

    def start_and_kill(self: Any, tasks: Any, number: int, seconds: float, busy: Any) -> None:
        start(self, tasks, number, seconds, busy)
        if tasks[number].job.symbol == "add2":
            os.kill(next(w.pid for w in busy.values() if w.task == number), signal.SIGABRT)

    monkeypatch.setattr(worker.WorkerPool, "_start", start_and_kill)
    with pytest.raises(TargetError, match=r"add2.*crashed"):
        _compile(cache_dir="off")
    monkeypatch.undo()
    assert _compile(cache_dir="off")


def test_a_hang_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "_TIMEOUT_SECONDS", 0.0)
    with pytest.raises(TargetError, match="took longer"):
        _compile(cache_dir="off")
    monkeypatch.undo()
    assert _compile(cache_dir="off")


def test_errors_name_source_and_dispatch() -> None:
    text = """
    module @ex attributes {flow.executable, sym_visibility = "private"} {
      func.func @strange(%a: tensor<4xf32>) -> tensor<4xf32> {
        %b = "util.null"() : () -> tensor<4xf32> loc("node_7")
        return %b : tensor<4xf32>
      } loc("node_7")
    }"""
    with new_context():
        module = ir.Module.parse(f"module {{ {text} }}")
    program = Program(module, options=CompileOptions(cache_dir="off"))
    with pytest.raises(TargetError, match=r"node_7.*'strange'"):
        run_passes(program, [materialize_interfaces, configure_executables, translate_executables])


def test_dump_ir(tmp_path: Path) -> None:
    _compile(1, cache_dir="off", dump_ir=str(tmp_path))
    folder = tmp_path / "executables" / "add1"
    assert {"configured.mlir", "llvm.ll", "asm.s", "object.o"} <= {p.name for p in folder.iterdir()}
    assert np.frombuffer((folder / "object.o").read_bytes()[:4], np.uint8)[0] == 0x7F
