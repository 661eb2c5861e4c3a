"""The C API as an embedder meets it: the sample, the CMake package, sessions under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.runtime.c_runtime_test import INCLUDES, RUNTIME, SOURCES, WARNINGS
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
    result = _run(program, module_path)
    assert result.returncode == 0, result.stderr
    assert "local-task: " in result.stdout


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
