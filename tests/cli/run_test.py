"""compile, run, bench, import and devices from the command line: outputs, notations, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlirage.cli import main
from mlirage.cli.values import ArrayReader, array_text
from mlirage.errors import UsageError

MATMUL = """
func.func @main(%a: tensor<2x3xf32>, %b: tensor<3x2xf32>) -> tensor<2x2xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<2x2xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<2x2xf32>) -> tensor<2x2xf32>
  %c = linalg.matmul ins(%a, %b : tensor<2x3xf32>, tensor<3x2xf32>) outs(%init : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %c : tensor<2x2xf32>
}
"""
INPUTS = ["--input=2x3xf32=[1 2 3][4 5 6]", "--input=3x2xf32=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    (path / "matmul.mlir").write_text(MATMUL)
    assert main(["compile", str(path / "matmul.mlir")]) == 0
    return path


def test_compile_writes_beside_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(folder / "matmul.mlir"), "-o", str(folder / "again.mlirage")]) == 0
    assert "again.mlirage: " in capsys.readouterr().err
    assert (folder / "again.mlirage").read_bytes() == (folder / "matmul.mlirage").read_bytes()
    assert not list(folder.glob(".*")), "temporary files stay behind"


def test_every_phase_prints_and_resumes(folder: Path) -> None:
    expected = (folder / "matmul.mlirage").read_bytes()
    for phase in ("start", "input", "flow", "stream", "hal"):
        dump, module = folder / f"{phase}.mlir", folder / f"{phase}.mlirage"
        assert main(["compile", str(folder / "matmul.mlir"), f"--compile-to={phase}", "-o", str(dump)]) == 0
        assert main(["compile", str(dump), f"--compile-from={phase}", "-o", str(module)]) == 0
        assert module.read_bytes() == expected, phase


def test_run_prints_in_the_notation_it_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder / "matmul.mlirage"), *INPUTS]) == 0
    assert capsys.readouterr().out == "EXEC @main\nresult[0]: hal.buffer_view\n2x2xf32=[6 6][15 15]\n"


def test_run_compares(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = str(folder / "matmul.mlirage")
    assert main(["run", module, *INPUTS, "--expected-output=2x2xf32=[6 6][15 15]"]) == 0
    assert "[SUCCESS]" in capsys.readouterr().out
    assert main(["run", module, *INPUTS, "--expected_output=2x2xf32=[6 6][15 16]"]) == 1
    assert "[FAILED] result[0]: element [1, 1] is 15.0, expected is 16.0; 1 of 4" in capsys.readouterr().out
    assert main(["run", module, *INPUTS, "--expected_output=(ignored)"]) == 0
    assert main(["run", module, *INPUTS, "--expected_output=4xf32=1"]) == 1
    assert "it is a 2x2xf32, expected is a 4xf32" in capsys.readouterr().out


def test_run_reads_and_writes_files(folder: Path) -> None:
    with (folder / "in.npy").open("wb") as file:
        np.save(file, np.ones((2, 3), np.float32))
        np.save(file, np.ones((3, 2), np.float32))
    (folder / "in.bin").write_bytes(np.full((3, 2), 2, np.float32).tobytes())
    module, out = str(folder / "matmul.mlirage"), folder / "out.npy"
    files = [f"--input=@{folder}/in.npy", f"--input=+{folder}/in.npy"]
    assert main(["run", module, *files, f"--output=@{out}"]) == 0
    np.testing.assert_array_equal(np.load(out), np.full((2, 2), 3))
    assert main(["run", module, files[0], f"--input=3x2xf32=@{folder}/in.bin", f"--output=@{out}"]) == 0
    np.testing.assert_array_equal(np.load(out), np.full((2, 2), 6))


def test_bench_measures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder / "matmul.mlirage"), "--seconds=0.05", "--threads=1", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["calls"] >= 3
    assert 0 < row["min_us"] <= row["median_us"] <= row["p90_us"]


def test_import_and_devices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(folder / "matmul.mlir")]) == 0
    assert "mlirage.signature" in capsys.readouterr().out
    assert main(["devices"]) == 0
    assert "local-task" in capsys.readouterr().out.split()


@pytest.mark.parametrize(
    "text",
    ["2x3xf32=[1 2 3][4 5 6]", "i32=7", "2xui8=1 255", "2xi1=1 0", "2x1x2xf64=[[1.5 2]][[-3 INF]]", "0x3xf32=",
     "2xcomplex<f32>=(1,2) (3,-4)", "2xbf16=1 NAN"],
)  # fmt: skip
def test_notation_round_trip(text: str) -> None:
    assert array_text(ArrayReader().read(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2xf32=1 2 3", "2xf32 has 2 elements, 3 are given"),
        ("2xq8=1", "unknown type 'q8'"),
        ("axf32=1", "extents are whole numbers, not 'a'"),
        ("1 2 3", "expected SHAPExTYPE=VALUES"),
        ("2xi8=300", "out of bounds"),
        ("2xf32=one two", "could not convert string"),
        ("@absent.npy", "cannot read absent.npy: No such file"),
        ("+absent.npy", "begin with @absent.npy"),
    ],
)
def test_notation_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ArrayReader().read(text)
