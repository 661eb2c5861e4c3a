"""Tridiagonal systems by elimination with row exchanges, as LAPACK's gtsv.

Tensors: lower (its first element is not read), diagonal, upper (nor is its last), b; working memory for the second
upper diagonal, the diagonal and the upper diagonal, then out and info (0).
"""

from __future__ import annotations

from mlirage.codegen.linalgx.cholesky import clear_info
from mlirage.codegen.linalgx.loops import less
from mlirage.codegen.linalgx.memory import Memory, minus, plus
from mlirage.codegen.linalgx.numbers import Number, constant, select
from mlirage.mlir import arith, ir

LOWER, DIAGONAL, UPPER, B, SECOND, D, U, OUT, INFO = range(9)


def tridiagonal_solve(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops."""
    del flags
    n, systems = memory.extent(DIAGONAL, 0), memory.extent(B, 1)
    zero = constant(memory.element_type(DIAGONAL), 0.0)
    last = minus(n, 1)
    memory.copy(DIAGONAL, D)
    memory.fill(U, lambda i: select(less(i, _value(last)), memory.read(UPPER, i), zero).value)
    memory.fill(SECOND, lambda i: zero.value)
    memory.copy(B, OUT)
    clear_info(memory, INFO)

    def eliminate(i: ir.Value) -> None:
        below = plus(i, 1)
        sub, d, u = memory.read(LOWER, below), memory.read(D, i), memory.read(U, i)
        d_below, u_below = memory.read(D, below), memory.read(U, below)
        exchange = sub.size() > d.size()
        pivot, other = select(exchange, sub, d), select(exchange, d, sub)
        factor = other / pivot
        first, second = select(exchange, d_below, u), select(exchange, u, d_below)
        memory.write(D, pivot, i)
        memory.write(U, first, i)
        memory.write(D, second - factor * first, below)
        memory.write(SECOND, select(exchange, u_below, zero), i)
        memory.write(U, select(exchange, -(factor * u_below), u_below), below)

        def right_hand_side(c: ir.Value) -> None:
            x, y = memory.read(OUT, i, c), memory.read(OUT, below, c)
            kept, changed = select(exchange, y, x), select(exchange, x, y)
            memory.write(OUT, kept, i, c)
            memory.write(OUT, changed - factor * kept, below, c)

        memory.for_(0, systems, right_hand_side)

    memory.for_(0, last, eliminate)

    def substitute(number: ir.Value) -> None:
        i = _value(minus(last, number))

        def one(c: ir.Value) -> None:
            def known(distance: int, table: int) -> Number:
                there = _value(plus(i, distance))
                inside = less(there, n)
                place = arith.select(inside, there, i)
                return select(inside, memory.read(table, i) * memory.read(OUT, place, c), zero)

            rest = memory.read(OUT, i, c) - known(1, U) - known(2, SECOND)
            memory.write(OUT, rest / memory.read(D, i), i, c)

        memory.for_(0, systems, one)

    memory.for_(0, n, substitute)


def _value(place: ir.Value | int) -> ir.Value:
    assert isinstance(place, ir.Value)
    return place
