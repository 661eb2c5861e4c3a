"""kind "planes": depthwise convolutions and poolings with the channels first, with the elementwise ops around them.

    for each workgroup:                          blocks of outer loops: channels, result rows
      for each row of the result:                window_rows.py
        for each few vectors of neighbours:      sums in registers, all taps of the window unrolled

Taps of neighbours are loads at neighbouring places; with a stride s, of s vectors of which every s-th element is taken.
Vectors at the ends of a row leave out what lies in the padding. One such op in a program is not worth copies of what it
reads and writes to the other layout, where it is somewhat faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.index_math import Index, Place, add, div, mul, smaller, sub, value
from mlirage.codegen.cpu.window_op import (
    Window,
    find_padding,
    is_only_finished,
    linear_terms,
    match_window,
    root_op,
    vector_lanes,
    workgroup_tiles,
)
from mlirage.codegen.cpu.window_rows import Ranges, WindowRows
from mlirage.codegen.register_shapes import bit_width
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, vector

KIND = "planes"
LLVM_UNROLLS = False  # tiles are in registers

_VECTORS = 4  # together: enough sums in flight
_UNROLLED = 8  # rows of so many vectors have code for each of them
_MOST_STEPS = 4


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries with one window op that keeps its channels and has them outside."""
    window = root_window(entry)
    if window is None:
        return None
    data = {"lanes": vector_lanes(window, target), "neighbours": _VECTORS}
    return window.op, Configuration(KIND, workgroup_tiles(window), data)


def root_window(entry: Entry) -> Window | None:
    """The window op of an entry that this kind can compute."""
    op = root_op(entry)
    window = None if op is None else match_window(op)
    if op is None or window is None or window.lane != window.along or not is_only_finished(entry, window):
        return None
    terms = linear_terms(window.image_map.results[-1]) or {}
    image, result = (structured_ops.element_type(v.type) for v in (window.image, op.results[0]))
    if terms[window.lane] > _MOST_STEPS or image != result or bit_width(image) < 8 or _buffer(window) is None:
        return None
    return window


def _buffer(window: Window) -> ir.Value | None:
    """Where the image, but for padding that adds nothing, lies; None if it is no operand of the entry."""
    image = find_padding(window).source
    while not isinstance(image.owner, ir.Block):
        op = image.owner.operation
        if op.name == "bufferization.to_tensor":
            return op.operands[0]
        if op.name != "tensor.cast":
            return None
        image = op.operands[0]
    return None


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the entry's body by the loops of the module docstring, on buffers."""
    window = root_window(entry)
    assert window is not None, "configured by hand?"
    _Kernel(entry, window, configuration, target).build()


@dataclass(frozen=True)
class _Vector:
    """Neighbours in a row.

    Attributes:
      at: the place of the first one.
      elements: which of them there are.
      inside: whether all of their taps are known to lie inside the image.
    """

    at: Mapping[int, Index]
    elements: Elements
    inside: bool


