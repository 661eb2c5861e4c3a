"""A library of vmvx entry points: a module file inside of the module file (format `vmvx-bytecode`)."""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.errors import CompileError
from mlirage.mlir import func, ir
from mlirage.options import CompileOptions
from mlirage.passes import run_passes
from mlirage.program import Program

FORMAT = "vmvx-bytecode"


def build_library(module: ir.Module, entries: Sequence[str]) -> bytes:
    """The module file of the functions `entries` of `module`, which is consumed.

    Exports are named by their ordinals, with their symbols as function names: the loader finds entry points by number,
    profiles and traces by name.

    Raises:
      CompileError: an entry point holds what the virtual machine cannot run.
    """
    from mlirage.module_file import Export
    from mlirage.vm import PIPELINE
    from mlirage.vm.encode import build_module

    symbols = {op.name.value: op for op in module.body.operations if isinstance(op, func.FuncOp)}
    for name, function in symbols.items():
        attributes = function.operation.attributes
        if name in entries:
            attributes["sym_visibility"] = ir.StringAttr.get("public", module.context)
        elif "sym_visibility" not in attributes:
            raise CompileError(f"function @{name} is no entry point of the library")
    program = Program(module, {}, CompileOptions())
    run_passes(program, PIPELINE)
    built = build_module(program)
    built.name = "executables"
    ordinals = {function.name: number for number, function in enumerate(built.functions)}
    built.exports = [Export(f"{number:05}", ordinals[name]) for number, name in enumerate(entries)]
    return built.encode()
