"""The real Schur form of real matrices: x = Q·T·Qᵀ, T with blocks of one or two rows on its diagonal.

Tensors: x; T, real parts of the eigenvalues, info (how many did not converge), imaginary parts, Q. A block of two rows
is a pair of complex eigenvalues and stands as LAPACK's gees leaves it: equal on its diagonal, of opposite signs beside.
Reflections make x Hessenberg's form, then Francis's double-shift steps chase what is below the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mlirage.codegen.linalgx import loops
from mlirage.codegen.linalgx.householder import apply_left, reduce_to_hessenberg, write_identity
from mlirage.codegen.linalgx.memory import Memory, Place, minus, plus, position
from mlirage.codegen.linalgx.numbers import Number, constant, epsilon, make, select, tiny
from mlirage.mlir import arith, ir

X, T, REAL, INFO, IMAG, Q = range(6)
"""T, REAL and INFO lie where `hessenberg` wants its form, its factors and its info."""

Block = tuple[Number, ...]  # a, b, c, d of [[a, b], [c, d]], then the cosine and sine that made it

_STEPS = 40  # steps per value that are tried, and 300 more
_UNUSUAL = 10  # every tenth step without success takes shifts of its own


def schur(memory: Memory, flags: frozenset[str]) -> None:
    """Builds the loops."""
    del flags
    n = memory.extent(X, 0)
    memory.copy(X, T)
    factor = _scale(memory, n)
    _multiply(memory, T, factor)
    reduce_to_hessenberg(memory)
    _multiply_reflections(memory, n)
    _clear_below(memory, n)
    _to_blocks(memory, n)
    for number in (T, REAL, IMAG):
        _multiply(memory, number, factor.like(1.0) / factor)


def _both(*conditions: ir.Value) -> ir.Value:
    first, *others = conditions
    for other in others:
        first = arith.andi(first, other)
    return first


def _compare(predicate: arith.CmpIPredicate, a: Place, b: Place) -> ir.Value:
    return arith.cmpi(predicate, position(a), position(b))


def _at_most(a: Number, b: Number) -> ir.Value:
    return arith.cmpf(arith.CmpFPredicate.OLE, a.value, b.value)


def _larger(a: Number, b: Number) -> Number:
    return Number(arith.maximumf(a.value, b.value))


def _smaller(a: Number, b: Number) -> Number:
    return Number(arith.minimumf(a.value, b.value))


def _change_lines(
    memory: Memory,
    number: int,
    lines: Sequence[Place],
    span: tuple[Place, Place],
    change: Callable[[list[Number]], list[Number]],
    *,
    rows: bool,
) -> None:
    """Replaces what stands side by side in some rows (or columns) by `change` of it, all along `span`."""

    def step(j: ir.Value) -> None:
        places = [(line, j) if rows else (j, line) for line in lines]
        for place, value in zip(places, change([memory.read(number, *place) for place in places]), strict=True):
            memory.write(number, value, *place)

    memory.for_(*span, step)


def _scale(memory: Memory, n: ir.Value) -> Number:
    """A power of two by which the elements keep away from where products overflow or vanish; mostly 1."""
    kind = memory.element_type(T)

    def row(i: ir.Value, outer: ir.Value) -> list[ir.Value]:
        def element(j: ir.Value, inner: ir.Value) -> list[ir.Value]:
            return [_larger(Number(inner), memory.read(T, i, j).abs()).value]

        return memory.for_(0, n, element, outer)

    (found,) = (Number(v) for v in memory.for_(0, n, row, constant(kind, 0.0).value))
    small = 2.0 ** round(math.log2(tiny(kind)) / 2 - math.log2(epsilon(kind)))
    far = constant(kind, 1 / math.sqrt(tiny(kind)))
    factor = select(found > constant(kind, 1 / small), constant(kind, 1.0) / far, constant(kind, 1.0))
    is_small = _both(found > constant(kind, 0.0), found < constant(kind, small))
    return select(is_small, far, factor)


def _multiply(memory: Memory, number: int, factor: Number) -> None:
    memory.fill(number, lambda *place: (memory.read(number, *place) * factor).value)


def _multiply_reflections(memory: Memory, n: ir.Value) -> None:
    """Q is the product of the reflections that stand below T's subdiagonal, the last one first."""
    write_identity(memory, Q, memory.element_type(X))

    def step(number: ir.Value) -> None:
        k = position(minus(minus(n, 2), number))
        rows = (plus(k, 1), n)
        apply_left(memory, memory.read(REAL, k), rows, rows, lambda i: memory.read(T, i, k), Q)

    memory.for_(0, minus(n, 1), step)


