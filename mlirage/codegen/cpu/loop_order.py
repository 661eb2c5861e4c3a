"""Orders the loops of structured ops for memory: the innermost one walks along contiguous elements.

    sum over (h, w) of (n, h, w, c):   loops (n, c, h, w)  ─>  (n, h, w, c)

Also marks floating-point sums as reorderable, which vectorizing a sum is, and what a softmax computes as simple.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlirage import structured_ops
from mlirage.mlir import arith, ir, walk

# On an exponential: its argument is not above 0.
NONPOSITIVE = "mlirage.nonpositive"
_REORDERABLE = "arith.addf", "arith.mulf"


def order_loops(op: ir.Operation) -> None:
    """Reorders the loops of a `linalg.generic` in place."""
    order = best_order(op)
    if order != list(range(len(order))):
        permute_loops(op, order)


def best_order(op: ir.Operation) -> list[int]:
    """Outermost to innermost: parallel loops, reductions, and last the loop that most operands walk along."""
    parallel = structured_ops.parallel_loops(op)
    count = len(parallel)
    if count < 2:
        return list(range(count))
    maps = structured_ops.indexing_maps(op)
    inputs = structured_ops.segment_sizes(op)[0]
    extents = structured_ops.loop_extents(op)
    scores = [0.0] * count
    for number, (operand, indexing_map) in enumerate(zip(op.operands, maps, strict=True)):
        if not isinstance(operand.type, ir.RankedTensorType) or not indexing_map.results:
            continue
        last = indexing_map.results[len(indexing_map.results) - 1]
        weight = 2.0 if number >= inputs else 1.5
        for loop in range(count):
            if _is_unit_stride(last, loop):
                scores[loop] += weight
            elif any(_uses(e, loop) for e in indexing_map.results):
                scores[loop] -= 2.0  # strided
    for loop, extent in enumerate(extents):
        if extent != structured_ops.DYNAMIC and extent < 8:
            scores[loop] -= 4.0  # too short to vectorize
        # a reduction along its own contiguous input is as good as any, but ties go to parallel loops
        scores[loop] += 0.25 if parallel[loop] else 0.0
    innermost = max(range(count), key=lambda loop: (scores[loop], loop))
    rest = [loop for loop in range(count) if loop != innermost]
    return [*sorted(rest, key=lambda loop: not parallel[loop]), innermost]


def _is_unit_stride(expression: ir.AffineExpr, loop: int) -> bool:
    if isinstance(expression, ir.AffineDimExpr):
        return expression.position == loop
    if isinstance(expression, ir.AffineAddExpr):
        return _is_unit_stride(expression.lhs, loop) or _is_unit_stride(expression.rhs, loop)
    return False


def _uses(expression: ir.AffineExpr, loop: int) -> bool:
    if isinstance(expression, ir.AffineDimExpr):
        return expression.position == loop
    return isinstance(expression, ir.AffineBinaryExpr) and (_uses(expression.lhs, loop) or _uses(expression.rhs, loop))


def permute_loops(op: ir.Operation, order: Sequence[int]) -> None:
    """New loop i of the generic is what loop order[i] was."""
    inverse = [list(order).index(loop) for loop in range(len(order))]
    permutation = ir.AffineMap.get_permutation(inverse)
    maps = [structured_ops.compose(m, permutation) for m in structured_ops.indexing_maps(op)]
    op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])
    kinds = list(ir.ArrayAttr(op.attributes["iterator_types"]))
    op.attributes["iterator_types"] = ir.ArrayAttr.get([kinds[loop] for loop in order])
    for inner in walk(op):
        if inner.name == "linalg.index":
            old = ir.IntegerAttr(inner.attributes["dim"]).value
            inner.attributes["dim"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), inverse[old])


def allow_reordering(op: ir.Operation) -> None:
    """Marks what a reduction sums or multiplies up with `fastmath<reassoc>`, and the products it sums as fusable."""
    block = structured_ops.body(op)
    inputs = structured_ops.segment_sizes(op)[0]
    accumulators = list(block.arguments)[inputs:]
    yielded = list(list(block.operations)[-1].operation.operands)
    for accumulator, value in zip(accumulators, yielded, strict=True):
        if isinstance(value.owner, ir.Block):
            continue
        combiner = value.owner.operation
        if combiner.name not in _REORDERABLE or accumulator not in list(combiner.operands):
            continue
        flags = arith.FastMathFlags.reassoc
        for operand in combiner.operands:
            owner = operand.owner
            if (
                not isinstance(owner, ir.Block)
                and owner.operation.name == "arith.mulf"
                and combiner.name == "arith.addf"
            ):
                flags |= arith.FastMathFlags.contract
                owner.operation.attributes["fastmath"] = _flags(arith.FastMathFlags.contract)
        combiner.attributes["fastmath"] = _flags(flags)


def simplify_softmax(op: ir.Operation) -> None:
    """Marks what a softmax need not compute in general: exponentials of what is at most 0, a quotient per element.

    `math.exp` of a number less its row's greatest gets the attribute NONPOSITIVE. The division by a row's sum of
    exponentials gets `fastmath<arcp>`: with a greatest of 1 its reciprocal neither overflows nor is denormal.
    """
    block = structured_ops.body(op)
    for inner in [o.operation for o in block.operations]:
        if inner.name == "math.exp" and _is_below_greatest(inner.operands[0], op):
            inner.attributes[NONPOSITIVE] = ir.UnitAttr.get()
            continue
        if inner.name != "arith.divf" or not all(isinstance(v.owner, ir.Block) for v in inner.operands):
            continue
        arguments = list(block.arguments)
        whole, total = (op.operands[arguments.index(v)] for v in inner.operands)
        if _is_sum_of(total, whole) and _is_exponential(whole):
            inner.attributes["fastmath"] = ir.Attribute.parse("#arith.fastmath<arcp>")


def _is_below_greatest(value: ir.Value, op: ir.Operation) -> bool:
    """Whether a value in the body of `op` is an element less the greatest of some elements, it included."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.subf":
        return False
    arguments: list[ir.Value] = list(structured_ops.body(op).arguments)
    operands = [_unwidened(v) for v in value.owner.operation.operands]
    if any(v not in arguments for v in operands):
        return False
    numbers = [arguments.index(v) for v in operands]
    whole, greatest = (op.operands[n] for n in numbers)
    if isinstance(greatest.owner, ir.Block) or not structured_ops.is_structured(greatest.owner.operation):
        return False
    source = greatest.owner.operation
    if structured_ops.inputs(source) != [whole] or all(structured_ops.parallel_loops(source)):
        return False
    names = [o.operation.name for o in structured_ops.body(source).operations]
    if names not in (["arith.maximumf", "linalg.yield"], ["arith.extf", "arith.maximumf", "linalg.yield"]):
        return False
    # every element belongs to the greatest that it is compared with: as dims of the operand, both maps are the same
    maps, source_maps = structured_ops.indexing_maps(op), structured_ops.indexing_maps(source)
    dims = _dims_of(maps[numbers[0]], maps[numbers[1]])
    return dims is not None and dims == _dims_of(source_maps[0], source_maps[1])


