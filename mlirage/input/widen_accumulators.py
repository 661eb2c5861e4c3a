"""input-widen-accumulators: StableHLO's dot products and convolutions of narrow floats add in f32 and round once.

    %0 = stablehlo.dot_general %a, %b : (…xbf16, …xbf16) -> tensor<4x3xbf16>
    =>
    %1 = stablehlo.dot_general %a, %b : (…xbf16, …xbf16) -> tensor<4x3xf32>
    %0 = stablehlo.convert %1 : (tensor<4x3xf32>) -> tensor<4x3xbf16>

Otherwise every addition would round: a sum of a thousand bf16 products would have two right digits at best.
"""

from __future__ import annotations

from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_SUMS = ("stablehlo.dot", "stablehlo.dot_general", "stablehlo.convolution", "stablehlo.dynamic_conv")


@module_pass("input-widen-accumulators")
def widen_accumulators(program: Program) -> None:
    """Widens the results of contractions narrower than f32, and narrows them again behind."""
    for op in [op for op in walk(program.module.operation) if op.name in _SUMS]:
        narrow = ir.RankedTensorType(op.results[0].type)
        if not isinstance(narrow.element_type, ir.FloatType) or narrow.element_type.width >= 32:
            continue
        with op.location, ir.InsertionPoint.after(op):
            op.results[0].set_type(ir.RankedTensorType.get(narrow.shape, ir.F32Type.get(), narrow.encoding))
            convert = ir.Operation.create("stablehlo.convert", results=[narrow], operands=[op.results[0]])
            op.results[0].replace_all_uses_except(convert.results[0], convert)
