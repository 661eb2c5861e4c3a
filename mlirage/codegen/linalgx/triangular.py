"""Triangular systems: op(a)·out = b, or out·op(a) = b with the flag `right`.

Flags: `lower` (else upper), `unit` (ones for the diagonal), `transpose`, `conjugate` (op). Tensors: a, b; out.
"""

from __future__ import annotations

from mlirage.codegen.linalgx.memory import Memory, minus, plus
from mlirage.codegen.linalgx.numbers import Number, constant
from mlirage.mlir import ir

A, B, OUT = range(3)


def triangular_solve(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops: substitution, for one right-hand side after the other."""
    n = memory.extent(A, 0)
    right, transpose, conjugate = "right" in flags, "transpose" in flags, "conjugate" in flags
    swapped = right != transpose  # out·a = b is aᵀ·outᵀ = bᵀ
    forward = ("lower" in flags) != swapped
    kind = memory.element_type(A)

    def coefficient(i: ir.Value, j: ir.Value) -> Number:
        value = memory.read(A, j, i) if swapped else memory.read(A, i, j)
        return value.conj() if conjugate else value

    def system(c: ir.Value) -> None:
        def place(i: ir.Value) -> tuple[ir.Value, ir.Value]:
            return (c, i) if right else (i, c)

        def unknown(number: ir.Value) -> None:
            i = number if forward else minus(minus(n, 1), number)
            assert isinstance(i, ir.Value)
            known = (0, i) if forward else (plus(i, 1), n)
            products = memory.sum_(
                *known, constant(kind, 0.0), lambda j: coefficient(i, j) * memory.read(OUT, *place(j))
            )
            rest = memory.read(B, *place(i)) - products
            memory.write(OUT, rest if "unit" in flags else rest / coefficient(i, i), *place(i))

        memory.for_(0, n, unknown)

    memory.for_(0, memory.extent(B, 0 if right else 1), system)
