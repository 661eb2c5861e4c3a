"""Shapes of register tiles: how many rows of how many columns of a contraction's result live in vector registers.

The width is also the width of the panels of packed constant operands, so it may depend on nothing but the type of the
result and the target.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir


@dataclass(frozen=True)
class RegisterShape:
    """A register tile.

    Attributes:
      rows: rows at most.
      columns: elements of the result per row.
    """

    rows: int
    columns: int


def register_shape(element: ir.Type, target: CpuTarget) -> RegisterShape:
    """The register tile for results of an element type.

    Measured on x86-64 with AVX-512: 8x32 f32 runs at 0.97 of the FMA peak, 16x32 spills, 8x16 loads too much.
    """
    lanes = max(2, 8 * target.vector_bytes // max(16, bit_width(element)))
    wide = target.vector_registers >= 32
    if target.vector_bytes >= 32:
        return RegisterShape(8 if wide else 6, 2 * lanes)
    columns = 4 * lanes if wide else 2 * lanes
    # Elements as wide as a register, or wider, leave room for fewer rows.
    registers = max(1, columns * bit_width(element) // (8 * target.vector_bytes))
    return RegisterShape(min(6 if wide else 4, (target.vector_registers - 4) // registers), columns)


def panel_columns(columns: int, element: ir.Type, target: CpuTarget) -> int:
    """Columns per panel of a packed constant with so many columns: few columns take one vector, not two."""
    shape = register_shape(element, target)
    one_vector = max(2, 8 * target.vector_bytes // max(16, bit_width(element)))
    return min(shape.columns, one_vector) if columns <= one_vector else shape.columns


def bit_width(element: ir.Type) -> int:
    """Bits of an element of a result."""
    return 64 if isinstance(element, ir.IndexType) else element.width  # pyright: ignore
