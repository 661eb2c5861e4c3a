"""linalgx.topk with a heap of the k best so far, the worst of them at its root: O(n log k), in the op's own outs.

The order is total: of equal elements the one with the smaller position comes first. Where rows are contiguous, a vector
of elements at a time is compared with the worst of the heap: hardly any is better.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.codegen.linalgx.loops import Values, at, bit_length, extent, for_, for_step, if_, index, less, nest, not_
from mlirage.mlir import arith, ir, tensor, vector

_OR = vector.CombiningKind.OR
Before = Callable[..., ir.Value]
Item = tuple[ir.Value, ir.Value]  # element and position (index)


class _Heap:
    """One row of the outs as a heap; every method returns the tensors after its change."""

    def __init__(self, place: Values, dim: int, levels: ir.Value, before: Before) -> None:
        self.place, self.dim, self.levels, self.before = place, dim, levels, before

    def first(self, a: Item, b: Item) -> ir.Value:
        """Whether item a comes before item b."""
        tie = arith.andi(not_(self.before(b[0], a[0])), less(a[1], b[1]))
        return arith.ori(self.before(a[0], b[0]), tie)

    def read(self, tensors: Values, slot: ir.Value) -> Item:
        values, positions = tensors
        where = at(self.place, self.dim, slot)
        return tensor.extract(values, where), arith.index_cast(ir.IndexType.get(), tensor.extract(positions, where))

    def write(self, tensors: Values, slot: ir.Value, item: Item) -> list[ir.Value]:
        values, positions = tensors
        where = at(self.place, self.dim, slot)
        kind = ir.RankedTensorType(positions.type).element_type
        return [tensor.insert(item[0], values, where), tensor.insert(arith.index_cast(kind, item[1]), positions, where)]

    def sift_down(self, tensors: Values, slot: ir.Value, size: ir.Value, item: Item) -> list[ir.Value]:
        """Puts `item` at `slot` or below, moving worse items up."""
        one, true = index(1), arith.constant(ir.IntegerType.get_signless(1), 1)

        def descend(_: ir.Value, carried: Values) -> Values:
            hole, moving, *tensors = carried
            left = arith.addi(arith.shli(hole, one), one)
            right = arith.addi(left, one)
            has_left, has_right = less(left, size), less(right, size)
            left, right = arith.select(has_left, left, hole), arith.select(has_right, right, hole)
            left_item, right_item = self.read(tensors, left), self.read(tensors, right)
            take_right = arith.andi(has_right, self.first(left_item, right_item))
            child = arith.select(take_right, right, left)
            child_item = (
                arith.select(take_right, right_item[0], left_item[0]),
                arith.select(take_right, right_item[1], left_item[1]),
            )
            moves = arith.andi(moving, arith.andi(has_left, self.first(item, child_item)))
            moved = if_(moves, tensors, lambda: self.write(tensors, hole, child_item))
            return [arith.select(moves, child, hole), moves, *moved]

        # A loop over the levels: the analysis of scf.while by bufferization does not survive canonicalization.
        hole, _, *tensors = for_(index(0), self.levels, [slot, true, *tensors], descend)
        return self.write(tensors, hole, item)


def _read(source: ir.Value, place: Values, lanes: int) -> ir.Value:
    """The vector of elements along the last dim from a place on."""
    kind = ir.RankedTensorType(source.type)
    minor = ir.AffineMap.get(kind.rank, 0, [ir.AffineExpr.get_dim(kind.rank - 1)])
    zero = ir.Attribute.parse(f"{0 if isinstance(kind.element_type, ir.IntegerType) else 0.0} : {kind.element_type}")
    padding = arith.constant(kind.element_type, zero)
    result = ir.VectorType.get([lanes], kind.element_type)
    return vector.transfer_read(result, source, list(place), ir.AffineMapAttr.get(minor), padding, [True])


def lower_topk(op: Any, before: Before, lanes: int = 0) -> list[ir.Value]:
    """Builds the loops; `before(a, b)` compares elements, or vectors of `lanes` of them unless that is 0."""
    source, outs = op.input, list(op.outs)
    dim = ir.IntegerAttr(op.dimension).value
    rank = ir.RankedTensorType(source.type).rank
    length, count = extent(source, dim), extent(outs[0], dim)
    zero, one = index(0), index(1)
    levels = bit_length(count)

    def row(place: list[ir.Value], outs: Values) -> Values:
        heap = _Heap(place, dim, levels, before)

        def item(position: ir.Value) -> Item:
            return tensor.extract(source, at(place, dim, position)), position

        outs = for_(zero, count, outs, lambda i, outs: heap.write(outs, i, item(i)))

        def heapify(number: ir.Value, outs: Values) -> Values:
            slot = arith.subi(arith.subi(arith.shrui(count, one), one), number)
            return heap.sift_down(outs, slot, count, heap.read(outs, slot))

        outs = for_(zero, arith.shrui(count, one), outs, heapify)

        def replace_worst(position: ir.Value, outs: Values) -> Values:
            new = item(position)
            better = heap.first(new, heap.read(outs, zero))
            return if_(better, outs, lambda: heap.sift_down(outs, zero, count, new))

        stop = arith.select(less(zero, count), length, zero)  # a heap of nothing has no root
        start = count
        if lanes and dim == rank - 1:
            span = arith.maxsi(arith.subi(stop, count), zero)
            start = arith.addi(count, arith.muli(arith.divui(span, index(lanes)), index(lanes)))

            def replace_among(first: ir.Value, outs: Values) -> Values:
                some = _read(source, at(place, dim, first), lanes)
                worst = vector.broadcast(some.type, heap.read(outs, zero)[0])
                better = vector.reduction(ir.IntegerType.get_signless(1), _OR, before(some, worst))
                end = arith.addi(first, index(lanes))
                return if_(better, outs, lambda: for_(first, end, outs, replace_worst))

            outs = for_step(count, start, index(lanes), outs, replace_among)
        outs = for_(start, stop, outs, replace_worst)

        def move_worst_back(number: ir.Value, outs: Values) -> Values:
            slot = arith.subi(arith.subi(count, one), number)
            worst, item = heap.read(outs, zero), heap.read(outs, slot)
            return heap.sift_down(heap.write(outs, slot, worst), zero, slot, item)

        return for_(zero, arith.maxsi(arith.subi(count, one), zero), outs, move_worst_back)

    return nest([extent(source, i) for i in range(rank) if i != dim], outs, row)
