"""input-strip-signedness: every integer type becomes signless; ops already say how they read the bits.

    scf.while (%x = %a) : (tensor<2xui32>) -> …   =>   scf.while (%x = %a) : (tensor<2xi32>) -> …

Casts that only changed signedness vanish with it.
"""

from __future__ import annotations

from mlirage.element_types import signless
from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-strip-signedness")
def strip_signedness(program: Program) -> None:
    """Makes every value, block argument, function type and type attribute signless."""
    for op in walk(program.module.operation):
        for region in op.regions:
            for block in region.blocks:
                for argument in block.arguments:
                    _strip(argument)
        for result in op.results:
            _strip(result)
        if op.name == "func.func":
            kind = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value)
            stripped = ir.FunctionType.get([signless(t) for t in kind.inputs], [signless(t) for t in kind.results])
            if stripped != kind:
                op.attributes["function_type"] = ir.TypeAttr.get(stripped)
    for op in walk(program.module.operation):
        if (
            op.name == "builtin.unrealized_conversion_cast"
            and len(op.operands) == len(op.results)
            and all(a.type == b.type for a, b in zip(op.operands, op.results, strict=True))
        ):
            for old, new in zip(op.results, list(op.operands), strict=True):
                old.replace_all_uses_with(new)
            op.erase()


def _strip(value: ir.Value) -> None:
    stripped = signless(value.type)
    if stripped != value.type:
        value.set_type(stripped)
