"""What a depthwise convolution or a pooling is made of: its loops, its taps, and the padding that may be left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.elements import is_readable, pad_amounts
from mlirage.codegen.cpu.index_math import Index
from mlirage.codegen.cpu.integer_products import zero_point
from mlirage.codegen.cpu.tile_outputs import is_fusable
from mlirage.codegen.register_shapes import bit_width
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir

_WORKGROUP_TAPS = 150_000
# Less than that, but enough for two threads, is cut into a few workgroups.
_LEAST_WORKGROUP_TAPS, _FEW_WORKGROUPS = 40_000, 4
# Planes with so many rows are cut between them.
_ROWS_OF_PLANES = 14
_GUESS = 32


@dataclass(frozen=True)
class Window:
    """The roles of the loops of a window op.

    Attributes:
      op: the structured op; input 0 is the image, input 1 the filter, or only the shape of the window.
      lane: the innermost loop of the result: that of vectors.
      along: the loop of the result's rows: next to the channels, which are lanes, or the lanes themselves.
      outer: the other parallel loops.
      taps: the reduction loops.
      extents: of the taps.
    """

    op: ir.Operation
    lane: int
    along: int
    outer: tuple[int, ...]
    taps: tuple[int, ...]
    extents: tuple[int, ...]

    @property
    def image(self) -> ir.Value:
        """The operand that the window slides over."""
        return self.op.operands[0]

    @property
    def image_map(self) -> ir.AffineMap:
        """How the image is read."""
        return structured_ops.indexing_maps(self.op)[0]


def root_op(entry: Entry) -> ir.Operation | None:
    """The one op of an entry that is not elementwise."""
    reducing = [
        op for op in entry.structured_ops() if op.name != "linalg.fill" and not all(structured_ops.parallel_loops(op))
    ]
    return reducing[0] if len(reducing) == 1 else None


def is_only_finished(entry: Entry, window: Window) -> bool:
    """Whether everything else in an entry prepares what a window reads, or finishes its result elementwise."""
    op = window.op
    reads = [window.image, structured_ops.outputs(op)[0]]
    if reads_filter(op):
        reads.append(op.operands[1])
    written = [o.operands[0] for o in entry.walk() if o.name == "bufferization.materialize_in_destination"]
    return bool(written) and all(map(is_readable, reads)) and all(is_fusable(v, op.results[0]) for v in written)


def workgroup_tiles(window: Window) -> tuple[int, ...]:
    """The tile of a workgroup in every loop; 0: the whole loop.

    Rows of the result are divided, whatever the layout: those before and after it are, and a thread reads what it wrote
    itself fastest. So planes are whole only where they are few rows.
    """
    extents = structured_ops.loop_extents(window.op)
    known = [_GUESS if e == structured_ops.DYNAMIC else max(e, 1) for e in extents]
    tiles = [0] * len(extents)
    work = math.prod(known[loop] for loop in {window.along, window.lane}) * math.prod(window.extents)
    total = work * math.prod(known[loop] for loop in window.outer)
    wanted = min(_WORKGROUP_TAPS, max(_LEAST_WORKGROUP_TAPS, total // _FEW_WORKGROUPS))
    for loop in _inside_first(window, known):
        if work >= wanted:
            tiles[loop] = 1 if extents[loop] != 1 else 0
        elif extents[loop] == structured_ops.DYNAMIC or work * known[loop] > 2 * wanted:
            tiles[loop] = _evenly(extents[loop], max(1, wanted // work))
        work *= tiles[loop] or known[loop]
    return tuple(0 if e != structured_ops.DYNAMIC and t >= e else t for t, e in zip(tiles, extents, strict=True))


def _inside_first(window: Window, known: Sequence[int]) -> list[int]:
    """The outer loops in the order in which a workgroup takes them whole: channels before rows, if those are enough."""
    loops = [*reversed(window.outer)]
    slides = {loop for e in window.image_map.results if len(terms := linear_terms(e) or {}) > 1 for loop in terms}
    channel = next((loop for loop in loops if loop not in slides), None)
    if window.along != window.lane or channel in (None, loops[0]) or known[loops[0]] < _ROWS_OF_PLANES:
        return loops
    return [channel, *(loop for loop in loops if loop != channel)]


def _evenly(extent_: int, most: int) -> int:
    """A tile from `most` down to half of it, so that two threads get about the same; the largest one."""

    def longer(tile: int) -> int:
        return math.ceil(math.ceil(extent_ / tile) / 2) * tile

    return most if extent_ == structured_ops.DYNAMIC else min(range(most, most // 2, -1), key=longer)


def vector_lanes(window: Window, target: CpuTarget) -> int:
    """Results per vector."""
    element = structured_ops.element_type(window.op.results[0].type)
    return max(2, 8 * target.vector_bytes // max(8, bit_width(element)))


def reads_filter(op: ir.Operation) -> bool:
    """Whether the second operand is a filter; else only its shape matters."""
    return bool(list(structured_ops.body(op).arguments[1].uses))


def match_window(op: ir.Operation) -> Window | None:
    """`op` as a window over vectors of channels, or over rows of a plane, whichever its innermost dim is."""
    if structured_ops.segment_sizes(op) != [2, 1] or len(op.results) != 1:
        return None
    image, other, result = structured_ops.indexing_maps(op)
    written = structured_ops.map_dims(result)
    if len(written) < 2 or None in written or len(set(written)) != len(written):
        return None
    order = [loop for loop in written if loop is not None]
    parallel = structured_ops.parallel_loops(op)
    taps = tuple(loop for loop, is_parallel in enumerate(parallel) if not is_parallel)
    if set(order) != set(range(len(parallel))) - set(taps):
        return None
    terms = [linear_terms(e) for e in image.results]
    if any(t is None for t in terms) or None in structured_ops.map_dims(other):
        return None
    lane = order[-1]
    if sum(lane in (t or {}) for t in terms) != 1 or lane not in (terms[-1] or {}):
        return None
    slides = any(loop in taps for loop in terms[-1] or {})
    if not slides and terms[-1] != {lane: 1}:
        return None
    along = lane if slides else order[-2]
    if reads_filter(op) and along in structured_ops.map_dims(other):
        return None  # neighbours in a row share what is read of the filter
    if any(inner.operation.name in ("linalg.index", "tensor.extract") for inner in structured_ops.body(op).operations):
        return None  # what an element is made of must lie in the vectors that are read
    all_extents = structured_ops.loop_extents(op)
    extents = tuple(all_extents[loop] for loop in taps)
    if structured_ops.DYNAMIC in extents:
        return None
    return Window(op, lane, along, tuple(loop for loop in order if loop not in (lane, along)), taps, extents)


def linear_terms(expr: ir.AffineExpr) -> dict[int, int] | None:
    """The factor of every loop in a weighted sum of loops without a constant; None if it is anything else."""
    match expr:
        case ir.AffineDimExpr():
            return {expr.position: 1}
        case ir.AffineAddExpr():
            a, b = linear_terms(expr.lhs), linear_terms(expr.rhs)
            if a is None or b is None:
                return None
            return {loop: a.get(loop, 0) + b.get(loop, 0) for loop in {**a, **b}}
        case ir.AffineMulExpr() if isinstance(expr.rhs, ir.AffineConstantExpr):
            a, factor = linear_terms(expr.lhs), expr.rhs.value
            return None if a is None or factor <= 0 else {loop: f * factor for loop, f in a.items()}
        case _:
            return None


@dataclass(frozen=True)
class Padding:
    """What is left out at the edges.

    Attributes:
      source: the image without its padding.
      low: how much was added before each dim.
      padded: whether anything was added along a dim.
      value: what was added; None: nothing.
    """

    source: ir.Value
    low: tuple[Index, ...]
    padded: tuple[bool, ...]
    value: ir.Attribute | None = None


def find_padding(window: Window) -> Padding:
    """The padding of the image that may be left out. Padding that counts is read, element by element."""
    image = window.image
    rank = ir.RankedTensorType(image.type).rank
    as_it_is = Padding(image, (0,) * rank, (False,) * rank)
    op = None if isinstance(image.owner, ir.Block) else image.owner.operation
    if op is None or op.name != "tensor.pad" or not _adds_nothing(window.op, op):
        return as_it_is
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    if segments[1] or segments[2]:
        padded = [True] * rank
    else:
        amounts = [ir.DenseI64ArrayAttr(op.attributes[name]) for name in ("static_low", "static_high")]
        padded = [bool(low or high) for low, high in zip(*amounts, strict=True)]
    for indexing, is_padded in zip(window.image_map.results, padded, strict=True):
        terms = linear_terms(indexing) or {}
        if is_padded and sum(loop in window.taps for loop in terms) != 1:
            return as_it_is
    low, _ = pad_amounts(op)
    return Padding(op.operands[0], tuple(low), tuple(padded), padding_value(op))


def _adds_nothing(op: ir.Operation, pad: ir.Operation) -> bool:
    """Whether taps that read the padding leave the sum as it is."""
    number = padding_value(pad)
    if number is None:
        return False
    scalar = ir.FloatAttr(number).value if isinstance(number, ir.FloatAttr) else ir.IntegerAttr(number).value
    if structured_ops.multiply_add(op) is not None:
        return scalar == zero_point(op)
    ops = [inner.operation for inner in structured_ops.body(op).operations]
    if len(ops) != 2:
        return False
    width = bit_width(structured_ops.element_type(pad.results[0].type))
    lowest = -math.inf if isinstance(number, ir.FloatAttr) else -(1 << (width - 1))
    match ops[0].name:
        case "arith.addf" | "arith.addi":
            return scalar == 0
        case "arith.maximumf" | "arith.maxnumf" | "arith.maxsi":
            return scalar == lowest
        case "arith.maxui":
            return scalar == 0
        case "arith.minimumf" | "arith.minnumf":
            return scalar == math.inf
        case _:
            return False


def padding_value(pad: ir.Operation) -> ir.Attribute | None:
    """What is padded with, if that is a constant."""
    padding = list(pad.regions[0].blocks[0].operations)[-1].operation.operands[0]
    owner = None if isinstance(padding.owner, ir.Block) else padding.owner.operation
    return None if owner is None or owner.name != "arith.constant" else owner.attributes["value"]
