"""The initializer: the private function that sets a module's state when it is loaded, exported as `__init`."""

from __future__ import annotations

from mlirage.mlir import func, ir

INITIALIZER = "mlirage.initializer"


def ensure_initializer(module: ir.Module) -> ir.Operation:
    """The initializer of `module`; an empty one is added if there is none."""
    for op in module.body.operations:
        if isinstance(op, func.FuncOp) and INITIALIZER in op.operation.attributes:
            return op.operation
    with ir.InsertionPoint(module.body), ir.Location.name("initializer"):
        function = func.FuncOp("__init", ([], []), visibility="private")
        function.operation.attributes[INITIALIZER] = ir.UnitAttr.get()
        with ir.InsertionPoint(function.add_entry_block()):
            func.ReturnOp([])
    return function.operation
