"""Fetches packed panels that have to come from memory ahead of their use, a few lines at every step of the depth.

tiles that share a panel      the first would wait for every few lines of it, and the others would find it in the
                              cache: so each of them fetches a part of the next panel
a tile that alone reads it    fetches what it reads itself some pages later: what the processor foresees ends with
                              the page, and it multiplies in the meantime
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import is_pointwise
from mlirage.codegen.cpu.fetches import Fetches
from mlirage.codegen.cpu.index_math import Index, Split, add, div, evaluate, mul, smaller, value
from mlirage.codegen.register_shapes import bit_width
from mlirage.mlir import ir, memref

if TYPE_CHECKING:
    from mlirage.codegen.cpu.register_tile import Panel, RegisterTile

Fetch = Callable[[Mapping[int, Index], Mapping[int, Split] | None], None]

# Packed operands of so many bytes are fetched ahead of their use, while up to so many tiles read the panel before.
_FETCHED_FROM, _MOST_SHARES = 128 << 10, 48
_LINE, _FIRST_LEVEL, _SECOND_LEVEL = 64, 3, 2
# What one thread reads in a quarter of a microsecond; twice as far ahead is slower again.
_AHEAD_BYTES = 8 << 10


def find_fetch(
    kernel: RegisterTile,
    height: int,
    outer: Mapping[int, Index],
    panels: Sequence[Panel],
    part: tuple[Index, Index],
) -> Fetch | None:
    """What fetches at a step of the depth; None: nothing is worth it.

    Args:
      kernel: of the contraction.
      height: rows of the tile.
      outer: indices of the outer loops.
      panels: that the tile multiplies.
      part: number of the first row in its block, and how many rows the block has.
    """
    contraction = kernel.contraction
    if not contraction.panel or len(contraction.depth) != 1 or panels[0].buffer is not None:
        return None
    if part[1] == height:
        return _further(kernel, height, outer, panels)
    return _next_panel(kernel, height, panels, part)


def _next_panel(kernel: RegisterTile, height: int, panels: Sequence[Panel], part: tuple[Index, Index]) -> Fetch | None:
    """A tile's part of the panel after the one at hand."""
    contraction = kernel.contraction
    source = _in_memory(contraction.right_value)
    if source is None or contraction.group > 1 or kernel.together > 1:
        return None
    buffer, kind = source
    if kind.rank != 3 or not kind.has_static_shape:
        return None
    count, steps, lanes = kind.shape
    width = bit_width(kind.element_type)
    if count * steps * lanes * width < 8 * _FETCHED_FROM or width < 8:
        return None
    line, inner = 8 * _LINE // width, contraction.depth[0]
    first, rows = part
    if not isinstance(rows, int) or len(panels) > 1 or not height < rows <= _MOST_SHARES * height:
        return None
    following = smaller(add(panels[0].number, 1), count - 1)
    start, each = div(mul(first, steps * lanes), rows), -(-height * lanes // rows)

    def fetch(depth: Mapping[int, Index], split: Mapping[int, Split] | None = None) -> None:
        for column in range(0, each, line):
            element = add(add(start, mul(depth[inner], each)), column)
            memref.prefetch(buffer, [value(following), value(0), value(element)], False, _SECOND_LEVEL, True)

    return fetch


def _further(kernel: RegisterTile, height: int, outer: Mapping[int, Index], panels: Sequence[Panel]) -> Fetch | None:
    """The panels at hand, further down: of numbers with scales the numbers, which are most of it."""
    contraction, scale = kernel.contraction, kernel.block_scale
    source = _in_memory(_largest_source(contraction.right_value))
    if source is None:
        return None
    buffer, kind = source
    width = bit_width(kind.element_type)
    if kind.rank != 3 or not kind.has_static_shape or math.prod(kind.shape) * width < 8 * _FETCHED_FROM or width < 8:
        return None
    if height == 1 and width >= bit_width(kernel.accumulator):
        return None  # nothing else is done meanwhile, and the processor foresees it
    row, inner = kind.shape[-1], contraction.depth[0]
    line, ahead = 8 * _LINE // width, -(-8 * _AHEAD_BYTES // (row * width))

    def fetch(depth: Mapping[int, Index], split: Mapping[int, Split] | None = None) -> None:
        step, steps = add(depth[inner], ahead * kernel.together), dict(split or {})
        if steps:  # numbers of several steps lie in the same bytes
            if steps[inner].remainder != 0:
                return
            steps[inner] = Split(add(steps[inner].quotient, ahead), 0)
        for panel in panels:
            if contraction.group > 1:
                for element in range(0, row, line):
                    at = [value(panel.number), value(step), value(element)]
                    memref.prefetch(buffer, at, False, _FIRST_LEVEL, True)
                continue
            elements = Fetches(panel.elements.lanes)
            loops = kernel.loops({}, outer, panel, {inner: step})
            packed = {contraction.column: Split(panel.number), **steps}
            if scale is not None:
                scale.read_numbers(elements, loops, packed)
            else:
                places = contraction.maps[contraction.right].results
                elements.read(contraction.right_value, [evaluate(e, loops, packed) for e in places])

    return fetch


def _largest_source(tensor_value: ir.Value) -> ir.Value:
    """What elements of a tensor are mostly computed from."""
    op = None if isinstance(tensor_value.owner, ir.Block) else tensor_value.owner.operation
    if op is None or not is_pointwise(op):
        return tensor_value
    inputs = [v for v in structured_ops.inputs(op) if isinstance(v.type, ir.RankedTensorType)]
    shaped = [v for v in inputs if ir.RankedTensorType(v.type).has_static_shape]
    if not shaped:
        return tensor_value
    return _largest_source(max(shaped, key=lambda v: math.prod(ir.RankedTensorType(v.type).shape)))


def _in_memory(tensor_value: ir.Value) -> tuple[ir.Value, ir.RankedTensorType] | None:
    """The buffer that a tensor lies in, and its type; None if it is computed."""
    while not isinstance(tensor_value.owner, ir.Block) and tensor_value.owner.operation.name == "tensor.cast":
        tensor_value = tensor_value.owner.operation.operands[0]
    if isinstance(tensor_value.owner, ir.Block):
        return None
    op = tensor_value.owner.operation
    is_buffer = op.name == "bufferization.to_tensor"
    return (op.operands[0], ir.RankedTensorType(tensor_value.type)) if is_buffer else None
