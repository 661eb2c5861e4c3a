"""Numeric operators on every element type, against ONNX's own evaluator: a model per type (`make test-all`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.importers.model_runner import ModelRunner, difference

TYPES = {
    "float16": (TensorProto.FLOAT16, np.float16),
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    "double": (TensorProto.DOUBLE, np.float64),
    "int8": (TensorProto.INT8, np.int8),
    "int16": (TensorProto.INT16, np.int16),
    "int32": (TensorProto.INT32, np.int32),
    "int64": (TensorProto.INT64, np.int64),
    "uint8": (TensorProto.UINT8, np.uint8),
    "uint16": (TensorProto.UINT16, np.uint16),
    "uint32": (TensorProto.UINT32, np.uint32),
    "uint64": (TensorProto.UINT64, np.uint64),
}
OPSET = 22
# operator, inputs, attributes, number of outputs
CASES: list[tuple[str, list[str], dict[str, Any], int]] = [
    *((op, ["a", "b"], {}, 1) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "Equal", "BitwiseXor")),
    ("Pow", ["positive", "two"], {}, 1), ("Mod", ["a", "b"], {"fmod": 1}, 1), ("MatMul", ["a", "turned"], {}, 1),
    *((op, ["a"], {}, 1) for op in ("Abs", "Neg", "Sign", "Relu", "Exp", "Floor", "Tanh", "Softmax", "NonZero")),
    *((op, ["a"], {}, 1) for op in ("IsNaN", "Round", "Erf", "Sigmoid", "Trilu", "Transpose")),
    ("Sqrt", ["positive"], {}, 1), ("ArgMax", ["a"], {"axis": 1}, 1),
    *((op, ["a", "axes"], {}, 1) for op in ("ReduceSum", "ReduceMax", "ReduceMean", "ReduceProd", "ReduceMin")),
    ("CumSum", ["a", "axis"], {}, 1), ("TopK", ["row", "k"], {}, 2), ("Clip", ["a", "low", "high"], {}, 1),
    ("Gather", ["a", "places"], {"axis": 0}, 1), ("Where", ["condition", "a", "b"], {}, 1),
    ("Concat", ["a", "b"], {"axis": 1}, 1), ("Pad", ["a", "pads", "two"], {}, 1), ("Expand", ["a", "shape"], {}, 1),
    ("Unique", ["row"], {}, 4), ("ScatterElements", ["a", "places", "updates"], {"axis": 1, "reduction": "add"}, 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


def takes(op: str, kind: str) -> bool:
    """Whether the operator's first input may be of the type."""
    schema = onnx.defs.get_schema(op, OPSET, "")
    allowed = {t.type_param_str: t.allowed_type_strs for t in schema.type_constraints}
    name = schema.inputs[0].type_str
    return f"tensor({kind})" in allowed.get(name, [name])


@pytest.mark.parametrize("kind", TYPES)
def test_type(runner: ModelRunner, kind: str) -> None:
    number, dtype = TYPES[kind]
    random = np.random.default_rng(0)
    floats = kind in ("float16", "bfloat16", "double")
    lowest = 0 if kind.startswith("u") else -6
    a = random.normal(size=(3, 5)) * 2 if floats else random.integers(lowest, 9, (3, 5))
    b = random.normal(size=(3, 5)) + 3 if floats else random.integers(1, 5, (3, 5))
    inputs = {
        "a": a.astype(dtype),
        "b": b.astype(dtype),
        "positive": np.abs(a).astype(dtype),
        "row": np.array([5, 1, 4, 2, 3]).astype(dtype),
        "turned": np.ascontiguousarray(b.T).astype(dtype),
    }
    constants = {
        "two": np.array(2).astype(dtype), "low": np.array(1).astype(dtype), "high": np.array(3).astype(dtype),
        "updates": np.array([[1, 2]]).astype(dtype), "axes": np.array([1]), "axis": np.array(1), "k": np.array([2]),
        "places": np.array([[2, 0]]), "pads": np.array([0, 1, 1, 0]), "shape": np.array([2, 3, 5]),
        "condition": np.array([[True], [False], [True]]),
    }  # fmt: skip
    initializers = [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()]
    values = [helper.make_tensor_value_info(name, number, list(x.shape)) for name, x in inputs.items()]

    def model(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
        outputs = [onnx.ValueInfoProto(name=name) for node in nodes for name in node.output]
        graph = helper.make_graph(nodes, "g", values, outputs, initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)

    nodes = [
        helper.make_node(op, given, [f"{op}_{i}_{k}" for k in range(count)], **attributes)
        for i, (op, given, attributes, count) in enumerate(CASES)
        if takes(op, kind)
    ]
    results = iter(runner.run(model(nodes).SerializeToString(), list(inputs.values())))
    wrong: list[str] = []
    for node in nodes:
        with np.errstate(all="ignore"):
            for name, want in zip(node.output, ReferenceEvaluator(model([node])).run(None, inputs), strict=True):
                problem = difference(np.asarray(want), next(results), 1e-3, 1e-5)
                wrong += [f"{name}: {problem}"] if problem else []
    assert not wrong
