"""Products of a small constant matrix and values in registers, with few operations.

[ 1  1  1 ]   [a]        s = b + c;  d = b - c
[ 0  1 -1 ] * [b]   =>   y0 = a + s;  y1 = d
              [c]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from mlirage.codegen.cpu.elements import Elements
from mlirage.mlir import arith, ir, vector

Matrix = Sequence[Sequence[Fraction]]


@dataclass(frozen=True)
class LinearMaps:
    """Builds products with vectors of floats.

    Attributes:
      element: of the vectors.
      lanes: of the vectors.
      fused: whether multiply-adds are one instruction.
    """

    element: ir.Type
    lanes: int
    fused: bool

    def apply(self, matrix: Matrix, values: Sequence[ir.Value]) -> list[ir.Value]:
        """One value per row of the matrix."""
        rows, values = self._pair_columns([list(row) for row in matrix], list(values))
        results: list[ir.Value | None] = [None] * len(rows)
        for i, row in enumerate(rows):
            if results[i] is not None:
                continue
            other = next((j for j in range(i + 1, len(rows)) if results[j] is None and _is_mirror(row, rows[j])), None)
            if other is None:
                results[i] = self._scale(*self._combine(row, values))
                continue
            even = [c if c == d else Fraction(0) for c, d in zip(row, rows[other], strict=True)]
            odd = [c if c != d else Fraction(0) for c, d in zip(row, rows[other], strict=True)]
            base = self._scale(*self._combine(even, values))
            change, factor = self._combine(odd, values)
            results[i] = self._add(base, change, factor)
            results[other] = self._add(base, change, -factor)
        return [result for result in results if result is not None]

    def _pair_columns(
        self, rows: list[list[Fraction]], values: list[ir.Value]
    ) -> tuple[list[list[Fraction]], list[ir.Value]]:
        """Puts sums and differences for pairs of values whose factors differ by no more than the sign in every row."""
        for i in range(len(values)):
            for j in range(i + 1, len(values)):
                pairs = [(row[i], row[j]) for row in rows]
                wide = sum(a != 0 for a, _ in pairs) > 1
                if wide and all(abs(a) == abs(b) for a, b in pairs) and any(a != b for a, b in pairs):
                    total, difference = arith.addf(values[i], values[j]), arith.subf(values[i], values[j])
                    zero = Fraction(0)
                    for row in rows:
                        same = row[i] == row[j]
                        row[i], row[j] = (row[i], zero) if same else (zero, row[i])
                    values[i], values[j] = total, difference
        return rows, values

    def _combine(self, factors: Sequence[Fraction], values: Sequence[ir.Value]) -> tuple[ir.Value, Fraction]:
        """The sum of products as (value, factor): the factor is left to be multiplied."""
        terms = [(factor, v) for factor, v in zip(factors, values, strict=True) if factor]
        terms.sort(key=lambda term: (term[0] != 1, abs(term[0]) != 1))
        common, total = terms[0]
        for factor, v in terms[1:]:
            total = self._add(total, v, factor / common)
        return total, common

    def _add(self, total: ir.Value, v: ir.Value, factor: Fraction) -> ir.Value:
        """total + factor * v."""
        if factor == 1:
            return arith.addf(total, v)
        if factor == -1:
            return arith.subf(total, v)
        spread = self._constant(factor)
        return vector.fma(spread, v, total) if self.fused else arith.addf(total, arith.mulf(spread, v))

    def _scale(self, v: ir.Value, factor: Fraction) -> ir.Value:
        if factor == 1:
            return v
        return arith.negf(v) if factor == -1 else arith.mulf(self._constant(factor), v)

    def _constant(self, factor: Fraction) -> ir.Value:
        return Elements(self.lanes).spread(arith.constant(self.element, float(factor)))


def _is_mirror(row: Sequence[Fraction], other: Sequence[Fraction]) -> bool:
    """Whether two rows have the same factors but for some signs."""
    same = sum(a == b != 0 for a, b in zip(row, other, strict=True))
    turned = sum(a == -b != 0 for a, b in zip(row, other, strict=True))
    return same > 0 and turned > 0 and same + turned == sum(a != 0 or b != 0 for a, b in zip(row, other, strict=True))
