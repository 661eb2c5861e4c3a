"""Writes into a part of a tensor, done by the dispatch that computes the part.

    %c = linalg.conv … : 1x28x28x64                       one dispatch: the convolution writes its channels of %t,
    %u = tensor.insert_slice %c into %t[0, 0, 0, 96]  ->  nobody copies them
         : 1x28x28x64 into 1x28x28x256

A concatenation along channels is a chain of such writes: every branch then computes into its part of the one tensor.
Writes of whole runs of bytes are none of these: phase stream places their sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlirage import structured_ops
from mlirage.flow.cloning import bit_width, is_clonable, is_contiguous_slice
from mlirage.mlir import arith, ir

INSERTION = "tensor.insert_slice"


def may_join(op: ir.Operation, members: Sequence[ir.Operation]) -> bool:
    """Whether the dispatch of `members`, which compute the source of insert_slice `op`, may write the part itself.

    Nobody in it may read the target, which changes under way, and two parts of one target must not overlap.
    """
    source, target = op.operands[0], op.operands[1]
    if source.type.rank != target.type.rank or source.type.rank == 0 or is_contiguous_slice(op):
        return False
    if any(stride != 1 for stride in ir.DenseI64ArrayAttr(op.attributes["static_strides"])):
        return False
    if not isinstance(source.owner, ir.Block) and source.owner.operation.name.startswith("linalgx."):
        return False  # its result is its working memory as well
    inside = set(members)
    chain = _chain(op, inside)
    base = chain[-1].operands[1]
    changed = {base, *(link.results[0] for link in chain)}
    if not isinstance(base.owner, ir.Block) and base.owner.operation in inside:
        return False
    if any(_reads(member, changed) for member in members if member.name != INSERTION):
        return False
    return all(are_disjoint(chain[i], chain[j]) for i in range(len(chain)) for j in range(i)) and all(
        link == chain[0] or len(list(link.results[0].uses)) == 1 for link in chain
    )


def is_passing_reshape(op: ir.Operation) -> bool:
    """Whether `op` only merges dims of static extents for one reader: the part can be written in either form."""
    return (
        op.name == "tensor.collapse_shape"
        and op.operands[0].type.has_static_shape
        and len(list(op.results[0].uses)) == 1
    )


def _chain(op: ir.Operation, inside: set[ir.Operation]) -> list[ir.Operation]:
    """`op` and the insertions of the same dispatch that its target is made by, the last one first."""
    chain = [op]
    while True:
        target = chain[-1].operands[1]
        made_by = None if isinstance(target.owner, ir.Block) else target.owner.operation
        if made_by is None or made_by.name != INSERTION or made_by not in inside:
            return chain
        chain.append(made_by)


def _reads(op: ir.Operation, values: set[ir.Value]) -> bool:
    """Whether `op` reads one of `values`, be it through what its dispatch computes for itself."""
    for operand in op.operands:
        if operand in values:
            return True
        made_by = None if isinstance(operand.owner, ir.Block) else operand.owner.operation
        if made_by is not None and is_clonable(made_by) and _reads(made_by, values):
            return True
    return False


def _ranges(op: ir.Operation) -> list[tuple[int, int]] | None:
    """[start, end) in every dim, None where one is not known."""
    offsets = list(ir.DenseI64ArrayAttr(op.attributes["static_offsets"]))
    sizes = list(ir.DenseI64ArrayAttr(op.attributes["static_sizes"]))
    if structured_ops.DYNAMIC in offsets:
        return None
    shape = op.operands[1].type.shape
    ranges: list[tuple[int, int]] = []
    for offset, size, whole in zip(offsets, sizes, shape, strict=True):
        if size == structured_ops.DYNAMIC and (offset != 0 or whole != structured_ops.DYNAMIC):
            return None
        ranges.append((offset, offset + size if size != structured_ops.DYNAMIC else 1 << 62))
    return ranges


def are_disjoint(a: ir.Operation, b: ir.Operation) -> bool:
    """Whether two insertions surely write different elements."""
    here, there = _ranges(a), _ranges(b)
    if here is None or there is None:
        return False
    return any(p[1] <= q[0] or q[1] <= p[0] for p, q in zip(here, there, strict=True))


def written_part(value: ir.Value) -> tuple[int, int, int] | None:
    """What a dispatch writes of a result that ends in insertions: bytes `begin` to `end` of every `period` bytes.

    None: all of it, or nobody knows.
    """
    part: tuple[int, int, int] | None = None
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name == INSERTION:
        mine = _part_of(value.owner.operation)
        if mine is None or (part is not None and part[0] != mine[0]):
            return None
        part = mine if part is None else (part[0], min(part[1], mine[1]), max(part[2], mine[2]))
        value = value.owner.operation.operands[1]
    is_base = isinstance(value.owner, ir.Block) or value.owner.operation.name == "tensor.empty"
    return part if is_base else None


def _part_of(op: ir.Operation) -> tuple[int, int, int] | None:
    ranges, kind = _ranges(op), op.operands[1].type
    if ranges is None:
        return None
    dim = kind.rank - 1
    while dim >= 0 and ranges[dim] == (0, kind.shape[dim]):
        dim -= 1
    if dim < 0 or structured_ops.DYNAMIC in list(kind.shape)[dim:]:
        return None
    row = math.prod(kind.shape[dim + 1 :]) * max(1, bit_width(kind.element_type) // 8)
    return kind.shape[dim] * row, ranges[dim][0] * row, ranges[dim][1] * row


def pass_offsets(op: ir.Operation) -> None:
    """Makes static offsets of an insertion values at the insertion point: dispatches that differ in them are one."""
    offsets = list(ir.DenseI64ArrayAttr(op.attributes["static_offsets"]))
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    operands = list(op.operands)
    given = iter(operands[2 : 2 + segments[2]])
    index = ir.IndexType.get()
    values: list[ir.Value] = []
    for dim, offset in enumerate(offsets):
        if offset == structured_ops.DYNAMIC:
            values.append(next(given))
        elif offset != 0:
            values.append(arith.constant(index, offset))
            offsets[dim] = structured_ops.DYNAMIC
    if len(values) == segments[2]:
        return
    attributes: dict[str, ir.Attribute] = {
        "static_offsets": ir.DenseI64ArrayAttr.get(offsets),
        "static_sizes": op.attributes["static_sizes"],
        "static_strides": op.attributes["static_strides"],
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, len(values), *segments[3:]]),
    }
    rest = operands[2 + segments[2] :]
    types = [result.type for result in op.results]
    new = ir.Operation.create(
        INSERTION, types, [*operands[:2], *values, *rest], attributes, loc=op.location, ip=ir.InsertionPoint(op)
    )
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()
