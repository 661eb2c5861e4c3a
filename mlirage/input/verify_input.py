"""input-verify: after phase `input` a program consists of linalg, tensor, scalar ops, control flow and linalgx.

Everything else is reported at once, with the locations of its first uses; nothing is changed.
"""

from __future__ import annotations

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

LEGAL_DIALECTS = frozenset(
    ("arith", "builtin", "complex", "func", "linalg", "linalgx", "math", "ml_program", "scf", "tensor")
)
LEGAL_OPS = frozenset(("cf.assert", "bufferization.materialize_in_destination"))
ILLEGAL_OPS = frozenset((
    "arith.flush_denormals", "arith.scaling_extf", "arith.scaling_truncf", "builtin.unrealized_conversion_cast",
    "complex.bitcast", "math.isnormal", "tensor.gather", "tensor.scatter",
))  # fmt: skip
_SHOWN_LOCATIONS = 3


@module_pass("input-verify")
def verify_input(program: Program) -> None:
    """Fails with a list of every op that phase `input` could not convert."""
    found: dict[str, list[str]] = {}
    for op in walk(program.module.operation):
        if op.name in ILLEGAL_OPS or (op.name.split(".")[0] not in LEGAL_DIALECTS and op.name not in LEGAL_OPS):
            found.setdefault(_title(op), []).append(describe_location(op.location))
    if not found:
        return
    lines = []
    for title, places in sorted(found.items()):
        shown = ", ".join(places[:_SHOWN_LOCATIONS])
        more = f" and {len(places) - _SHOWN_LOCATIONS} more" if len(places) > _SHOWN_LOCATIONS else ""
        lines.append(f"  {title} at {shown}{more}")
    if any("custom_call" in title for title in found):
        lines.append("what a custom call computes can be said by mlirage.register_custom_call")
    raise CompileError("\n".join(["these operations are not supported:", *lines]))


def _title(op: ir.Operation) -> str:
    if op.name == "builtin.unrealized_conversion_cast":
        return f"a conversion from {op.operands[0].type} to {op.results[0].type}"
    if op.name.endswith("custom_call"):
        return f'{op.name} "{ir.StringAttr(op.attributes["call_target_name"]).value}"'
    if op.name == "torch.operator":
        return f'{op.name} "{ir.StringAttr(op.attributes["name"]).value}"'
    return op.name