def _clear_below(memory: Memory, n: ir.Value) -> None:
    zero = constant(memory.element_type(T), 0.0)

    def column(j: ir.Value) -> None:
        memory.for_(plus(j, 2), n, lambda i: memory.write(T, zero, i, j))

    memory.for_(0, n, column)


def _to_blocks(memory: Memory, n: ir.Value) -> None:
    """Steps on the rows up to `last`, until one or two of them stand apart; then the rows before those."""

    def step(_: ir.Value, last: ir.Value, tried: ir.Value) -> list[ir.Value]:
        def work() -> list[ir.Value]:
            first = _block_start(memory, n, last)
            below = position(minus(last, first))
            large = _compare(arith.CmpIPredicate.sgt, below, 1)
            memory.if_(_compare(arith.CmpIPredicate.eq, below, 0), lambda: _finish_single(memory, last))
            memory.if_(_compare(arith.CmpIPredicate.eq, below, 1), lambda: _finish_pair(memory, n, last))
            memory.if_(large, lambda: _step(memory, n, first, last, tried))
            following = arith.select(large, last, position(minus(first, 1)))
            return [following, arith.select(large, position(plus(tried, 1)), loops.index(0))]

        return memory.if_(_compare(arith.CmpIPredicate.sge, last, 0), work, last, tried)

    steps = plus(arith.muli(n, loops.index(_STEPS)), 300)
    last, _ = memory.for_(0, steps, step, position(minus(n, 1)), loops.index(0))
    memory.write_value(INFO, arith.index_cast(memory.element_type(INFO), position(plus(last, 1))))


def _block_start(memory: Memory, n: ir.Value, last: ir.Value) -> ir.Value:
    """The first row of the block that ends at `last`: what is to the left of it is negligible, and becomes 0."""

    def row(number: ir.Value, start: ir.Value, found: ir.Value) -> list[ir.Value]:
        k = position(minus(last, number))  # from last down to 1

        def look() -> list[ir.Value]:
            negligible = _is_negligible(memory, n, k)
            zero = constant(memory.element_type(T), 0.0)
            memory.if_(negligible, lambda: memory.write(T, zero, k, minus(k, 1)))
            return [arith.select(negligible, k, start), negligible]

        return memory.if_(loops.not_(found), look, start, found)

    no = arith.constant(ir.IntegerType.get_signless(1), 0)
    start, _ = memory.for_(0, last, row, loops.index(0), no)
    return start


