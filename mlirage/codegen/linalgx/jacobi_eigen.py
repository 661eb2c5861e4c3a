"""Eigenvalues and -vectors of Hermitian matrices by Jacobi's rotations, in ascending order.

Tensors: x (the flag `lower` says which triangle counts); vectors (columns), values (real), info (0), working memory.
Sweeps over all pairs end when one finds nothing left to rotate: after about six to ten.
"""

from __future__ import annotations

from collections.abc import Callable

from mlirage.codegen.linalgx.cholesky import clear_info
from mlirage.codegen.linalgx.householder import write_identity
from mlirage.codegen.linalgx.memory import Memory, plus
from mlirage.codegen.linalgx.numbers import Number, as_type, constant, epsilon, select
from mlirage.mlir import arith, ir

X, VECTORS, VALUES, INFO, WORK = range(5)
MAX_SWEEPS = 40


def eigh(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops."""
    n = memory.extent(X, 0)
    kind, real = memory.element_type(X), memory.element_type(VALUES)
    zero = constant(real, 0.0)
    clear_info(memory, INFO)
    _copy_triangle(memory, "lower" in flags, kind)
    write_identity(memory, VECTORS, kind)

    def row_square(i: ir.Value) -> Number:
        return memory.sum_(0, n, zero, lambda j: memory.read(WORK, i, j).squared())

    square = memory.sum_(0, n, zero, row_square)
    poison = (square - square) * zero.like(0.0)  # NaN if an element is not finite
    limit = square.sqrt() * square.like(epsilon(real) / 4)

    def pair(p: ir.Value, q: ir.Value) -> list[ir.Value]:
        off = memory.read(WORK, p, q)

        def rotate() -> list[ir.Value]:
            difference = memory.read(WORK, q, q).real - memory.read(WORK, p, p).real
            c, s, turn = rotation(off, difference)
            memory.for_(0, n, lambda k: turn_columns(memory, WORK, k, (p, q), c, s, turn))

            def rows(k: ir.Value) -> None:
                a, b = memory.read(WORK, p, k), memory.read(WORK, q, k)
                memory.write(WORK, a * c - b * turn.conj() * s, p, k)
                memory.write(WORK, a * s + b * turn.conj() * c, q, k)

            memory.for_(0, n, rows)
            memory.write(WORK, constant(kind, 0.0), p, q)
            memory.write(WORK, constant(kind, 0.0), q, p)
            memory.for_(0, n, lambda k: turn_columns(memory, VECTORS, k, (p, q), c, s, turn))
            return [arith.constant(ir.IntegerType.get_signless(1), 1)]

        no = arith.constant(ir.IntegerType.get_signless(1), 0)
        return memory.if_(off.abs() > limit, rotate, no)

    sweeps(memory, n, pair)
    memory.for_(0, n, lambda i: memory.write(VALUES, memory.read(WORK, i, i).real + poison, i))
    sort_columns(memory, VALUES, (VECTORS,), n, descending=False)


def sweeps(memory: Memory, n: ir.Value, pair: Callable[[ir.Value, ir.Value], list[ir.Value]]) -> None:
    """Calls `pair(p, q)`, which tells whether it rotated, for all p < q until no pair does."""
    i1 = ir.IntegerType.get_signless(1)
    no, yes = arith.constant(i1, 0), arith.constant(i1, 1)

    def sweep(_: ir.Value, active: ir.Value) -> list[ir.Value]:
        def run() -> list[ir.Value]:
            def first(p: ir.Value, any_: ir.Value) -> list[ir.Value]:
                def second(q: ir.Value, any_: ir.Value) -> list[ir.Value]:
                    return [arith.ori(any_, pair(p, q)[0])]

                return memory.for_(plus(p, 1), n, second, any_)

            return memory.for_(0, n, first, no)

        return memory.if_(active, run, no)

    memory.for_(0, MAX_SWEEPS, sweep, yes)


def rotation(off: Number, difference: Number) -> tuple[Number, Number, Number]:
    """Cosine, sine and conjugated phase of the rotation that removes `off` between diagonal elements so far apart."""
    size = off.abs()
    one = size.like(1.0)
    cotangent = difference / (size + size)
    tangent = one / (cotangent.abs() + (cotangent * cotangent + one).sqrt())
    tangent = tangent.copysign(cotangent)
    cosine = one / (tangent * tangent + one).sqrt()
    return cosine, tangent * cosine, (off / size).conj()


def turn_columns(
    memory: Memory, number: int, k: ir.Value, pair: tuple[ir.Value, ir.Value], c: Number, s: Number, turn: Number
) -> None:
    """Rotates row k of two columns."""
    p, q = pair
    a, b = memory.read(number, k, p), memory.read(number, k, q) * turn
    memory.write(number, a * c - b * s, k, p)
    memory.write(number, a * s + b * c, k, q)


def sort_columns(memory: Memory, keys: int, matrices: tuple[int, ...], n: ir.Value, *, descending: bool) -> None:
    """Sorts `keys` and the columns of `matrices` with them."""

    def place(i: ir.Value) -> None:
        def better(j: ir.Value, best: ir.Value) -> list[ir.Value]:
            a, b = memory.read(keys, j), memory.read(keys, best)
            return [arith.select(a > b if descending else a < b, j, best)]

        (best,) = memory.for_(plus(i, 1), n, better, i)
        memory.swap(keys, (i,), (best,))
        for matrix in matrices:
            memory.for_(0, memory.extent(matrix, 0), lambda k, m=matrix: memory.swap(m, (k, i), (k, best)))

    memory.for_(0, n, place)


def _copy_triangle(memory: Memory, lower: bool, kind: ir.Type) -> None:
    """The whole Hermitian matrix from one triangle, with a real diagonal."""

    def element(i: ir.Value, j: ir.Value) -> ir.Value:
        given = arith.cmpi(arith.CmpIPredicate.sge if lower else arith.CmpIPredicate.sle, i, j)
        value = memory.read(X, arith.select(given, i, j), arith.select(given, j, i))
        on_diagonal = arith.cmpi(arith.CmpIPredicate.eq, i, j)
        value = select(given, value, value.conj())
        return select(on_diagonal, as_type(kind, value.real), value).value

    memory.fill(WORK, element)
