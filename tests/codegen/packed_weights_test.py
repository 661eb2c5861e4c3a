"""Products by weights that are dequantized as they are read, against numpy in f64: few rows, odd sizes, blocks."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage


def _model(rows: int, columns: int, depth: int, bits: int, block: int, zeros: bool) -> tuple[Any, np.ndarray]:
    """x times dequantized weights, and the weights as floats; block 0: a scale per column."""
    random = np.random.default_rng(0)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    stored = TensorProto.INT4 if bits == 4 else TensorProto.INT8
    weights = random.integers(low, high, (depth, columns))
    shape = (depth // block, columns) if block else (columns,)
    scales = random.uniform(0.01, 0.02, shape).astype(np.float32)
    constants = [
        helper.make_tensor("q", stored, weights.shape, weights.flatten().tolist()),
        numpy_helper.from_array(scales, "s"),
    ]
    points = random.integers(low, high, shape) if zeros else np.zeros(shape, np.int64)
    if zeros:
        constants.append(helper.make_tensor("z", stored, shape, points.flatten().tolist()))
    attributes: dict[str, Any] = {"axis": 0, "block_size": block} if block else {"axis": 1}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"] if zeros else ["q", "s"], ["w"], **attributes),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "packed",
        [value("x", TensorProto.FLOAT, [rows, depth])],
        [value("y", TensorProto.FLOAT, [rows, columns])],
        constants,
    )
    if block:
        scales, points = np.repeat(scales, block, 0), np.repeat(points, block, 0)
    return (
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
        (weights - points) * scales.astype(np.float64),
    )


@pytest.mark.parametrize(
    ("rows", "columns", "depth", "bits", "block", "zeros"),
    [
        (1, 777, 1024, 4, 32, True),  # a last panel of few columns, zero points of blocks
        (1, 40, 35, 4, 0, False),  # a last word that is not full
        (3, 100, 96, 4, 16, False),
        (5, 200, 256, 4, 32, True),  # too many rows for sums of blocks
        (40, 70, 256, 4, 128, True),  # panels are widened to memory
        (1, 65, 77, 8, 0, False),
        (2, 64, 1001, 8, 0, True),
        (1, 130, 64, 8, 32, True),
        (7, 150, 1024, 8, 0, True),  # fetched ahead of their use, beyond their end
        (6, 300, 1024, 4, 32, True),
    ],
)
def test_product(rows: int, columns: int, depth: int, bits: int, block: int, zeros: bool) -> None:
    model, weights = _model(rows, columns, depth, bits, block, zeros)
    x = np.random.default_rng(1).standard_normal((rows, depth)).astype(np.float32)
    (y,) = mlirage.load(mlirage.compile(model))(x)
    expected = x @ weights
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 9])
def test_few_rows_by_many_weights(rows: int) -> None:
    random = np.random.default_rng(2)
    x, w = (random.standard_normal(shape).astype(np.float32) for shape in ((rows, 331), (331, 163)))
    value = helper.make_tensor_value_info
    types = [value(name, TensorProto.FLOAT, [rows, size]) for name, size in (("x", 331), ("y", 163))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "few", types[:1], types[1:], [numpy_helper.from_array(w, "w")])
    (y,) = mlirage.load(mlirage.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])))(x)
    np.testing.assert_allclose(y, x.astype(np.float64) @ w, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 9])
def test_products_of_brain_floats(rows: int) -> None:
    random = np.random.default_rng(3)
    x, w = (random.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((rows, 70), (70, 33)))
    x[0] = x[0].astype(np.float32) * np.float32(2.0**-128)  # denormals, and sums that are, may be 0
    if rows > 2:
        x[1, 3], x[2, 4] = np.inf, np.nan
    value = helper.make_tensor_value_info
    types = [value(name, TensorProto.BFLOAT16, [rows, size]) for name, size in (("x", 70), ("y", 33))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "brain", types[:1], types[1:], [numpy_helper.from_array(w, "w")])
    (y,) = mlirage.load(mlirage.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])))(x)
    with np.errstate(invalid="ignore"):
        expected = x.astype(np.float64) @ w.astype(np.float64)
    np.testing.assert_allclose(y[1:].astype(np.float64), expected[1:], rtol=2**-7, atol=1e-2)
    np.testing.assert_allclose(y[0].astype(np.float64), expected[0], rtol=2**-7, atol=100 * 2.0**-126)


def test_infinite_and_missing_numbers() -> None:
    model, weights = _model(1, 33, 64, 4, 32, False)
    x = np.ones((1, 64), np.float32)
    x[0, 5] = np.inf
    (y,) = mlirage.load(mlirage.compile(model))(x)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(y, (x @ weights.astype(np.float32)))
