"""Models as exporters write them, at several dynamic extents, against ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from tests.importers.model_runner import ModelRunner, RunFailure, difference

Extents = dict[str, int]


UPSTREAM = "tests.importers.reference_runner:import_and_run"
MLIRAGE = "tests.importers.model_runner:compile_and_run"


@pytest.fixture(scope="module", params=[UPSTREAM, MLIRAGE], ids=["upstream", "mlirage"])
def runner(request: pytest.FixtureRequest) -> Iterator[ModelRunner]:
    """The importer alone, under upstream's plain lowering, and the whole compiler."""
    runner = ModelRunner(request.param)
    yield runner
    runner.close()


def model_of(text: str, weights: dict[str, tuple[int, ...]], opset: int = 17) -> onnx.ModelProto:
    """A model from ONNX's text form, with random weights."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    rng = np.random.default_rng(7)
    for name, shape in weights.items():
        array = (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


MLP = model_of(
    """mlp (float[batch, 17] x) => (float[batch, 5] y) {
        a = Gemm <transB = 1> (x, w1, b1)
        r = Relu (a)
        h = MatMul (r, w2)
        s = Add (h, b2)
        y = Softmax <axis = -1> (s)
    }""",
    {"w1": (33, 17), "b1": (33,), "w2": (33, 5), "b2": (5,)},
)

CNN = model_of(
    """cnn (float[batch, 3, height, width] x) => (float[batch, 4] y) {
        c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)
        d = Clip (c, zero, six)
        e = Conv <pads = [1, 1, 1, 1], group = 8> (d, w2)
        f = Add (e, d)
        g = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1> (f)
        h = AveragePool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (g)
        i = ConvTranspose <strides = [2, 2]> (h, w3)
        j = GlobalAveragePool (i)
        k = Flatten (j)
        y = Gemm <transB = 1> (k, w4)
    }""",
    {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "w3": (8, 4, 2, 2), "w4": (4, 4)},
)
CNN.graph.initializer.extend([numpy_helper.from_array(np.float32(v), name) for name, v in (("zero", 0), ("six", 6))])

SAME_POOL = model_of(
    """pool (float[batch, 8, height, width] x) => (float[batch, 8, height, width] y) {
        y = AveragePool <kernel_shape = [3, 2], strides = [2, 1], auto_pad = "SAME_UPPER"> (x)
    }""",
    {},
)

# The Shape -> Gather -> Concat -> Reshape chains of the TorchScript exporter.
ENCODER = model_of(
    """encoder (float[batch, seq, 24] x, int64[batch, seq] mask) => (float[batch, seq, 24] y) {
        i0 = Constant <value_int = 0> ()
        i1 = Constant <value_int = 1> ()
        axis0 = Constant <value_ints = [0]> ()
        axes12 = Constant <value_ints = [1, 2]> ()
        heads = Constant <value_ints = [4]> ()
        size = Constant <value_ints = [6]> ()
        all = Constant <value_ints = [-1]> ()
        s = Shape (x)
        bs = Gather <axis = 0> (s, i0)
        ss = Gather <axis = 0> (s, i1)
        b = Unsqueeze (bs, axis0)
        t = Unsqueeze (ss, axis0)
        split_shape = Concat <axis = 0> (b, t, heads, size)
        joined_shape = Concat <axis = 0> (b, t, all)
        q0 = MatMul (x, wq)
        q1 = Reshape (q0, split_shape)
        q = Transpose <perm = [0, 2, 1, 3]> (q1)
        k0 = MatMul (x, wk)
        k1 = Reshape (k0, split_shape)
        k = Transpose <perm = [0, 2, 3, 1]> (k1)
        v0 = MatMul (x, wv)
        v1 = Reshape (v0, split_shape)
        v = Transpose <perm = [0, 2, 1, 3]> (v1)
        scale = Constant <value_float = 0.408248> ()
        w0 = MatMul (q, k)
        w1 = Mul (w0, scale)
        m0 = Unsqueeze (mask, axes12)
        m1 = Equal (m0, i0)
        low = Constant <value_float = -1e9> ()
        w2 = Where (m1, low, w1)
        w3 = Softmax <axis = -1> (w2)
        a0 = MatMul (w3, v)
        a1 = Transpose <perm = [0, 2, 1, 3]> (a0)
        a2 = Reshape (a1, joined_shape)
        a3 = MatMul (a2, wo)
        r1 = Add (x, a3)
        mean = ReduceMean <axes = [-1]> (r1)
        d = Sub (r1, mean)
        two = Constant <value_float = 2.0> ()
        d2 = Pow (d, two)
        var = ReduceMean <axes = [-1]> (d2)
        eps = Constant <value_float = 1e-5> ()
        ve = Add (var, eps)
        sd = Sqrt (ve)
        n = Div (d, sd)
        n1 = Mul (n, gamma)
        n2 = Add (n1, beta)
        f0 = MatMul (n2, wf)
        root = Constant <value_float = 1.41421356> ()
        f1 = Div (f0, root)
        f2 = Erf (f1)
        one = Constant <value_float = 1.0> ()
        f3 = Add (f2, one)
        f4 = Mul (f0, f3)
        half = Constant <value_float = 0.5> ()
        f5 = Mul (f4, half)
        f6 = MatMul (f5, wg)
        y = Add (n2, f6)
    }""",
    {"wq": (24, 24), "wk": (24, 24), "wv": (24, 24), "wo": (24, 24), "gamma": (24,), "beta": (24,)}
    | {"wf": (24, 48), "wg": (48, 24)},
)

# As exported from an embedding, a bidirectional LSTM with states made from the input's shape, and a linear layer.
LSTM = model_of(
    """tagger (int64[batch, seq] tokens) => (float[batch, seq, 3] y) {
        i0 = Constant <value_int = 0> ()
        axis0 = Constant <value_ints = [0]> ()
        e = Gather (table, tokens)
        x = Transpose <perm = [1, 0, 2]> (e)
        s = Shape (tokens)
        bs = Gather <axis = 0> (s, i0)
        b = Unsqueeze (bs, axis0)
        two = Constant <value_ints = [2]> ()
        hidden = Constant <value_ints = [7]> ()
        state_shape = Concat <axis = 0> (two, b, hidden)
        h0 = ConstantOfShape (state_shape)
        z, h, c = LSTM <hidden_size = 7, direction = "bidirectional"> (x, w, r, bias, , h0, h0)
        z1 = Transpose <perm = [0, 2, 1, 3]> (z)
        shape = Constant <value_ints = [0, 0, -1]> ()
        z2 = Reshape (z1, shape)
        z3 = Transpose <perm = [1, 0, 2]> (z2)
        y = MatMul (z3, out)
    }""",
    {"table": (50, 12), "w": (2, 28, 12), "r": (2, 28, 7), "bias": (2, 56), "out": (14, 3)},
)

SIZES = (1, 2, 3, 7, 16, 17)


def check(runner: ModelRunner, model: onnx.ModelProto, inputs: dict[str, np.ndarray[Any, Any]]) -> None:
    """mlirage's results are the reference's."""
    wanted = ReferenceEvaluator(model).run(None, inputs)
    results = runner.run(model.SerializeToString(), list(inputs.values()))
    for want, got in zip(wanted, results, strict=True):
        assert difference(want, got, 1e-4, 1e-5) is None


@pytest.mark.parametrize("batch", SIZES)
def test_mlp(runner: ModelRunner, batch: int) -> None:
    check(runner, MLP, {"x": np.random.default_rng(batch).standard_normal((batch, 17), np.float32)})


def test_mlp_of_no_rows(runner: ModelRunner) -> None:
    (y,) = runner.run(MLP.SerializeToString(), [np.zeros((0, 17), np.float32)])
    assert y.shape == (0, 5)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (2, 33, 17), (3, 8, 31)])
def test_cnn(runner: ModelRunner, batch: int, height: int, width: int) -> None:
    check(runner, CNN, {"x": np.random.default_rng(1).standard_normal((batch, 3, height, width), np.float32)})


@pytest.mark.parametrize(("height", "width"), [(7, 8), (8, 7), (1, 1)])
def test_padding_calculated_at_run_time(runner: ModelRunner, height: int, width: int) -> None:
    check(runner, SAME_POOL, {"x": np.random.default_rng(1).standard_normal((2, 8, height, width), np.float32)})


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (2, 7), (3, 16), (1, 17)])
def test_encoder(runner: ModelRunner, batch: int, length: int) -> None:
    rng = np.random.default_rng(length)
    mask = rng.integers(0, 2, (batch, length))
    mask[:, 0] = 1
    check(runner, ENCODER, {"x": rng.standard_normal((batch, length, 24), np.float32), "mask": mask})


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (2, 7), (5, 3)])
def test_lstm(runner: ModelRunner, batch: int, length: int) -> None:
    check(runner, LSTM, {"tokens": np.random.default_rng(length).integers(0, 50, (batch, length))})


def test_named_extents_must_agree(runner: ModelRunner) -> None:
    with pytest.raises(RunFailure, match=r"batch|named dimension|died"):
        runner.run(ENCODER.SerializeToString(), [np.zeros((2, 3, 24), np.float32), np.ones((3, 3), np.int64)])


@pytest.mark.parametrize(("left", "right"), [((3, 1), (1, 4)), ((3, 4), (3, 4)), ((1, 1), (2, 5)), ((2, 5), (2, 1))])
def test_broadcast_decided_at_run_time(runner: ModelRunner, left: tuple[int, int], right: tuple[int, int]) -> None:
    model = model_of("g (float[a, b] x, float[c, d] y) => (float[e, f] z) { t = Add (x, y) z = Mul (t, x) }", {})
    rng = np.random.default_rng(3)
    check(runner, model, {"x": rng.standard_normal(left, np.float32), "y": rng.standard_normal(right, np.float32)})


def test_model_local_function(runner: ModelRunner) -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[n] x) => (float[n] y) { t = own.scaled <factor = 3.0> (x) y = own.scaled (t) }
        <domain: "own", opset_import: ["" : 17]>
        scaled <factor: float = 0.5> (a) => (c) { f = Constant <value_float: float = @factor> () c = Mul (a, f) }
        """
    )
    x = np.arange(5, dtype=np.float32)
    (y,) = runner.run(model.SerializeToString(), [x])
    assert difference(x * np.float32(1.5), y, 0, 0) is None


