"""Models in integers, as ONNX Runtime's own tools quantize them: QDQ graphs of int8, and int8 or int4 weights alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.models import decoders, exported
from benchmarks.models.built import Built


def static_int8(built: Built) -> Built:
    """Activations and weights in 8 bits (QDQ, symmetric weights per channel), calibrated on the benchmark's input."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_static

    model, inputs = built

    class Once(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [inputs]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder) / name for name in ("source.onnx", "prepared.onnx", "target.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, target, Once(), per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8)  # fmt: skip
        return onnx.load(target), inputs


def weights_only(built: Built, bits: int, block: int = 32) -> Built:
    """Weights of matrix products in `bits` bits, symmetric, with a scale per column and `block` rows.

    They are dequantized where they are used (DequantizeLinear of opset 21), which every contender may fuse.
    """
    model, inputs = built
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    dtype = ml_dtypes.int4 if bits == 4 else np.int8
    largest = 2 ** (bits - 1) - 1
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            name = node.input[1]
            values = numpy_helper.to_array(weights[name])
            blocks = values.reshape(-1, block, values.shape[1])
            scales = np.maximum(np.abs(blocks).max(1), 1e-8) / largest
            numbers = np.rint(blocks / scales[:, None]).reshape(values.shape).astype(dtype)
            model.graph.initializer.append(numpy_helper.from_array(numbers, f"{name}.quantized"))
            model.graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{name}.scales"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}.quantized", f"{name}.scales"],
                                          [f"{name}.real"], axis=0, block_size=block))  # fmt: skip
            model.graph.initializer.remove(weights[name])
            node.input[1] = f"{name}.real"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import[0].version = 21
    model.ir_version = 10
    return model, inputs


MODELS: dict[str, Callable[[], Built]] = {
    "resnet50_int8": lambda: static_int8(exported.resnet50()),
    "mobilenet_v2_int8": lambda: static_int8(exported.MODELS["mobilenet_v2"]()),
    "llama_110m_decode_int8": lambda: weights_only(decoders.MODELS["llama_110m_decode"](), 8),
    "llama_110m_decode_int4": lambda: weights_only(decoders.MODELS["llama_110m_decode"](), 4),
}
