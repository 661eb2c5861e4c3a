"""The C runtime: its own tests (runtime/tests) plain and under sanitizers, and what holds for all of its sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
SOURCES = sorted(path for path in (RUNTIME / "src").rglob("*.c") if not path.name.endswith("none.c"))
HEADERS = sorted((RUNTIME / "include" / "mlirage").glob("*.h"))
# What bare metal gets: no threads, no files, no system libraries.
HOSTED = {"local_task.c", "queue_thread.c", "sharing.c", "system.c", "allocator_libc.c"}
FREESTANDING = [
    path
    for path in [*SOURCES, *(RUNTIME / "src" / "platform" / name for name in ("none.c", "wait_none.c"))]
    if path.name not in HOSTED
    and path.parent.name != "runtime"
    and not path.stem.endswith(("_posix", "_linux"))
    and "arm_riscv" not in path.stem
]
WARNINGS = (
    "-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef "
    "-Wdouble-promotion -Wcast-qual -Wwrite-strings -Werror"
).split()
INCLUDES = [f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
# The base and the hardware abstraction; tests/vm tests the rest.
TESTED = [path for path in SOURCES if path.relative_to(RUNTIME / "src").parts[0] in ("base", "hal", "platform")]
FUZZ_SECONDS = os.environ.get("MLIRAGE_FUZZ_SECONDS", "2")


def _run(command: list[str], **options: object) -> str:
    result = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert result.returncode == 0, f"{' '.join(command[:3])} …: exit code {result.returncode}\n{result.stderr[-4000:]}"
    return result.stdout


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of device code, linked by the system's linker."""
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", "-nostdlib", "-ffreestanding", "-fvisibility=hidden"]
    _run(["gcc", *flags, f"-I{RUNTIME / 'include'}", str(RUNTIME / "tests" / "kernels.c"), "-o", str(path)])
    return path


