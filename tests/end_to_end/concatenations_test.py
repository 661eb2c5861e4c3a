"""Concatenations, splits and slices whose parts are written and read in place, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage
from mlirage.module_file import ModuleFile

_RANDOM = np.random.default_rng(0)


def _floats(*shape: int) -> Any:
    return _RANDOM.standard_normal(shape, np.float32)


def _conv(x: str, weight: str, result: str, **attributes: Any) -> Any:
    return helper.make_node("Conv", [x, weight], [result], **attributes)


def _relu(x: str, result: str) -> Any:
    return helper.make_node("Relu", [x], [result])


def _concat(parts: list[str], result: str, axis: int = 1) -> Any:
    return helper.make_node("Concat", parts, [result], axis=axis)


_X = {"x": _floats(1, 8, 7, 5)}
_WEIGHTS = {
    "w1": _floats(5, 8, 1, 1),
    "w3": _floats(6, 8, 3, 3),
    "w5": _floats(3, 8, 1, 1),
    "v": _floats(4, 14, 1, 1),
    "u": _floats(3, 5, 1, 1),
    "q": _floats(1, 2, 7, 5),
    "s": np.array([6, 8]),
    "first": np.array([2]),
    "last": np.array([9]),
    "channels": np.array([1]),
    "border": np.array([0, 1, 2, 1, 0, 0, 1, 3]),
    "t": _floats(8, 6, 2, 2),
    "half": _floats(4, 11, 3, 3),
}
_BRANCHES = [_conv("x", "w1", "a"), _conv("x", "w3", "b", pads=[1] * 4), _conv("x", "w5", "c")]
_ALL = [*_BRANCHES, _concat(["a", "b", "c"], "k")]


def _dense(layers: int) -> tuple[list[Any], dict[str, Any]]:
    """Every layer reads all that were before: each tensor of the chain is a part of the next one."""
    nodes, weights, last = [_conv("x", "w1", "d0")], {}, "d0"
    for i in range(layers):
        weights[f"dense{i}"] = 0.2 * _floats(3, 5 + 3 * i, 3, 3)
        new = [_relu(last, f"r{i}"), _conv(f"r{i}", f"dense{i}", f"y{i}", pads=[1] * 4)]
        nodes += [*new, _concat([last, f"y{i}"], f"d{i + 1}")]
        last = f"d{i + 1}"
    return nodes, weights


_DENSE, _DENSE_WEIGHTS = _dense(4)
_CASES: dict[str, tuple[list[Any], dict[str, Any], list[str]]] = {
    "returned": (_ALL, _X, ["k"]),
    "consumed": ([*_ALL, _conv("k", "v", "y")], _X, ["y"]),
    "returned and consumed": ([*_ALL, _conv("k", "v", "y")], _X, ["y", "k"]),
    "part returned": ([*_ALL, _conv("k", "v", "y")], _X, ["y", "a"]),
    "part read elsewhere": ([*_ALL, _relu("a", "z"), _conv("k", "v", "y")], _X, ["y", "z"]),
    "same part twice": ([*_BRANCHES, _concat(["a", "b", "a"], "k")], _X, ["k"]),
    "nothing else twice": ([*_BRANCHES, _concat(["a", "a"], "k")], _X, ["k"]),
    "argument and constant": ([*_BRANCHES, _concat(["x", "q", "b"], "k")], _X, ["k"]),
    "part of two": ([*_BRANCHES, _concat(["a", "b"], "k"), _concat(["b", "a"], "l")], _X, ["k", "l"]),
    "later part first": ([_conv("x", "w1", "a"), _conv("a", "u", "b"), _concat(["b", "a"], "k")], _X, ["k"]),
    "nested": ([*_BRANCHES, _concat(["a", "b"], "k"), _concat(["c", "k"], "l"), _concat(["l", "k"], "y")], _X, ["y"]),
    "dense": (_DENSE, _X, ["d4"]),
    "dense, parts returned": (_DENSE, _X, ["d4", "d1", "d3"]),
    "sliced": ([*_ALL, helper.make_node("Slice", ["k", "first", "last", "channels"], ["y"])], _X, ["y"]),
    "split": (
        [*_ALL, helper.make_node("Split", ["k", "s"], ["g", "h"], axis=1), _conv("g", "w6", "y"), _relu("h", "z")],
        _X,
        ["y", "z"],
    ),
    "nothing": (_ALL, {"x": _floats(0, 8, 7, 5)}, ["k"]),
    "batch": (_ALL, {"x": _floats(3, 8, 7, 5)}, ["k"]),
    "rows": ([_conv("x", "w1", "a"), _conv("x", "w2", "b"), _concat(["a", "b"], "k", 2)], _X, ["k"]),
    "columns": ([_conv("x", "w1", "a"), _conv("x", "w2", "b"), _concat(["a", "b"], "k", 3)], _X, ["k"]),
    "padded": ([_conv("x", "w1", "a"), helper.make_node("Pad", ["a", "border"], ["y"])], _X, ["y"]),
    "added": ([*_ALL, helper.make_node("Add", ["k", "z"], ["y"])], {**_X, "z": _floats(1, 14, 7, 5)}, ["y"]),
    "upsampled": (
        [
            helper.make_node("ConvTranspose", ["x", "t"], ["a"], strides=[2, 2]),
            _conv("z", "w1", "b"),
            _concat(["b", "a"], "k"),
            _conv("k", "half", "y", pads=[1] * 4),
        ],
        {**_X, "z": _floats(1, 8, 14, 10)},
        ["y"],
    ),
    "softmax beside products": (
        [
            helper.make_node("MatMul", ["m", "p"], ["a"]),
            helper.make_node("Softmax", ["a"], ["b"]),
            _concat(["a", "b", "a"], "k"),
        ],
        {"m": _floats(9, 7)},
        ["k"],
    ),
}
_WEIGHTS |= {"w2": _floats(5, 8, 1, 1), "w6": _floats(3, 6, 3, 3), "p": _floats(7, 33), **_DENSE_WEIGHTS}


def _model(name: str, dynamic: bool) -> Any:
    nodes, arguments, results = _CASES[name]
    used = {value for node in nodes for value in node.input}
    inputs = [
        helper.make_tensor_value_info(k, TensorProto.FLOAT, ["batch", *v.shape[1:]] if dynamic else v.shape)
        for k, v in arguments.items()
    ]
    outputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in results]
    weights = [numpy_helper.from_array(v, k) for k, v in _WEIGHTS.items() if k in used]
    graph = helper.make_graph(nodes, "concatenation", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _check(name: str, dynamic: bool = False) -> list[str]:
    """Runs a case some times, as memory is used again; returns the names of its dispatches."""
    model = _model(name, dynamic)
    arguments = list(_CASES[name][1].values())
    given = dict(zip(_CASES[name][1], arguments, strict=True))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    wanted = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, given)
    module = mlirage.compile(model)
    function = mlirage.load(module, device="local-task", threads=2)
    for _ in range(3):
        got = function(*arguments)
        for a, b in zip(got if isinstance(got, tuple | list) else [got], wanted, strict=True):
            np.testing.assert_allclose(np.asarray(a), b, rtol=1e-4, atol=2e-5)
    return list(ModuleFile.read_dispatches(bytes(module)))


@pytest.mark.parametrize("name", _CASES)
def test_equals_onnx_runtime(name: str) -> None:
    _check(name)


@pytest.mark.parametrize("name", ["consumed", "same part twice", "later part first", "sliced"])
def test_open_batch(name: str) -> None:
    _check(name, dynamic=True)


@pytest.mark.parametrize("name", ["consumed", "upsampled", "later part first", "same part twice"])
def test_parts_are_not_copied(name: str) -> None:
    assert not any("insert_slice" in dispatch for dispatch in _check(name))


def test_an_argument_is_copied() -> None:
    assert any("insert_slice" in name for name in _check("argument and constant"))


def test_products_keep_their_schedule() -> None:
    """A part that is itself a concatenation is copied by a dispatch of its own, not by the product that ends it."""
    dispatches = ModuleFile.read_dispatches(bytes(mlirage.compile(_model("dense", dynamic=False), winograd="off")))
    kinds = {name: fact["kind"] for name, fact in dispatches.items() if "conv" in name}
    assert len(kinds) >= 3
    assert set(kinds.values()) <= {"contraction", "window"}, kinds
