"""The innermost part of a contraction: a tile of the result that lives in registers while the depth is summed.

    for k:  b = right[k, column .. column+lanes]          one vector per panel
            for each row:  sum[row] += spread(left[row, k]) * b

and then the elementwise ops that read the result, and the stores, all from registers. With a right operand that is
packed for a dot-product instruction, k counts groups of neighbours, and a row multiplies one group by every column's:

            sum[row] = dot(sum[row], spread(left[row, 4k .. 4k+3]), b)        b: the group of every column

A right operand that is numbers times a scale per block of depth is summed block by block (block_sums.py). Long sums of
f32 are made of short ones, so that what is lost by rounding grows with their number alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlirage import structured_ops
from mlirage.codegen.cpu.block_scales import find_block_scale
from mlirage.codegen.cpu.block_sums import sum_blocks, sums_blocks
from mlirage.codegen.cpu.dot_products import add_dot_products
from mlirage.codegen.cpu.elements import Elements, Staged
from mlirage.codegen.cpu.index_math import Index, Place, Split, add, ceil_div, div, evaluate, mul, rem, smaller, value
from mlirage.codegen.cpu.padded_taps import find_padded_taps
from mlirage.codegen.cpu.panel_fetches import Fetch, find_fetch
from mlirage.codegen.cpu.tile_outputs import Output
from mlirage.codegen.cpu.turned_stores import Run, store_runs, turns
from mlirage.codegen.dot_products import instruction_of, narrow_factor
from mlirage.codegen.register_shapes import bit_width
from mlirage.codegen.target import CpuTarget
from mlirage.contractions import Contraction
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, memref, scf, vector

# Innermost depth loops are unrolled to so many steps.
_UNROLLED = 4
# Steps of a sum that is made of several, and of these: at least, at most, best. To begin anew takes 250 cycles.
_LONG_SUM = 6144
_LEAST_PART, _MOST_PART, _PART = 256, 3072, 2048


def steps_together(contraction: Contraction) -> int:
    """Steps of the innermost depth that a packed right operand tells apart by their remainder: pairs of nibbles."""
    if not contraction.panel or not contraction.depth or contraction.group > 1:
        return 1
    for expr in contraction.maps[contraction.right].results:
        match expr:
            case ir.AffineModExpr(lhs=ir.AffineDimExpr() as loop) if loop.position == contraction.depth[-1]:
                return ir.AffineConstantExpr(expr.rhs).value
            case _:
                pass
    return 1


@dataclass(frozen=True)
class Panel:
    """Columns of a register tile: one vector.

    Attributes:
      column: the first column.
      number: number of the panel in a packed right operand.
      elements: reads and writes vectors of this panel.
      buffer: the panel's part of the right operand, depth by depth, if it was staged.
    """

    column: Index
    number: Index
    elements: Elements
    buffer: ir.Value | None = None


@dataclass(frozen=True)
class Tile:
    """The place of a register tile.

    Attributes:
      rows: the indices of the row loops, row by row.
      outer: those of the outer loops.
      panels: the columns.
      staged: operands that were computed to memory before.
      run: the loops along which the rows follow each other, as in memory; empty if they may not.
    """

    rows: Sequence[Mapping[int, Index]]
    outer: Mapping[int, Index]
    panels: Sequence[Panel]
    staged: Mapping[ir.Value, Staged]
    run: tuple[int, ...] = ()


class RegisterTile:
    """Builds register tiles of one contraction.

    Args:
      contraction: what is computed.
      outputs: what is written.
      extents: of all loops.
      target: the processor.
    """

    def __init__(
        self, contraction: Contraction, outputs: Sequence[Output], extents: Sequence[Index], target: CpuTarget
    ) -> None:
        self.contraction = contraction
        self.outputs = outputs
        self.extents = extents
        op = contraction.op
        matched = structured_ops.multiply_add(op)
        assert matched is not None
        self.add_name = matched[0]
        self.factors = {0: matched[1], 1: matched[2]}
        self.block = structured_ops.body(op)
        self.accumulator = structured_ops.element_type(op.results[0].type)
        self.target = target
        self.fused = target.has_fma and isinstance(self.accumulator, ir.F32Type | ir.F64Type)
        self.maps = structured_ops.indexing_maps(op)
        self.together = steps_together(contraction)
        self.fetch: Fetch | None = None
        self.dot = instruction_of(op, contraction.right, contraction.group, target) if contraction.group > 1 else None
        assert self.dot is not None or contraction.group == 1, "the body was changed after the kind was chosen"
        inner = extents[contraction.depth[-1]] if contraction.depth else None
        self.block_scale = find_block_scale(contraction, inner, self.together)
        self.taps = find_padded_taps(contraction, self.factors[contraction.left])
        self.parts = self._find_parts()

    def build(
        self,
        tile: Tile,
        part: tuple[Index, Index] = (0, 1),
    ) -> None:
        """Computes and stores a tile.

        Args:
          tile: its place.
          part: number of the first row in its block, and how many rows the block has.
        """
        rows, panels = tile.rows, tile.panels
        self._check_registers(len(rows) * len(panels), panels[0].elements.lanes)
        self.fetch = find_fetch(self, len(rows), tile.outer, panels, part)
        init = structured_ops.outputs(self.contraction.op)[0]
        sums: list[ir.Value] = []
        for row in rows:
            for panel in panels:
                loops = self.loops(row, tile.outer, panel, {})
                places = [evaluate(e, loops, {}) for e in self.maps[2].results]
                sums.append(panel.elements.read(init, places))
        sums = self._sum(0, {}, sums, tile)
        for p, panel in enumerate(panels):
            self._finish(sums[p :: len(panels)], tile, panel)

    def _check_registers(self, vectors: int, lanes: int) -> None:
        """A tile that does not fit the registers runs several times slower, silently: refuse it.

        Raises:
          CompileError: a configuration set by hand or by tuning asks for too much.
        """
        width = max(1, lanes * bit_width(self.accumulator) // (8 * self.target.vector_bytes))
        if lanes & (lanes - 1) or vectors * width > max(self.target.vector_registers, 8):
            raise CompileError(
                f"{self.contraction.op.location}: a register tile of {vectors} vectors of {lanes} elements does not "
                f"fit {self.target.vector_registers} registers of {self.target.vector_bytes} bytes"
            )

    def widens(self, operand: int) -> bool:
        """Whether the body converts the elements of an operand before it multiplies them."""
        return self.factors[operand] != self.block.arguments[operand]

    def factor_type(self, operand: int) -> ir.Type:
        """The element type that the body multiplies."""
        return self.factors[operand].type

    def loops(
        self, row: Mapping[int, Index], outer: Mapping[int, Index], panel: Panel, depth: Mapping[int, Index]
    ) -> dict[int, Place]:
        loops = {loop: Place(index) for loop, index in (*row.items(), *outer.items(), *depth.items())}
        loops[self.contraction.column] = Place(panel.column, 1)
        return loops

    def _sum(
        self,
        level: int,
        depth: dict[int, Index],
        sums: Sequence[ir.Value],
        tile: Tile,
    ) -> list[ir.Value]:
        """The loops over the depth, outermost first."""
        loops = self.contraction.depth
        if level == len(loops):
            return self._multiply(depth, sums, tile)
        count = self._steps(loops[level])
        if level == len(loops) - 1 and sums_blocks(self, tile):
            return sum_blocks(self, depth, sums, tile)
        if level == len(loops) - 1 and self.together > 1:
            return self._sum_together(depth, sums, tile)
        low: Index = 0
        if level < len(loops) - 1 and (taps := self.taps.get(loops[level])) is not None:
            if (ranges := taps.of_each(tile.rows)) is not None:
                return self._sum_each(level, depth, sums, tile, ranges)
            low, count = taps.of_all(tile.rows, tile.run) or (0, count)
        if isinstance(low, int) and isinstance(count, int) and (count - low) * self._steps_inside(level) <= _UNROLLED:
            for i in range(low, count):
                sums = self._sum_inside(level, {**depth, loops[level]: i}, sums, tile)
            return list(sums)

        def steps(low: Index, count: Index, sums: Sequence[ir.Value]) -> list[ir.Value]:
            loop = scf.ForOp(value(low), value(count), value(1), list(sums))
            with ir.InsertionPoint(loop.body):
                at = {**depth, loops[level]: loop.induction_variable}
                scf.yield_(self._sum_inside(level, at, list(loop.inner_iter_args), tile))
            return list(loop.results)

        if level < len(loops) - 1 or self.parts != level:
            return steps(low, count, sums)
        loop = scf.ForOp(value(0), value(ceil_div(count, _PART)), value(1), list(sums))
        with ir.InsertionPoint(loop.body):
            first = mul(loop.induction_variable, _PART)
            even = isinstance(count, int) and count % _PART == 0
            end = add(first, _PART) if even else smaller(add(first, _PART), count)
            scf.yield_(_added(loop.inner_iter_args, steps(first, end, _zeros(sums))))
        return list(loop.results)

    def _sum_inside(self, level: int, depth: dict[int, Index], sums: Sequence[ir.Value], tile: Tile) -> list[ir.Value]:
        """One step of a depth loop: the loops inside go on with the sums, or begin anew and theirs are added."""
        if self.parts != level or level == len(self.contraction.depth) - 1:
            return self._sum(level + 1, depth, sums, tile)
        return _added(sums, self._sum(level + 1, depth, _zeros(sums), tile))

    def _find_parts(self) -> int | None:
        """The depth loop of whose steps each is a sum of its own; the innermost: many steps are; None: one sum.

        What is lost by rounding grows with the length of a chain of additions.
        """
        steps = [self._steps(loop) for loop in self.contraction.depth]
        if not steps or not isinstance(self.accumulator, ir.F32Type) or self.dot is not None or self.together > 1:
            return None
        last = len(steps) - 1
        for level in range(last):
            inside = [count for count in steps[level + 1 :] if isinstance(count, int)]
            whole = [count for count in steps if isinstance(count, int)]
            if len(inside) < last - level or math.prod(inside) < _LEAST_PART or math.prod(inside) > _MOST_PART:
                continue
            return level if len(whole) < len(steps) or math.prod(whole) >= _LONG_SUM else None
        innermost = steps[last]
        return last if not isinstance(innermost, int) or innermost >= _LONG_SUM else None

    def _sum_each(
        self, level: int, depth: dict[int, Index], sums: Sequence[ir.Value], tile: Tile, ranges: Sequence[range]
    ) -> list[ir.Value]:
        """A loop over taps, of which every row has its own: each with the rows that have it."""
        panels, result = len(tile.panels), list(sums)
        for tap in range(min(r.start for r in ranges), max(r.stop for r in ranges)):
            rows = [number for number, taps in enumerate(ranges) if tap in taps]
            places = [number * panels + p for number in rows for p in range(panels)]
            part = replace(tile, rows=[tile.rows[number] for number in rows])
            at = {**depth, self.contraction.depth[level]: tap}
            sums_of_tap = self._sum_inside(level, at, [result[i] for i in places], part)
            for place, total in zip(places, sums_of_tap, strict=True):
                result[place] = total
        return result

    def _sum_together(
        self,
        depth: dict[int, Index],
        sums: Sequence[ir.Value],
        tile: Tile,
    ) -> list[ir.Value]:
        """The innermost depth in steps of `together`, whose remainders by it are then constants."""
        inner = self.contraction.depth[-1]

        def steps(number: Index, count: int, sums: Sequence[ir.Value]) -> list[ir.Value]:
            for i in range(count):
                at = {**depth, inner: add(mul(number, self.together), i)}
                split = {inner: Split(number, i)}
                sums = self._multiply(at, sums, tile, split)
            return list(sums)

        extent = self.extents[inner]
        whole, left = div(extent, self.together), rem(extent, self.together)
        assert isinstance(left, int), "constants have static extents"
        loop = scf.ForOp(value(0), value(whole), value(1), list(sums))
        with ir.InsertionPoint(loop.body):
            scf.yield_(steps(loop.induction_variable, self.together, list(loop.inner_iter_args)))
        return steps(whole, left, list(loop.results))

    def _steps(self, loop: int) -> Index:
        """Steps of a depth loop; those of the innermost one are groups if the right operand is packed in groups."""
        extent = self.extents[loop]
        return ceil_div(extent, self.contraction.group) if loop == self.contraction.depth[-1] else extent

    def _steps_inside(self, level: int) -> int:
        """Steps of the depth loops inside one; many if their number is not known."""
        steps = 1
        for loop in self.contraction.depth[level + 1 :]:
            count = self._steps(loop)
            steps *= count if isinstance(count, int) else _UNROLLED + 1
        return steps

    def _multiply(
        self,
        depth: Mapping[int, Index],
        sums: Sequence[ir.Value],
        tile: Tile,
        split: Mapping[int, Split] | None = None,
    ) -> list[ir.Value]:
        if self.fetch is not None:
            self.fetch(depth, split)
        if self.dot is not None:
            return self._multiply_groups(depth, sums, tile)
        right = [self.right_vector(panel, tile.outer, depth, tile.staged, split) for panel in tile.panels]
        result: list[ir.Value] = []
        scalars = Elements(staged=tile.staged)
        for number, row in enumerate(tile.rows):
            loops = self.loops(row, tile.outer, tile.panels[0], depth)
            left = self.factor(self.contraction.left, scalars, loops, {})
            for p, panel in enumerate(tile.panels):
                spread = panel.elements.spread(left)
                result.append(self.add_product(spread, right[p], sums[number * len(tile.panels) + p]))
        return result

    def _multiply_groups(
        self,
        depth: Mapping[int, Index],
        sums: Sequence[ir.Value],
        tile: Tile,
    ) -> list[ir.Value]:
        """One dot product per row and panel; the innermost depth counts groups."""
        assert self.dot is not None
        contraction, dot = self.contraction, self.dot
        inner = contraction.depth[-1]
        right: list[ir.Value] = []
        for panel in tile.panels:
            places = self.loops({}, tile.outer, panel, depth)
            packed = {contraction.column: Split(panel.number), inner: Split(depth[inner])}
            at = [evaluate(e, places, packed) for e in self.maps[contraction.right].results]
            whole = Elements(panel.elements.lanes * dot.depth)
            right.append(self._groups_of_columns(whole, at))
        result: list[ir.Value] = []
        group = Elements(dot.depth, staged=tile.staged)
        for number, row in enumerate(tile.rows):
            places = self.loops(row, tile.outer, tile.panels[0], depth)
            places[inner] = Place(mul(depth[inner], dot.depth), 1)
            left = group.read(
                contraction.left_value, [evaluate(e, places, {}) for e in contraction.maps[contraction.left].results]
            )
            for p in range(len(tile.panels)):
                result.append(add_dot_products(dot, left, right[p], sums[number * len(tile.panels) + p]))
        return result

    def _groups_of_columns(self, whole: Elements, at: list[Place]) -> ir.Value:
        """The groups of all columns of a panel, which lie side by side in one dim or two."""
        source, maps = self.contraction.right_value, self.maps[self.contraction.right]
        last = maps.results[-1]
        if not isinstance(last, ir.AffineDimExpr):
            return whole.read(source, [*at[:-1], Place(0, 1)])
        while ir.OpResult(source).owner.operation.name == "tensor.cast":
            source = ir.OpResult(source).owner.operation.operands[0]
        packed = ir.OpResult(source).owner.operation.operands[0]
        kind = ir.MemRefType(packed.type)
        flat = ir.MemRefType.get([*kind.shape[:-2], kind.shape[-2] * kind.shape[-1]], kind.element_type)
        dims = [*([d] for d in range(kind.rank - 2)), [kind.rank - 2, kind.rank - 1]]
        return whole.load(memref.collapse_shape(flat, packed, dims), [*at[:-2], Place(0, 1)])

    def narrow_left(self, elements: Elements, read: ir.Value) -> ir.Value:
        """What a dot product takes of the left operand's elements: the factor before it is widened to 32 bits."""
        assert self.dot is not None
        narrow = narrow_factor(self.factors[self.contraction.left])
        assert narrow is not None, "instruction_of was not asked"
        computed = self._computed(narrow[0], self.contraction.left, elements, read, {})
        wanted = elements.type_of(self.dot.left.element)
        if computed.type == wanted:
            return computed
        return arith.extsi(wanted, computed) if narrow[1].kind == "s" else arith.extui(wanted, computed)

    def left_as_it_is(self) -> bool:
        """Whether a dot product takes the left operand's elements as they are in memory."""
        assert self.dot is not None
        argument = self.block.arguments[self.contraction.left]
        narrow = narrow_factor(self.factors[self.contraction.left])
        return narrow is not None and narrow[0] == argument and argument.type == self.dot.left.element

    def right_vector(
        self,
        panel: Panel,
        outer: Mapping[int, Index],
        depth: Mapping[int, Index],
        staged: Mapping[ir.Value, Staged],
        split: Mapping[int, Split] | None = None,
    ) -> ir.Value:
        """A vector of the right factor. A packed operand holds whole panels: nothing is masked."""
        contraction = self.contraction
        if panel.buffer is not None:
            places = [Place(depth[loop]) for loop in contraction.depth]
            return Elements(panel.elements.lanes).load(panel.buffer, [*places, Place(0, 1)])
        whole = contraction.panel != 0
        elements = Elements(
            panel.elements.lanes,
            None if whole else panel.elements.mask,
            None if whole else panel.elements.count,
            staged=staged,
        )
        loops = self.loops({}, outer, panel, depth)
        packed = {contraction.column: Split(panel.number)} if whole else {}
        return self.factor(contraction.right, elements, loops, {**packed, **(split or {})})

    def factor(
        self, operand: int, elements: Elements, loops: dict[int, Place], packed: Mapping[int, Split]
    ) -> ir.Value:
        """What the body multiplies: an operand's element, as the body widens it."""
        source = self.contraction.op.operands[operand]
        places = [evaluate(e, loops, packed) for e in self.maps[operand].results]
        read = elements.read(source, places)
        staged = elements.staged.get(source)
        if staged is not None and ir.MemRefType(staged.buffer.type).element_type == self.factor_type(operand):
            return read  # it was widened when it was staged
        return self.widen(operand, elements, read, loops)

    def widen(self, operand: int, elements: Elements, read: ir.Value, loops: dict[int, Place]) -> ir.Value:
        """What the body makes of an operand's element before it multiplies it."""
        return self._computed(self.factors[operand], operand, elements, read, loops)

    def _computed(
        self, wanted: ir.Value, operand: int, elements: Elements, read: ir.Value, loops: Mapping[int, Place]
    ) -> ir.Value:
        """A value of the body, of an operand's element."""
        argument = self.block.arguments[operand]

        def compute(v: ir.Value) -> ir.Value:
            if v == argument:
                return read
            owner = v.owner
            if isinstance(owner, ir.Block) or owner.operation.block != self.block:
                return elements.spread(v)
            values = {operand_: compute(operand_) for operand_ in owner.operation.operands}
            return elements.clone_scalar_op(owner.operation, values, loops)[ir.OpResult(v).result_number]

        return compute(wanted)

    def add_product(self, left: ir.Value, right: ir.Value, total: ir.Value) -> ir.Value:
        if self.fused:
            return vector.fma(left, right, total)
        if self.add_name == "arith.addf":
            return arith.addf(total, arith.mulf(left, right))
        return arith.addi(total, arith.muli(left, right))

    def _finish(self, totals: Sequence[ir.Value], tile: Tile, panel: Panel) -> None:
        """The ops after the contraction, and the stores, of one panel."""
        at = [self.loops(row, tile.outer, panel, {}) for row in tile.rows]
        results = [[evaluate(e, loops, {}) for e in self.maps[2].results] for loops in at]
        rows = [panel.elements.knowing({self.contraction.op.results[0]: total}) for total in totals]
        for output in self.outputs:
            places = [[result[d] for d in output.order] for result in results]
            target = self._target_of_run(output, tile, places[0])
            if target is None:
                for elements, place in zip(rows, places, strict=True):
                    elements.store(elements.read(output.tensor, place), output.buffer, place)
                continue
            read = [elements.read(output.tensor, place) for elements, place in zip(rows, places, strict=True)]
            register = 8 * self.target.vector_bytes // bit_width(structured_ops.element_type(output.tensor.type))
            store_runs([Run(read, target[1])], panel.elements, target[0], register)

    def _target_of_run(
        self, output: Output, tile: Tile, first: Sequence[Place]
    ) -> tuple[ir.Value, Sequence[Place]] | None:
        """Where rows that lie side by side in an output go: a buffer, the place of the first; None: they do not."""
        if not tile.run or not turns(len(tile.rows), first, structured_ops.element_type(output.tensor.type)):
            return None
        written = structured_ops.map_dims(self.maps[2])
        inner = len(first) - len(tile.run)
        if [written[d] for d in output.order[inner:]] != list(tile.run):
            return None
        kind = ir.MemRefType(output.buffer.type)
        sizes = kind.shape[inner:]
        if len(sizes) == 1:
            return output.buffer, first
        if kind.layout != ir.AffineMapAttr.get(ir.AffineMap.get_identity(kind.rank)) or not kind.has_static_shape:
            return None
        groups = [[d] for d in range(inner)] + [list(range(inner, kind.rank))]
        flat = ir.MemRefType.get([*kind.shape[:inner], math.prod(sizes)], kind.element_type)
        place: Index = 0
        for size, p in zip(sizes, first[inner:], strict=True):
            place = add(mul(place, size), p.base)
        return memref.collapse_shape(flat, output.buffer, groups), [*first[:inner], Place(place)]


def _zeros(sums: Sequence[ir.Value]) -> list[ir.Value]:
    kind = ir.VectorType(sums[0].type)
    zero = ir.DenseElementsAttr.get_splat(kind, ir.FloatAttr.get(kind.element_type, 0.0))
    return [arith.constant(kind, zero)] * len(sums)


def _added(sums: Sequence[ir.Value], parts: Sequence[ir.Value]) -> list[ir.Value]:
    return [arith.addf(total, part) for total, part in zip(sums, parts, strict=True)]
