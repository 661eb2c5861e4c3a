"""Single layers and small nets, written as exporters write them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from benchmarks.models.built import Array, Built, onnx_model


def _model(
    nodes: list[Any], inputs: dict[str, Array], outputs: dict[str, list[Any]], weights: dict[str, Array]
) -> Built:
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    return onnx_model(nodes, inputs, made, weights, opset=17)


def add4() -> Built:
    """Four numbers added to four numbers: call overhead and nothing else."""
    x = np.arange(4, dtype=np.float32)
    return _model([helper.make_node("Add", ["x", "y"], ["z"])], {"x": x, "y": x + 1}, {"z": [4]}, {})


def matmul(m: int = 512, n: int = 512, k: int = 512) -> Built:
    """[m, k] x constant [k, n], f32."""
    random = np.random.default_rng(0)
    return _model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": random.standard_normal((m, k)).astype(np.float32)},
        {"y": [m, n]},
        {"w": random.standard_normal((k, n)).astype(np.float32)},
    )


def transformer_layer(sequence: int = 128, width: int = 768, heads: int = 12) -> Built:
    """A post-norm encoder layer as exporters write it: attention, two layer norms, GELU through Erf."""
    random = np.random.default_rng(0)
    weights: dict[str, Array] = {}
    nodes: list[Any] = []

    def weight(name: str, *shape: int) -> str:
        weights[name] = (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        return name

    def constant(name: str, value: Any, dtype: Any = np.float32) -> str:
        weights[name] = np.asarray(value, dtype)
        return name

    def op(operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output

    def dense(x: str, name: str, inner: int, outer: int) -> str:
        return op("Add", op("MatMul", x, weight(f"{name}.weight", inner, outer)), weight(f"{name}.bias", outer))

    def norm(x: str, name: str) -> str:
        scale, bias = constant(f"{name}.weight", np.ones(width)), constant(f"{name}.bias", np.zeros(width))
        return op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)

    split = constant("split", [1, sequence, heads, width // heads], np.int64)
    joined = constant("joined", [1, sequence, width], np.int64)
    query, key, value = (
        op("Transpose", op("Reshape", dense("x", name, width, width), split), perm=perm)
        for name, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
    )
    scores = op("Div", op("MatMul", query, key), constant("root", np.sqrt(width // heads)))
    mixed = op("Transpose", op("MatMul", op("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    attended = norm(op("Add", "x", dense(op("Reshape", mixed, joined), "output", width, width)), "norm1")
    inner = dense(attended, "up", width, 4 * width)
    half = op("Mul", inner, constant("half", 0.5))
    erf = op("Erf", op("Div", inner, constant("root2", np.sqrt(2))))
    gelu = op("Mul", half, op("Add", erf, constant("one", 1.0)))
    result = norm(op("Add", attended, dense(gelu, "down", 4 * width, width)), "norm2")
    op("Identity", result, output="y")
    x = random.standard_normal((1, sequence, width)).astype(np.float32)
    return _model(nodes, {"x": x}, {"y": [1, sequence, width]}, weights)


def lstm(sequence: int = 64, width: int = 256) -> Built:
    """One unidirectional LSTM layer at batch 1."""
    random = np.random.default_rng(0)
    scale = 1 / np.sqrt(width)
    weights = {
        "w": random.uniform(-scale, scale, (1, 4 * width, width)).astype(np.float32),
        "r": random.uniform(-scale, scale, (1, 4 * width, width)).astype(np.float32),
        "b": random.uniform(-scale, scale, (1, 8 * width)).astype(np.float32),
    }
    x = random.standard_normal((sequence, 1, width)).astype(np.float32)
    node = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], "lstm", hidden_size=width)
    return _model([node], {"x": x}, {"y": [sequence, 1, 1, width]}, weights)


def mlp(batch: int, widths: tuple[int, ...] = (784, 1024, 1024, 10)) -> Built:
    """Three dense layers with ReLU between them, [batch, 784] -> [batch, 10]."""
    random = np.random.default_rng(0)
    weights: dict[str, Array] = {}
    nodes: list[Any] = []
    value = "x"
    for index, (inner, outer) in enumerate(itertools.pairwise(widths)):
        weights[f"w{index}"] = (random.standard_normal((inner, outer)) / np.sqrt(inner)).astype(np.float32)
        weights[f"b{index}"] = random.standard_normal(outer).astype(np.float32)
        last = index == len(widths) - 2
        result = "y" if last else f"dense{index}"
        nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [result]))
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"relu{index}"]))
        value = f"relu{index}"
    x = random.standard_normal((batch, widths[0])).astype(np.float32)
    return _model(nodes, {"x": x}, {"y": [batch, widths[-1]]}, weights)
