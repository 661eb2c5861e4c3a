"""Runs compiled modules on other architectures, with the runtime built for them, under qemu's user-mode emulation.

    machine = Machine.get("aarch64")
    results = machine.run([Work(module, inputs), …])

The runtime and the runner (runtime/tests/cross/cross_main.c) are compiled once per architecture and state of the
sources, into `.cache/cross`. Zig builds musl for each architecture when it is first asked to: a minute or so.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage.errors import MlirageError
from mlirage.runtime.arrays import ELEMENT_TYPES, dtype_of_element_type
from tests.importers.model_runner import difference
from tests.importers.onnx_backend_cases import Case

Array = np.ndarray[Any, Any]
RUNTIME = Path(__file__).parents[2] / "runtime"
_BUILDS = Path(__file__).parents[2] / ".cache" / "cross"


@dataclass(frozen=True)
class Architecture:
    """How to build for it and how to run what was built.

    Attributes:
      target: of the compiler (`--target=`).
      zig: Zig's name of the system.
      emulator: qemu's program, and its arguments.
    """

    target: str
    zig: str
    emulator: tuple[str, ...]


ARCHITECTURES = {
    "aarch64": Architecture("aarch64", "aarch64-linux-musl", ("qemu-aarch64-static",)),
    "armv7": Architecture("arm", "arm-linux-musleabihf", ("qemu-arm-static", "-cpu", "cortex-a9")),
    "riscv64": Architecture("riscv64", "riscv64-linux-musl", ("qemu-riscv64-static", "-cpu", "rv64,v=false")),
    "riscv32": Architecture("riscv32", "riscv32-linux-musl", ("qemu-riscv32-static", "-cpu", "rv32,v=false")),
    # The same programs where the compiler was asked for more than the baseline.
    "riscv64v": Architecture(
        "riscv64-unknown-linux-gnu:generic-rv64:+v",
        "riscv64-linux-musl",
        ("qemu-riscv64-static", "-cpu", "rv64,v=true,vlen=256,vext_spec=v1.0"),
    ),
    "riscv64v-512": Architecture(
        "riscv64-unknown-linux-gnu:generic-rv64:+v,+zvl512b",
        "riscv64-linux-musl",
        ("qemu-riscv64-static", "-cpu", "rv64,v=true,vlen=512,vext_spec=v1.0"),
    ),
    "aarch64-sve256": Architecture(
        "aarch64:generic:+sve256,+i8mm,+bf16",
        "aarch64-linux-musl",
        ("qemu-aarch64-static", "-cpu", "max,sve256=on,sve512=off"),
    ),
    # The same code in longer registers, and code for longer ones.
    "aarch64-sve256-in-512": Architecture(
        "aarch64:generic:+sve256,+i8mm,+bf16", "aarch64-linux-musl", ("qemu-aarch64-static", "-cpu", "max,sve512=on")
    ),
    "aarch64-sve512": Architecture(
        "aarch64:generic:+sve512,+sve2,+i8mm,+bf16",
        "aarch64-linux-musl",
        ("qemu-aarch64-static", "-cpu", "max,sve512=on"),
    ),
    "aarch64-dotprod": Architecture(
        "aarch64:generic:+dotprod,+i8mm,+bf16,+fullfp16", "aarch64-linux-musl", ("qemu-aarch64-static", "-cpu", "max")
    ),
}


@dataclass(frozen=True)
class Work:
    """A call of a module's `main`."""

    module: bytes
    inputs: Sequence[Array]


class Machine:
    """An emulated processor with a runtime; without qemu or zig the test is skipped."""

    def __init__(self, architecture: Architecture) -> None:
        if shutil.which(architecture.emulator[0]) is None:
            pytest.skip(f"{architecture.emulator[0]} is not installed (apt-get install qemu-user-static)")
        pytest.importorskip("ziglang")
        self.architecture = architecture

    @staticmethod
    def get(name: str) -> Machine:
        """The machine of that name."""
        return Machine(ARCHITECTURES[name])

    @functools.cached_property
    def runner(self) -> Path:
        """The runner for its system."""
        return build(self.architecture.zig)

    def run(self, works: Sequence[Work], device: str = "local-sync") -> list[list[Array] | str]:
        """Results of each call, or the text of its error."""
        with tempfile.TemporaryDirectory(prefix="mlirage-cross-") as root:
            folders = [Path(root) / str(number) for number in range(len(works))]
            for folder, work in zip(folders, works, strict=True):
                folder.mkdir()
                (folder / "module.mlirage").write_bytes(work.module)
                (folder / "in.bin").write_bytes(write_arrays(work.inputs))
            lines = self._emulate(device, folders)
            return [
                read_arrays((folder / "out.bin").read_bytes())[0] if line == "ok" else line
                for folder, line in zip(folders, lines, strict=True)
            ]

    def _emulate(self, device: str, folders: Sequence[Path]) -> list[str]:
        """The runner's line for each folder. A crash costs one folder: the rest goes on in a new process."""
        lines: list[str] = []
        while len(lines) < len(folders):
            command = [*self.architecture.emulator, str(self.runner), device, *map(str, folders[len(lines) :])]
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            lines += result.stdout.splitlines()
            if len(lines) < len(folders):
                lines.append(f"the process ended with {result.returncode}: {result.stderr.strip()[-300:]}")
        return lines


