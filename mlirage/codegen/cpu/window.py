"""kind "window": depthwise convolutions and poolings with the channels last, with the elementwise ops around them.

    for each workgroup:                          blocks of outer loops, result rows and channels
      for each row of the result:                window_rows.py
        for each vector of channels:
          for each tile of neighbours in a row:  sums in registers, all taps of the window unrolled

(poolings: neighbours outside, channels inside).

Padding that adds nothing to a window (zeros of a sum, the lowest value of a maximum) is never read: near the edges the
taps outside are left out. Rows that reach over an edge loop over the taps they have; so do single elements at the
ends of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.index_math import Index, Place, add, div, mul, rem, sub, value
from mlirage.codegen.cpu.integer_products import find_integer_product
from mlirage.codegen.cpu.window_op import (
    Window,
    is_only_finished,
    match_window,
    root_op,
    vector_lanes,
    workgroup_tiles,
)
from mlirage.codegen.cpu.window_rows import UNROLLED_TAPS, Ranges, WindowRows
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, vector

KIND = "window"
LLVM_UNROLLS = False  # tiles are in registers: nothing is gained, and compiling takes three times as long

_NEIGHBOURS = 6
_NEIGHBOURS_OF_MANY_REGISTERS = 8


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries with one window op that keeps its channels."""
    window = root_window(entry)
    if window is None:
        return None
    neighbours = _NEIGHBOURS_OF_MANY_REGISTERS if target.vector_registers >= 32 else _NEIGHBOURS
    data = {"lanes": vector_lanes(window, target), "neighbours": neighbours}
    return window.op, Configuration(KIND, workgroup_tiles(window), data)


def root_window(entry: Entry) -> Window | None:
    """The window op of an entry that this kind can compute."""
    op = root_op(entry)
    window = None if op is None else match_window(op)
    if window is None or window.lane == window.along or not is_only_finished(entry, window):
        return None
    return window


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the entry's body by the loops of the module docstring, on buffers."""
    window = root_window(entry)
    assert window is not None, "configured by hand?"
    _Kernel(entry, window, configuration, target).build()


