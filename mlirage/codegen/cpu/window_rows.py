"""Loops around the rows of a window op: blocks of outer loops, and which taps lie inside the image.

What a row is made of, the kinds say: vectors of channels (window.py), or of neighbours (planes.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, extent
from mlirage.codegen.cpu.index_math import Index, Place, add, div, evaluate, larger, mul, smaller, sub, value
from mlirage.codegen.cpu.padded_taps import taps_inside
from mlirage.codegen.cpu.tile_outputs import Output, find_outputs
from mlirage.codegen.cpu.window_op import Padding, Window, find_padding, linear_terms, reads_filter
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, scf, vector

# Windows with more taps are looped over.
UNROLLED_TAPS = 32

Ranges = Mapping[int, tuple[Index, Index]]


class WindowRows(ABC):
    """Builds the loops of one entry; a kind adds rows.

    Args:
      entry: what is computed.
      window: its root.
      configuration: blocks, lanes and neighbours.
      target: the processor.
    """

    def __init__(self, entry: Entry, window: Window, configuration: Configuration, target: CpuTarget) -> None:
        lanes, neighbours = configuration.data["lanes"], configuration.data["neighbours"]
        assert isinstance(lanes, int)
        assert isinstance(neighbours, int)
        self.entry, self.window, self.target = entry, window, target
        self.tiles, self.lanes, self.neighbours = configuration.workgroup_tiles, lanes, neighbours
        op = window.op
        self.maps = structured_ops.indexing_maps(op)
        self.block = structured_ops.body(op)
        self.has_filter = reads_filter(op)
        accumulator = structured_ops.element_type(op.results[0].type)
        self.fused = target.has_fma and isinstance(accumulator, ir.F32Type | ir.F64Type)
        self.product = structured_ops.multiply_add(op)
        self.terms = [linear_terms(e) or {} for e in window.image_map.results]

    def build(self) -> None:
        terminator = list(self.entry.function.entry_block.operations)[-1].operation
        root = self.window.op.results[0]
        with ir.InsertionPoint(terminator), self.window.op.location:
            self.outputs: list[Output] = find_outputs(self.entry, root)
            self.padding: Padding = find_padding(self.window)
            self.sizes = [
                extent(self.padding.source, d) for d in range(ir.RankedTensorType(self.padding.source.type).rank)
            ]
            written = structured_ops.map_dims(self.maps[2])
            init = structured_ops.outputs(self.window.op)[0]
            self.extents: dict[int, Index] = {
                loop: extent(init, d) for d, loop in enumerate(written) if loop is not None
            }
            self._distribute()
        for op in [o for o in self.entry.walk() if o.name == "bufferization.materialize_in_destination"]:
            op.erase()

    def _distribute(self) -> None:
        loops = [loop for loop, tile in enumerate(self.tiles) if tile]
        if not loops:
            self._rows(self.window.outer, {}, {}, dict(self.extents))
            return
        forall = scf.ForallOp([0] * len(loops), [self.extents[x] for x in loops], [self.tiles[x] for x in loops])
        with ir.InsertionPoint(forall.body):
            sizes = dict(self.extents)
            starts: dict[int, Index] = dict(zip(loops, forall.induction_variables, strict=True))
            for loop in loops:
                sizes[loop] = (
                    1 if self.tiles[loop] == 1 else smaller(self.tiles[loop], sub(self.extents[loop], starts[loop]))
                )
            self._rows(self.window.outer, {}, starts, sizes)
            scf.InParallelOp()

    def _rows(
        self, loops: Sequence[int], at: dict[int, Index], starts: Mapping[int, Index], sizes: Mapping[int, Index]
    ) -> None:
        """Loops over the outer loops; then one row of the result."""
        if loops:
            first = loops[0]
            for_each(
                sizes[first],
                1,
                lambda i: self._rows(loops[1:], {**at, first: add(starts.get(first, 0), i)}, starts, sizes),
            )
            return
        ranges = {
            loop: self.tap_range(loop, count, at)
            for loop, count in zip(self.window.taps, self.window.extents, strict=True)
            if self.window.along not in self.companions(loop)
        }
        inside: ir.Value | None = None
        for loop, (low, high) in ranges.items():
            count = self.window.extents[self.window.taps.index(loop)]
            if isinstance(low, int) and isinstance(high, int):
                if (low, high) == (0, count):
                    continue
                self.row(at, ranges)
                return
            whole = arith.cmpi(arith.CmpIPredicate.eq, value(sub(high, low)), value(count))
            inside = whole if inside is None else arith.andi(inside, whole)
        full = {
            loop: (0, count)
            for loop, count in zip(self.window.taps, self.window.extents, strict=True)
            if loop in ranges
        }
        if inside is None:
            self.row(at, full)
        else:
            if_else(inside, lambda: self.row(at, full), lambda: self.row(at, ranges))

    def companions(self, tap: int) -> set[int]:
        """The loops that are summed with a tap loop to an index of the image."""
        return {loop for terms in self.terms if tap in terms for loop in terms}

    def tap_range(self, tap: int, count: int, at: Mapping[int, Index]) -> tuple[Index, Index]:
        """The taps of one loop that lie inside the image."""
        low: Index = 0
        high: Index = count
        for dim, terms in enumerate(self.terms):
            if tap not in terms or not self.padding.padded[dim]:
                continue
            start: Index = 0
            for loop, factor in terms.items():
                if loop != tap:
                    start = add(start, mul(at[loop], factor))
            first, last = taps_inside(start, terms[tap], count, self.padding.low[dim], self.sizes[dim])
            low, high = larger(low, first), smaller(high, last)
        return low, larger(low, high)

    @abstractmethod
    def row(self, at: Mapping[int, Index], ranges: Ranges) -> None:
        """Builds one row of the result.

        Args:
          at: the place in the outer loops.
          ranges: the taps inside the image, of those tap loops that do not run along rows.
        """

    def inside(self, count: Index) -> tuple[Index, Index]:
        """The elements along a row whose windows lie inside the image as a whole."""
        first: Index = 0
        last = count
        for dim, terms in enumerate(self.terms):
            factor = terms.get(self.window.along)
            if factor is None or not self.padding.padded[dim]:
                continue
            reach = sum(
                terms[loop] * (n - 1)
                for loop, n in zip(self.window.taps, self.window.extents, strict=True)
                if loop in terms
            )
            first = larger(first, div(add(self.padding.low[dim], factor - 1), factor))
            room = larger(0, sub(add(self.sizes[dim], self.padding.low[dim]), reach))
            last = smaller(last, div(add(room, factor - 1), factor))
        first = smaller(first, count)
        return first, larger(first, last)

    def loops(self, at: Mapping[int, Index], taps: Mapping[int, Index]) -> dict[int, Place]:
        loops = {loop: Place(i) for loop, i in (*at.items(), *taps.items())}
        loops[self.window.lane] = Place(at[self.window.lane], 1)
        return loops

    def places(self, operand: int, loops: dict[int, Place]) -> list[Place]:
        return [evaluate(e, loops, {}) for e in self.maps[operand].results]

    def sum(
        self,
        sums: list[ir.Value],
        ranges: Ranges,
        tap: Callable[[Mapping[int, Index], list[ir.Value]], list[ir.Value]],
        level: int = 0,
        taps: Mapping[int, Index] | None = None,
    ) -> list[ir.Value]:
        """Adds all taps to sums in registers: few are unrolled, others looped over."""
        taps = taps or {}
        if level == len(self.window.taps):
            return tap(taps, sums)
        loop = self.window.taps[level]
        low, high = ranges[loop]
        if isinstance(low, int) and isinstance(high, int) and math.prod(self.window.extents[level:]) <= UNROLLED_TAPS:
            for i in range(low, high):
                sums = self.sum(sums, ranges, tap, level + 1, {**taps, loop: i})
            return sums
        loop_op = scf.ForOp(value(low), value(high), value(1), sums)
        with ir.InsertionPoint(loop_op.body):
            inner = list(loop_op.inner_iter_args)
            scf.yield_(self.sum(inner, ranges, tap, level + 1, {**taps, loop: loop_op.induction_variable}))
        return list(loop_op.results)

    def add_tap(
        self,
        elements: Elements,
        pixel: ir.Value,
        weight: ir.Value | None,
        total: ir.Value,
        loops: Mapping[int, Place],
    ) -> ir.Value:
        """What the body makes of one tap."""
        if self.fused and self.product is not None and self._plain_product():
            assert weight is not None
            return vector.fma(pixel, weight, total)
        return elements.clone_body(self.block, [pixel, weight, total], loops)[0]

    def finish(self, elements: Elements, total: ir.Value, at: Mapping[int, Index]) -> None:
        """What follows, and the stores, of one vector of the result."""
        result = self.places(2, self.loops(at, {}))
        finished = elements.knowing({self.window.op.results[0]: total})
        for output in self.outputs:
            target = [result[d] for d in output.order]
            finished.store(finished.read(output.tensor, target), output.buffer, target)

    def _plain_product(self) -> bool:
        """Whether the body multiplies its arguments as they are."""
        assert self.product is not None
        return set(self.product[1:]) == {self.block.arguments[0], self.block.arguments[1]}
