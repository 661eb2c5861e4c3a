"""Compiler options: one frozen dataclass; command-line flags, `--help` and docs derive from its fields."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any


def option(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with the text of its flag's help."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class CompileOptions:
    """What a user may ask of the compiler. Every default is the fast, safe path."""

    target: str = option("host", "CPU to compile for: host, an LLVM triple, or triple:cpu[:+feature,…].")
    opt_level: int = option(3, "Optimization level 0 to 3 (docs/cli.md tells what each does).")
    input_type: str = option(
        "auto", "Kind of the input.", ("auto", "onnx", "mlir", "stablehlo", "tosa", "torch")
    )
    compile_from: str = option("start", "Phase whose output the input already is; compilation goes on after it.")
    compile_to: str = option("end", "Phase after which to stop and print the program.")
    dump_ir: str = option("", "Folder that receives the program after every phase and every executable's files.")
    print_ir_after: str = option("", "Regular expression of pass names after which the program is printed.")
    timing: bool = option(False, "Print the time of every pass and phase.")
    verify_each: bool = option(False, "Verify the IR after every pass instead of after every phase.")
    jobs: int = option(0, "Worker processes for code generation; 0: one per core.")
    cache_dir: str = option("", "Folder of the executable cache; empty: the user's cache folder; 'off': none.")

    @property
    def worker_count(self) -> int:
        """The number of code-generation workers."""
        return self.jobs or os.cpu_count() or 1
