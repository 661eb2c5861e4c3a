"""global-optimization-pack-weights: constant operands of contractions are laid out as the kernels read them.

    %w = ml_program.global_load_const @w : tensor<768x100xf32>
    %r = linalg.matmul ins(%x, %w …)                                     // m, n, k
      ─>
    %w = ml_program.global_load_const @w.panels32 : tensor<4x768x32xf32>
    %r = linalg.generic {indexing_maps = [(m, k), (n floordiv 32, k, n mod 32), (m, n)]} ins(%x, %w …)

Panels of `register_shape` columns each hold all of the depth, so that a register tile reads its panel front to back;
the last panel is filled up with zeros, which no loop reaches. The loops and the result stay what they were: fusion and
every other pass see an ordinary reduction. Filters of convolutions become [f/32][kh][kw][c][32] in the same way.
Transposes and reshapes between a constant and the contraction are done on the array. A splat stays a splat.
"""

from __future__ import annotations

import numpy as np

from mlirage import structured_ops
from mlirage.codegen.register_shapes import panel_columns
from mlirage.codegen.target import CpuTarget, parse_target
from mlirage.contractions import Contraction, match_contraction
from mlirage.global_optimization.constant_arrays import add_constant, constant_array, drop_unread_constants
from mlirage.mlir import ir, ml_program, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat, release_pages


@module_pass("global-optimization-pack-weights")
def pack_weights(program: Program) -> None:
    """Packs the constant right operand of every contraction."""
    target = parse_target(program.options.target)
    packed: dict[tuple[object, ...], str] = {}
    for op in list(walk(program.module.operation)):
        if not structured_ops.is_structured(op):
            continue
        contraction = match_contraction(op)
        if contraction is not None and not contraction.panel:
            _pack(program, contraction, target, packed)
    drop_unread_constants(program)


def _pack(program: Program, contraction: Contraction, target: CpuTarget, packed: dict[tuple[object, ...], str]) -> None:
    source = constant_array(program, contraction.right_value)
    dims = structured_ops.map_dims(contraction.maps[contraction.right])
    if source is None or None in dims or len(set(dims)) != len(dims):
        return
    name, array = source
    kept = [loop for loop in contraction.outer if loop in dims]
    depth = [loop for loop in contraction.depth if loop in dims]
    if len(kept) + len(depth) + 1 != len(dims):
        return
    element = structured_ops.element_type(contraction.op.results[0].type)
    width = panel_columns(array.shape[dims.index(contraction.column)], element, target)
    order = [dims.index(loop) for loop in (*kept, contraction.column, *depth)]
    key = (name, array.shape, array.strides, tuple(order), len(kept), width)
    if key not in packed:
        panels = into_panels(array.transpose(order), len(kept), width)
        release_pages(array)
        packed[key] = add_constant(program, f"{name}.panels{width}", panels, contraction.right_value)
    _rewrite(program, contraction, packed[key], kept, depth, width)


def into_panels(array: Array, axis: int, width: int) -> Array:
    """[…, columns, depth…] as […, columns / width, depth…, width], filled up with zeros."""
    columns = array.shape[axis]
    panels = -(-columns // width)
    shape = (*array.shape[:axis], panels, *array.shape[axis + 1 :], width)
    if is_splat(array):
        return np.broadcast_to(array.reshape(-1)[0], shape)
    packed = np.empty(shape, array.dtype)
    whole = columns // width
    before = (slice(None),) * axis
    divided = array[(*before, slice(whole * width))]
    divided = divided.reshape((*array.shape[:axis], whole, width, *array.shape[axis + 1 :]))
    packed[(*before, slice(whole))] = np.moveaxis(divided, axis + 1, -1)
    if whole < panels:
        last = packed[(*before, whole)]
        last[...] = 0
        last[..., : columns - whole * width] = np.moveaxis(array[(*before, slice(whole * width, None))], axis, -1)
    return packed


def _rewrite(
    program: Program, contraction: Contraction, name: str, kept: list[int], depth: list[int], width: int
) -> None:
    op = contraction.op
    maps = contraction.maps
    column = ir.AffineExpr.get_dim(contraction.column)
    expressions = [
        *(ir.AffineExpr.get_dim(loop) for loop in kept),
        ir.AffineExpr.get_floor_div(column, width),
        *(ir.AffineExpr.get_dim(loop) for loop in depth),
        ir.AffineExpr.get_mod(column, width),
    ]
    maps[contraction.right] = ir.AffineMap.get(maps[0].n_dims, 0, expressions)
    array = program.constants[name]
    with ir.InsertionPoint(op), op.location:
        kind = ir.RankedTensorType.get(array.shape, structured_ops.element_type(contraction.right_value.type))
        load = ml_program.GlobalLoadConstOp(kind, ir.FlatSymbolRefAttr.get(name))
        inputs = structured_ops.inputs(op)
        inputs[contraction.right] = load.result
        generic = structured_ops.build_generic(
            inputs,
            structured_ops.outputs(op),
            maps,
            structured_ops.parallel_loops(op),
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)),
            op.location,
        )
    op.results[0].replace_all_uses_with(generic.results[0])
    op.erase()
