"""Where mlirage is installed: without the compiler, without a home, in odd paths, interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mlirage
from mlirage.cli import main

ADD = "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n  %0 = arith.addf %x, %x : tensor<2xf32>\n  return %0 : tensor<2xf32>\n}\n"  # noqa: E501
PACKAGES = "click rich torch_mlir llvmlite ziglang onnx ml_dtypes safetensors torch jax"
# As if only numpy were installed beside us.
ONLY_NUMPY = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {PACKAGES.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def python(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def module() -> bytes:
    return mlirage.compile(ADD)


def test_the_runtime_needs_numpy_alone(module: bytes, tmp_path: Path) -> None:
    (tmp_path / "add.mlirage").write_bytes(module)
    program = f"""{ONLY_NUMPY}
import numpy as np, mlirage
assert mlirage.load(sys.argv[1])(np.ones(2, np.float32))[0].tolist() == [2, 2]
try:
    mlirage.compile("model.onnx")
except mlirage.UsageError as error:
    print(error)
from mlirage.cli import main
sys.exit(main(["run", sys.argv[1]]))
"""
    done = python(program, str(tmp_path / "add.mlirage"))
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip().endswith("pip install 'mlirage[compiler]'")
    assert done.stderr == "mlirage: this needs the package 'click': pip install 'mlirage[compiler]'\n"


def test_without_onnx(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08")
    program = ONLY_NUMPY.replace(repr(PACKAGES.split()), "['onnx']")
    done = python(f"{program}\nfrom mlirage.cli import main\nsys.exit(main(sys.argv[1:]))", "compile",
                  str(tmp_path / "model.onnx"))  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "mlirage: this needs the package 'onnx': pip install 'mlirage[onnx]'\n",
    )


def test_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Containers run under numbers that no user has, and with homes that nobody may write to."""
    from mlirage.codegen.cache import Cache

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert Cache.open("").folder is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("in the way")
    assert Cache.open("").folder is None


def test_the_cache_may_vanish(tmp_path: Path) -> None:
    from mlirage.codegen.cache import Cache

    cache = Cache.open(str(tmp_path / "cache"))
    cache._stored = True  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "cache").rmdir()
    cache.prune(0)


@pytest.mark.parametrize("name", ["with space", "ünïcødé 模型", "a{b}", "line\nbreak", "-dash", "percent%d"])
def test_paths(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / name
    folder.mkdir()
    model = folder / f"{name}.mlir"
    model.write_text(ADD)
    assert main(["compile", str(model)]) == 0, capsys.readouterr().err
    assert main(["run", str(folder / f"{name}.mlirage"), "--input=2xf32=1 2"]) == 0
    assert "2xf32=2 4" in capsys.readouterr().out
    np.testing.assert_array_equal(mlirage.load(folder / f"{name}.mlirage")([1.0, 2.0])[0], [2, 4])


@pytest.mark.parametrize(
    ("variable", "text"), [("MLIRAGE_DEBUG", "²"), ("MLIRAGE_DEBUG", "-1"), ("MLIRAGE_FLAGS", "'")]
)
def test_environment_nonsense(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "m.mlir").write_text(ADD)
    monkeypatch.setenv(variable, text)
    assert main(["compile", str(tmp_path / "m.mlir")]) == 2
    assert f"mlirage: {variable}={text!r}: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.mlir"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    functions = "".join(
        f"func.func @f{i}(%a: tensor<{i + 3}x7xf32>, %b: tensor<7x{i + 5}xf32>, %c: tensor<{i + 3}x{i + 5}xf32>)"
        f" -> tensor<{i + 3}x{i + 5}xf32> {{\n  %0 = linalg.matmul ins(%a, %b : tensor<{i + 3}x7xf32>, "
        f"tensor<7x{i + 5}xf32>) outs(%c : tensor<{i + 3}x{i + 5}xf32>) -> tensor<{i + 3}x{i + 5}xf32>\n"
        f"  return %0 : tensor<{i + 3}x{i + 5}xf32>\n}}\n"
        for i in range(60)
    )
    (tmp_path / "m.mlir").write_text(functions)
    # Whoever runs the tests in the background may have interrupts ignored, which processes inherit.
    program = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mlirage.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "compile", "m.mlir", "--cache-dir=off"],
        cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    time.sleep(2.0)  # anywhere: importing, compiling, translating
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT, 1), complaint
    end = time.monotonic() + 60
    while (left := _processes_of_session(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []
    assert [path.name for path in tmp_path.iterdir()] == ["m.mlir"]


def _processes_of_session(session: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found
