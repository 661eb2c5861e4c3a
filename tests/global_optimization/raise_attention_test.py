"""What is no attention stays what it is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mlirage
from mlirage import compiler, importers
from mlirage.options import make_options


def build(extra: list[onnx.NodeProto], outputs: dict[str, list[int]], probability: str = "p") -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        *extra,
        helper.make_node("MatMul", [probability, "v"], ["y"]),
    ]
    shapes = {"q": [2, 5, 4], "k": [2, 7, 4], "v": [2, 7, 3]}
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


Y = {"y": [2, 5, 3]}
CASES = {
    "attention": (build([], Y), 1),
    "weights are a result": (build([], {**Y, "p": [2, 5, 7]}), 0),
    "weights are changed": (build([helper.make_node("Mul", ["p", "p"], ["p2"])], Y, "p2"), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_raised(name: str, tmp_path: object) -> None:
    model, expected = CASES[name]
    path = f"{tmp_path}/model.onnx"
    onnx.save(model, path)
    source = importers.Model(path, (), {}, None)
    program = compiler.lower(source, make_options(compile_to="global-optimization"))
    assert str(program.module).count('"linalgx.attention"') == expected
    random = np.random.default_rng(0)
    q, k, v = (random.standard_normal(s).astype(np.float32) for s in ((2, 5, 4), (2, 7, 4), (2, 7, 3)))
    powers = np.exp(q @ k.swapaxes(1, 2))
    weights = powers / powers.sum(-1, keepdims=True)
    weights = weights * weights if name == "weights are changed" else weights
    got = mlirage.load(mlirage.compile(path)).main(q, k, v)
    np.testing.assert_allclose(np.asarray(got[0]), weights @ v, atol=1e-6)
