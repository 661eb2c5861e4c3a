"""Reflections I - τ·v·vᴴ with v[0] = 1, chosen as LAPACK's larfg does: QR and Hessenberg forms, and their products.

qr: x; out (R, and the v below the diagonal), taus. hessenberg: x; out (H, and the v below it), taus, info (0).
householder_product: reflections below the diagonal of a, taus; out, as many columns of H₀·H₁·… as a has.
"""

from __future__ import annotations

from collections.abc import Callable

from mlirage.codegen.linalgx.cholesky import clear_info
from mlirage.codegen.linalgx.memory import Memory, Place, minus, plus
from mlirage.codegen.linalgx.numbers import Number, as_type, constant, select
from mlirage.mlir import arith, ir

X, OUT, TAUS, INFO = range(4)


def qr(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops of LAPACK's geqrf."""
    del flags
    rows, columns = memory.extent(X, 0), memory.extent(X, 1)
    memory.copy(X, OUT)

    def step(k: ir.Value) -> None:
        tau = _reflect(memory, k, k, rows)
        memory.write(TAUS, tau, k)
        apply_left(memory, tau.conj(), (k, rows), (plus(k, 1), columns), lambda i: memory.read(OUT, i, k))

    memory.for_(0, memory.extent(TAUS, 0), step)


def hessenberg(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops of LAPACK's gehrd."""
    del flags
    memory.copy(X, OUT)
    clear_info(memory, INFO)
    reduce_to_hessenberg(memory)


def reduce_to_hessenberg(memory: Memory) -> None:
    """Hessenberg's form of out, in place, and the factors of its reflections."""
    n = memory.extent(X, 0)

    def step(k: ir.Value) -> None:
        first = plus(k, 1)
        tau = _reflect(memory, first, k, n)
        memory.write(TAUS, tau, k)

        def vector(i: ir.Value) -> Number:
            return memory.read(OUT, i, k)

        def row(r: ir.Value) -> None:
            behind = plus(first, 1)
            head = memory.read(OUT, r, first)
            total = tau * memory.sum_(behind, n, head, lambda i: memory.read(OUT, r, i) * vector(i))
            memory.write(OUT, head - total, r, first)
            memory.for_(behind, n, lambda i: memory.write(OUT, memory.read(OUT, r, i) - total * vector(i).conj(), r, i))

        memory.for_(0, n, row)
        apply_left(memory, tau.conj(), (first, n), (first, n), vector)

    memory.for_(0, minus(n, 1), step)


def householder_product(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops of LAPACK's orgqr."""
    del flags
    a, taus, out = range(3)
    rows, columns, count = memory.extent(a, 0), memory.extent(a, 1), memory.extent(taus, 0)
    kind = memory.element_type(a)
    write_identity(memory, out, kind)

    def step(number: ir.Value) -> None:
        k = minus(minus(count, 1), number)
        tau = memory.read(taus, k)
        apply_left(memory, tau, (k, rows), (0, columns), lambda i: memory.read(a, i, k), out)

    memory.for_(0, count, step)


def write_identity(memory: Memory, out: int, kind: ir.Type) -> None:
    """A matrix with ones on its diagonal."""
    one, zero = constant(kind, 1.0), constant(kind, 0.0)

    def element(i: ir.Value, j: ir.Value) -> ir.Value:
        return select(arith.cmpi(arith.CmpIPredicate.eq, i, j), one, zero).value

    memory.fill(out, element)


def _reflect(memory: Memory, head: Place, column: ir.Value, rows: Place) -> Number:
    """Makes the elements below `head` in a column of out zero: their places get v, `head` the length; τ."""
    alpha = memory.read(OUT, head, column)
    zero = constant(alpha.real_type, 0.0)
    below = plus(head, 1)

    def largest(i: ir.Value, found: ir.Value) -> list[ir.Value]:
        return [arith.maximumf(found, memory.read(OUT, i, column).size().value)]

    (scale,) = (Number(v) for v in memory.for_(below, rows, largest, alpha.size().value))
    safe = select(scale.equals(0.0), scale.like(1.0), scale)
    rest = memory.sum_(below, rows, zero, lambda i: (memory.read(OUT, i, column) / safe).squared())
    length = ((alpha / safe).squared() + rest).sqrt() * safe
    beta = -length.copysign(alpha.real)
    trivial = rest.equals(0.0)
    if alpha.is_complex:
        trivial = arith.andi(trivial, alpha.imag.equals(0.0))
    wide = as_type(alpha.type, beta)
    one = alpha.like(1.0)
    tau = select(trivial, alpha.like(0.0), (wide - alpha) / select(trivial, beta.like(1.0), beta))
    divisor = select(trivial, one, alpha - wide)
    memory.for_(below, rows, lambda i: memory.write(OUT, memory.read(OUT, i, column) / divisor, i, column))
    memory.write(OUT, select(trivial, alpha, wide), head, column)
    return tau


def apply_left(
    memory: Memory,
    tau: Number,
    rows: tuple[Place, Place],
    columns: tuple[Place, Place],
    vector: Callable[[ir.Value], Number],
    out: int = OUT,
) -> None:
    """out[rows, columns] -= τ·v·vᴴ·out[rows, columns]."""
    head, below = rows[0], plus(rows[0], 1)

    def column(j: ir.Value) -> None:
        first = memory.read(out, head, j)
        total = tau * memory.sum_(below, rows[1], first, lambda i: vector(i).conj() * memory.read(out, i, j))
        memory.write(out, first - total, head, j)
        memory.for_(below, rows[1], lambda i: memory.write(out, memory.read(out, i, j) - vector(i) * total, i, j))

    memory.for_(*columns, column)
