"""Extents of tensors as integers or as symbolic polynomials, so that shape arithmetic happens at compile time.

    [batch, seq, 768] reshaped to [batch, seq, 12, -1]   ->   -1 is (batch·seq·768) / (batch·seq·12) = 64

A `Dim` is a Python int or a `Sym`: a polynomial with integer coefficients over atoms. An atom is a run-time number: the
extent of a tensor, an element of a shape tensor, or a function (floor division, maximum, …) of other dims. Equal
polynomials are equal numbers, which is how builders prove extents equal; index arithmetic is made only where a dim is
used (`TensorBuilder.index`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from mlirage.mlir import ir


@dataclass(frozen=True, eq=False)
class Atom:
    """A run-time number; atoms are interned by the builder, so identity is equality.

    Attributes:
      serial: order of creation, which orders monomials.
      kind: `extent` (args: tensor value, axis), `value` (an index value), or a function of dims (args: dims).
      nonnegative: whether it is known to be ≥ 0.
    """

    serial: int
    kind: str
    args: tuple[Any, ...]
    nonnegative: bool


Monomial: TypeAlias = "tuple[Atom, ...]"


class AtomTable:
    """Makes each atom once."""

    def __init__(self) -> None:
        self._atoms: dict[tuple[Any, ...], Atom] = {}

    def symbol(self, kind: str, *args: Any, nonnegative: bool) -> Sym:
        """The dim that is just this atom."""
        key = (kind, *args)
        if key not in self._atoms:
            self._atoms[key] = Atom(len(self._atoms), kind, args, nonnegative)
        return Sym({(self._atoms[key],): 1}, self)

    def extent(self, value: ir.Value, axis: int) -> Sym:
        """The extent of a tensor along an axis."""
        return self.symbol("extent", value, axis, nonnegative=True)


class Sym:
    """A polynomial that is not constant."""

    __slots__ = ("_hash", "table", "terms")

    def __init__(self, terms: dict[Monomial, int], table: AtomTable) -> None:
        self.terms: Final = dict(sorted(terms.items(), key=lambda term: _order(term[0])))
        self.table: Final = table
        self._hash = hash(tuple(self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sym) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        def monomial(atoms: Monomial, factor: int) -> str:
            names = [f"{a.kind}{a.serial}" for a in atoms]
            return "·".join(([str(factor)] if factor != 1 or not atoms else []) + names)

        return " + ".join(monomial(*term) for term in self.terms.items())

    def __add__(self, other: Dim) -> Dim:
        terms = dict(self.terms)
        for monomial, factor in terms_of(other).items():
            terms[monomial] = terms.get(monomial, 0) + factor
        return _make(terms, self.table)

    __radd__ = __add__

    def __mul__(self, other: Dim) -> Dim:
        terms: dict[Monomial, int] = {}
        for left, left_factor in self.terms.items():
            for right, right_factor in terms_of(other).items():
                monomial = tuple(sorted(left + right, key=lambda atom: atom.serial))
                terms[monomial] = terms.get(monomial, 0) + left_factor * right_factor
        return _make(terms, self.table)

    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __floordiv__(self, other: Dim) -> Dim:
        return _divide(self, other, self.table)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return _divide(other, self, self.table)

    def __mod__(self, other: Dim) -> Dim:
        return self - (self // other) * other

    def __rmod__(self, other: Dim) -> Dim:
        return other - (other // self) * self


Dim: TypeAlias = int | Sym


def terms_of(dim: Dim) -> dict[Monomial, int]:
    """The terms of a dim; a constant is the empty monomial."""
    return dim.terms if isinstance(dim, Sym) else ({(): dim} if dim else {})


def _order(monomial: Monomial) -> tuple[int, tuple[int, ...]]:
    return len(monomial), tuple(atom.serial for atom in monomial)


def _make(terms: dict[Monomial, int], table: AtomTable) -> Dim:
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept:
        return 0
    return kept[()] if set(kept) == {()} else Sym(kept, table)


def _divide(numerator: Dim, denominator: Dim, table: AtomTable) -> Dim:
    """The floor of the quotient: a polynomial if it divides exactly, else an atom."""
    exact = exact_quotient(numerator, denominator)
    if exact is not None:
        return exact
    nonnegative = is_nonnegative(numerator) and is_nonnegative(denominator)
    return table.symbol("floordiv", numerator, denominator, nonnegative=nonnegative)


def exact_quotient(numerator: Dim, denominator: Dim) -> Dim | None:
    """`numerator / denominator` where it is a polynomial, else None (multivariate long division)."""
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator if denominator and numerator % denominator == 0 else None
    table = numerator.table if isinstance(numerator, Sym) else denominator.table  # pyright: ignore
    divisor = terms_of(denominator)
    if not divisor:
        return None
    lead = max(divisor, key=_order)
    quotient: dict[Monomial, int] = {}
    rest: Dim = numerator
    for _ in range(64):
        if isinstance(rest, int) and rest == 0:
            return _make(quotient, table)
        terms = terms_of(rest)
        top = max(terms, key=_order)
        remaining = list(top)
        for atom in lead:
            if atom not in remaining:
                return None
            remaining.remove(atom)
        if terms[top] % divisor[lead]:
            return None
        part = {tuple(remaining): terms[top] // divisor[lead]}
        quotient[tuple(remaining)] = quotient.get(tuple(remaining), 0) + terms[top] // divisor[lead]
        rest = rest - _make(part, table) * denominator
    return None


def is_nonnegative(dim: Dim) -> bool:
    """Whether `dim` is known to be ≥ 0."""
    if isinstance(dim, int):
        return dim >= 0
    return all(factor > 0 and all(atom.nonnegative for atom in atoms) for atoms, factor in dim.terms.items())


def known_difference(left: Dim, right: Dim) -> int | None:
    """`left - right` if it is the same whatever the run-time numbers."""
    difference = left - right
    return difference if isinstance(difference, int) else None


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dims."""
    return math.prod(dims, start=1)  # pyright: ignore[reportArgumentType,reportCallIssue,reportReturnType]


