"""Which windows keep their channels first: regions of a program where copies to the other layout would cost more.

    %y = depthwise %x      alone: its rows are vectors as well as its channels are. It stays as it is.
    %y = conv 1x1 %x       alone: a product of its filters and of planes as they lie (`multiply_planes`).

A region is windows and what lies between them; it is copied where it begins and where it ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from mlirage import structured_ops
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.global_optimization.simplify_reshape import collapse_shape, expand_shape
from mlirage.mlir import identity, ir, linalg

# Nanoseconds: of a byte read and one written by a copy, of a copy's dispatch, of a tap of a vector of results (with the
# channels first; last), of a multiply-add of a product, and what panels made at run time add to that.
_COPIED_BYTE = 0.08
_COPY = 2000
_PLANE_TAP, _CHANNEL_TAP = 0.4, 0.25
_MULTIPLY_ADD, _PACKING = 1 / 120, 0.08
_LANES = 16
_MOST_STEPS = 4
_BETWEEN = ("tensor.pad", "tensor.cast", "tensor.concat", "tensor.extract_slice", "tensor.insert_slice")


def windows_that_stay(windows: Iterable[ir.Operation]) -> set[int]:
    """The identities of those windows that are better left with their channels first."""
    stays: set[int] = set()
    seen: set[int] = set()
    for window in windows:
        if identity(window) in seen:
            continue
        region = _region(window)
        seen |= {identity(op) for op in region}
        if _gain(region) < 0:
            stays |= {identity(op) for op in region if structured_ops.is_window(op)}
    return stays


def multiply_planes(op: ir.Operation) -> ir.Value | None:
    """A convolution of single pixels as a product of its filters and all pixels of a plane; None: it is none."""
    if not _is_product(op):
        return None
    image, weights = structured_ops.inputs(op)
    init = structured_ops.outputs(op)[0]
    rank = len(image.type.shape)
    planes = [[0], [1], list(range(2, rank))]
    flat = _collapse(image, planes)
    filters = _collapse(weights, [[0], list(range(1, rank))])
    n, f, p, c = (ir.AffineExpr.get_dim(d) for d in range(4))
    maps = [ir.AffineMap.get(4, 0, e) for e in ([f, c], [n, c, p], [n, f, p])]
    product = structured_ops.build_generic(
        [filters, flat],
        [_collapse(init, planes)],
        maps,
        [True, True, True, False],
        lambda block: structured_ops.clone_body(
            structured_ops.body(op), [block.arguments[1], block.arguments[0], block.arguments[2]]
        ),
        op.location,
    )
    return expand_shape(product.results[0], list(init.type.shape), [], planes)


def _collapse(value: ir.Value, groups: list[list[int]]) -> ir.Value:
    shape = [math.prod(value.type.shape[d] for d in group) for group in groups]
    return collapse_shape(value, ir.RankedTensorType.get(shape, value.type.element_type), groups)


def _region(window: ir.Operation) -> list[ir.Operation]:
    """The ops that are connected with a window by tensors whose layout they share."""
    found: dict[int, ir.Operation] = {}
    work = [window]
    while work:
        op = work.pop()
        if identity(op) in found:
            continue
        found[identity(op)] = op
        images = structured_ops.inputs(op)[:1] if structured_ops.is_window(op) else list(op.operands)
        around = [v.owner.operation for v in images if not isinstance(v.owner, ir.Block)]
        around += [use.owner.operation for result in op.results for use in result.uses]
        work += [other for other in around if other.block == op.block and _shares_layout(other)]
    return list(found.values())


def _shares_layout(op: ir.Operation) -> bool:
    if not op.results or not isinstance(op.results[0].type, ir.RankedTensorType) or op.results[0].type.rank < 3:
        return False
    if op.name in _BETWEEN or structured_ops.is_window(op):
        return True
    return structured_ops.is_structured(op) and op.name != "linalg.fill" and structured_ops.is_elementwise(op)


def _gain(region: list[ir.Operation]) -> float:
    """Nanoseconds that the region would gain by having its channels last; minus those of the copies around it."""
    inside = {identity(op) for op in region}
    gain = 0.0
    for op in region:
        if structured_ops.is_window(op):
            gain += _window_gain(op)
        for value in structured_ops.inputs(op)[:1] if structured_ops.is_window(op) else op.operands:
            if _is_read_at_the_edge(value, inside):
                if transposed_source(value) is not None:
                    return math.inf  # it comes with its channels last
                gain -= _copy(value)
        for result in op.results:
            readers = [use.owner.operation for use in result.uses]
            if any(identity(r) not in inside and not structured_ops.is_structured(r) for r in readers):
                if structured_ops.is_window(op) or structured_ops.is_elementwise(op):
                    gain -= _elements(result) * 4 * _COPIED_BYTE  # stored in planes by the op itself
                else:
                    gain -= _copy(result)
    return gain


def _is_read_at_the_edge(value: ir.Value, inside: set[int]) -> bool:
    """Whether a tensor comes from outside of a region and would have to be copied."""
    if not isinstance(value.type, ir.RankedTensorType) or value.type.rank < 3:
        return False
    if isinstance(value.owner, ir.Block):
        return True
    op = value.owner.operation
    constant = op.name in ("tensor.empty", "linalg.fill", "arith.constant", "ml_program.global_load_const")
    return identity(op) not in inside and not constant


def _window_gain(op: ir.Operation) -> float:
    """Nanoseconds that a window is faster by if its channels are last."""
    elements = _elements(op.results[0])
    if not isinstance(structured_ops.element_type(op.results[0].type), ir.F32Type):
        return math.inf
    taps = math.prod(
        extent
        for extent, parallel in zip(structured_ops.loop_extents(op), structured_ops.parallel_loops(op), strict=True)
        if not parallel
    )
    if _is_product(op):
        # Vectors along a plane of few pixels are mostly empty: one pixel is a vector times a matrix.
        slower = _PACKING + _filling(math.prod(op.results[0].type.shape[2:])) - 1
        return elements * taps * _MULTIPLY_ADD * slower
    width = op.results[0].type.shape[-1]
    if not _slides_in_planes(op) or width < _LANES:
        return math.inf
    vectors = elements / _LANES
    waste = _filling(width)
    return vectors * taps * (_PLANE_TAP * waste - _CHANNEL_TAP)


def _filling(pixels: int) -> float:
    """How many times more lanes than `pixels` whole vectors have."""
    return -(-pixels // _LANES) * _LANES / max(1, pixels)


def _slides_in_planes(op: ir.Operation) -> bool:
    """Whether a depthwise convolution or pooling reads rows of planes, in small steps."""
    if structured_ops.segment_sizes(op) != [2, 1] or len(op.results) != 1:
        return False
    image, other, result = structured_ops.indexing_maps(op)
    lane = structured_ops.map_dims(result)[-1]
    if lane is None or any(d is None for d in structured_ops.map_dims(other)):
        return False
    read = {d for d in structured_ops.map_dims(other) if structured_ops.parallel_loops(op)[d or 0]}
    if not read <= set(structured_ops.map_dims(image)):
        return False  # not depthwise
    steps = [_factor(e, lane) for e in image.results]
    return not any(steps[:-1]) and 0 < steps[-1] <= _MOST_STEPS and image.results[-1] != ir.AffineExpr.get_dim(lane)


def _factor(expr: ir.AffineExpr, loop: int) -> int:
    """What a loop is multiplied by in a sum; 0 if it is not in it."""
    match expr:
        case ir.AffineDimExpr():
            return int(expr.position == loop)
        case ir.AffineAddExpr():
            return _factor(expr.lhs, loop) + _factor(expr.rhs, loop)
        case ir.AffineMulExpr() if isinstance(expr.rhs, ir.AffineConstantExpr):
            return _factor(expr.lhs, loop) * expr.rhs.value
        case _:
            return 0


def _is_product(op: ir.Operation) -> bool:
    """Whether an op is a convolution of single pixels, all of them, with its channels first."""
    if not linalg.isa_convolution_op(op.opview) or structured_ops.multiply_add(op) is None:
        return False
    image, weights = structured_ops.inputs(op)
    shapes = [list(v.type.shape) for v in (image, weights, op.results[0])]
    if structured_ops.DYNAMIC in (*shapes[0], *shapes[1]) or len({len(s) for s in shapes}) > 1 or len(shapes[0]) < 3:
        return False
    maps = structured_ops.indexing_maps(op)
    dims = structured_ops.map_dims(maps[2])
    weighted = structured_ops.map_dims(maps[1])
    channels = structured_ops.map_dims(maps[0])[1]
    return (
        shapes[0][2:] == shapes[2][2:]
        and all(extent == 1 for extent in shapes[1][2:])
        and dims == sorted(d for d in dims if d is not None)
        and weighted[:2] == [dims[1], channels]
        and structured_ops.map_dims(maps[0])[0] == dims[0]
    )


def _copy(value: ir.Value) -> float:
    return _COPY + _elements(value) * 4 * _COPIED_BYTE


def _elements(value: ir.Value) -> int:
    return math.prod(1 if extent == structured_ops.DYNAMIC else extent for extent in value.type.shape)
