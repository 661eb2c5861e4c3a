"""How much of a contraction a workgroup computes: blocks of outer loops × rows × columns.

A workgroup should be worth its start, the right operand should be read once, and every thread should have work. Groups
of a convolution whose results lie side by side in a pixel stay together, so that threads never write the same lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlirage import structured_ops
from mlirage.codegen.register_shapes import RegisterShape, bit_width
from mlirage.contractions import Contraction
from mlirage.mlir import ir

# A workgroup should take 4 µs at least: so many multiply-adds, or so many bytes of the right operand. Large
# contractions get few large blocks, which read their operands less often: several times as much work.
_WORKGROUP_MACS = 400_000
_PIXEL_BLOCK_MACS = 250_000
_MANY_WORKGROUPS = 16
_LARGE_WORKGROUP_MACS = 14_000_000
_WORKGROUP_BYTES = 128 << 10
# The left operand of dot products is brought to scratch memory, at most about so much of it.
_STAGED_BYTES = 512 << 10
# What a dynamic extent is taken for when blocks are sized.
_GUESS = 128
# Groups that are written in runs of so many bytes may be computed by different threads.
_RUN_OF_A_THREAD = 512


def workgroup_tiles(
    c: Contraction,
    extents: Sequence[int | None],
    shape: RegisterShape,
    following: int = 0,
    interleaves: bool = False,
) -> tuple[int, ...]:
    """The tile of a workgroup in every loop; 0: the whole loop.

    Args:
      c: what is computed.
      extents: of the loops; None: dynamic.
      shape: of register tiles.
      following: operations on every element of the result.
      interleaves: whether neighbours in what is written are not columns of one group.
    """
    known = [_GUESS if e is None else max(e, 1) for e in extents]
    depth = math.prod(known[loop] for loop in c.depth)
    columns = known[c.column]
    rows = math.prod(known[loop] for loop in c.rows)
    macs = max(rows * columns * (depth // c.group + following), 1)
    groups = max(1, min(macs // _WORKGROUP_MACS, max(_MANY_WORKGROUPS, macs // _LARGE_WORKGROUP_MACS)))
    if rows <= 16:
        groups = max(groups, int(columns * depth * _right_bytes(c)) // _WORKGROUP_BYTES)
    if _keeps_groups(c, extents, interleaves):
        return _blocks_of_pixels(c, extents, known, macs * math.prod(known[loop] for loop in c.outer), shape)
    tiles = [0] * len(extents)
    panels = -(-columns // shape.columns)
    if not c.panel:  # every block of rows would stage the same panels again
        by_column = min(groups, panels)
    elif c.group > 1 and rows >= 2 * shape.rows * groups:  # every block of columns would stage the same rows again
        by_column = 1
    else:
        by_column = min(groups, max(1, panels // 2)) if rows <= 2 * shape.rows or panels >= 8 else 1
        # few rows make few blocks
        by_column = max(by_column, min(panels, groups // max(1, rows // (4 * shape.rows))))
    panels_each = -(-panels // by_column)
    by_column = -(-panels // panels_each)
    if panels_each < panels or extents[c.column] is None:
        tiles[c.column] = max(panels_each, 1) * shape.columns
    remaining = max(1, groups // by_column)
    if by_column % 2 and remaining == 1 and groups > by_column:
        remaining = 2  # an odd number of blocks, and few, leaves one of two threads waiting
    block = max(rows // remaining, 4 * shape.rows)
    if c.group > 1:  # the left operand is staged
        block = max(shape.rows, min(block, _STAGED_BYTES // max(1, depth)))
    _tile_rows(c, extents, known, tiles, block, shape)
    work = macs * max(1, tiles[c.column] or columns) // columns
    for loop in c.outer:
        tiles[loop] = 1 if extents[loop] != 1 else 0
    if c.outer and extents[c.outer[-1]] != 1 and work * 4 < _WORKGROUP_MACS:
        tiles[c.outer[-1]] = max(1, min(known[c.outer[-1]], _WORKGROUP_MACS // max(1, work) // 2))
    # one block of everything is no loop
    return tuple(0 if e is not None and tile >= e else tile for tile, e in zip(tiles, extents, strict=True))


def _keeps_groups(c: Contraction, extents: Sequence[int | None], interleaves: bool) -> bool:
    """Whether the groups of a pixel should be written by one thread: they share lines."""
    order = structured_ops.map_dims(c.maps[2])
    rows = [order.index(loop) for loop in c.rows if extents[loop] != 1]
    if not rows or not any(extents[loop] != 1 and order.index(loop) > max(rows) for loop in c.outer):
        return False
    columns = extents[c.column]
    run = None if columns is None else columns * bit_width(structured_ops.element_type(c.op.results[0].type)) // 8
    return interleaves or run is None or run < _RUN_OF_A_THREAD


def _blocks_of_pixels(
    c: Contraction, extents: Sequence[int | None], known: Sequence[int], macs: int, shape: RegisterShape
) -> tuple[int, ...]:
    """Blocks of rows, with all columns of all groups; what lies outside of the rows is distributed as a whole."""
    rows = math.prod(known[loop] for loop in c.rows)
    order = structured_ops.map_dims(c.maps[2])
    first = min(order.index(loop) for loop in c.rows)
    tiles = [0] * len(extents)
    for loop in c.outer:
        if order.index(loop) < first and extents[loop] != 1:
            tiles[loop] = 1
            macs //= known[loop]
    groups = max(1, min(macs // _PIXEL_BLOCK_MACS, max(_MANY_WORKGROUPS, macs // _LARGE_WORKGROUP_MACS)))
    _tile_rows(c, extents, known, tiles, max(rows // groups, 1), shape)
    return tuple(0 if e is not None and tile >= e else tile for tile, e in zip(tiles, extents, strict=True))


def _right_bytes(c: Contraction) -> float:
    """Bytes that are read for one element of the right operand."""
    value = c.right_value
    op = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if op is None or not structured_ops.is_elementwise(op) or not value.type.has_static_shape:
        return _bytes(value.type) / max(1, math.prod(value.type.shape)) if value.type.has_static_shape else 4
    inputs = [v.type for v in structured_ops.inputs(op) if isinstance(v.type, ir.RankedTensorType)]
    return sum(map(_bytes, inputs)) / max(1, math.prod(value.type.shape))


def _bytes(kind: ir.RankedTensorType) -> int:
    return math.prod(kind.shape) * max(1, bit_width(kind.element_type) // 8) if kind.has_static_shape else 0


def _tile_rows(
    c: Contraction,
    extents: Sequence[int | None],
    known: Sequence[int],
    tiles: list[int],
    rows: int,
    shape: RegisterShape,
) -> None:
    """Gives a workgroup about `rows` rows: whole inner loops, a part of one, single steps of those outside."""
    inner = 1
    for loop in reversed(c.rows):
        wanted = max(1, rows // inner)
        if inner >= rows:
            tiles[loop] = 1 if extents[loop] != 1 else 0
        elif extents[loop] is None or known[loop] > wanted:
            tiles[loop] = _even_part(extents[loop], wanted, shape.rows if loop == c.rows[-1] else 1)
        inner *= tiles[loop] or known[loop]


def _even_part(extent_: int | None, wanted: int, unit: int) -> int:
    """A block of about `wanted`: the divisor of the extent that is nearest, unless that is far off."""
    if extent_ is None:
        return max(unit, wanted // unit * unit)
    divisors = [d for d in range(1, extent_ + 1) if extent_ % d == 0] if extent_ <= 4096 else []
    near = min(divisors, key=lambda d: max(d / wanted, wanted / d) * _waiting(extent_ // d), default=0)
    if near and max(near / wanted, wanted / near) <= 1.5:
        return 0 if near == extent_ else near
    even = -(-extent_ // -(-extent_ // wanted))
    return 0 if even >= extent_ else max(unit, -(-even // unit) * unit)


def _waiting(blocks: int) -> float:
    """How much longer two threads take for so many blocks than for halves of them."""
    return (blocks + blocks % 2) / blocks
