"""global-optimization-pack-weights: constant operands of contractions are laid out as the kernels read them.

    %w = ml_program.global_load_const @w : tensor<768x100xf32>
    %r = linalg.matmul ins(%x, %w …)                                     // m, n, k
      ─>
    %w = ml_program.global_load_const @w.panels32 : tensor<4x768x32xf32>
    %r = linalg.generic {indexing_maps = [(m, k), (n floordiv 32, k, n mod 32), (m, n)]} ins(%x, %w …)

Panels of `register_shape` columns each hold all of the depth, so that a register tile reads its panel front to back;
the last panel is filled up with zeros, which no loop reaches. The loops and the result stay what they were: fusion and
every other pass see an ordinary reduction. Filters of convolutions become [f/32][kh][kw][c][32] in the same way.
Transposes and reshapes between a constant and the contraction are done on the array. A splat stays a splat. Floats
of 16 bits that are widened for the contraction are packed as they are: its body widens them.

Where the target multiplies narrow numbers by dot products (codegen/dot_products.py), steps of the innermost depth lie
side by side in groups, [n/32][k/4][32*4], and the operands get the signs that the instruction takes: it multiplies
x + 128 where it wants unsigned bytes and x is signed, and 128 times the sums of the columns are subtracted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlirage import structured_ops
from mlirage.codegen.register_shapes import panel_columns
from mlirage.codegen.target import CpuTarget, parse_target
from mlirage.constants import add_global
from mlirage.contractions import Contraction, grouped_place, match_contraction
from mlirage.global_optimization.constant_arrays import (
    add_constant,
    constant_array,
    drop_unread_constants,
    erase_unread,
    load_constant,
)
from mlirage.global_optimization.dot_product_groups import Grouping, combine_columns, find_grouping, subtract_offset
from mlirage.global_optimization.multiply_integers import is_zero_fill
from mlirage.global_optimization.pack_dequantized import PackedDequantization, find_dequantized_weights
from mlirage.global_optimization.panels import into_groups, into_panels
from mlirage.memory import release_pages
from mlirage.mlir import arith, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program, is_splat


@module_pass("global-optimization-pack-weights")
def pack_weights(program: Program) -> None:
    """Packs the constant right operand of every contraction."""
    target = parse_target(program.options.target)
    packed: dict[tuple[object, ...], str] = {}
    dequantized: dict[ir.Value, PackedDequantization] = {}
    # listed before the first is replaced: the ops of its body go with it
    for op in [op for op in walk(program.module.operation) if structured_ops.is_structured(op)]:
        contraction = match_contraction(op)
        if contraction is not None and not contraction.panel:
            _pack(program, contraction, target, packed, dequantized)
    for value in dequantized:
        erase_unread(value)
    drop_unread_constants(program)
    for name, array in program.constants.items():  # views of moved ones that are not packed
        if not is_splat(array) and not array.flags.c_contiguous:
            program.constants[name] = np.ascontiguousarray(array)


def _pack(
    program: Program,
    contraction: Contraction,
    target: CpuTarget,
    packed: dict[tuple[object, ...], str],
    dequantized: dict[ir.Value, PackedDequantization],
) -> None:
    dims = structured_ops.map_dims(contraction.maps[contraction.right])
    if None in dims or len(set(dims)) != len(dims):
        return
    kept = [loop for loop in contraction.outer if loop in dims]
    depth = [loop for loop in contraction.depth if loop in dims]
    if len(kept) + len(depth) + 1 != len(dims):
        return
    widened = _widened(contraction.right_value)
    source = constant_array(program, widened or contraction.right_value)
    element = structured_ops.element_type(contraction.op.results[0].type)
    if source is None:
        _pack_dequantized(program, contraction, kept, target, dequantized)
        return
    name, array = source
    width = panel_columns(array.shape[dims.index(contraction.column)], element, target)
    order = [dims.index(loop) for loop in (*kept, contraction.column, *depth)]
    grouping = find_grouping(contraction, array, target) if widened is None else None
    key = (name, array.shape, array.strides, tuple(order), len(kept), width, grouping)
    if key not in packed:
        arranged = array.transpose(order)
        if grouping is None:
            panels = into_panels(arranged, len(kept), width)
            packed[key] = add_constant(program, f"{name}.panels{width}", panels, widened or contraction.right_value)
        else:
            groups = into_groups(into_panels(grouping.converted(arranged), len(kept), width), grouping.dot.depth)
            if grouping.is_tap:
                groups = groups.reshape(*groups.shape[:-1], width, grouping.dot.depth)
            kind = ir.RankedTensorType.get(groups.shape, grouping.right.element)
            with contraction.right_value.location:
                packed[key] = add_global(program, kind, groups, f"{name}.panels{width}x{grouping.dot.depth}")
    column = ir.AffineExpr.get_dim(contraction.column)
    steps: list[ir.AffineExpr] = [ir.AffineExpr.get_dim(loop) for loop in depth]
    last: ir.AffineExpr = ir.AffineExpr.get_mod(column, width)
    if grouping is not None:
        steps[-1] = ir.AffineExpr.get_floor_div(steps[-1], grouping.dot.depth)
        last = grouped_place(contraction.column, width, depth[-1], grouping.dot.depth)
    outer = [ir.AffineExpr.get_dim(loop) for loop in kept]
    places = [*outer, ir.AffineExpr.get_floor_div(column, width), *steps, last]
    maps = contraction.maps
    with ir.InsertionPoint(contraction.op), contraction.op.location:
        right = load_constant(program, packed[key])
    unread = contraction.right_value
    if grouping is not None and grouping.is_tap:
        result = _rewrite_taps(
            contraction, right, [*outer, ir.AffineExpr.get_floor_div(column, width)], depth, grouping
        )
    else:
        result = _rewrite(contraction, right, places, grouping, widened is not None)
    if widened is not None and not any(True for _ in unread.uses):
        ir.OpResult(unread).owner.operation.erase()
    if grouping is not None and grouping.offset:
        weights = grouping.converted(array.transpose(order))
        subtract_offset(program, maps, result, weights, [*kept, contraction.column], grouping.offset)
    release_pages(array)


def _pack_dequantized(
    program: Program,
    contraction: Contraction,
    kept: list[int],
    target: CpuTarget,
    dequantized: dict[ir.Value, PackedDequantization],
) -> None:
    """Packs weights that are dequantized when they are read (pack_dequantized.py), those of one value once."""
    value = contraction.right_value
    weights = find_dequantized_weights(program, contraction, kept)
    if weights is None:
        return
    element = structured_ops.element_type(contraction.op.results[0].type)
    width = panel_columns(weights.numbers.shape[len(kept)], element, target)
    scale = weights.scale_of_columns() if is_zero_fill(structured_ops.outputs(contraction.op)[0]) else None
    if scale is not None:  # sums are multiplied, not terms
        weights = replace(weights, scale=np.ones((1,) * weights.scale.ndim, np.float32))
    packing = dequantized.get(value)
    if packing is None or not packing.is_for(weights, len(kept), width):
        packing = dequantized[value] = PackedDequantization(program, weights, len(kept), width)
    maps, loops = contraction.maps, [*kept, contraction.column]
    with ir.InsertionPoint(contraction.op), contraction.op.location:
        result = _rewrite(contraction, packing.build(), packing.places(contraction, kept), None)
    if scale is not None:
        combine_columns(program, maps, result, scale, loops, arith.mulf)


def _widened(value: ir.Value) -> ir.Value | None:
    """What a right operand is widened from, element by element: shorter floats, which stay so in memory."""
    op = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if op is None or op.name != "linalg.generic" or structured_ops.segment_sizes(op) != [1, 1]:
        return None
    identity = structured_ops.identity_map(ir.RankedTensorType(value.type).rank)
    if any(indexing != identity for indexing in structured_ops.indexing_maps(op)):
        return None
    body = [inner.operation for inner in structured_ops.body(op).operations]
    is_cast = len(body) == 2 and body[0].name == "arith.extf" and body[1].operands[0] == body[0].results[0]
    return op.operands[0] if is_cast and body[0].operands[0] == structured_ops.body(op).arguments[0] else None


def _rewrite(
    contraction: Contraction,
    right: ir.Value,
    places: Sequence[ir.AffineExpr],
    grouping: Grouping | None,
    widens: bool = False,
) -> ir.Value:
    """Reads `right` at `places` in place of the right operand, and widens it if asked; returns the new result."""
    op = contraction.op
    maps = contraction.maps
    maps[contraction.right] = ir.AffineMap.get(maps[0].n_dims, 0, list(places))
    inputs = structured_ops.inputs(op)
    inputs[contraction.right] = right

    def fill_body(block: ir.Block) -> list[ir.Value]:
        if grouping is not None:
            return grouping.fill_body(block, contraction.left)
        arguments: list[ir.Value] = list(block.arguments)
        if widens:
            wide = structured_ops.body(op).arguments[contraction.right].type
            arguments[contraction.right] = arith.extf(wide, arguments[contraction.right])
        return structured_ops.clone_body(structured_ops.body(op), arguments)

    with ir.InsertionPoint(op), op.location:
        generic = structured_ops.build_generic(
            inputs, structured_ops.outputs(op), maps, structured_ops.parallel_loops(op), fill_body, op.location
        )
    op.results[0].replace_all_uses_with(generic.results[0])
    op.erase()
    return generic.results[0]


def _rewrite_taps(
    contraction: Contraction, right: ir.Value, panel: list[ir.AffineExpr], depth: list[int], grouping: Grouping
) -> ir.Value:
    """Splits the innermost depth, a row of taps, into two loops: groups, and taps of a group."""
    op, maps, group = contraction.op, contraction.maps, grouping.dot.depth
    loops, inner = maps[0].n_dims, contraction.depth[-1]
    loop, get = ir.AffineExpr.get_dim, ir.AffineExpr.get_add
    taps = [get(ir.AffineExpr.get_mul(loop(i), group), loop(loops)) if i == inner else loop(i) for i in range(loops)]
    maps = [structured_ops.compose(m, ir.AffineMap.get(loops + 1, 0, taps)) for m in maps]
    width = ir.RankedTensorType(right.type).shape[-2]
    lane = ir.AffineExpr.get_mod(loop(contraction.column), width)
    maps[contraction.right] = ir.AffineMap.get(loops + 1, 0, [*panel, *map(loop, depth), lane, loop(loops)])
    inputs = structured_ops.inputs(op)
    inputs[contraction.right] = right
    beyond = -structured_ops.loop_extents(op)[inner] % group
    with ir.InsertionPoint(op), op.location:
        if beyond:
            inputs[contraction.left] = _wider(contraction.left_value, beyond)
        generic = structured_ops.build_generic(
            inputs, structured_ops.outputs(op), maps, [*structured_ops.parallel_loops(op), False],
            lambda block: grouping.fill_body(block, contraction.left), op.location,
        )  # fmt: skip
    op.results[0].replace_all_uses_with(generic.results[0])
    op.erase()
    return generic.results[0]


def _wider(image: ir.Value, more: int) -> ir.Value:
    """An image with `more` columns, which zeros of the filter are multiplied by; its padding has them if it can."""
    kind = ir.RankedTensorType(image.type)
    extent = kind.shape[-1] if kind.is_dynamic_dim(kind.rank - 1) else kind.shape[-1] + more
    wide = ir.RankedTensorType.get([*kind.shape[:-1], extent], kind.element_type)
    pad = None if isinstance(image.owner, ir.Block) else image.owner.operation
    if pad is not None and pad.name == "tensor.pad":
        high = list(ir.DenseI64ArrayAttr(pad.attributes["static_high"]))
        if high[-1] != structured_ops.DYNAMIC:
            wider = pad.clone(ip=ir.InsertionPoint.current)
            wider.attributes["static_high"] = ir.DenseI64ArrayAttr.get([*high[:-1], high[-1] + more])
            wider.results[0].set_type(wide)
            return wider.results[0]
    zero = arith.constant(kind.element_type, 0)
    none = [0] * kind.rank
    wider = ir.Operation.create(
        "tensor.pad",
        results=[wide],
        operands=[image],
        attributes={
            "static_low": ir.DenseI64ArrayAttr.get(none),
            "static_high": ir.DenseI64ArrayAttr.get([*none[:-1], more]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0]),
        },
        regions=1,
    )
    body = ir.Block.create_at_start(
        wider.regions[0], [ir.IndexType.get()] * kind.rank, [ir.Location.current] * kind.rank
    )
    with ir.InsertionPoint(body):
        tensor.yield_(zero)
    return wider.results[0]
