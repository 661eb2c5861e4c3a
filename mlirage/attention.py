"""The loops of an attention, by what its operands are read along.

result[batch, rows, columns] = sum over keys of softmax(query[batch, rows, depth] · key[batch, keys, depth]) *
                               value[batch, keys, columns]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlirage.mlir import ir


@dataclass(frozen=True)
class AttentionLoops:
    """The roles of the loops of a `linalgx.attention`.

    Attributes:
      batch: loops of the result that key or value are read along, in the result's order.
      rows: loops of the query and the result alone: all their rows read the same keys.
      keys: the loop of the softmax.
      depth: the loop over which query and key are multiplied.
      columns: the loop of value and result alone.
    """

    batch: tuple[int, ...]
    rows: tuple[int, ...]
    keys: int
    depth: int
    columns: int


def attention_loops(
    query: ir.AffineMap, key: ir.AffineMap, value: ir.AffineMap, result: ir.AffineMap
) -> AttentionLoops:
    """The roles of the loops.

    Raises:
      ValueError: the maps are not those of an attention; the text says why.
    """
    in_query, in_key, in_value, in_result = map(loops_of, (query, key, value, result))
    written = [expr.position if isinstance(expr, ir.AffineDimExpr) else None for expr in result.results]
    if None in written or len(set(written)) != len(written):
        raise ValueError("the result must be written along distinct loops")
    depth = in_query & in_key - in_result - in_value
    keys = in_key & in_value - in_query - in_result
    columns = in_value & in_result - in_query - in_key
    for name, loops in (("depth", depth), ("keys", keys), ("columns", columns)):
        if len(loops) != 1:
            raise ValueError(f"there must be one loop of the {name}, not {len(loops)}")
    if (in_query | in_key | in_value) - in_result - depth - keys:
        raise ValueError("a loop is summed over that is neither depth nor keys")
    outer = [loop for loop in written if loop is not None and loop not in columns]
    rows = tuple(loop for loop in outer if loop in in_query and loop not in in_key | in_value)
    batch = tuple(loop for loop in outer if loop not in rows)
    return AttentionLoops(batch, rows, *keys, *depth, *columns)


def loops_of(indexing_map: ir.AffineMap) -> set[int]:
    """The loops that a map mentions."""
    found: set[int] = set()

    def visit(expr: ir.AffineExpr) -> None:
        if isinstance(expr, ir.AffineDimExpr):
            found.add(expr.position)
        elif isinstance(expr, ir.AffineBinaryExpr):
            visit(expr.lhs)
            visit(expr.rhs)

    for result in indexing_map.results:
        visit(result)
    return found


def extents_of(operands: Sequence[ir.Value], maps: Sequence[ir.AffineMap]) -> list[int | None]:
    """The static extent of every loop, None where it is dynamic."""
    extents: list[int | None] = [None] * maps[0].n_dims
    for operand, indexing_map in zip(operands, maps, strict=True):
        shaped = ir.RankedTensorType(operand.type)
        for dim, expr in enumerate(indexing_map.results):
            if isinstance(expr, ir.AffineDimExpr) and not shaped.is_dynamic_dim(dim):
                extents[expr.position] = shaped.get_dim_size(dim)
    return extents
