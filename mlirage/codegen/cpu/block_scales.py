"""Factors that are numbers times a scale per block of depth: the scale multiplies the sum of a block, not every term.

    for each k:      sum += left[k] * (numbers[k, columns] * scale[k floordiv 32, columns])
      ─>
    for each block:  for k in block:  part += left[k] * numbers[k, columns]
                     sum += part * scale[block, columns]

That is what reading weights of 4 and 8 bits costs beside the multiplication: nothing is left but to widen the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import Elements, is_pointwise
from mlirage.codegen.cpu.index_math import Place, Split, evaluate, value
from mlirage.contractions import Contraction
from mlirage.mlir import ir, memref


@dataclass(frozen=True)
class BlockScale:
    """How the right operand of a contraction is computed.

    Attributes:
      op: the elementwise op that computes it.
      numbers: what its body multiplies by the scale.
      scale: the operand that holds the scale.
      block: steps of the contraction's innermost depth that have the same scale.
      places: where the contraction reads the op's result.
    """

    op: ir.Operation
    numbers: ir.Value
    scale: int
    block: int
    places: tuple[ir.AffineExpr, ...]

    def read_numbers(self, elements: Elements, loops: dict[int, Place], packed: Mapping[int, Split]) -> ir.Value:
        """Elements of the right operand before they are scaled."""
        inner = self._inner(loops, packed)
        block = structured_ops.body(self.op)

        def compute(v: ir.Value) -> ir.Value:
            if isinstance(v.owner, ir.Block):
                return self._operand(elements, ir.BlockArgument(v).arg_number, inner)
            if v.owner.operation.block != block:
                return elements.spread(v)
            op = v.owner.operation
            values = {operand: compute(operand) for operand in op.operands}
            return elements.clone_scalar_op(op, values, inner)[ir.OpResult(v).result_number]

        return compute(self.numbers)

    def read_scales(self, elements: Elements, loops: dict[int, Place], packed: Mapping[int, Split]) -> ir.Value:
        """The scales at a place."""
        return self._operand(elements, self.scale, self._inner(loops, packed))

    @property
    def largest(self) -> int:
        """The operand that most is read of."""
        types = [ir.RankedTensorType(v.type) for v in structured_ops.inputs(self.op)]
        return max(range(len(types)), key=lambda i: math.prod(types[i].shape) if types[i].has_static_shape else 0)

    def prefetch(self, number: int, loops: dict[int, Place], packed: Mapping[int, Split]) -> None:
        """Asks for what an operand holds at a place to be brought into the cache; it need not exist."""
        operand = self.op.operands[number]
        owner = None if isinstance(operand.owner, ir.Block) else operand.owner.operation
        if owner is not None and owner.name == "bufferization.to_tensor":
            inner = self._inner(loops, packed)
            places = [evaluate(e, inner, {}) for e in structured_ops.indexing_maps(self.op)[number].results]
            memref.prefetch(owner.operands[0], [value(p.base) for p in places], False, 3, True)

    def _inner(self, loops: dict[int, Place], packed: Mapping[int, Split]) -> dict[int, Place]:
        return dict(enumerate(evaluate(e, loops, packed) for e in self.places))

    def _operand(self, elements: Elements, number: int, inner: dict[int, Place]) -> ir.Value:
        operand = self.op.operands[number]
        if not isinstance(operand.type, ir.RankedTensorType):
            return elements.spread(operand)
        indexing = structured_ops.indexing_maps(self.op)[number]
        return elements.read(operand, [evaluate(e, inner, {}) for e in indexing.results])


def find_block_scale(contraction: Contraction, extent: object, together: int) -> BlockScale | None:
    """The scale of a packed right operand.

    Args:
      contraction: whose right operand it is.
      extent: of the innermost depth.
      together: steps of it that are told apart by their remainder; blocks hold whole ones.
    """
    operand = contraction.right_value
    if not contraction.panel or contraction.group > 1 or not contraction.depth or not isinstance(extent, int):
        return None
    if isinstance(operand.owner, ir.Block):
        return None
    op = operand.owner.operation
    if not is_pointwise(op) or len(op.results) != 1:
        return None
    if structured_ops.indexing_maps(op)[-1] != ir.AffineMap.get_identity(ir.RankedTensorType(operand.type).rank):
        return None
    matched = structured_ops.multiply_add(contraction.op)
    body = structured_ops.body(contraction.op)
    if matched is None or matched[0] != "arith.addf":
        return None
    if matched[1 + contraction.right] != body.arguments[contraction.right]:
        return None
    product = list(structured_ops.body(op).operations)[-1].operation.operands[0]
    if isinstance(product.owner, ir.Block) or product.owner.operation.name != "arith.mulf":
        return None
    places = tuple(contraction.maps[contraction.right].results)
    inner = contraction.depth[-1]
    for scale, numbers in (tuple(product.owner.operation.operands), tuple(reversed(product.owner.operation.operands))):
        if not isinstance(scale.owner, ir.Block) or scale.owner != structured_ops.body(op):
            continue
        number = ir.BlockArgument(scale).arg_number
        read = structured_ops.indexing_maps(op)[number].results
        block = min((_steady(e, places, inner) or extent for e in read), default=extent)
        if block > 1 and extent % block == 0 and (block % together == 0 or block == extent):
            return BlockScale(op, numbers, number, block, places)
    return None


def _steady(expr: ir.AffineExpr, places: tuple[ir.AffineExpr, ...], loop: int) -> int:
    """Steps of a loop during which an index does not change, at least; 0: it never does.

    Args:
      expr: over the dims of a tensor that is read at `places`; or, without places, over loops.
    """
    match expr:
        case ir.AffineConstantExpr():
            return 0
        case ir.AffineDimExpr():
            return _steady(places[expr.position], (), loop) if places else int(expr.position == loop)
        case ir.AffineFloorDivExpr(rhs=ir.AffineConstantExpr() as divisor):
            steps = _steady(expr.lhs, places, loop)
            # A quotient of a quotient; anything else may change between multiples of the divisor.
            return steps * divisor.value if _only_divides(expr.lhs, places) else min(steps, 1)
        case _:
            pass
    steps = [s for e in (expr.lhs, expr.rhs) if (s := _steady(e, places, loop))]  # pyright: ignore
    return min(steps, default=0) if not isinstance(expr, ir.AffineModExpr) else min([1, *steps]) if steps else 0


def _only_divides(expr: ir.AffineExpr, places: tuple[ir.AffineExpr, ...]) -> bool:
    """Whether an expression is a loop, divided by constants or not."""
    match expr:
        case ir.AffineDimExpr():
            return _only_divides(places[expr.position], ()) if places else True
        case ir.AffineFloorDivExpr():
            return _only_divides(expr.lhs, places)
        case _:
            return False
