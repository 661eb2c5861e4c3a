"""input-expand-scalar-functions: a few ops of math that code generation lacks become others that it has.

    %s, %c = math.sincos %x : f32      =>      %s = math.sin %x;  %c = math.cos %x

On scalars in bodies of linalg ops and on tensors alike.
"""

from __future__ import annotations

from collections.abc import Callable

from mlirage.mlir import arith, ir, math, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-expand-scalar-functions")
def expand_scalar_functions(program: Program) -> None:
    """Rewrites sincos, clampf and isinf."""
    for op in [op for op in walk(program.module.operation) if op.name in _REWRITES]:
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, _REWRITES[op.name](op), strict=True):
                old.replace_all_uses_with(new)
        op.erase()


def _sincos(op: ir.Operation) -> list[ir.Value]:
    return [math.sin(op.operands[0]), math.cos(op.operands[0])]


def _clampf(op: ir.Operation) -> list[ir.Value]:
    x, low, high = op.operands
    return [arith.minimumf(arith.maximumf(x, low), high)]


def _isinf(op: ir.Operation) -> list[ir.Value]:
    """Not finite, yet no NaN: the first truth is less than the second."""
    x = op.operands[0]
    return [arith.cmpi(arith.CmpIPredicate.ult, math.isfinite(x), arith.cmpf(arith.CmpFPredicate.ORD, x, x))]


_REWRITES: dict[str, Callable[[ir.Operation], list[ir.Value]]] = {
    "math.sincos": _sincos,
    "math.clampf": _clampf,
    "math.isinf": _isinf,
}
