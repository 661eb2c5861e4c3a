"""Real and complex scalars with Python's operators, for algorithms that are written once for both."""

from __future__ import annotations

from dataclasses import dataclass

from mlirage.mlir import arith, complex_, ir, math

_EPSILON_BITS = {"f16": 10, "bf16": 7, "f32": 23, "f64": 52}
_TINY_EXPONENT = {"f16": -14, "bf16": -126, "f32": -126, "f64": -1022}


@dataclass(frozen=True)
class Number:
    """A float or complex value; operators make arith and complex ops at the insertion point."""

    value: ir.Value

    @property
    def type(self) -> ir.Type:
        return self.value.type

    @property
    def is_complex(self) -> bool:
        return isinstance(self.type, ir.ComplexType)

    @property
    def real_type(self) -> ir.Type:
        """The type of the parts."""
        return ir.ComplexType(self.type).element_type if self.is_complex else self.type

    def like(self, number: float) -> Number:
        """A constant of this number's type."""
        return constant(self.type, number)

    def __add__(self, other: Number) -> Number:
        return Number((complex_.add if self.is_complex else arith.addf)(self.value, other.value))

    def __sub__(self, other: Number) -> Number:
        return Number((complex_.sub if self.is_complex else arith.subf)(self.value, other.value))

    def __mul__(self, other: Number) -> Number:
        """The product; one factor may be real where the other is complex."""
        if self.is_complex != other.is_complex:
            scale, z = (other, self) if self.is_complex else (self, other)
            return make(z.real * scale, z.imag * scale)
        return Number((complex_.mul if self.is_complex else arith.mulf)(self.value, other.value))

    def __truediv__(self, other: Number) -> Number:
        """The quotient; a complex number may be divided by a real one."""
        if self.is_complex and not other.is_complex:
            return make(self.real / other, self.imag / other)
        return Number((complex_.div if self.is_complex else arith.divf)(self.value, other.value))

    def __neg__(self) -> Number:
        return make(-self.real, -self.imag) if self.is_complex else Number(arith.negf(self.value))

    @property
    def real(self) -> Number:
        return Number(complex_.re(self.value)) if self.is_complex else self

    @property
    def imag(self) -> Number:
        """The imaginary part of a complex number."""
        return Number(complex_.im(self.value))

    def conj(self) -> Number:
        """The conjugate; a real number is its own."""
        return make(self.real, -self.imag) if self.is_complex else self

    def squared(self) -> Number:
        """|x|², real."""
        return self.real * self.real + self.imag * self.imag if self.is_complex else self * self

    def size(self) -> Number:
        """|re| + |im|, by which LAPACK chooses pivots."""
        if not self.is_complex:
            return self.abs()
        return self.real.abs() + self.imag.abs()

    def abs(self) -> Number:
        """|x|, real, without overflow on the way."""
        if not self.is_complex:
            return Number(math.absf(self.value))
        a, b = self.real.abs(), self.imag.abs()
        high, low = Number(arith.maximumf(a.value, b.value)), Number(arith.minimumf(a.value, b.value))
        ratio = low / high
        return select(high.equals(0.0), high, high * (ratio * ratio + ratio.like(1.0)).sqrt())

    def sqrt(self) -> Number:
        """The root of a real number."""
        return Number(math.sqrt(self.value))

    def copysign(self, sign: Number) -> Number:
        """A real number's size with another's sign."""
        return Number(math.copysign(self.value, sign.value))

    def equals(self, number: float) -> ir.Value:
        """Whether a real number is this constant."""
        return arith.cmpf(arith.CmpFPredicate.OEQ, self.value, self.like(number).value)

    def is_zero(self) -> ir.Value:
        """Whether it is zero."""
        return arith.andi(self.real.equals(0.0), self.imag.equals(0.0)) if self.is_complex else self.equals(0.0)

    def __gt__(self, other: Number) -> ir.Value:
        return arith.cmpf(arith.CmpFPredicate.OGT, self.value, other.value)

    def __lt__(self, other: Number) -> ir.Value:
        return arith.cmpf(arith.CmpFPredicate.OLT, self.value, other.value)


def constant(kind: ir.Type, number: float) -> Number:
    """A constant of a float or complex type."""
    if isinstance(kind, ir.ComplexType):
        part = kind.element_type
        return make(constant(part, number), constant(part, 0.0))
    return Number(arith.constant(kind, float(number)))


def make(real: Number, imag: Number) -> Number:
    """The complex number with these parts."""
    return Number(complex_.create_(ir.ComplexType.get(real.type), real.value, imag.value))


def as_type(kind: ir.Type, x: Number) -> Number:
    """A real number as a complex one where `kind` is complex."""
    return make(x, x.like(0.0)) if isinstance(kind, ir.ComplexType) and not x.is_complex else x


def select(condition: ir.Value, then: Number, otherwise: Number) -> Number:
    """`then if condition else otherwise`."""
    return Number(arith.select(condition, then.value, otherwise.value))


def epsilon(kind: ir.Type) -> float:
    """The distance from 1 to the next number of a float type."""
    return 2.0 ** -_EPSILON_BITS[str(kind)]


def tiny(kind: ir.Type) -> float:
    """The smallest normal number of a float type."""
    return 2.0 ** _TINY_EXPONENT[str(kind)]
