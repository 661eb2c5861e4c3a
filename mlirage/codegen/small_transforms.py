"""Fourier transforms of a few numbers, as arithmetic on their parts: scalars or vectors of floats.

Lengths with factors are made of shorter ones, by Cooley and Tukey; those that are odd primes of sums and differences of
the elements that lie opposite. What is multiplied by 1, -1, i or -i costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlirage.fourier import roots
from mlirage.mlir import arith, ir

Parts = tuple[ir.Value, ir.Value]
"""Real and imaginary part."""


@dataclass(frozen=True)
class Arithmetic:
    """Complex arithmetic on parts of one type, at the insertion point.

    Attributes:
      kind: the type of a part: a float or a vector of them.
      has_fma: whether products and sums may be one operation.
    """

    kind: ir.Type
    has_fma: bool = True

    def constant(self, number: float) -> ir.Value:
        """A real number."""
        element = ir.VectorType(self.kind).element_type if isinstance(self.kind, ir.VectorType) else self.kind
        attribute: ir.Attribute = ir.FloatAttr.get(element, number)
        if isinstance(self.kind, ir.VectorType):
            attribute = ir.DenseElementsAttr.get_splat(self.kind, attribute)
        return arith.constant(self.kind, attribute)

    def add(self, x: Parts, y: Parts) -> Parts:
        """x + y."""
        return arith.addf(x[0], y[0]), arith.addf(x[1], y[1])

    def sub(self, x: Parts, y: Parts) -> Parts:
        """x - y."""
        return arith.subf(x[0], y[0]), arith.subf(x[1], y[1])

    def multiply(self, x: Parts, y: Parts) -> Parts:
        """x · y."""
        real = self._sub(self._mul(x[0], y[0]), self._mul(x[1], y[1]))
        return real, self._add(self._mul(x[0], y[1]), self._mul(x[1], y[0]))

    def scale(self, x: Parts, factor: float) -> Parts:
        """x times a real number."""
        if factor == 1:
            return x
        number = self.constant(factor)
        return arith.mulf(x[0], number), arith.mulf(x[1], number)

    def turn(self, x: Parts, quarters: int) -> Parts:
        """x times a power of i."""
        re, im = x
        match quarters % 4:
            case 0:
                return x
            case 1:
                return arith.negf(im), re
            case 2:
                return arith.negf(re), arith.negf(im)
            case _:
                return im, arith.negf(re)

    def rotate(self, x: Parts, turns: int, count: int, inverse: bool) -> Parts:
        """x times a root of unity."""
        turns %= count
        if 4 * turns % count == 0:
            quarters = 4 * turns // count
            return self.turn(x, quarters if inverse else -quarters)
        root = complex(roots(count, turns, inverse))
        if 8 * turns % count == 0:  # (±1 ± i) / √2
            half = self.constant(abs(root.real))
            total, difference = arith.addf(x[0], x[1]), arith.subf(x[0], x[1])
            re, im = (difference, total) if root.imag > 0 else (total, arith.negf(difference))
            if root.real < 0:
                re, im = self.turn((re, im), 1 if root.imag > 0 else 3)
            return arith.mulf(re, half), arith.mulf(im, half)
        return self.multiply(x, (self.constant(root.real), self.constant(root.imag)))

    def multiply_add(self, x: ir.Value, factor: ir.Value, total: ir.Value) -> ir.Value:
        """x · factor + total."""
        return self._add(self._mul(x, factor), total)

    def _mul(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return arith.mulf(x, y, fastmath=self._flags())

    def _add(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return arith.addf(x, y, fastmath=self._flags())

    def _sub(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return arith.subf(x, y, fastmath=self._flags())

    def _flags(self) -> ir.Attribute:
        return ir.Attribute.parse("#arith.fastmath<contract>" if self.has_fma else "#arith.fastmath<none>")


def small_transform(x: Sequence[Parts], inverse: bool, on: Arithmetic) -> list[Parts]:
    """The transform of a few numbers."""
    count = len(x)
    if count == 1:
        return list(x)
    if count == 2:
        return [on.add(x[0], x[1]), on.sub(x[0], x[1])]
    factor = _factor(count)
    if factor == count:
        return _odd_transform(x, inverse, on)
    rest = count // factor
    # element a·rest + k; coefficient t + factor·q
    columns = [small_transform([x[a * rest + k] for a in range(factor)], inverse, on) for k in range(rest)]
    found: list[Parts | None] = [None] * count
    for t in range(factor):
        row = [on.rotate(columns[k][t], t * k, count, inverse) for k in range(rest)]
        for q, number in enumerate(small_transform(row, inverse, on)):
            found[t + factor * q] = number
    return [number for number in found if number is not None]


def _factor(count: int) -> int:
    """What a length is divided by first."""
    if count % 4 == 0 and count > 4:
        return 4
    return next((p for p in (2, 3, 5, 7, 11, 13) if count % p == 0), count)


def _odd_transform(x: Sequence[Parts], inverse: bool, on: Arithmetic) -> list[Parts]:
    """The transform of an odd number of numbers.

    X[t] = x₀ + Σ cos(2πat/n) (x_a + x_{n-a}) ∓ i · Σ sin(2πat/n) (x_a - x_{n-a}), over half of all a.
    """
    count = len(x)
    half = range(1, count // 2 + 1)
    sums = [on.add(x[a], x[count - a]) for a in half]
    differences = [on.sub(x[a], x[count - a]) for a in half]
    first = x[0]
    for s in sums:
        first = on.add(first, s)
    found: list[Parts] = [first] * count
    for t in half:
        even, odd = x[0], None
        for a, s, d in zip(half, sums, differences, strict=True):
            root = complex(roots(count, a * t, True))
            cosine, sine = on.constant(root.real), on.constant(root.imag)
            even = tuple(on.multiply_add(p, cosine, e) for p, e in zip(s, even, strict=True))
            odd = (
                tuple(arith.mulf(p, sine) for p in d)
                if odd is None
                else tuple(on.multiply_add(p, sine, o) for p, o in zip(d, odd, strict=True))
            )
        assert odd is not None
        turned = on.turn((odd[0], odd[1]), 1 if inverse else 3)
        found[t] = on.add((even[0], even[1]), turned)
        found[count - t] = on.sub((even[0], even[1]), turned)
    return found
