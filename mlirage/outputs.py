"""What a compilation gives beside modules: C source, static libraries, listings.

    compile_files("model.onnx", CompileOptions(output_format="c"), "model")  ─>  {"model.c": …, "model.h": …}

Each format is the same walk through the phases with an execution model that fits it:

    format          execution model    kernels
    c               inline-static      functions of the program (vmvx-inline)
    static-library  inline-static      machine code (llvm-cpu)
    asm             as asked           as asked: their assembly, and the host program's listing
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlirage import compiler
from mlirage.errors import UsageError
from mlirage.options import CompileOptions

_MODELS = {"c": ("inline-static", "vmvx-inline"), "static-library": ("inline-static", "llvm-cpu")}


def compile_files(
    source: Any, options: CompileOptions, name: str, on_phase: Callable[[str], None] = lambda name: None
) -> dict[str, bytes | bytearray]:
    """The files of `options.output_format` by name.

    Args:
      name: what files and public names of C begin with.

    Raises:
      UsageError, ImportFailure, CompileError: see `mlirage.compile`.
    """
    if options.output_format == "asm":
        return {f"{name}.s": _listing(source, options, on_phase).encode()}
    if options.output_format == "module":
        return {f"{name}.mlirage": compiler.compile_with(source, options, on_phase)}
    program = compiler.lower(source, _fitting(options), on_phase)
    on_phase("end")
    if options.output_format == "c":
        from mlirage.c_source import emit_c_source

        made = emit_c_source(program, name)
        return {f"{name}.c": made.source.encode(), f"{name}.h": made.header.encode()}
    from mlirage.static_library import build_static_library

    made, library = build_static_library(program, name)
    return {f"{name}.a": library, f"{name}.h": made.header.encode()}


def _fitting(options: CompileOptions) -> CompileOptions:
    """The options with the execution model and backend of the format.

    Raises:
      UsageError: others were asked for.
    """
    model, backend = _MODELS[options.output_format]
    default = CompileOptions()
    for key, value in (("execution_model", model), ("target_backend", backend)):
        given = getattr(options, key)
        if given not in (value, getattr(default, key)):
            raise UsageError(f"output_format={options.output_format} is made with {key}={value}, not {given}")
    if options.parameters:
        raise UsageError(f"output_format={options.output_format} holds the weights itself: leave parameters out")
    return dataclasses.replace(options, execution_model=model, target_backend=backend, compile_to="vm")


def _listing(source: Any, options: CompileOptions, on_phase: Callable[[str], None]) -> str:
    """The host program as the virtual machine runs it, then each kernel as the processor does."""
    from mlirage.module_file import ModuleFile
    from mlirage.vm.assembly import disassemble

    with tempfile.TemporaryDirectory(prefix="mlirage-listing-") as folder:
        chosen = dataclasses.replace(options, dump_ir=options.dump_ir or folder)
        module = ModuleFile.decode(compiler.compile_with(source, chosen, on_phase))
        parts = [
            f"; {function.name} ({function.convention})\n{disassemble(module, function)}\n"
            for function in module.functions
        ]
        kernels = Path(chosen.dump_ir) / "executables"
        for path in sorted(kernels.glob("*/asm.s")):
            parts.append(f"; kernel {path.parent.name}\n{path.read_text()}")
        return "\n".join(parts)
