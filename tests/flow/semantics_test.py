"""What a program computes is the same after phase flow, by an evaluator that shares nothing with these phases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.flow.random_programs import RandomProgram
from tests.importers.model_runner import ModelRunner

EXTENTS = {"odd": (1, 2, 3, 5, 7), "empty": (0, 1, 2, 3)}


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    """A child process that runs programs."""
    runner = ModelRunner("tests.flow.flow_as_tensors:run_after_flow")
    yield runner
    runner.close()


@pytest.mark.parametrize("extents", EXTENTS)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("seed", range(12))
def test_random_programs(runner: ModelRunner, seed: int, dynamic: bool, extents: str) -> None:
    """Random programs of 12 ops give exactly what numpy computes."""
    program = RandomProgram(seed, 12, dynamic, EXTENTS[extents])
    results = runner.run(program.text, program.inputs)
    assert len(results) == len(program.results)
    for result, expected in zip(results, program.results, strict=True):
        np.testing.assert_array_equal(result, expected.array, err_msg=program.text)


def _encoder(batch: int | str, length: int | str) -> tuple[bytes, Any]:
    """A transformer encoder layer as ONNX bytes, and the ONNX Runtime session of it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    width, heads, hidden = 32, 4, 48
    generator = np.random.default_rng(0)
    nodes, weights = [], []

    def weight(*shape: int) -> str:
        name = f"w{len(weights)}"
        weights.append(numpy_helper.from_array((generator.standard_normal(shape) * 0.2).astype(np.float32), name))
        return name

    def numbers(*values: int) -> str:
        name = f"w{len(weights)}"
        weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"v{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def dense(x: str, inner: int, outer: int) -> str:
        return node("Add", node("MatMul", x, weight(inner, outer)), weight(outer))

    def split(x: str, *order: int) -> str:
        return node(
            "Transpose", node("Reshape", dense(x, width, width), numbers(0, 0, heads, width // heads)), perm=order
        )

    q, k, v = split("x", 0, 2, 1, 3), split("x", 0, 2, 3, 1), split("x", 0, 2, 1, 3)
    mixed = node("MatMul", node("Softmax", node("Mul", node("MatMul", q, k), weight(1)), axis=-1), v)
    joined = node("Reshape", node("Transpose", mixed, perm=[0, 2, 1, 3]), numbers(0, 0, width))
    first = node("Add", dense(joined, width, width), "x")
    normal = node("LayerNormalization", first, weight(width), weight(width))
    gate = dense(normal, width, hidden)
    second = node("Add", dense(node("Mul", gate, node("Sigmoid", gate)), hidden, width), normal)
    node("LayerNormalization", second, weight(width), weight(width))
    nodes[-1].output[0] = "y"
    shape = [batch, length, width]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "encoder", info[:1], info[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    return data, onnxruntime.InferenceSession(data)


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (2, 7), (3, 16), (2, 0)])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_encoder_layer(runner: ModelRunner, batch: int, length: int, dynamic: bool) -> None:
    """A transformer layer with its transposes and reshapes moved agrees with ONNX Runtime."""
    if length == 0 and not dynamic:
        pytest.skip("ONNX Runtime refuses to build it")
    model, session = _encoder("b", "s") if dynamic else _encoder(batch, length)
    x = np.random.default_rng(1).standard_normal((batch, length, 32)).astype(np.float32)
    (result,) = runner.run(model, [x])
    expected = np.zeros_like(x) if length == 0 else session.run(None, {"x": x})[0]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
