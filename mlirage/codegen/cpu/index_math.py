"""Index arithmetic that folds what is known: an index is a Python int where it is a constant, else an `ir.Value`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlirage.mlir import arith, ir

Index = int | ir.Value


def value(index: Index) -> ir.Value:
    """The index as a value."""
    return arith.constant(ir.IndexType.get(), index) if isinstance(index, int) else index


def add(a: Index, b: Index) -> Index:
    """a + b."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if isinstance(a, int) and a == 0:
        return b
    if isinstance(b, int) and b == 0:
        return a
    return arith.addi(value(a), value(b))


def sub(a: Index, b: Index) -> Index:
    """a - b."""
    if isinstance(a, int) and isinstance(b, int):
        return a - b
    if isinstance(b, int) and b == 0:
        return a
    return arith.subi(value(a), value(b))


def mul(a: Index, b: Index) -> Index:
    """a * b."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if 0 in (a if isinstance(a, int) else None, b if isinstance(b, int) else None):
        return 0
    if isinstance(a, int) and a == 1:
        return b
    if isinstance(b, int) and b == 1:
        return a
    return arith.muli(value(a), value(b))


def div(a: Index, b: Index) -> Index:
    """a // b of indices that are not negative."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    return a if isinstance(b, int) and b == 1 else arith.divui(value(a), value(b))


def rem(a: Index, b: Index) -> Index:
    """a % b of indices that are not negative."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    return 0 if isinstance(b, int) and b == 1 else arith.remui(value(a), value(b))


def ceil_div(a: Index, b: Index) -> Index:
    """a / b rounded up, of indices that are not negative."""
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b)
    return a if isinstance(b, int) and b == 1 else arith.ceildivui(value(a), value(b))


def smaller(a: Index, b: Index) -> Index:
    """min(a, b)."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return arith.minsi(value(a), value(b))


def larger(a: Index, b: Index) -> Index:
    """max(a, b)."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return arith.maxsi(value(a), value(b))


def product(indices: Sequence[Index]) -> Index:
    """The product of all."""
    result: Index = 1
    for index in indices:
        result = mul(result, index)
    return result


def split(linear: Index, sizes: Sequence[Index]) -> list[Index]:
    """The row-major coordinates of element number `linear` of a box of `sizes`."""
    coordinates: list[Index] = []
    for size in reversed(sizes[1:]):
        coordinates.insert(0, rem(linear, size))
        linear = div(linear, size)
    return [linear, *coordinates] if sizes else []


@dataclass(frozen=True)
class Place:
    """An index that advances by `step` from lane to lane of a vector."""

    base: Index
    step: int = 0

    def at(self, lane: Index) -> Place:
        """The place of one lane."""
        return Place(add(self.base, mul(lane, self.step)))


@dataclass(frozen=True)
class Split:
    """A dim whose quotient and remainder by the size of panels or groups are known.

    Attributes:
      quotient: of its place, the same in all lanes.
      remainder: of its place; it advances as the place does.
    """

    quotient: Index
    remainder: Index = 0


def evaluate(expr: ir.AffineExpr, loops: dict[int, Place], packed: Mapping[int, Split]) -> Place:
    """The value of an affine expression at places of its dims.

    Args:
      loops: the place of every dim.
      packed: dims that the expression divides by one number only, and how.

    Raises:
      ValueError: the lanes of a quotient or remainder are not evenly spaced.
    """
    match expr:
        case ir.AffineConstantExpr():
            return Place(expr.value)
        case ir.AffineDimExpr():
            return loops[expr.position]
        case ir.AffineFloorDivExpr() if isinstance(expr.lhs, ir.AffineDimExpr) and expr.lhs.position in packed:
            return Place(packed[expr.lhs.position].quotient)
        case ir.AffineModExpr() if isinstance(expr.lhs, ir.AffineDimExpr) and expr.lhs.position in packed:
            return Place(packed[expr.lhs.position].remainder, loops[expr.lhs.position].step)
        case _:
            pass
    a, b = evaluate(expr.lhs, loops, packed), evaluate(expr.rhs, loops, packed)  # pyright: ignore
    match expr:
        case ir.AffineAddExpr():
            return Place(add(a.base, b.base), a.step + b.step)
        case ir.AffineMulExpr() if b.step == 0 and isinstance(b.base, int):
            return Place(mul(a.base, b.base), a.step * b.base)
        case ir.AffineFloorDivExpr() if a.step == 0:
            return Place(div(a.base, b.base))
        case ir.AffineModExpr() if a.step == 0:
            return Place(rem(a.base, b.base))
        case _:
            raise ValueError(f"the lanes of {expr} are not evenly spaced")
