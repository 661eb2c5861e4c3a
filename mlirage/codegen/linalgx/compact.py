"""linalgx.compact: one walk over the mask that writes the positions of true elements one behind the other."""

from __future__ import annotations

from typing import Any

from mlirage.codegen.linalgx.loops import Values, extent, for_, if_, index, less
from mlirage.mlir import arith, ir, tensor


def lower_compact(op: Any) -> list[ir.Value]:
    """Builds the loop."""
    mask, out = op.mask, op.positions_out
    kind = ir.RankedTensorType(out.type).element_type
    room = extent(out, 0)

    def element(position: ir.Value, carried: Values) -> Values:
        count, out = carried
        wanted = tensor.extract(mask, [position])
        if ir.IntegerType(wanted.type).width > 1:
            wanted = arith.cmpi(arith.CmpIPredicate.ne, wanted, arith.constant(wanted.type, 0))
        wanted = arith.andi(wanted, less(count, room))
        number = position if isinstance(kind, ir.IndexType) else arith.index_cast(kind, position)
        (out,) = if_(wanted, [out], lambda: [tensor.insert(number, out, [count])])
        return [arith.addi(count, arith.select(wanted, index(1), index(0))), out]

    return for_(index(0), extent(mask, 0), [index(0), out], element)[1:]
