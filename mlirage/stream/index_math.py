"""Index arithmetic of the host: built with constants folded, and compared symbolically.

A `Linear` is an index value as a sum of products: `{(): 64, (n,): 4}` is 64 + 4 n. With it two ranges of a resource
are proved disjoint, or one size at least another, whatever the extents are at run time.
"""

from __future__ import annotations

from mlirage.mlir import arith, ir

Terms = dict[tuple[ir.Value, ...], int]


def index_constant(value: int) -> ir.Value:
    """The index constant `value` at the current insertion point."""
    return arith.ConstantOp(ir.IndexType.get(), value).result


def static_index(value: ir.Value) -> int | None:
    """The value of an integer constant, or None."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.operation.name != "arith.constant":
        return None
    attribute = owner.attributes["value"]
    return ir.IntegerAttr(attribute).value if isinstance(attribute, ir.IntegerAttr) else None


def multiply(a: ir.Value, b: ir.Value) -> ir.Value:
    """`a * b`, folded where possible."""
    x, y = static_index(a), static_index(b)
    if x is not None and y is not None:
        return index_constant(x * y)
    if x == 1 or y == 0:
        return b
    if y == 1 or x == 0:
        return a
    return arith.MulIOp(a, b).result if x is None else arith.MulIOp(b, a).result


def add(a: ir.Value, b: ir.Value) -> ir.Value:
    """`a + b`, folded where possible."""
    x, y = static_index(a), static_index(b)
    if x is not None and y is not None:
        return index_constant(x + y)
    if x == 0:
        return b
    if y == 0:
        return a
    return arith.AddIOp(a, b).result if x is None else arith.AddIOp(b, a).result


def align(a: ir.Value, alignment: int) -> ir.Value:
    """`a` rounded up to a multiple of `alignment`, a power of two."""
    x = static_index(a)
    if x is not None:
        return index_constant(-(-x // alignment) * alignment)
    padded = arith.AddIOp(a, index_constant(alignment - 1)).result
    return arith.AndIOp(padded, index_constant(-alignment)).result


class Linear:
    """An index value as a sum of integer multiples of products of opaque values."""

    def __init__(self, terms: Terms) -> None:
        self.terms = {factors: scale for factors, scale in terms.items() if scale}

    @staticmethod
    def of(value: ir.Value) -> Linear:
        """Looks through constants, addi, subi and muli."""
        constant = static_index(value)
        if constant is not None:
            return Linear({(): constant})
        owner = value.owner
        if isinstance(owner, ir.Operation | ir.OpView) and owner.operation.name in (
            "arith.addi",
            "arith.subi",
            "arith.muli",
        ):
            a, b = (Linear.of(operand) for operand in owner.operands)
            if owner.operation.name == "arith.muli":
                return a * b
            return a + b if owner.operation.name == "arith.addi" else a - b
        return Linear({(value,): 1})

    def __add__(self, other: Linear) -> Linear:
        terms = dict(self.terms)
        for factors, scale in other.terms.items():
            terms[factors] = terms.get(factors, 0) + scale
        return Linear(terms)

    def __sub__(self, other: Linear) -> Linear:
        return self + Linear({factors: -scale for factors, scale in other.terms.items()})

    def __mul__(self, other: Linear) -> Linear:
        terms: Terms = {}
        for a, x in self.terms.items():
            for b, y in other.terms.items():
                factors = tuple(sorted((*a, *b), key=hash))
                terms[factors] = terms.get(factors, 0) + x * y
        return Linear(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Linear) and self.terms == other.terms

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @property
    def constant(self) -> int | None:
        """The value if it is the same at every run."""
        return None if any(self.terms) else self.terms.get((), 0)

    def is_non_negative(self) -> bool:
        """Whether it is surely ≥ 0 given that its opaque values are (extents and sizes are)."""
        return all(scale > 0 for scale in self.terms.values())


def are_disjoint(offset_a: Linear, length_a: Linear, offset_b: Linear, length_b: Linear) -> bool:
    """Whether [offset_a, +length_a) and [offset_b, +length_b) surely share no byte."""
    if length_a.terms == {} or length_b.terms == {}:
        return True
    after, before = offset_b - (offset_a + length_a), offset_a - (offset_b + length_b)
    return _is_extent_sum(after) or _is_extent_sum(before)


def _is_extent_sum(difference: Linear) -> bool:
    # An opaque value that is not an extent (a loaded offset, say) may be negative, so that a product is trusted only
    # where the constant part alone decides, or where nothing but extents is left.
    return difference.is_non_negative() and all(_is_extent(v) for factors in difference.terms for v in factors)


def _is_extent(value: ir.Value) -> bool:
    owner = value.owner
    if isinstance(owner, ir.Block):
        return False
    return owner.operation.name in ("hal.buffer_view_dim", "arith.maxui", "arith.minui", "arith.divui", "arith.andi")
