"""Windows larger than what they slide over: one that is cut off with ceil_mode, an error without."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

import mlirage

X = np.random.default_rng(0).standard_normal((1, 3, 7, 7), np.float32)


def pool(operator: str, **attributes: object) -> ModelProto:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], "pool", **attributes)], "pooling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("kernel", [8, 20])
def test_window_larger_than_the_image(operator: str, kernel: int) -> None:
    """As PyTorch exports the global pooling of EfficientNet: a window of 1280 over 7 positions."""
    model = pool(operator, kernel_shape=[kernel, kernel], strides=[kernel, kernel], ceil_mode=1)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    (result,) = mlirage.load(mlirage.compile(model))(X)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_no_window() -> None:
    with pytest.raises(
        mlirage.ImportFailure, match=r"'pool' \(MaxPool of float32.*\): a window of 8 does not fit in 7 positions"
    ):
        mlirage.compile(pool("MaxPool", kernel_shape=[8, 8]))
