"""kind "window": depthwise convolutions and poolings with the channels last, with the elementwise ops around them.

    for each workgroup:                          blocks of outer loops, result rows and channels
      for each row of the result:
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
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, extent, is_readable, pad_amounts
from mlirage.codegen.cpu.index_math import (
    Index,
    Place,
    add,
    div,
    evaluate,
    larger,
    mul,
    rem,
    smaller,
    sub,
    value,
)  # fmt: skip
from mlirage.codegen.cpu.integer_products import find_integer_product, zero_point
from mlirage.codegen.cpu.tile_outputs import Output, find_outputs, is_fusable
from mlirage.codegen.register_shapes import bit_width
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, scf, vector

KIND = "window"
LLVM_UNROLLS = False  # tiles are in registers: nothing is gained, and compiling takes three times as long

_WORKGROUP_TAPS = 150_000
_GUESS = 32
# Windows with more taps are looped over.
_UNROLLED_TAPS = 32
_NEIGHBOURS = 6
_NEIGHBOURS_OF_MANY_REGISTERS = 8


@dataclass(frozen=True)
class Window:
    """The roles of the loops of a window op.

    Attributes:
      op: the structured op; input 0 is the image, input 1 the filter, or only the shape of the window.
      channel: the innermost loop of image and result.
      along: the loop of the result's rows, next to the channels.
      outer: the other parallel loops.
      taps: the reduction loops.
      extents: of the taps.
    """

    op: ir.Operation
    channel: int
    along: int
    outer: tuple[int, ...]
    taps: tuple[int, ...]
    extents: tuple[int, ...]

    @property
    def image(self) -> ir.Value:
        """The operand that the window slides over."""
        return self.op.operands[0]

    @property
    def image_map(self) -> ir.AffineMap:
        """How the image is read."""
        return structured_ops.indexing_maps(self.op)[0]


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries with one window op that keeps its channels."""
    window = root_window(entry)
    if window is None:
        return None
    lanes = vector_lanes(window, target)
    extents = structured_ops.loop_extents(window.op)
    known = [_GUESS if e == structured_ops.DYNAMIC else max(e, 1) for e in extents]
    tiles = [0] * len(extents)
    work = known[window.along] * known[window.channel] * math.prod(window.extents)
    for loop in reversed(window.outer):
        if work >= _WORKGROUP_TAPS:
            tiles[loop] = 1 if extents[loop] != 1 else 0
        elif extents[loop] == structured_ops.DYNAMIC or work * known[loop] > 2 * _WORKGROUP_TAPS:
            tiles[loop] = max(1, _WORKGROUP_TAPS // work)
        work *= tiles[loop] or known[loop]
    tiles = [0 if e != structured_ops.DYNAMIC and t >= e else t for t, e in zip(tiles, extents, strict=True)]
    neighbours = _NEIGHBOURS_OF_MANY_REGISTERS if target.vector_registers >= 32 else _NEIGHBOURS
    return window.op, Configuration(KIND, tuple(tiles), {"lanes": lanes, "neighbours": neighbours})


def vector_lanes(window: Window, target: CpuTarget) -> int:
    """Channels per vector."""
    element = structured_ops.element_type(window.op.results[0].type)
    return max(2, 8 * target.vector_bytes // max(8, bit_width(element)))


def root_window(entry: Entry) -> Window | None:
    """The window op of an entry that this kind can compute."""
    reducing = [
        op for op in entry.structured_ops() if op.name != "linalg.fill" and not all(structured_ops.parallel_loops(op))
    ]
    if len(reducing) != 1:
        return None
    window = match_window(reducing[0])
    if window is None:
        return None
    op = window.op
    reads = [window.image, structured_ops.outputs(op)[0]]
    if reads_filter(op):
        reads.append(op.operands[1])
    written = [o.operands[0] for o in entry.walk() if o.name == "bufferization.materialize_in_destination"]
    if not written or not all(map(is_readable, reads)) or not all(is_fusable(v, op.results[0]) for v in written):
        return None
    return window


def reads_filter(op: ir.Operation) -> bool:
    """Whether the second operand is a filter; else only its shape matters."""
    return bool(list(structured_ops.body(op).arguments[1].uses))


def match_window(op: ir.Operation) -> Window | None:
    """`op` as a window op whose channels are the innermost dim of image and result."""
    if structured_ops.segment_sizes(op) != [2, 1] or len(op.results) != 1:
        return None
    image, other, result = structured_ops.indexing_maps(op)
    written = structured_ops.map_dims(result)
    if len(written) < 2 or None in written or len(set(written)) != len(written):
        return None
    order = [loop for loop in written if loop is not None]
    parallel = structured_ops.parallel_loops(op)
    taps = tuple(loop for loop, is_parallel in enumerate(parallel) if not is_parallel)
    if set(order) != set(range(len(parallel))) - set(taps) or structured_ops.map_dims(image)[-1:] != order[-1:]:
        return None
    terms = [linear_terms(e) for e in image.results]
    if any(t is None for t in terms) or None in structured_ops.map_dims(other):
        return None
    if sum(order[-1] in (t or {}) for t in terms) != 1:
        return None
    if reads_filter(op) and order[-2] in structured_ops.map_dims(other):
        return None  # neighbours in a row share what is read of the filter
    if any(inner.operation.name in ("linalg.index", "tensor.extract") for inner in structured_ops.body(op).operations):
        return None  # what an element is made of must lie in the vectors that are read
    all_extents = structured_ops.loop_extents(op)
    extents = tuple(all_extents[loop] for loop in taps)
    if structured_ops.DYNAMIC in extents:
        return None
    return Window(op, order[-1], order[-2], tuple(order[:-2]), taps, extents)


def linear_terms(expr: ir.AffineExpr) -> dict[int, int] | None:
    """The factor of every loop in a weighted sum of loops without a constant; None if it is anything else."""
    match expr:
        case ir.AffineDimExpr():
            return {expr.position: 1}
        case ir.AffineAddExpr():
            a, b = linear_terms(expr.lhs), linear_terms(expr.rhs)
            if a is None or b is None:
                return None
            return {loop: a.get(loop, 0) + b.get(loop, 0) for loop in {**a, **b}}
        case ir.AffineMulExpr() if isinstance(expr.rhs, ir.AffineConstantExpr):
            a, factor = linear_terms(expr.lhs), expr.rhs.value
            return None if a is None or factor <= 0 else {loop: f * factor for loop, f in a.items()}
        case _:
            return None


@dataclass(frozen=True)
class _Padding:
    """What is left out at the edges: the padded image without its padding, and how much was added before each dim."""

    source: ir.Value
    low: tuple[Index, ...]
    padded: tuple[bool, ...]


def _padding(window: Window) -> _Padding:
    """The padding of the image that may be left out. Padding that counts is read, element by element."""
    image = window.image
    rank = ir.RankedTensorType(image.type).rank
    as_it_is = _Padding(image, (0,) * rank, (False,) * rank)
    op = None if isinstance(image.owner, ir.Block) else image.owner.operation
    if op is None or op.name != "tensor.pad" or not _adds_nothing(window.op, op):
        return as_it_is
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    if segments[1] or segments[2]:
        padded = [True] * rank
    else:
        amounts = [ir.DenseI64ArrayAttr(op.attributes[name]) for name in ("static_low", "static_high")]
        padded = [bool(low or high) for low, high in zip(*amounts, strict=True)]
    for indexing, is_padded in zip(window.image_map.results, padded, strict=True):
        terms = linear_terms(indexing) or {}
        if is_padded and sum(loop in window.taps for loop in terms) != 1:
            return as_it_is
    low, _ = pad_amounts(op)
    return _Padding(op.operands[0], tuple(low), tuple(padded))


def _adds_nothing(op: ir.Operation, pad: ir.Operation) -> bool:
    """Whether taps that read the padding leave the sum as it is."""
    padding = list(pad.regions[0].blocks[0].operations)[-1].operation.operands[0]
    owner = None if isinstance(padding.owner, ir.Block) else padding.owner.operation
    if owner is None or owner.name != "arith.constant":
        return False
    number = owner.attributes["value"]
    scalar = ir.FloatAttr(number).value if isinstance(number, ir.FloatAttr) else ir.IntegerAttr(number).value
    if structured_ops.multiply_add(op) is not None:
        return scalar == zero_point(op)
    ops = [inner.operation for inner in structured_ops.body(op).operations]
    if len(ops) != 2:
        return False
    lowest = -math.inf if isinstance(number, ir.FloatAttr) else -(1 << (bit_width(padding.type) - 1))
    match ops[0].name:
        case "arith.addf" | "arith.addi":
            return scalar == 0
        case "arith.maximumf" | "arith.maxnumf" | "arith.maxsi":
            return scalar == lowest
        case "arith.maxui":
            return scalar == 0
        case "arith.minimumf" | "arith.minnumf":
            return scalar == math.inf
        case _:
            return False


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the entry's body by the loops of the module docstring, on buffers."""
    window = root_window(entry)
    assert window is not None, "configured by hand?"
    _Kernel(entry, window, configuration, target).build()


class _Kernel:
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
        self.dot = find_integer_product(op, lanes, target)

    def build(self) -> None:
        terminator = list(self.entry.function.entry_block.operations)[-1].operation
        root = self.window.op.results[0]
        with ir.InsertionPoint(terminator), self.window.op.location:
            self.outputs: list[Output] = find_outputs(self.entry, root)
            self.padding = padding = _padding(self.window)
            self.sizes = [extent(padding.source, d) for d in range(ir.RankedTensorType(padding.source.type).rank)]
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
            loop: self._tap_range(loop, count, at)
            for loop, count in zip(self.window.taps, self.window.extents, strict=True)
            if self.window.along not in self._companions(loop)
        }
        inside: ir.Value | None = None
        for loop, (low, high) in ranges.items():
            count = self.window.extents[self.window.taps.index(loop)]
            if isinstance(low, int) and isinstance(high, int):
                if (low, high) == (0, count):
                    continue
                self._row(at, ranges)
                return
            whole = arith.cmpi(arith.CmpIPredicate.eq, value(sub(high, low)), value(count))
            inside = whole if inside is None else arith.andi(inside, whole)
        full = {
            loop: (0, count)
            for loop, count in zip(self.window.taps, self.window.extents, strict=True)
            if loop in ranges
        }
        if inside is None:
            self._row(at, full)
        else:
            if_else(inside, lambda: self._row(at, full), lambda: self._row(at, ranges))

    def _companions(self, tap: int) -> set[int]:
        """The loops that are summed with a tap loop to an index of the image."""
        return {loop for terms in self.terms if tap in terms for loop in terms}

    def _tap_range(self, tap: int, count: int, at: Mapping[int, Index]) -> tuple[Index, Index]:
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
            step = terms[tap]
            before = larger(0, sub(self.padding.low[dim], start))
            low = larger(low, div(add(before, step - 1), step))
            room = larger(0, sub(add(self.sizes[dim], self.padding.low[dim]), start))
            high = smaller(high, div(add(room, step - 1), step))
        return low, larger(low, high)

    def _row(self, at: Mapping[int, Index], ranges: Mapping[int, tuple[Index, Index]]) -> None:
        """One row of the result. A filter stays in registers along the row; without one, memory is read in order."""
        channel = self.window.channel

        def tile(
            places: Sequence[Mapping[int, Index]], taps: Mapping[int, tuple[Index, Index]], start: Index, e: Elements
        ) -> None:
            self._tile([{**place, channel: start} for place in places], taps, e)

        if self.has_filter:
            self._channels(lambda start, e: self._along(at, ranges, lambda p, taps: tile(p, taps, start, e)))
        else:
            self._along(at, ranges, lambda p, taps: self._channels(lambda start, e: tile(p, taps, start, e)))

    def _along(
        self,
        at: Mapping[int, Index],
        ranges: Mapping[int, tuple[Index, Index]],
        run: Callable[[Sequence[Mapping[int, Index]], Mapping[int, tuple[Index, Index]]], None],
    ) -> None:
        """Along a row: elements whose windows reach over its start, tiles inside, the rest one by one."""
        along = self.window.along
        count = self.extents[along]
        first, last = self._inside(count)
        if isinstance(count, int) and isinstance(first, int) and isinstance(last, int) and self._unrolls_along():
            self._along_static(at, ranges, run, count, range(first, last))
            return
        free = [(loop, n) for loop, n in zip(self.window.taps, self.window.extents, strict=True) if loop not in ranges]

        def edge(i: Index) -> None:
            here = {**at, along: i}
            run([here], {**ranges, **{loop: self._tap_range(loop, n, here) for loop, n in free}})

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
        wide = [level for level, tap in enumerate(self.window.taps) if self.window.along in self._companions(tap)]
        return all(math.prod(self.window.extents[level:]) <= _UNROLLED_TAPS for level in wide)

    def _along_static(
        self,
        at: Mapping[int, Index],
        ranges: Mapping[int, tuple[Index, Index]],
        run: Callable[[Sequence[Mapping[int, Index]], Mapping[int, tuple[Index, Index]]], None],
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
        whole = div(self.extents[self.window.channel], self.lanes)
        left = rem(self.extents[self.window.channel], self.lanes)

        def tail() -> None:
            mask = vector.create_mask(ir.VectorType.get([self.lanes], ir.IntegerType.get_signless(1)), [value(left)])
            run(mul(whole, self.lanes), Elements(self.lanes, mask, left))

        for_each(whole, 1, lambda i: run(mul(i, self.lanes), Elements(self.lanes)))
        if isinstance(left, int):
            if left:
                tail()
        else:
            if_else(arith.cmpi(arith.CmpIPredicate.ne, left, value(0)), tail, None)

    def _inside(self, count: Index) -> tuple[Index, Index]:
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

    def _tile(
        self,
        places: Sequence[Mapping[int, Index]],
        ranges: Mapping[int, tuple[Index, Index]],
        elements: Elements,
    ) -> None:
        """A few neighbours: sums over the taps, then what follows, then the stores."""
        init = structured_ops.outputs(self.window.op)[0]
        sums = [elements.read(init, self._places(2, self._loops(at, {}))) for at in places]
        sums = self._sum(0, {}, sums, places, ranges, elements)
        for at, total in zip(places, sums, strict=True):
            result = self._places(2, self._loops(at, {}))
            finished = elements.knowing({self.window.op.results[0]: total})
            for output in self.outputs:
                target = [result[d] for d in output.order]
                finished.store(finished.read(output.tensor, target), output.buffer, target)

    def _loops(self, at: Mapping[int, Index], taps: Mapping[int, Index]) -> dict[int, Place]:
        loops = {loop: Place(i) for loop, i in (*at.items(), *taps.items())}
        loops[self.window.channel] = Place(at[self.window.channel], 1)
        return loops

    def _places(self, operand: int, loops: dict[int, Place]) -> list[Place]:
        return [evaluate(e, loops, {}) for e in self.maps[operand].results]

    def _sum(
        self,
        level: int,
        taps: dict[int, Index],
        sums: list[ir.Value],
        places: Sequence[Mapping[int, Index]],
        ranges: Mapping[int, tuple[Index, Index]],
        elements: Elements,
    ) -> list[ir.Value]:
        if level == len(self.window.taps):
            return self._tap(taps, sums, places, elements)
        loop = self.window.taps[level]
        low, high = ranges[loop]
        if isinstance(low, int) and isinstance(high, int) and math.prod(self.window.extents[level:]) <= _UNROLLED_TAPS:
            for i in range(low, high):
                sums = self._sum(level + 1, {**taps, loop: i}, sums, places, ranges, elements)
            return sums
        loop_op = scf.ForOp(value(low), value(high), value(1), sums)
        with ir.InsertionPoint(loop_op.body):
            inner = self._sum(
                level + 1, {**taps, loop: loop_op.induction_variable}, list(loop_op.inner_iter_args),
                places, ranges, elements,
            )  # fmt: skip
            scf.yield_(inner)
        return list(loop_op.results)

    def _tap(
        self,
        taps: Mapping[int, Index],
        sums: Sequence[ir.Value],
        places: Sequence[Mapping[int, Index]],
        elements: Elements,
    ) -> list[ir.Value]:
        weight: ir.Value | None = None
        if self.has_filter:
            weight = elements.read(self.window.op.operands[1], self._places(1, self._loops(places[0], taps)))
        result: list[ir.Value] = []
        for at, total in zip(places, sums, strict=True):
            if self._is_outside(at, taps):
                result.append(total)
                continue
            loops = self._loops(at, taps)
            image = [
                Place(sub(p.base, low), p.step) for p, low in zip(self._places(0, loops), self.padding.low, strict=True)
            ]
            pixel = elements.read(self.padding.source, image)
            if self.dot is not None:
                assert weight is not None
                result.append(self.dot.add(elements, pixel, weight, total))
            elif self.fused and self.product is not None and self._plain_product():
                assert weight is not None
                result.append(vector.fma(pixel, weight, total))
            else:
                result.append(elements.clone_body(self.block, [pixel, weight, total], loops)[0])
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

    def _plain_product(self) -> bool:
        """Whether the body multiplies its arguments as they are."""
        assert self.product is not None
        return set(self.product[1:]) == {self.block.arguments[0], self.block.arguments[1]}
