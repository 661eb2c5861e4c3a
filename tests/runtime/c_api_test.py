"""The C API as an embedder meets it: the sample, the CMake package, sessions under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import mlirage
from tests.runtime.c_runtime_test import INCLUDES, RUNTIME, SOURCES, WARNINGS
from tests.runtime.c_samples_test import WEIGHTS
from tests.runtime.programs import add_module, build_kernels


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module")
    path = folder / "add.mlirage"
    path.write_bytes(add_module(build_kernels(folder)))
    return path


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)


def test_sessions_under_sanitizers(tmp_path: Path, module_path: Path) -> None:
    program = tmp_path / "session"
    sanitize = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [RUNTIME / "tests" / "session_main.c", *SOURCES]
    built = _run("gcc", *WARNINGS, *sanitize, *INCLUDES, *sources, "-o", program, "-ldl", "-lpthread", "-lm")
    assert built.returncode == 0, built.stderr
    files = [tmp_path / f"weights.{kind}" for kind in ("safetensors", "irpa")]
    for file in files:
        (tmp_path / f"{file.name}.mlirage").write_bytes(mlirage.compile(WEIGHTS, parameters=str(file)))
    result = _run(program, module_path, tmp_path / f"{files[0].name}.mlirage", *files)
    assert result.returncode == 0, result.stdout + result.stderr
    for what in ("local-sync", "local-task", ".safetensors", ".irpa"):
        assert f"{what}: " in result.stdout


# Softmax without its maximum, of any length: three dispatches and two transient buffers.
DYNAMIC = """
func.func @main(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %sum = arith.addf %a, %b : tensor<?xf32>
  %e = math.exp %sum : tensor<?xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<f32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<f32>) -> tensor<f32>
  %total = linalg.reduce ins(%e : tensor<?xf32>) outs(%init : tensor<f32>) dimensions = [0]
    (%x: f32, %y: f32) { %s = arith.addf %x, %y : f32 linalg.yield %s : f32 }
  %result = linalg.generic {
    indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> ()>, affine_map<(d0) -> (d0)>],
    iterator_types = ["parallel"]}
    ins(%e, %total : tensor<?xf32>, tensor<f32>) outs(%a : tensor<?xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %q = arith.divf %x, %y : f32
    linalg.yield %q : f32
  } -> tensor<?xf32>
  return %result : tensor<?xf32>
}
"""


@pytest.mark.parametrize("extent", ["4", "0"], ids=["one shape", "300 shapes"])
def test_hundred_thousand_calls(tmp_path: Path, extent: str) -> None:
    """Once warm, calls take nothing of the system: no allocation, no growth, the same peak."""
    program, module = tmp_path / "calls", tmp_path / "module.mlirage"
    sources = [RUNTIME / "tests" / "calls_main.c", *SOURCES]
    built = _run("gcc", "-std=gnu11", "-O1", *INCLUDES, *sources, "-o", program, "-ldl", "-lpthread", "-lm")
    assert built.returncode == 0, built.stderr
    module.write_bytes(mlirage.compile(DYNAMIC))
    done = _run(program, module, "100000", extent, "2")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        driver, calls, allocations, resident, peak = line.split()
        assert (calls, allocations, peak) == ("100000", "0", "0"), line
        assert int(resident) < 512, f"{driver}: {resident} KiB more after {calls} calls"


def test_sample_with_cmake(tmp_path: Path, module_path: Path) -> None:
    assert len((RUNTIME / "samples" / "hello.c").read_text().splitlines()) < 60
    build = tmp_path / "build"
    configured = _run(
        "cmake", "-S", RUNTIME, "-B", build, "-DMLIRAGE_BUILD_SAMPLES=ON", "-DCMAKE_BUILD_TYPE=MinSizeRel"
    )
    assert configured.returncode == 0, configured.stderr
    built = _run("cmake", "--build", build, "-j2")
    assert built.returncode == 0, built.stdout + built.stderr
    hello = build / "samples" / "hello"
    for device in ("local-sync", "local-task"):
        result = _run(hello, module_path, device)
        assert (result.returncode, result.stdout) == (0, "11 22 33 44\n"), result.stderr
    result = _run(hello, module_path, "cuda")
    assert (result.returncode, result.stderr) == (
        1,
        "hello: NOT_FOUND: no device 'cuda'; this build has local-task, local-sync, null\n",
    )
    installed = _run("cmake", "--install", build, "--prefix", tmp_path / "installed")
    assert installed.returncode == 0, installed.stderr
    # What an embedder's own project looks like.
    project = tmp_path / "app"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(app C)\nfind_package(mlirage REQUIRED)\n"
        f"add_executable(app {RUNTIME / 'samples' / 'hello.c'})\ntarget_link_libraries(app PRIVATE mlirage::runtime)\n"
    )
    prefix = f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}"
    assert _run("cmake", "-S", project, "-B", project / "build", prefix).returncode == 0
    assert _run("cmake", "--build", project / "build").returncode == 0
    assert _run(project / "build" / "app", module_path).stdout == "11 22 33 44\n"
