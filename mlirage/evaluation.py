"""Runs programs at compile time: compiled for this host by the same phases, run by the runtime in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mlirage.program import Array, Program


def evaluate(program: Program, arguments: Sequence[Array]) -> list[Array]:
    """The results of the function `main` of `program` for `arguments`; the program is used up.

    Raises:
      CompileError: it does not compile.
      DeviceError: it fails.
    """
    # The phases import this package's users: a cycle at import time only.
    from mlirage import compiler, runtime
    from mlirage.vm.encode import encode_module

    program.options = dataclasses.replace(
        program.options, target="host", compile_from="start", compile_to="end", dump_ir="", print_ir_after="", jobs=1
    )
    compiler.run_phases(program)
    return list(runtime.load(encode_module(program), "local-sync")(*arguments))
