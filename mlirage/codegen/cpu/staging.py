"""Operands of a contraction that are computed, padded or badly laid out, brought to memory where the tiles read them.

The left operand of a workgroup is staged as it is needed by all panels; the right operand panel by panel, as
[depth][columns of the panel]. Both live in the worker's scratch memory, so their sizes must be bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mlirage import structured_ops
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, Staged
from mlirage.codegen.cpu.index_math import (
    Index,
    Place,
    Split,
    add,
    ceil_div,
    div,
    evaluate,
    mul,
    rem,
    smaller,
    sub,
    value,
)
from mlirage.codegen.cpu.register_tile import Panel, RegisterTile
from mlirage.codegen.target import CpuTarget
from mlirage.contractions import Contraction
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, memref, vector

_MOST_BYTES = 4 << 20
_ALIGNMENT = 64


def lies_in_memory(tensor_value: ir.Value) -> bool:
    """Whether elements of a tensor are loads, at places that index arithmetic tells."""
    if isinstance(tensor_value.owner, ir.Block):
        return False
    op = tensor_value.owner.operation
    if op.name in ("tensor.cast", "tensor.expand_shape", "tensor.collapse_shape", "tensor.extract_slice"):
        return lies_in_memory(op.operands[0])
    return op.name == "bufferization.to_tensor"


def stage_left(
    tile: RegisterTile,
    starts: Mapping[int, Index],
    sizes: Mapping[int, Index],
    bounds: Mapping[int, Index],
    target: CpuTarget,
) -> dict[ir.Value, Staged]:
    """Computes what a workgroup reads of the left operand, unless it is in memory or has no bound on its size.

    An operand in memory is staged as well if it is costly to widen: once, not for every panel. For dot products it is
    staged unless its bytes can be taken as they are; groups that reach over the end are filled up with zeros.

    Raises:
      CompileError: a dot product needs it staged, and the workgroup is too large for that.
    """
    contraction = tile.contraction
    source = contraction.left_value
    element = structured_ops.element_type(source.type)
    widens = isinstance(element, ir.F16Type) and tile.widens(contraction.left)
    if tile.dot is not None:
        if groups_in_memory(tile):
            return {}
    elif (lies_in_memory(source) and not widens) or not all(isinstance(b, int) for b in bounds.values()):
        return {}
    static = {loop: b for loop, b in bounds.items() if isinstance(b, int)}
    if tile.dot is not None:
        element = tile.dot.left.element
    elif widens:
        element = tile.factor_type(contraction.left)
    expressions = contraction.maps[contraction.left].results
    shape = [_span(e, static) for e in expressions] if len(static) == len(bounds) else [None]
    box = [s for s in shape if s is not None]
    if tile.dot is not None and box:
        box[-1] = -(-box[-1] // tile.dot.depth) * tile.dot.depth
    if len(box) < len(shape) or math.prod(box) * byte_width(element) > _MOST_BYTES:
        if tile.dot is not None:
            raise CompileError(
                f"{contraction.op.location}: a workgroup of {', '.join(map(str, bounds.values()))} steps of its loops "
                f"reads more than {_MOST_BYTES} bytes of the left operand, or no one knows how much"
            )
        return {}
    buffer = memref.AllocOp(ir.MemRefType.get(box, element), [], [], alignment=_ALIGNMENT).memref
    origin = [evaluate(e, {loop: Place(s) for loop, s in starts.items()}, {}).base for e in expressions]
    last = {loop: Place(sub(size, 1)) for loop, size in sizes.items()}
    zero = {loop: Place(0) for loop in sizes}
    extents = [add(sub(evaluate(e, last, {}).base, evaluate(e, zero, {}).base), 1) for e in expressions]
    lanes = max(1, target.vector_bytes // byte_width(element))

    def compute(elements: Elements, at: Sequence[Place]) -> ir.Value:
        places = [Place(add(o, p.base), p.step) for o, p in zip(origin, at, strict=True)]
        read = elements.read(source, places)
        if tile.dot is not None:
            return tile.narrow_left(elements, read)
        return tile.widen(contraction.left, elements, read, {}) if widens else read

    _fill(buffer, [], extents, lanes, compute, tile.dot.depth if tile.dot is not None else 1)
    return {source: Staged(buffer, tuple(origin))}


def groups_in_memory(tile: RegisterTile) -> bool:
    """Whether dot products can load groups of the left operand from where it lies."""
    contraction, dot = tile.contraction, tile.dot
    assert dot is not None
    extent = tile.extents[contraction.depth[-1]]
    if not tile.left_as_it_is() or not isinstance(extent, int) or extent % dot.depth:
        return False
    source = contraction.left_value
    while not isinstance(source.owner, ir.Block) and source.owner.operation.name == "tensor.cast":
        source = source.owner.operation.operands[0]
    return not isinstance(source.owner, ir.Block) and source.owner.operation.name == "bufferization.to_tensor"


def byte_width(element: ir.Type) -> int:
    """Bytes of an element in memory."""
    return 8 if isinstance(element, ir.IndexType) else max(1, element.width // 8)  # pyright: ignore


def _span(expr: ir.AffineExpr, sizes: Mapping[int, int]) -> int | None:
    """How many values an expression takes while every loop runs through its size; None unless it is a weighted sum."""
    try:
        high = evaluate(expr, {loop: Place(max(size, 1) - 1) for loop, size in sizes.items()}, {}).base
        low = evaluate(expr, {loop: Place(0) for loop in sizes}, {}).base
    except ValueError:
        return None
    if not _is_weighted_sum(expr) or not isinstance(high, int) or not isinstance(low, int):
        return None
    return high - low + 1


def _is_weighted_sum(expr: ir.AffineExpr) -> bool:
    match expr:
        case ir.AffineDimExpr():
            return True
        case ir.AffineConstantExpr():
            return expr.value >= 0
        case ir.AffineAddExpr() | ir.AffineMulExpr():
            return _is_weighted_sum(expr.lhs) and _is_weighted_sum(expr.rhs)
        case _:
            return False


def _fill(
    buffer: ir.Value,
    outer: list[Place],
    extents: Sequence[Index],
    lanes: int,
    compute: Callable[[Elements, Sequence[Place]], ir.Value],
    group: int = 1,
) -> None:
    """Loops over a box: vectors along its last dim, the rest of it masked.

    Args:
      buffer: where the elements go.
      outer: the place in the dims before.
      extents: of the dims left.
      lanes: of a vector.
      compute: elements at a place.
      group: zeros follow the last dim up to a multiple of it.
    """
    if len(extents) > 1:
        for_each(extents[0], 1, lambda i: _fill(buffer, [*outer, Place(i)], extents[1:], lanes, compute, group))
        return
    length = extents[0] if extents else 1
    whole = div(length, lanes)

    def one(i: Index) -> None:
        at = [*outer, Place(mul(i, lanes), 1)]
        Elements(lanes).store(compute(Elements(lanes), at), buffer, at)

    for_each(whole, 1, one)
    left = rem(length, lanes)
    if isinstance(left, int) and left == 0:
        return
    mask_type = ir.VectorType.get([lanes], ir.IntegerType.get_signless(1))
    mask = vector.create_mask(mask_type, [value(left)])

    def tail() -> None:
        at = [*outer, Place(mul(whole, lanes), 1)]
        elements = Elements(lanes, mask, left)
        values = compute(elements, at)
        if group > 1:
            zero = ir.Attribute.parse(f"dense<{0 if _is_integer(values) else 0.0}> : {values.type}")
            values = arith.select(mask, values, arith.constant(values.type, zero))
            filled = mul(ceil_div(left, group), group)
            elements = Elements(lanes, vector.create_mask(mask_type, [value(filled)]), filled)
        elements.store(values, buffer, at)

    if_else(arith.cmpi(arith.CmpIPredicate.ne, value(left), value(0)), tail, None)


def _is_integer(vectors: ir.Value) -> bool:
    return isinstance(ir.VectorType(vectors.type).element_type, ir.IntegerType)


def wants_right(tile: RegisterTile, rows: Index, height: int, tallest: int) -> bool:
    """Whether panels of the right operand are worth staging: read often, or not contiguous along columns.

    Args:
      tile: of the contraction.
      rows: of the workgroup.
      height: rows of the tiles at hand.
      tallest: rows of a tile at most.
    """
    contraction = tile.contraction
    depth = [tile.extents[loop] for loop in contraction.depth]
    if tile.dot is not None:
        return False
    if contraction.panel and lies_in_memory(contraction.right_value) and not tile.widens(contraction.right):
        return False
    if not all(isinstance(d, int) for d in depth):
        return False
    if not isinstance(rows, int) and height < tallest:
        return False  # few rows, it turned out
    bytes_ = math.prod(d for d in depth if isinstance(d, int)) * byte_width(tile.accumulator) * 64
    if bytes_ > _MOST_BYTES:
        return False
    contiguous = (lies_in_memory(contraction.right_value) or contraction.panel) and _is_contiguous(contraction)
    return not contiguous or not isinstance(rows, int) or rows >= 3 * tallest


def _is_contiguous(contraction: Contraction) -> bool:
    """Whether the columns run along the last dim of the right operand."""
    if contraction.panel:
        return True
    last = contraction.maps[contraction.right].results[-1]
    return isinstance(last, ir.AffineDimExpr) and last.position == contraction.column


def stage_panel(tile: RegisterTile, panel: Panel, outer: Mapping[int, Index], target: CpuTarget) -> Panel:
    """Writes one panel of the right operand, as the body multiplies it, to scratch memory."""
    contraction = tile.contraction
    depth = [d for loop in contraction.depth if isinstance(d := tile.extents[loop], int)]
    lanes = panel.elements.lanes
    element = tile.factor_type(contraction.right)
    kind = ir.MemRefType.get([*depth, lanes], element)
    buffer = memref.AllocOp(kind, [], [], alignment=_ALIGNMENT).memref

    def copy(at: dict[int, Index], split: Mapping[int, Split] | None = None) -> None:
        vectors = tile.right_vector(panel, outer, at, {}, split)
        places = [Place(at[loop]) for loop in contraction.depth]
        Elements(lanes).store(vectors, buffer, [*places, Place(0, 1)])

    register = target.vector_bytes // byte_width(element)
    if _turns_well(tile, register, lanes):
        _turn(tile, panel, outer, buffer, register, copy)
    else:
        _for_all(contraction.depth, depth, {}, copy, tile.together)
    return replace(panel, buffer=buffer)


def _for_all(
    loops: Sequence[int],
    extents: Sequence[Index],
    at: dict[int, Index],
    body: Callable[..., None],
    together: int = 1,
) -> None:
    """Loops; the innermost one in steps of `together`, each told its quotient and remainder by it."""
    if not loops:
        body(at)
        return
    loop, extent = loops[0], extents[0]
    if len(loops) == 1 and together > 1:

        def steps(number: Index, count: int) -> None:
            for i in range(count):
                body({**at, loop: add(mul(number, together), i)}, {loop: Split(number, i)})

        left = rem(extent, together)
        assert isinstance(left, int), "constants have static extents"
        for_each(div(extent, together), 1, lambda number: steps(number, together))
        steps(div(extent, together), left)
        return
    for_each(extent, 1, lambda i: _for_all(loops[1:], extents[1:], {**at, loop: i}, body, together))


def _turns_well(tile: RegisterTile, register: int, lanes: int) -> bool:
    """Whether a panel is the transpose of rows that are contiguous along the innermost depth."""
    contraction = tile.contraction
    last = contraction.maps[contraction.right].results[-1]
    return (
        not contraction.panel
        and not tile.widens(contraction.right)
        and lies_in_memory(contraction.right_value)
        and bool(contraction.depth)
        and isinstance(last, ir.AffineDimExpr)
        and last.position == contraction.depth[-1]
        and register in (2, 4, 8, 16)
        and lanes % register == 0
    )


def _turn(
    tile: RegisterTile,
    panel: Panel,
    outer: Mapping[int, Index],
    buffer: ir.Value,
    register: int,
    copy: Callable[[dict[int, Index]], None],
) -> None:
    """Transposes squares of `register` columns by `register` steps of the innermost depth in registers."""
    contraction = tile.contraction
    inner = contraction.depth[-1]
    source, indexing = contraction.right_value, contraction.maps[contraction.right]
    outer_loops = contraction.depth[:-1]
    last = tile.extents[inner]
    whole = div(last, register)

    def square(at: dict[int, Index]) -> None:
        for_each(whole, 1, lambda i: block(at, mul(i, register)))
        for_each(rem(last, register), 1, lambda i: copy({**at, inner: add(mul(whole, register), i)}))

    def block(at: dict[int, Index], first: Index) -> None:
        elements = Elements(register)
        for group in range(0, panel.elements.lanes, register):
            rows: list[ir.Value] = []
            for lane in range(group, group + register):
                number: Index = lane
                if panel.elements.count is not None:  # rows that do not exist repeat the last one
                    number = smaller(lane, sub(panel.elements.count, 1))
                loops = {loop: Place(i) for loop, i in (*outer.items(), *at.items())}
                loops[contraction.column] = Place(add(panel.column, number))
                loops[inner] = Place(first, 1)
                rows.append(elements.read(source, [evaluate(e, loops, {}) for e in indexing.results]))
            for step, column in enumerate(transpose_square(rows)):
                places = [Place(at[loop]) for loop in outer_loops]
                elements.store(column, buffer, [*places, Place(add(first, step)), Place(group, 1)])

    _for_all(outer_loops, [tile.extents[loop] for loop in outer_loops], {}, square)


def transpose_square(rows: Sequence[ir.Value]) -> list[ir.Value]:
    """The columns of n vectors of n elements (n a power of two), by log2(n) rounds of interleaving."""
    current = list(rows)
    count = len(current)
    half = count // 2
    low = [i // 2 + (i % 2) * count for i in range(count)]
    high = [i + half for i in low]
    for _ in range(count.bit_length() - 1):
        following: list[ir.Value] = []
        for i in range(half):
            for mask in (low, high):
                following.append(vector.shuffle(current[i], current[i + half], mask))
        current = following
    return current
