"""linalgx.sort as a bottom-up merge sort of every row: O(n log n), stable, no memory but the op's own outs.

Runs of width 1 merge from the input into the working memory, runs of 2 from there into the result; then pairs of
passes go to and fro, so that the last one always ends in the result:

    input ─1→ working ─2→ result ─4→ working ─8→ result …
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.codegen.linalgx.loops import Values, at, bit_length, extent, for_, for_step, index, less, nest, not_
from mlirage.mlir import arith, ir, tensor

Before = Callable[..., ir.Value]


def lower_sort(op: Any, before: Before) -> list[ir.Value]:
    """Builds the loops; `before(a0, b0, a1, b1, …)` compares."""
    inputs, outs = list(op.inputs), list(op.outs)
    count, dim = len(inputs), ir.IntegerAttr(op.dimension).value
    results, working = outs[:count], outs[count:]
    length = extent(inputs[0], dim)
    rows = [extent(inputs[0], i) for i in range(ir.RankedTensorType(inputs[0].type).rank) if i != dim]
    rounds = _rounds(length)

    def row(place: list[ir.Value], carried: Values) -> Values:
        results, working = list(carried[:count]), list(carried[count:])
        working = _merge_runs(inputs, working, place, dim, length, index(1), before)
        results = _merge_runs(working, results, place, dim, length, index(2), before)

        def round_(number: ir.Value, carried: Values) -> Values:
            width = arith.shli(index(4), arith.shli(number, index(1)))  # 4, 16, 64, …
            results, working = list(carried[:count]), list(carried[count:])
            working = _merge_runs(results, working, place, dim, length, width, before)
            results = _merge_runs(working, results, place, dim, length, arith.shli(width, index(1)), before)
            return [*results, *working]

        return for_(index(0), rounds, [*results, *working], round_)

    return nest(rows, [*results, *working], row)


def _rounds(length: ir.Value) -> ir.Value:
    """How many pairs of passes sort `length` elements after the first pair: of widths 4, 16, … below it."""
    one = index(1)
    bits = bit_length(arith.subi(arith.maxsi(length, one), one))
    return arith.shrui(arith.subi(arith.maxsi(bits, one), one), one)


def _merge_runs(
    source: Values, target: Values, place: Values, dim: int, length: ir.Value, width: ir.Value, before: Before
) -> list[ir.Value]:
    """Merges the sorted runs of `width` elements of a row of `source` by pairs into `target`."""
    last = arith.maxsi(arith.subi(length, index(1)), index(0))

    def pair(start: ir.Value, target: Values) -> Values:
        middle = arith.minsi(arith.addi(start, width), length)
        end = arith.minsi(arith.addi(middle, width), length)

        def element(position: ir.Value, carried: Values) -> Values:
            left, right, *written = carried
            # Both are read where they are in range or not: a clamped read is ignored below.
            a = [tensor.extract(s, at(place, dim, arith.minsi(left, last))) for s in source]
            b = [tensor.extract(s, at(place, dim, arith.minsi(right, last))) for s in source]
            right_first = before(*[v for both in zip(b, a, strict=True) for v in both])
            from_left = arith.andi(less(left, middle), arith.ori(not_(less(right, end)), not_(right_first)))
            written = [
                tensor.insert(arith.select(from_left, x, y), w, at(place, dim, position))
                for x, y, w in zip(a, b, written, strict=True)
            ]
            step_left = arith.select(from_left, index(1), index(0))
            return [arith.addi(left, step_left), arith.addi(right, arith.subi(index(1), step_left)), *written]

        return for_(start, end, [start, middle, *target], element)[2:]

    return for_step(index(0), length, arith.shli(width, index(1)), target, pair)
