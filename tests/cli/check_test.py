"""`mlirage check`: outputs against a reference, and the first node that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from mlirage.cli import main
from mlirage.comparison import compare, random_array

MODEL = """<ir_version: 9, opset_import: ["": 19]>
tiny (float[batch, 3] x, int64[batch] i) => (float[batch, 2] y, int64[batch] j) {
  w = Constant<value = float[3, 2] {1, 2, 3, 4, 5, 6}>()
  [product] h = MatMul(x, w)
  [rectify] y = Relu(h)
  [sum] j = Add(i, i)
}"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    onnx.save(parser.parse_model(MODEL), path)
    return path


@pytest.mark.parametrize("engine", ["onnx", "onnxruntime"])
def test_equal(model: Path, engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(engine)
    assert main(["check", str(model), f"--reference={engine}", "--dim=batch=5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["[ok] y float32[5, 2]", "[ok] j int64[5]"]


def test_given_inputs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(model), "--input=1x3xf32=1 2 3", "--input=1xi64=7", "--reference=onnx"]) == 0
    assert "[ok] y float32[1, 2]" in capsys.readouterr().out


def test_names_the_first_node(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that is wrong from one node on stands for a compiler that is."""
    from mlirage.importers import onnx_reference

    true_run = onnx_reference.OnnxReference._run  # pyright: ignore[reportPrivateUsage]

    def wrong(self: Any, source: Any, inputs: Any) -> list[Any]:
        results = true_run(self, source, inputs)
        # run: y, j; with all values: w, h, y, j
        at = 0 if len(results) == 2 else 2
        results[at] = results[at] + np.float32(0.5)
        return results

    monkeypatch.setattr(onnx_reference.OnnxReference, "_run", wrong)
    assert main(["check", str(model), "--reference=onnx"]) == 1
    out = capsys.readouterr().out
    assert "[FAILED] y float32[2, 2]: element [0, 0] is" in out
    assert "the first node that differs is 'rectify' (Relu): y float32[2, 2]" in out
    assert "[ok] j" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.onnx"], "there is no file"),
        (["{model}", "--dim=depth=3"], "expected NAME=N; names are batch"),
        (["{model}", "--dim=batch"], "expected NAME=N"),
        (["{model}", "--input=1xf32=1"], "takes 2 inputs"),
        (["{model}", "--reference=nobody"], "known are auto, onnxruntime, onnx"),
        (["{model}", "--compile-to=flow"], "no --compile-to"),
    ],
)
def test_wrong_usage(model: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *(argument.format(model=model) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mlir"
    path.write_text("module {}")
    assert main(["check", str(path)]) == 2
    assert "nothing to check" in capsys.readouterr().err


def test_broken_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"\x08\x01nonsense")
    assert main(["check", str(path)]) == 1
    assert "not an ONNX model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("want", "got", "problem"),
    [
        (np.float32([1, np.nan, np.inf]), np.float32([1, np.nan, np.inf]), ""),
        (np.float32([1, np.nan]), np.float32([1, 2]), "element [1] is 2.0, expected is nan; 1 of 2 elements differ"),
        (np.float32([1]), np.float64([1]), "it is float64[1]"),
        (np.zeros((0, 3), np.int8), np.zeros((0, 3), np.int8), ""),
        (np.int32([1, 2]), np.int32([1, 3]), "element [1] is 3, expected is 2; 1 of 2 elements differ"),
        (np.float16([1]), np.float16([1.001]), ""),
        ([np.float32(1)], [np.float32(1)], ""),
        ([np.float32(1)], [], "it is a list of 0"),
        (None, np.float32(1), "float32[], expected is None"),
        (np.complex64([1 + 1j]), np.complex64([1 + 1.1j]), "element [0] is (1+1.1"),
    ],
)
def test_comparison(want: Any, got: Any, problem: str) -> None:
    found = compare("x", want, got, 1e-5, 1e-6).problem
    assert found == problem or (problem and found.startswith(problem))


def test_random_arrays() -> None:
    import ml_dtypes

    random = np.random.default_rng(0)
    for dtype in (np.bool_, np.int8, np.uint64, np.float16, np.complex64, ml_dtypes.bfloat16, ml_dtypes.int4):
        array = random_array(np.dtype(dtype), (2, 0, 3), random)
        assert array.dtype == dtype
        assert array.shape == (2, 0, 3)
