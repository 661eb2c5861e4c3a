"""Host programs in MLIR text, compiled to module files."""

from __future__ import annotations

from typing import Any

from mlirage.mlir import ir, new_context
from mlirage.module_file import ModuleFile
from mlirage.passes import run_passes
from mlirage.program import Program
from mlirage.vm import PIPELINE
from mlirage.vm.encode import build_module


def compile_host(text: str, **constants: Any) -> ModuleFile:
    """A module file from functions of the hal phase."""
    context = new_context()
    with context:
        program = Program(ir.Module.parse(text), dict(constants))
    run_passes(program, PIPELINE)
    program.module.operation.verify()
    return build_module(program)
