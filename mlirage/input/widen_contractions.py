"""preprocessing-widen-contractions: matmuls and convolutions of narrow floats add in f32 and round once.

    %0 = linalg.matmul ins(%a, %b : …bf16, …bf16) outs(%c : tensor<4x3xbf16>)
    =>
    %1 = linalg.generic {matmul} ins(%a, %b) outs(%wide_c : tensor<4x3xf32>)     extends, multiplies, adds in f32
    %0 = linalg.generic {arith.truncf} ins(%1) outs(tensor<4x3xbf16>)

Otherwise every addition would round: a sum of a thousand bf16 products would have two right digits at best. Importers
that know this write f32 sums themselves; their ops stay as they are. Named ops on complex numbers become generic ones:
upstream's patterns for named contractions look for real multiplications in their bodies.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import extents


@module_pass("preprocessing-widen-contractions")
def widen_contractions(program: Program) -> None:
    """Widens sums of products in floats narrower than f32, and narrows the results again behind."""
    for op in [op for op in walk(program.module.operation) if structured_ops.is_structured(op)]:
        if not op.results or all(structured_ops.parallel_loops(op)):
            continue
        if op.name != "linalg.generic" and _is_complex(op.results[0].type):
            structured_ops.generalize(op)
            continue
        if not _is_narrow(op.results[0].type):
            continue
        if structured_ops.multiply_add(op) is not None:
            _widen(op)


def _is_complex(kind: ir.Type) -> bool:
    return isinstance(structured_ops.element_type(kind), ir.ComplexType)


def _is_narrow(kind: ir.Type) -> bool:
    element = structured_ops.element_type(kind)
    return isinstance(element, ir.FloatType) and element.width < 32


def _widen(op: ir.Operation) -> None:
    (init,) = structured_ops.outputs(op)
    narrow = ir.RankedTensorType(op.results[0].type)
    f32 = ir.F32Type.get()
    with ir.InsertionPoint(op), op.location:
        shape = extents(init)
        empty = tensor.EmptyOp(shape, f32).result
        total = structured_ops.build_generic(
            structured_ops.inputs(op),
            [converted(init, empty, arith.ExtFOp)],
            structured_ops.indexing_maps(op),
            structured_ops.parallel_loops(op),
            lambda block: [_multiply_add(op, block)],
            op.location,
        ).results[0]
        result = converted(total, tensor.EmptyOp(shape, narrow.element_type).result, arith.TruncFOp)
    op.results[0].replace_all_uses_with(result)
    op.erase()


def converted(source: ir.Value, out: ir.Value, conversion: type[arith.ExtFOp | arith.TruncFOp]) -> ir.Value:
    """Every element converted; a filled tensor is filled anew."""
    element = structured_ops.element_type(out.type)
    owner = None if isinstance(source.owner, ir.Block) else source.owner.operation
    if owner is not None and owner.name == "linalg.fill":
        return linalg.fill(conversion(element, owner.operands[0]).result, outs=[out])
    rank = ir.RankedTensorType(out.type).rank
    identity = structured_ops.identity_map(rank)
    return structured_ops.build_generic(
        [source],
        [out],
        [identity, identity],
        [True] * rank,
        lambda block: [conversion(element, block.arguments[0]).result],
        ir.Location.current,
    ).results[0]


def _multiply_add(op: ir.Operation, block: ir.Block) -> ir.Value:
    """The factors as the body of `op` makes them from the inputs, then extended, multiplied and added."""
    found = structured_ops.multiply_add(op)
    assert found is not None
    _, *factors = found
    source = structured_ops.body(op)
    mapping: dict[ir.Value, ir.Value] = dict(zip(source.arguments, block.arguments, strict=True))
    f32 = ir.F32Type.get()
    for inner in [o.operation for o in source.operations][:-1]:
        if source.arguments[2] in inner.operands or set(inner.operands) == set(factors):
            continue  # the sum and the product
        clone = inner.clone(ip=ir.InsertionPoint.current)
        for number, operand in enumerate(clone.operands):
            if operand in mapping:
                clone.operands[number] = mapping[operand]
        mapping.update(zip(inner.results, clone.results, strict=True))
    wide = [arith.extf(f32, mapping[factor]) for factor in factors]
    return arith.addf(block.arguments[2], arith.mulf(wide[0], wide[1]))
