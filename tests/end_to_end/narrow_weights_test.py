"""Products with constant weights of bf16 and f16 that the model widens: they stay narrow, the kernel widens them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage


def _model(weights: Any, turned: bool) -> Any:
    nodes = [helper.make_node("Cast", ["q"], ["w"], to=TensorProto.FLOAT)]
    if turned:
        nodes.append(helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]))
    nodes.append(helper.make_node("MatMul", ["x", "t" if turned else "w"], ["y"]))
    depth, columns = weights.shape[::-1] if turned else weights.shape
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
        for name, size in (("x", depth), ("y", columns))
    )
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weights, "q")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("dtype", "depth", "columns", "turned"),
    [
        (ml_dtypes.bfloat16, 37, 19, True),
        (ml_dtypes.bfloat16, 130, 133, False),
        (np.float16, 130, 33, True),
        (np.float16, 256, 300, False),
    ],
)
def test_products(dtype: Any, depth: int, columns: int, turned: bool) -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((columns, depth) if turned else (depth, columns)).astype(dtype)
    module = mlirage.compile(_model(weights, turned))
    wide = weights.astype(np.float64).T if turned else weights.astype(np.float64)
    run = mlirage.load(module)
    for rows in (0, 1, 7, 64):
        x = generator.standard_normal((rows, depth)).astype(np.float32)
        (y,) = run(x)
        np.testing.assert_allclose(np.asarray(y), x @ wide, rtol=1e-4, atol=1e-3)


def test_weights_stay_narrow() -> None:
    weights = np.random.default_rng(0).standard_normal((512, 512)).astype(ml_dtypes.bfloat16)
    assert len(mlirage.compile(_model(weights, turned=False))) < 3 * weights.size
