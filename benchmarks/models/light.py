"""The light models of the onnx package, with weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.models.built import Built

LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet",
         "vgg19", "zfnet512")  # fmt: skip


def light(name: str) -> Built:
    """A `light_*` model of the onnx package with random weights in place of its constant fills.

    Weights are scaled by their fan-in so that activations stay finite; vectors (scales, variances, biases) are
    positive and below 1, which keeps softmax from saturating.
    """
    path = Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx"
    model = onnx.load(path)
    random = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = tuple(int(extent) for extent in shapes[node.input[0]])
        if len(shape) >= 2:
            values = random.standard_normal(shape) * np.sqrt(0.5 / np.prod(shape[1:]))
        else:
            values = random.uniform(0.6, 1.0, shape)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    initializers = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)
    # Old models list initializers among the inputs; what is left is what a caller gives.
    given = [value for value in model.graph.input if value.name in used and value.name not in shapes]
    del model.graph.input[:]
    model.graph.input.extend(given)
    model.ir_version = 8
    inputs = {
        value.name: random.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(np.float32)
        for value in given
    }
    return model, inputs
