"""kind "rows": reductions of contiguous elements, and chains of ops around them, in vectors, row by row.

    for each workgroup:                      some rows
      for each row:
        for each pass:                       what needs the row's earlier results, in one walk over the row
          four vectors at a time, then one, then the rest by a mask
          merge the lanes of what was reduced

A softmax takes three passes: the greatest; exponentials and their sum; the quotients. Exponentials go to where the
result will stand, so that they are computed once. Long sums are taken in blocks, whose sums are then added: the error
grows with the number of blocks only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each
from mlirage.codegen.cpu.elements import Elements, extent
from mlirage.codegen.cpu.folds import Folding, fold_of
from mlirage.codegen.cpu.grain import GUESS, cost_ns, workgroup_tiles
from mlirage.codegen.cpu.index_math import Index, Place, add, div, evaluate, mul, product, rem, smaller, sub, value
from mlirage.codegen.cpu.loop_order import allow_reordering, divide_rows_once
from mlirage.codegen.cpu.row_chain import Chain, find_chain
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, identity, ir, memref, scf, vector

KIND = "rows"
LLVM_UNROLLS = False
# Rows of fewer elements do not fill a vector: loops take many rows side by side.
_FEWEST_ELEMENTS = 8
# Vectors that a pass walks with, by how much it computes for an element.
_FEW_OPS, _SOME_OPS = 10, 80
# Steps whose sum is a block of a long sum.
_BLOCK_STEPS = 256
# An op of so many ops is computed once and kept, not once per pass.
_EXPENSIVE_OPS = 6
_KEPT_BYTES = 256 << 10


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes chains over rows whose inner loops are contiguous."""
    del target
    chain = find_chain(entry)
    if chain is None or _is_short(chain):
        return None
    root = chain.ops[-1]
    numbers = chain.loops[identity(root)]
    if not set(range(chain.rows)) <= set(numbers):
        return None
    for op in chain.ops:
        divide_rows_once(op)
    extents = structured_ops.loop_extents(root)
    guessed = [GUESS if e == structured_ops.DYNAMIC else e for e in extents]
    rows = {loop for loop, number in enumerate(numbers) if number < chain.rows}
    total = sum(cost_ns(op) for op in chain.ops)
    # rows first; that no row is contiguous is said by an innermost loop that is none
    order = [*sorted(range(len(numbers)), key=lambda loop: numbers[loop]), -1]
    tiles = workgroup_tiles(guessed, [e == structured_ops.DYNAMIC for e in extents], rows, total, order)
    return root, Configuration(KIND, tiles)