def test_constants_are_not_copied_into_the_module_twice(tmp_path: Path) -> None:
    """Equal elements cost one, weights stay outside the IR, external data is mapped."""
    from mlirage.importers.onnx import import_onnx
    from mlirage.options import CompileOptions
    from mlirage.program import is_splat

    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> '
        "g (float[n, 64] x) => (float[n, 64] y) { t = MatMul (x, w) u = MatMul (t, ones) y = Add (u, w0) }"
    )
    rng = np.random.default_rng(0)
    for name, array in (
        ("w", rng.standard_normal((64, 64), np.float32)),
        ("ones", np.ones((64, 64), np.float32)),
        ("w0", rng.standard_normal((64,), np.float32)),
    ):
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    program = import_onnx(path, CompileOptions())
    assert set(program.constants) == {"w", "w0"}
    assert all(not is_splat(array) and not array.flags.owndata for array in program.constants.values())
    assert len(str(program.module)) < 5000


def test_old_and_new_forms_of_attributes(runner: ModelRunner) -> None:
    """Axes, pads, starts and bounds as attributes (opset 7) and as inputs (opset 18) say the same."""
    old = model_of(
        """g (float[n, 4, 6] x) => (float[n, 3, 8] y) {
            a = Slice <axes = [1], starts = [1], ends = [4]> (x)
            c = Pad <pads = [0, 0, 1, 0, 0, 1], value = 2.0> (a)
            d = Clip <min = -0.5, max = 0.5> (c)
            e = ReduceSum <axes = [2], keepdims = 1> (d)
            y = Add (d, e)
        }""",
        {},
        7,
    )
    new = model_of(
        """g (float[n, 4, 6] x, int64[1] starts, int64[1] ends, int64[1] axes, int64[6] pads, int64[1] over)
            => (float[n, p, q] y) {
            a = Slice (x, starts, ends, axes)
            two = Constant <value_float = 2.0> ()
            c = Pad (a, pads, two)
            low = Constant <value_float = -0.5> ()
            high = Constant <value_float = 0.5> ()
            d = Clip (c, low, high)
            e = ReduceSum <keepdims = 1> (d, over)
            y = Add (d, e)
        }""",
        {},
        18,
    )
    x = np.random.default_rng(0).standard_normal((3, 4, 6), np.float32)
    numbers = {"starts": [1], "ends": [4], "axes": [1], "pads": [0, 0, 1, 0, 0, 1], "over": [2]}
    check(runner, old, {"x": x})
    check(runner, new, {"x": x} | {name: np.array(value, np.int64) for name, value in numbers.items()})


