"""Starts and ends of Slice beyond its axis, clamped as the operator's text says."""

from __future__ import annotations

import itertools

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import mlirage

FAR = 2**63 - 1
CASES = list(itertools.product((1, 5), (-100, -6, -5, 0, 2, 7), (-100, -3, 0, 9, -FAR), (1, 2, -1, -2)))


def expected(extent: int, start: int, end: int, step: int) -> list[int]:
    """Positions that are read: negative ones count from the end, then starts and ends are clamped."""
    start, end = (place + extent if place < 0 else place for place in (start, end))
    last, least_end = (extent, 0) if step > 0 else (extent - 1, -1)
    return list(range(min(max(start, 0), last), min(max(end, least_end), last), step))


def test_every_clamping() -> None:
    nodes, constants = [], []
    for number, (extent, *values) in enumerate(CASES):
        names = [f"{name}{number}" for name in ("start", "end", "step")]
        constants += [numpy_helper.from_array(np.array([v], np.int64), n) for n, v in zip(names, values, strict=True)]
        nodes.append(helper.make_node("Slice", [f"x{extent}", *names[:2], "axes", names[2]], [f"y{number}"]))
    constants.append(numpy_helper.from_array(np.array([0], np.int64), "axes"))
    graph = helper.make_graph(
        nodes, "slices",
        [helper.make_tensor_value_info(f"x{n}", TensorProto.FLOAT, [n]) for n in (1, 5)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [None]) for i in range(len(CASES))],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    results = mlirage.load(mlirage.compile(model))(np.arange(1, dtype=np.float32), np.arange(5, dtype=np.float32))
    for case, result in zip(CASES, results, strict=True):
        np.testing.assert_array_equal(result, np.array(expected(*case), np.float32), str(case))
