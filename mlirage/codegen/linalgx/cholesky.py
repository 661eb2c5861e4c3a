"""Cholesky's factors of Hermitian matrices: x = L·Lᴴ, or UᴴU with the flag `upper`.

Tensors: x; out (its other triangle is x's), info: 0, or the number (from 1) of the first pivot that is not positive.
"""

from __future__ import annotations

from mlirage.codegen.linalgx.memory import Memory, Place, plus
from mlirage.codegen.linalgx.numbers import Number, as_type, constant
from mlirage.mlir import arith, ir

X, OUT, INFO = range(3)


def cholesky(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops, column by column."""
    n = memory.extent(X, 0)
    kind = memory.element_type(X)
    upper = "upper" in flags
    memory.copy(X, OUT)
    clear_info(memory, INFO)

    def read(i: Place, j: Place) -> Number:
        return memory.read(OUT, j, i).conj() if upper else memory.read(OUT, i, j)

    def write(value: Number, i: Place, j: Place) -> None:
        memory.write(OUT, value.conj() if upper else value, *((j, i) if upper else (i, j)))

    def column(j: ir.Value) -> None:
        diagonal = read(j, j).real
        pivot = diagonal - memory.sum_(0, j, diagonal.like(0.0), lambda k: read(j, k).squared())
        note_failure(memory, INFO, arith.cmpf(arith.CmpFPredicate.ULE, pivot.value, pivot.like(0.0).value), j)
        root = pivot.sqrt()
        write(as_type(kind, root), j, j)

        def element(i: ir.Value) -> None:
            products = memory.sum_(0, j, constant(kind, 0.0), lambda k: read(i, k) * read(j, k).conj())
            write((read(i, j) - products) / root, i, j)

        memory.for_(plus(j, 1), n, element)

    memory.for_(0, n, column)


def clear_info(memory: Memory, info: int) -> None:
    """info = 0."""
    memory.write_value(info, arith.constant(memory.element_type(info), 0))


def note_failure(memory: Memory, info: int, failed: ir.Value, number: ir.Value) -> None:
    """info = number + 1 at the first failure."""
    present = memory.read_value(info)
    kind = memory.element_type(info)
    first = arith.cmpi(arith.CmpIPredicate.eq, present, arith.constant(kind, 0))
    counted = arith.addi(arith.index_cast(kind, number), arith.constant(kind, 1))
    memory.write_value(info, arith.select(arith.andi(failed, first), counted, present))
