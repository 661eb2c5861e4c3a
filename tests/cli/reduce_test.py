"""`mlirage reduce` finds the part of a model that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

import mlirage
from mlirage import compiler
from mlirage.cli import main
from mlirage.delta_debugging import minimize


@pytest.mark.parametrize("culprits", [(), (0,), (99,), (3, 77), (10, 11, 12), tuple(range(0, 100, 9))])
def test_minimize_keeps_what_fails(culprits: tuple[int, ...]) -> None:
    asked: list[tuple[int, ...]] = []

    def fails(part: Sequence[int]) -> bool:
        asked.append(tuple(part))
        return set(culprits) <= set(part)

    assert minimize(list(range(100)), fails) == list(culprits)
    assert len(asked) == len(set(asked))
    assert len(asked) < 400


def test_minimize_where_less_does_not_fail() -> None:
    """Of any three, two must stay."""
    assert len(minimize([1, 2, 3], lambda part: len(part) >= 2)) == 2
    assert minimize([], lambda part: True) == []


def _model(path: Path, kinds: Sequence[str]) -> Path:
    """A chain of unary operators, each added to what came before."""
    nodes, value = [], "x"
    for number, kind in enumerate(kinds):
        nodes.append(onnx.helper.make_node(kind, [value], [f"a{number}"], name=f"/{kind.lower()}_{number}"))
        nodes.append(onnx.helper.make_node("Add", [f"a{number}", "c"], [f"b{number}"], name=f"/add_{number}"))
        value = f"b{number}"
    tensor = onnx.helper.make_tensor_value_info
    constant = onnx.numpy_helper.from_array(np.full((3,), 0.25, np.float32), "c")
    graph = onnx.helper.make_graph(nodes, "g", [tensor("x", 1, [2, 3])], [tensor(value, 1, [2, 3])], [constant])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _nodes(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_an_operator_that_does_not_compile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _model(tmp_path / "model.onnx", ["Relu", "Tanh", "Exp", "Sigmoid", "Abs"])
    model = onnx.load(str(path))
    model.graph.node[4].op_type = "ImageDecoder"
    for value in (f"{kind}{number}" for number in range(5) for kind in "ab"):
        model.graph.value_info.append(onnx.helper.make_tensor_value_info(value, 1, [2, 3]))
    onnx.save(model, path)
    assert main(["reduce", str(path)]) == 0
    assert _nodes(tmp_path / "model.reduced.onnx") == ["ImageDecoder"]
    assert "1 of 10 are left" in capsys.readouterr().out
    with pytest.raises(mlirage.ImportFailure):
        mlirage.compile(tmp_path / "model.reduced.onnx")


def test_results_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted failure: Sigmoid after Exp is wrong, each for itself is right."""
    path = _model(tmp_path / "model.onnx", ["Relu", "Exp", "Sigmoid", "Tanh"])
    small = tmp_path / "small.onnx"
    assert main(["reduce", str(path), "--failure=results"]) == 2, "nothing is wrong yet"
    compile_with = compiler.compile_with

    def broken(source: Path, *arguments: object) -> bytes:
        model = onnx.load(str(source))
        for node in model.graph.node:
            if node.op_type == "Sigmoid" and "Exp" in [other.op_type for other in model.graph.node]:
                node.op_type = "Softplus"
        changed = tmp_path / "changed.onnx"
        onnx.save(model, changed)
        return compile_with(changed, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compiler, "compile_with", broken)
    assert main(["reduce", str(path), "--failure=results", "-o", str(small)]) == 0
    assert _nodes(small) == ["Exp", "Sigmoid"]


def test_a_command_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _model(tmp_path / "model.onnx", ["Relu", "Tanh", "Exp"])
    assert main(["reduce", str(path), "--command=grep -q Tanh {}"]) == 0
    assert _nodes(tmp_path / "model.reduced.onnx") == ["Tanh"]
    text = tmp_path / "model.mlir"
    text.write_text("""
func.func @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = arith.addf %x, %y : tensor<4xf32>
  %b = math.tanh %a : tensor<4xf32>
  %c = arith.mulf %b, %y : tensor<4xf32>
  %d = math.exp %c : tensor<4xf32>
  return %d, %a : tensor<4xf32>, tensor<4xf32>
}
func.func private @other(%x: f32) -> f32 {
  %y = math.absf %x : f32
  return %y : f32
}
""")
    assert main(["reduce", str(text), "--command=grep -q math.tanh {}"]) == 0
    reduced = (tmp_path / "model.reduced.mlir").read_text()
    assert "math.tanh" in reduced
    assert not any(word in reduced for word in ("arith.addf", "math.exp", "arith.mulf", "math.absf"))
    assert main(["compile", str(tmp_path / "model.reduced.mlir")]) == 0
    capsys.readouterr()
    assert main(["reduce", str(text), "--command=grep -q nothing {}"]) == 2
    assert "does not fail" in capsys.readouterr().err
    assert main(["reduce", str(text), "--command=grep nothing"]) == 2
    assert main(["reduce", str(text), "--failure=results"]) == 2
    assert main(["reduce", str(tmp_path / "model.txt")]) == 2