@pytest.fixture(scope="session")
def packed_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, linked and packed by the compiler."""
    pytest.importorskip("ziglang")
    from mlirage.codegen.link import link_library
    from mlirage.codegen.target import parse_target

    folder = tmp_path_factory.mktemp("packed")
    flags = ["-std=c11", "-O1", "-fPIC", "-ffreestanding", "-fvisibility=hidden", f"-I{RUNTIME / 'include'}", "-c"]
    _run(["gcc", *flags, str(RUNTIME / "tests" / "kernels.c"), "-o", str(folder / "kernels.o")])
    target = parse_target("x86_64-unknown-linux-gnu")
    library = link_library([(folder / "kernels.o").read_bytes()], target, "mlirage_executable_library_query")
    (folder / "kernels.elf").write_bytes(library)
    return folder / "kernels.elf"


def _build(output: Path, *flags: str) -> Path:
    tests = sorted(
        path
        for path in (RUNTIME / "tests").glob("*.c")
        if path.name not in ("kernels.c", "session_main.c", "calls_main.c") and path.stem[:2] != "vm"
    )
    command = ["gcc", *WARNINGS, "-g", *flags, *INCLUDES, *map(str, [*tests, *TESTED]), "-o", str(output)]
    _run([*command, "-ldl", "-lpthread"])
    return output


def test_address_and_undefined_behaviour_sanitizers(tmp_path: Path, kernels: Path, packed_kernels: Path) -> None:
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    program = _build(tmp_path / "tests", "-O1", *sanitize)
    print(_run([str(program), str(kernels), FUZZ_SECONDS], timeout=300))
    print(_run([str(program), str(packed_kernels), FUZZ_SECONDS, "elf", "conformance"], timeout=300))


def test_thread_sanitizer(tmp_path: Path, kernels: Path) -> None:
    program = _build(tmp_path / "tests", "-O1", "-fsanitize=thread")
    print(
        _run(
            [
                str(program),
                str(kernels),
                "0",
                "fences",
                "semaphores",
                "conformance",
                "commands",
                "files",
                "async",
                "task",
                "profile",
            ],
            timeout=300,
        )
    )


@pytest.fixture(scope="session")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("optimized") / "tests", "-O2")


def test_optimized(optimized: Path, kernels: Path) -> None:
    print(_run([str(optimized), str(kernels), "1"], timeout=300))


def test_libraries_linked_by_lld(tmp_path: Path, optimized: Path) -> None:
    """What the compiler's own linker makes is laid out differently."""
    pytest.importorskip("ziglang")
    linked = tmp_path / "kernels.so"
    source, object_file = RUNTIME / "tests" / "kernels.c", tmp_path / "kernels.o"
    flags = ["-std=c11", "-O1", "-fPIC", "-ffreestanding", "-fvisibility=hidden", "-c"]
    _run(["gcc", *flags, f"-I{RUNTIME / 'include'}", str(source), "-o", str(object_file)])
    link = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "-s", "--gc-sections", "-z", "noseparate-code"]
    for hashes in ("sysv", "gnu"):
        _run([*link, f"--hash-style={hashes}", str(object_file), "-o", str(linked)])
        _run([str(optimized), str(linked), "0", "conformance"], timeout=300)


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
@pytest.mark.parametrize("language", ["c11", "c++17"])
def test_header_compiles_alone(header: Path, language: str) -> None:
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", f"-I{RUNTIME / 'include'}"]
    compiler = ["gcc", "-x", "c"] if language == "c11" else ["g++", "-x", "c++"]
    include = f'#include "mlirage/{header.name}"\n#include "mlirage/{header.name}"\n'
    _run([*compiler, f"-std={language}", *flags, "-fsyntax-only", "-"], input=include)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every source of the runtime, compiled on its own for size and without position independence."""
    folder = tmp_path_factory.mktemp("objects")
    outputs = [folder / f"{source.parent.name}_{source.stem}.o" for source in SOURCES]
    for source, output in zip(SOURCES, outputs, strict=True):
        _run(["gcc", *WARNINGS, "-Os", "-fno-pic", *INCLUDES, "-c", str(source), "-o", str(output)])
    return outputs


def test_no_writable_globals(objects: list[Path]) -> None:
    """Many runtimes live in one process, and unload cleanly, because nothing is kept outside of objects."""
    lines = _run(["nm", "-A", *map(str, objects)]).splitlines()
    assert [line for line in lines if re.search(r" [DdBbCGgSs] ", line)] == []


def test_core_needs_only_memory_functions(tmp_path: Path) -> None:
    """Freestanding: no C library but memcpy, memmove, memset, memcmp."""
    output = tmp_path / "core.o"
    flags = ["-Os", "-ffreestanding", "-nostdlib", "-fno-pic", "-fno-stack-protector", "-DMLIRAGE_ERROR_TEXT_SIZE=64"]
    command = ["gcc", *WARNINGS, *flags, *INCLUDES, "-r", *map(str, FREESTANDING), "-o", str(output)]
    _run(command)
    undefined = {line.split()[-1] for line in _run(["nm", "-u", str(output)]).splitlines()}
    assert undefined <= {"memcpy", "memmove", "memset", "memcmp", "_GLOBAL_OFFSET_TABLE_"}


@pytest.mark.parametrize("target", ["thumb-freestanding-eabi", "riscv32-freestanding", "wasm32-freestanding"])
def test_core_compiles_for_bare_metal(tmp_path: Path, target: str) -> None:
    pytest.importorskip("ziglang")
    cpu = {"thumb-freestanding-eabi": ["-mcpu=cortex_m4"], "riscv32-freestanding": ["-mcpu=generic_rv32+m+a+c"]}
    portable = [path for path in FREESTANDING if path.stem != "cpu_features_x86"]
    sources = [*portable, RUNTIME / "src" / "platform" / "cpu_features_arm_riscv.c"]
    flags = ["-std=c11", "-Os", "-ffreestanding", "-nostdlib", "-Wall", "-Wextra", "-Werror", *cpu.get(target, [])]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *flags, *INCLUDES, "-c", *map(str, sources)]
    _run(command, cwd=tmp_path)