def _is_negligible(memory: Memory, n: ir.Value, k: ir.Value) -> ir.Value:
    """Whether the eigenvalues do not notice T[k, k-1]: Ahues' and Tisseur's test."""
    before, after = position(minus(k, 1)), position(plus(k, 1))
    below, above = memory.read(T, k, before).abs(), memory.read(T, before, k).abs()
    here, earlier = memory.read(T, k, k), memory.read(T, before, before)
    ulp, zero = below.like(epsilon(below.type)), below.like(0.0)
    # Where the diagonal says nothing, the neighbours on the subdiagonal say what is small.
    has_before = _compare(arith.CmpIPredicate.sgt, before, 0)
    has_after = _compare(arith.CmpIPredicate.slt, after, n)
    left = arith.select(has_before, position(minus(before, 1)), before)
    neighbours = select(has_before, memory.read(T, before, left).abs(), zero)
    neighbours += select(has_after, memory.read(T, arith.select(has_after, after, k), k).abs(), zero)
    around = earlier.abs() + here.abs()
    around = select(around.equals(0.0), neighbours, around)
    apart = (earlier - here).abs()
    aa, bb = _larger(here.abs(), apart), _smaller(here.abs(), apart)
    ab, ba = _larger(below, above), _smaller(below, above)
    total = aa + ab  # is above `least` where it is looked at
    rows = Number(arith.uitofp(below.type, arith.index_cast(ir.IntegerType.get_signless(32), n)))
    least = rows * below.like(tiny(below.type) / epsilon(below.type))
    close = _at_most(ba * (ab / total), _larger(least, ulp * (bb * (aa / total))))
    return arith.ori(_at_most(below, least), _both(_at_most(below, ulp * around), close))


def _finish_single(memory: Memory, row: ir.Value) -> None:
    value = memory.read(T, row, row)
    memory.write(REAL, value, row)
    memory.write(IMAG, value.like(0.0), row)


def _finish_pair(memory: Memory, n: ir.Value, last: ir.Value) -> None:
    """The block of the rows last-1 and last becomes triangular, or a pair of complex numbers in its standard form."""
    first = minus(last, 1)
    places = [(first, first), (first, last), (last, first), (last, last)]
    *block, cosine, sine = _standard_form(*(memory.read(T, *place) for place in places))
    for place, value in zip(places, block, strict=True):
        memory.write(T, value, *place)
    a, b, c, d = block
    imaginary = b.abs().sqrt() * c.abs().sqrt()
    memory.write(REAL, a, first)
    memory.write(REAL, d, last)
    memory.write(IMAG, imaginary, first)
    memory.write(IMAG, select(c.equals(0.0), c, -imaginary), last)

    def rotate(values: list[Number]) -> list[Number]:
        x, y = values
        return [cosine * x + sine * y, cosine * y - sine * x]

    lines = (first, last)
    _change_lines(memory, T, lines, (plus(last, 1), n), rotate, rows=True)
    _change_lines(memory, T, lines, (0, first), rotate, rows=False)
    _change_lines(memory, Q, lines, (0, n), rotate, rows=False)


def _standard_form(a: Number, b: Number, c: Number, d: Number) -> Block:
    """What LAPACK's lanv2 makes of [[a, b], [c, d]]: c = 0, or a = d with b and c of opposite signs."""
    zero, one = a.like(0.0), a.like(1.0)
    opposite = one.copysign(b) * one.copysign(c) < zero
    kept = a, b, c, d, one, zero
    swapped = d, -c, zero, a, zero, one
    is_standard = _both((a - d).equals(0.0), opposite)
    found = _choose(is_standard, kept, _turned(a, b, c, d))
    return _choose(c.equals(0.0), kept, _choose(b.equals(0.0), swapped, found))


def _choose(condition: ir.Value, then: Block, otherwise: Block) -> Block:
    return tuple(select(condition, x, y) for x, y in zip(then, otherwise, strict=True))


