"""Takes splat constants that kernels read as memory out of the IR.

    %w = arith.constant dense<2.0e-02> : tensor<512x512x3x3xf32>   ->   ml_program.global_load_const @splat
    linalg.conv_2d_nchw_fchw ins(%x, %w)                                (one element in Program.constants)

Elementwise ops compute with the scalar and never see the tensor; a contraction or a sort reads elements from memory,
and a constant inside its kernel would be as large as the tensor.
"""

from __future__ import annotations

import numpy as np

from mlirage import structured_ops
from mlirage.global_optimization.constant_arrays import add_constant
from mlirage.mlir import ir, ml_program
from mlirage.passes import module_pass
from mlirage.program import Program, numpy_dtype

_DTYPES = {
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64", "i1": "bool",
    "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
}  # fmt: skip
_MIN_ELEMENTS = 17


@module_pass("global-optimization-externalize-splats")
def externalize_splats(program: Program) -> None:
    """Makes large splat constants read by anything but elementwise ops globals."""
    names: dict[tuple[ir.Type, ir.Attribute], str] = {}
    for op in structured_ops.tensor_ops(program.module.operation):
        if op.name != "arith.constant" or not isinstance(op.results[0].type, ir.RankedTensorType):
            continue
        kind, value = op.results[0].type, op.attributes["value"]
        dtype = _DTYPES.get(str(kind.element_type))
        elements = int(np.prod(kind.shape, dtype=np.int64))
        if dtype is None or elements < _MIN_ELEMENTS or not ir.DenseElementsAttr(value).is_splat:
            continue
        if (kind, value) not in names:
            scalar = ir.DenseElementsAttr(value).get_splat_value()
            array = np.broadcast_to(np.array(_number(scalar)).astype(numpy_dtype(dtype)), tuple(kind.shape))
            names[(kind, value)] = add_constant(program, "splat", array, op.results[0])
        with ir.InsertionPoint(op), op.location:
            loaded = ml_program.global_load_const(kind, ir.FlatSymbolRefAttr.get(names[(kind, value)]))
        op.results[0].replace_all_uses_with(loaded)
        op.erase()


def _number(scalar: ir.Attribute) -> int | float:
    match scalar:
        case ir.BoolAttr() | ir.IntegerAttr():
            return int(scalar.value)
        case _:
            return ir.FloatAttr(scalar).value
