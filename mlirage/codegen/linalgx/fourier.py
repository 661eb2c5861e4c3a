"""linalgx.fourier: the elements in the order of their reversed digits, then stage after stage in the out's memory.

Digits are those of the places to the radices; a stage joins r transforms that lie one behind the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mlirage.codegen.linalgx.loops import index
from mlirage.codegen.linalgx.memory import Memory, Place, minus, plus, position
from mlirage.codegen.small_transforms import Arithmetic, Parts, small_transform
from mlirage.mlir import arith, complex_, ir


def lower_fourier(op: Any) -> list[ir.Value]:
    """Builds the loops."""
    memory = Memory([op.input, op.table], [op.out], [])
    transform = _Transform(op, memory)

    def rows(o: ir.Value) -> None:
        memory.for_(0, memory.extent(2, 2), lambda i: transform.row(o, i))

    memory.for_(0, memory.extent(2, 0), rows)
    return memory.outs


class _Transform:
    def __init__(self, op: Any, memory: Memory) -> None:
        self.memory = memory
        self.radices = [ir.IntegerAttr(r).value for r in op.radices]
        self.length = math.prod(self.radices)
        self.inverse = bool(ir.IntegerAttr(op.inverse).value)
        self.pairs = ir.IntegerAttr(op.pairs).value
        self.scale = ir.FloatAttr(op.scale).value
        self.on = Arithmetic(memory.element_type(1), has_fma=False)
        self.mirror = self.length - self.radices[0]  # where the numbers for pairs begin in the table

    def row(self, o: ir.Value, i: ir.Value) -> None:
        """The transform of one row."""
        self.o, self.i = o, i
        self._reverse_digits()
        done = 1
        start: Place = 0
        for number, radix in enumerate(self.radices):
            self._stage(radix, done, start if number else None)
            start = start + (radix - 1) * done if number else 0
            done *= radix
        if self.pairs in (1, 3):
            self._separate()

    # Elements -----------------------------------------------------------------------------------------------------

    def read(self, number: int, k: Place) -> Parts:
        """A complex element of the input (0) or the out (2)."""
        element = self.memory.element_type(number)
        real = self.pairs in (1, 3) if number == 0 else self.pairs == 2
        if isinstance(element, ir.ComplexType):
            z = self.memory.read_value(number, self.o, k, self.i)
            return complex_.re(z), complex_.im(z)
        if real:
            first = arith.muli(position(k), index(2))
            return tuple(self.memory.read_value(0, self.o, plus(first, p), self.i) for p in (0, 1))  # pyright: ignore
        return tuple(self.memory.read_value(number, self.o, k, self.i, p) for p in (0, 1))  # pyright: ignore

    def write(self, k: Place, z: Parts) -> None:
        """A complex element of the out."""
        element = self.memory.element_type(2)
        if isinstance(element, ir.ComplexType):
            self.memory.write_value(2, complex_.create_(element, *z), self.o, k, self.i)
            return
        for part in (0, 1):
            if self.pairs == 2:
                self.memory.write_value(2, z[part], self.o, plus(arith.muli(position(k), index(2)), part), self.i)
            else:
                self.memory.write_value(2, z[part], self.o, k, self.i, part)

    def made(self, k: Place) -> Parts:
        """A complex element of the out that was written."""
        if self.pairs == 2:
            first = arith.muli(position(k), index(2))
            return tuple(self.memory.read_value(2, self.o, plus(first, p), self.i) for p in (0, 1))  # pyright: ignore
        return self.read(2, k)

    def root(self, place: Place) -> Parts:
        """A number of the table."""
        return self.memory.read_value(1, 0, place), self.memory.read_value(1, 1, place)

    # Steps --------------------------------------------------------------------------------------------------------

    def _reverse_digits(self) -> None:
        """out[a₀ + r₀·(a₁ + r₁·…)] = input[… + r₂·(a₁ + …)], the last digit the fastest there."""

        def level(number: int, source: Place, target: Place, factor: int) -> None:
            # digits from the last stage's on: target grows by the radices before it, source by those behind it
            if number < 0:
                self.write(target, self.on.scale(self._joined(source), self.scale))
                return
            before = math.prod(self.radices[:number])

            def digit(a: ir.Value) -> None:
                level(
                    number - 1,
                    plus(source, arith.muli(a, index(factor))),
                    plus(target, arith.muli(a, index(before))),
                    factor * self.radices[number],
                )

            self.memory.for_(0, self.radices[number], digit)

        level(len(self.radices) - 1, 0, 0, 1)

    def _joined(self, k: Place) -> Parts:
        """Element k, of an inverse transform to real numbers made of two coefficients."""
        if self.pairs != 2:
            return self.read(0, k)
        zero = self.on.constant(0.0)
        first = arith.cmpi(arith.CmpIPredicate.eq, position(k), index(0))
        x, y = self.read(0, k), self.read(0, minus(self.length, k))
        x, y = ((z[0], arith.select(first, zero, z[1])) for z in (x, y))
        total = arith.addf(x[0], y[0]), arith.subf(x[1], y[1])
        difference = arith.subf(x[0], y[0]), arith.addf(x[1], y[1])
        turned = self.on.multiply(difference, self.root(plus(self.mirror, k)))
        return arith.subf(total[0], turned[1]), arith.addf(total[1], turned[0])

    def _stage(self, radix: int, done: int, table: Place | None) -> None:
        def block(b: ir.Value) -> None:
            start = arith.muli(b, index(radix * done))

            def column(j: ir.Value) -> None:
                places = [plus(plus(start, a * done), j) for a in range(radix)]
                x = [self.made(place) for place in places]
                if table is not None:
                    for a in range(1, radix):
                        x[a] = self.on.multiply(x[a], self.root(plus(plus(table, (a - 1) * done), j)))
                for place, z in zip(places, small_transform(x, self.inverse, self.on), strict=True):
                    self.write(place, z)

            self.memory.for_(0, done, column)

        self.memory.for_(0, self.length // (radix * done), block)

    def _separate(self) -> None:
        """The coefficients of real numbers from those of their pairs, two at a time."""
        real, imaginary = self.made(0)
        zero = self.on.constant(0.0)
        self.write(0, (arith.addf(real, imaginary), zero))
        self.write(self.length, (arith.subf(real, imaginary), zero))

        def pair(k: ir.Value) -> None:
            opposite = minus(self.length, k)
            low, high = separate(self.made(k), self.made(opposite), self.root(plus(self.mirror, k)), self.on)
            self.write(k, low)
            self.write(opposite, high)
            if self.pairs == 3:
                self.write(minus(2 * self.length, k), (low[0], arith.negf(low[1])))
                self.write(plus(self.length, k), (high[0], arith.negf(high[1])))

        self.memory.for_(1, self.length // 2 + 1, pair)


def separate(z: Parts, y: Parts, root: Parts, on: Arithmetic) -> tuple[Parts, Parts]:
    """Coefficients k and n - k of real numbers, from those of the transform of their pairs: z and y."""
    half = on.constant(0.5)

    def mean(a: ir.Value, b: ir.Value, join: Callable[..., ir.Value]) -> ir.Value:
        return arith.mulf(join(a, b), half)

    even = mean(z[0], y[0], arith.addf), mean(z[1], y[1], arith.subf)
    odd = mean(z[1], y[1], arith.addf), mean(y[0], z[0], arith.subf)
    turned = on.multiply(odd, root)
    return on.add(even, turned), (arith.subf(even[0], turned[0]), arith.subf(turned[1], even[1]))
