"""MLIR element types and the numpy (or ml_dtypes) types that hold their values."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.mlir import ir
from mlirage.program import numpy_dtype

_NAMES = {
    "i1": "bool", "index": "int64", "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "complex<f32>": "complex64", "complex<f64>": "complex128",
    "f8E4M3": "float8_e4m3", "f8E3M4": "float8_e3m4", "f8E4M3FN": "float8_e4m3fn", "f8E5M2": "float8_e5m2",
    "f8E4M3FNUZ": "float8_e4m3fnuz", "f8E5M2FNUZ": "float8_e5m2fnuz", "f8E4M3B11FNUZ": "float8_e4m3b11fnuz",
    "f8E8M0FNU": "float8_e8m0fnu", "f6E2M3FN": "float6_e2m3fn", "f6E3M2FN": "float6_e3m2fn",
    "f4E2M1FN": "float4_e2m1fn",
    **{f"{mlir}{bits}": f"{numpy}{bits}"
       for mlir, numpy in (("i", "int"), ("si", "int"), ("ui", "uint")) for bits in (2, 4, 8, 16, 32, 64)},
}  # fmt: skip

_ELEMENTS = {name: mlir for mlir, name in reversed(_NAMES.items()) if mlir != "index"}


def dtype_name(element_type: ir.Type) -> str:
    """The name of the numpy or ml_dtypes type that holds an MLIR element type: `ui8` is `uint8`, `bf16` `bfloat16`.

    Raises:
      KeyError: numpy has none.
    """
    return _NAMES[str(element_type)]


def dtype_of(element_type: ir.Type) -> np.dtype[Any]:
    """The numpy type that holds an MLIR element type.

    Raises:
      KeyError: numpy has none.
    """
    return numpy_dtype(dtype_name(element_type))


def element_type(name: str) -> ir.Type:
    """The MLIR element type of a numpy or ml_dtypes type: `uint8` is `ui8`, `int8` `i8`.

    Raises:
      KeyError: there is none.
    """
    return ir.Type.parse(_ELEMENTS[name])


def signless(value_type: ir.Type) -> ir.Type:
    """`value_type` without signedness: `tensor<2xui8>` becomes `tensor<2xi8>`, `ui8` `i8`."""
    if isinstance(value_type, ir.RankedTensorType):
        return ir.RankedTensorType.get(value_type.shape, signless(value_type.element_type), value_type.encoding)
    if isinstance(value_type, ir.IntegerType) and not value_type.is_signless:
        return ir.IntegerType.get_signless(value_type.width)
    return value_type
