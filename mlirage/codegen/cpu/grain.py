"""How much work one workgroup takes: estimated costs of ops, and tiles that cost about as much as they should."""

from __future__ import annotations

import math

from mlirage import structured_ops
from mlirage.mlir import ir, walk

# What a dynamic extent is taken for where a cost is needed.
GUESS = 256
_WORKGROUP_NS = 10_000.0
# What is long enough for two threads is cut into this many workgroups at least, unless they become shorter than that:
# not for the time alone, but because a thread reads what it wrote itself at twice to three times the speed.
_FEWEST_SHARED_NS, _LEAST_WORKGROUP_NS, _FEW_WORKGROUPS = 5_000.0, 2_000.0, 4.0
_DYNAMIC_INNER_TILE, _DYNAMIC_OUTER_TILE = 16384, 16
_TRANSCENDENTAL_NS, _DIVISION_NS, _SIMPLE_NS = 0.15, 0.06, 0.012


def cost_ns(op: ir.Operation) -> float:
    """Estimated time of a whole op on one core."""
    extents = [GUESS if e == structured_ops.DYNAMIC else e for e in structured_ops.loop_extents(op)]
    per_element = 0.1  # memory
    for inner in walk(op):
        if inner.name.startswith("math.") and inner.name not in ("math.fma", "math.absf"):
            per_element += _TRANSCENDENTAL_NS
        elif inner.name in ("arith.divf", "arith.remf", "arith.divsi", "arith.remsi", "arith.divui", "arith.remui"):
            per_element += _DIVISION_NS
        elif inner.name.startswith(("arith.", "tensor.", "complex.")):
            per_element += _SIMPLE_NS
    return per_element * math.prod(extents)


def workgroup_tiles(
    extents: list[int], dynamic: list[bool], rows: set[int], total_ns: float, order: list[int]
) -> tuple[int, ...]:
    """Cuts the row loops, outer ones first, until a workgroup costs about _WORKGROUP_NS, or there are a few."""
    tiles = [0] * len(extents)
    in_order = [loop for loop in order if loop in rows]
    if not in_order or (total_ns < _FEWEST_SHARED_NS and not any(dynamic[loop] for loop in in_order)):
        return tuple(tiles)
    if any(dynamic):
        return _dynamic_tiles(extents, dynamic, in_order, order[-1], total_ns, len(extents))
    wanted = max(min(_FEW_WORKGROUPS, total_ns / _LEAST_WORKGROUP_NS), total_ns / _WORKGROUP_NS)
    for loop in in_order:
        if wanted < 1.5:
            break
        pieces = min(extents[loop], math.ceil(wanted)) or 1
        size = -(-extents[loop] // pieces)
        if loop == order[-1] and size < extents[loop]:
            size = -(-size // 64) * 64  # whole vectors
        # one block of everything is no loop
        tiles[loop] = max(1, size) if size < extents[loop] else 0
        wanted /= pieces
    return tuple(tiles)


def _dynamic_tiles(
    extents: list[int], dynamic: list[bool], in_order: list[int], innermost: int, total_ns: float, count: int
) -> tuple[int, ...]:
    """Tiles where an extent is not known: bounded from above by what the static ones leave."""
    tiles = [0] * count
    per_point = total_ns / max(1, math.prod(extents))
    points = max(1, int(_WORKGROUP_NS / max(per_point, 1e-3)))
    inner_reduction = innermost not in in_order
    for position, loop in enumerate(reversed(in_order)):
        if not dynamic[loop]:
            if points >= extents[loop]:
                points //= max(1, extents[loop])
                continue
            tiles[loop] = max(1, points)
            points = 1
            continue
        if position == 0 and not inner_reduction:
            tiles[loop] = max(1, min(_DYNAMIC_INNER_TILE, points))
            points = max(points // max(GUESS, tiles[loop]), _DYNAMIC_OUTER_TILE if position == 0 else 1)
        else:
            tiles[loop] = max(1, min(points, 4096))
            points = max(1, points // tiles[loop])
    return tuple(tiles)
