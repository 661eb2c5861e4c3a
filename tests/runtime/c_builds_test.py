"""Builds of the C runtime besides the usual one: two files, no threads, no malloc, a shared library, bare metal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlirage
from tests.runtime.c_runtime_test import FREESTANDING, INCLUDES, RUNTIME, SOURCES
from tests.runtime.c_samples_test import ADD, build_samples
from tests.vm.modules import make_module

# What a C library or an operating system gives memory or threads with.
ALLOCATORS = {"malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "strdup"}
FIRMWARE = RUNTIME / "tests" / "firmware"
CORTEX_M4 = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4"]
RISCV = ["-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+a+c"]
WASM = ["-target", "wasm32-freestanding"]


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(words[:4])} …: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def add(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("module") / "add.mlirage"
    path.write_bytes(mlirage.compile(ADD))
    return path


def _symbols(kind: str, *paths: Path) -> set[str]:
    return {
        line.split()[-1].partition("@")[0] for line in _run("nm", *kind.split(), *paths).splitlines() if " " in line
    }


def test_amalgamation(tmp_path: Path, add: Path) -> None:
    """One source and one header: compiled without warnings, linked to a sample, run."""
    _run(sys.executable, RUNTIME / "amalgamate.py", tmp_path)
    (tmp_path / "mlirage").mkdir()
    (tmp_path / "mlirage" / "runtime.h").write_text('#include "../mlirage.h"\n')
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Os", "-fvisibility=hidden"]
    _run("gcc", *flags, "-c", "mlirage.c", "-o", "mlirage.o", cwd=tmp_path)
    hello = RUNTIME / "samples" / "hello.c"
    _run("gcc", *flags, f"-I{tmp_path}", hello, "mlirage.o", "-o", "hello", "-ldl", "-lpthread", "-lm", cwd=tmp_path)
    for device in ("local-sync", "local-task"):
        assert _run(tmp_path / "hello", add, device) == "11 22 33 44\n"
    assert {name for name in _symbols("-g --defined-only", tmp_path / "mlirage.o") if name[:8] != "mlirage_"} == set()


def test_without_threads_and_malloc(tmp_path: Path, add: Path) -> None:
    """Everything from one block of the program's; nothing of pthread or malloc is even linked to."""
    samples = build_samples(tmp_path, "-DMLIRAGE_NO_THREADS=ON", "-DMLIRAGE_NO_MALLOC=ON")
    assert _run(samples / "static_memory", add).endswith(" 0 allocations after the first call\n")
    needed = _symbols("-u", tmp_path / "libmlirage_runtime.a")
    assert needed & ALLOCATORS == set()
    assert {name for name in needed if "pthread" in name or name in ("sched_getaffinity", "syscall", "futex")} == set()
    for device, text in (("local-task", "NOT_FOUND: no device 'local-task'; this build has local-sync, null"),
                         ("local-sync", "OUT_OF_MEMORY: no memory for a device")):  # fmt: skip
        done = subprocess.run([samples / "hello", add, device], capture_output=True, text=True, check=False)
        assert done.stderr == f"hello: {text}\n"


def test_shared_library(tmp_path: Path, add: Path) -> None:
    """The interface alone is exported, all of it."""
    samples = build_samples(tmp_path, "-DBUILD_SHARED_LIBS=ON")
    assert _run(samples / "hello", add) == "11 22 33 44\n"
    exported = {name for name in _symbols("-D --defined-only", tmp_path / "libmlirage_runtime.so") if name[0] != "_"}
    declared: set[str] = set()
    for header in (RUNTIME / "include" / "mlirage").glob("*.h"):
        text = re.sub(r"//[^\n]*|static inline [^{]*\{", "", header.read_text())
        declared |= set(re.findall(r"\b(mlirage_\w+)\(", text)) | set(
            re.findall(r"^extern .*?(mlirage_\w+);", text, re.M)
        )
    assert {name for name in exported if not name.startswith("mlirage_")} == set()
    assert exported - declared == set()
    assert len(exported) > 100


@pytest.mark.parametrize("target", [CORTEX_M4, RISCV, WASM], ids=["cortex-m4", "rv32", "wasm32"])
def test_firmware(tmp_path: Path, target: list[str]) -> None:
    """A whole image without a C library: the linker finds what the runtime needs in the four memory functions of the
    image and in what the compiler itself brings (64-bit division, floats in software)."""
    pytest.importorskip("ziglang")
    portable = [path for path in FREESTANDING if path.stem != "cpu_features_x86"]
    sources = [*portable, RUNTIME / "src" / "platform" / "cpu_features_arm_riscv.c", *sorted(FIRMWARE.glob("*.c"))]
    flags = ["-std=c11", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-stack-protector",
             "-fno-sanitize=undefined", "-DMLIRAGE_ERROR_TEXT_SIZE=64", "-Werror", "-s",
             "-Wl,--gc-sections"]  # fmt: skip
    entry = ["-Wl,--no-entry", "-Wl,--export=firmware_main"] if target == WASM else ["-Wl,-e,firmware_main"]
    image = tmp_path / "image"
    command = [sys.executable, "-m", "ziglang", "cc", *target, *flags, *INCLUDES, *entry]
    _run(*command, *sources, "-o", image)
    print(f"{target[1]}: an image of {image.stat().st_size} bytes")
    assert image.stat().st_size < 130_000


def test_firmware_runs_here(tmp_path: Path) -> None:
    """The same sources for this machine run a program, in memory of their own."""
    host = FIRMWARE / "host" / "host.c"
    _run("gcc", "-std=c11", "-O1", *INCLUDES, *FREESTANDING, *sorted(FIRMWARE.glob("*.c")), host, "-o",
         tmp_path / "firmware")  # fmt: skip
    code = "mul_i64 s0, s0 -> s0\nreturn s0"
    module = tmp_path / "square.mlirage"
    module.write_bytes(make_module({"main": ("I_I", code)}).encode())
    assert _run(tmp_path / "firmware", module, "12") == "0 144\n"
    module.write_bytes(module.read_bytes()[:-1])
    assert _run(tmp_path / "firmware", module, "12") == "3 0\n"


def test_sizes() -> None:
    """The table of docs/runtime.md: nothing of the core is a variable."""
    lines = _run(sys.executable, RUNTIME / "sizes.py").splitlines()
    assert lines[0].split() == ["folder", "files", "code", "data"]
    assert {line.split()[0] for line in lines} >= {"base", "hal", "hal/drivers", "module", "vm", "all"}


def test_every_source_belongs_to_a_build() -> None:
    none = {path.name for path in (RUNTIME / "src").rglob("*none.c")}
    assert none == {"none.c", "wait_none.c", "allocator_none.c", "drivers_none.c"}
    assert len(SOURCES) > 50
