"""linalgx.attention, row by row: the scores of one row in memory, then its softmax, then the sum of the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.codegen.linalgx.loops import Values, extent, for_, index, nest
from mlirage.mlir import arith, ir, math, tensor

_P = arith.CmpFPredicate


def lower_attention(op: Any, score: Callable[..., ir.Value]) -> list[ir.Value]:
    """Builds the loops; `score(score, extras…, loop numbers…)` changes a score."""
    operands, maps, loops = [*op.inputs, op.out], op.maps, op.loops
    kind = op.operation.regions[0].blocks[0].arguments[0].type
    extents = _extents(operands, maps)
    masked_rows = ir.StringAttr(op.masked_rows).value
    zero, lowest = arith.constant(kind, 0.0), arith.constant(kind, float("-inf"))
    keys = extents[loops.keys]
    row_of_scores = tensor.empty([keys], kind)

    def read(number: int, at: dict[int, ir.Value]) -> ir.Value:
        return tensor.extract(operands[number], _place(maps[number], at))

    def row(place: list[ir.Value], carried: Values) -> Values:
        out, scores = carried
        at = dict(zip((*loops.batch, *loops.rows), place, strict=True))

        def score_of(k: ir.Value, carried: Values) -> Values:
            scores, top = carried
            here = at | {loops.keys: k}

            def product(d: ir.Value, total: Values) -> Values:
                there = here | {loops.depth: d}
                return [arith.addf(total[0], arith.mulf(_as(kind, read(0, there)), _as(kind, read(1, there))))]

            (total,) = for_(index(0), extents[loops.depth], [zero], product)
            extras = [read(number, here) for number in range(3, len(operands) - 1)]
            new = score(total, *extras, *[here.get(loop, index(0)) for loop in range(maps[0].n_dims)])
            return [tensor.insert(new, scores, [k]), arith.maximumf(top, new)]

        scores, top = for_(index(0), keys, [scores, lowest], score_of)
        held = arith.select(arith.cmpf(_P.OEQ, top, lowest), zero, top)

        def power(k: ir.Value, carried: Values) -> Values:
            scores, total = carried
            new = math.exp(arith.subf(tensor.extract(scores, [k]), held))
            return [tensor.insert(new, scores, [k]), arith.addf(total, new)]

        scores, total = for_(index(0), keys, [scores, zero], power)
        inverse = arith.divf(arith.constant(kind, 1.0), total)
        if masked_rows != "nan":
            inverse = arith.select(arith.cmpf(_P.OEQ, total, zero), zero, inverse)
        inverse = arith.select(arith.cmpi(arith.CmpIPredicate.eq, keys, index(0)), zero, inverse)

        def column(c: ir.Value, carried: Values) -> Values:
            (out,) = carried
            here = at | {loops.columns: c}

            def product(k: ir.Value, total: Values) -> Values:
                weight = tensor.extract(scores, [k])
                return [arith.addf(total[0], arith.mulf(weight, _as(kind, read(2, here | {loops.keys: k}))))]

            (weighted,) = for_(index(0), keys, [zero], product)
            result = arith.mulf(weighted, inverse)
            if masked_rows == "zero_nan":
                result = arith.select(arith.cmpf(_P.UNO, total, total), zero, result)
            element = ir.RankedTensorType(out.type).element_type
            return [tensor.insert(_as(element, result), out, _place(maps[-1], here))]

        (out,) = for_(index(0), extents[loops.columns], [out], column)
        return [out, scores]

    outer = [extents[loop] for loop in (*loops.batch, *loops.rows)]
    return nest(outer, [op.out, row_of_scores], row)[:1]


def _as(kind: ir.Type, value: ir.Value) -> ir.Value:
    if value.type == kind:
        return value
    return (arith.extf if value.type.width < kind.width else arith.truncf)(kind, value)  # pyright: ignore


def _extents(operands: Values, maps: list[ir.AffineMap]) -> list[ir.Value]:
    extents: dict[int, ir.Value] = {}
    for operand, indexing_map in zip(operands, maps, strict=True):
        for dim, expr in enumerate(indexing_map.results):
            if isinstance(expr, ir.AffineDimExpr) and expr.position not in extents:
                extents[expr.position] = extent(operand, dim)
    return [extents[loop] for loop in range(maps[0].n_dims)]


def _place(indexing_map: ir.AffineMap, at: dict[int, ir.Value]) -> list[ir.Value]:
    return [_evaluate(expr, at) for expr in indexing_map.results]


def _evaluate(expr: ir.AffineExpr, at: dict[int, ir.Value]) -> ir.Value:
    if isinstance(expr, ir.AffineDimExpr):
        return at[expr.position]
    if isinstance(expr, ir.AffineConstantExpr):
        return index(expr.value)
    assert isinstance(expr, ir.AffineBinaryExpr)
    a, b = _evaluate(expr.lhs, at), _evaluate(expr.rhs, at)
    match expr:
        case ir.AffineAddExpr():
            return arith.addi(a, b)
        case ir.AffineMulExpr():
            return arith.muli(a, b)
        case ir.AffineFloorDivExpr():
            return arith.divui(a, b)
        case ir.AffineModExpr():
            return arith.remui(a, b)
        case _:
            raise ValueError(f"{expr} in the indexing map of an attention")
