"""`mlirage bench` and what it writes of a profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlirage.cli import main
from tests.cli.run_test import MATMUL


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "matmul.mlir").write_text(MATMUL)
    assert main(["compile", str(folder / "matmul.mlir")]) == 0
    return folder / "matmul.mlirage"


def test_table_of_dispatches(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(module), "--seconds=0.02", "--profile"]) == 0
    latency, total, head, *rows = capsys.readouterr().out.splitlines()
    assert latency.startswith("@main: median ")
    assert "calls profiled" in total
    assert head.split()[:4] == ["time", "share", "runs", "GFLOP/s"]
    assert len(rows) == 1
    assert "main$0_matmul_2x2x3_f32" in rows[0]
    assert "contraction" in rows[0]


def test_files_of_a_profile(module: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, trace = tmp_path / "profile.json", tmp_path / "trace.json"
    arguments = ["bench", str(module), "--seconds=0.02", "--device=local-sync", "--json"]
    assert main([*arguments, f"--profile-json={figures}", f"--trace={trace}"]) == 0
    assert json.loads(capsys.readouterr().out)["function"] == "main"
    profile = json.loads(figures.read_text())
    (row,) = profile["dispatches"]
    assert row["name"] == "main$0_matmul_2x2x3_f32"
    assert row["flops"] == 2 * 2 * 2 * 3
    assert row["bytes"] == 4 * (6 + 6 + 4)
    assert 0 < row["us"] <= profile["device_us"]
    slices = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    assert {"call", "command buffer", "main$0_matmul_2x2x3_f32"} <= {event["name"] for event in slices}
    assert main([*arguments, f"--trace={tmp_path / 'no' / 'folder.json'}"]) == 2


def test_modules_without_a_device(module: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inline = tmp_path / "inline.mlirage"
    source = module.with_suffix(".mlir")
    assert main(["compile", str(source), "-o", str(inline), "--execution-model=inline-dynamic"]) == 0
    assert main(["bench", str(inline), "--seconds=0.02", "--profile"]) == 2
    assert "without a device" in capsys.readouterr().err
