"""Values on the command line that are wrong: exit code 2 and a sentence, never a traceback or silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlirage
from mlirage.cli import main

SOURCE = """
func.func @main(%n: i32, %x: tensor<?xf32>) -> (i32, tensor<?xf32>) {
  %y = arith.addf %x, %x : tensor<?xf32>
  return %n, %y : i32, tensor<?xf32>
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("values")
    mlirage.compile(SOURCE).save(folder / "m.mlirage")
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 and no more")
    (folder / "empty.npz").write_bytes(b"")
    np.save(folder / "whole.npy", np.ones(100, np.float32))
    (folder / "short.npy").write_bytes((folder / "whole.npy").read_bytes()[:-10])
    return folder


@pytest.mark.parametrize(
    ("number", "array", "message"),
    [
        ("2xi32=1", "1xf32=1", "argument arg0: int32 is one number: give it as int32=7"),
        ("i32=1", "99999999999x99999999999xf32=1", "bytes are too many for this machine"),
        ("i32=1", "99999999999999999999999xf32=1", "bytes are too many for this machine"),
        ("i32=1", "0x99999999999999999999999xf32=", "bytes are too many for this machine"),
        ("i32=1", "²xf32=1", "extents are whole numbers"),
        ("i32=1", "@FOLDER/bad.npz", "not a .npz file"),
        ("i32=1", "@FOLDER/empty.npz", "not a .npz file"),
        ("i32=1", "@FOLDER/short.npy", "not a .npy file"),
    ],
)
def test_inputs(number: str, array: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = array.replace("FOLDER", str(folder))
    assert main(["run", str(folder / "m.mlirage"), f"--input={number}", f"--input={array}"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("mlirage: ")
    assert message in text


def test_numbers_have_the_type_of_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", str(folder / "m.mlirage"), "--input=i32=5", "--input=1xf32=1"]
    assert main(words) == 0
    assert "i32=5\n" in capsys.readouterr().out
    assert main([*words, "--expected-output=i32=5", "--expected-output=1xf32=2"]) == 0


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_bench_seconds(seconds: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder / "m.mlirage"), f"--seconds={seconds}"]) == 2
    assert f"--seconds={seconds}: expected a number above 0" in capsys.readouterr().err
