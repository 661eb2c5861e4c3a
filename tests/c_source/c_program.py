"""Builds programs in C with any compiler, and runs them in a process of their own.

program = CProgram(emit("model.mlir"), tmp_path, GCC)
[(sums,)] = program.run([("main", [a, b])])
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlirage import compiler
from mlirage.c_source import CSource, emit_c_source
from mlirage.codegen.link import ZIG
from mlirage.mlir import func, ir
from mlirage.options import CompileOptions
from mlirage.program import Program
from mlirage.runtime.arrays import ELEMENT_TYPES
from tests.codegen.cross import read_arrays, write_arrays

Array = np.ndarray[Any, Any]
WARNINGS = "-std=c11 -Wall -Wextra -Wpedantic -Werror".split()
GCC = ("gcc", "-O2")
GCC_SMALL = ("gcc", "-Os")
GCC_SANITIZED = ("gcc", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CLANG = (str(ZIG), "cc", "-O2", "-g0", "-fno-sanitize=all")
COMPILERS = {"gcc": GCC, "gcc-small": GCC_SMALL, "sanitized": GCC_SANITIZED, "clang": CLANG}
_MAIN = Path(__file__).with_name("run_program.c")


def lower(source: Any, **options: Any) -> Program:
    """The program of the vm phase that C is made of."""
    values = {"execution_model": "inline-static", "target_backend": "vmvx-inline", "compile_to": "vm"} | options
    return compiler.lower(source, CompileOptions(**values))


def emit(source: Any, name: str = "model", **options: Any) -> tuple[CSource, Program]:
    """The program in C, and what it was made of."""
    program = lower(source, **options)
    return emit_c_source(program, name), program


class CProgram:
    """A program in C, or with `library` a static library, with a `main` around it.

    Attributes:
      object: the object file of the program, or the library.
    """

    def __init__(
        self, made: tuple[CSource, Program], folder: Path, compiler_: Sequence[str] = GCC, emulator: Sequence[str] = (),
        library: bytes = b"",
    ) -> None:  # fmt: skip
        source, program = made
        self.emulator = list(emulator)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{source.name}.h").write_text(source.header)
        (folder / f"{source.name}.c").write_text(source.source)
        self.signatures = _signatures(program)
        self.names = list(self.signatures)
        entries = ", ".join(
            f"{{{source.name}_{name}_arrays, {len(row['results'])}}}" for name, row in self.signatures.items()
        )
        defines = [f'-DPROGRAM_HEADER="{source.name}.h"', f"-DPROGRAM(x)={source.name}_##x", f"-DFUNCTIONS={entries}"]
        self.object = folder / (f"{source.name}.a" if library else f"{source.name}.o")
        if library:
            self.object.write_bytes(library)
        else:
            self._compile([*compiler_, *WARNINGS, "-c", f"{source.name}.c", "-o", str(self.object)])
        self.binary = folder / "program"
        parts = [f"-I{folder}", str(_MAIN), str(self.object), "-o", str(self.binary)]
        self._compile([*compiler_, "-std=c11", *defines, *parts])

    def _compile(self, command: list[str]) -> None:
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-6000:]

    def run(self, calls: Sequence[tuple[str, Sequence[Any]]], memory: int = 64 << 20) -> list[list[Array] | int]:
        """Results of each call of an instance, or its status."""
        parts = [struct.pack("<I", self.names.index(name)) + write_arrays(inputs) for name, inputs in calls]
        (self.folder / "in.bin").write_bytes(b"".join(parts))
        command = [*self.emulator, str(self.binary), "in.bin", "out.bin", str(memory)]
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"exit code {result.returncode}\n{result.stderr[-4000:]}"
        data, position = (self.folder / "out.bin").read_bytes(), 0
        answers: list[list[Array] | int] = []
        for name, _ in calls:
            (status,) = struct.unpack_from("<I", data, position)
            position += 4
            if status:
                answers.append(status)
                continue
            arrays, position = read_arrays(data, position)
            types = [np.dtype(_numpy(row["dtype"])) for row in self.signatures[name]["results"]]
            answers.append([array.view(dtype) for array, dtype in zip(arrays, types, strict=True)])
        return answers


def _numpy(name: str) -> Any:
    import ml_dtypes

    assert name in ELEMENT_TYPES
    return getattr(ml_dtypes, name, None) or name


def _signatures(program: Program) -> dict[str, Any]:
    """Signature of each public function."""
    found: dict[str, Any] = {}
    for op in program.module.body.operations:
        attributes = op.operation.attributes
        if isinstance(op, func.FuncOp) and "mlirage.signature" in attributes:
            found[op.name.value] = json.loads(ir.StringAttr(attributes["mlirage.signature"]).value)
    return found
