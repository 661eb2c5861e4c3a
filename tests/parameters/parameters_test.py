"""Weights outside of the module: the same results, other weights, what is wrong with them, resumed phases, the CLI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import load_file, save_file

import mlirage
from mlirage import runtime
from mlirage.compiler import lower
from mlirage.errors import DeviceError, UsageError
from mlirage.options import make_options
from mlirage.vm.encode import encode_module

Array = np.ndarray[Any, np.dtype[Any]]
X = np.random.default_rng(9).standard_normal((1, 3, 9, 9), dtype=np.float32)


def make_model(seed: int, zero_bias: bool = False) -> onnx.ModelProto:
    """Two convolutions with a residual, pooling, a classifier; odd sizes."""
    random = np.random.default_rng(seed)
    shapes = {"w1": (17, 3, 3, 3), "b1": (17,), "w2": (17, 17, 3, 3), "b2": (17,), "fc": (17, 10)}
    weights = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    if zero_bias:
        weights["b1"][:] = 0
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1] * 4),
        helper.make_node("Add", ["c2", "r1"], ["s"]),
        helper.make_node("Relu", ["s"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, X.shape)]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 10])]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "resnet", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def expected(model: onnx.ModelProto) -> Array:
    return ReferenceEvaluator(model).run(None, {"x": X})[0]


class Compiled:
    """Two models of one topology, each with its file."""

    def __init__(self, folder: Path) -> None:
        self.models = [make_model(1), make_model(2)]
        self.files = [folder / "a.safetensors", folder / "b.safetensors"]
        self.modules = [
            mlirage.compile(model, parameters=str(file)) for model, file in zip(self.models, self.files, strict=True)
        ]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled(tmp_path_factory.mktemp("parameters"))


def test_two_files_two_answers(compiled: Compiled) -> None:
    assert compiled.modules[0] == compiled.modules[1]  # all that differs is in the files
    assert len(compiled.modules[0]) < len(mlirage.compile(compiled.models[0])) - 15_000
    for model, file in zip(compiled.models, compiled.files, strict=True):
        for source in (file, str(file), file.read_bytes(), load_file(file)):
            (y,) = mlirage.load(compiled.modules[0], parameters=source)(X)
            np.testing.assert_allclose(y, expected(model), rtol=1e-4, atol=1e-4)


def test_compiling_again_gives_the_same_file(compiled: Compiled, tmp_path: Path) -> None:
    mlirage.compile(compiled.models[0], parameters=str(tmp_path / "again.safetensors"))
    assert (tmp_path / "again.safetensors").read_bytes() == compiled.files[0].read_bytes()


def test_file_in_another_order_is_gathered(compiled: Compiled, tmp_path: Path) -> None:
    """What a user made of the file with the format's own library: no layout, no digest."""
    arrays = {key: array for key, array in load_file(compiled.files[1]).items() if not key.startswith("__padding")}
    save_file(arrays, tmp_path / "edited.safetensors")
    (y,) = mlirage.load(compiled.modules[0], parameters=tmp_path / "edited.safetensors")(X)
    np.testing.assert_allclose(y, expected(compiled.models[1]), rtol=1e-4, atol=1e-4)


def test_file_is_used_in_place_and_calls_allocate_nothing(compiled: Compiled) -> None:
    device = runtime.device("local-sync")
    live = device.statistics["live_bytes"]
    imported = device.statistics["imported_buffers"]
    run = mlirage.load(compiled.modules[0], device, parameters=compiled.files[0])
    assert device.statistics["imported_buffers"] == imported + 1
    assert device.statistics["live_bytes"] - live < 4096  # the weights are 17 KB
    gathered = runtime.device("local-sync")
    copy = mlirage.load(compiled.modules[0], gathered, parameters=load_file(compiled.files[0]))
    assert gathered.statistics["live_bytes"] > 15_000
    assert np.array_equal(run(X)[0], copy(X)[0])
    allocations = device.statistics["allocations"]
    for _ in range(20):
        run(X)
    assert device.statistics["allocations"] == allocations


def test_memory_is_kept_as_long_as_it_is_used(compiled: Compiled) -> None:
    contents = bytearray(compiled.files[0].read_bytes())
    run = mlirage.load(compiled.modules[0], parameters=contents)
    arrays = load_file(compiled.files[0])
    mlirage.load(compiled.modules[0], parameters=arrays)
    del contents, arrays
    np.testing.assert_allclose(run(X)[0], expected(compiled.models[0]), rtol=1e-4, atol=1e-4)


