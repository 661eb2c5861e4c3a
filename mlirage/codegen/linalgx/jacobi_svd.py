"""Singular values and vectors by one-sided Jacobi rotations: columns are turned until all are orthogonal.

x = u·diag(s)·vt. Tensors: x; a copy of it, s (descending), u, vt, info (0); working memory for the columns of x (of xᴴ
where x is wide) and for the product of the rotations. The flag `values` leaves u and vt alone. Columns of u (rows of
vt) that belong to no singular value, or to zero, complete an orthonormal basis.
"""

from __future__ import annotations

from mlirage.codegen.linalgx.cholesky import clear_info
from mlirage.codegen.linalgx.householder import write_identity
from mlirage.codegen.linalgx.jacobi_eigen import rotation, sort_columns, sweeps, turn_columns
from mlirage.codegen.linalgx.loops import less
from mlirage.codegen.linalgx.memory import Memory
from mlirage.codegen.linalgx.numbers import Number, as_type, constant, epsilon, select, tiny
from mlirage.mlir import arith, ir

X, COPY, S, U, VT, INFO, COLUMNS, PRODUCT = range(8)


def svd(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops; the flag `wide` says that x has more columns than rows."""
    wide = "wide" in flags
    kind, real = memory.element_type(X), memory.element_type(S)
    long, short = memory.extent(COLUMNS, 0), memory.extent(COLUMNS, 1)
    zero = constant(real, 0.0)
    memory.copy(X, COPY)
    clear_info(memory, INFO)
    scale = _largest(memory, zero)
    divisor = select(scale.equals(0.0), scale.like(1.0), scale)

    def element(i: ir.Value, j: ir.Value) -> ir.Value:
        value = memory.read(X, j, i).conj() if wide else memory.read(X, i, j)
        return (value / divisor).value

    memory.fill(COLUMNS, element)
    write_identity(memory, PRODUCT, kind)

    def square(j: ir.Value) -> Number:
        return memory.sum_(0, long, zero, lambda i: memory.read(COLUMNS, i, j).squared())

    def pair(p: ir.Value, q: ir.Value) -> list[ir.Value]:
        a, b = square(p), square(q)
        together = memory.sum_(
            0, long, constant(kind, 0.0), lambda i: memory.read(COLUMNS, i, p).conj() * memory.read(COLUMNS, i, q)
        )

        def rotate() -> list[ir.Value]:
            c, s, turn = rotation(together, b - a)
            for matrix, rows in ((COLUMNS, long), (PRODUCT, short)):
                memory.for_(0, rows, lambda k, m=matrix: turn_columns(memory, m, k, (p, q), c, s, turn))
            return [arith.constant(ir.IntegerType.get_signless(1), 1)]

        limit = a.sqrt() * b.sqrt() * a.like(epsilon(real))
        return memory.if_(together.abs() > limit, rotate, arith.constant(ir.IntegerType.get_signless(1), 0))

    sweeps(memory, short, pair)
    memory.for_(0, short, lambda j: memory.write(S, square(j).sqrt() * scale, j))
    sort_columns(memory, S, (COLUMNS, PRODUCT), short, descending=True)
    if "values" not in flags:
        _write_vectors(memory, wide, divisor)


def _largest(memory: Memory, zero: Number) -> Number:
    """The largest |re| + |im|: dividing by it, squares neither overflow nor vanish."""
    columns = memory.extent(X, 1)

    def row(i: ir.Value, found: ir.Value) -> list[ir.Value]:
        return memory.for_(
            0, columns, lambda j, f: [arith.maximumf(f, memory.read(X, i, j).size().value)], found
        )  # fmt: skip

    return Number(memory.for_(0, memory.extent(X, 0), row, zero.value)[0])


def _write_vectors(memory: Memory, wide: bool, scale: Number) -> None:
    """u and vt: one of them is the product of the rotations, the other the columns over their lengths."""
    kind, real = memory.element_type(X), memory.element_type(S)
    long, short = memory.extent(COLUMNS, 0), memory.extent(COLUMNS, 1)
    left = VT if wide else U
    if wide:
        memory.copy(PRODUCT, U)
    else:
        memory.fill(VT, lambda i, j: memory.read(PRODUCT, j, i).conj().value)

    def read(i: ir.Value, j: ir.Value) -> Number:
        return memory.read(left, j, i).conj() if wide else memory.read(left, i, j)

    def write(value: Number, i: ir.Value, j: ir.Value) -> None:
        memory.write(left, value.conj() if wide else value, *((j, i) if wide else (i, j)))

    def column(j: ir.Value) -> None:
        given = less(j, short)
        inside = arith.select(given, j, arith.constant(ir.IndexType.get(), 0))
        (length,) = memory.if_(
            given, lambda: [(memory.read(S, inside) / scale).value], constant(real, 0.0).value
        )  # fmt: skip
        missing = arith.cmpf(arith.CmpFPredicate.OLT, length, constant(real, tiny(real) ** 0.5).value)
        divisor = select(missing, constant(real, 1.0), Number(length))
        memory.for_(0, long, lambda i: write(memory.read(COLUMNS, i, inside) / divisor, i, j))
        memory.if_(missing, lambda: complete(j))

    def complete(j: ir.Value) -> None:
        """Column j: the unit vector that the columns before it say least about, made orthogonal to them."""
        one = constant(real, 1.0)

        def candidate(k: ir.Value, best: ir.Value, rest: ir.Value) -> list[ir.Value]:
            here = one - memory.sum_(0, j, constant(real, 0.0), lambda i: read(k, i).squared())
            better = here > Number(rest)
            return [arith.select(better, k, best), arith.select(better, here.value, rest)]

        start = arith.constant(ir.IndexType.get(), 0)
        best, _ = memory.for_(0, long, candidate, start, constant(real, -1.0).value)

        def unit(i: ir.Value) -> None:
            same = arith.cmpi(arith.CmpIPredicate.eq, i, best)
            write(select(same, constant(kind, 1.0), constant(kind, 0.0)), i, j)

        memory.for_(0, long, unit)
        for _ in range(2):  # once more for what rounding left

            def subtract(before: ir.Value) -> None:
                share = memory.sum_(0, long, constant(kind, 0.0), lambda i: read(i, before).conj() * read(i, j))
                memory.for_(0, long, lambda i: write(read(i, j) - read(i, before) * share, i, j))

            memory.for_(0, j, subtract)
        length = memory.sum_(0, long, constant(real, 0.0), lambda i: read(i, j).squared()).sqrt()
        memory.for_(0, long, lambda i: write(read(i, j) / as_type(kind, length), i, j))

    memory.for_(0, memory.extent(left, 0 if wide else 1), column)
