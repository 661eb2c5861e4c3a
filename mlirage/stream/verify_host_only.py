"""stream-verify-host-only: what execution model host-only asks of a program: no tensors, and so no kernels.

    func.func @f(%n: i64) -> i64 { … arith, math, scf, func, scalar globals … }     is fine
    func.func @g(%x: tensor<4xf32>) …                                               is refused

Nothing is left to schedule or to allocate then: the module imports nothing.
"""

from __future__ import annotations

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, func, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_LISTED = 20


@module_pass("stream-verify-host-only")
def verify_host_only(program: Program) -> None:
    """Refuses programs with work for a device.

    Raises:
      CompileError: lists the functions that take or give tensors and the ops that compute with them.
    """
    found: list[str] = []
    for op in program.module.body.operations:
        if op.operation.name.startswith("ml_program."):
            kind = ir.TypeAttr(op.operation.attributes["type"]).value
            found.append(f"{describe_location(op.location)}: a global of type {kind}")
        elif isinstance(op, func.FuncOp):
            if any(isinstance(kind, ir.ShapedType) for kind in (*op.type.inputs, *op.type.results)):
                found.append(f"{describe_location(op.location)}: function @{op.name.value} takes or gives tensors")
            found += [
                f"{describe_location(inner.location)}: {inner.name}"
                for inner in walk(op.operation)
                if inner.name.startswith("flow.")
                or any(isinstance(value.type, ir.ShapedType) for value in (*inner.operands, *inner.results))
            ]
    if found:
        more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise CompileError(
            "execution_model=host-only is for programs of scalars alone, without tensors and kernels:\n  "
            + "\n  ".join(found[:_LISTED])
            + more
        )
