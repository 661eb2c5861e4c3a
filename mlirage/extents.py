"""The dynamic extents of tensors as index values.

An extent is traced through the op that makes the tensor (`tensor.empty(%d)` has extent %d, a matmul the extents of its
init, …) so that equal extents are one SSA value, and never asks a tensor made by a dispatch for its shape.
"""

from __future__ import annotations

import math

from mlirage import structured_ops
from mlirage.mlir import arith, ir, tensor, walk

# Ops whose result k has the shape of their k-th destination operand, by the number of that operand from the end.
_DESTINATION = {"tensor.insert_slice": 1, "tensor.insert": 1, "tensor.scatter": 1}


class Extents:
    """Extents of the tensors of one function, each computed once, right after the definition of the tensor."""

    def __init__(self) -> None:
        self._known: dict[tuple[ir.Value, int], ir.Value] = {}
        self._constants: dict[tuple[ir.Block, int], ir.Value] = {}

    def dynamic(self, value: ir.Value) -> list[ir.Value]:
        """The dynamic extents of `value`, outermost first."""
        return [self.extent(value, dim) for dim in range(value.type.rank) if value.type.is_dynamic_dim(dim)]

    def extent(self, value: ir.Value, dim: int) -> ir.Value:
        """Extent `dim` of `value` as an index value that dominates every use of `value`."""
        key = (value, dim)
        if key not in self._known:
            self._known[key] = self._constant(value, dim) or self._trace(value, dim) or self._ask(value, dim)
        return self._known[key]

    def forget(self, op: ir.Operation) -> None:
        """Drops what is known of the results of `op`, which will be erased: its memory may hold another op later."""
        for result in op.results:
            for dim in range(result.type.rank if isinstance(result.type, ir.RankedTensorType) else 0):
                self._known.pop((result, dim), None)

    def _constant(self, value: ir.Value, dim: int) -> ir.Value | None:
        if value.type.is_dynamic_dim(dim):
            return None
        return self._index(value, value.type.shape[dim])

    def _index(self, near: ir.Value, number: int) -> ir.Value:
        block = _host_block(near)
        key = (block, number)
        if key not in self._constants:
            with ir.InsertionPoint.at_block_begin(block):
                self._constants[key] = arith.constant(ir.IndexType.get(), number)
        return self._constants[key]

    def _trace(self, value: ir.Value, dim: int) -> ir.Value | None:
        if isinstance(value.owner, ir.Block):
            return None
        op = value.owner.operation
        number = ir.OpResult(value).result_number
        if op.name.startswith("flow."):
            return self.trace_flow(op, number, dim)
        if op.name.startswith("linalgx."):
            return self._trace_linalgx(op, number, dim)
        if structured_ops.is_structured(op):
            return self.extent(structured_ops.outputs(op)[number], dim)
        if op.name in _DESTINATION:
            return self.extent(op.operands[_DESTINATION[op.name]], dim)
        if op.name == "tensor.empty" or op.name == "tensor.splat" or op.name == "tensor.generate":
            position = sum(value.type.is_dynamic_dim(i) for i in range(dim))
            return op.operands[position + (op.name == "tensor.splat")]
        if op.name == "tensor.cast":
            return self.extent(op.operands[0], dim)
        if op.name == "tensor.extract_slice":
            return self._slice_extent(op, dim)
        if op.name == "tensor.expand_shape":
            position = sum(value.type.is_dynamic_dim(i) for i in range(dim))
            return op.operands[1 + position]
        if op.name == "tensor.collapse_shape":
            return self._product(op, dim)
        if op.name == "tensor.pad":
            return self._padded(op, dim)
        if op.name == "tensor.concat":
            return self._concatenated(op, dim)
        if op.name == "tensor.reshape":
            return self._loaded(op, dim)
        return None

    def trace_flow(self, op: ir.Operation, number: int, dim: int) -> ir.Value | None:
        """The extent of a result of a flow op: phase flow tells it in a subclass."""
        return None

    def _trace_linalgx(self, op: ir.Operation, number: int, dim: int) -> ir.Value:
        return self.extent(list(op.operands)[len(op.operands) - len(op.results) + number], dim)

    def _slice_extent(self, op: ir.Operation, dim: int) -> ir.Value:
        # The result may drop unit dims of the slice (rank reduction): its dims are the sizes less those.
        static = list(ir.DenseI64ArrayAttr(op.attributes["static_sizes"]))
        first = sum(structured_ops.segment_sizes(op)[:2])
        dynamic = iter(list(op.operands)[first:])
        sizes: list[int | ir.Value] = [next(dynamic) if s == structured_ops.DYNAMIC else s for s in static]
        position = kept_dims(static, list(op.results[0].type.shape))[dim]
        size = sizes[position]
        return self._index(op.results[0], size) if isinstance(size, int) else size

    def _product(self, op: ir.Operation, dim: int) -> ir.Value:
        group = reassociation(op)[dim]
        source = op.operands[0]
        static = math.prod(source.type.shape[i] for i in group if not source.type.is_dynamic_dim(i))
        extents = [self.extent(source, i) for i in group if source.type.is_dynamic_dim(i)]
        with _before(op):
            result = extents[0]
            for extent in extents[1:]:
                result = arith.muli(result, extent)
            return result if static == 1 else arith.muli(result, self._index(op.results[0], static))

    def _padded(self, op: ir.Operation, dim: int) -> ir.Value:
        sizes = structured_ops.segment_sizes(op)
        operands = list(op.operands)
        low = _mixed(op, "static_low", operands[1 : 1 + sizes[1]])[dim]
        high = _mixed(op, "static_high", operands[1 + sizes[1] : 1 + sizes[1] + sizes[2]])[dim]
        result = self.extent(op.operands[0], dim)
        for amount in (low, high):
            if amount != 0:
                value = self._index(op.results[0], amount) if isinstance(amount, int) else amount
                with _before(op):
                    result = arith.addi(result, value)
        return result

    def _concatenated(self, op: ir.Operation, dim: int) -> ir.Value:
        axis = ir.IntegerAttr(op.attributes["dim"]).value
        if dim != axis:
            return self.extent(op.operands[0], dim)
        extents = [self.extent(operand, dim) for operand in op.operands]
        with _before(op):
            result = extents[0]
            for extent in extents[1:]:
                result = arith.addi(result, extent)
            return result

    def _loaded(self, op: ir.Operation, dim: int) -> ir.Value:
        shape = op.operands[1]
        index = self._index(op.results[0], dim)
        with _before(op):
            extent = tensor.extract(shape, [index])
            return extent if isinstance(extent.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), extent)

    def _ask(self, value: ir.Value, dim: int) -> ir.Value:
        with _after(value):
            return tensor.dim(value, arith.constant(ir.IndexType.get(), dim))


