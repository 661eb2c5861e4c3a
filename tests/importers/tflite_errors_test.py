"""TFLite files that cannot be read or hold what is not supported: the message says what and where."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlirage.errors import ImportFailure, MlirageError
from mlirage.importers import import_source
from mlirage.options import CompileOptions

pytest.importorskip("tflite", reason="TFLite models need the package tflite")

import contextlib

from tests.importers.tflite_models import ModelBuilder

F, I8, I32 = np.float32, np.int8, np.int32
OPTIONS = CompileOptions()


def _failure(data: Any) -> str:
    with pytest.raises(ImportFailure) as caught:
        import_source(data, OPTIONS)
    return str(caught.value)


def _small() -> bytes:
    """A convolution, a pool, a reshape and a softmax of integers."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    x = builder.input("image", (1, 8, 8, 3), I8, scale=0.1, zero=4, signature=(-1, 8, 8, 3))
    w = builder.constant("kernel", rng.integers(-99, 99, (4, 3, 3, 3)).astype(I8), scale=[0.01, 0.02, 0.03, 0.04])
    k = builder.constant("bias", rng.integers(-99, 99, 4).astype(I32), scale=[0.001, 0.002, 0.003, 0.004])
    y = builder.tensor("conv", (1, 8, 8, 4), I8, scale=0.3, zero=1)
    window = {"StrideW": 1, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1}
    builder.node("CONV_2D", [x, w, k], [y], Conv2DOptions=window)
    p = builder.tensor("pool", (1, 4, 4, 4), I8, scale=0.3, zero=1)
    pool = {"StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2}
    builder.node("AVERAGE_POOL_2D", [y], [p], Pool2DOptions=pool)
    shape = builder.constant("shape", [-1, 64], I32)
    r = builder.tensor("flat", (1, 64), I8, scale=0.3, zero=1)
    builder.node("RESHAPE", [p, shape], [r], ReshapeOptions={"NewShape": [-1, 64]})
    s = builder.tensor("probabilities", (1, 64), I8, scale=1 / 256, zero=-128)
    builder.node("SOFTMAX", [r], [s], SoftmaxOptions={"Beta": 1.0})
    builder.signatures.append(("classify", 0, {"image": x}, {"probabilities": s}))
    return builder.finish([s])


def test_unsupported_operators_are_listed_together() -> None:
    """All at once, custom ones as such, with their nodes."""
    builder = ModelBuilder()
    x = builder.input("x", (2, 3))
    y = builder.node("FancyOp", [x], [builder.tensor("first", (2, 3))])
    z = builder.node("SKIP_GRAM", [y], [builder.tensor("second", (2, 3))])
    text = _failure(builder.finish([builder.node("FancyOp", [z], [builder.tensor("third", (2, 3))])]))
    assert "FancyOp, 2 nodes: first, third — a custom operator" in text
    assert "SKIP_GRAM, 1 nodes: second — it works on texts" in text


def test_every_operator_of_the_schema_is_made_or_refused() -> None:
    """Each is in one table, and what is made is tested by a case or in the state tests."""
    import tflite

    from mlirage.importers.tflite_ops.registry import REFUSED, operators
    from tests.importers import tflite_state_test
    from tests.importers.tflite_cases import cases

    schema = {name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
    schema.add("STABLEHLO_CASE")  # younger than the package
    made = {name for name in operators() if not name.startswith("CUSTOM:")}
    assert made | set(REFUSED) == schema
    assert not made & set(REFUSED)
    tested = {case.name.partition("-")[0] for case in cases()}
    written = Path(tflite_state_test.__file__).read_text()
    assert [name for name in sorted(made - tested) if name not in written] == []


def test_options_of_custom_operators_are_read_with_care() -> None:
    """Damaged FlexBuffers are errors that name the node."""
    from flatbuffers import flexbuffers

    fields = {"max_detections": 3, "max_classes_per_detection": 1, "num_classes": 2, "nms_iou_threshold": 0.5}
    options = bytes(flexbuffers.Dumps({**fields, "y_scale": 1.0}))
    rng = random.Random(2)

    def model(custom: bytes) -> bytes:
        builder = ModelBuilder()
        inputs = [
            builder.input("boxes", (1, 5, 4)),
            builder.input("scores", (1, 5, 3)),
            builder.input("anchors", (5, 4)),
        ]
        made = [builder.tensor(f"out{i}", shape) for i, shape in enumerate([(1, 3, 4), (1, 3), (1, 3), (1,)])]
        builder.node("TFLite_Detection_PostProcess", inputs, made, custom=custom)
        return builder.finish(made)

    import_source(model(options), OPTIONS)
    assert "its options lack y_scale" in _failure(model(bytes(flexbuffers.Dumps(fields))))
    assert "no FlexBuffers map" in _failure(model(bytes(flexbuffers.Dumps([1, 2]))))
    for _ in range(100):
        damaged = bytearray(options[: rng.choice((len(options), rng.randrange(1, len(options))))])
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        _refused_or_read(model(bytes(damaged)))


def test_functions_of_other_operators_are_refused() -> None:
    """A reduction by anything but StableHLO's operators."""
    builder = ModelBuilder()
    x, start = builder.input("x", (3, 4)), builder.constant("start", np.zeros((), F))
    y = builder.tensor("y", (3,))
    options = {"StablehloReduceOptions": {"Dimensions": [1], "BodySubgraphIndex": 1}}
    builder.node("STABLEHLO_REDUCE", [x, start], [y], **options)
    builder.outputs(y)
    builder.subgraph("body")
    p, q, r = builder.input("p", ()), builder.input("q", ()), builder.tensor("r", ())
    builder.node("ADD", [p, q], [r], AddOptions={})
    builder.outputs(r)
    assert "node 'y' (STABLEHLO_REDUCE): a function with ADD" in _failure(builder.finish())


def test_quantized_inputs_of_stablehlo_are_refused() -> None:
    """Their integers are not the numbers that they stand for."""
    builder = ModelBuilder()
    x = builder.input("x", (3, 4), I8, scale=0.1)
    y = builder.tensor("y", (3, 4), I8, scale=0.1)
    builder.node("STABLEHLO_ADD", [x, x], [y])
    assert "input 'x' is quantized" in _failure(builder.finish([y]))


def test_errors_name_the_node() -> None:
    """A node is called after its first output."""
    builder = ModelBuilder()
    x, y = builder.input("x", (2, 3)), builder.input("y", (4, 3))
    builder.node("ADD", [x, y], [builder.tensor("total", (2, 3))], AddOptions={})
    text = _failure(builder.finish([2]))
    assert text.startswith("node 'total' (ADD): ")
    builder = ModelBuilder()
    x = builder.input("x", (2, 3), I8)
    y = builder.tensor("y", (2, 3), F)
    builder.node("DEQUANTIZE", [x], [y], DequantizeOptions={})
    assert "tensor 'x' of INT8 has no quantization parameters" in _failure(builder.finish([y]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, x: b.tensor("x", (2, 3), "string"), "type STRING"),
        (lambda b, x: x, "made by no earlier node"),
    ],
)
def test_values_that_do_not_exist(change: Any, message: str) -> None:
    """Texts, and tensors that nobody makes."""
    builder = ModelBuilder()
    x = builder.tensor("nothing", (2, 3))
    wrong = change(builder, x)
    if message.startswith("type"):
        builder.graph.inputs.append(wrong)
    y = builder.tensor("y", (2, 3))
    builder.node("RELU", [wrong], [y])
    assert message in _failure(builder.finish([y]))


def test_recursion_ends() -> None:
    """A subgraph that calls itself is an error, not a loop."""
    builder = ModelBuilder()
    x = builder.input("x", (2,))
    y = builder.tensor("y", (2,))
    builder.node("CALL", [x], [y], CallOptions={"Subgraph": 0})
    assert "recursion is not supported" in _failure(builder.finish([y]))


def test_constants_of_the_wrong_size(tmp_path: Path) -> None:
    """The bytes of a constant must be those that its shape needs."""
    builder = ModelBuilder()
    x = builder.input("x", (2, 3))
    w = builder.constant("w", np.zeros((2, 3), F))
    builder.graph.tensors[w].shape = (4, 3)
    y = builder.tensor("y", (2, 3))
    builder.node("ADD", [x, w], [y], AddOptions={})
    path = tmp_path / "wrong.tflite"
    path.write_bytes(builder.finish([y]))
    text = _failure(path)
    assert str(path) in text
    assert "constant 'w' of float32 [4, 3] needs 48 bytes, not 24" in text


def test_cut_files() -> None:
    """Every prefix of a file is refused or read; nothing else happens."""
    data = _small()
    for length in [*range(8, 64, 8), *range(64, len(data), 193)]:
        _refused_or_read(data[:length])


def test_damaged_files() -> None:
    """Hundreds of random changes: an error of ours, or a model."""
    data, rng = _small(), random.Random(1)
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            place = rng.randrange(8, len(changed) - 4)
            value = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            changed[place : place + rng.choice((1, 4))] = bytes([value]) * rng.choice((1, 4))
        _refused_or_read(bytes(changed[: len(data)]))


def test_shared_tables_do_not_multiply() -> None:
    """A vector of subgraphs that are all one table of many tensors is refused, not read for hours."""
    builder = ModelBuilder()
    x = builder.input("x", (2,))
    for i in range(3000):
        builder.tensor(f"t{i}", (2,))
    y = builder.tensor("y", (2,))
    builder.node("RELU", [x], [y])
    data = bytearray(builder.finish([y]))
    import tflite

    model = tflite.Model.GetRootAs(data, 0)
    table = model._tab  # the position of the vector of subgraphs
    vector = table.Vector(table.Offset(8))
    target = table.Indirect(vector)
    count = 20000
    extra = bytearray()
    base = len(data) + 4
    for i in range(count):
        extra += (2**32 + target - (base + 4 * i)).to_bytes(5, "little")[:4]
    data += count.to_bytes(4, "little") + extra
    field = table.Pos + table.Offset(8)
    data[field : field + 4] = (base - 4 - field).to_bytes(4, "little")
    _refused_or_read(bytes(data))


def _refused_or_read(data: bytes) -> None:
    with contextlib.suppress(MlirageError):
        import_source(data, OPTIONS)
