"""Decoders whose weights are narrow: bf16, and the large shape in bf16, int8 and int4."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.models import decoders, quantized
from benchmarks.models.built import Built


def brain_floats(built: Built) -> Built:
    """Weights of matrix products in bf16, cast where they are used: contenders may fuse that, or widen them once."""
    model, inputs = built
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            name = node.input[1]
            values = numpy_helper.to_array(weights[name]).astype(ml_dtypes.bfloat16)
            model.graph.initializer.append(numpy_helper.from_array(values, f"{name}.narrow"))
            nodes.append(helper.make_node("Cast", [f"{name}.narrow"], [f"{name}.real"], to=TensorProto.FLOAT))
            model.graph.initializer.remove(weights[name])
            node.input[1] = f"{name}.real"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model, inputs


_SMALL, _LARGE = decoders.MODELS["llama_110m_decode"], decoders.MODELS["llama_1b_4_layers_decode"]

MODELS: dict[str, Callable[[], Built]] = {
    "llama_110m_decode_bf16": lambda: brain_floats(_SMALL()),
    "llama_1b_4_layers_decode_bf16": lambda: brain_floats(_LARGE()),
    "llama_1b_4_layers_decode_int8": lambda: quantized.weights_only(_LARGE(), 8),
    "llama_1b_4_layers_decode_int4": lambda: quantized.weights_only(_LARGE(), 4),
}