def test_loop_with_a_run_time_condition(runner: ModelRunner) -> None:
    """Doubles until the sum exceeds a limit; shapes grow by one each round."""
    body = parser.parse_graph(
        """body (int64 i, bool go, float[n] v) => (bool on, float[m] w, float[1] s) {
            v2 = Add (v, v)
            t = ReduceSum (v2)
            limit = Constant <value_float = 100.0> ()
            on = Less (t, limit)
            axis0 = Constant <value_ints = [0]> ()
            s = Unsqueeze (t, axis0)
            w = Concat <axis = 0> (v2, s)
        }"""
    )
    for value in (*body.input, *body.output):
        if not value.type.tensor_type.shape.dim and value.name not in ("i", "go", "on"):
            value.type.tensor_type.ClearField("shape")
    for reduce_node in body.node:
        if reduce_node.op_type == "ReduceSum":
            reduce_node.attribute.append(helper.make_attribute("keepdims", 0))
    node = helper.make_node("Loop", ["", "", "x"], ["y", "sums"], body=body)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m"]),
            helper.make_tensor_value_info("sums", 1, ["k", 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.array([1.0, 2.0], np.float32)
    values, sums, go = x, [], True
    while go:
        doubled = values + values
        total = doubled.sum(dtype=np.float32)
        go = total < 100
        sums.append([total])
        values = np.concatenate([doubled, [total]]).astype(np.float32)
    y, collected = runner.run(model.SerializeToString(), [x])
    assert difference(values, y, 1e-6, 0) is None
    assert difference(np.array(sums, np.float32), collected, 1e-6, 0) is None
