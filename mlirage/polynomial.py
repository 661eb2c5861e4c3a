"""Sums of products of numbered variables: sizes and counts that depend on dynamic extents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Polynomial:
    """A polynomial with whole coefficients.

    Attributes:
      terms: the factor of each product of variables; a product is the sorted tuple of their numbers.
    """

    terms: Mapping[tuple[int, ...], int] = field(default_factory=dict[tuple[int, ...], int])

    @staticmethod
    def constant(value: int) -> Polynomial:
        """A number."""
        return Polynomial({(): value} if value else {})

    @staticmethod
    def variable(number: int) -> Polynomial:
        """A variable."""
        return Polynomial({(number,): 1})

    @property
    def is_constant(self) -> bool:
        """Whether no variable is in it."""
        return not any(self.terms)

    @property
    def value(self) -> int:
        """The number that a constant is."""
        assert self.is_constant
        return self.terms.get((), 0)

    def __add__(self, other: Polynomial) -> Polynomial:
        terms = dict(self.terms)
        for product, factor in other.terms.items():
            terms[product] = terms.get(product, 0) + factor
        return Polynomial({product: factor for product, factor in terms.items() if factor})

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        if isinstance(other, int):
            other = Polynomial.constant(other)
        total = Polynomial()
        for left, factor in self.terms.items():
            row = {tuple(sorted((*left, *right))): factor * f for right, f in other.terms.items()}
            total += Polynomial(row)
        return total

    def encode(self) -> int | list[list[int]]:
        """The number, or a list of [factor, variables…]."""
        if self.is_constant:
            return self.value
        return [[factor, *product] for product, factor in sorted(self.terms.items())]
