"""numpy dtypes and the MLIR element types that carry them.

Builders speak numpy's dtypes (with those of ml_dtypes) because they know signedness; MLIR's types here are signless.
"""

from __future__ import annotations

from typing import Any, Final

import ml_dtypes
import numpy as np

from mlirage.mlir import ir

DType = np.dtype[Any]

INDEX: Final[DType] = np.dtype("V8")
"""Stands for MLIR's `index`, for which numpy has no dtype."""

BOOL: Final[DType] = np.dtype(np.bool_)
INT8: Final[DType] = np.dtype(np.int8)
UINT8: Final[DType] = np.dtype(np.uint8)
INT32: Final[DType] = np.dtype(np.int32)
INT64: Final[DType] = np.dtype(np.int64)
FLOAT16: Final[DType] = np.dtype(np.float16)
BFLOAT16: Final[DType] = np.dtype(ml_dtypes.bfloat16)
FLOAT32: Final[DType] = np.dtype(np.float32)
FLOAT64: Final[DType] = np.dtype(np.float64)

_FLOATS: Final[dict[str, str]] = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "float8_e4m3fn": "f8E4M3FN",
    "float8_e4m3fnuz": "f8E4M3FNUZ",
    "float8_e5m2": "f8E5M2",
    "float8_e5m2fnuz": "f8E5M2FNUZ",
    "float8_e8m0fnu": "f8E8M0FNU",
    "float4_e2m1fn": "f4E2M1FN",
}
_SMALL_INTS: Final[dict[str, int]] = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}


def is_float(dtype: DType) -> bool:
    """Whether `dtype` is a real floating-point type, the small ones of ml_dtypes included."""
    return dtype.name in _FLOATS


def is_small_float(dtype: DType) -> bool:
    """Whether `dtype` is an 8-bit or 4-bit float: a storage format without arithmetic of its own."""
    return dtype.name.startswith(("float8", "float4"))


def is_complex(dtype: DType) -> bool:
    """Whether `dtype` is complex."""
    return dtype.kind == "c"


def is_integer(dtype: DType) -> bool:
    """Whether `dtype` is an integer type (bool and index are none)."""
    return dtype.kind in "iu" or dtype.name in _SMALL_INTS


def is_unsigned(dtype: DType) -> bool:
    """Whether `dtype` is an unsigned integer type or bool."""
    return dtype.kind == "u" or dtype == BOOL or dtype.name in ("uint4", "uint2")


def is_signed(dtype: DType) -> bool:
    """Whether `dtype` is a signed integer type."""
    return is_integer(dtype) and not is_unsigned(dtype)


def bit_width(dtype: DType) -> int:
    """Bits of one element as a number (1 for bool, 4 for int4)."""
    if dtype == BOOL:
        return 1
    if dtype.name == "float4_e2m1fn":
        return 4
    return _SMALL_INTS.get(dtype.name, dtype.itemsize * 8)


def integer_range(dtype: DType) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    bits = bit_width(dtype)
    return (0, 2**bits - 1) if is_unsigned(dtype) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def compute_dtype(dtype: DType) -> DType:
    """The type in which scalar code calculates: float32 for the 16-bit and smaller floats, otherwise the type itself.

    Products, sums, quotients and square roots of two f16 or bf16 numbers rounded first to f32 and then to the narrow
    type equal the correctly rounded result, so nothing is lost by it.
    """
    return FLOAT32 if is_float(dtype) and dtype.itemsize < 4 else dtype


def element_type(dtype: DType) -> ir.Type:
    """The MLIR element type of `dtype`.

    Raises:
      TypeError: the dtype has none (strings, objects).
    """
    if dtype == INDEX:
        return ir.IndexType.get()
    if is_float(dtype):
        return ir.Type.parse(_FLOATS[dtype.name])
    if dtype == BOOL or is_integer(dtype):
        return ir.IntegerType.get_signless(bit_width(dtype))
    if is_complex(dtype):
        return ir.ComplexType.get(ir.F64Type.get() if dtype.itemsize == 16 else ir.F32Type.get())
    raise TypeError(f"no MLIR element type for dtype {dtype}")


def real_dtype(dtype: DType) -> DType:
    """The dtype of the parts of a complex type."""
    return FLOAT64 if dtype.itemsize == 16 else FLOAT32


def scalar_attribute(value: Any, dtype: DType) -> ir.Attribute:
    """`value` as a typed attribute, wrapped to the type's range if it is an integer."""
    kind = element_type(dtype)
    if is_float(dtype):
        return ir.FloatAttr.get(kind, float(value))
    if is_complex(dtype):
        number = complex(value)
        element = ir.ComplexType(kind).element_type
        return ir.ArrayAttr.get([ir.FloatAttr.get(element, number.real), ir.FloatAttr.get(element, number.imag)])
    if dtype == BOOL:
        return ir.IntegerAttr.get(kind, bool(value))
    bits = 64 if dtype == INDEX else bit_width(dtype)
    number = int(value) & (2**bits - 1)
    return ir.IntegerAttr.get(kind, number - 2**bits if number >> (bits - 1) else number)
