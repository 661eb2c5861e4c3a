"""The innermost part of a contraction: a tile of the result that lives in registers while the depth is summed.

    for k:  b = right[k, column .. column+lanes]          one vector per panel
            for each row:  sum[row] += spread(left[row, k]) * b

and then the elementwise ops that read the result, and the stores, all from registers. With a right operand that is
packed for a dot-product instruction, k counts groups of neighbours, and a row multiplies one group by every column's:

            sum[row] = dot(sum[row], spread(left[row, 4k .. 4k+3]), b)        b: the group of every column

A right operand that is numbers times a scale per block of depth is summed block by block (block_scales.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.block_scales import find_block_scale
from mlirage.codegen.cpu.dot_products import add_dot_products
from mlirage.codegen.cpu.elements import Elements, Staged, is_readable
from mlirage.codegen.cpu.index_math import Index, Place, Split, add, ceil_div, div, evaluate, mul, rem, smaller, value
from mlirage.codegen.dot_products import instruction_of, narrow_factor
from mlirage.codegen.register_shapes import bit_width
from mlirage.codegen.target import CpuTarget
from mlirage.contractions import Contraction
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, memref, scf, vector

# Innermost depth loops are unrolled to so many steps.
_UNROLLED = 4
# Packed operands of so many bytes are fetched ahead of their use, while up to so many tiles read the panel before.
_FETCHED_FROM, _MOST_SHARES = 128 << 10, 48
_LINE = 64
# Steps of a block with one scale that are unrolled, and sums that they alternate between: an addition takes longer
# than what has to be done for it.
_UNROLLED_IN_BLOCK = 32
_SUMS_PER_BLOCK = 2
# How far ahead packed numbers are asked for: the widening between the loads leaves too few of them under way.
_PREFETCHED_BYTES = 2048
_CACHE_LINE = 64


@dataclass(frozen=True)
class Output:
    """A tensor that the entry point writes.

    Attributes:
      tensor: made of the contraction's result by elementwise ops.
      buffer: where it goes.
      order: for every dim of it the dim of the contraction's result that runs along it.
    """

    tensor: ir.Value
    buffer: ir.Value
    order: tuple[int, ...]


def trace_order(tensor_value: ir.Value, root: ir.Value) -> tuple[int, ...] | None:
    """For every dim of a tensor the dim of `root` that it runs along; None if it is no elementwise function of it."""
    if tensor_value == root:
        return tuple(range(ir.RankedTensorType(root.type).rank))
    if isinstance(tensor_value.owner, ir.Block):
        return None
    op = tensor_value.owner.operation
    if op.name == "tensor.cast":
        return trace_order(op.operands[0], root)
    if not structured_ops.is_elementwise(op):
        return None
    maps = structured_ops.indexing_maps(op)
    count = structured_ops.segment_sizes(op)[0]
    for operand, indexing in zip(op.operands, maps, strict=True):
        order = trace_order(operand, root) if isinstance(operand.type, ir.RankedTensorType) else None
        if order is None:
            continue
        dims = structured_ops.map_dims(indexing)
        if None in dims or sorted(d for d in dims if d is not None) != list(range(indexing.n_dims)):
            return None
        along = dict(zip(dims, order, strict=True))
        written = structured_ops.map_dims(maps[count + ir.OpResult(tensor_value).result_number])
        return tuple(along[d] for d in written)
    return None


def find_outputs(entry: Entry, root: ir.Value) -> list[Output]:
    """What the entry point writes; all of it is fusable."""
    outputs: list[Output] = []
    for op in entry.walk():
        if op.name == "bufferization.materialize_in_destination":
            order = trace_order(op.operands[0], root)
            assert order is not None, "is_fusable was not asked"
            outputs.append(Output(op.operands[0], op.operands[1], order))
    return outputs


def is_fusable(tensor_value: ir.Value, root: ir.Value) -> bool:
    """Whether a tensor can be computed from the result of `root` while it is in registers."""
    return trace_order(tensor_value, root) is not None and is_readable(tensor_value, [root])


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
        self.fetch: Callable[[Mapping[int, Index]], None] | None = None
        self.dot = instruction_of(op, contraction.right, contraction.group, target) if contraction.group > 1 else None
        assert self.dot is not None or contraction.group == 1, "the body was changed after the kind was chosen"
        inner = extents[contraction.depth[-1]] if contraction.depth else None
        self.block_scale = find_block_scale(contraction, inner, self.together)

    def build(
        self,
        rows: Sequence[Mapping[int, Index]],
        outer: Mapping[int, Index],
        panels: Sequence[Panel],
        staged: Mapping[ir.Value, Staged],
        part: tuple[Index, Index] = (0, 1),
    ) -> None:
        """Computes and stores the tile of these rows (by row loop) and panels.

        Args:
          part: number of the first row in its block, and how many rows the block has.
        """
        self._check_registers(len(rows) * len(panels), panels[0].elements.lanes)
        self.fetch = self._fetches(len(rows), panels, part)
        init = structured_ops.outputs(self.contraction.op)[0]
        sums: list[ir.Value] = []
        for row in rows:
            for panel in panels:
                loops = self._loops(row, outer, panel, {})
                places = [evaluate(e, loops, {}) for e in self.maps[2].results]
                sums.append(panel.elements.read(init, places))
        sums = self._sum(0, {}, sums, rows, outer, panels, staged)
        for number, row in enumerate(rows):
            for p, panel in enumerate(panels):
                self._finish(sums[number * len(panels) + p], row, outer, panel)

    def _fetches(
        self, height: int, panels: Sequence[Panel], part: tuple[Index, Index]
    ) -> Callable[[Mapping[int, Index]], None] | None:
        """What fetches, at a step of the depth, a packed operand that has to come from memory ahead of its use.

        The first tile that reads a panel would wait for every few lines of it, and the others would find it in the
        cache: so each of them fetches a part of the next panel.
        """
        contraction = self.contraction
        source = contraction.right_value
        while not isinstance(source.owner, ir.Block) and source.owner.operation.name == "tensor.cast":
            source = source.owner.operation.operands[0]
        kind = ir.RankedTensorType(source.type)
        if (
            not contraction.panel or contraction.group > 1 or len(contraction.depth) != 1 or kind.rank != 3
            or isinstance(source.owner, ir.Block) or source.owner.operation.name != "bufferization.to_tensor"
            or not kind.has_static_shape or panels[0].buffer is not None
        ):  # fmt: skip
            return None
        count, steps, lanes = kind.shape
        width = bit_width(kind.element_type)
        if count * steps * lanes * width < 8 * _FETCHED_FROM or self.together > 1 or width < 8:
            return None
        line, buffer, inner = 8 * _LINE // width, source.owner.operation.operands[0], contraction.depth[0]
        first, rows = part
        if not isinstance(rows, int) or len(panels) > 1 or not height < rows <= _MOST_SHARES * height:
            return None
        following = smaller(add(panels[0].number, 1), count - 1)
        start, each = div(mul(first, steps * lanes), rows), -(-height * lanes // rows)

        def next_panel(depth: Mapping[int, Index]) -> None:
            for column in range(0, each, line):
                element = add(add(start, mul(depth[inner], each)), column)
                memref.prefetch(buffer, [value(following), value(0), value(element)], False, 2, True)

        return next_panel

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

    def _loops(
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
        rows: Sequence[Mapping[int, Index]],
        outer: Mapping[int, Index],
        panels: Sequence[Panel],
        staged: Mapping[ir.Value, Staged],
    ) -> list[ir.Value]:
        """The loops over the depth, outermost first."""
        loops = self.contraction.depth
        if level == len(loops):
            return self._multiply(depth, sums, rows, outer, panels, staged)
        count = self._steps(loops[level])
        if level == len(loops) - 1 and self._sums_blocks(len(rows), panels):
            return self._sum_blocks(depth, sums, rows, outer, panels, staged)
        if level == len(loops) - 1 and self.together > 1:
            return self._sum_together(depth, sums, rows, outer, panels, staged)
        if isinstance(count, int) and count * self._steps_inside(level) <= _UNROLLED:
            for i in range(count):
                sums = self._sum(level + 1, {**depth, loops[level]: i}, sums, rows, outer, panels, staged)
            return list(sums)
        loop = scf.ForOp(value(0), value(count), value(1), list(sums))
        with ir.InsertionPoint(loop.body):
            inner = self._sum(
                level + 1,
                {**depth, loops[level]: loop.induction_variable},
                list(loop.inner_iter_args),
                rows, outer, panels, staged,
            )  # fmt: skip
            scf.yield_(inner)
        return list(loop.results)

    def _sum_together(
        self,
        depth: dict[int, Index],
        sums: Sequence[ir.Value],
        rows: Sequence[Mapping[int, Index]],
        outer: Mapping[int, Index],
        panels: Sequence[Panel],
        staged: Mapping[ir.Value, Staged],
    ) -> list[ir.Value]:
        """The innermost depth in steps of `together`, whose remainders by it are then constants."""
        inner = self.contraction.depth[-1]

        def steps(number: Index, count: int, sums: Sequence[ir.Value]) -> list[ir.Value]:
            for i in range(count):
                at = {**depth, inner: add(mul(number, self.together), i)}
                split = {inner: Split(number, i)}
                sums = self._multiply(at, sums, rows, outer, panels, staged, split)
            return list(sums)

        extent = self.extents[inner]
        whole, left = div(extent, self.together), rem(extent, self.together)
        assert isinstance(left, int), "constants have static extents"
        loop = scf.ForOp(value(0), value(whole), value(1), list(sums))
        with ir.InsertionPoint(loop.body):
            scf.yield_(steps(loop.induction_variable, self.together, list(loop.inner_iter_args)))
        return steps(whole, left, list(loop.results))

    def _sums_blocks(self, rows: int, panels: Sequence[Panel]) -> bool:
        """Whether the scales multiply sums of blocks: few rows do not make up for multiplying every term."""
        if self.block_scale is None or panels[0].buffer is not None:
            return False
        width = max(1, panels[0].elements.lanes * bit_width(self.accumulator) // (8 * self.target.vector_bytes))
        return 4 * rows * len(panels) * width <= self.target.vector_registers

    def _sum_blocks(
        self,
        depth: dict[int, Index],
        sums: Sequence[ir.Value],
        rows: Sequence[Mapping[int, Index]],
        outer: Mapping[int, Index],
        panels: Sequence[Panel],
        staged: Mapping[ir.Value, Staged],
    ) -> list[ir.Value]:
        """The innermost depth, block by block."""
        assert self.block_scale is not None
        inner, block, together = self.contraction.depth[-1], self.block_scale.block, self.together
        scalars = Elements(staged=staged)
        kind = sums[0].type
        zero = arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, ir.FloatAttr.get(self.accumulator, 0.0)))

        def places(row: Mapping[int, Index], panel: Panel, step: Index) -> dict[int, Place]:
            return self._loops(row, outer, panel, {**depth, inner: step})

        def packed(panel: Panel, group: Index, step: int) -> dict[int, Split]:
            split = {inner: Split(group, step)} if together > 1 else {}
            return {self.contraction.column: Split(panel.number), **split}

        def steps(group: Index, count: int, parts: Sequence[ir.Value]) -> list[ir.Value]:
            """Group number `group` of steps."""
            parts = list(parts)
            for i in range(count):
                step = add(mul(group, together), i)
                chain = i % _SUMS_PER_BLOCK * len(sums) if count > 1 else 0
                right = [scale.read_numbers(whole, places({}, p, step), packed(p, group, i)) for p in panels]
                for number, row in enumerate(rows):
                    left = self._factor(self.contraction.left, scalars, places(row, panels[0], step), {})
                    for p, panel in enumerate(panels):
                        at = chain + number * len(panels) + p
                        parts[at] = self._add_product(panel.elements.spread(left), right[p], parts[at])
            return parts

        def prefetch(operand: int, group: Index, groups: int) -> None:
            """What lies some way behind these groups of an operand."""
            element = structured_ops.element_type(scale.op.operands[operand].type)
            bytes_ = max(1, bit_width(element) // 8)
            row = whole.lanes * bytes_
            for offset in range(0, groups * row, _CACHE_LINE):
                ahead = add(group, ahead_groups + offset // row)
                for panel in panels:
                    at = packed(panel, ahead, 0)
                    at[self.contraction.column] = Split(panel.number, offset % row // bytes_)
                    scale.prefetch(operand, places({}, panel, mul(ahead, together)), at)

        def one(number: Index, sums: Sequence[ir.Value]) -> list[ir.Value]:
            first = mul(number, block // together)
            prefetch(scale.scale, first, 1)
            parts: list[ir.Value] = [zero] * (_SUMS_PER_BLOCK * len(sums))
            groups = block // together
            apart = max(1, 4 // together)  # groups of one step alternate between sums, too
            if block <= _UNROLLED_IN_BLOCK:
                parts = steps_of(first, groups, parts)
            else:
                loop = scf.ForOp(value(0), value(groups // apart), value(1), parts)
                with ir.InsertionPoint(loop.body):
                    scf.yield_(steps_of(add(first, mul(loop.induction_variable, apart)), apart,
                                        list(loop.inner_iter_args)))  # fmt: skip
                parts = list(loop.results)
                parts = steps_of(add(first, groups // apart * apart), groups % apart, parts)
            parts = steps(add(first, groups), block % together, parts)
            result: list[ir.Value] = []
            scales = [scale.read_scales(whole, places({}, p, mul(number, block)), packed(p, first, 0)) for p in panels]
            for i, total in enumerate(sums):
                part = arith.addf(parts[i], parts[len(sums) + i])
                result.append(self._add_product(part, scales[i % len(panels)], total))
            return result

        def steps_of(group: Index, groups: int, parts: Sequence[ir.Value]) -> list[ir.Value]:
            """So many groups; the sums of groups of one step alternate here."""
            prefetch(scale.largest, group, groups)
            for g in range(groups):
                parts = steps(add(group, g), together, parts)
                if together == 1:
                    parts = [*parts[len(sums) :], *parts[: len(sums)]]
            return list(parts)

        scale, whole = self.block_scale, Elements(panels[0].elements.lanes)
        number = structured_ops.element_type(scale.op.operands[scale.largest].type)
        ahead_groups = _PREFETCHED_BYTES // (whole.lanes * max(1, bit_width(number) // 8))
        extent = self.extents[inner]
        assert isinstance(extent, int), "find_block_scale was not asked"
        if extent == block:
            return one(0, sums)
        loop = scf.ForOp(value(0), value(extent // block), value(1), list(sums))
        with ir.InsertionPoint(loop.body):
            scf.yield_(one(loop.induction_variable, list(loop.inner_iter_args)))
        return list(loop.results)

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
        rows: Sequence[Mapping[int, Index]],
        outer: Mapping[int, Index],
        panels: Sequence[Panel],
        staged: Mapping[ir.Value, Staged],
        split: Mapping[int, Split] | None = None,
    ) -> list[ir.Value]:
        if self.dot is not None:
            return self._multiply_groups(depth, sums, rows, outer, panels, staged)
        if self.fetch is not None:
            self.fetch(depth)
        right = [self.right_vector(panel, outer, depth, staged, split) for panel in panels]
        result: list[ir.Value] = []
        scalars = Elements(staged=staged)
        for number, row in enumerate(rows):
            loops = self._loops(row, outer, panels[0], depth)
            left = self._factor(self.contraction.left, scalars, loops, {})
            for p, panel in enumerate(panels):
                spread = panel.elements.spread(left)
                result.append(self._add_product(spread, right[p], sums[number * len(panels) + p]))
        return result

    def _multiply_groups(
        self,
        depth: Mapping[int, Index],
        sums: Sequence[ir.Value],
        rows: Sequence[Mapping[int, Index]],
        outer: Mapping[int, Index],
        panels: Sequence[Panel],
        staged: Mapping[ir.Value, Staged],
    ) -> list[ir.Value]:
        """One dot product per row and panel; the innermost depth counts groups."""
        assert self.dot is not None
        contraction, dot = self.contraction, self.dot
        inner = contraction.depth[-1]
        right: list[ir.Value] = []
        for panel in panels:
            places = self._loops({}, outer, panel, depth)
            packed = {contraction.column: Split(panel.number), inner: Split(depth[inner])}
            at = [evaluate(e, places, packed) for e in self.maps[contraction.right].results]
            whole = Elements(panel.elements.lanes * dot.depth)
            right.append(whole.read(contraction.right_value, [*at[:-1], Place(0, 1)]))
        result: list[ir.Value] = []
        group = Elements(dot.depth, staged=staged)
        for number, row in enumerate(rows):
            places = self._loops(row, outer, panels[0], depth)
            places[inner] = Place(mul(depth[inner], dot.depth), 1)
            left = group.read(
                contraction.left_value, [evaluate(e, places, {}) for e in contraction.maps[contraction.left].results]
            )
            for p in range(len(panels)):
                result.append(add_dot_products(dot, left, right[p], sums[number * len(panels) + p]))
        return result

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
        loops = self._loops({}, outer, panel, depth)
        packed = {contraction.column: Split(panel.number)} if whole else {}
        return self._factor(contraction.right, elements, loops, {**packed, **(split or {})})

    def _factor(
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

    def _add_product(self, left: ir.Value, right: ir.Value, total: ir.Value) -> ir.Value:
        if self.fused:
            return vector.fma(left, right, total)
        if self.add_name == "arith.addf":
            return arith.addf(total, arith.mulf(left, right))
        return arith.addi(total, arith.muli(left, right))

    def _finish(self, total: ir.Value, row: Mapping[int, Index], outer: Mapping[int, Index], panel: Panel) -> None:
        """The ops after the contraction, and the stores."""
        loops = self._loops(row, outer, panel, {})
        result = [evaluate(e, loops, {}) for e in self.maps[2].results]
        elements = panel.elements.knowing({self.contraction.op.results[0]: total})
        for output in self.outputs:
            places = [result[d] for d in output.order]
            elements.store(elements.read(output.tensor, places), output.buffer, places)
