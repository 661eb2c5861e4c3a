"""TFLite models with state, several entry points, open extents and control flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage.errors import UsageError

pytest.importorskip("tflite", reason="TFLite models need the package tflite")
pytest.importorskip("ai_edge_litert", reason="the reference interpreter is ai-edge-litert")

from tests.importers.tflite_models import ModelBuilder, Reference

F, I8, I16, I32 = np.float32, np.int8, np.int16, np.int32
LITE: dict[str, Any] = {"jobs": 1, "cache_dir": "off"}


def _calls(data: bytes, *calls: list[np.ndarray[Any, Any]], tolerance: float = 2e-5) -> None:
    """The same calls, one after the other, in both; integers agree to the last bit."""
    reference, session = Reference(data), mlirage.load(mlirage.compile(data, **LITE), device="local-sync")
    for arrays in calls:
        for want, got in zip(reference(*arrays), session(*arrays), strict=True):
            assert want.shape == got.shape
            assert want.dtype == got.dtype
            if want.dtype.kind == "f":
                np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
            else:
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["plain", "coupled", "peephole", "projection", "norm", "hybrid", "time-major"])
def test_lstm(kind: str) -> None:
    """Two calls: the second goes on from the first one's state."""
    rng = np.random.default_rng(3)
    units, width, batch, steps, out = 5, 4, 2, 6, 3 if kind == "projection" else 5
    builder = ModelBuilder()

    def weights(name: str, *shape: int) -> int:
        if kind == "hybrid":
            return builder.constant(name, rng.integers(-127, 128, shape).astype(I8), scale=0.01)
        return builder.constant(name, rng.uniform(-1, 1, shape).astype(F))

    def vector(name: str, size: int) -> int:
        return builder.constant(name, rng.uniform(-1, 1, size).astype(F))

    shape = (steps, batch, width) if kind == "time-major" else (batch, steps, width)
    inputs = [builder.input("x", shape)]
    first = -1 if kind == "coupled" else weights("wi", units, width)
    inputs += [first, *(weights(f"w{g}", units, width) for g in "fco")]
    first = -1 if kind == "coupled" else weights("ri", units, out)
    inputs += [first, *(weights(f"r{g}", units, out) for g in "fco")]
    inputs += [vector(f"p{g}", units) if kind == "peephole" else -1 for g in "ifo"]
    inputs += [-1 if kind == "coupled" else vector("bi", units), *(vector(f"b{g}", units) for g in "fco")]
    inputs += [weights("proj", out, units), vector("pb", out)] if kind == "projection" else [-1, -1]
    inputs += [builder.tensor("h", (batch, out), variable=True), builder.tensor("c", (batch, units), variable=True)]
    inputs += [vector(f"n{g}", units) if kind == "norm" else -1 for g in "ifco"]
    result = builder.tensor("y", (*shape[:2], out))
    options = {
        "FusedActivationFunction": 4,
        "CellClip": 2.0 if kind == "plain" else 0.0,
        "TimeMajor": kind == "time-major",
    }
    builder.node("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [result], UnidirectionalSequenceLSTMOptions=options)
    calls = [[rng.normal(size=shape).astype(F)] for _ in range(2)]
    _calls(builder.finish([result]), *calls, tolerance=1e-4)


@pytest.mark.parametrize("kind", ["plain", "coupled", "peephole", "projection", "clipped", "cell"])
def test_integer_lstm(kind: str) -> None:
    """Bytes with a 16-bit state, to the last bit; `cell` is the operator of one step."""
    batch, time, depth, units = 3, 5, 7, 9
    out = 4 if kind == "projection" else units
    rng = np.random.default_rng(len(kind))
    builder = ModelBuilder()

    def weight(*shape: int) -> int:
        values = rng.integers(-127, 128, shape).astype(I8)
        return builder.constant(f"w{len(builder.graph.tensors)}", values, scale=float(rng.uniform(0.004, 0.02)))

    def vector(size: int, dtype: Any, high: int) -> int:
        values = rng.integers(-high, high, size).astype(dtype)
        return builder.constant(f"v{len(builder.graph.tensors)}", values, scale=0.001)

    gates, absent = range(1 if kind == "coupled" else 0, 4), [-1] if kind == "coupled" else []
    shape = (batch, depth) if kind == "cell" else (batch, time, depth)
    inputs = [builder.input("x", shape, I8, scale=0.03, zero=-5)]
    inputs += absent + [weight(units, depth) for _ in gates]
    inputs += absent + [weight(units, out) for _ in gates]
    inputs += [vector(units, I16, 20000) for _ in range(3)] if kind == "peephole" else [-1] * 3
    inputs += absent + [vector(units, I32, 3000) for _ in gates]
    inputs += [weight(out, units), vector(out, I32, 900)] if kind == "projection" else [-1, -1]
    inputs.append(builder.tensor("h", (batch, out), I8, scale=0.008, zero=3, variable=True))
    inputs.append(builder.tensor("c", (batch, units), I16, scale=2.0**-12, variable=True))
    inputs += [-1] * 4
    between = [builder.tensor(f"i{i}", (), I8, scale=0.01) for i in range(4)]
    between.append(builder.tensor("hidden", (), I8, scale=0.007, zero=-7 if kind == "projection" else 3))
    result = builder.tensor("y", (*shape[:-1], out), I8, scale=0.008, zero=3)
    clips = {"CellClip": 1.5, "ProjClip": 0.7} if kind in ("clipped", "projection") else {}
    name = "LSTM" if kind == "cell" else "UNIDIRECTIONAL_SEQUENCE_LSTM"
    table = "LSTMOptions" if kind == "cell" else "UnidirectionalSequenceLSTMOptions"
    builder.node(name, inputs, [result], between, **{table: {"FusedActivationFunction": 4, **clips}})
    _calls(builder.finish([result]), *([rng.integers(-128, 128, shape).astype(I8)] for _ in range(2)))


@pytest.mark.parametrize("time_major", [False, True])
def test_bidirectional_lstm(time_major: bool) -> None:
    """Forward and backward outputs side by side.

    With several batches outermost LiteRT's kernel reads memory that nobody wrote: its results differ from run to run.
    """
    batch = 2 if time_major else 1
    shape = (6, batch, 4) if time_major else (batch, 6, 4)
    rng = np.random.default_rng(4)
    builder = ModelBuilder()

    def constant(*shape: int) -> int:
        return builder.constant(f"k{len(builder.graph.tensors)}", rng.uniform(-1, 1, shape).astype(F))

    inputs = [builder.input("x", shape)]
    for _ in range(2):
        inputs += [constant(5, 4) for _ in range(4)] + [constant(5, 5) for _ in range(4)] + [-1] * 3
        inputs += [constant(5) for _ in range(4)] + [-1, -1]
    inputs += [builder.tensor(f"s{i}", (batch, 5), variable=True) for i in range(4)] + [-1] * 9
    result = builder.tensor("y", (*shape[:2], 10))
    options = {"FusedActivationFunction": 4, "MergeOutputs": True, "TimeMajor": time_major}
    builder.node("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, [result], BidirectionalSequenceLSTMOptions=options)
    _calls(builder.finish([result]), *([rng.normal(size=shape).astype(F)] for _ in range(2)))


@pytest.mark.parametrize("name", ["RNN", "UNIDIRECTIONAL_SEQUENCE_RNN"])
def test_rnn(name: str) -> None:
    """A plain recurrent network."""
    rng = np.random.default_rng(5)
    builder = ModelBuilder()
    shape = (2, 4) if name == "RNN" else (2, 6, 4)
    inputs = [builder.input("x", shape)]
    inputs += [
        builder.constant(n, rng.uniform(-1, 1, s).astype(F)) for n, s in (("w", (5, 4)), ("r", (5, 5)), ("b", 5))
    ]
    inputs.append(builder.tensor("h", (2, 5), variable=True))
    result = builder.tensor("y", (*shape[:-1], 5))
    table = "RNNOptions" if name == "RNN" else "SequenceRNNOptions"
    builder.node(name, inputs, [result], **{table: {"FusedActivationFunction": 1}})
    _calls(builder.finish([result]), *([rng.normal(size=shape).astype(F)] for _ in range(3)))


@pytest.mark.parametrize("integer", [False, True])
def test_svdf(integer: bool) -> None:
    """Memories of the last results; integers are exact."""
    rng = np.random.default_rng(6)
    builder = ModelBuilder()
    kind = I8 if integer else F

    def array(kind: Any, *shape: int) -> Any:
        if np.dtype(kind).kind == "f":
            return rng.uniform(-1, 1, shape).astype(kind)
        return rng.integers(-100, 100, shape).astype(kind)

    def scale(value: float, zero: int = 0) -> dict[str, Any]:
        return {"scale": value, "zero": zero} if integer else {}

    inputs = [
        builder.input("x", (2, 4), kind, **scale(0.05, 3)),
        builder.constant("features", array(kind, 6, 4), **scale(0.01)),
        builder.constant("times", array(I16 if integer else F, 6, 7), **scale(0.002)),
        builder.constant("bias", array(I32 if integer else F, 3), **scale(0.00002)),
        builder.tensor("state", (2, 42), I16 if integer else F, variable=True, **scale(0.01)),
    ]
    result = builder.tensor("y", (2, 3), kind, **scale(0.03, -5))
    builder.node("SVDF", inputs, [result], SVDFOptions={"Rank": 2, "FusedActivationFunction": 1 if integer else 0})
    calls = [[array(kind, 2, 4)] for _ in range(4)]
    if integer:  # the interpreter's integer kernel clamps below by the zero point
        calls = [[np.abs(call[0])] for call in calls]
    _calls(builder.finish([result]), *calls)


def _counter() -> bytes:
    """A variable that a signature adds to; another subgraph gives it its first value."""
    builder = ModelBuilder()
    step = builder.input("step", (3,))
    handle = builder.node(
        "VAR_HANDLE", [], [builder.tensor("handle", (), "resource")], VarHandleOptions={"SharedName": "n"}
    )
    builder.node("CALL_ONCE", [], [], CallOnceOptions={"InitSubgraphIndex": 1})
    old = builder.node("READ_VARIABLE", [handle], [builder.tensor("old", (3,))], ReadVariableOptions={})
    new = builder.node("ADD", [old, step], [builder.tensor("new", (3,))], AddOptions={})
    builder.node("ASSIGN_VARIABLE", [handle, new], [], AssignVariableOptions={})
    builder.outputs(new)
    builder.signatures.append(("add", 0, {"step": step}, {"total": new}))
    builder.subgraph("initialize")
    handle = builder.node(
        "VAR_HANDLE", [], [builder.tensor("handle", (), "resource")], VarHandleOptions={"SharedName": "n"}
    )
    builder.node("ASSIGN_VARIABLE", [handle, builder.constant("one", np.ones(3, F))], [], AssignVariableOptions={})
    return builder.finish([])


def test_variables() -> None:
    """State lives from call to call; each session has its own."""
    data = _counter()
    step = np.array([1, 2, 3], F)
    _calls(data, [step], [step], [step])
    module = mlirage.compile(data, **LITE)
    first, second = mlirage.load(module), mlirage.load(module)
    first(step)
    np.testing.assert_array_equal(second["add"](step=step)[0], [2, 3, 4])


def test_signatures_share_weights() -> None:
    """An entry point per signature, with the names of the signature."""
    rng = np.random.default_rng(8)
    builder = ModelBuilder()
    weight = rng.normal(size=(300, 200)).astype(F)
    for number, name in enumerate(("encode", "decode")):
        if number:
            builder.subgraph(name)
        x = builder.input("x:0", (2, 200))
        w = builder.constant("w", weight) if not number else builder.tensor("w", (300, 200), buffer=1)
        y = builder.tensor("y:0", (2, 300))
        options = {"FusedActivationFunction": number}
        builder.node("FULLY_CONNECTED", [x, w], [y], FullyConnectedOptions=options)
        builder.outputs(y)
        builder.signatures.append((name, number, {"tokens": x}, {"vectors": y}))
    module = mlirage.compile(builder.finish(), **LITE)
    session = mlirage.load(module)
    x = rng.normal(size=(2, 200)).astype(F)
    (plain,), (positive,) = session["encode"](tokens=x), session["decode"](tokens=x)
    np.testing.assert_allclose(plain, x @ weight.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(positive, np.maximum(x @ weight.T, 0), rtol=1e-4, atol=1e-4)
    assert len(bytes(module)) < 1.5 * weight.nbytes


def _open_batch() -> bytes:
    builder = ModelBuilder()
    x = builder.input("x", (1, 6, 6, 3), I8, scale=0.1, zero=4, signature=(-1, 6, 6, 3))
    w = builder.constant("w", np.arange(-54, 54).reshape(4, 3, 3, 3).astype(I8), scale=[0.01, 0.02, 0.03, 0.04])
    bias = builder.constant("b", np.array([5, -6, 7, -8], I32), scale=[0.001, 0.002, 0.003, 0.004])
    y = builder.tensor("y", (1, 3, 3, 4), I8, scale=0.7, zero=-9, signature=(-1, 3, 3, 4))
    options = {"StrideW": 2, "StrideH": 2, "DilationWFactor": 1, "DilationHFactor": 1}
    builder.node("CONV_2D", [x, w, bias], [y], Conv2DOptions=options)
    shape = builder.node("SHAPE", [y], [builder.tensor("shape", (4,), I32)], ShapeOptions={"OutType": 2})
    ends = [builder.constant(n, [v], I32) for n, v in (("zero", 0), ("one", 1), ("step", 1))]
    batch = builder.tensor("batch", (), I32)
    builder.node("STRIDED_SLICE", [shape, *ends], [batch], StridedSliceOptions={"ShrinkAxisMask": 1})
    rest = builder.constant("rest", 36, I32)
    flat = builder.node(
        "PACK", [batch, rest], [builder.tensor("flat", (2,), I32)], PackOptions={"ValuesCount": 2, "Axis": 0}
    )
    z = builder.tensor("z", (1, 36), I8, scale=0.7, zero=-9, signature=(-1, 36))
    builder.node("RESHAPE", [y, flat], [z], ReshapeOptions={})
    return builder.finish([z])


def test_open_batch() -> None:
    """An extent of -1 in the signature is dynamic; shape arithmetic folds."""
    data = _open_batch()
    session = mlirage.load(mlirage.compile(data, **LITE), device="local-sync")
    for batch in (1, 2, 3, 7):
        x = np.random.default_rng(batch).integers(-128, 128, (batch, 6, 6, 3)).astype(I8)
        np.testing.assert_array_equal(session(x)[0], Reference(data)(x)[0])


def test_example_inputs_fix_extents() -> None:
    """Example inputs, or shapes, do what resizing the interpreter's inputs does."""
    data = _open_batch()
    x = np.ones((2, 6, 6, 3), I8)
    for given in ({"example_inputs": (x,)}, {"dynamic_shapes": {"x": (2, 6, 6, 3)}}):
        session = mlirage.load(mlirage.compile(data, **given, **LITE))
        assert session(x)[0].shape == (2, 36)
        with pytest.raises(mlirage.MlirageError, match="x"):
            session(np.ones((1, 6, 6, 3), I8))
    with pytest.raises(UsageError, match="does not fit"):
        mlirage.compile(data, example_inputs=(np.ones((2, 5, 6, 3), I8),), **LITE)


def test_branches_and_loops() -> None:
    """IF and WHILE run subgraphs."""
    builder = ModelBuilder()
    flag, x = builder.input("flag", (), np.bool_), builder.input("x", (2, 3))
    y = builder.node(
        "IF", [flag, x], [builder.tensor("y", (2, 3))], IfOptions={"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2}
    )
    start = builder.constant("start", 0, I32)
    count, z = builder.tensor("count", (), I32), builder.tensor("z", (2, 3))
    builder.node("WHILE", [start, y], [count, z], WhileOptions={"CondSubgraphIndex": 3, "BodySubgraphIndex": 4})
    builder.outputs(z, count)
    for name, operator, table in (("then", "ADD", "AddOptions"), ("else", "MUL", "MulOptions")):
        builder.subgraph(name)
        a = builder.input("a", (2, 3))
        builder.outputs(builder.node(operator, [a, a], [builder.tensor("r", (2, 3))], **{table: {}}))
    builder.subgraph("condition")
    i, a = builder.input("i", (), I32), builder.input("a", (2, 3))
    limit = builder.constant("limit", 5, I32)
    builder.outputs(builder.node("LESS", [i, limit], [builder.tensor("r", (), np.bool_)], LessOptions={}))
    builder.subgraph("body")
    i, a = builder.input("i", (), I32), builder.input("a", (2, 3))
    one, half = builder.constant("one", 1, I32), builder.constant("half", 0.5, F)
    following = builder.node("ADD", [i, one], [builder.tensor("n", (), I32)], AddOptions={})
    builder.outputs(following, builder.node("MUL", [a, half], [builder.tensor("r", (2, 3))], MulOptions={}))
    x_value = np.arange(6, dtype=F).reshape(2, 3)
    _calls(builder.finish(), [np.array(True), x_value], [np.array(False), x_value])


@pytest.mark.parametrize("name", ["RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"])
def test_random_numbers_go_on(name: str) -> None:
    """Each call draws further numbers, as the interpreter does."""
    builder = ModelBuilder()
    x = builder.input("x", (2, 3))
    options = {"RandomOptions": {"Seed": 5, "Seed2": 6}}
    if name == "MULTINOMIAL":
        count = builder.constant("count", np.array(7, I32))
        y = builder.node(name, [x, count], [builder.tensor("y", (2, 7), I32)], **options)
    else:
        shape = builder.constant("shape", np.array([3, 6], I32))
        y = builder.node(name, [shape], [builder.tensor("y", (3, 6))], **options)
    arrays = [np.random.default_rng(0).normal(size=(2, 3)).astype(F)]
    _calls(builder.finish([y]), arrays, arrays, arrays)


def test_unseeded_numbers_differ_from_node_to_node() -> None:
    """And are the same at every load."""
    builder = ModelBuilder()
    shape = builder.constant("shape", np.array([50], I32))
    y, z = (builder.node("RANDOM_UNIFORM", [shape], [builder.tensor(n, (50,))], RandomOptions={}) for n in "yz")
    module = mlirage.compile(builder.finish([y, z]), **LITE)
    first = mlirage.load(module, device="local-sync")()
    again = mlirage.load(module, device="local-sync")()
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != first[1]).sum() > 40
    assert 0 <= first[0].min() < 0.3 < 0.7 < first[0].max() < 1


def _packed(values: np.ndarray[Any, Any], bits: int) -> bytes:
    flat = values.reshape(-1).astype(np.int64) & (1 << bits) - 1
    flat = np.concatenate([flat, np.zeros(-len(flat) % (8 // bits), np.int64)])
    parts = flat.reshape(-1, 8 // bits) << np.arange(0, 8, bits)
    return parts.sum(1).astype(np.uint8).tobytes()


@pytest.mark.parametrize("kind", ["int2", "int4", "uint4", "blocks", "blocks-zero"])
def test_narrow_weights(kind: str) -> None:
    """Dequantized as the file says: per row, or in blocks of four."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 8)).astype(F)
    bits = 2 if kind == "int2" else 4
    low, high = (0, 16) if kind == "uint4" else (-(1 << bits - 1), 1 << bits - 1)
    weights = rng.integers(low, high, (5, 8))
    builder = ModelBuilder()
    given = builder.input("x", x.shape)
    dtype = "int4" if kind.startswith("blocks") else kind
    if kind.startswith("blocks"):
        scales = rng.uniform(0.1, 1, (5, 2)).astype(np.float16)
        zeros = rng.integers(-3, 4, (5, 2)).astype(np.int8) if kind == "blocks-zero" else np.zeros((5, 2), np.int8)
        numbers = builder.constant("scales", scales), builder.constant("zeros", zeros)
        blocks = (numbers[0], numbers[1] if kind == "blocks-zero" else -1, 4)
        w = builder.packed("w", (5, 8), dtype, _packed(weights, bits), blocks=blocks)
        real = (weights - np.repeat(zeros, 4, 1)) * np.repeat(scales.astype(F), 4, 1)
    else:
        packed = builder.packed("packed", (5, 8), dtype, _packed(weights, bits), scale=[0.1, 0.2, 0.3, 0.4, 0.5])
        w = builder.node("DEQUANTIZE", [packed], [builder.tensor("w", (5, 8))], DequantizeOptions={})
        real = weights * np.array([0.1, 0.2, 0.3, 0.4, 0.5])[:, None]
    y = builder.node("FULLY_CONNECTED", [given, w], [builder.tensor("y", (3, 5))], FullyConnectedOptions={})
    session = mlirage.load(mlirage.compile(builder.finish([y]), **LITE), device="local-sync")
    np.testing.assert_allclose(session(x)[0], x @ real.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("merged", [False, True])
def test_bidirectional_rnn(merged: bool) -> None:
    """BIDIRECTIONAL_SEQUENCE_RNN: outputs side by side or apart."""
    rng = np.random.default_rng(7)
    builder = ModelBuilder()
    inputs = [builder.input("x", (2, 6, 4))]
    for way in "fb":
        inputs += [
            builder.constant(way + n, rng.uniform(-1, 1, s).astype(F))
            for n, s in (("w", (5, 4)), ("r", (5, 5)), ("b", 5))
        ]
        inputs.append(builder.tensor(f"{way}h", (2, 5), variable=True))
    inputs += [-1] * 3
    made = [builder.tensor(f"y{i}", (2, 6, 10 if merged else 5)) for i in range(1 if merged else 2)]
    options = {"FusedActivationFunction": 4, "MergeOutputs": merged}
    builder.node("BIDIRECTIONAL_SEQUENCE_RNN", inputs, made, BidirectionalSequenceRNNOptions=options)
    _calls(builder.finish(made), *([rng.normal(size=(2, 6, 4)).astype(F)] for _ in range(2)))


def test_composite() -> None:
    """STABLEHLO_COMPOSITE runs its decomposition."""
    builder = ModelBuilder()
    x = builder.input("x", (3,))
    y = builder.tensor("y", (3,))
    options = {"Name": "doubled", "DecompositionSubgraphIndex": 1}
    builder.node("STABLEHLO_COMPOSITE", [x], [y], StableHLOCompositeOptions=options)
    builder.outputs(y)
    builder.subgraph("doubled")
    p, q = builder.input("p", (3,)), builder.tensor("q", (3,))
    builder.node("ADD", [p, p], [q], AddOptions={})
    builder.outputs(q)
    session = mlirage.load(mlirage.compile(builder.finish(), **LITE), device="local-sync")
    np.testing.assert_array_equal(session(np.array([1, 2, 3], F))[0], [2, 4, 6])


@pytest.mark.parametrize("apart", [False, True])
def test_sparse_weights(apart: bool) -> None:
    """They are dense in the program, with or without DENSIFY before the product."""
    rng = np.random.default_rng(8)
    weights = rng.normal(size=(5, 8)).astype(F) * (rng.uniform(size=(5, 8)) < 0.4)
    weights[2] = 0
    rows, columns = np.nonzero(weights)
    segments = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=5))])
    builder = ModelBuilder()
    x = builder.input("x", (3, 8))
    stored = weights[rows, columns].tobytes()
    w = builder.packed("w", (5, 8), "float32", stored, sparse=(segments.tolist(), columns.tolist()))
    if apart:
        w = builder.node("DENSIFY", [w], [builder.tensor("dense", (5, 8))], DensifyOptions={})
    y = builder.node("FULLY_CONNECTED", [x, w], [builder.tensor("y", (3, 5))], FullyConnectedOptions={})
    session = mlirage.load(mlirage.compile(builder.finish([y]), **LITE), device="local-sync")
    given = rng.normal(size=(3, 8)).astype(F)
    np.testing.assert_allclose(session(given)[0], given @ weights.T, rtol=1e-5, atol=1e-5)
