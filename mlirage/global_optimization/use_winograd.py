"""global-optimization-use-winograd: convolutions with constant filters by Winograd's algorithm, where it is faster.

    %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {0.0}
    %y = linalg.generic … (n, h + kh, w + kw, c), (f, c, kh, kw) -> (n, h, w, f) ins(%p, %w : …, tensor<64x64x3x3xf32>)
      ─>
    %w = ml_program.global_load_const @w.winograd4 : tensor<36x2x64x32xf32>
    %y = "linalgx.winograd"(%x, %w, %empty) {tile = 4, window = 3, padding = [1, 1], …}

Of convolutions of f32 with square windows, strides of 1 and channels last, grouped or not. Small filters are
transformed here, in f64, and rounded once; large ones, which would become up to four times as large, by the kernel,
panel by panel. mlirage/winograd.py says what the results lose. An infinity or NaN in the image may make NaN of
all results of the tiles (4 x 4 at most) that read it, not just of those whose windows hold it. The option
`winograd=off` keeps the direct form, as do other targets than machine code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlirage import structured_ops
from mlirage.codegen.register_shapes import panel_columns
from mlirage.codegen.target import parse_target
from mlirage.codegen.winograd_blocks import Convolution, Plan, choose_plan
from mlirage.contractions import Contraction, match_contraction
from mlirage.global_optimization.constant_arrays import (
    add_constant,
    constant_array,
    drop_unread_constants,
    erase_unread,
    load_constant,
)
from mlirage.global_optimization.multiply_integers import is_zero_fill
from mlirage.global_optimization.panels import into_panels
from mlirage.input import linalgx
from mlirage.mlir import arith, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat
from mlirage.winograd import transforms


@module_pass("global-optimization-use-winograd")
def use_winograd(program: Program) -> None:
    """Replaces convolutions by `linalgx.winograd`."""
    if program.options.winograd == "off" or program.options.target_backend != "llvm-cpu":
        return
    packed: dict[tuple[object, ...], str] = {}
    for op in [op for op in walk(program.module.operation) if structured_ops.is_structured(op)]:
        found = _match(op)
        if found is not None:
            _replace(program, found, packed)
    drop_unread_constants(program)


@dataclass(frozen=True)
class _Match:
    """A convolution that has the right form.

    Attributes:
      contraction: its loops.
      shape: its numbers.
      order: the dims of the filters as [groups,] filters, channels, two of the window.
    """

    contraction: Contraction
    shape: Convolution
    order: tuple[int, ...]


def _match(op: ir.Operation) -> _Match | None:
    contraction = match_contraction(op)
    if contraction is None or contraction.panel or len(contraction.depth) != 3 or contraction.left != 0:
        return None
    if not all(isinstance(structured_ops.element_type(v.type), ir.F32Type) for v in op.operands):
        return None
    added = structured_ops.multiply_add(op)
    block = structured_ops.body(op)
    if added is None or set(added[1:]) != set(list(block.arguments)[:2]):
        return None
    image, filters, result = contraction.maps
    written = [loop for loop in structured_ops.map_dims(result) if loop is not None]
    grouped = len(contraction.outer) == 1
    if len(written) != (5 if grouped else 4) or (contraction.outer and contraction.outer != (written[3],)):
        return None
    sliding = [_slides(expr) for expr in image.results]
    plain = structured_ops.map_dims(image)
    channel = plain[-1]
    if len(sliding) != len(written) or sliding[1] is None or sliding[2] is None or channel is None:
        return None
    windows = sliding[1][1], sliding[2][1]
    if plain != [written[0], None, None, *contraction.outer, channel] or (sliding[1][0], sliding[2][0]) != tuple(
        written[1:3]
    ):
        return None
    if set(contraction.depth) != {channel, *windows}:
        return None
    wanted = (*contraction.outer, contraction.column, channel, *windows)
    dims = structured_ops.map_dims(filters)
    if len(dims) != len(wanted) or set(dims) != set(wanted):
        return None
    extents = [None if e == structured_ops.DYNAMIC else e for e in structured_ops.loop_extents(op)]
    window = extents[windows[0]]
    groups, columns, channels = (
        extents[contraction.outer[0]] if grouped else 1,
        extents[contraction.column],
        extents[channel],
    )
    if window not in (3, 5) or extents[windows[1]] != window or not groups or not columns or not channels:
        return None
    sizes = [extents[loop] for loop in written[:3]]
    if 0 in sizes:
        return None
    shape = Convolution(sizes[0], sizes[1], sizes[2], groups, channels, columns, window)
    return _Match(contraction, shape, tuple(dims.index(loop) for loop in wanted))


def _slides(expr: ir.AffineExpr) -> tuple[int, int] | None:
    """The two loops of `i + k`."""
    if not isinstance(expr, ir.AffineAddExpr):
        return None
    a, b = expr.lhs, expr.rhs
    return (a.position, b.position) if isinstance(a, ir.AffineDimExpr) and isinstance(b, ir.AffineDimExpr) else None


def _replace(program: Program, found: _Match, packed: dict[tuple[object, ...], str]) -> None:
    contraction, shape = found.contraction, found.shape
    op = contraction.op
    source = constant_array(program, contraction.right_value)
    if source is None:
        return
    target = parse_target(program.options.target)
    element = structured_ops.element_type(op.results[0].type)
    width = panel_columns(shape.filters, element, target)
    plan = choose_plan(shape, width, target)
    if plan is None:
        return
    name, array = source
    if is_splat(array):  # one number in the module, which its transform would not be
        return
    key = (name, array.shape, array.strides, found.order, width, plan)
    if key not in packed:
        weights = pack_filters(array.transpose(found.order), plan, width, grouped=bool(contraction.outer))
        suffix = f"panels{width}" if plan.transforms_weights else f"winograd{plan.tile}"
        packed[key] = add_constant(program, f"{name}.{suffix}", weights, contraction.right_value)
    init = structured_ops.outputs(op)[0]
    read = contraction.left_value
    with ir.InsertionPoint(op), op.location:
        image, padding = _without_padding(read)
        out = linalgx.empty_like(init)
        weights = load_constant(program, packed[key])
        result = linalgx.winograd(image, weights, out, plan.tile, shape.window, padding)
        if not is_zero_fill(init):
            result = _add(result, init)
    op.results[0].replace_all_uses_with(result)
    op.erase()
    erase_unread(read)


def pack_filters(filters: Array, plan: Plan, width: int, *, grouped: bool) -> Array:
    """[g,] f, c, window, window as [g,] window * window or points * points, f / width, c, width."""
    window = filters.shape[-1]
    groups = filters if grouped else filters[None]
    count, outer, inner = groups.shape[:3]
    if plan.transforms_weights:
        matrices = groups.reshape(count, outer, inner, window * window).transpose(0, 3, 1, 2)
    else:
        matrix = np.array(transforms(plan.tile, window).weights, np.float64)
        both = np.kron(matrix, matrix)  # [points * points, window * window]
        matrices = np.empty((count, len(both), outer, inner), np.float32)
        for number, group in enumerate(groups):
            part = group.reshape(-1, window * window).astype(np.float64)
            matrices[number] = (both @ part.T).reshape(len(both), outer, inner)
    return into_panels(matrices if grouped else matrices[0], 2 if grouped else 1, width)


def _without_padding(image: ir.Value) -> tuple[ir.Value, tuple[int, int]]:
    """What is convolved before zeros were put around it, and how many stand before it."""
    op = None if isinstance(image.owner, ir.Block) else image.owner.operation
    if op is not None and op.name == "tensor.expand_shape":  # groups of channels
        kind = ir.RankedTensorType(op.results[0].type)
        groups = [
            [ir.IntegerAttr(i).value for i in ir.ArrayAttr(g)] for g in ir.ArrayAttr(op.attributes["reassociation"])
        ]
        inner, padding = _without_padding(op.operands[0])
        if inner == op.operands[0] or groups != [[0], [1], [2], [3, 4]]:
            return image, (0, 0)
        sizes = [
            tensor.dim(inner, linalgx.index(d)) if inner.type.is_dynamic_dim(d) else inner.type.shape[d]
            for d in range(3)
        ]
        shape = [*list(inner.type.shape)[:3], *list(kind.shape)[3:]]
        static = ir.DenseI64ArrayAttr.get(shape)
        dynamic = [size for size in sizes if isinstance(size, ir.Value)]
        expanded = ir.Operation.create(
            "tensor.expand_shape",
            results=[ir.RankedTensorType.get(shape, kind.element_type)],
            operands=[inner, *dynamic],
            attributes={"reassociation": op.attributes["reassociation"], "static_output_shape": static},
        )
        return expanded.results[0], padding
    if op is None or op.name != "tensor.pad" or not _pads_zeros(op):
        return image, (0, 0)
    low, high = (list(ir.DenseI64ArrayAttr(op.attributes[name])) for name in ("static_low", "static_high"))
    plain = not any(low[:1] + low[3:] + high[:1] + high[3:])
    if not plain or structured_ops.DYNAMIC in low or min(low[1:3]) < 0 or _cuts(high[1:3]):
        return image, (0, 0)
    return op.operands[0], (low[1], low[2])


def _cuts(high: list[int]) -> bool:
    """Whether a padding may be negative: it then leaves out what the convolution would read."""
    return any(h < 0 for h in high)


def _pads_zeros(op: ir.Operation) -> bool:
    padding = list(op.regions[0].blocks[0].operations)[-1].operation.operands[0]
    owner = None if isinstance(padding.owner, ir.Block) else padding.owner.operation
    return owner is not None and owner.name == "arith.constant" and ir.FloatAttr(owner.attributes["value"]).value == 0


def _add(result: ir.Value, init: ir.Value) -> ir.Value:
    rank = ir.RankedTensorType(result.type).rank
    return structured_ops.build_generic(
        [result, init],
        [linalgx.empty_like(result)],
        [structured_ops.identity_map(rank)] * 3,
        [True] * rank,
        lambda block: [arith.addf(block.arguments[0], block.arguments[1])],
        result.location,
    ).results[0]
