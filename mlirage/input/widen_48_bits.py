"""input-widen-48-bits: TOSA's accumulators of 48 bits become integers of 64.

    %r = linalg.conv_2d_nhwc_hwcf … -> tensor<1x6x5x4xi48>     =>     … -> tensor<1x6x5x4xi64>

The specification leaves overflow of 48 bits open, so more of them are as good; processors have no such numbers.
Extensions and truncations between the two types vanish.
"""

from __future__ import annotations

import re

import numpy as np

from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_BYTES = 6


@module_pass("input-widen-48-bits")
def widen_48_bits(program: Program) -> None:
    """Rewrites the types of values and constants inside of functions; a signature with i48 is not for callers."""
    for op in list(walk(program.module.operation)):
        if op.name == "func.func":
            continue
        values = [*op.results, *(a for region in op.regions for block in region.blocks for a in block.arguments)]
        if not any("i48" in str(value.type) for value in values):
            continue
        if op.name == "arith.constant":
            op.attributes["value"] = _wide_constant(op.attributes["value"])
        for value in values:
            value.set_type(_wide(value.type))
    for op in list(walk(program.module.operation)):
        if op.name in ("arith.extsi", "arith.trunci") and op.operands[0].type == op.results[0].type:
            op.results[0].replace_all_uses_with(op.operands[0])
            op.erase()


def _wide(kind: ir.Type) -> ir.Type:
    return ir.Type.parse(re.sub(r"\bi48\b|(?<=x)i48\b", "i64", str(kind)))


def _wide_constant(attribute: ir.Attribute) -> ir.Attribute:
    text = str(attribute)
    data = re.match(r'dense<"0x([0-9A-Fa-f]+)">', text)
    if data is None:
        return ir.Attribute.parse(re.sub(r"\bi48\b|(?<=x)i48\b", "i64", text))
    narrow = np.frombuffer(bytes.fromhex(data[1]), np.uint8).reshape(-1, _BYTES)
    wide = np.zeros((len(narrow), 8), np.uint8)
    wide[:, :_BYTES] = narrow
    wide[:, _BYTES:] = np.where(narrow[:, -1:] >= 128, 255, 0)
    kind = _wide(ir.ShapedType(attribute.type))
    return ir.Attribute.parse(f'dense<"0x{wide.tobytes().hex().upper()}"> : {kind}')
