"""preprocessing-widen-reductions: sums and products of narrow floats are made in f32 and round once.

    %0 = linalg.generic {reduction} ins(%x : …bf16) outs(%init : tensor<4xbf16>) { arith.addf %x, %total : bf16 }
    =>
    %1 = linalg.generic {reduction} ins(%x) outs(%wide : tensor<4xf32>) { arith.addf %total, (arith.extf %x) : f32 }
    %0 = linalg.generic {arith.truncf} ins(%1) outs(tensor<4xbf16>)

Otherwise a sum of bf16 ones ends at 256. Running totals (`linalgx.scan`) go the same way, rounded at every place. Sums
of products have been widened before (widen_contractions).
"""

from __future__ import annotations

from collections.abc import Sequence

from mlirage import structured_ops
from mlirage.input import linalgx
from mlirage.input.widen_contractions import converted
from mlirage.mlir import arith, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import extents

_TOTALS = {"arith.addf": arith.AddFOp, "arith.mulf": arith.MulFOp}
_Totals = dict[int, tuple[ir.Operation, ir.Value]]


@module_pass("preprocessing-widen-reductions")
def widen_reductions(program: Program) -> None:
    """Widens whole and running sums and products of floats narrower than f32, and narrows the results again behind."""
    for op in list(walk(program.module.operation)):
        if op.name == "linalgx.scan":
            block = op.regions[0].blocks[0]
            if totals := _totals(block, [block.arguments[0]]):
                _widen_scan(op, block, totals)
        elif structured_ops.is_structured(op) and op.results and not all(structured_ops.parallel_loops(op)):
            block = structured_ops.body(op)
            if totals := _totals(block, list(block.arguments)[-len(op.results) :]):
                _widen_reduction(op, block, totals)


def _totals(block: ir.Block, arguments: Sequence[ir.Value]) -> _Totals:
    """By number of result the op that adds a term to, or multiplies, one of the narrow `arguments`, and the term."""
    yielded = list(block.operations)[-1].operation.operands
    found: _Totals = {}
    for number, argument in enumerate(arguments):
        value = yielded[number]
        if (
            not isinstance(argument.type, ir.FloatType)
            or argument.type.width >= 32
            or isinstance(value.owner, ir.Block)
        ):
            continue
        alone = len(list(argument.uses)) == 1 and len(list(value.uses)) == 1
        owner = value.owner.operation
        terms = [operand for operand in owner.operands if operand != argument]
        if owner.name in _TOTALS and alone and len(terms) == 1:
            found[number] = owner, terms[0]
    return found


def _widen_scan(op: ir.Operation, source: ir.Block, totals: _Totals) -> None:
    x, _, initial = op.operands
    reverse, exclusive = (ir.BoolAttr(op.attributes[name]).value for name in ("reverse", "exclusive"))
    with ir.InsertionPoint(op), op.location:
        wide = linalgx.scan(
            x,
            converted(initial, tensor.EmptyOp(extents(initial), ir.F32Type.get()).result, arith.ExtFOp),
            ir.IntegerAttr(op.attributes["dimension"]).value,
            lambda *arguments: _wide_body(source, arguments, totals)[0],
            exclusive=exclusive,
            reverse=reverse,
        )
        for old, new in zip(op.results, wide, strict=True):
            old.replace_all_uses_with(_narrowed(new, old.type))
    op.erase()


def _widen_reduction(op: ir.Operation, source: ir.Block, totals: _Totals) -> None:
    with ir.InsertionPoint(op), op.location:
        outs = [
            converted(out, tensor.EmptyOp(extents(out), ir.F32Type.get()).result, arith.ExtFOp)
            if number in totals
            else out
            for number, out in enumerate(structured_ops.outputs(op))
        ]
        wide = structured_ops.build_generic(
            structured_ops.inputs(op),
            outs,
            structured_ops.indexing_maps(op),
            structured_ops.parallel_loops(op),
            lambda block: _wide_body(source, list(block.arguments), totals),
            op.location,
        )
        for number, (old, new) in enumerate(zip(op.results, wide.results, strict=True)):
            old.replace_all_uses_with(_narrowed(new, old.type) if number in totals else new)
    op.erase()


def _narrowed(wide: ir.Value, kind: ir.Type) -> ir.Value:
    out = tensor.EmptyOp(extents(wide), structured_ops.element_type(kind)).result
    return converted(wide, out, arith.TruncFOp)


def _wide_body(source: ir.Block, arguments: Sequence[ir.Value], totals: _Totals) -> list[ir.Value]:
    """The body with the f32 totals among `arguments`; what is added to them is extended."""
    mapping: dict[ir.Value, ir.Value] = dict(zip(source.arguments, arguments, strict=True))
    terms = {total.results[0]: term for total, term in totals.values()}
    ops = [inner.operation for inner in source.operations]
    for inner in ops[:-1]:
        term = terms.get(inner.results[0]) if len(inner.results) == 1 else None
        if term is not None:
            (total,) = [operand for operand in inner.operands if operand != term]
            wide = arith.extf(ir.F32Type.get(), mapping.get(term, term))
            mapping[inner.results[0]] = _TOTALS[inner.name](mapping[total], wide).result
            continue
        clone = inner.clone(ip=ir.InsertionPoint.current)
        for part in (clone, *walk(clone)):
            for number, operand in enumerate(part.operands):
                if operand in mapping:
                    part.operands[number] = mapping[operand]
        mapping.update(zip(inner.results, clone.results, strict=True))
    return [mapping[value] if value in mapping else value for value in ops[-1].operands]