def build(zig: str) -> Path:
    """The runner for a system, built unless it is there already."""
    sources = sorted(path for path in (RUNTIME / "src").rglob("*.c") if not path.name.endswith("none.c"))
    sources.append(RUNTIME / "tests" / "cross" / "cross_main.c")
    digest = hashlib.sha256(zig.encode())
    for path in sorted([*sources, *RUNTIME.rglob("*.h"), *RUNTIME.rglob("*.def")]):
        digest.update(path.read_bytes())
    output = _BUILDS / f"{zig}-{digest.hexdigest()[:16]}"
    if not output.exists():
        _BUILDS.mkdir(parents=True, exist_ok=True)
        flags = ["-std=c11", "-O1", "-s", "-static", f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
        partial = output.with_name(f"{output.name}.{os.getpid()}.partial")  # other processes build it, too
        command = [sys.executable, "-m", "ziglang", "cc", "-target", zig, *flags, *map(str, sources)]
        result = subprocess.run([*command, "-o", str(partial), "-lm"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-4000:]
        partial.rename(output)
    return output


def write_arrays(arrays: Sequence[Array]) -> bytes:
    """Arrays as cross_main.c reads them."""
    parts = [struct.pack("<I", len(arrays))]
    for array in arrays:
        header = struct.pack(f"<II{array.ndim}Q", ELEMENT_TYPES[array.dtype.name], array.ndim, *array.shape)
        parts += [header, struct.pack("<Q", array.nbytes), array.tobytes()]
    return b"".join(parts)


def read_arrays(data: bytes, position: int = 0) -> tuple[list[Array], int]:
    """Arrays of a file, and where they end."""
    (count,) = struct.unpack_from("<I", data, position)
    position += 4
    arrays: list[Array] = []
    for _ in range(count):
        element_type, rank = struct.unpack_from("<II", data, position)
        *shape, length = struct.unpack_from(f"<{rank + 1}Q", data, position + 8)
        position += 16 + 8 * rank
        flat = np.frombuffer(data, np.uint8, length, position)
        arrays.append(flat.view(dtype_of_element_type(element_type)).reshape(shape))
        position += length
    return arrays, position


def check_cases(name: str, cases: Sequence[Case]) -> list[str]:
    """Compiles the cases for the machine `name` and runs them there: what went wrong, a line per case."""
    machine = Machine.get(name)
    works: list[Work] = []
    expected: list[tuple[Case, list[Any]]] = []
    failures: list[str] = []
    for case in cases:
        try:
            module = mlirage.compile(case.model, target=machine.architecture.target)
        except MlirageError as error:
            failures.append(f"{case.name}: {error}")
            continue
        for inputs, outputs in case.runs:
            works.append(Work(module, [np.asarray(x) for x in inputs if x is not None]))
            expected.append((case, outputs))
    for (case, outputs), got in zip(expected, machine.run(works), strict=True):
        wrong = got if isinstance(got, str) else _compare(case, outputs, got)
        if wrong:
            failures.append(f"{case.name}: {wrong}")
    return failures


def _compare(case: Case, outputs: Sequence[Any], got: Sequence[Array]) -> str:
    if len(got) != len(outputs):
        return f"{len(got)} results instead of {len(outputs)}"
    found: list[str | None] = []
    for want, result in zip(outputs, got, strict=True):
        expected = np.asarray(want)
        if expected.dtype.itemsize == result.dtype.itemsize:
            result = result.view(expected.dtype)  # the runtime does not tell signed from unsigned, or from bool
        found.append(difference(expected, result, case.rtol, case.atol))
    return "; ".join(text for text in found if text)
