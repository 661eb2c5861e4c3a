"""Taps of a convolution that lie in the zeros around its image: they add nothing, and are left out.

    for kh:  for kw:  for c:  …      ->     for kh in those inside the image, at this row of the result:  …

A tile of pixels of one row of the result has common taps along the rows of the image. Where it is a whole row, and so
at a known place, each of its pixels has taps of its own along that as well. On images of 7 x 7 pixels, windows of 3 x 3
have a fifth of their taps outside; dilated windows have more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import extent, pad_amounts
from mlirage.codegen.cpu.index_math import Index, add, div, larger, mul, smaller, sub
from mlirage.codegen.cpu.window_op import linear_terms, padding_value
from mlirage.contractions import Contraction
from mlirage.mlir import ir

_EXTENSIONS = ("arith.extf", "arith.extsi", "arith.extui")


def taps_inside(start: Index, step: int, count: Index, low: Index, size: Index) -> tuple[Index, Index]:
    """The first tap inside an image, and the one after the last; the latter is no less than the former.

    Args:
      start: the place of tap 0, counted with the padding.
      step: from tap to tap.
      count: of taps.
      low: places before the image.
      size: of the image.
    """
    first = div(add(larger(0, sub(low, start)), step - 1), step)
    room = larger(0, sub(add(size, low), start))
    return first, larger(first, smaller(count, div(add(room, step - 1), step)))


@dataclass(frozen=True)
class PaddedTaps:
    """A loop over taps along a dim that zeros were put around.

    Attributes:
      terms: the factors of the other loops that the place in the image is a sum of.
      step: the factor of the taps.
      count: of taps.
      low: zeros before the image.
      size: of the image.
    """

    terms: Mapping[int, int]
    step: int
    count: int
    low: Index
    size: Index

    def of(self, row: Mapping[int, Index]) -> tuple[Index, Index]:
        """The taps inside the image at a place of the result."""
        start: Index = 0
        for loop, factor in self.terms.items():
            start = add(start, mul(row[loop], factor))
        return taps_inside(start, self.step, self.count, self.low, self.size)

    def share(self, extents: Sequence[Index]) -> float:
        """How many of the taps lie inside the image, of all places of the result; 1 if that is not known."""
        if len(self.terms) != 1:
            return 1.0
        ((loop, _),) = self.terms.items()
        count = extents[loop]
        if not isinstance(count, int) or not isinstance(self.size, int) or not count:
            return 1.0
        ranges = [self.of({loop: place}) for place in range(count)]
        return sum(b - a for a, b in ranges if isinstance(a, int) and isinstance(b, int)) / (count * self.count)

    def of_all(self, rows: Sequence[Mapping[int, Index]], run: Sequence[int]) -> tuple[Index, Index] | None:
        """The taps inside the image that all rows of a tile have, which differ in `run` alone; None: they differ."""
        if len(rows) > 1 and (len(run) != 1 or run[0] in self.terms):
            return None
        return self.of(rows[0])

    def of_each(self, rows: Sequence[Mapping[int, Index]]) -> list[range] | None:
        """The taps of every row of a tile; None if they are not known, or are all there are."""
        if not all(isinstance(row[loop], int) for row in rows for loop in self.terms):
            return None
        ranges: list[range] = []
        for row in rows:
            first, last = self.of(row)
            if not isinstance(first, int) or not isinstance(last, int):
                return None
            ranges.append(range(first, last))
        return ranges if any(len(taps) < self.count for taps in ranges) else None


def find_padded_taps(contraction: Contraction, factor: ir.Value) -> dict[int, PaddedTaps]:
    """The loops over taps of a convolution that may read zeros around the image.

    Args:
      contraction: what is computed.
      factor: what its body multiplies of the image.
    """
    pad = contraction.left_value.owner
    while not isinstance(pad, ir.Block) and pad.operation.name == "tensor.cast":
        pad = pad.operation.operands[0].owner
    if isinstance(pad, ir.Block) or pad.operation.name != "tensor.pad" or not _adds_nothing(contraction, pad, factor):
        return {}
    extents = structured_ops.loop_extents(contraction.op)
    segments = list(ir.DenseI32ArrayAttr(pad.operation.attributes["operandSegmentSizes"]))
    if segments[1] or segments[2]:
        return {}
    amounts = pad_amounts(pad.operation)
    terms = [linear_terms(expr) for expr in contraction.maps[contraction.left].results]
    found: dict[int, PaddedTaps] = {}
    for dim, (mine, low, high) in enumerate(zip(terms, *amounts, strict=True)):
        taps = [loop for loop in mine or {} if loop in contraction.depth]
        if mine is None or len(taps) != 1 or (low, high) == (0, 0) or extents[taps[0]] == structured_ops.DYNAMIC:
            continue
        (tap,) = taps
        if any(t is None or tap in t for other, t in enumerate(terms) if other != dim):
            continue
        rest = {loop: step for loop, step in mine.items() if loop != tap}
        found[tap] = PaddedTaps(rest, mine[tap], extents[tap], low, extent(pad.operation.operands[0], dim))
    return found


def _adds_nothing(contraction: Contraction, pad: ir.Operation | ir.OpView, factor: ir.Value) -> bool:
    """Whether the body multiplies what was put around the image as 0."""
    number = padding_value(pad.operation)
    if not isinstance(number, ir.FloatAttr | ir.IntegerAttr) or number.value != 0:
        return False
    argument = structured_ops.body(contraction.op).arguments[contraction.left]
    op = None if isinstance(factor.owner, ir.Block) else factor.owner.operation
    return factor == argument or (op is not None and op.name in _EXTENSIONS and op.operands[0] == argument)
