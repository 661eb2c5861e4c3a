"""One row of kind "rows": walks over its elements in vectors, and what the lanes come to (rows.py plans the passes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.folds import Folding, fold_of
from mlirage.codegen.cpu.index_math import Index, Place, add, div, evaluate, mul, rem, smaller, value
from mlirage.mlir import arith, identity, ir, memref, scf, vector

if TYPE_CHECKING:
    from mlirage.codegen.cpu.rows import RowKernel

# Vectors that a pass walks with, by how much it computes for an element.
_FEW_OPS, _SOME_OPS = 10, 80
# Steps whose sum is a block of a long sum.
_BLOCK_STEPS = 256


@dataclass
class Pass:
    """What one walk over a row computes.

    Attributes:
      reductions: ops whose results are complete after it.
      stores: (value, memory) that it writes along the row.
      kept: values that later passes read where this one puts them.
    """

    reductions: list[ir.Operation]
    stores: list[tuple[ir.Value, ir.Value]]
    kept: list[tuple[ir.Value, ir.Value]]


class Row:
    """One row."""

    def __init__(self, kernel: RowKernel, at: Sequence[Index]) -> None:
        self.kernel, self.chain = kernel, kernel.chain
        self.at = at
        self.scalars: dict[ir.Value, ir.Value] = {}
        self.kept: dict[ir.Value, ir.Value] = {}

    def build(self) -> None:
        for one in self.kernel.passes:
            self._prepare(one)
            self._walk(one)
            self.kept.update(one.kept)
        for stored, memory in self.kernel.row_stores:
            scalar = self._scalar(stored)
            memref.store(scalar, memory, [value(self.at[c]) for c in self.chain.result_classes(stored)])

    def _places(self, op: ir.Operation, inner: Place | None) -> dict[int, Place]:
        """The place of every loop of an op; of several inner loops the last has it."""
        places: dict[int, Place] = {}
        for loop, number in enumerate(self.chain.loops[identity(op)]):
            if number < self.chain.rows:
                places[loop] = Place(self.at[number])
            elif inner is not None:
                places[loop] = inner
        return places

    def _prepare(self, one: Pass) -> None:
        """Computes what is one number for the whole row before the walk."""
        values = self.kernel.values_of(one)
        ops = [ir.OpResult(v).owner.operation for v in values] + one.reductions
        for op in ops:
            for operand, _, _ in self.chain.operands(op):
                if self.chain.holds(operand) and not self.chain.is_inner(ir.OpResult(operand).owner.operation):
                    self._scalar(operand)

    def _scalar(self, wanted: ir.Value) -> ir.Value:
        """A value of the chain that is one number for the row."""
        if wanted not in self.scalars:
            op = ir.OpResult(wanted).owner.operation
            places = self._places(op, None)
            arguments = self._arguments(op, Elements(), places, self._scalar)
            results = Elements().clone_body(structured_ops.body(op), arguments, places)
            self.scalars.update(zip(op.results, results, strict=True))
        return self.scalars[wanted]

    def _arguments(
        self, op: ir.Operation, elements: Elements, places: dict[int, Place], compute: Callable[[ir.Value], ir.Value]
    ) -> list[ir.Value | None]:
        """What the body of an op is given."""
        given: dict[ir.Value, ir.Value] = {}
        for operand, indexing_map, argument in self.chain.operands(op):
            if not isinstance(operand.type, ir.RankedTensorType):
                given[argument] = elements.spread(operand)
            elif self.chain.holds(operand):
                given[argument] = elements.spread(compute(operand))
            else:
                given[argument] = self._load(operand, indexing_map, op, elements, places)
        return [given.get(a) for a in structured_ops.body(op).arguments]

    def _load(
        self,
        operand: ir.Value,
        indexing_map: ir.AffineMap,
        op: ir.Operation,
        elements: Elements,
        places: dict[int, Place],
    ) -> ir.Value:
        classes = self.chain.classes(op, indexing_map)
        if classes and classes[-1] >= self.chain.rows:
            memory = self.kernel.memory_of(operand)
            if memory is not None:
                leading = indexing_map.results[: len(classes) - self.chain.inner]
                inner = places[self.chain.loops[identity(op)].index(classes[-1])]
                return elements.load(memory, [*(evaluate(e, places, {}) for e in leading), inner])
            return elements.read(operand, [evaluate(e, places, {}) for e in indexing_map.results])
        return elements.spread(Elements().read(operand, [evaluate(e, places, {}) for e in indexing_map.results]))

    def _start(self, op: ir.Operation) -> Folding:
        fold = fold_of(op)
        assert fold is not None, "the chain is well-formed"
        places = self._places(op, None)
        inputs = structured_ops.segment_sizes(op)[0]
        starts = [
            Elements().read(out, [evaluate(e, places, {}) for e in m.results])
            for out, m in zip(structured_ops.outputs(op), structured_ops.indexing_maps(op)[inputs:], strict=True)
        ]
        return Folding(op, fold, starts, self.kernel.orders_integers)

    def _walk(self, one: Pass) -> None:
        """Goes over the row and completes the reductions of the pass."""
        foldings = [self._start(op) for op in one.reductions]
        lanes, inner = self.kernel.lanes, self.kernel.inner
        unrolled = self._unrolled(one)

        def step(elements: Elements, at: Index, parts: Sequence[ir.Value]) -> list[ir.Value]:
            return self._step(one, foldings, elements, Place(at, 1), parts)

        def neutral(count: int) -> list[ir.Value]:
            return [part for folding in foldings for part in folding.neutral(count)]

        def merged(first: Sequence[ir.Value], second: Sequence[ir.Value]) -> list[ir.Value]:
            return [
                part
                for folding, a, b in zip(
                    foldings, self._split(foldings, first), self._split(foldings, second), strict=True
                )
                for part in folding.merge(a, b)
            ]

        wide = lanes * unrolled
        done: Index = 0
        if unrolled > 1 and not (isinstance(inner, int) and inner < wide):
            done = mul(div(inner, wide), wide)
            parts = _blocks(done, wide, neutral, lambda at, p: step(Elements(wide), at, p), merged)
            width = wide
            while width > lanes:
                parts = [
                    part
                    for folding, own in zip(foldings, self._split(foldings, parts), strict=True)
                    for part in folding.halve(own)
                ]
                width //= 2
        else:
            parts = neutral(lanes)
        whole = mul(div(inner, lanes), lanes)
        parts = _loop(done, whole, lanes, parts, lambda at, p: step(Elements(lanes), at, p))
        parts = self._rest(whole, rem(inner, lanes), parts, step)
        for folding, own in zip(foldings, self._split(foldings, parts), strict=True):
            self.scalars.update(zip(folding.op.results, folding.finish(list(own)), strict=True))

    def _unrolled(self, one: Pass) -> int:
        """How many vectors the pass walks with."""
        ops = [ir.OpResult(v).owner.operation for v in self.kernel.values_of(one) if v not in self.kept]
        count = sum(len(list(structured_ops.body(op).operations)) for op in [*ops, *one.reductions])
        return 4 if count <= _FEW_OPS else 2 if count <= _SOME_OPS else 1

    def _split(self, foldings: Sequence[Folding], parts: Sequence[ir.Value]) -> list[list[ir.Value]]:
        split: list[list[ir.Value]] = []
        start = 0
        for folding in foldings:
            split.append(list(parts[start : start + folding.part_count]))
            start += folding.part_count
        return split

    def _rest(
        self,
        at: Index,
        left: Index,
        parts: list[ir.Value],
        step: Callable[[Elements, Index, Sequence[ir.Value]], list[ir.Value]],
    ) -> list[ir.Value]:
        """The elements that fill no vector."""
        if left == 0 and isinstance(left, int):
            return parts
        lanes = self.kernel.lanes
        kind = ir.VectorType.get([lanes], ir.IntegerType.get_signless(1))
        if isinstance(left, int):
            return step(Elements(lanes, vector.create_mask(kind, [value(left)]), left), at, parts)
        some = arith.cmpi(arith.CmpIPredicate.ne, left, value(0))
        branch = scf.IfOp(some, [p.type for p in parts], has_else=True)
        with ir.InsertionPoint(branch.then_block):
            scf.yield_(step(Elements(lanes, vector.create_mask(kind, [left]), left), at, parts))
        with ir.InsertionPoint(branch.else_block):
            scf.yield_(parts)
        return list(branch.results)

    def _step(
        self, one: Pass, foldings: Sequence[Folding], elements: Elements, at: Place, parts: Sequence[ir.Value]
    ) -> list[ir.Value]:
        """One vector of the row."""
        known: dict[ir.Value, ir.Value] = {}
        row = [Place(index) for index in self.at]

        def compute(wanted: ir.Value) -> ir.Value:
            if wanted in self.scalars:
                return self.scalars[wanted]
            if wanted not in known:
                if wanted in self.kept:
                    known[wanted] = elements.load(
                        self.kept[wanted], self._kept_places(self.kept[wanted], wanted, row, at)
                    )
                else:
                    op = ir.OpResult(wanted).owner.operation
                    places = self._places(op, at)
                    arguments = self._arguments(op, elements, places, compute)
                    known.update(
                        zip(op.results, elements.clone_body(structured_ops.body(op), arguments, places), strict=True)
                    )
            return known[wanted]

        for kept, memory in one.kept:
            elements.store(elements.spread(compute(kept)), memory, self._kept_places(memory, kept, row, at))
        new: list[ir.Value] = []
        for folding, own in zip(foldings, self._split(foldings, parts), strict=True):
            places = self._places(folding.op, at)
            arguments = self._arguments(folding.op, elements, places, compute)
            inputs = structured_ops.segment_sizes(folding.op)[0]
            new += folding.take(arguments[:inputs], own, elements, places)
        for stored, memory in one.stores:
            if not any(stored == kept for kept, _ in one.kept):
                elements.store(elements.spread(compute(stored)), memory, self._kept_places(memory, stored, row, at))
        return new

    def _kept_places(self, memory: ir.Value, kept: ir.Value, row: Sequence[Place], at: Place) -> list[Place]:
        if (
            ir.MemRefType(memory.type).rank == 1
            and self.chain.rows + self.chain.inner > 1
            and (not isinstance(memory.owner, ir.Block) and memory.owner.operation.name == "memref.alloc")
        ):
            return [at]
        classes = [c for c in self.chain.result_classes(kept) if c < self.chain.rows]
        return [*(row[c] for c in classes), at]


def _loop(
    start: Index,
    end: Index,
    by: int,
    parts: list[ir.Value],
    step: Callable[[Index, Sequence[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """Steps from `start` to `end`; a few known ones one after the other."""
    if isinstance(start, int) and isinstance(end, int) and end - start <= 4 * by:
        for at in range(start, end, by):
            parts = step(at, parts)
        return parts
    loop = scf.ForOp(value(start), value(end), value(by), parts)
    with ir.InsertionPoint(loop.body):
        scf.yield_(step(loop.induction_variable, list(loop.inner_iter_args)))
    return list(loop.results)


def _blocks(
    end: Index,
    by: int,
    neutral: Callable[[int], list[ir.Value]],
    step: Callable[[Index, Sequence[ir.Value]], list[ir.Value]],
    merged: Callable[[Sequence[ir.Value], Sequence[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """Steps from 0 to `end`, those of a block into parts of their own."""
    block = by * _BLOCK_STEPS
    if isinstance(end, int) and end <= 2 * block:
        return _loop(0, end, by, neutral(by), step)
    outer = scf.ForOp(value(0), value(end), value(block), neutral(by))
    with ir.InsertionPoint(outer.body):
        first = outer.induction_variable
        last = smaller(add(first, block), end)
        own = _loop(first, last, by, neutral(by), step)
        scf.yield_(merged(list(outer.inner_iter_args), own))
    return list(outer.results)
