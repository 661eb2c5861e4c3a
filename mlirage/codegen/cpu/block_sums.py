"""Sums of a register tile over a depth in blocks, where the right operand is numbers times a scale per block.

    sum[row] += scale[block] * Σ spread(left[row, k]) * number[k]         k: the steps of one block

The scales multiply sums of blocks, not every number (block_scales.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.index_math import Index, Place, Split, add, mul, value
from mlirage.codegen.register_shapes import bit_width
from mlirage.mlir import arith, ir, scf

if TYPE_CHECKING:
    from mlirage.codegen.cpu.register_tile import Panel, RegisterTile, Tile

# Steps of a block with one scale that are unrolled, and sums that they alternate between: an addition takes longer
# than what has to be done for it.
_UNROLLED_IN_BLOCK = 32
_SUMS_PER_BLOCK = 2
# How far ahead packed numbers are asked for: the widening between the loads leaves too few of them under way.
_PREFETCHED_BYTES = 2048
_CACHE_LINE = 64


def sums_blocks(kernel: RegisterTile, tile: Tile) -> bool:
    """Whether the scales multiply sums of blocks: few rows do not make up for multiplying every term."""
    if kernel.block_scale is None or tile.panels[0].buffer is not None:
        return False
    width = max(1, tile.panels[0].elements.lanes * bit_width(kernel.accumulator) // (8 * kernel.target.vector_bytes))
    return 4 * len(tile.rows) * len(tile.panels) * width <= kernel.target.vector_registers


def sum_blocks(
    kernel: RegisterTile,
    depth: dict[int, Index],
    sums: Sequence[ir.Value],
    tile: Tile,
) -> list[ir.Value]:
    """The innermost depth, block by block."""
    assert kernel.block_scale is not None
    inner, block, together = kernel.contraction.depth[-1], kernel.block_scale.block, kernel.together
    scalars = Elements(staged=tile.staged)
    kind = sums[0].type
    zero = arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, ir.FloatAttr.get(kernel.accumulator, 0.0)))

    def places(row: Mapping[int, Index], panel: Panel, step: Index) -> dict[int, Place]:
        return kernel.loops(row, tile.outer, panel, {**depth, inner: step})

    def packed(panel: Panel, group: Index, step: int) -> dict[int, Split]:
        split = {inner: Split(group, step)} if together > 1 else {}
        return {kernel.contraction.column: Split(panel.number), **split}

    def steps(group: Index, count: int, parts: Sequence[ir.Value]) -> list[ir.Value]:
        """Group number `group` of steps."""
        parts = list(parts)
        for i in range(count):
            step = add(mul(group, together), i)
            chain = i % _SUMS_PER_BLOCK * len(sums) if count > 1 else 0
            right = [scale.read_numbers(whole, places({}, p, step), packed(p, group, i)) for p in tile.panels]
            for number, row in enumerate(tile.rows):
                left = kernel.factor(kernel.contraction.left, scalars, places(row, tile.panels[0], step), {})
                for p, panel in enumerate(tile.panels):
                    at = chain + number * len(tile.panels) + p
                    parts[at] = kernel.add_product(panel.elements.spread(left), right[p], parts[at])
        return parts

    def prefetch(operand: int, group: Index, groups: int) -> None:
        """What lies some way behind these groups of an operand."""
        element = structured_ops.element_type(scale.op.operands[operand].type)
        bytes_ = max(1, bit_width(element) // 8)
        row = whole.lanes * bytes_
        for offset in range(0, groups * row, _CACHE_LINE):
            ahead = add(group, ahead_groups + offset // row)
            for panel in tile.panels:
                at = packed(panel, ahead, 0)
                at[kernel.contraction.column] = Split(panel.number, offset % row // bytes_)
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
        scales = [scale.read_scales(whole, places({}, p, mul(number, block)), packed(p, first, 0)) for p in tile.panels]
        for i, total in enumerate(sums):
            part = arith.addf(parts[i], parts[len(sums) + i])
            result.append(kernel.add_product(part, scales[i % len(tile.panels)], total))
        return result

    def steps_of(group: Index, groups: int, parts: Sequence[ir.Value]) -> list[ir.Value]:
        """So many groups; the sums of groups of one step alternate here."""
        prefetch(scale.largest, group, groups)
        for g in range(groups):
            parts = steps(add(group, g), together, parts)
            if together == 1:
                parts = [*parts[len(sums) :], *parts[: len(sums)]]
        return list(parts)

    scale, whole = kernel.block_scale, Elements(tile.panels[0].elements.lanes)
    number = structured_ops.element_type(scale.op.operands[scale.largest].type)
    ahead_groups = _PREFETCHED_BYTES // (whole.lanes * max(1, bit_width(number) // 8))
    extent = kernel.extents[inner]
    assert isinstance(extent, int), "find_block_scale was not asked"
    if extent == block:
        return one(0, sums)
    loop = scf.ForOp(value(0), value(extent // block), value(1), list(sums))
    with ir.InsertionPoint(loop.body):
        scf.yield_(one(loop.induction_variable, list(loop.inner_iter_args)))
    return list(loop.results)