def test_missing_and_wrong_parameters(compiled: Compiled, tmp_path: Path) -> None:
    module, file = compiled.modules[0], compiled.files[0]
    with pytest.raises(DeviceError, match=r"'model::b1' is missing.*give parameters="):
        mlirage.load(module)
    arrays = load_file(file)
    with pytest.raises(DeviceError, match=r"'model::b2' of 68 bytes is missing in memory"):
        mlirage.load(module, parameters={key: array for key, array in arrays.items() if key != "b2"})
    with pytest.raises(UsageError, match=r"'model::b2' has 8 bytes in memory, the module expects 68"):
        mlirage.load(module, parameters={**arrays, "b2": np.zeros(2, np.float32)})
    short = tmp_path / "short.safetensors"
    save_file({**arrays, "b2": np.zeros(2, np.float32)}, short)
    with pytest.raises(UsageError, match=r"'model::b2' has 8 bytes in .*short.safetensors, the module expects 68"):
        mlirage.load(module, parameters=short)
    with pytest.raises(UsageError, match=r"no such file"):
        mlirage.load(module, parameters=tmp_path / "nothing.safetensors")
    with pytest.raises(UsageError, match=r"files of weights are called \.safetensors, \.irpa, \.gguf"):
        mlirage.load(module, parameters="model.bin")
    with pytest.raises(UsageError, match=r"parameters= takes"):
        mlirage.load(module, parameters=3)  # type: ignore[arg-type]


def test_damaged_files(compiled: Compiled, tmp_path: Path) -> None:
    data, path = compiled.files[0].read_bytes(), tmp_path / "damaged.safetensors"
    for damaged, message in (
        (b"", "no .safetensors, .irpa or .gguf file"),
        (data[:100], "no .safetensors, .irpa or .gguf file, or a cut one"),
        (data[:-64], "the file is cut or damaged"),
        (data + bytes(64), "64 bytes after the last tensor"),
        (b"GGUF" + data, "version [0-9]+ of GGUF is not known"),
        (b"IRPA" + data, "version [0-9.]+ of .irpa is not known"),
        (data.replace(b'"F32"', b'"F31"', 1), "dtype of safetensors"),
        (data.replace(b'"b2"', b'"b1"'), "two tensors are called 'b1'"),
        (data.replace(b'"shape":[17]', b'"shape":[18]', 1), "not what its dtype and shape need"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DeviceError, match=message):
            mlirage.load(compiled.modules[0], parameters=path)


def test_file_of_another_program_is_refused(compiled: Compiled, tmp_path: Path) -> None:
    """A bias that is all zeros is not in the file but in the module: the files cannot be exchanged."""
    other = tmp_path / "other.safetensors"
    model = make_model(3, zero_bias=True)
    module = mlirage.compile(model, parameters=str(other))
    np.testing.assert_allclose(mlirage.load(module, parameters=other)(X)[0], expected(model), rtol=1e-4, atol=1e-4)
    for wrong in ((compiled.modules[0], other), (module, compiled.files[0])):
        with pytest.raises(UsageError, match="written for another program"):
            mlirage.load(wrong[0], parameters=wrong[1])


@pytest.mark.parametrize("phase", ["flow", "stream", "hal", "vm"])
def test_phases_resume(compiled: Compiled, tmp_path: Path, phase: str) -> None:
    file, saved = tmp_path / "resumed.safetensors", tmp_path / "program.mlir"
    lower(compiled.models[0], make_options(compile_to=phase, parameters=str(file))).save(saved)
    assert not file.exists()  # written when the module is
    resumed = mlirage.compile(saved, compile_from=phase, parameters=str(file))
    assert resumed == compiled.modules[0]
    assert file.read_bytes() == compiled.files[0].read_bytes()
    if phase != "flow":
        with pytest.raises(UsageError, match="keeps its weights outside of the module"):
            mlirage.compile(saved, compile_from=phase)


def test_option_is_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.safetensors and \.irpa files are written"):
        make_options(parameters="weights.gguf")
    with pytest.raises(UsageError, match="there is no folder"):
        mlirage.compile(make_model(1), parameters=str(tmp_path / "no" / "w.safetensors"))
    program = lower(make_model(1), make_options(compile_to="stream"))
    program.save(tmp_path / "p.mlir")
    with pytest.raises(UsageError, match="made without"):
        mlirage.compile(tmp_path / "p.mlir", compile_from="stream", parameters=str(tmp_path / "w.safetensors"))
    assert encode_module(lower(make_model(1), make_options())) == mlirage.compile(make_model(1))


def test_command_line(compiled: Compiled, tmp_path: Path) -> None:
    onnx.save(compiled.models[0], tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", expected(compiled.models[0]))

    def mlirage_run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "mlirage"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    assert mlirage_run("compile", "m.onnx", "--parameters=w.safetensors").returncode == 0
    check = ["--input=@x.npy", "--expected_output=@y.npy", "--rtol=1e-3", "--atol=1e-3"]
    done = mlirage_run("run", "m.mlirage", "--parameters=w.safetensors", *check)
    assert done.returncode == 0, done.stdout + done.stderr
    done = mlirage_run("bench", "m.mlirage", "--parameters=w.safetensors", "--seconds=0.1", "--json")
    assert json.loads(done.stdout)["calls"] >= 3
    assert "parameters" in mlirage_run("run", "m.mlirage", *check).stderr
