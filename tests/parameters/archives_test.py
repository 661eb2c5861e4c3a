"""Files of weights: safetensors, .irpa and GGUF against the formats' own libraries, both ways."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mlirage
from mlirage import runtime
from mlirage.archives import Archive, Parameter, read_archive, write_archive
from mlirage.archives.archive import parameter_of
from mlirage.errors import UsageError

DATA = Path(__file__).parent / "data"
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "a.w": np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32),
    "b": np.arange(7, dtype=np.int64),
    "bf": np.full((2, 3), 1.5, ml_dtypes.bfloat16),
    "none": np.zeros((0, 4), np.float16),
    "scalar": np.array(3.5, np.float64),
    "splat": np.broadcast_to(np.float32(2.5), (400, 600)),
    "i8": np.array([-1, 2, 3], np.int8),
    "ü": np.array([True, False]),
    "c": np.array([1 + 2j], np.complex64),
}


def archive_of(arrays: dict[str, np.ndarray[Any, Any]], **metadata: str) -> Archive:
    return Archive(tuple(parameter_of(key, array) for key, array in arrays.items()), metadata)


def assert_equal(found: Archive, wanted: dict[str, np.ndarray[Any, Any]]) -> None:
    assert [p.key for p in found.parameters] == list(wanted)
    for parameter in found.parameters:
        array = wanted[parameter.key]
        assert (parameter.dtype, parameter.shape) == (array.dtype.name, array.shape)
        read = parameter.read()
        assert read.dtype == array.dtype
        assert read.shape == array.shape
        assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".irpa"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_archive(path, archive_of(ARRAYS))
    assert_equal(read_archive(path), ARRAYS)
    assert runtime.Parameters().add_file(path)
    write_archive(path, archive_of({}))
    assert_equal(read_archive(path), {})
    assert runtime.Parameters().add_file(path)


def test_splats_take_no_space_in_irpa(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.irpa", archive_of(ARRAYS))
    assert (tmp_path / "x.irpa").stat().st_size == 4096
    (splat,) = (p.read() for p in read_archive(tmp_path / "x.irpa").parameters if p.key == "splat")
    assert not any(splat.strides)


def test_safetensors_of_the_format_s_library(tmp_path: Path) -> None:
    arrays = {key: np.ascontiguousarray(array) for key, array in ARRAYS.items() if key != "splat"}
    save_file(arrays, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    theirs = read_archive(tmp_path / "theirs.safetensors")
    assert theirs.metadata == {"format": "pt"}
    assert_equal(theirs, {p.key: arrays[p.key] for p in theirs.parameters})
    write_archive(tmp_path / "ours.safetensors", archive_of(arrays))
    ours = load_file(tmp_path / "ours.safetensors")
    for key, array in arrays.items():
        assert ours[key].tobytes() == array.tobytes()


def test_irpa_that_iree_wrote() -> None:
    """tests/parameters/data/iree.irpa: written by iree.runtime 3.13 (ParameterIndex.create_archive_file)."""
    found = {p.key: p for p in read_archive(DATA / "iree.irpa").parameters}
    assert np.array_equal(found["w"].read(), np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.array_equal(found["n"].read(), np.arange(5, dtype=np.int16))
    assert found["bytes"].read().tobytes() == b"xyz"
    assert np.array_equal(found["ones"].read().view(np.float32), np.ones(4, np.float32))
    assert runtime.Parameters().add_file(DATA / "iree.irpa")


def test_irpa_that_iree_reads(tmp_path: Path) -> None:
    iree = pytest.importorskip("iree.runtime", reason="iree-base-runtime is not installed (extra bench)")
    write_archive(tmp_path / "x.irpa", archive_of(ARRAYS))
    index = iree.ParameterIndex()
    index.load(str(tmp_path / "x.irpa"))
    found = dict(index.items())
    assert set(found) == set(ARRAYS)
    assert not found["splat"].is_file
    assert found["splat"].length == ARRAYS["splat"].nbytes
    for key in ("a.w", "b", "scalar", "i8"):
        assert np.array_equal(iree.parameter_index_entry_as_numpy_ndarray(found[key]), ARRAYS[key])


def test_linked_and_erased_entries_of_irpa(tmp_path: Path) -> None:
    """Archives one behind the other; entries whose type was set to 0 do not exist."""
    write_archive(tmp_path / "1.irpa", archive_of({"x": np.arange(3, dtype=np.float32), "y": np.ones(2, np.int8)}))
    write_archive(tmp_path / "2.irpa", archive_of({"z": np.arange(4, dtype=np.int32)}))
    first, second = (bytearray((tmp_path / f"{n}.irpa").read_bytes()) for n in (1, 2))
    first[16:24] = len(first).to_bytes(8, "little")
    first[96 + 80 + 8] = 0  # type of the second entry
    (tmp_path / "both.irpa").write_bytes(first + second)
    found = read_archive(tmp_path / "both.irpa")
    assert [p.key for p in found.parameters] == ["x", "z"]
    assert runtime.Parameters().add_file(tmp_path / "both.irpa")


def test_gguf(tmp_path: Path) -> None:
    arrays = {key: ARRAYS[key] for key in ("a.w", "b", "i8")} | {"h": np.ones((2, 4), np.float16), "bf": ARRAYS["bf"]}
    write_archive(tmp_path / "x.gguf", archive_of(arrays, **{"general.name": "test"}))
    assert_equal(read_archive(tmp_path / "x.gguf"), arrays)
    assert read_archive(tmp_path / "x.gguf").metadata["general.name"] == "test"
    assert runtime.Parameters().add_file(tmp_path / "x.gguf")
    with pytest.raises(UsageError, match="GGUF has no type bool"):
        write_archive(tmp_path / "y.gguf", archive_of({"t": np.ones(2, np.bool_)}))


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "TQ1_0", "MXFP4"])
def test_blocks_of_gguf(tmp_path: Path, name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    values = np.random.default_rng(1).standard_normal((6, 512)).astype(np.float32)
    blocks = gguf.quantize(values, kind)
    writer = gguf.GGUFWriter(tmp_path / "q.gguf", "llama")
    writer.add_tensor("w", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (parameter,) = read_archive(tmp_path / "q.gguf").parameters
    assert (parameter.encoding, parameter.shape, parameter.length) == (name, (6, 512), blocks.nbytes)
    run_cli(tmp_path, "convert", "q.gguf", "f.safetensors", "--dequantize", "--to=float16")
    decoded = load_file(tmp_path / "f.safetensors")["w"]
    assert np.array_equal(decoded, gguf.dequantize(blocks, kind).astype(np.float16))
    # The runtime sees the same blocks: a program may take them as bytes.
    write_archive(tmp_path / "copy.gguf", read_archive(tmp_path / "q.gguf"))
    assert_loads_as_bytes(tmp_path / "copy.gguf", blocks)


def assert_loads_as_bytes(path: Path, blocks: np.ndarray[Any, Any]) -> None:
    """A module with a weight of that key and length, compiled with other values, gives the blocks of `path`."""
    kind = f"tensor<{blocks.size}xi8>"
    values = ", ".join(str(i % 100) for i in range(blocks.size))
    text = f"""
      func.func @main(%x: {kind}) -> {kind} {{
        %w = arith.constant dense<[{values}]> : {kind} loc("w")
        %e = tensor.empty() : {kind}
        %y = linalg.add ins(%x, %w : {kind}, {kind}) outs(%e : {kind}) -> {kind}
        return %y : {kind} }}"""
    module = mlirage.compile(text, parameters=str(path.with_suffix(".irpa")))
    (key,) = (p.key for p in read_archive(path.with_suffix(".irpa")).parameters)
    (parameter,) = read_archive(path).parameters
    renamed = Archive(
        (Parameter(key, *(getattr(parameter, f) for f in ("dtype", "shape", "length", "read", "encoding"))),)
    )
    write_archive(path, renamed)
    (y,) = mlirage.load(module, parameters=path)(np.zeros(blocks.size, np.int8))
    assert y.tobytes() == blocks.tobytes()


@pytest.mark.parametrize("mode", ["mmap", "preload", "file"])
@pytest.mark.parametrize("suffix", [".safetensors", ".irpa"])
def test_compiled_with_and_loaded_in_every_mode(tmp_path: Path, suffix: str, mode: str) -> None:
    weights = tmp_path / f"w{suffix}"
    values = np.random.default_rng(2).integers(-9, 9, (64, 64)).astype(np.float32)
    text = f"""
      func.func @main(%x: tensor<3x64xf32>) -> tensor<3x64xf32> {{
        %w = arith.constant dense<{values.tolist()}> : tensor<64x64xf32>
        %zero = arith.constant 0.0 : f32
        %e = tensor.empty() : tensor<3x64xf32>
        %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x64xf32>) -> tensor<3x64xf32>
        %y = linalg.matmul ins(%x, %w : tensor<3x64xf32>, tensor<64x64xf32>)
                           outs(%f : tensor<3x64xf32>) -> tensor<3x64xf32>
        return %y : tensor<3x64xf32> }}"""
    module = mlirage.compile(text, parameters=str(weights))
    x = np.ones((3, 64), np.float32)
    run = mlirage.load(module, parameters=runtime.Parameters().add_file(weights, mode=mode))
    assert np.array_equal(run(x)[0], x @ values)
    other = mlirage.compile(
        text.replace("linalg.fill ins(%zero", "linalg.fill ins(%one").replace(
            "%zero = arith.constant 0.0", "%one = arith.constant 1.0"
        ),
        parameters=str(tmp_path / f"o{suffix}"),
    )
    with pytest.raises(UsageError, match="written for another program"):
        mlirage.load(other, parameters=weights)


def test_modes_and_scopes_are_checked(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.irpa", archive_of({"w": np.ones(3, np.float32)}))
    parameters = runtime.Parameters().add_file(tmp_path / "x.irpa").add_file(tmp_path / "x.irpa", scope="other")
    with pytest.raises(UsageError, match="'model::w' is given twice"):
        parameters.add_file(tmp_path / "x.irpa")
    with pytest.raises(UsageError, match="one of mmap, preload, file"):
        parameters.add_file(tmp_path / "x.irpa", "third", "magic")


def test_command_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.int32).reshape(2, 3))
    text = run_cli(
        tmp_path, "create", "a.irpa", "--data=w=@x.npy", "--data=b=3xf32=[1 2 3]", "--splat=s=1024x1024xf32=0.5"
    )
    assert "3 parameters, 4,096 bytes" in text
    run_cli(tmp_path, "convert", "a.irpa", "b.safetensors", r"--rename=(\w)=layer.\1", "--only=w|b", "--to=bfloat16")
    found = load_file(tmp_path / "b.safetensors")
    assert np.array_equal(found["layer.w"], np.arange(6, dtype=np.int32).reshape(2, 3))
    assert found["layer.b"].dtype == ml_dtypes.bfloat16
    shown = run_cli(tmp_path, "dump", "a.irpa", "--values")
    assert "w  2x3xi32  24 bytes" in shown
    assert "3xf32=1 2 3" in shown
    assert "s  1024x1024xf32  4,194,304 bytes (splat)" in shown
    run_cli(tmp_path, "convert", "b.safetensors", "c.irpa", "--strip")
    assert not any(p.read().any() for p in read_archive(tmp_path / "c.irpa").parameters)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dump", "no.irpa"), "cannot read no.irpa: No such file"),
        (("dump", "x.npy"), "files of weights are called .safetensors, .irpa, .gguf"),
        (("create", "a.irpa", "--data=w"), "expected KEY=VALUE"),
        (("create", "a.irpa", "--data=w=f32=1", "--splat=w=2xf32=1"), "two parameters are called 'w'"),
        (("create", "a.irpa", "--splat=w=2xf32=1 2"), "more than one value"),
        (("create", "no/a.irpa", "--data=w=f32=1"), "cannot write no/a.irpa"),
        (("convert", "ok.irpa", "b.irpa", "--only=("), "no regular expression"),
        (("convert", "ok.irpa", "b.irpa", "--only=zz"), "no key of ok.irpa matches"),
        (("convert", "ok.irpa", "b.irpa", r"--rename=w=\3"), "invalid group reference"),
        (("dump", "cut.irpa"), "cut.irpa: malformed archive"),
        (("dump", "cut.safetensors"), "cut.safetensors: no safetensors file, or a cut one"),
        (("dump", "cut.gguf"), "cut.gguf: malformed GGUF file"),
    ],
)
def test_wrong_command_lines(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    write_archive(tmp_path / "ok.irpa", archive_of({"w": np.ones(3, np.float32)}))
    for suffix, size in ((".irpa", 150), (".safetensors", 40), (".gguf", 40)):
        path = tmp_path / f"cut{suffix}"
        write_archive(path, archive_of({"w": np.ones(300, np.float32)}))
        path.write_bytes(path.read_bytes()[:size])
    assert message in run_cli(tmp_path, *words, code=2)


def run_cli(folder: Path, *words: str, code: int = 0) -> str:
    command = [str(Path(sys.executable).parent / "mlirage"), "params", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
