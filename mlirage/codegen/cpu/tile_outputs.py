"""What an entry point makes elementwise of the result of its root, while that is in registers, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.elements import is_readable
from mlirage.mlir import ir


@dataclass(frozen=True)
class Output:
    """A tensor that the entry point writes.

    Attributes:
      tensor: made of the contraction's result by elementwise ops.
      buffer: where it goes.
      order: for every dim of it the dim of the contraction's result that runs along it.
    """

    tensor: ir.Value
    buffer: ir.Value
    order: tuple[int, ...]


def trace_order(tensor_value: ir.Value, root: ir.Value) -> tuple[int, ...] | None:
    """For every dim of a tensor the dim of `root` that it runs along; None if it is no elementwise function of it."""
    if tensor_value == root:
        return tuple(range(ir.RankedTensorType(root.type).rank))
    if isinstance(tensor_value.owner, ir.Block):
        return None
    op = tensor_value.owner.operation
    if op.name == "tensor.cast":
        return trace_order(op.operands[0], root)
    if not structured_ops.is_elementwise(op):
        return None
    maps = structured_ops.indexing_maps(op)
    count = structured_ops.segment_sizes(op)[0]
    for operand, indexing in zip(op.operands, maps, strict=True):
        order = trace_order(operand, root) if isinstance(operand.type, ir.RankedTensorType) else None
        if order is None:
            continue
        dims = structured_ops.map_dims(indexing)
        if None in dims or sorted(d for d in dims if d is not None) != list(range(indexing.n_dims)):
            return None
        along = dict(zip(dims, order, strict=True))
        written = structured_ops.map_dims(maps[count + ir.OpResult(tensor_value).result_number])
        return tuple(along[d] for d in written)
    return None


def find_outputs(entry: Entry, root: ir.Value) -> list[Output]:
    """What the entry point writes; all of it is fusable."""
    outputs: list[Output] = []
    for op in entry.walk():
        if op.name == "bufferization.materialize_in_destination":
            order = trace_order(op.operands[0], root)
            assert order is not None, "is_fusable was not asked"
            outputs.append(Output(op.operands[0], op.operands[1], order))
    return outputs


def is_fusable(tensor_value: ir.Value, root: ir.Value) -> bool:
    """Whether a tensor can be computed from the result of `root` while it is in registers."""
    return trace_order(tensor_value, root) is not None and is_readable(tensor_value, [root])
