"""Operators of ai.onnx.ml against ONNX Runtime: trees, support-vector machines, linear models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import mlirage
from mlirage.errors import ImportFailure
from tests.importers.model_runner import ModelRunner, difference

onnxruntime = pytest.importorskip("onnxruntime")
DOMAIN = "ai.onnx.ml"
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
random = np.random.default_rng(0)


def numbers(*shape: int) -> list[float]:
    return [float(x) for x in random.normal(size=shape).reshape(-1)]


def trees(role: str, targets: list[int], positive: bool = False) -> dict[str, Any]:
    """Four full trees of depth 3 over five features, whose leaves have a weight for each target."""
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
    weights: dict[str, list[Any]] = {f"{role}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(4):
        for i in range(15):
            leaf = i >= 7
            follow = (0, 0) if leaf else (2 * i + 1, 2 * i + 2)
            entry = (tree, i, int(random.integers(5)), float(random.integers(-2, 3)) / 2)
            row = (*entry, "LEAF" if leaf else str(random.choice(MODES)), *follow, int(random.integers(2)))
            for column, value in zip(nodes.values(), row, strict=True):
                column.append(value)
            for target in targets if leaf else []:
                weight = float(random.random() / 4 if positive else random.normal())
                for column, value in zip(weights.values(), (tree, i, target, weight), strict=True):
                    column.append(value)
    return nodes | weights


def machine(classes: int, probabilities: bool, kernel: str) -> dict[str, Any]:
    counts = [2, 3, 2, 4][:classes]
    vectors, pairs = sum(counts), classes * (classes - 1) // 2
    extra: dict[str, Any] = {"prob_a": [-1.0] * pairs, "prob_b": [0.1] * pairs} if probabilities else {}
    return extra | {
        "coefficients": numbers(classes - 1, vectors), "support_vectors": numbers(vectors, 5), "rho": numbers(pairs),
        "vectors_per_class": counts, "kernel_type": kernel, "kernel_params": [0.3, 0.5, 3.0],
        "classlabels_ints": [7, 8, 9, 5][:classes],
    }  # fmt: skip


CASES: list[tuple[str, int, dict[str, Any]]] = [
    *(
        ("TreeEnsembleRegressor", 1, {"n_targets": 3, "aggregate_function": f, "base_values": [0.5, 0.1, 0.2],
                                      **trees("target", [0, 1, 2])})
        for f in ("SUM", "AVERAGE", "MIN", "MAX")
    ),
    *(
        ("TreeEnsembleClassifier", 2, {"classlabels_int64s": [10, 20, 30], "post_transform": t,
                                       **trees("class", [0, 1, 2])})
        for t in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
    ),
    *(
        ("TreeEnsembleClassifier", 2, {"classlabels_int64s": [10, 20], "post_transform": t,
                                       **trees("class", [0], positive)})
        for t in ("NONE", "LOGISTIC") for positive in (False, True)
    ),
    ("LinearClassifier", 2, {"coefficients": numbers(1, 5), "intercepts": [0.1], "classlabels_ints": [4, 6]}),
    ("LinearClassifier", 2, {"coefficients": numbers(3, 5), "intercepts": numbers(3), "classlabels_ints": [4, 6, 5],
                             "post_transform": "SOFTMAX"}),
    ("LinearRegressor", 1, {"coefficients": numbers(2, 5), "intercepts": numbers(2), "targets": 2}),
    *(("SVMRegressor", 1, {"coefficients": numbers(6), "support_vectors": numbers(6, 5), "n_supports": 6, "rho": [0.2],
                           "kernel_type": k, "kernel_params": [0.3, 0.5, 3.0]})
      for k in ("LINEAR", "POLY", "RBF", "SIGMOID")),
    *(("SVMClassifier", 2, machine(c, p, "RBF")) for c in (2, 3, 4) for p in (False, True)),
    ("Normalizer", 1, {"norm": "L2"}), ("Normalizer", 1, {"norm": "MAX"}),
    ("Scaler", 1, {"offset": numbers(5), "scale": numbers(5)}), ("Binarizer", 1, {"threshold": 0.5}),
]  # fmt: skip


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


def model_of(op: str, outputs: int, attributes: dict[str, Any]) -> Any:
    names = [f"o{i}" for i in range(outputs)]
    node = helper.make_node(op, ["x"], names, domain=DOMAIN, **attributes)
    types = [TensorProto.INT64, TensorProto.FLOAT][2 - outputs :]
    results = [helper.make_tensor_value_info(name, t, None) for name, t in zip(names, types, strict=True)]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5])], results)
    opsets = [helper.make_opsetid(DOMAIN, 3), helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(("op", "outputs", "attributes"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_case(runner: ModelRunner, op: str, outputs: int, attributes: dict[str, Any]) -> None:
    data = model_of(op, outputs, attributes).SerializeToString()
    x = (random.integers(-4, 5, (17, 5)) / 2).astype(np.float32)
    if op == "TreeEnsembleRegressor":
        x[random.random(x.shape) < 0.2] = np.nan
    wanted = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    for want, got in zip(wanted, runner.run(data, [x]), strict=True):
        assert difference(want, got, 1e-4, 1e-5) is None


def test_labels_that_are_strings() -> None:
    attributes = {"coefficients": numbers(3, 5), "intercepts": numbers(3), "classlabels_strings": ["a", "b", "c"]}
    model = model_of("LinearClassifier", 2, attributes)
    with pytest.raises(ImportFailure, match=r"output 'o0': a tensor of strings .* cannot be a result"):
        mlirage.compile(model)
    del model.graph.output[0]
    assert mlirage.compile(model, jobs=1)


def test_trees_in_a_circle() -> None:
    attributes = trees("target", [0]) | {"n_targets": 1}
    attributes["nodes_falsenodeids"][2] = 0
    with pytest.raises(ImportFailure, match="follow each other in a circle"):
        mlirage.compile(model_of("TreeEnsembleRegressor", 1, attributes))
