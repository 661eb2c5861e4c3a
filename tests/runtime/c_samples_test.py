"""The programs of runtime/samples, built by CMake as an embedder would, and run on models compiled here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import mlirage
from mlirage.module_file import Import
from tests.runtime.c_runtime_test import RUNTIME
from tests.vm.modules import make_module

ADD = """
func.func @main(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %sum = arith.addf %a, %b : tensor<4xf32>
  return %sum : tensor<4xf32>
}
"""
DOUBLE = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = arith.addf %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}
"""
WEIGHTS = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %weights = arith.constant dense<[10.0, 20.0, 30.0, 40.0]> : tensor<4xf32>
  %y = arith.addf %x, %weights : tensor<4xf32>
  return %y : tensor<4xf32>
}
"""
COUNTER = """
ml_program.global private mutable @count(dense<0> : tensor<i32>) : tensor<i32>
func.func @add(%n: tensor<i32>) -> tensor<i32> {
  %old = ml_program.global_load @count : tensor<i32>
  %new = arith.addi %old, %n : tensor<i32>
  ml_program.global_store @count = %new : tensor<i32>
  return %new : tensor<i32>
}
"""


def _run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def build_samples(folder: Path, *options: str) -> Path:
    _run("cmake", "-S", RUNTIME, "-B", folder, "-DMLIRAGE_BUILD_SAMPLES=ON", "-DCMAKE_BUILD_TYPE=MinSizeRel", *options)
    _run("cmake", "--build", folder, "-j2")
    return folder / "samples"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_samples(tmp_path_factory.mktemp("samples"))


def _saved(folder: Path, name: str, module: bytes) -> Path:
    path = folder / f"{name}.mlirage"
    path.write_bytes(module)
    return path


def test_hello(samples: Path, tmp_path: Path) -> None:
    assert _run(samples / "hello", _saved(tmp_path, "add", mlirage.compile(ADD))) == "11 22 33 44\n"


def test_custom_module(samples: Path, tmp_path: Path) -> None:
    """Programs, a function of the host and another module in one context."""
    code = "call_import host.scale, [], s0 -> s1\n call_import lib.twice, [], s1 -> s0\n return s0"
    imports = [Import("host.scale", "I_I"), Import("lib.twice", "I_I")]
    main = make_module({"run": ("I_I", code)}, imports=imports, name="main")
    library = make_module({"twice": ("I_I", "add_i64 s0, s0 -> s0\n return s0")}, name="lib")
    paths = [_saved(tmp_path, "main", main.encode()), _saved(tmp_path, "lib", library.encode())]
    assert _run(samples / "custom_module", *paths) == "420 after 1 call\n"


def test_multiple_modules(samples: Path, tmp_path: Path) -> None:
    paths = [_saved(tmp_path, "first", mlirage.compile(DOUBLE)), _saved(tmp_path, "second", mlirage.compile(WEIGHTS))]
    assert _run(samples / "multiple_modules", *paths) == "12 24 36 48\n"


def test_stateful_counter(samples: Path, tmp_path: Path) -> None:
    assert _run(samples / "stateful_counter", _saved(tmp_path, "counter", mlirage.compile(COUNTER))) == "55 10\n"


def test_async_pipeline(samples: Path, tmp_path: Path) -> None:
    path = _saved(tmp_path, "double", mlirage.compile(DOUBLE, execution_model="async-external"))
    assert _run(samples / "async_pipeline", path) == f"{2**20:g}\n"


def test_parameters(samples: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    path = _saved(tmp_path, "model", mlirage.compile(WEIGHTS, parameters=str(weights)))
    assert _run(samples / "parameters", path, weights) == "11 22 33 44\n"


def test_static_memory(samples: Path, tmp_path: Path) -> None:
    said = _run(samples / "static_memory", _saved(tmp_path, "add", mlirage.compile(ADD)))
    assert said.startswith("2 4 6 8; ")
    assert said.endswith(" bytes at most, 0 allocations after the first call\n"), said
