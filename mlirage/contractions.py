"""Reads a structured op as a contraction.

    result[outer, rows, column] += left[outer, rows, depth] * right[outer, depth, column]

Every matrix product, batched or transposed, and every convolution that is not depthwise has this form; the kernels and
the packing of constant operands stand on it. A *packed* right operand holds panels of `panel` columns each, so that
a register tile reads it front to back:

    right[d_column floordiv 32, …depth…, d_column mod 32]

and, for dot-product instructions, groups of `group` steps of the innermost depth side by side:

    right[d_column floordiv 32, …depth…, d_k floordiv 4, (d_column mod 32) * 4 + d_k mod 4]

or, where groups are a loop of their own (taps of a window, which no operand tells the number of otherwise):

    right[d_column floordiv 32, …depth…, d_group, d_column mod 32, d_k]
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.mlir import ir


@dataclass(frozen=True)
class Contraction:
    """The roles of the loops and operands of a structured op.

    Attributes:
      op: the structured op.
      left: number of the operand whose elements are broadcast over columns.
      right: number of the operand that is read along columns.
      column: the innermost loop of the result.
      rows: parallel loops of the result and the left operand, in the result's order.
      outer: the other parallel loops, in the result's order.
      depth: the loops that are summed over, in the left operand's order.
      panel: columns per panel of a packed right operand, 0 if it is not packed.
      group: steps of the innermost depth that lie side by side in a packed right operand; 1 if it is not packed so.
    """

    op: ir.Operation
    left: int
    right: int
    column: int
    rows: tuple[int, ...]
    outer: tuple[int, ...]
    depth: tuple[int, ...]
    panel: int
    group: int = 1

    @property
    def left_value(self) -> ir.Value:
        """The left operand."""
        return self.op.operands[self.left]

    @property
    def right_value(self) -> ir.Value:
        """The right operand."""
        return self.op.operands[self.right]

    @property
    def maps(self) -> list[ir.AffineMap]:
        """The indexing maps of the three operands."""
        return structured_ops.indexing_maps(self.op)


def match_contraction(op: ir.Operation) -> Contraction | None:
    """`op` as a contraction; None if it is none, or if its columns index both operands (depthwise) or neither."""
    if not structured_ops.is_structured(op) or structured_ops.segment_sizes(op) != [2, 1] or len(op.results) != 1:
        return None
    if structured_ops.multiply_add(op) is None:
        return None
    maps = structured_ops.indexing_maps(op)
    written = structured_ops.map_dims(maps[2])
    if not written or None in written or len(set(written)) != len(written):
        return None
    order = [loop for loop in written if loop is not None]
    parallel = structured_ops.parallel_loops(op)
    if set(order) != {loop for loop, is_parallel in enumerate(parallel) if is_parallel}:
        return None
    read = [_used(m) for m in maps[:2]]
    column = order[-1]
    if (column in read[0]) == (column in read[1]):
        return None
    right = 0 if column in read[0] else 1
    left = 1 - right
    panel = panel_width(maps[right], column)
    if panel is None:
        return None
    rows = tuple(loop for loop in order if loop in read[left] and loop not in read[right])
    outer = tuple(loop for loop in order if loop != column and loop not in rows)
    summed = [loop for loop, is_parallel in enumerate(parallel) if not is_parallel]
    if any(loop not in read[left] for loop in summed):
        return None  # a sum of the right operand alone, times the left one
    depth = _in_order(maps[left], summed)
    group = _group(op.operands[right], maps[right], column, panel, depth[-1]) if panel and depth else 1
    return None if group is None else Contraction(op, left, right, column, rows, outer, depth, panel, group)


def _group(value: ir.Value, right: ir.AffineMap, column: int, panel: int, inner: int) -> int | None:
    """Steps of loop `inner` that a packed operand holds side by side, None if it is packed in no way known here."""
    last = right.results[-1]
    if isinstance(last, ir.AffineDimExpr) and last.position == inner:
        lanes = ir.AffineExpr.get_mod(ir.AffineExpr.get_dim(column), panel)
        return value.type.shape[-1] if right.results[-2] == lanes else 1
    if not _mentions(last, inner) or not _mentions(last, column):
        return 1
    if len(right.results) < 2 or not isinstance(right.results[-2], ir.AffineFloorDivExpr):
        return None
    group = ir.AffineConstantExpr(right.results[-2].rhs).value
    return group if last == grouped_place(column, panel, inner, group) else None


def grouped_place(column: int, panel: int, inner: int, group: int) -> ir.AffineExpr:
    """Where an element lies in its row of a panel packed in groups."""
    columns = ir.AffineExpr.get_mod(ir.AffineExpr.get_dim(column), panel)
    return ir.AffineExpr.get_add(
        ir.AffineExpr.get_mul(columns, group), ir.AffineExpr.get_mod(ir.AffineExpr.get_dim(inner), group)
    )


def panel_width(right: ir.AffineMap, column: int) -> int | None:
    """Columns per panel if the map packs `column`, 0 if it reads it plainly, None if it does anything else."""
    plain, panel = 0, 0
    for expr in right.results:
        if not _mentions(expr, column):
            continue
        if isinstance(expr, ir.AffineDimExpr):
            plain += 1
        elif isinstance(expr, ir.AffineFloorDivExpr | ir.AffineModExpr) and isinstance(expr.lhs, ir.AffineDimExpr):
            width = ir.AffineConstantExpr(expr.rhs).value
            if panel not in (0, width):
                return None
            panel = width
        elif (width := _grouped_width(expr, column)) and panel in (0, width):
            panel = width
        else:
            return None
    return panel if plain + (panel > 0) == 1 else None


def _grouped_width(expr: ir.AffineExpr, column: int) -> int:
    """The panel's width in `(column mod width) * group + …`, else 0."""
    if isinstance(expr, ir.AffineAddExpr) and isinstance(expr.lhs, ir.AffineMulExpr):
        factor = expr.lhs.lhs
        if isinstance(factor, ir.AffineModExpr) and isinstance(factor.lhs, ir.AffineDimExpr):
            return ir.AffineConstantExpr(factor.rhs).value if factor.lhs.position == column else 0
    return 0


def _used(indexing_map: ir.AffineMap) -> set[int]:
    return {loop for loop in range(indexing_map.n_dims) if any(_mentions(e, loop) for e in indexing_map.results)}


def _mentions(expr: ir.AffineExpr, loop: int) -> bool:
    if isinstance(expr, ir.AffineDimExpr):
        return expr.position == loop
    if isinstance(expr, ir.AffineBinaryExpr):
        return _mentions(expr.lhs, loop) or _mentions(expr.rhs, loop)
    return False


def _in_order(indexing_map: ir.AffineMap, loops: list[int]) -> tuple[int, ...]:
    """`loops` in the order in which the results of a map mention them; the others first."""
    position = {
        loop: max((at for at, e in enumerate(indexing_map.results) if _mentions(e, loop)), default=-1) for loop in loops
    }
    return tuple(sorted(loops, key=lambda loop: position[loop]))
