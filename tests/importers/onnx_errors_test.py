"""Models that cannot be imported, and what the user is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from mlirage.errors import ImportFailure
from mlirage.importers.onnx import import_onnx
from mlirage.options import CompileOptions

HEADER = '<ir_version: 8, opset_import: ["" : 17]> '


def failure(source: object) -> str:
    """The text of the error."""
    with pytest.raises(ImportFailure) as caught:
        import_onnx(source, CompileOptions())  # pyright: ignore[reportArgumentType]
    return str(caught.value)


def test_all_unsupported_operators_at_once() -> None:
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Frobnicate", ["x"], ["a"], name="first", domain="com.example"),
                helper.make_node("StringNormalizer", ["a"], ["c"], name="second"),
                helper.make_node("Frobnicate", ["c"], ["y"], name="third", domain="com.example"),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 2)],
    )
    text = failure(model)
    assert "com.example.Frobnicate (opset 2), 2 nodes: first, third" in text
    assert "ai.onnx.StringNormalizer (opset 17), 1 nodes: second" in text


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"not a model at all", b"\xff\xff\xff\xff\xff"])
def test_bytes_that_are_no_model(data: bytes) -> None:
    assert "not an ONNX model" in failure(data)


def test_truncated_model() -> None:
    data = parser.parse_model(HEADER + "g (float[2] x) => (float[2] y) { y = Relu (x) }").SerializeToString()
    for length in range(0, len(data), 7):
        with pytest.raises(ImportFailure):
            import_onnx(data[:length], CompileOptions())


def test_missing_file(tmp_path: Path) -> None:
    assert "none.onnx" in failure(tmp_path / "none.onnx")


@pytest.mark.parametrize("size", [None, 10])
def test_missing_or_short_external_data(tmp_path: Path, size: int | None) -> None:
    model = parser.parse_model(HEADER + "g (float[64] x) => (float[64] y) { y = Add (x, w) }")
    model.graph.initializer.append(numpy_helper.from_array(np.arange(64, dtype=np.float32), "w"))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    if size is not None:
        (tmp_path / "weights.bin").write_bytes(bytes(size))
    text = failure(path)
    assert "'w'" in text
    assert "weights.bin" in text


def test_external_data_outside_the_folder(tmp_path: Path) -> None:
    model = parser.parse_model(HEADER + "g (float[4] x) => (float[4] y) { y = Add (x, w) }")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    model.graph.initializer.append(tensor)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert "must lie in the model's folder" in failure(path)


def test_cycle_and_missing_input() -> None:
    cycle = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Add", ["x", "b"], ["a"], name="one"),
                helper.make_node("Relu", ["a"], ["b"], name="two"),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])],
        )
    )
    assert "node 'one' (Add) reads 'b', which is made only by this or a later node" in failure(cycle)
    missing = parser.parse_model(HEADER + "g (float[2] x) => (float[2] y) { y = Add (x, nowhere) }")
    assert "reads 'nowhere', which is made by no node" in failure(missing)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("y = Add (x, w)", "do not broadcast: 3 against 5"),
        ("y = MatMul (x, w)", "inner extents differ: 3 is not 2"),
        ("y = Transpose <perm = [0, 0]> (x)", "permutation"),
        ("y = Conv (x, w)", "convolution of shape"),
        ("y = Concat <axis = 7> (x, x)", "axis 7"),
        ("y = Relu (x, x)", "takes 1 to 1 inputs, 2 are given"),
        ("y = Conv (x)", "takes 2 to 3 inputs, 1 are given"),
        ("y = Softmax <axis = 9> (x)", "axis 9"),
        ('y = Einsum <equation = "ij,jk->ik"> (x)', "names 2 operands, not 1"),
        ("y = Add (x, i)", "int64"),
        ('y = Pad <mode = "fold"> (x)', "fold"),
    ],
)
def test_nodes_that_make_no_sense(body: str, message: str) -> None:
    model = parser.parse_model(HEADER + f"g (float[2, 3] x, float[2, 5] w, int64[1] i) => (float[p, q] y) {{ {body} }}")
    model.graph.node[0].name = "culprit"
    text = failure(model)
    assert "node 'culprit'" in text
    assert message in text


def test_inputs_that_cannot_be_passed() -> None:
    strings = parser.parse_model(HEADER + "g (string[2] x) => (string[2] y) { y = Identity (x) }")
    assert "string tensors" in failure(strings)
    unranked = parser.parse_model(HEADER + "g (float[2] x) => (float[2] y) { y = Relu (x) }")
    unranked.graph.input[0].type.tensor_type.ClearField("shape")
    assert "has no shape" in failure(unranked)


def test_declared_type_of_an_output_must_hold() -> None:
    model = parser.parse_model(HEADER + "g (float[2] x) => (int64[2] y) { y = Relu (x) }")
    assert "is declared int64 but its node makes float32" in failure(model)


def test_wrong_weight_size() -> None:
    model = parser.parse_model(HEADER + "g (float[4] x) => (float[4] y) { y = Add (x, w) }")
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], raw_data=b"123"))
    assert "tensor 'w' is malformed" in failure(model)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("y = Add (x, i)", "(Add of float32[2, 3], int64[1])"),
        ("y = Softmax <axis = 1.5> (x)", "attribute 'axis' is of type FLOAT, not INT"),
        ("y = Cast (x)", "attribute 'to' is missing"),
        ("y = QuantizeLinear <axis = 1> (x, s)", "5 scales or zero points for 3 positions of axis 1"),
    ],
)
def test_nodes_are_told_with_types_and_attributes(body: str, message: str) -> None:
    model = parser.parse_model(HEADER + f"g (float[2, 3] x, int64[1] i, float[5] s) => (float[p, q] y) {{ {body} }}")
    assert message in failure(model)


def test_opset_that_does_not_exist_yet() -> None:
    model = parser.parse_model(HEADER.replace("17", "99") + "g (float[2] x) => (float[2] y) { y = Relu (x) }")
    assert "the model is of opset 99; the newest that is known is " in failure(model)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an ONNX model: it has no graph"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "begin with b'<!DOCTYPE html>"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    text = failure(path)
    assert str(path) in text
    assert message in text


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "w.bin", "offset": "-8"}, "starts at -8 in "),
        ({"location": "w.bin", "offset": "x"}, "tensor 'w' is malformed"),
        ({}, "does not say in which"),
    ],
)
def test_external_data_that_makes_no_sense(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    model = parser.parse_model(HEADER + "g (float[4] x) => (float[4] y) { y = Add (x, w) }")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    (tmp_path / "w.bin").write_bytes(bytes(64))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    text = failure(tmp_path / "m.onnx")
    assert "tensor 'w'" in text
    assert message in text
