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


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("detour", [False, True])
def test_heads_are_read_where_they_lie(batch: int, detour: bool, tmp_path: object) -> None:
    """Transposes of heads, merged with the batch and split again, become places that the attention reads."""
    rows, keys, heads, depth = 5, 7, 3, 4
    constants = {
        "to_heads": [batch, -1, heads, depth],
        "merged": [batch * heads, keys, depth],
        "split": [batch, heads, depth, keys],
        "flat": [batch, rows, heads * depth],
    }
    nodes: list[onnx.NodeProto] = []
    for name in "qkv":
        nodes.append(helper.make_node("Reshape", [name, "to_heads"], [f"{name}4"]))
        nodes.append(helper.make_node("Transpose", [f"{name}4"], [f"{name}h"], perm=[0, 2, 1, 3]))
    if detour:
        nodes += [
            helper.make_node("Mul", ["kh", "half"], ["ks"]),
            helper.make_node("Reshape", ["ks", "merged"], ["k3"]),
            helper.make_node("Transpose", ["k3"], ["k3t"], perm=[0, 2, 1]),
            helper.make_node("Reshape", ["k3t", "split"], ["kt"]),
        ]
    else:
        nodes.append(helper.make_node("Transpose", ["kh"], ["kt"], perm=[0, 1, 3, 2]))
    nodes += [
        helper.make_node("MatMul", ["qh", "kt"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "vh"], ["o"]),
        helper.make_node("Transpose", ["o"], ["ot"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["ot", "flat"], ["y"]),
    ]
    shapes = {"q": [batch, rows, heads * depth], "k": [batch, keys, heads * depth], "v": [batch, keys, heads * depth]}
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes["q"])],
        [
            *(helper.make_tensor(n, TensorProto.INT64, [len(v)], v) for n, v in constants.items()),
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
        ],
    )
    path = f"{tmp_path}/model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    program = compiler.lower(importers.Model(path, (), {}, None), make_options(compile_to="flow"))
    assert str(program.module).count('"flow.dispatch"(') == 1
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shapes[n]).astype(np.float32) for n in "qkv"]
    q, k, v = (a.reshape(batch, -1, heads, depth).transpose(0, 2, 1, 3) for a in arrays)
    powers = np.exp(q @ k.swapaxes(-1, -2) * (0.5 if detour else 1.0))
    want = (powers / powers.sum(-1, keepdims=True)) @ v
    got = mlirage.load(mlirage.compile(path)).main(*arrays)
    np.testing.assert_allclose(np.asarray(got[0]), want.transpose(0, 2, 1, 3).reshape(shapes["q"]), atol=1e-6)
