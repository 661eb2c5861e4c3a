"""Lines of memory that are fetched ahead of their use, where no hardware foresees it.

A kernel reads a few bytes of many rows: what is added to a tile of sums, the keys of one head among others'. Asking
for the next of them while the present ones are computed hides the way to them.

    memref.prefetch %residual[row + 8, column]      for the tile after this one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.index_math import Index, Place, add, value
from mlirage.codegen.register_shapes import bit_width
from mlirage.mlir import arith, ir, memref

_LINE = 64
_FIRST_LEVEL = 3


@dataclass(frozen=True)
class Fetches(Elements):
    """Fetches the lines that `Elements` would load, each once, and gives zeros; places out of bounds do no harm.

    Attributes:
      fetched: what was asked for already.
    """

    fetched: set[tuple[ir.Value, tuple[Index, ...]]] = field(default_factory=set[tuple[ir.Value, tuple[Index, ...]]])

    def load(self, buffer: ir.Value, places: Sequence[Place]) -> ir.Value:
        """Zeros for elements of a buffer, which are fetched if they lie side by side."""
        element = ir.MemRefType(buffer.type).element_type
        steps = [p.step for p in places]
        at = (buffer, tuple(p.base for p in places))
        if steps and steps[-1] == 1 and not any(steps[:-1]) and at not in self.fetched:
            self.fetched.add(at)
            for start in range(0, self.lanes, max(1, 8 * _LINE // bit_width(element))):
                place = [value(p.base) for p in places[:-1]] + [value(add(places[-1].base, start))]
                memref.prefetch(buffer, place, False, _FIRST_LEVEL, True)
        zero = 0 if isinstance(element, ir.IntegerType | ir.IndexType) else 0.0
        return self.spread(arith.constant(element, zero))
