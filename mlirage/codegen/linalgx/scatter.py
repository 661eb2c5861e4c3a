"""linalgx.scatter: window after window, element after element, each only if it falls inside the outs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlirage.codegen.linalgx.loops import Values, extent, for_, if_, index, less, nest, not_
from mlirage.mlir import arith, ir, tensor


def lower_scatter(op: Any, combine: Callable[..., Sequence[ir.Value]]) -> list[ir.Value]:
    """Builds the loops; `combine(current…, update…)` makes the new elements."""
    indices, updates, outs = op.indices, list(op.updates), list(op.outs)
    dims = [ir.IntegerAttr(dim).value for dim in op.dimension_map]
    rank = ir.RankedTensorType(outs[0].type).rank
    extents = [extent(outs[0], i) for i in range(rank)]

    def window(number: ir.Value, outs: Values) -> Values:
        start: dict[int, ir.Value] = {}
        for column, dim in enumerate(dims):
            start[dim] = _to_index(tensor.extract(indices, [number, index(column)]))

        def element(offset: list[ir.Value], outs: Values) -> Values:
            place = [arith.addi(start[i], o) if i in start else o for i, o in enumerate(offset)]
            inside: ir.Value | None = None
            for position, limit in zip(place, extents, strict=True):
                fits = arith.andi(not_(less(position, index(0))), less(position, limit))
                inside = fits if inside is None else arith.andi(inside, fits)
            assert inside is not None

            def write() -> Values:
                current = [tensor.extract(out, place) for out in outs]
                new = combine(*current, *[tensor.extract(u, [number, *offset]) for u in updates])
                return [tensor.insert(n, out, place) for n, out in zip(new, outs, strict=True)]

            return if_(inside, outs, write)

        return nest([extent(updates[0], i + 1) for i in range(rank)], outs, element)

    return for_(index(0), extent(indices, 0), outs, window)


def _to_index(value: ir.Value) -> ir.Value:
    return value if isinstance(value.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), value)
