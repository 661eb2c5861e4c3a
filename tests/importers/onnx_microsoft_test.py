"""Operators of com.microsoft against ONNX Runtime: a case per operator; onnx_microsoft_all.py runs all."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import pytest
from onnx import TensorProto, helper

from mlirage.errors import ImportFailure
from mlirage.importers.onnx import import_onnx
from mlirage.options import CompileOptions
from tests.importers.model_runner import ModelRunner

pytest.importorskip("onnxruntime")
from tests.importers.onnx_microsoft_cases import CASES, check

LAST = {case[0]: number for number, case in enumerate(CASES)}  # of each operator


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize("number", LAST.values(), ids=LAST)
def test_operator(runner: ModelRunner, number: int) -> None:
    check(runner, number, number % 2 == 0)


def test_unknown_operators_are_all_named() -> None:
    nodes = [
        helper.make_node(op, ["x"], [op], f"node{op}", domain="com.microsoft") for op in ("BeamSearch", "Tokenizer")
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [onnx.ValueInfoProto(name="Tokenizer")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(ImportFailure) as caught:
        import_onnx(helper.make_model(graph, opset_imports=opsets), CompileOptions())
    for name in ("BeamSearch", "Tokenizer"):
        assert f"com.microsoft.{name} (opset 1), 1 nodes: node{name} — " in str(caught.value)
    assert "without ONNX Runtime's optimizations" in str(caught.value)