def resolve_dims(function: ir.Operation, extents: Extents) -> None:
    """Replaces every `tensor.dim` in `function` by the extent traced to its origin."""
    for op in [op for op in walk(function) if op.name == "tensor.dim"]:
        source, index = op.operands
        dim = constant_index(index)
        if dim is None:
            all_extents = [extents.extent(source, i) for i in range(source.type.rank)]
            with ir.InsertionPoint(op):
                replacement = all_extents[0]
                for i, extent in enumerate(all_extents[1:], 1):
                    is_dim = arith.cmpi(arith.CmpIPredicate.eq, index, arith.constant(ir.IndexType.get(), i))
                    replacement = arith.select(is_dim, extent, replacement)
        else:
            replacement = extents.extent(source, dim)
        op.results[0].replace_all_uses_with(replacement)
        op.erase()


def constant_index(value: ir.Value) -> int | None:
    """The number that an index value is, if a constant."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None
    return ir.IntegerAttr(value.owner.operation.attributes["value"]).value


def reassociation(op: ir.Operation) -> list[list[int]]:
    """The groups of dims of an expand_shape or collapse_shape."""
    return [[ir.IntegerAttr(i).value for i in ir.ArrayAttr(g)] for g in ir.ArrayAttr(op.attributes["reassociation"])]


def kept_dims(full: list[int], reduced: list[int]) -> list[int]:
    """Positions in `full` of the dims of `reduced`, a slice's result type that lacks some unit dims of `full`."""
    positions: list[int] = []
    for position, extent in enumerate(full):
        if extent != 1 or (len(positions) < len(reduced) and reduced[len(positions)] == 1):
            positions.append(position)
    return positions


def _mixed(op: ir.Operation, static: str, dynamic: list[ir.Value]) -> list[int | ir.Value]:
    values = iter(dynamic)
    return [next(values) if s == structured_ops.DYNAMIC else s for s in ir.DenseI64ArrayAttr(op.attributes[static])]


def _host_op(value: ir.Value) -> ir.Operation | None:
    """The op outside dispatch regions that makes `value`; None for a block argument."""
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    while op.parent is not None and op.parent.name == "flow.dispatch_region":
        op = op.parent.operation
    return op


def _host_block(value: ir.Value) -> ir.Block:
    op = _host_op(value)
    return value.owner if op is None else op.block


def _before(op: ir.Operation) -> ir.InsertionPoint:
    return ir.InsertionPoint(_host_op(op.results[0]) or op)


def _after(value: ir.Value) -> ir.InsertionPoint:
    op = _host_op(value)
    return ir.InsertionPoint.at_block_begin(value.owner) if op is None else ir.InsertionPoint.after(op)
