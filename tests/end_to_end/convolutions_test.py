"""Convolutions from ONNX to results, against PyTorch in f64: stems, depthwise, grouped, transposed, dynamic."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

import mlirage

Case = dict[str, Any]
_FUNCTIONS = {
    "Conv": (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d),
    "ConvTranspose": (
        torch.nn.functional.conv_transpose1d,
        torch.nn.functional.conv_transpose2d,
        torch.nn.functional.conv_transpose3d,
    ),
}


def _check(operator: str, cases: list[Case], dynamic: bool = False) -> None:
    """All cases are nodes of one model: each reads an input of its own and gives a result."""
    random = np.random.default_rng(7)
    nodes, weights, given, wanted = [], [], [], []
    for number, case in enumerate(cases):
        x = random.standard_normal(case["x"], np.float32)
        w = random.standard_normal(case["w"], np.float32)
        groups, spatial = case.get("groups", 1), x.ndim - 2
        bias = random.standard_normal(w.shape[0] if operator == "Conv" else w.shape[1] * groups, np.float32)
        stride, padding, dilation = (case.get(k, d) for k, d in (("stride", 1), ("padding", 0), ("dilation", 1)))
        per_axis = {k: [v] * spatial for k, v in (("strides", stride), ("dilations", dilation))}
        arguments = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        if operator == "ConvTranspose":
            per_axis["output_padding"] = [case.get("more", 0)] * spatial
            arguments["output_padding"] = case.get("more", 0)
        names = [f"{kind}{number}" for kind in "xwby"]
        nodes.append(
            helper.make_node(
                operator, names[:3], names[3:], names[3], group=groups, pads=[padding] * 2 * spatial, **per_axis
            )
        )
        weights += [numpy_helper.from_array(w, names[1]), numpy_helper.from_array(bias, names[2])]
        given.append(x)
        tensors = [torch.from_numpy(a.astype(np.float64)) for a in (x, w, bias)]
        wanted.append(_FUNCTIONS[operator][spatial - 1](*tensors, **arguments).numpy())

    def value(kind: str, number: int, array: np.ndarray[Any, Any]) -> onnx.ValueInfoProto:
        shape = [f"{kind}{number}_{i}" if dynamic and i != 1 else d for i, d in enumerate(array.shape)]
        return helper.make_tensor_value_info(f"{kind}{number}", onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "convolutions",
        [value("x", i, x) for i, x in enumerate(given)],
        [value("y", i, y) for i, y in enumerate(wanted)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    results = mlirage.load(mlirage.compile(model), device="local-sync")(*given)
    for case, result, expected in zip(cases, results, wanted, strict=True):
        assert result.shape == expected.shape, case
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(result / scale, expected / scale, atol=3e-6, err_msg=str(case))


_STEMS: list[Case] = [
    {"x": (1, channels, extent, extent + 3), "w": (24, channels, k, k), "stride": 2, "padding": k // 2}
    for channels, extent, k in ((1, 9, 3), (3, 32, 3), (3, 21, 7), (4, 17, 5), (5, 17, 3))
]
_DEPTHWISE: list[Case] = [
    {"x": (1, channels, extent, width), "w": (channels, 1, k, k), "groups": channels, **geometry}
    for channels, extent, width, k, geometry in (
        (8, 7, 7, 5, {"padding": 2}),
        (33, 14, 13, 3, {"padding": 1, "stride": 2}),
        (17, 5, 29, 5, {"padding": 2, "stride": 2}),
        (16, 9, 57, 3, {"padding": 1}),
        (3, 11, 19, 3, {"padding": 2, "dilation": 2}),
        (5, 3, 1, 3, {"padding": 1}),
        (4, 2, 2, 5, {"padding": 2}),
        (6, 12, 23, 7, {"padding": 3}),
        (6, 12, 9, 3, {"padding": 3}),
    )
]
# Columns that leave one, a register's width, or more for the last panel; grouped; 1-D and 3-D.
_COLUMNS: list[Case] = [
    *({"x": (1, 9, 7, 7), "w": (f, 9, 1, 1)} for f in (1, 16, 17, 40, 48, 72)),
    {"x": (1, 64, 7, 7), "w": (160, 64, 3, 3), "padding": 1},
    {"x": (1, 8, 13, 13), "w": (68, 2, 3, 3), "groups": 4, "padding": 1},
    {"x": (1, 1024, 7, 7), "w": (200, 1024, 1, 1)},
    {"x": (2, 6, 31), "w": (19, 6, 5), "padding": 2, "dilation": 2},
    {"x": (1, 3, 5, 6, 7), "w": (10, 3, 3, 3, 3), "padding": 1, "stride": 2},
]
# Tiles that are whole rows of a result, parts of them, and several rows; windows that reach over both edges at once.
_PADDED: list[Case] = [
    {"x": (1, 20, extent, width), "w": (40, 20, 3, 3), **geometry}
    for extent, width, geometry in (
        (9, 7, {"padding": 2, "dilation": 2}),
        (7, 8, {"padding": 4, "dilation": 4}),
        (5, 14, {"padding": 6, "dilation": 5}),
        (11, 33, {"padding": 12, "dilation": 12}),
        (14, 13, {"padding": 1, "stride": 2}),
        (3, 2, {"padding": 3, "stride": 3}),
        (2, 1, {"padding": 7, "dilation": 7}),
    )
] + [
    {"x": (2, 6, 7, 7), "w": (24, 3, 3, 3), "groups": 2, "padding": 2, "dilation": 2},
    {"x": (1, 5, 3, 4, 7), "w": (17, 5, 3, 3, 3), "padding": 2, "dilation": 2},
    {"x": (3, 7, 8), "w": (33, 7, 5), "padding": 4, "dilation": 2},
]  # fmt: skip
_TRANSPOSED: list[Case] = [
    {"x": (1, 6, 5, 7), "w": (6, 9, 2, 2), "stride": 2},
    {"x": (2, 4, 6, 5), "w": (4, 3, 4, 4), "stride": 2, "padding": 1},
    {"x": (1, 4, 5, 5), "w": (4, 5, 3, 3), "stride": 2, "padding": 1, "more": 1},
    {"x": (1, 4, 3, 4), "w": (4, 5, 5, 5), "stride": 3, "padding": 2, "more": 2},
    {"x": (1, 6, 4, 3), "w": (6, 2, 3, 3), "stride": 2, "groups": 3, "padding": 1},
    {"x": (1, 6, 4, 4), "w": (6, 1, 3, 3), "stride": 2, "groups": 6, "padding": 1},
    {"x": (1, 3, 4, 4), "w": (3, 2, 2, 2), "stride": 3},
    {"x": (1, 3, 4, 4), "w": (3, 2, 7, 7), "stride": 2, "padding": 3},
    {"x": (1, 3, 9, 9), "w": (3, 2, 2, 2), "stride": 2, "padding": 3},
    {"x": (1, 3, 5, 5), "w": (3, 4, 3, 3), "stride": 2, "dilation": 2, "padding": 1},
    {"x": (1, 3, 5, 5), "w": (3, 4, 3, 3), "padding": 1},
    {"x": (2, 3, 8), "w": (3, 4, 4), "stride": 2, "padding": 1},
    {"x": (1, 2, 3, 2, 4), "w": (2, 3, 2, 2, 2), "stride": 2},
    {"x": (1, 5, 1, 1), "w": (5, 4, 4, 4), "stride": 4},
]


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    ("operator", "cases"),
    [("Conv", _STEMS), ("Conv", _DEPTHWISE), ("Conv", _COLUMNS), ("Conv", _PADDED), ("ConvTranspose", _TRANSPOSED)],
    ids=["stems", "depthwise", "columns", "padded", "transposed"],
)
def test_equals_pytorch(operator: str, cases: list[Case], dynamic: bool) -> None:
    _check(operator, cases[:5] if dynamic else cases, dynamic)


@pytest.mark.parametrize("widths", [range(1, 7), range(7, 13), range(13, 19)], ids=["short", "medium", "long"])
def test_rows_of_every_width(widths: range) -> None:
    """Tiles at the edges leave out the taps that lie outside, one by one."""
    _check("Conv", [{"x": (1, 4, 3, w), "w": (4, 1, 3, 5), "groups": 4, "padding": 2} for w in widths])
