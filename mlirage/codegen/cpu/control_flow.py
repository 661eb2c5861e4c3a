"""Loops and branches of kernels, at the current insertion point; what is known at compile time makes none."""

from __future__ import annotations

from collections.abc import Callable

from mlirage.codegen.cpu.index_math import Index, value
from mlirage.mlir import ir, scf


def for_each(count: Index, step: int, body: Callable[[Index], None]) -> None:
    """A loop from 0 to `count`; none if it runs at most once for sure."""
    if isinstance(count, int) and count <= step:
        if count > 0:
            body(0)
        return
    loop = scf.ForOp(value(0), value(count), value(step))
    with ir.InsertionPoint(loop.body):
        body(loop.induction_variable)
        scf.yield_([])


def if_else(condition: ir.Value, then: Callable[[], None], otherwise: Callable[[], None] | None) -> None:
    """A branch."""
    branch = scf.IfOp(condition, has_else=otherwise is not None)
    with ir.InsertionPoint(branch.then_block):
        then()
        scf.yield_([])
    if otherwise is not None:
        with ir.InsertionPoint(branch.else_block):
            otherwise()
            scf.yield_([])
