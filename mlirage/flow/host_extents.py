"""Extents of tensors on the host, through dispatches and flow ops."""

from __future__ import annotations

from mlirage.extents import Extents
from mlirage.flow.dialect import DispatchRegionOp, TensorStoreOp, TensorUpdateOp, dynamic_dim_count
from mlirage.mlir import ir


class HostExtents(Extents):
    """Extents that are traced through flow ops, too."""

    def trace_flow(self, op: ir.Operation, number: int, dim: int) -> ir.Value | None:
        """The extent of dim `dim` of result `number` of a flow op."""
        view = op.opview
        if isinstance(view, DispatchRegionOp):
            block = op.regions[0].blocks[0]
            return self.extent(block.operations[len(block.operations) - 1].operands[number], dim)
        if isinstance(view, (TensorUpdateOp, TensorStoreOp)):
            return self.extent(view.target, dim)
        types = [result.type for result in op.results][: number + 1]
        position = dynamic_dim_count(types[:-1]) + sum(types[-1].is_dynamic_dim(i) for i in range(dim))
        return list(view.result_dims)[position]
