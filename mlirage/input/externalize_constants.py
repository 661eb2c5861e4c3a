"""input-externalize-constants: large constants leave the IR for `Program.constants`.

    %0 = arith.constant dense<"0x…"> : tensor<64x64xf32>
    =>
    ml_program.global private @const_0(#ml_program.extern : tensor<64x64xf32>) : tensor<64x64xf32>
    %0 = ml_program.global_load_const @const_0 : tensor<64x64xf32>

Splats and constants of at most 16 elements stay: patterns match on them. Globals that are initialized with a large
constant keep their name. Equal constants share one global. Complex constants all go, for the bindings cannot hand out
their attributes: splats become fills, others globals.
"""

from __future__ import annotations

import math

import numpy as np

from mlirage.constants import extern, read_dense, replace_constant
from mlirage.mlir import complex_, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program

MAX_INLINE_ELEMENTS = 16
CONSTANT_OPS = ("arith.constant", "stablehlo.constant", "tosa.const", "torch.vtensor.literal")


@module_pass("input-externalize-constants")
def externalize_constants(program: Program) -> None:
    """Moves large dense constants of `arith.constant` and globals into `Program.constants`."""
    shared: dict[tuple[str, bytes], str] = {}
    for op in walk(program.module.operation):
        if op.name == "arith.constant" and _is_complex(op.results[0].type):
            _replace_complex(program, op, shared)
        elif op.name == "arith.constant" and _is_large_dense(op, op.results[0].type):
            replace_constant(program, op, read_dense(op, "value"), shared)
        elif op.name == "ml_program.global" and "value" in op.attributes:
            value_type = ir.TypeAttr(op.attributes["type"]).value
            if _is_large_dense(op, value_type):
                program.constants[ir.StringAttr(op.attributes["sym_name"]).value] = read_dense(op, "value")
                op.attributes["value"] = extern(value_type)


def _is_complex(value_type: ir.Type) -> bool:
    return isinstance(value_type, ir.RankedTensorType) and isinstance(value_type.element_type, ir.ComplexType)


def _replace_complex(program: Program, op: ir.Operation, shared: dict[tuple[str, bytes], str]) -> None:
    kind = ir.RankedTensorType(op.results[0].type)
    array = np.ascontiguousarray(read_dense(op, "value"))
    bits = array.reshape(-1, 1).view(np.uint8)
    if not array.size or not (bits == bits[0]).all():
        replace_constant(program, op, array, shared)
        return
    part = ir.ComplexType(kind.element_type).element_type
    first = array.reshape(-1)[0]
    with op.location, ir.InsertionPoint(op):
        numbers = ir.ArrayAttr.get([ir.FloatAttr.get(part, float(x)) for x in (first.real, first.imag)])
        empty = tensor.empty(kind.shape, kind.element_type)
        op.results[0].replace_all_uses_with(linalg.fill(complex_.constant(kind.element_type, numbers), outs=[empty]))
    op.erase()


def _is_large_dense(op: ir.Operation, value_type: ir.Type) -> bool:
    """Whether the attribute `value` is a dense attribute of more than 16 elements that are not all equal."""
    if not isinstance(value_type, ir.RankedTensorType) or not value_type.has_static_shape:
        return False
    if math.prod(value_type.shape) <= MAX_INLINE_ELEMENTS:
        return False
    if isinstance(value_type.element_type, ir.ComplexType):  # of a global
        return "dense_resource<__elided__>" in op.get_asm(large_elements_limit=MAX_INLINE_ELEMENTS)
    value = op.attributes["value"]
    return isinstance(value, ir.DenseElementsAttr) and not value.is_splat