def _is_short(chain: Chain) -> bool:
    """Whether rows are known to have few elements, but some."""
    inner: dict[int, int] = {}
    for op in chain.ops:
        for number, size in zip(chain.loops[identity(op)], structured_ops.loop_extents(op), strict=True):
            if number >= chain.rows and size != structured_ops.DYNAMIC:
                inner[number] = size
    return len(inner) == chain.inner and 0 < math.prod(inner.values()) < _FEWEST_ELEMENTS


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the chain by loops over vectors, on buffers."""
    chain = find_chain(entry)
    assert chain is not None, "configured as rows"
    for op in chain.ops:
        if not all(structured_ops.parallel_loops(op)):
            allow_reordering(op)
    _Kernel(entry, chain, configuration.workgroup_tiles, target).build()


@dataclass
class _Pass:
    """What one walk over a row computes.

    Attributes:
      reductions: ops whose results are complete after it.
      stores: (value, memory) that it writes along the row.
      kept: values that later passes read where this one puts them.
    """

    reductions: list[ir.Operation]
    stores: list[tuple[ir.Value, ir.Value]]
    kept: list[tuple[ir.Value, ir.Value]]


class _Kernel:
    def __init__(self, entry: Entry, chain: Chain, tiles: Sequence[int], target: CpuTarget) -> None:
        self.entry, self.chain = entry, chain
        self.tiles = tiles
        root = chain.ops[-1]
        self.root = root
        self.lanes = target.vector_bytes // self._element_bytes()
        self.extents: list[Index] = [0] * (chain.rows + chain.inner)
        self.collapsed: dict[ir.Value, ir.Value] = {}
        self.kept: dict[ir.Value, ir.Value] = {}

    def _element_bytes(self) -> int:
        """Bytes of what a lane holds: of f64 and of chains of i64 alone 8, else 4."""
        widths = [
            structured_ops.element_type(v.type).width  # pyright: ignore
            for op in self.chain.ops
            for v in (*op.operands, *op.results)
            if isinstance(structured_ops.element_type(v.type), ir.F64Type | ir.IntegerType | ir.F32Type)
        ]
        wide = any(
            isinstance(structured_ops.element_type(v.type), ir.F64Type) for op in self.chain.ops for v in op.results
        )
        return 8 if wide or all(w == 64 for w in widths) else 4

    def build(self) -> None:
        block = self.entry.function.entry_block
        terminator = list(block.operations)[-1].operation
        with ir.InsertionPoint(terminator), self.root.location:
            self._find_extents()
            self.inner = product(self.extents[self.chain.rows :])
            if isinstance(self.inner, int):
                while self.lanes > 2 * self.inner and self.lanes > 4:
                    self.lanes //= 2
            self.passes = self._plan()
            self._distribute()
        for op in [o.operation for o in block.operations]:
            if op.name == "bufferization.materialize_in_destination":
                op.erase()
        for op in reversed(self.chain.ops):
            op.erase()

    def _find_extents(self) -> None:
        for op in self.chain.ops:
            numbers = self.chain.loops[identity(op)]
            for operand, indexing_map in zip(op.operands, structured_ops.indexing_maps(op), strict=True):
                for d, loop in enumerate(structured_ops.map_dims(indexing_map)):
                    if loop is None or not isinstance(operand.type, ir.RankedTensorType) or self.chain.holds(operand):
                        continue
                    known = self.extents[numbers[loop]]
                    static = not ir.RankedTensorType(operand.type).is_dynamic_dim(d)
                    if static or (known == 0 and isinstance(known, int)):
                        self.extents[numbers[loop]] = extent(operand, d)

    # Passes -------------------------------------------------------------------------------------------------------

    def _plan(self) -> list[_Pass]:
        """Which pass computes what: every op as early as the reductions that it needs allow."""
        ready: dict[int, int] = {}  # after how many passes an op can be computed
        for op in self.chain.ops:
            needed = [ready[identity(ir.OpResult(v).owner.operation)] for v in op.operands if self.chain.holds(v)]
            reduces = not all(structured_ops.parallel_loops(op))
            ready[identity(op)] = max(needed, default=0) + int(reduces)
        self.ready = ready
        stores: dict[int, list[tuple[ir.Value, ir.Value]]] = {}
        self.row_stores: list[tuple[ir.Value, ir.Value]] = []
        for stored, memory in self.chain.stores:
            op = ir.OpResult(stored).owner.operation
            if self.chain.is_inner(op):
                stores.setdefault(ready[identity(op)] + 1, []).append((stored, self._flat(memory)))
            else:
                self.row_stores.append((stored, memory))
        reductions = [op for op in self.chain.ops if not all(structured_ops.parallel_loops(op))]
        count = max([*(ready[identity(op)] for op in reductions), *stores])
        passes = [
            _Pass([op for op in reductions if ready[identity(op)] == number], stores.get(number, []), [])
            for number in range(1, count + 1)
        ]
        for number, one in enumerate(passes, 1):
            for stored, memory in one.stores:
                if any(stored in self.values_of(later) for later in passes[number:]):
                    one.kept.append((stored, memory))
        self._keep_expensive(passes)
        return passes

    def _keep_expensive(self, passes: list[_Pass]) -> None:
        free = [(n, memory, v.type) for n, one in enumerate(passes) for v, memory in one.stores
                if not any(v == kept for kept, _ in one.kept)]  # fmt: skip
        for op in self.chain.ops:
            whole = all(structured_ops.parallel_loops(op)) and len(self.chain.loops[identity(op)]) == (
                self.chain.rows + self.chain.inner
            )
            if not whole or len(list(structured_ops.body(op).operations)) <= _EXPENSIVE_OPS:
                continue
            for result in op.results:
                readers = [n for n, one in enumerate(passes) if result in self.values_of(one)]
                if len(readers) < 2 or any(result == v for one in passes for v, _ in one.kept):
                    continue
                place = next((f for f in free if f[0] >= readers[-1] and f[2] == result.type), None)
                if place is not None:
                    free.remove(place)
                    passes[readers[0]].kept.append((result, place[1]))
                elif (memory := self._row_buffer(result)) is not None:
                    passes[readers[0]].kept.append((result, memory))

    def _row_buffer(self, result: ir.Value) -> ir.Value | None:
        """A buffer of one row; None if its size is not known or large."""
        element = structured_ops.element_type(result.type)
        width = element.width if isinstance(element, ir.IntegerType | ir.FloatType) else 64
        if not isinstance(self.inner, int) or self.inner * width // 8 > _KEPT_BYTES:
            return None
        return memref.AllocOp(ir.MemRefType.get([max(self.inner, 1)], element), [], [], alignment=64).memref

    def values_of(self, one: _Pass) -> set[ir.Value]:
        """The values along the row that a pass reads or computes."""
        found: set[ir.Value] = set()
        work = [v for op in one.reductions for v, _, _ in self.chain.operands(op)] + [v for v, _ in one.stores]
        while work:
            v = work.pop()
            if v in found or not self.chain.holds(v) or not self.chain.is_inner(ir.OpResult(v).owner.operation):
                continue
            found.add(v)
            work += [operand for operand, _, _ in self.chain.operands(ir.OpResult(v).owner.operation)]
        return found

    # Rows ---------------------------------------------------------------------------------------------------------

    def _distribute(self) -> None:
        numbers = self.chain.loops[identity(self.root)]
        tiles = {number: tile for number, tile in zip(numbers, self.tiles, strict=False) if tile}
        # the count of workgroups takes the root's loops in their order
        loops = [number for number in numbers if number in tiles]
        starts: dict[int, Index] = {}
        sizes: dict[int, Index] = dict(enumerate(self.extents[: self.chain.rows]))
        if not loops:
            self._rows(0, [], starts, sizes)
            return
        forall = scf.ForallOp([0] * len(loops), [self.extents[n] for n in loops], [tiles[n] for n in loops])
        with ir.InsertionPoint(forall.body):
            starts.update(zip(loops, forall.induction_variables, strict=True))
            for n in loops:
                whole, tile = self.extents[n], tiles[n]
                even = tile == 1 or (isinstance(whole, int) and whole % tile == 0)
                sizes[n] = tile if even else smaller(tile, sub(whole, starts[n]))
            self._rows(0, [], starts, sizes)
            scf.InParallelOp()

    def _rows(self, level: int, at: list[Index], starts: Mapping[int, Index], sizes: Mapping[int, Index]) -> None:
        if level == self.chain.rows:
            _Row(self, at).build()
            return
        start = starts.get(level, 0)
        for_each(sizes[level], 1, lambda i: self._rows(level + 1, [*at, add(start, i)], starts, sizes))

    def _flat(self, memory: ir.Value) -> ir.Value:
        """A buffer with its inner dims as one."""
        if self.chain.inner == 1:
            return memory
        if memory not in self.collapsed:
            kind = ir.MemRefType(memory.type)
            outer = kind.rank - self.chain.inner
            shape = list(kind.shape)
            inner = shape[outer:]
            dynamic = ir.ShapedType.get_dynamic_size()
            size = dynamic if dynamic in inner else 1
            for s in inner if size == 1 else []:
                size *= s
            groups = [[d] for d in range(outer)] + [list(range(outer, kind.rank))]
            i64 = ir.IntegerType.get_signless(64)
            reassociation = ir.ArrayAttr.get(
                [ir.ArrayAttr.get([ir.IntegerAttr.get(i64, d) for d in group]) for group in groups]
            )
            with ir.InsertionPoint.after(memory.owner.operation):  # pyright: ignore
                self.collapsed[memory] = memref.CollapseShapeOp(
                    ir.MemRefType.get([*shape[:outer], size], kind.element_type), memory, reassociation
                ).result
        return self.collapsed[memory]

    def memory_of(self, operand: ir.Value) -> ir.Value | None:
        """The collapsed buffer that a tensor of several inner dims is; None if it is read as it is."""
        op = ir.OpResult(operand).owner.operation
        if self.chain.inner == 1 or op.name != "bufferization.to_tensor":
            return None
        return self._flat(op.operands[0])


class _Row:
    """One row."""

    def __init__(self, kernel: _Kernel, at: Sequence[Index]) -> None:
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

    def _prepare(self, one: _Pass) -> None:
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
        return Folding(op, fold, starts)

    def _walk(self, one: _Pass) -> None:
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

    def _unrolled(self, one: _Pass) -> int:
        """How many vectors the pass walks with."""
        ops = [ir.OpResult(v).owner.operation for v in self.kernel.values_of(one) if v not in self.kept]
        count = sum(len(list(structured_ops.body(op).operations)) for op in [*ops, *one.reductions])
        return 4 if count <= _FEW_OPS else 2 if count <= _SOME_OPS else 1

    def _split(self, foldings: Sequence[Folding], parts: Sequence[ir.Value]) -> list[list[ir.Value]]:
        split: list[list[ir.Value]] = []
        start = 0
        for folding in foldings:
            split.append(list(parts[start : start + len(folding.start)]))
            start += len(folding.start)
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
        self, one: _Pass, foldings: Sequence[Folding], elements: Elements, at: Place, parts: Sequence[ir.Value]
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
