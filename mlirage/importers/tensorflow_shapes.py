"""Shapes as tensors of indices: TensorFlow's lowering speaks of them in the `shape` dialect, nobody else does.

%s = shape.shape_of %x : tensor<?x3xf32> -> tensor<2xindex>      %d = tensor.dim %x, %c0
%b = shape.broadcast %s, %t                                 ->   %e = arith.select (%d == 1), %t0, %d
                                                                 %b = tensor.from_elements %e, %c3
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.mlir import arith, ir, run_pipeline, tensor, walk
from mlirage.program import Program

Values = list[ir.Value[Any]]


def convert_shapes(program: Program) -> None:
    """Replaces the ops of the `shape` dialect; constraints that broadcasts fit go, as the source guarantees them."""
    run_pipeline(program.module.operation, "func.func(remove-shape-constraints),canonicalize")
    for op in [op for op in walk(program.module.operation) if op.name in (*_CONVERSIONS, "shape.split_at")]:
        with ir.InsertionPoint(op), op.location:
            made = _split_at(op) if op.name == "shape.split_at" else [_CONVERSIONS[op.name](op)]
            for result, elements in zip(op.results, made, strict=True):
                value = elements[0] if op.name in _SIZES else _from_elements(elements, result.type)
                result.replace_all_uses_with(value)
        op.erase()


def _from_elements(elements: Values, kind: ir.Type) -> ir.Value[Any]:
    """A tensor of indices, for a `!shape.shape` too, which only ops of the dialect take."""
    value = tensor.from_elements(ir.RankedTensorType.get([len(elements)], ir.IndexType.get()), elements)
    return tensor.cast(kind, value) if isinstance(kind, ir.RankedTensorType) and value.type != kind else value


def _index(number: int) -> ir.Value[Any]:
    return arith.constant(ir.IndexType.get(), number)


def _elements(shape: ir.Value[Any]) -> Values:
    """The extents that a tensor of indices holds."""
    owner = shape.owner
    if not isinstance(owner, ir.Block) and owner.name == "tensor.from_elements":
        return list(owner.operands)
    kind = ir.RankedTensorType(shape.type)
    if not kind.has_static_shape:
        raise NotImplementedError("a shape whose number of axes is not known")
    return [tensor.extract(shape, [_index(i)]) for i in range(kind.get_dim_size(0))]


def _shape_of(op: ir.Operation) -> Values:
    source = op.operands[0]
    kind = ir.RankedTensorType(source.type)
    return [
        tensor.dim(source, _index(i)) if kind.is_dynamic_dim(i) else _index(kind.get_dim_size(i))
        for i in range(kind.rank)
    ]


def _const_shape(op: ir.Operation) -> Values:
    return [_index(int(x)) for x in ir.DenseIntElementsAttr(op.attributes["shape"])]


def _broadcast(op: ir.Operation) -> Values:
    shapes = [_elements(operand) for operand in op.operands]
    rank = max(len(shape) for shape in shapes)
    result: Values = []
    for i in range(rank):
        extents = [shape[len(shape) - rank + i] for shape in shapes if len(shape) - rank + i >= 0]
        result.append(_common(extents))
    return result


def _common(extents: Values) -> ir.Value[Any]:
    """The extent to which equal ones and ones broadcast."""
    found = extents[0]
    for extent in extents[1:]:
        if _constant(extent) == 1 or extent == found:
            continue
        if _constant(found) == 1:
            found = extent
        elif _constant(found) is None:
            is_one = arith.cmpi(arith.CmpIPredicate.eq, found, _index(1))
            found = arith.select(is_one, extent, found)
    return found


def _constant(value: ir.Value[Any]) -> int | None:
    owner = value.owner
    if not isinstance(owner, ir.Block) and owner.name == "arith.constant":
        return ir.IntegerAttr(owner.attributes["value"]).value
    return None


def _num_elements(op: ir.Operation) -> Values:
    total = _index(1)
    for extent in _elements(op.operands[0]):
        total = arith.muli(total, extent)
    return [total]


def _get_extent(op: ir.Operation) -> Values:
    position = _constant(op.operands[1])
    if position is None:
        return [tensor.extract(op.operands[0], [op.operands[1]])]
    return [_elements(op.operands[0])[position]]


def _concat(op: ir.Operation) -> Values:
    return [extent for operand in op.operands for extent in _elements(operand)]


def _same(op: ir.Operation) -> Values:
    return _elements(op.operands[0])


def _split_at(op: ir.Operation) -> list[Values]:
    """The extents before an axis, which may be counted from the end, and those from it on."""
    extents, place = _elements(op.operands[0]), _constant(op.operands[1])
    if place is None:
        raise NotImplementedError("a shape that is split at an axis that only a run knows")
    return [extents[:place], extents[place:]]


def _size(op: ir.Operation) -> Values:
    return [op.operands[0]]


_SIZES = ("shape.num_elements", "shape.get_extent", "shape.size_to_index")
_CONVERSIONS: dict[str, Callable[[ir.Operation], Values]] = {
    "shape.shape_of": _shape_of,
    "shape.const_shape": _const_shape,
    "shape.broadcast": _broadcast,
    "shape.num_elements": _num_elements,
    "shape.get_extent": _get_extent,
    "shape.concat": _concat,
    "shape.to_extent_tensor": _same,
    "shape.from_extent_tensor": _same,
    "shape.value_as_shape": _same,
    "shape.size_to_index": _size,
}
