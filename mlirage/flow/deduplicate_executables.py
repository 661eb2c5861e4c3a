"""Merges executables that are equal but for their names.

    @main$0_…, @main$1_… with the same body   ->   @main$0_…, dispatched twice

Entry points compare by their text without locations, so names do not depend on hashes, and the first one stays.
"""

from __future__ import annotations

from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("flow-deduplicate-executables")
def deduplicate_executables(program: Program) -> None:
    """Keeps one of all executables with equal bodies."""
    kept: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for op in list(program.module.body.operations):
        if "flow.executable" not in op.attributes:
            continue
        name = ir.StringAttr(op.attributes["sym_name"]).value
        first = kept.setdefault(_text_without_names(op.operation, name), name)
        if first != name:
            renamed[name] = first
            op.operation.erase()
    if not renamed:
        return
    for op in walk(program.module.operation):
        if op.name == "flow.dispatch":
            executable, entry = ir.SymbolRefAttr(op.attributes["entry"]).value
            if executable in renamed:
                kept_name = renamed[executable]
                op.attributes["entry"] = ir.SymbolRefAttr.get([kept_name, kept_name if entry == executable else entry])


def _text_without_names(executable: ir.Operation, name: str) -> str:
    return executable.get_asm(use_local_scope=True).replace(name, "")
