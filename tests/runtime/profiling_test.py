"""Profiles of loaded modules: what ran is recorded, with names that lead to the model's nodes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlirage
from mlirage.errors import DeviceError
from mlirage.module_file import ModuleFile
from mlirage.profiling import summarize

MODEL = """
func.func @main(%a: tensor<?x64xf32>, %b: tensor<64x96xf32>) -> tensor<?x96xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %a, %c0 : tensor<?x64xf32>
  %empty = tensor.empty(%m) : tensor<?x96xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x96xf32>) -> tensor<?x96xf32> loc("/fc")
  %c = linalg.matmul ins(%a, %b : tensor<?x64xf32>, tensor<64x96xf32>) outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32> loc("/fc")
  return %c : tensor<?x96xf32>
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def module() -> mlirage.compiler.CompiledModule:  # type: ignore[name-defined]
    return mlirage.compile(MODEL)


@pytest.mark.parametrize(("device", "threads"), [("local-sync", None), ("local-task", 2)])
def test_dynamic_extents_are_counted(module: bytes, device: str, threads: int | None) -> None:
    run = mlirage.load(module, device, threads)
    facts = ModuleFile.read_dispatches(module)
    for rows in (1, 17, 130):
        a = np.ones((rows, 64), np.float32)
        b = np.ones((64, 96), np.float32)
        with run.profile() as profile:
            for _ in range(3):
                (result,) = run(a, b)
        assert (result == 64).all()
        assert profile.dropped == 0
        (row,) = [row for row in summarize(profile.events, facts).rows if row.kind]
        assert row.nodes == ("/fc",)
        assert row.runs == 3
        assert row.flops == 3 * 2 * rows * 64 * 96
        assert row.bytes == 3 * 4 * (rows * 64 + 64 * 96 + rows * 96)
        assert {event.worker for event in profile.events} <= set(range(threads or 1))


def test_off_by_default_and_once_at_a_time(module: bytes) -> None:
    run = mlirage.load(module, mlirage.runtime.Device("local-sync"))
    arguments = np.ones((2, 64), np.float32), np.ones((64, 96), np.float32)
    run(*arguments)
    with run.profile(capacity=4) as profile:
        with pytest.raises(DeviceError, match="profiled already"), run.profile():
            pass
        for _ in range(9):
            run(*arguments)
    assert len(profile.events) == 4
    assert profile.dropped > 0
    assert profile.events[0].execution == 0
    run(*arguments)
    with pytest.raises(DeviceError, match="not being profiled"):
        profile.read()


def test_a_failure_in_the_block_ends_the_profile(module: bytes) -> None:
    run = mlirage.load(module, mlirage.runtime.Device("local-sync"))
    with pytest.raises(mlirage.UsageError), run.profile():
        run(np.ones((2, 3), np.float32), np.ones((64, 96), np.float32))
    with run.profile() as profile:
        pass
    assert profile.events == []


_PROGRAM = """
import os, sys, numpy, mlirage
run = mlirage.load(sys.argv[1], "local-sync")
a, b = numpy.ones((1024, 64), numpy.float32), numpy.ones((64, 96), numpy.float32)
for _ in range(int(sys.argv[2])):
    run(a, b)
print(f"/tmp/perf-{os.getpid()}.map")
"""


def _run_with_perf_map(value: str, *command: str) -> Path:
    environment = {**os.environ, "MLIRAGE_PERF_MAP": value}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return Path(done.stdout.strip())


def test_names_for_perf(module: bytes, tmp_path: Path) -> None:
    """Every entry point stands in the map that perf reads, at a range of its own; nothing is written unasked."""
    path = tmp_path / "m.mlirage"
    path.write_bytes(module)
    command = [sys.executable, "-c", _PROGRAM, str(path), "1"]
    assert not _run_with_perf_map("0", *command).exists()
    written = _run_with_perf_map("1", *command)
    lines = [line.split(" ", 2) for line in written.read_text().splitlines()]
    written.unlink()
    assert {name for _, _, name in lines} == set(ModuleFile.read_dispatches(module))
    ranges = sorted((int(begin, 16), int(size, 16)) for begin, size, _ in lines)
    assert all(size > 0 for _, size in ranges)
    assert all(begin + size <= later for (begin, size), (later, _) in itertools.pairwise(ranges))
