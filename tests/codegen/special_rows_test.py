"""Sorts, top-k and scans whose rows are distributed, and vectors of them, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage


def _run(node: Any, outputs: dict[str, int], x: np.ndarray, constant: np.ndarray, shape: list[Any]) -> list[np.ndarray]:
    graph = helper.make_graph(
        [node],
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(constant, "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return list(mlirage.load(mlirage.compile(model), device="local-task", threads=2)(x))


def _top(x: np.ndarray, k: int, axis: int = -1, shape: list[Any] | None = None) -> list[np.ndarray]:
    node = helper.make_node("TopK", ["x", "c"], ["v", "i"], axis=axis)
    return _run(node, {"v": TensorProto.FLOAT, "i": TensorProto.INT64}, x, np.array([k]), shape or list(x.shape))


@pytest.mark.parametrize("k", [1, 3, 33])
@pytest.mark.parametrize("length", [33, 1000])
def test_top_of_ties_and_missing_numbers(k: int, length: int) -> None:
    random = np.random.default_rng(0)
    x = random.integers(-5, 5, (70, length)).astype(np.float32)
    x[:, ::7] = np.nan
    x[0], x[1], x[2], x[3] = 1, np.inf, np.nan, -np.inf
    values, places = _top(x, k)
    for row, value, place in zip(x, values, places, strict=True):
        numbers = np.where(np.isnan(row), np.inf, row)
        order = np.lexsort((np.arange(length), -numbers, ~np.isnan(row)))[:k]  # NaN first, then the first of equals
        np.testing.assert_array_equal(place, order)
        np.testing.assert_array_equal(value, row[order])


@pytest.mark.parametrize("rows", [0, 1, 129])
def test_top_of_open_rows_along_another_dim(rows: int) -> None:
    x = np.random.default_rng(1).standard_normal((rows, 50, 70)).astype(np.float32)
    values, places = _top(x, 4, axis=1, shape=["rows", 50, 70])
    order = np.argsort(-x, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, 1))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(60, 30, 50), (3, 0, 7), (1, 4096, 9)])
def test_running_sums(shape: tuple[int, ...], axis: int) -> None:
    x = np.random.default_rng(2).integers(-9, 9, shape).astype(np.float32)
    node = helper.make_node("CumSum", ["x", "c"], ["y"])
    for given in (list(shape), ["a", "b", "c"]):
        (y,) = _run(node, {"y": TensorProto.FLOAT}, x, np.array(axis), given)
        np.testing.assert_array_equal(y, np.cumsum(x, axis))
