"""LU factors with row exchanges, as LAPACK's getrf: P·x = L·U.

Tensors: x; out (U, and L below its unit diagonal), pivots (row exchanged with row i, counted from 1), info: 0, or the
number (from 1) of the first pivot that is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.codegen.linalgx.cholesky import clear_info, note_failure
from mlirage.codegen.linalgx.loops import not_
from mlirage.codegen.linalgx.memory import Memory, plus
from mlirage.codegen.linalgx.numbers import Number
from mlirage.mlir import arith, ir

X, OUT, PIVOTS, INFO = range(4)


def lu(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops: right-looking, one column after the other."""
    del flags
    rows, columns = memory.extent(X, 0), memory.extent(X, 1)
    memory.copy(X, OUT)
    clear_info(memory, INFO)

    def step(k: ir.Value) -> None:
        def larger(i: ir.Value, row: ir.Value, size: ir.Value) -> Sequence[ir.Value]:
            here = memory.read(OUT, i, k).size()
            better = here > Number(size)
            return arith.select(better, i, row), arith.select(better, here.value, size)

        size = memory.read(OUT, k, k).size()
        row, _ = memory.for_(plus(k, 1), rows, larger, k, size.value)
        counted = arith.addi(row, arith.constant(ir.IndexType.get(), 1))
        memory.write_value(PIVOTS, arith.index_cast(memory.element_type(PIVOTS), counted), k)
        moved = arith.cmpi(arith.CmpIPredicate.ne, row, k)
        memory.if_(moved, lambda: _none(memory.for_(0, columns, lambda j: memory.swap(OUT, (k, j), (row, j)))))
        pivot = memory.read(OUT, k, k)
        singular = pivot.is_zero()
        note_failure(memory, INFO, singular, k)

        def eliminate() -> None:
            def from_row(i: ir.Value) -> None:
                factor = memory.read(OUT, i, k) / pivot
                memory.write(OUT, factor, i, k)

                def element(j: ir.Value) -> None:
                    memory.write(OUT, memory.read(OUT, i, j) - factor * memory.read(OUT, k, j), i, j)

                memory.for_(plus(k, 1), columns, element)

            memory.for_(plus(k, 1), rows, from_row)

        memory.if_(not_(singular), eliminate)

    memory.for_(0, memory.extent(PIVOTS, 0), step)


def _none(results: list[ir.Value]) -> None:
    """Loops that carry no scalars have no results."""
    assert not results
