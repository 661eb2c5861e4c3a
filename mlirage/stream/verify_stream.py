"""stream-verify: what the stream phase promises the hal phase.

Host functions hold scalar arithmetic, structured control flow, globals, checks of views, and `cmd_*` regions on
allocated resources whose lifetimes are known; no tensor, and nothing with value semantics on resources.
"""

from __future__ import annotations

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.storage import functions

_DIALECTS = ("arith", "complex", "func", "hal", "math", "scf", "util")
_OPS = (
    "cf.assert",
    "stream.cmd_concurrent",
    "stream.cmd_copy",
    "stream.cmd_dispatch",
    "stream.cmd_execute",
    "stream.cmd_fill",
    "stream.resource_alloc",
    "stream.resource_alloca",
    "stream.resource_cast",
    "stream.resource_constant",
    "stream.resource_dealloca",
    "stream.resource_load",
    "stream.resource_subview",
    "stream.tensor_export",
    "stream.tensor_import",
    "stream.timepoint_await",
    "stream.timepoint_immediate",
    "stream.timepoint_import",
    "stream.timepoint_signal",
    "stream.yield",
)


@module_pass("stream-verify")
def verify_stream(program: Program) -> None:
    """Refuses whatever else is left.

    Raises:
      CompileError: lists all of it.
    """
    wrong = [
        f"{describe_location(op.location)}: {op.name}: {reason}"
        for function in functions(program.module)
        for op in walk(function)
        if (reason := _what_is_wrong(op))
    ]
    if wrong:
        raise CompileError("the stream phase left what has no schedule:\n  " + "\n  ".join(wrong))


def _what_is_wrong(op: ir.Operation) -> str:
    if op.name not in _OPS and op.name.split(".")[0] not in _DIALECTS:
        return "not an op of scheduled programs"
    values = [*op.operands, *op.results]
    if any(isinstance(value.type, ir.ShapedType) for value in values):
        return "a tensor on the host"
    inside = op.parent is not None and op.parent.name in ("stream.cmd_execute", "stream.cmd_concurrent")
    if not inside and any(stream.is_resource(value) and stream.lifetime_of(value) == "*" for value in values):
        return "a resource of unknown lifetime"
    return ""
