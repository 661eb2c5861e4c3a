"""Operators in the forms of old operator sets, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import parser

from tests.importers.model_runner import ModelRunner, difference

onnxruntime = pytest.importorskip("onnxruntime")

# opset, body, element type and shape of `x`; the result is `y`.
CASES = [
    (7, 'y = Upsample<mode = "nearest", scales = [1.0, 1.0, 2.0, 3.0]>(x)', "float", (1, 2, 3, 2)),
    (
        9,
        's = Constant<value = float[4] {1.0, 1.0, 2.0, 2.0}>() y = Upsample<mode = "linear">(x, s)',
        "float",
        (1, 2, 3, 3),
    ),
    (
        10,
        's = Constant<value = float[4] {1.0, 1.0, 0.5, 2.0}>() y = Resize<mode = "linear">(x, s)',
        "float",
        (1, 2, 4, 3),
    ),
    (7, "y = Softmax<axis = 1>(x)", "float", (2, 3, 4)),
    (11, "y = LogSoftmax<axis = 1>(x)", "float", (2, 3, 4)),
    (11, "y = Hardmax<axis = 1>(x)", "float", (2, 3, 4)),
    (7, 'y = Pad<mode = "constant", pads = [0, 1, 2, 0], value = 1.5>(x)', "float", (2, 3)),
    (7, 'y = Pad<mode = "reflect", pads = [0, 1, 0, 2]>(x)', "float", (2, 4)),
    (7, "y = Slice<axes = [0, 1], starts = [1, -3], ends = [1000, -1]>(x)", "float", (3, 5)),
    (7, "y = Clip<min = -0.5, max = 0.5>(x)", "float", (3, 4)),
    (7, "y = Clip<min = 0.0>(x)", "float", (3, 4)),
    (9, "v, i = TopK<k = 2, axis = 1>(x) y = Cast<to = 1>(i)", "float", (3, 5)),
    (10, "k = Constant<value = int64[1] {3}>() y, i = TopK(x, k)", "float", (3, 5)),
    (7, "y = Dropout<ratio = 0.9>(x)", "float", (3, 4)),
    (10, "y, m = Dropout<ratio = 0.9>(x)", "float", (3, 4)),
    (7, "y = Squeeze<axes = [0, 2]>(x)", "float", (1, 3, 1, 4)),
    (7, "y = Squeeze(x)", "float", (1, 3, 1, 4)),
    (11, "y = Unsqueeze<axes = [-1, 0]>(x)", "float", (3, 4)),
    (7, "y = ReduceSum<axes = [1], keepdims = 0>(x)", "float", (2, 3, 4)),
    (11, "y = ReduceLogSumExp<axes = [-1, 0]>(x)", "float", (2, 3, 4)),
    (7, "y = ReduceL2<keepdims = 0>(x)", "float", (2, 3, 4)),
    (7, "a, y = Split<axis = 1, split = [2, 3]>(x)", "float", (2, 5)),
    (11, "a, y = Split<axis = -1>(x)", "float", (2, 4)),
    (7, "y = ArgMax<axis = 1, keepdims = 0>(x)", "float", (3, 4)),
    (12, "y = ArgMin<axis = -1, select_last_index = 1>(x)", "float", (3, 4)),
    (7, "y = Flatten<axis = 2>(x)", "float", (2, 3, 4)),
    (7, 'y = MaxPool<kernel_shape = [2, 2], auto_pad = "SAME_UPPER">(x)', "float", (1, 2, 5, 5)),
    (10, "y = MaxPool<kernel_shape = [2, 2], ceil_mode = 1, strides = [2, 2]>(x)", "float", (1, 2, 5, 5)),
    (7, "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(x)", "float", (1, 2, 5, 5)),
    (10, "y = AveragePool<kernel_shape = [2, 2], ceil_mode = 1, strides = [2, 2]>(x)", "float", (1, 2, 5, 5)),
    (7, "y = LRN<size = 3, alpha = 0.1, beta = 0.7, bias = 1.2>(x)", "float", (1, 5, 3, 3)),
    (7, "y = LpNormalization<axis = 1, p = 1>(x)", "float", (3, 4)),
    (7, "y = LpPool<kernel_shape = [2, 2], p = 2>(x)", "float", (1, 2, 4, 4)),
    (8, "s = Constant<value = int64[3] {2, 3, 4}>() y = Expand(x, s)", "float", (3, 1)),
    (
        9,
        "i = Constant<value = int64[1, 2] {2, 0}>() "
        "u = Constant<value = float[1, 2] {7.0, 8.0}>() y = Scatter<axis = 1>(x, i, u)",
        "float",
        (1, 4),
    ),
    (7, "y = Elu<alpha = 0.7>(x)", "float", (3, 4)),
    (7, "y = Selu(x)", "float", (3, 4)),
    (10, "y = ThresholdedRelu<alpha = 0.3>(x)", "float", (3, 4)),
    (7, "y = HardSigmoid<alpha = 0.3, beta = 0.4>(x)", "float", (3, 4)),
    (8, "y = Mean(x, x, x)", "float", (3, 4)),
    (7, "y = DepthToSpace<blocksize = 2>(x)", "float", (1, 8, 2, 3)),
    (11, 'y = DepthToSpace<blocksize = 2, mode = "CRD">(x)', "float", (1, 8, 2, 3)),
    (7, "y = SpaceToDepth<blocksize = 2>(x)", "float", (1, 2, 4, 6)),
    (7, "y = GlobalLpPool<p = 2>(x)", "float", (1, 2, 4, 6)),
    (9, "y = MeanVarianceNormalization<axes = [0, 2, 3]>(x)", "float", (2, 3, 4, 2)),
    (7, "t = Constant<value = int64[2] {2, 3}>() y = Tile(x, t)", "float", (2, 3)),
    (9, "y = EyeLike<k = 1>(x)", "float", (3, 4)),
    (
        9,
        "d = Constant<value = int64 {4}>() v = Constant<value = float[2] {0.0, 2.0}>() y = OneHot<axis = 0>(x, d, v)",
        "int64",
        (2, 3),
    ),
    (9, "y = Shrink<lambd = 0.3, bias = 0.1>(x)", "float", (3, 4)),
    (
        9,
        "y = Scan<num_scan_inputs = 1, body = step (float[4] e) => (float[4] o) { o = Add(e, e) }>(x)",
        "float",
        (3, 4),
    ),
    (
        10,
        "s = Constant<value = float {0.05}>() z = Constant<value = uint8 {3}>() "
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
        "float",
        (3, 4),
    ),
    (11, "a = Constant<value = int64 {1}>() y = CumSum<reverse = 1, exclusive = 1>(x, a)", "float", (3, 4)),
    (9, "y = NonZero(x)", "float", (3, 4)),
    (11, "y, i, n, c = Unique<sorted = 1>(x)", "int64", (7,)),
    (7, "c = Constant<value = float[1] {2.0}>() y = Gemm<transA = 1, alpha = 0.5>(x, x, c)", "float", (3, 3)),
]


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize(("opset", "body", "kind", "shape"), CASES, ids=[f"{c[0]}-{c[1][:40]}" for c in CASES])
def test_case(runner: ModelRunner, opset: int, body: str, kind: str, shape: tuple[int, ...]) -> None:
    extents = ", ".join(map(str, shape))
    model: Any = parser.parse_model(
        f'<ir_version: 4, opset_import: ["": {opset}]> graph ({kind}[{extents}] x) => (float y) {{ {body} }}'
    )
    model.graph.output[0].ClearField("type")
    random = np.random.default_rng(0)
    x = random.normal(size=shape).astype(np.float32) if kind == "float" else random.integers(0, 4, shape)
    data = model.SerializeToString()
    (want,) = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    (got,) = runner.run(data, [x])
    assert difference(want, got, 1e-4, 1e-5) is None


SCAN_8 = """<ir_version: 4, opset_import: ["": 8]>
graph (int64[B] n, float[B, 2] s, float[B, T, 2] x, float[B, T, 2] z) => (float y, float a, float c) {
  y, a, c = Scan<num_scan_inputs = 2, directions = [0, 1],
    body = step (float[2] h, float[2] e, float[2] f) => (float[2] g, float[2] o, float[2] p) {
      t = Mul(h, e) g = Add(t, f) o = Add(e, f) p = Mul(g, g)
    }>(n, s, x, z)
}"""


def test_scan_with_lengths(runner: ModelRunner) -> None:
    """Batches end one by one; what goes backwards begins at the end of its own."""
    model: Any = parser.parse_model(SCAN_8)
    for output in model.graph.output:
        output.ClearField("type")
    data = model.SerializeToString()
    random = np.random.default_rng(0)
    for longest, lengths in ((5, [5, 2, 1]), (1, [1]), (7, [3, 7])):
        shapes = [(len(lengths), 2), *[(len(lengths), longest, 2)] * 2]
        inputs = [np.array(lengths), *(random.normal(size=shape).astype(np.float32) for shape in shapes)]
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        wanted = session.run(None, dict(zip("nsxz", inputs, strict=True)))
        for want, got in zip(wanted, runner.run(data, inputs), strict=True):
            assert difference(want, got, 1e-5, 1e-6) is None


@pytest.mark.parametrize("body", ["k = Constant<value = int64[1] {0}>() y, i = TopK(x, k)", "y = Compress(x, none)"])
def test_nothing_is_left(runner: ModelRunner, body: str) -> None:
    """The best 0 of every row; no row at all."""
    model: Any = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> graph (float[A, B] x) => (float y) '
        f"<bool[3] none = {{0, 0, 0}}> {{ {body} }}"
    )
    model.graph.output[0].ClearField("type")
    (got,) = runner.run(model.SerializeToString(), [np.ones((3, 4), np.float32)])
    assert got.shape == ((3, 0) if "TopK" in body else (0,))
