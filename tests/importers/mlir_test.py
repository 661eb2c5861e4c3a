"""MLIR text and bytecode: weights leave the IR in every form, signatures keep signs, errors point at the place."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import mlirage
from mlirage.errors import CompileError, ImportFailure
from mlirage.importers.mlir import import_mlir
from mlirage.importers.mlir_resources import bytecode_blobs, split_text
from mlirage.mlir import ir, new_context, stablehlo_api, write_bytecode
from mlirage.options import CompileOptions

OPTIONS = CompileOptions()


def with_resources(arrays: dict[str, tuple[np.ndarray, str]]) -> ir.Module:
    """A module whose function returns one dense_resource constant per array."""
    module = ir.Module.create(ir.Location.unknown(new_context()))
    with module.context, ir.Location.unknown():
        lines, results = [], []
        for name, (_, element) in arrays.items():
            results.append(f"tensor<{len(arrays[name][0])}x{element}>")
            lines.append(f"  %{name} = arith.constant dense_resource<{name}> : {results[-1]}")
        text = "\n".join(lines)
        values = ", ".join(f"%{name}" for name in arrays)
        blobs = ",\n".join(
            f'      {name}: "0x{(8).to_bytes(4, "little").hex()}{array.tobytes().hex()}"'
            for name, (array, _) in arrays.items()
        )
        tail = "{-#\n  dialect_resources: {\n    builtin: {\n" + blobs + "\n    }\n  }\n#-}\n"
        kinds = ", ".join(results)
        return ir.Module.parse(f"func.func @main() -> ({kinds}) {{\n{text}\n  return {values} : {kinds}\n}}\n{tail}")


ARRAYS = {
    "w1": (np.arange(1, dtype=np.float32), "f32"),
    "w17": (np.arange(17, dtype=np.float64), "f64"),
    "w33": (np.arange(33).astype(ml_dtypes.bfloat16), "bf16"),
    "w1000": (np.arange(1000, dtype=np.int8), "i8"),
}


@pytest.mark.parametrize("form", ["text", "bytecode", "text file", "bytecode file"])
def test_resources_become_constants(form: str, tmp_path: Path) -> None:
    module = with_resources(ARRAYS)
    # A second parse in the same context renames resources: text and bytecode must say the names of their blobs.
    text, bytecode = str(module), write_bytecode(module.operation)
    source: str | bytes | Path = text if form.startswith("text") else bytecode
    if form.endswith("file"):
        path = tmp_path / "model.mlir"
        path.write_bytes(source.encode() if isinstance(source, str) else source)
        source = path
    program = import_mlir(source, OPTIONS)
    found = sorted((array for array in program.constants.values()), key=len)
    assert [len(array) for array in found] == [17, 33, 1000]  # one element may stay in the IR
    for array, (expected, _) in zip(found, list(ARRAYS.values())[1:], strict=True):
        np.testing.assert_array_equal(array, expected)
    results = mlirage.load(mlirage.compile(source))()
    for result, (expected, _) in zip(results, ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_blobs_of_text_and_bytecode_agree() -> None:
    module = with_resources(ARRAYS)
    _, text_blobs = split_text(str(module))
    assert {k: bytes(v) for k, v in text_blobs.items()} == {
        k: bytes(v) for k, v in bytecode_blobs(write_bytecode(module.operation)).items()
    }


def test_resource_errors() -> None:
    text = (
        "func.func @f() -> tensor<4xf32> {\n"
        "  %0 = arith.constant dense_resource<w> : tensor<4xf32>\n  return %0 : tensor<4xf32>\n}"
    )
    with pytest.raises(ImportFailure, match=r"-:2:8: the module names the resource 'w' but does not contain it"):
        import_mlir(text, OPTIONS)
    tail = '\n{-#\n  dialect_resources: {\n    builtin: {\n      w: "0x040000000000803F"\n    }\n  }\n#-}'
    with pytest.raises(ImportFailure, match=r"resource 'w' has 4 bytes, tensor<4xf32> needs 16"):
        import_mlir(text + tail, OPTIONS)


def test_signature_keeps_names_and_signs() -> None:
    program = import_mlir(
        'func.func @f(%x: tensor<?x4xui8> loc("image"), %n: i32) -> tensor<2xi1> {\n'
        "  %0 = stablehlo.constant dense<true> : tensor<2xi1>\n  return %0 : tensor<2xi1>\n}",
        OPTIONS,
    )
    (function,) = program.module.body.operations
    signature = json.loads(ir.StringAttr(function.operation.attributes["mlirage.signature"]).value)
    assert signature["arguments"] == [
        {"name": "image", "dtype": "uint8", "shape": [None, 4]},
        {"name": "arg1", "dtype": "int32", "shape": [], "scalar": True},
    ]
    assert signature["results"] == [{"name": "result0", "dtype": "bool", "shape": [2]}]


@pytest.mark.parametrize("version", ["0.9.0", "0.17.0", "1.0.0", "1.8.0"])
def test_older_portable_artifacts(version: str) -> None:
    context = new_context()
    with context:
        module = ir.Module.parse(
            "func.func @main(%x: tensor<2x3xf32>) -> tensor<2x2xf32> {\n"
            "  %0 = stablehlo.dot_general %x, %x, contracting_dims = [1] x [1] : "
            "(tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x2xf32>\n  return %0 : tensor<2x2xf32>\n}"
        )
        artifact = stablehlo_api.serialize_portable_artifact(module, version)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (result,) = mlirage.load(mlirage.compile(artifact))(x)
    np.testing.assert_array_equal(result, x @ x.T)


def test_portable_artifact() -> None:
    context = new_context()
    with context:
        module = ir.Module.parse(
            "func.func @main(%x: tensor<3xui8>) -> tensor<3xui8> {\n"
            "  %0 = stablehlo.divide %x, %x : tensor<3xui8>\n  return %0 : tensor<3xui8>\n}"
        )
        artifact = stablehlo_api.serialize_portable_artifact(module, stablehlo_api.get_minimum_version())
    (result,) = mlirage.load(mlirage.compile(artifact))(np.array([1, 200, 255], np.uint8))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [1, 1, 1])
    with pytest.raises(ImportFailure, match=r"StableHLO artifacts from version 0\.9\.0"):
        import_mlir(artifact[: len(artifact) // 2], OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("func.func @f( {", r"<text>:1:14: expected non-function type"),
        ("func.func @f() {\n  acme.op\n}", r"<text>:2:3: Dialect `acme' not found"),
        ("func.func @f(%x: !foo.bar) { return }", r"foo"),
    ],
)
def test_parse_errors_point_at_the_place(text: str, message: str) -> None:
    with pytest.raises(ImportFailure, match=message):
        import_mlir(text, OPTIONS)


def test_parse_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.mlir"
    path.write_text("func.func @f() {\n  %0 = arith.addf %1, %1 : f32\n  return\n}")
    with pytest.raises(ImportFailure, match=r"broken\.mlir:2:19: use of undeclared SSA value"):
        mlirage.compile(path)


def test_bitcasts_of_open_extents_are_refused() -> None:
    """Upstream's lowering ends the process where elements become several."""
    text = """
    func.func @main(%x: tensor<?x3xf32>) -> tensor<?x3x4xui8> {
      %0 = stablehlo.bitcast_convert %x : (tensor<?x3xf32>) -> tensor<?x3x4xui8>
      return %0 : tensor<?x3x4xui8>
    }"""
    with pytest.raises(CompileError, match=r"bitcast_convert to elements of another width with open extents, at .*:3"):
        mlirage.compile(text)