class _Kernel(WindowRows):
    def __init__(self, entry: Entry, window: Window, configuration: Configuration, target: CpuTarget) -> None:
        super().__init__(entry, window, configuration, target)
        self.dot = find_integer_product(window.op, self.lanes, target)

    def row(self, at: Mapping[int, Index], ranges: Ranges) -> None:
        """One row of the result. A filter stays in registers along the row; without one, memory is read in order."""
        lane = self.window.lane

        def tile(places: Sequence[Mapping[int, Index]], taps: Ranges, start: Index, e: Elements) -> None:
            self._tile([{**place, lane: start} for place in places], taps, e)

        if self.has_filter:
            self._channels(lambda start, e: self._along(at, ranges, lambda p, taps: tile(p, taps, start, e)))
        else:
            self._along(at, ranges, lambda p, taps: self._channels(lambda start, e: tile(p, taps, start, e)))

    def _along(
        self,
        at: Mapping[int, Index],
        ranges: Ranges,
        run: Callable[[Sequence[Mapping[int, Index]], Ranges], None],
    ) -> None:
        """Along a row: elements whose windows reach over its start, tiles inside, the rest one by one."""
        along = self.window.along
        count = self.extents[along]
        first, last = self.inside(count)
        if isinstance(count, int) and isinstance(first, int) and isinstance(last, int) and self._unrolls_along():
            self._along_static(at, ranges, run, count, range(first, last))
            return
        free = [(loop, n) for loop, n in zip(self.window.taps, self.window.extents, strict=True) if loop not in ranges]

        def edge(i: Index) -> None:
            here = {**at, along: i}
            run([here], {**ranges, **{loop: self.tap_range(loop, n, here) for loop, n in free}})

        def tiles(number: int) -> Callable[[Index], None]:
            def build(i: Index) -> None:
                places = [{**at, along: add(add(first, i), n)} for n in range(number)]
                run(places, {**ranges, **{loop: (0, n) for loop, n in free}})

            return build

        for_each(first, 1, edge)
        inner = sub(last, first)
        grouped = mul(div(inner, self.neighbours), self.neighbours)
        for_each(grouped, self.neighbours, tiles(self.neighbours))
        left = sub(inner, grouped)
        if isinstance(left, int):
            if left:
                tiles(left)(grouped)
        else:
            for_each(left, 1, lambda i: tiles(1)(add(grouped, i)))
        for_each(sub(count, last), 1, lambda i: edge(add(last, i)))

    def _unrolls_along(self) -> bool:
        """Whether taps along a row are constants, so that those outside of the image can be left out one by one."""
        wide = [level for level, tap in enumerate(self.window.taps) if self.window.along in self.companions(tap)]
        return all(math.prod(self.window.extents[level:]) <= UNROLLED_TAPS for level in wide)

    def _along_static(
        self,
        at: Mapping[int, Index],
        ranges: Ranges,
        run: Callable[[Sequence[Mapping[int, Index]], Ranges], None],
        count: int,
        inside: range,
    ) -> None:
        """Along a row of known extent: tiles of (nearly) equal size, those at the edges with code of their own."""
        along = self.window.along
        taps = zip(self.window.taps, self.window.extents, strict=True)
        whole = {**ranges, **{loop: (0, n) for loop, n in taps if loop not in ranges}}

        def tile(start: Index, size: int) -> None:
            run([{**at, along: add(start, n)} for n in range(size)], whole)

        parts = -(-count // self.neighbours)
        sizes = [count // parts + (part < count % parts) for part in range(parts)]
        start = 0
        while sizes:
            size, repeated = sizes[0], 0
            if start in inside:
                run_ = [s for s in sizes[: (inside.stop - start) // size] if s == size]
                repeated = len(run_)
            if repeated > 1:
                for_each(repeated, 1, lambda i, start=start, size=size: tile(add(start, mul(i, size)), size))
            else:
                tile(start, size)
            sizes = sizes[max(repeated, 1) :]
            start += size * max(repeated, 1)

    def _channels(self, run: Callable[[Index, Elements], None]) -> None:
        """All channels: vectors, then the end of the channels."""
        whole = div(self.extents[self.window.lane], self.lanes)
        left = rem(self.extents[self.window.lane], self.lanes)

        def tail() -> None:
            mask = vector.create_mask(ir.VectorType.get([self.lanes], ir.IntegerType.get_signless(1)), [value(left)])
            run(mul(whole, self.lanes), Elements(self.lanes, mask, left))

        for_each(whole, 1, lambda i: run(mul(i, self.lanes), Elements(self.lanes)))
        if isinstance(left, int):
            if left:
                tail()
        else:
            if_else(arith.cmpi(arith.CmpIPredicate.ne, left, value(0)), tail, None)

    def _tile(self, places: Sequence[Mapping[int, Index]], ranges: Ranges, elements: Elements) -> None:
        """A few neighbours: sums over the taps, then what follows, then the stores."""
        init = structured_ops.outputs(self.window.op)[0]
        sums = [elements.read(init, self.places(2, self.loops(at, {}))) for at in places]
        sums = self.sum(sums, ranges, lambda taps, sums: self._tap(taps, sums, places, elements))
        for at, total in zip(places, sums, strict=True):
            self.finish(elements, total, at)

    def _tap(
        self,
        taps: Mapping[int, Index],
        sums: Sequence[ir.Value],
        places: Sequence[Mapping[int, Index]],
        elements: Elements,
    ) -> list[ir.Value]:
        weight: ir.Value | None = None
        if self.has_filter:
            weight = elements.read(self.window.op.operands[1], self.places(1, self.loops(places[0], taps)))
        result: list[ir.Value] = []
        for at, total in zip(places, sums, strict=True):
            if self._is_outside(at, taps):
                result.append(total)
                continue
            loops = self.loops(at, taps)
            image = [
                Place(sub(p.base, low), p.step) for p, low in zip(self.places(0, loops), self.padding.low, strict=True)
            ]
            pixel = elements.read(self.padding.source, image)
            if self.dot is not None:
                assert weight is not None
                result.append(self.dot.add(elements, pixel, weight, total))
            else:
                result.append(self.add_tap(elements, pixel, weight, total, loops))
        return result

    def _is_outside(self, at: Mapping[int, Index], taps: Mapping[int, Index]) -> bool:
        """Whether a tap is known to lie in the padding before or after a row."""
        for dim, terms in enumerate(self.terms):
            if self.window.along not in terms or not self.padding.padded[dim]:
                continue
            if not isinstance(at[self.window.along], int):
                return False
            place: Index = 0
            for loop, factor in terms.items():
                place = add(place, mul(taps[loop] if loop in taps else at[loop], factor))
            low, size = self.padding.low[dim], self.sizes[dim]
            if isinstance(place, int) and isinstance(low, int) and isinstance(size, int):
                return not low <= place < low + size
        return False
