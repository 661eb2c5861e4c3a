"""What a benchmark runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]
Built = tuple[onnx.ModelProto, dict[str, Array]]
# What `jax.export` serializes to.
BuiltProgram = tuple[bytes, dict[str, Array]]


def onnx_model(
    nodes: list[Any], inputs: dict[str, Array], outputs: list[Any], weights: dict[str, Array], opset: int
) -> Built:
    """A model of `nodes`; `outputs` are ValueInfoProtos, weights are initializers."""
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), inputs
