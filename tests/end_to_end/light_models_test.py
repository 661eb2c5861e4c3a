"""The nine `light_*` models of the onnx package give their bundled outputs; the digits model equals ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import mlirage

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
EXAMPLES = Path(__file__).parents[2] / "examples"


def bundled_input(model: onnx.ModelProto) -> np.ndarray:
    """The input that the bundled outputs belong to: 0, 1/n, 2/n, … (onnx.backend.test.runner)."""
    constants = {tensor.name for tensor in model.graph.initializer}
    (value,) = [value for value in model.graph.input if value.name not in constants]
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


@pytest.mark.parametrize("path", sorted(LIGHT.glob("light_*.onnx")), ids=lambda path: path.stem)
def test_light_model(path: Path) -> None:
    """Compiled from the file as it is (opset 9)."""
    module = mlirage.compile(path)
    run = mlirage.load(module)
    (result,) = run(bundled_input(onnx.load(path)))
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.with_name(f"{path.stem}_output_0.pb").read_bytes())
    np.testing.assert_allclose(result, numpy_helper.to_array(tensor), rtol=1e-3, atol=1e-5)
    # The weights are constant fills: megabytes in memory, nothing in the file.
    assert len(bytes(module)) < 3 << 20


def test_digits_equal_onnxruntime() -> None:
    """Every held-out digit gets the label that ONNX Runtime gives it, for any batch size."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = EXAMPLES / "digits/digits.onnx"
    held_out = np.load(EXAMPLES / "digits/held_out.npz")
    images, labels = held_out["images"], held_out["labels"]
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": images})
    run = mlirage.load(mlirage.compile(path))
    (scores,) = run(images)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(scores.argmax(1), expected.argmax(1))
    assert (scores.argmax(1) == labels).mean() >= 0.97
    for batch in (0, 1, 2, 3, 7, 16, 17, 64, 127):
        (scores,) = run(images[:batch])
        np.testing.assert_allclose(scores, expected[:batch], rtol=1e-4, atol=1e-4)
