"""input-convert-stablehlo-concatenate: parts are copied to where they belong.

    %r = stablehlo.concatenate %a, %b, dim = 0 : (tensor<?x3xf32>, tensor<2x3xf32>) -> tensor<?x3xf32>
    =>
    %0 = tensor.insert_slice %a into %empty[0, 0] [%n, 3] [1, 1]
    %r = tensor.insert_slice %b into %0[%n, 0] [2, 3] [1, 1]

stablehlo-legalize-to-linalg would ask every element of the result which part it comes from. It is left what may be a
shape: short lists of integers, which it makes foldable.
"""

from __future__ import annotations

from mlirage.element_types import signless
from mlirage.input.convert_stablehlo_to_linalgx import restore_sign
from mlirage.mlir import arith, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import Extent, dynamic_extents, extents, static_shape

_SHAPE_BITS = 32  # of shapes' integers, at least
_MOST_DIMS = 16


@module_pass("input-convert-stablehlo-concatenate")
def convert_stablehlo_concatenate(program: Program) -> None:
    """Replaces every `stablehlo.concatenate` but those of shapes."""
    for op in [op for op in walk(program.module.operation) if op.name == "stablehlo.concatenate"]:
        if _may_be_shape(ir.RankedTensorType(op.results[0].type)):
            continue
        with op.location, ir.InsertionPoint(op):
            op.results[0].replace_all_uses_with(_convert(op))
        op.erase()


def _may_be_shape(kind: ir.RankedTensorType) -> bool:
    element = kind.element_type
    is_integer = isinstance(element, ir.IntegerType) and element.width >= _SHAPE_BITS
    return is_integer and kind.rank == 1 and kind.has_static_shape and kind.get_dim_size(0) <= _MOST_DIMS


def _convert(op: ir.Operation) -> ir.Value:
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    result = ir.RankedTensorType(op.results[0].type)
    element = signless(result.element_type)
    parts = [restore_sign(part, signless(part.type)) for part in op.operands]
    shapes = [extents(part) for part in parts]
    shape = [
        next((s[i] for s in shapes if isinstance(s[i], int)), shapes[0][i]) for i in range(result.rank)
    ]  # what one part knows statically holds for all
    offsets: list[Extent] = [0]
    for sizes in shapes:
        offsets.append(_plus(offsets[-1], sizes[dimension]))
    shape[dimension] = offsets[-1] if result.is_dynamic_dim(dimension) else result.get_dim_size(dimension)
    joined: ir.Value = tensor.empty(shape, element)
    for part, sizes, offset in zip(parts, shapes, offsets[:-1], strict=True):
        if sizes[dimension] == 0:
            continue
        taken = [sizes[i] if i == dimension else shape[i] for i in range(result.rank)]
        kind = ir.RankedTensorType.get(static_shape(taken), element)
        piece = part if part.type == kind else tensor.cast(kind, part)
        begin: list[Extent] = [offset if i == dimension else 0 for i in range(result.rank)]
        joined = tensor.insert_slice(
            piece, joined, dynamic_extents(begin), dynamic_extents(taken), [],
            static_shape(begin), static_shape(taken), [1] * result.rank,
        )  # fmt: skip
    wanted = signless(result)
    return restore_sign(joined if joined.type == wanted else tensor.cast(wanted, joined), result)


def _plus(a: Extent, b: Extent) -> Extent:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if a == 0:
        return b
    index = ir.IndexType.get()
    return arith.addi(*(arith.constant(index, v) if isinstance(v, int) else v for v in (a, b)))
