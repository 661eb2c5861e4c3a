"""linalgx.scan: running totals, one element after the other along the dimension.

The dims before it are outer loops. The dims behind it are inner loops, so that memory is walked as it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.codegen.linalgx.loops import Values, extent, for_, index, nest
from mlirage.mlir import arith, ir, tensor


def lower_scan(op: Any, combine: Callable[..., ir.Value]) -> list[ir.Value]:
    """Builds the loops; `combine(total, x)` makes the next total."""
    source, outs = op.input, list(op.outs)
    dim = ir.IntegerAttr(op.dimension).value
    exclusive, reverse = (bool(ir.IntegerAttr(a).value) for a in (op.exclusive, op.reverse))
    rank = ir.RankedTensorType(source.type).rank
    length = extent(source, dim)
    outer = [extent(source, i) for i in range(dim)]
    inner = [extent(source, i) for i in range(dim + 1, rank)]

    def row(before: list[ir.Value], outs: Values) -> Values:
        def step(number: ir.Value, outs: Values) -> Values:
            position = arith.subi(arith.subi(length, index(1)), number) if reverse else number

            def element(behind: list[ir.Value], outs: Values) -> Values:
                totals, last = outs
                total = tensor.extract(last, [*before, *behind])
                new = combine(total, tensor.extract(source, [*before, position, *behind]))
                totals = tensor.insert(total if exclusive else new, totals, [*before, position, *behind])
                return [totals, tensor.insert(new, last, [*before, *behind])]

            return nest(inner, outs, element)

        return for_(index(0), length, outs, step)

    return nest(outer, outs, row)
