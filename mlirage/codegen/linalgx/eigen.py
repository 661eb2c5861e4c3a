"""Eigenvalues and -vectors of complex matrices of any kind, by Schur's form: Givens rotations throughout.

Tensors: x; vectors (columns of length 1, their largest element positive), values, info (the number of values that did
not converge), then working memory like x, twice: T, the triangular form, and Q of x = Q·T·Qᴴ. The flag `values` leaves
vectors out. Rotations make x Hessenberg's form, then QR steps with Wilkinson's shift chase what is below the diagonal.
"""

from __future__ import annotations

from mlirage.codegen.linalgx.householder import write_identity
from mlirage.codegen.linalgx.memory import Memory, Place, minus, plus
from mlirage.codegen.linalgx.numbers import Number, as_type, constant, epsilon, make, select, tiny
from mlirage.mlir import arith, ir

X, VECTORS, VALUES, INFO, T, Q = range(6)
_STEPS = 40  # QR steps per value that are tried


def eig(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops."""
    n, kind = memory.extent(X, 0), memory.element_type(X)
    memory.copy(X, T)
    write_identity(memory, Q, kind)
    _to_hessenberg(memory, n)
    _to_triangle(memory, n)
    memory.for_(0, n, lambda i: memory.write(VALUES, memory.read(T, i, i), i))
    if "values" not in flags:
        _vectors(memory, n, kind)


def _index(value: Place) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value) if isinstance(value, int) else value


def _compare(predicate: arith.CmpIPredicate, a: Place, b: Place) -> ir.Value:
    return arith.cmpi(predicate, _index(a), _index(b))


def _root(z: Number) -> Number:
    """The square root of a complex number, in the right half-plane."""
    size = z.abs()
    half = size.like(0.5)
    larger = ((size + z.real.abs()) * half).sqrt()
    safe = select(larger.equals(0.0), larger.like(1.0), larger)
    other = z.imag.abs() * half / safe
    right = arith.cmpf(arith.CmpFPredicate.OGE, z.real.value, z.real.like(0.0).value)
    return make(select(right, larger, other), select(right, other, larger).copysign(z.imag))


def _rotation(x: Number, y: Number) -> tuple[Number, Number]:
    """Cosine (real) and sine with which (x, y) becomes (r, 0): r = c·x + s·y, 0 = c·y - s̄·x."""
    zero = y.is_zero()
    scale = Number(arith.maximumf(x.size().value, y.size().value))
    scale = select(scale.equals(0.0), scale.like(1.0), scale)
    x, y = x / scale, y / scale
    length = (x.squared() + y.squared()).sqrt()
    size = x.abs()
    turn = select(size.equals(0.0), x.like(1.0), x / select(size.equals(0.0), size.like(1.0), size))
    safe = select(length.equals(0.0), length.like(1.0), length)
    cosine = select(zero, size.like(1.0), size / safe)
    return cosine, select(zero, x.like(0.0), turn * y.conj() / safe)


def _rotate_rows(memory: Memory, pair: tuple[Place, Place], columns: tuple[Place, Place], c: Number, s: Number) -> None:
    p, q = pair

    def column(j: ir.Value) -> None:
        a, b = memory.read(T, p, j), memory.read(T, q, j)
        memory.write(T, a * c + b * s, p, j)
        memory.write(T, b * c - a * s.conj(), q, j)

    memory.for_(*columns, column)


def _rotate_columns(memory: Memory, number: int, pair: tuple[Place, Place], rows: Place, c: Number, s: Number) -> None:
    p, q = pair

    def row(i: ir.Value) -> None:
        a, b = memory.read(number, i, p), memory.read(number, i, q)
        memory.write(number, a * c + b * s.conj(), i, p)
        memory.write(number, b * c - a * s, i, q)

    memory.for_(0, rows, row)


def _to_hessenberg(memory: Memory, n: ir.Value) -> None:
    """Zeros below the first subdiagonal, a column after the other, from below."""

    def column(k: ir.Value) -> None:
        def step(number: ir.Value) -> None:
            low = minus(minus(n, 1), number)
            pair = (minus(low, 1), low)
            c, s = _rotation(memory.read(T, pair[0], k), memory.read(T, low, k))
            _rotate_rows(memory, pair, (k, n), c, s)
            _rotate_columns(memory, T, pair, n, c, s)
            _rotate_columns(memory, Q, pair, n, c, s)

        memory.for_(0, minus(minus(n, 2), k), step)

    memory.for_(0, minus(n, 2), column)


def _to_triangle(memory: Memory, n: ir.Value) -> None:
    """QR steps on the block that ends at `last`, until a subdiagonal element is negligible; then the next block."""
    one = _index(1)
    zero_count = _index(0)

    def step(_: ir.Value, last: ir.Value, tried: ir.Value) -> list[ir.Value]:
        def work() -> list[ir.Value]:
            first = _block_start(memory, last)
            done = _compare(arith.CmpIPredicate.eq, first, last)

            def sweep() -> list[ir.Value]:
                _sweep(memory, n, first, last, tried)
                return [last, arith.addi(tried, one)]

            unfinished = arith.xori(done, arith.constant(ir.IntegerType.get_signless(1), 1))
            return memory.if_(unfinished, sweep, arith.subi(last, one), zero_count)

        return memory.if_(_compare(arith.CmpIPredicate.sgt, last, 0), work, last, tried)

    steps = arith.muli(n, _index(_STEPS))
    last, _ = memory.for_(0, steps, step, arith.subi(n, one), zero_count)
    left = arith.maxsi(last, zero_count)
    memory.write_value(INFO, arith.index_cast(memory.element_type(INFO), left))


def _block_start(memory: Memory, last: ir.Value) -> ir.Value:
    """The first row of the block that ends at `last`: what is to the left of it is negligible, and becomes 0."""

    def row(number: ir.Value, start: ir.Value, found: ir.Value) -> list[ir.Value]:
        k = minus(last, number)  # from last down to 1

        def look() -> list[ir.Value]:
            below = memory.read(T, k, minus(k, 1))
            around = memory.read(T, minus(k, 1), minus(k, 1)).size() + memory.read(T, k, k).size()
            limit = around * around.like(epsilon(around.type))
            negligible = arith.cmpf(arith.CmpFPredicate.OLE, below.size().value, limit.value)
            memory.if_(negligible, lambda: memory.write(T, below.like(0.0), k, minus(k, 1)))
            return [arith.select(negligible, _index(k), start), arith.ori(found, negligible)]

        searching = arith.xori(found, arith.constant(ir.IntegerType.get_signless(1), 1))
        return memory.if_(searching, look, start, found)

    no = arith.constant(ir.IntegerType.get_signless(1), 0)
    start, _ = memory.for_(0, last, row, _index(0), no)
    return start


def _sweep(memory: Memory, n: ir.Value, first: ir.Value, last: ir.Value, tried: ir.Value) -> None:
    """One implicit QR step on rows first … last."""
    shift = _shift(memory, last, tried)

    def step(k: ir.Value) -> None:
        at_start = _compare(arith.CmpIPredicate.eq, k, first)
        before = arith.select(at_start, _index(k), _index(minus(k, 1)))
        x = select(at_start, memory.read(T, k, k) - shift, memory.read(T, k, before))
        y = memory.read(T, plus(k, 1), before)
        c, s = _rotation(x, y)
        pair = (k, plus(k, 1))
        _rotate_rows(memory, pair, (before, n), c, s)
        rows = arith.minsi(_index(plus(k, 3)), _index(plus(last, 1)))
        _rotate_columns(memory, T, pair, rows, c, s)
        _rotate_columns(memory, Q, pair, n, c, s)

    memory.for_(first, last, step)


def _shift(memory: Memory, last: ir.Value, tried: ir.Value) -> Number:
    """The eigenvalue of the last two rows that is nearer to the last element; every tenth time another number."""
    before = minus(last, 1)
    a, b = memory.read(T, before, before), memory.read(T, before, last)
    c, d = memory.read(T, last, before), memory.read(T, last, last)
    half = (a - d) * a.real.like(0.5)
    root = _root(half * half + b * c)
    same = half.conj() * root
    against = arith.cmpf(arith.CmpFPredicate.OLT, same.real.value, same.real.like(0.0).value)
    divisor = select(against, half - root, half + root)
    nothing = divisor.is_zero()
    usual = d - select(nothing, a.like(0.0), b * c / select(nothing, a.like(1.0), divisor))
    tenth = arith.cmpi(arith.CmpIPredicate.eq, arith.remui(tried, _index(10)), _index(9))
    return select(tenth, d + as_type(a.type, c.size()), usual)


def _vectors(memory: Memory, n: ir.Value, kind: ir.Type) -> None:
    """Solves (T - λ)·y = 0 from below in the unused lower columns of VECTORS, then multiplies by Q."""
    real = constant(kind, 0.0).real_type

    def largest(i: ir.Value, found: ir.Value) -> list[ir.Value]:
        def element(j: ir.Value, inner: ir.Value) -> list[ir.Value]:
            return [arith.maximumf(inner, memory.read(T, i, j).size().value)]

        return memory.for_(i, n, element, found)

    (size,) = (Number(v) for v in memory.for_(0, n, largest, constant(real, 0.0).value))
    least = size * size.like(epsilon(real)) + size.like(tiny(real) ** 0.5)

    def column(k: ir.Value) -> None:
        value = memory.read(T, k, k)
        memory.for_(0, n, lambda i: memory.write(VECTORS, constant(kind, 0.0), i, k))
        memory.write(VECTORS, constant(kind, 1.0), k, k)

        def row(number: ir.Value) -> None:
            i = minus(minus(k, 1), number)
            start = memory.read(T, i, k)
            total = memory.sum_(plus(i, 1), k, start, lambda j: memory.read(T, i, j) * memory.read(VECTORS, j, k))
            gap = memory.read(T, i, i) - value
            small = arith.cmpf(arith.CmpFPredicate.OLT, gap.size().value, least.value)
            memory.write(VECTORS, -total / select(small, as_type(kind, least), gap), i, k)

        memory.for_(0, k, row)

    memory.for_(0, n, column)

    def multiply(number: ir.Value) -> None:
        # Column k of the product needs rows 0 … k of y's column k alone: T has done its work and takes it.
        k = number
        memory.for_(0, n, lambda i: memory.write(T, memory.sum_(
            0, plus(k, 1), constant(kind, 0.0), lambda j: memory.read(Q, i, j) * memory.read(VECTORS, j, k)
        ), i, 0))  # fmt: skip
        memory.for_(0, n, lambda i: memory.write(VECTORS, memory.read(T, i, 0), i, k))
        _normalize(memory, n, k, real)

    memory.for_(0, n, multiply)


def _normalize(memory: Memory, n: ir.Value, k: ir.Value, real: ir.Type) -> None:
    zero = constant(real, 0.0)

    def larger(i: ir.Value, row: ir.Value, best: ir.Value) -> list[ir.Value]:
        here = memory.read(VECTORS, i, k).abs()
        better = here > Number(best)
        return [arith.select(better, i, row), arith.select(better, here.value, best)]

    row, best = memory.for_(0, n, larger, _index(0), zero.value)
    scale = Number(best)
    turn = memory.read(VECTORS, row, k).conj() / scale  # a phase
    square = memory.sum_(0, n, zero, lambda i: (memory.read(VECTORS, i, k) / scale).squared())
    factor = turn / (square.sqrt() * scale)
    memory.for_(0, n, lambda i: memory.write(VECTORS, memory.read(VECTORS, i, k) * factor, i, k))
