"""Element types in memory: bytes they take, their numbers in the module file, and scalars as bit patterns."""

from __future__ import annotations

from mlirage.errors import CompileError
from mlirage.mlir import arith, complex_, ir
from mlirage.stream.index_math import add, index_constant, multiply

# kind << 24 | bits, as runtime/include/mlirage/hal.h says.
_BOOL, _INT, _FLOAT, _BFLOAT, _COMPLEX = 0x01, 0x02, 0x05, 0x06, 0x0C
_FLOAT8 = {
    "f8E4M3FN": 0x07, "f8E5M2": 0x08, "f8E4M3FNUZ": 0x09, "f8E5M2FNUZ": 0x0A, "f8E8M0FNU": 0x0B, "f8E4M3": 0x0D,
    "f8E3M4": 0x0E, "f8E4M3B11FNUZ": 0x0F,
}  # fmt: skip
_INDEX_BITS = 64


def element_bits(element: ir.Type) -> int:
    """Bits that an element takes in memory: i1 is a byte, index an i64, other integers below 8 bits are packed."""
    if isinstance(element, ir.IndexType):
        return _INDEX_BITS
    if isinstance(element, ir.IntegerType):
        return 8 if element.width == 1 else element.width
    if isinstance(element, ir.ComplexType):
        return 2 * element_bits(element.element_type)
    if isinstance(element, ir.FloatType):
        return element.width
    raise CompileError(f"tensors of {element} have no form in memory")


def element_type_number(element: ir.Type) -> int:
    """The number of an element type in buffer views."""
    bits = element_bits(element)
    if isinstance(element, ir.IndexType):
        return _INT << 24 | bits
    if isinstance(element, ir.IntegerType):
        return (_BOOL if element.width == 1 else _INT) << 24 | bits
    if isinstance(element, ir.ComplexType):
        return _COMPLEX << 24 | bits
    if isinstance(element, ir.BF16Type):
        return _BFLOAT << 24 | bits
    if isinstance(element, ir.F16Type | ir.F32Type | ir.F64Type):
        return _FLOAT << 24 | bits
    if str(element) in _FLOAT8:
        return _FLOAT8[str(element)] << 24 | bits
    raise CompileError(f"tensors of {element} cannot be arguments or results of a public function")


def bytes_of_elements(element: ir.Type, count: ir.Value) -> ir.Value:
    """Bytes of `count` consecutive elements."""
    bits = element_bits(element)
    if bits % 8 == 0:
        return multiply(count, index_constant(bits // 8))
    padded = add(multiply(count, index_constant(bits)), index_constant(7))
    return arith.DivUIOp(padded, index_constant(8)).result


def byte_size(element: ir.Type, dims: list[ir.Value]) -> ir.Value:
    """Bytes of a dense tensor."""
    return bytes_of_elements(element, element_count(dims))


def element_count(dims: list[ir.Value]) -> ir.Value:
    """The product of `dims`."""
    count = index_constant(1)
    for dim in dims:
        count = multiply(count, dim)
    return count


def bit_pattern(value: ir.Value) -> ir.Value:
    """A scalar as the integer (i8, i16, i32, i64) of its bytes in memory.

    Raises:
      CompileError: it takes more than 8 bytes.
    """
    element = value.type
    if isinstance(element, ir.ComplexType):
        half = element_bits(element.element_type)
        repeated = _equal_part(value)
        if repeated is not None:  # zero, most of all: the pattern of one part says both
            return bit_pattern(arith.ConstantOp(element.element_type, repeated.value).result)
        if half > 32:
            raise CompileError(f"{value.owner}: cannot fill memory with a run-time value of type {element}")
        wide = ir.IntegerType.get_signless(2 * half)
        low = arith.ExtUIOp(wide, bit_pattern(complex_.ReOp(value).result)).result
        high = arith.ExtUIOp(wide, bit_pattern(complex_.ImOp(value).result)).result
        return arith.OrIOp(low, arith.ShLIOp(high, arith.ConstantOp(wide, half).result).result).result
    if isinstance(element, ir.IndexType):
        return arith.IndexCastOp(ir.IntegerType.get_signless(_INDEX_BITS), value).result
    if isinstance(element, ir.FloatType):
        return arith.BitcastOp(ir.IntegerType.get_signless(element.width), value).result
    assert isinstance(element, ir.IntegerType)
    if element.width == 1:
        return arith.ExtUIOp(ir.IntegerType.get_signless(8), value).result
    if element.width < 8:
        return _repeat_in_byte(value, element.width)
    return value


def _equal_part(value: ir.Value) -> ir.FloatAttr | None:
    """The real part of a complex constant whose imaginary part is the same."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "complex.constant":
        return None
    real, imaginary = ir.ArrayAttr(owner.attributes["value"])
    return ir.FloatAttr(real) if real == imaginary else None


def _repeat_in_byte(value: ir.Value, width: int) -> ir.Value:
    byte = ir.IntegerType.get_signless(8)
    if 8 % width:
        raise CompileError(f"elements of {width} bits cannot be packed into bytes")
    result = low = arith.ExtUIOp(byte, value).result
    for shift in range(width, 8, width):
        result = arith.OrIOp(result, arith.ShLIOp(low, arith.ConstantOp(byte, shift).result).result).result
    return result