def _turned(a: Number, b: Number, c: Number, d: Number) -> Block:
    """The rotation that splits two real values well apart, or else makes the diagonal equal."""
    zero, one, half = a.like(0.0), a.like(1.0), a.like(0.5)
    gap = a - d
    p = gap * half
    most = _larger(b.abs(), c.abs())
    least = _smaller(b.abs(), c.abs()) * one.copysign(b) * one.copysign(c)
    scale = _larger(p.abs(), most)
    z = p / scale * p + most / scale * least
    is_real = arith.cmpf(arith.CmpFPredicate.OGE, z.value, a.like(4 * epsilon(a.type)).value)
    root = p + (scale.sqrt() * _larger(z, zero).sqrt()).copysign(p)
    length = make(c, root).abs()
    apart = d + root, b - c, zero, d - most / root * least, root / length, c / length

    sigma = b + c
    length = make(sigma, gap).abs()
    cosine = (half * (one + sigma.abs() / length)).sqrt()
    sine = -(p / (length * cosine)) * one.copysign(sigma)
    aa, bb = a * cosine + b * sine, b * cosine - a * sine
    cc, dd = c * cosine + d * sine, d * cosine - c * sine
    b, c = bb * cosine + dd * sine, cc * cosine - aa * sine
    middle = half * (aa * cosine + cc * sine + dd * cosine - bb * sine)
    complex_pair = middle, b, c, middle, cosine, sine

    # Two real values after all: equal, or nearly so.
    roots = b.abs().sqrt(), c.abs().sqrt()
    shift = (roots[0] * roots[1]).copysign(c)
    size = one / (b + c).abs().sqrt()
    turn, lean = roots[0] * size, roots[1] * size
    angle = cosine * turn - sine * lean, cosine * lean + sine * turn
    close = middle + shift, b - c, zero, middle - shift, *angle
    lower = middle, -c, zero, middle, -sine, cosine  # [[m, 0], [c, m]]
    same = one.copysign(b) * one.copysign(c) > zero
    pair = _choose(b.equals(0.0), lower, _choose(same, close, complex_pair))
    return _choose(is_real, apart, _choose(c.equals(0.0), complex_pair, pair))


def _step(memory: Memory, n: ir.Value, first: ir.Value, last: ir.Value, tried: ir.Value) -> None:
    """One implicit double-shift QR step on three or more rows."""
    start, *head = _step_start(memory, first, last, _shifts(memory, first, last, tried))

    def move(k: ir.Value) -> None:
        at_start = _compare(arith.CmpIPredicate.eq, k, start)
        has_third = _compare(arith.CmpIPredicate.slt, plus(k, 1), last)
        before = arith.select(_compare(arith.CmpIPredicate.sgt, k, 0), position(minus(k, 1)), k)
        second = position(plus(k, 1))
        third = arith.select(has_third, position(plus(k, 2)), second)
        places = k, second, third
        x, y, z = (
            select(at_start, Number(v), memory.read(T, row, before)) for v, row in zip(head, places, strict=True)
        )
        zero, one = x.like(0.0), x.like(1.0)
        z = select(has_third, z, zero)
        rest = make(y, z).abs()
        nothing = rest.equals(0.0)
        beta = select(nothing, x, -make(x, rest).abs().copysign(x))
        tau = select(nothing, zero, (beta - x) / beta)
        vector = [one, *(select(nothing, zero, part / (x - beta)) for part in (y, z))]

        def clear() -> None:
            memory.if_(has_third, lambda: memory.write(T, zero, third, before))
            memory.write(T, zero, second, before)
            memory.write(T, beta, k, before)

        memory.if_(loops.not_(at_start), clear)
        kept = _both(at_start, _compare(arith.CmpIPredicate.sgt, k, first))
        memory.if_(kept, lambda: memory.write(T, memory.read(T, k, before) * (one - tau), k, before))

        def reflect(height: int) -> None:
            def change(values: list[Number]) -> list[Number]:
                total = values[0]
                for value, part in zip(values[1:], vector[1:height], strict=True):
                    total += value * part
                return [value - total * (tau * part) for value, part in zip(values, vector[:height], strict=True)]

            lines = places[:height]
            rows = arith.minsi(position(plus(k, 4)), position(plus(last, 1)))
            _change_lines(memory, T, lines, (k, n), change, rows=True)
            _change_lines(memory, T, lines, (0, rows), change, rows=False)
            _change_lines(memory, Q, lines, (0, n), change, rows=False)

        memory.if_(has_third, lambda: reflect(3))
        memory.if_(loops.not_(has_third), lambda: reflect(2))

    memory.for_(start, last, move)


