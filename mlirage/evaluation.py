"""Runs programs at compile time: compiled for this host by the same phases, run by the runtime in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from mlirage.program import Array, Program


def evaluate(program: Program, calls: Iterable[tuple[str, Sequence[Array]]]) -> list[list[Array]]:
    """The results of calls (function, arguments) of functions of `program`; the program is used up.

    Raises:
      CompileError: it does not compile.
      DeviceError: a call fails.
    """
    # The phases import this module's users: a cycle at import time only.
    from mlirage import compiler, runtime
    from mlirage.vm.encode import encode_module

    program.options = dataclasses.replace(
        program.options, target="host", target_backend="llvm-cpu", execution_model="async-internal", outputs="callee",
        compile_from="start", compile_to="end", dump_ir="", print_ir_after="",
    )  # fmt: skip
    compiler.run_phases(program)
    module = runtime.load(encode_module(program), "local-sync")
    return [list(module[function](*arguments)) for function, arguments in calls]
