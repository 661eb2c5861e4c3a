"""input-convert-stablehlo-cumulative: windows that reach back to the beginning are running totals.

    %r = "stablehlo.reduce_window"(%x, %zero) <{window_dimensions = [1, 8], padding = [[0, 0], [7, 0]]}> ({add})
         : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
    =>
    %r, %last = "linalgx.scan"(%x, %empty, %zeros) ({^bb0(%total, %x): …}) {dimension = 1, reverse = false}

So `jax.numpy.cumsum` is written; as windows it would take the square of the extent. Padding after the elements makes
totals from the end. Sums and products from 0 and 1, extrema, AND and OR alone: a window combines its initial
value once for each place outside, which changes nothing for those. Totals of 16-bit floats are widened later
(widen_reductions).
"""

from __future__ import annotations

import numpy as np

from mlirage.input import linalgx
from mlirage.input.convert_stablehlo_to_linalgx import move_scalar_region, restore_sign
from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_INITIAL = {"stablehlo.add": 0, "stablehlo.multiply": 1}
_IDEMPOTENT = ("stablehlo.maximum", "stablehlo.minimum", "stablehlo.and", "stablehlo.or")


@module_pass("input-convert-stablehlo-cumulative")
def convert_stablehlo_cumulative(program: Program) -> None:
    """Replaces `stablehlo.reduce_window` by `linalgx.scan` where every window begins or ends with its dim."""
    for op in [op for op in walk(program.module.operation) if op.name == "stablehlo.reduce_window"]:
        found = _direction(op) if _is_running(op) else None
        if found is None:
            continue
        dim, reverse = found
        with op.location, ir.InsertionPoint(op):
            x, start = op.operands
            kind = ir.RankedTensorType(x.type)
            rest = [extent for i, extent in enumerate(kind.shape) if i != dim]
            initial = ir.Operation.create(
                "stablehlo.broadcast_in_dim",
                results=[ir.RankedTensorType.get(rest, kind.element_type)],
                operands=[start],
                attributes={"broadcast_dimensions": ir.DenseI64ArrayAttr.get([])},
            )
            totals, _ = linalgx.scan(
                x, initial.results[0], dim, lambda *scalars, op=op: move_scalar_region(op, 0, scalars)[0],
                reverse=reverse,
            )  # fmt: skip
            op.results[0].replace_all_uses_with(restore_sign(totals, op.results[0].type))
        op.erase()


def _is_running(op: ir.Operation) -> bool:
    """Whether the region is one of the operations above, on one operand of a type that is computed as it is."""
    if len(op.operands) != 2:
        return False
    kind = ir.RankedTensorType(op.operands[0].type)
    element = kind.element_type
    narrow = isinstance(element, ir.IntegerType) and element.width == 1
    if narrow or not (
        isinstance(element, (ir.IntegerType, ir.F16Type, ir.BF16Type, ir.F32Type, ir.F64Type)) and kind.has_static_shape
    ):
        return False
    block = op.regions[0].blocks[0]
    ops = [inner.operation for inner in block.operations]
    if len(ops) != 2 or set(ops[0].operands) != set(block.arguments) or list(ops[1].operands) != list(ops[0].results):
        return False
    return ops[0].name in _IDEMPOTENT or (
        ops[0].name in _INITIAL and _constant(op.operands[1]) == _INITIAL[ops[0].name]
    )


def _constant(value: ir.Value) -> float | None:
    owner = None if isinstance(value.owner, ir.Block) else value.owner.operation
    while owner is not None and owner.name == "stablehlo.broadcast_in_dim":  # JAX's, of a scalar to a scalar
        value = owner.operands[0]
        owner = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if owner is None or owner.name != "stablehlo.constant":
        return None
    number = ir.DenseElementsAttr(owner.attributes["value"]).get_splat_value()  # of a tensor without dims
    return ir.FloatAttr(number).value if isinstance(number, ir.FloatAttr) else ir.IntegerAttr(number).value


def _direction(op: ir.Operation) -> tuple[int, bool] | None:
    """The dim of the totals, and whether they run from its end."""
    kind = ir.RankedTensorType(op.operands[0].type)
    window = list(ir.DenseI64ArrayAttr(op.attributes["window_dimensions"]))
    for name in ("window_strides", "base_dilations", "window_dilations"):
        if name in op.attributes and set(ir.DenseI64ArrayAttr(op.attributes[name])) - {1}:
            return None
    dims = [dim for dim, extent in enumerate(window) if extent != 1]
    if len(dims) != 1 or "padding" not in op.attributes:
        return None
    (dim,) = dims
    size = kind.shape[dim]
    if window[dim] != size:
        return None
    padding = np.array(ir.DenseIntElementsAttr(op.attributes["padding"])).reshape(-1, 2)
    before, after = padding[dim].tolist()
    if np.delete(padding, dim, 0).any() or (before, after) not in ((size - 1, 0), (0, size - 1)):
        return None
    return dim, after > 0
