"""Operands of a contraction that are computed, padded or badly laid out, brought to memory where the tiles read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import Elements, Staged
from mlirage.codegen.cpu.index_math import Index
from mlirage.contractions import Contraction
from mlirage.mlir import ir

if TYPE_CHECKING:
    from mlirage.codegen.cpu.register_tile import Panel, RegisterTile


def stage_left(
    contraction: Contraction, starts: Mapping[int, Index], sizes: Mapping[int, Index], extents: Sequence[Index]
) -> dict[ir.Value, Staged]:
    return {}


def stage_right(
    tile: RegisterTile,
    panels: Sequence[Panel],
    outer: Mapping[int, Index],
    extents: Sequence[Index],
    sizes: Mapping[int, Index],
    staged: Mapping[ir.Value, Staged],
) -> dict[ir.Value, Staged]:
    return {}