def _unwidened(value: ir.Value) -> ir.Value:
    """What a float of another width was."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.extf":
        return value
    return value.owner.operation.operands[0]


def _dims_of(whole: ir.AffineMap, part: ir.AffineMap) -> list[int] | None:
    """Which dims of an operand the dims of another one are; None if they are not dims alone."""
    loops, wanted = structured_ops.map_dims(whole), structured_ops.map_dims(part)
    if None in loops or any(w not in loops for w in wanted):
        return None
    return [loops.index(w) for w in wanted]


def _is_sum_of(total: ir.Value, whole: ir.Value) -> bool:
    """Whether `total` is made by summing `whole` over some loops."""
    if isinstance(total.owner, ir.Block) or not structured_ops.is_structured(total.owner.operation):
        return False
    op = total.owner.operation
    if structured_ops.inputs(op) != [whole] or all(structured_ops.parallel_loops(op)):
        return False
    return [o.operation.name for o in structured_ops.body(op).operations] == ["arith.addf", "linalg.yield"]


def _is_exponential(value: ir.Value) -> bool:
    if isinstance(value.owner, ir.Block) or not structured_ops.is_structured(value.owner.operation):
        return False
    ops = [o.operation.name for o in structured_ops.body(value.owner.operation).operations]
    return len(ops) >= 2 and ops[-2] == "math.exp"


def _flags(flags: arith.FastMathFlags) -> ir.Attribute:
    names = [f for f in ("reassoc", "contract") if arith.FastMathFlags[f] in flags]
    return ir.Attribute.parse(f"#arith.fastmath<{','.join(names)}>")
