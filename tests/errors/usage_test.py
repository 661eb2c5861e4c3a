"""What users do wrong, and what they are told: exact texts, exit codes, and nothing half-written on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlirage
from mlirage.cli import main
from mlirage.errors import CompileError, ImportFailure, UsageError

IDENTITY = "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n  return %x : tensor<2xf32>\n}\n"
UNSUPPORTED = """
func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = stablehlo.custom_call @one(%x) : (tensor<2xf32>) -> tensor<2xf32>
  %1 = stablehlo.custom_call @two(%0) : (tensor<2xf32>) -> tensor<2xf32>
  return %1 : tensor<2xf32>
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.mlir"
    path.write_text(IDENTITY)
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compile", "MODEL", "--compile-to=flwo"], 2, "mlirage: no phase is called 'flwo'; phases: start, input, "),
        (["compile", "MODEL", "--compile-from=vm", "--compile-to=flow"], 2, "compile-from=vm comes after compile-to"),
        (["compile", "MODEL", "--opt-level=7"], 2, "option opt_level=7: expected 0 to 3"),
        (["compile", "MODEL", "--frobnicate"], 2, "No such option '--frobnicate'"),
        (["compile", "MODEL", "-o", "/no/such/folder/x"], 2, "there is no folder /no/such/folder"),
        (["compile", "absent.mlir"], 2, "mlirage: there is no file absent.mlir"),
        (["compile", "FOLDER"], 2, "is a folder; accepted: "),
        (["compile", "FOLDER/data.csv"], 2, "unknown kind of file '.csv'"),
        (["compile", "FOLDER/broken.mlir"], 1, "broken.mlir:1:14: expected non-function type"),
        (["compile", "FOLDER/binary.mlir"], 1, "binary.mlir: neither MLIR text nor MLIR bytecode"),
        (["compile", "FOLDER/unsupported.mlir"], 1, "these operations are not supported:\n  stablehlo.custom_call"),
        (["run", "absent.mlirage"], 2, "there is no file absent.mlirage"),
        (["run", "MODEL"], 1, "mlirage: "),
        (["dance"], 2, "No such command 'dance'"),
    ],
)  # fmt: skip
def test_command_line(
    arguments: list[str], code: int, message: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model.parent / "data.csv").write_text("1,2\n")
    (model.parent / "broken.mlir").write_text("func.func @f( {")
    (model.parent / "binary.mlir").write_bytes(b"\xff\xfe\x00\x01")
    (model.parent / "unsupported.mlir").write_text(UNSUPPORTED)
    before = sorted(model.parent.iterdir())
    words = [word.replace("MODEL", str(model)).replace("FOLDER", str(model.parent)) for word in arguments]
    assert main(words) == code
    text = capsys.readouterr().err
    assert message in text
    assert "Traceback" not in text
    assert sorted(model.parent.iterdir()) == before, "a failure must leave no file behind"


def test_all_unsupported_operations_are_listed_at_once() -> None:
    with pytest.raises(CompileError) as caught:
        mlirage.compile(UNSUPPORTED)
    assert str(caught.value) == (
        "these operations are not supported:\n"
        '  stablehlo.custom_call "one" at -:3:8\n'
        '  stablehlo.custom_call "two" at -:4:8\n'
        "what a custom call computes can be said by mlirage.register_custom_call"
    )


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (3, {}, "cannot import a builtins.int; accepted: "),
        ("no_such_model.onnx", {}, "there is no file no_such_model.onnx"),
        (IDENTITY, {"compile_too": "flow"}, r"no option is called 'compile_too' \(did you mean 'compile_to'\?\)"),
        (IDENTITY, {"opt_level": "3"}, "option opt_level='3': expected int"),
        (IDENTITY, {"input_type": "caffe"}, "expected one of auto, onnx, pytorch"),
        (IDENTITY, {"compile_to": "flow"}, r"mlirage.compiler.lower\(\) stops at compile_to='flow'"),
        (b"abc", {"compile_from": "flow"}, "compile-from=flow takes MLIR: a path or text, not a bytes"),
    ],
)
def test_python(source: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mlirage.compile(source, **options)


def test_bytes_of_no_model() -> None:
    with pytest.raises(ImportFailure, match="these 4 bytes are no model of a known kind; accepted: "):
        mlirage.compile(b"\xff\xfe\x00\x01")


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIRAGE_FLAGS", "--compile-to=flow")
    with pytest.raises(UsageError, match="stops at compile_to='flow'"):
        mlirage.compile(IDENTITY)
    monkeypatch.setenv("MLIRAGE_FLAGS", "--nonsense=1")
    with pytest.raises(UsageError, match="MLIRAGE_FLAGS: no flag '--nonsense'"):
        mlirage.compile(IDENTITY)
    monkeypatch.setenv("MLIRAGE_FLAGS", "")
    monkeypatch.setenv("MLIRAGE_DEBUG", "loud")
    with pytest.raises(UsageError, match="MLIRAGE_DEBUG='loud': expected a number from 0 to 4"):
        mlirage.compile(IDENTITY)


def test_failures_leave_a_reproducer_that_is_a_test(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.write_text(UNSUPPORTED)
    folder = model.parent / "dump"
    assert main(["compile", str(model), f"--dump-ir={folder}"]) == 1
    reproducer = folder / "mlirage-repro.mlir"
    assert f"reproducer: mlirage opt --passes='input-verify' {reproducer}" in capsys.readouterr().err
    assert reproducer.read_text().startswith("// RUN: mlirage opt --passes='input-verify' --target='host' %s\n")
    assert main(["opt", "--passes=input-verify", str(reproducer)]) == 1
    assert "these operations are not supported" in capsys.readouterr().err