def _shifts(memory: Memory, first: ir.Value, last: ir.Value, tried: ir.Value) -> Block:
    """Two eigenvalues to aim at, (real, imaginary) twice: those of the last two rows, or numbers that break circles."""
    before = minus(last, 1)
    c, d = memory.read(T, last, before), memory.read(T, last, last)
    usual = memory.read(T, before, before), memory.read(T, before, last), c, d
    at_end = c.abs() + memory.read(T, before, minus(last, 2)).abs(), d
    second = plus(first, 1)
    at_start = (
        memory.read(T, second, first).abs() + memory.read(T, plus(first, 2), second).abs(),
        memory.read(T, first, first),
    )
    turn = arith.remui(position(plus(tried, 1)), loops.index(2 * _UNUSUAL))
    ends = _compare(arith.CmpIPredicate.eq, turn, 0)
    size, corner = (select(ends, x, y) for x, y in zip(at_end, at_start, strict=True))
    corner += size * size.like(0.75)
    unusual = corner, size * size.like(-0.4375), size, corner
    a, b, c, d = _choose(arith.ori(ends, _compare(arith.CmpIPredicate.eq, turn, _UNUSUAL)), unusual, usual)
    size = a.abs() + b.abs() + c.abs() + d.abs()
    zero = size.like(0.0)
    safe = select(size.equals(0.0), size.like(1.0), size)
    a, b, c, d = (x / safe for x in (a, b, c, d))
    middle = (a + d) * a.like(0.5)
    determinant = (a - middle) * (d - middle) - b * c
    root = determinant.abs().sqrt()
    is_complex = arith.cmpf(arith.CmpFPredicate.OGE, determinant.value, zero.value)
    nearer = select(_at_most((middle + root - d).abs(), (middle - root - d).abs()), middle + root, middle - root)
    real = select(is_complex, middle, nearer) * size
    imaginary = select(is_complex, root, zero) * size
    return real, imaginary, real, -imaginary


def _step_start(memory: Memory, first: ir.Value, last: ir.Value, shifts: Block) -> list[ir.Value]:
    """The row to start from, as low as two small subdiagonal elements allow, and three elements that lead the step."""
    real_1, imag_1, real_2, imag_2 = shifts
    zero = real_1.like(0.0)

    def row(number: ir.Value, start: ir.Value, found: ir.Value, *head: ir.Value) -> list[ir.Value]:
        m = position(minus(minus(last, 2), number))  # from last - 2 down to first

        def look() -> list[ir.Value]:
            second, third = plus(m, 1), plus(m, 2)
            below, here, next_ = memory.read(T, second, m), memory.read(T, m, m), memory.read(T, second, second)
            scale = (here - real_2).abs() + imag_2.abs() + below.abs()
            low = below / scale
            v1 = (
                low * memory.read(T, m, second)
                + (here - real_1) * ((here - real_2) / scale)
                - imag_1 * (imag_2 / scale)
            )
            v2 = low * (here + next_ - real_1 - real_2)
            v3 = low * memory.read(T, third, second)
            size = v1.abs() + v2.abs() + v3.abs()
            v1, v2, v3 = v1 / size, v2 / size, v3 / size
            before = arith.select(_compare(arith.CmpIPredicate.sgt, m, 0), position(minus(m, 1)), m)
            around = memory.read(T, before, before).abs() + here.abs() + next_.abs()
            link = memory.read(T, m, before).abs() * (v2.abs() + v3.abs())
            is_small = _at_most(link, here.like(epsilon(here.type)) * v1.abs() * around)
            return [m, is_small, v1.value, v2.value, v3.value]

        return memory.if_(loops.not_(found), look, start, found, *head)

    no = arith.constant(ir.IntegerType.get_signless(1), 0)
    start, _, *head = memory.for_(0, minus(minus(last, 1), first), row, first, no, *[zero.value] * 3)
    return [start, *head]