class _Kernel(WindowRows):
    def row(self, at: Mapping[int, Index], ranges: Ranges) -> None:
        """Vectors of neighbours, those inside the image in a loop."""
        count, lanes = self.extents[self.window.along], self.lanes
        taps = zip(self.window.taps, self.window.extents, strict=True)
        ranges = {**ranges, **{loop: (0, n) for loop, n in taps if loop not in ranges}}
        first, last = self.inside(count)
        if not isinstance(count, int) or not isinstance(first, int) or not isinstance(last, int):
            for_each(
                div(add(count, lanes - 1), lanes), 1, lambda i: self._tile([self._vector(at, mul(i, lanes))], ranges)
            )
            return
        starts = list(range(0, count, lanes))
        whole = [start for start in starts if first <= start and start + lanes <= last]
        if len(starts) <= _UNROLLED or len(whole) < 2 * self.neighbours:
            self._tiles(at, starts, ranges)
            return
        self._tiles(at, [start for start in starts if start < whole[0]], ranges)
        groups = len(whole) // self.neighbours

        def group(i: Index) -> None:
            start = add(whole[0], mul(i, self.neighbours * lanes))
            vectors = [self._vector(at, add(start, n * lanes), True) for n in range(self.neighbours)]
            self._tile(vectors, ranges)

        for_each(groups, 1, group)
        self._tiles(at, whole[groups * self.neighbours :] + [s for s in starts if s > whole[-1]], ranges)

    def _tiles(self, at: Mapping[int, Index], starts: Sequence[int], ranges: Ranges) -> None:
        """Vectors at known places, about equally many at a time."""
        parts = -(-len(starts) // self.neighbours)
        for part in range(parts):
            mine = starts[part * len(starts) // parts : (part + 1) * len(starts) // parts]
            self._tile([self._vector(at, start) for start in mine], ranges)

    def _vector(self, at: Mapping[int, Index], start: Index, inside: bool = False) -> _Vector:
        count = self.extents[self.window.along]
        left = smaller(self.lanes, sub(count, start)) if not inside else self.lanes
        elements = Elements(self.lanes)
        if left != self.lanes:
            mask = vector.create_mask(ir.VectorType.get([self.lanes], ir.IntegerType.get_signless(1)), [value(left)])
            elements = Elements(self.lanes, mask, left)
        return _Vector({**at, self.window.along: start}, elements, inside)

    def _tile(self, vectors: Sequence[_Vector], ranges: Ranges) -> None:
        """A few vectors: sums over the taps, then what follows, then the stores."""
        init = structured_ops.outputs(self.window.op)[0]
        sums = [v.elements.read(init, self.places(2, self.loops(v.at, {}))) for v in vectors]
        sums = self.sum(sums, ranges, lambda taps, sums: self._tap(taps, sums, vectors))
        for v, total in zip(vectors, sums, strict=True):
            self.finish(v.elements, total, v.at)

    def _tap(self, taps: Mapping[int, Index], sums: Sequence[ir.Value], vectors: Sequence[_Vector]) -> list[ir.Value]:
        plain = Elements(self.lanes)
        weight: ir.Value | None = None
        if self.has_filter:
            place = self.places(1, self.loops(vectors[0].at, taps))
            weight = plain.read(self.window.op.operands[1], place)
        result: list[ir.Value] = []
        for v, total in zip(vectors, sums, strict=True):
            loops = self.loops(v.at, taps)
            image = [
                Place(sub(p.base, low), p.step) for p, low in zip(self.places(0, loops), self.padding.low, strict=True)
            ]
            pixels = self._pixels(image, v.inside)
            result.append(total if pixels is None else self.add_tap(plain, pixels, weight, total, loops))
        return result

    def _pixels(self, places: Sequence[Place], inside: bool) -> ir.Value | None:
        """Every few pixels of a row; None if none of them lies in the image."""
        lanes, step = self.lanes, places[-1].step
        # the last part ends with the last lane, so as not to read over the end of the row
        offsets = [min(part * lanes, (step - 1) * (lanes - 1)) for part in range(step)]
        parts = [self._part(places, offset, inside) for offset in offsets]
        if not any(isinstance(part, ir.Value) for part in parts):
            return None
        vectors = [part if part is not None else self._outside() for part in parts]
        pixels = vectors[0]
        for number in range(1, step):
            low, high = offsets[number], offsets[number] + lanes
            lane = [lane * step for lane in range(lanes)]
            if number == 1:
                mask = [e if e < low else min(lanes + e - low, 2 * lanes - 1) for e in lane]
            else:
                mask = [i if e < low else lanes + min(e, high - 1) - low for i, e in enumerate(lane)]
            pixels = vector.shuffle(pixels, vectors[number], mask)
        return pixels

    def _outside(self) -> ir.Value:
        """The padding, in every lane."""
        return Elements(self.lanes).spread(self._padding_scalar())

    def _padding_scalar(self) -> ir.Value:
        if self.padding.value is not None:
            return arith.constant(self.padding.value.type, self.padding.value)
        element = structured_ops.element_type(self.padding.source.type)
        zero = ir.Attribute.parse(f"{0 if isinstance(element, ir.IntegerType) else 0.0} : {element}")
        return arith.constant(element, zero)

    def _part(self, places: Sequence[Place], offset: int, inside: bool) -> ir.Value | None:
        """A vector of neighbouring pixels, those outside of the row replaced by the padding; None: all of them are."""
        buffer, width = _buffer(self.window), self.sizes[-1]
        assert buffer is not None, "root_window was not asked"
        base = add(places[-1].base, offset)
        indices = [value(p.base) for p in places[:-1]]
        kind = ir.VectorType.get([self.lanes], ir.MemRefType(buffer.type).element_type)
        if inside or (isinstance(base, int) and isinstance(width, int) and 0 <= base <= width - self.lanes):
            return vector.load(kind, buffer, [*indices, value(base)])
        if isinstance(base, int) and isinstance(width, int) and (base >= width or base + self.lanes <= 0):
            return None
        numbers = Elements(self.lanes).lane_numbers(Place(base, 1))
        # as an unsigned number, a place before the row is larger than any extent
        size = Elements(self.lanes).spread(value(width))
        mask = arith.cmpi(arith.CmpIPredicate.ult, numbers, size)
        return vector.maskedload(kind, buffer, [*indices, value(base)], mask, self._outside())
