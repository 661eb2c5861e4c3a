"""Recurrent networks against ONNX Runtime: open and known lengths, directions, lengths per sequence, initial states."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _model(kind: str, time: int | str, batch: int, hidden: int, direction: str, *, lengths: bool, states: bool) -> Any:
    """A network of one node with 5 inputs per step."""
    random = np.random.default_rng(0)
    directions, gates = 2 if direction == "bidirectional" else 1, _GATES[kind]
    shapes = {"w": (gates * hidden, 5), "r": (gates * hidden, hidden), "b": (2 * gates * hidden,)}
    constants = [
        numpy_helper.from_array(random.uniform(-0.5, 0.5, (directions, *shape)).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    inputs = {"x": (TensorProto.FLOAT, [time, batch, 5])}
    names = ["x", "w", "r", "b", "lengths" if lengths else ""]
    if lengths:
        inputs["lengths"] = (TensorProto.INT32, [batch])
    if states:
        for name in ("h", "c") if kind == "LSTM" else ("h",):
            inputs[name] = (TensorProto.FLOAT, [directions, batch, hidden])
            names.append(name)
    results = ["y", "last", "cell"] if kind == "LSTM" else ["y", "last"]
    attributes = {"linear_before_reset": 1} if kind == "GRU" and direction == "reverse" else {}
    node = helper.make_node(kind, names, results, "net", hidden_size=hidden, direction=direction, **attributes)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "net",
        [value(name, element, shape) for name, (element, shape) in inputs.items()],
        [value(name, TensorProto.FLOAT, None) for name in results],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _inputs(model: Any, time: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(time)
    made: dict[str, np.ndarray] = {}
    for tensor in model.graph.input:
        shape = [dim.dim_value or time for dim in tensor.type.tensor_type.shape.dim]
        if tensor.name == "lengths":
            made[tensor.name] = random.integers(1, time + 1, shape).astype(np.int32)
        else:
            made[tensor.name] = random.standard_normal(shape).astype(np.float32)
    return made


def _compare(model: Any, times: list[int]) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    run = mlirage.load(mlirage.compile(model))
    for time in times:
        inputs = _inputs(model, time)
        expected = session.run(None, inputs)
        for got, wanted in zip(run(*inputs.values()), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", list(_GATES))
def test_open_length(kind: str, direction: str) -> None:
    # 1 and 2 steps are less than a long step of the unrolled loop, 64 and 65 are some and one more
    _compare(_model(kind, "time", 3, 7, direction, lengths=False, states=False), [1, 2, 33, 64, 65])


@pytest.mark.parametrize("kind", list(_GATES))
def test_known_length_and_states(kind: str) -> None:
    _compare(_model(kind, 13, 2, 32, "bidirectional", lengths=False, states=True), [13])


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_lengths_per_sequence(kind: str) -> None:
    _compare(_model(kind, "time", 4, 8, "forward", lengths=True, states=True), [1, 6, 40])


def test_no_steps() -> None:
    model = _model("LSTM", "time", 2, 8, "bidirectional", lengths=False, states=True)
    inputs = _inputs(model, 0)
    y, last, cell = mlirage.load(mlirage.compile(model))(*inputs.values())
    assert y.shape == (0, 2, 2, 8)
    np.testing.assert_array_equal(last, inputs["h"])
    np.testing.assert_array_equal(cell, inputs["c"])
