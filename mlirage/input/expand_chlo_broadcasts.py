"""input-expand-chlo-broadcasts: CHLO's operations that broadcast over open extents say which extents result.

    %r = chlo.broadcast_add %a, %b : (tensor<?xf32>, tensor<3x?xf32>) -> tensor<3x?xf32>
    =>
    %n = the extent of either that is not 1, which the other equals or has 1          (cf.assert)
    %x = stablehlo.dynamic_broadcast_in_dim %a, (3, %n), dims = [1];  %r = stablehlo.add %x, %y

Operands of static shapes are left to chlo-legalize-to-stablehlo, whose shape dialect is none of ours.
"""

from __future__ import annotations

import re

from mlirage.mlir import arith, cf, describe_location, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import Extent, extents, static_shape

_PREFIX = "chlo.broadcast_"
_OF_CHLO = ("next_after", "polygamma", "zeta")


@module_pass("input-expand-chlo-broadcasts")
def expand_chlo_broadcasts(program: Program) -> None:
    """Replaces every chlo.broadcast_… with an operand of a dynamic shape."""
    for op in [op for op in walk(program.module.operation) if op.name.startswith(_PREFIX)]:
        if all(ir.RankedTensorType(value.type).has_static_shape for value in op.operands):
            continue
        with op.location, ir.InsertionPoint(op):
            value = _expand(op)
            kind = op.results[0].type
            op.results[0].replace_all_uses_with(value if value.type == kind else tensor.cast(kind, value))
        op.erase()


def _expand(op: ir.Operation) -> ir.Value:
    operands = list(op.operands)
    rank = max(ir.RankedTensorType(value.type).rank for value in operands)
    places = [_dimensions(op, value, rank) for value in operands]
    shape: list[Extent] = [1] * rank
    for value, dims in zip(operands, places, strict=True):
        for dim, extent in zip(dims, extents(value), strict=True):
            shape[dim] = _common(shape[dim], extent, op)
    index = ir.IndexType.get()
    sizes = [extent if isinstance(extent, ir.Value) else arith.constant(index, extent) for extent in shape]
    target = tensor.from_elements(ir.RankedTensorType.get([rank], index), sizes)
    spread = [_spread(value, dims, shape, target) for value, dims in zip(operands, places, strict=True)]
    name = op.name.removeprefix(_PREFIX)
    element = ir.RankedTensorType(op.results[0].type).element_type
    return ir.Operation.create(
        f"{'chlo' if name in _OF_CHLO else 'stablehlo'}.{name}",
        results=[ir.RankedTensorType.get(static_shape(shape), element)],
        operands=spread,
        attributes=_attributes(op),
    ).results[0]


def _dimensions(op: ir.Operation, value: ir.Value, rank: int) -> list[int]:
    """Which dims of the result the operand's are: the last ones, or those of `broadcast_dimensions`."""
    own = ir.RankedTensorType(value.type).rank
    if own < rank and "broadcast_dimensions" in op.attributes:
        return list(ir.DenseI64ArrayAttr(op.attributes["broadcast_dimensions"]))
    return list(range(rank - own, rank))


def _common(a: Extent, b: Extent, op: ir.Operation) -> Extent:
    """The extent that two broadcast to; what does not fit is an error when the program runs."""
    if isinstance(a, int) and a == 1:
        return b
    if isinstance(b, int) and b == 1:
        return a
    if isinstance(a, int) and isinstance(b, int):
        return a  # the op's verifier knows that they are equal
    index = ir.IndexType.get()
    one = arith.constant(index, 1)
    x, y = (extent if isinstance(extent, ir.Value) else arith.constant(index, extent) for extent in (a, b))
    equal, first, second = (arith.cmpi(arith.CmpIPredicate.eq, *pair) for pair in ((x, y), (x, one), (y, one)))
    fits = arith.ori(equal, arith.ori(first, second))
    cf.AssertOp(fits, f"{describe_location(op.location)}: {op.name}: extents that neither are equal nor 1")
    known = [extent for extent in (a, b) if isinstance(extent, int)]
    return known[0] if known else arith.select(first, y, x)


def _spread(value: ir.Value, dims: list[int], shape: list[Extent], target: ir.Value) -> ir.Value:
    element = ir.RankedTensorType(value.type).element_type
    return ir.Operation.create(
        "stablehlo.dynamic_broadcast_in_dim",
        results=[ir.RankedTensorType.get(static_shape(shape), element)],
        operands=[value, target],
        attributes={"broadcast_dimensions": ir.DenseI64ArrayAttr.get(dims)},
    ).results[0]


def _attributes(op: ir.Operation) -> dict[str, ir.Attribute]:
    """Directions and types of comparisons, in StableHLO's words."""
    found: dict[str, ir.Attribute] = {}
    for name in ("comparison_direction", "compare_type"):
        if name in op.attributes:
            found[name] = ir.Attribute.parse(re.sub("^#chlo", "#stablehlo", str(op.attributes[name])))
    return found
