"""A program as a static library: its host part in C (c_source) compiled with the kernels' machine code.

    program of the vm phase (inline-static, llvm-cpu) ──> model.a, model.h

The library needs nothing but the memory functions of C (memcpy, memset, memmove), and on processors of 32 bits the
arithmetic that compilers bring along. Its symbols all begin with the program's name: several lie in one firmware.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlirage.c_source import CSource, emit_c_source
from mlirage.codegen.cpu.abi import QUERY
from mlirage.codegen.elf import rename_symbols
from mlirage.codegen.link import archive, compile_c
from mlirage.codegen.target import parse_target
from mlirage.hal.link_executables import STATIC_OBJECTS
from mlirage.mlir import ir
from mlirage.program import Program

_SUPPLIED = ("memcpy", "memmove", "memset")


def build_static_library(program: Program, name: str) -> tuple[CSource, bytes]:
    """The header (with the source of the host part) and the library.

    Raises:
      CompileError: the program holds what has no form in C.
      TargetError: the compiler for the target refused something.
    """
    source = emit_c_source(program, name)
    target = parse_target(program.options.target)
    members: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="mlirage-static-") as folder:
        (Path(folder) / f"{name}.h").write_text(source.header)
        path = Path(folder) / f"{name}.c"
        path.write_text(source.source)
        members[f"{name}.o"] = compile_c(path, target)

    def renamed(symbol: str) -> str:
        if symbol == QUERY:
            return f"{name}_kernels"
        return symbol if symbol in _SUPPLIED or symbol.startswith("__") or not symbol else f"{name}_kernel_{symbol}"

    for number, data in enumerate(_kernel_objects(program)):
        members[f"{name}_kernel_{number}.o"] = rename_symbols(data, renamed)
    return source, archive(members)


def _kernel_objects(program: Program) -> list[bytes]:
    """Object files of the kernels and of their table."""
    return [
        program.constants[ir.StringAttr(name).value].tobytes()
        for op in program.module.body.operations
        if STATIC_OBJECTS in op.operation.attributes
        for name in ir.ArrayAttr(op.operation.attributes[STATIC_OBJECTS])
    ]
