"""A library of vmvx entry points: a module file inside of the module file (format `vmvx-bytecode`)."""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.errors import CompileError
from mlirage.mlir import func, ir, walk
from mlirage.options import CompileOptions
from mlirage.passes import run_passes
from mlirage.program import Program

FORMAT = "vmvx-bytecode"
# Of a buffer's object before its bytes, of blocks, of buffers of unknown size, and of all: more is allocated.
_OBJECT_BYTES, _ALIGNMENT, _DYNAMIC_BYTES, _MOST_BYTES = 128, 64, 64 << 10, 64 << 20


def build_library(module: ir.Module, entries: Sequence[str]) -> bytes:
    """The module file of the functions `entries` of `module`, which is consumed.

    Exports are named by their ordinals, with their symbols as function names: the loader finds entry points by number,
    profiles and traces by name. The signature of an export is the number of bytes of its temporaries.

    Raises:
      CompileError: an entry point holds what the virtual machine cannot run.
    """
    from mlirage.module_file import Export
    from mlirage.vm import PIPELINE
    from mlirage.vm.encode import build_module

    temporaries = {name: temporary_bytes(op) for name, op in _functions(module).items()}
    symbols = _functions(module)
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
    built.exports = [
        Export(f"{number:05}", ordinals[name], str(temporaries[name]) if temporaries[name] else "")
        for number, name in enumerate(entries)
    ]
    return built.encode()


def _functions(module: ir.Module) -> dict[str, func.FuncOp]:
    return {op.name.value: op for op in module.body.operations if isinstance(op, func.FuncOp)}


def temporary_bytes(function: func.FuncOp) -> int:
    """Bytes that the buffers of a function take together; a guess for those whose size is known when it runs."""
    total = 0
    for op in walk(function.operation):
        if op.name == "util.buffer_alloc":
            size = op.operands[0].owner
            length = _DYNAMIC_BYTES
            if not isinstance(size, ir.Block) and size.operation.name == "arith.constant":
                length = ir.IntegerAttr(size.operation.attributes["value"]).value
            total += -(-(length + _OBJECT_BYTES) // _ALIGNMENT) * _ALIGNMENT
    return min(total, _MOST_BYTES)
