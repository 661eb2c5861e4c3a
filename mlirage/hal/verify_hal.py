"""hal-verify: what the hal phase promises the vm phase.

Host functions hold scalar arithmetic, control flow, globals and ops of hal and util on their reference types;
executables hold nothing but their binaries' names.
"""

from __future__ import annotations

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_DIALECTS = ("arith", "cf", "func", "hal", "hal_inline", "hal_loader", "math", "scf", "util", "vmvx")
_REFERENCES = ("!hal.", "!util.")


@module_pass("hal-verify")
def verify_hal(program: Program) -> None:
    """Refuses whatever else is left.

    Raises:
      CompileError: lists all of it.
    """
    wrong = [
        f"{describe_location(op.location)}: {op.name}: {reason}"
        for function in program.module.body.operations
        if function.operation.name == "func.func"
        for op in walk(function.operation)
        if (reason := _what_is_wrong(op))
    ]
    if wrong:
        raise CompileError("the hal phase left what the host cannot run:\n  " + "\n  ".join(wrong))


def _what_is_wrong(op: ir.Operation) -> str:
    if op.name.split(".")[0] not in _DIALECTS:
        return "not an op of host programs"
    for value in (*op.operands, *op.results):
        kind = value.type
        if not isinstance(kind, ir.IndexType | ir.IntegerType | ir.FloatType) and not str(kind).startswith(_REFERENCES):
            return f"values of type {kind} do not exist on the host"
    return ""