def _function(kind: str, left: Dim, right: Dim, nonnegative: bool) -> Dim:
    table = left.table if isinstance(left, Sym) else right.table  # pyright: ignore[reportAttributeAccessIssue]
    return table.symbol(kind, left, right, nonnegative=nonnegative)


def maximum(left: Dim, right: Dim) -> Dim:
    """The larger of two dims."""
    difference = known_difference(left, right)
    if difference is not None:
        return left if difference >= 0 else right
    if is_nonnegative(left - right):
        return left
    if is_nonnegative(right - left):
        return right
    return _function("max", left, right, is_nonnegative(left) or is_nonnegative(right))


def minimum(left: Dim, right: Dim) -> Dim:
    """The smaller of two dims."""
    difference = known_difference(left, right)
    if difference is not None:
        return left if difference <= 0 else right
    if is_nonnegative(left - right):
        return right
    if is_nonnegative(right - left):
        return left
    return _function("min", left, right, is_nonnegative(left) and is_nonnegative(right))


def truncated_quotient(numerator: Dim, denominator: Dim) -> Dim:
    """The quotient rounded towards zero, as C divides."""
    if isinstance(numerator, int) and isinstance(denominator, int):
        quotient = abs(numerator) // abs(denominator)
        return quotient if (numerator < 0) == (denominator < 0) else -quotient
    if is_nonnegative(numerator) and is_nonnegative(denominator):
        return numerator // denominator
    exact = exact_quotient(numerator, denominator)
    return exact if exact is not None else _function("truncdiv", numerator, denominator, False)


def ceiling_quotient(numerator: Dim, denominator: int) -> Dim:
    """The quotient rounded up, for a positive denominator."""
    return -((-numerator) // denominator)


def select(predicate: str, left: Dim, right: Dim, if_true: Dim, if_false: Dim) -> Dim:
    """`if_true` where `left predicate right` holds (`eq`, `ne`, `slt` or `sle`), else `if_false`."""
    difference = known_difference(left, right)
    if if_true == if_false:
        return if_true
    if difference is not None:
        holds = {"eq": difference == 0, "ne": difference != 0, "slt": difference < 0, "sle": difference <= 0}
        return if_true if holds[predicate] else if_false
    if predicate == "slt" and is_nonnegative(left - right):
        return if_false
    symbols = [dim for dim in (left, right) if isinstance(dim, Sym)]
    nonnegative = is_nonnegative(if_true) and is_nonnegative(if_false)
    return symbols[0].table.symbol("select_" + predicate, left, right, if_true, if_false, nonnegative=nonnegative)
