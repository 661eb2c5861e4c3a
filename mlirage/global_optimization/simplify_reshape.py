"""One reshape instead of two in a row: what `propagate_reshapes` keeps in order while it walks forward."""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.extents import Extents, reassociation
from mlirage.mlir import ir

Groups = list[list[int]]
RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape")


def simplify_reshape(op: ir.Operation, extents: Extents) -> None:
    """Replaces an expand_shape or collapse_shape of a reshape by one reshape of the source, or by the source."""
    inner = None if isinstance(op.operands[0].owner, ir.Block) else op.operands[0].owner.operation
    if inner is None or inner.name not in RESHAPES:
        return
    source = inner.operands[0]
    outer_groups, inner_groups = reassociation(op), reassociation(inner)
    same_kind = op.name == inner.name
    if same_kind and op.name == "tensor.expand_shape":
        groups = [[dim for middle in group for dim in outer_groups[middle]] for group in inner_groups]
        new = _expand(op, source, groups, extents)
    elif same_kind:
        groups = [[dim for middle in group for dim in inner_groups[middle]] for group in outer_groups]
        new = _collapse(op, source, groups)
    elif op.name == "tensor.collapse_shape":
        new = _collapse_of_expand(op, source, outer_groups, inner_groups, extents)
    else:
        new = source if outer_groups == inner_groups and _same_shape(source, op.results[0], extents) else None
    if new is not None:
        op.results[0].replace_all_uses_with(new)
        extents.forget(op)
        op.erase()


def _collapse_of_expand(
    op: ir.Operation, source: ir.Value, merged: Groups, split: Groups, extents: Extents
) -> ir.Value | None:
    if merged == split:
        return source
    split_of = {dim: number for number, group in enumerate(split) for dim in group}
    if all(len({split_of[dim] for dim in group}) == 1 for group in merged):
        groups: Groups = [[] for _ in split]
        for number, group in enumerate(merged):
            groups[split_of[group[0]]].append(number)
        return _expand(op, source, groups, extents)
    merged_of = {dim: number for number, group in enumerate(merged) for dim in group}
    if all(len({merged_of[dim] for dim in group}) == 1 for group in split):
        groups = [[] for _ in merged]
        for number, group in enumerate(split):
            groups[merged_of[group[0]]].append(number)
        return _collapse(op, source, groups)
    return None


def _same_shape(source: ir.Value, result: ir.Value, extents: Extents) -> bool:
    return source.type == result.type and extents.dynamic(source) == extents.dynamic(result)


def _expand(op: ir.Operation, source: ir.Value, groups: Groups, extents: Extents) -> ir.Value:
    dims = extents.dynamic(op.results[0])
    with ir.InsertionPoint(op), op.location:
        return expand_shape(source, list(op.results[0].type.shape), dims, groups)


def _collapse(op: ir.Operation, source: ir.Value, groups: Groups) -> ir.Value:
    with ir.InsertionPoint(op), op.location:
        return collapse_shape(source, op.results[0].type, groups)


def expand_shape(value: ir.Value, shape: list[int], dynamic: list[ir.Value], groups: Groups) -> ir.Value:
    """A tensor.expand_shape at the current insertion point."""
    return ir.Operation.create(
        "tensor.expand_shape",
        [ir.RankedTensorType.get(shape, structured_ops.element_type(value.type))],
        [value, *dynamic],
        {"reassociation": _attribute(groups), "static_output_shape": ir.DenseI64ArrayAttr.get(shape)},
    ).results[0]


def collapse_shape(value: ir.Value, result: ir.Type, groups: Groups) -> ir.Value:
    """A tensor.collapse_shape at the current insertion point."""
    return ir.Operation.create(
        "tensor.collapse_shape", [result], [value], {"reassociation": _attribute(groups)}
    ).results[0]


def _attribute(groups: Groups) -> ir.ArrayAttr:
    i64 = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(i64, i) for i in group]) for group in groups])
