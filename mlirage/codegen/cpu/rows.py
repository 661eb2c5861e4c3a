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
from collections.abc import Mapping, Sequence

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each
from mlirage.codegen.cpu.elements import extent
from mlirage.codegen.cpu.grain import GUESS, cost_ns, workgroup_tiles
from mlirage.codegen.cpu.index_math import Index, add, product, smaller, sub
from mlirage.codegen.cpu.loop_order import allow_reordering, simplify_softmax
from mlirage.codegen.cpu.row_chain import Chain, find_chain
from mlirage.codegen.cpu.row_walk import Pass, Row
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import identity, ir, memref, scf

KIND = "rows"
LLVM_UNROLLS = False
# Rows of fewer elements do not fill a vector: loops take many rows side by side.
_FEWEST_ELEMENTS = 8
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
        simplify_softmax(op)
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
    RowKernel(entry, chain, configuration.workgroup_tiles, target).build()


class RowKernel:
    def __init__(self, entry: Entry, chain: Chain, tiles: Sequence[int], target: CpuTarget) -> None:
        self.entry, self.chain = entry, chain
        self.tiles = tiles
        root = chain.ops[-1]
        self.root = root
        self.lanes = target.vector_bytes // self._element_bytes()
        # the greatest of floats is several instructions there, of integers one
        self.orders_integers = target.architecture == "x86_64"
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

    def _plan(self) -> list[Pass]:
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
            Pass([op for op in reductions if ready[identity(op)] == number], stores.get(number, []), [])
            for number in range(1, count + 1)
        ]
        for number, one in enumerate(passes, 1):
            for stored, memory in one.stores:
                if any(stored in self.values_of(later) for later in passes[number:]):
                    one.kept.append((stored, memory))
        self._keep_expensive(passes)
        return passes

    def _keep_expensive(self, passes: list[Pass]) -> None:
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

    def values_of(self, one: Pass) -> set[ir.Value]:
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
            Row(self, at).build()
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
