"""The flow dialect: a whole-tensor program split into dispatches.

Host functions keep `tensor` values, `scf`/`arith` on scalars, `tensor.dim`, and the ops below. Device code lives in
executables: `builtin.module @name attributes {flow.executable}` symbols that hold one `func.func` per entry point.

An entry point is a pure function on tensors until the phase `executable-sources`:

    func.func @entry(arguments…, argument_dims…: index, result_dims…: index) -> (results…)

in the order of the operands of `flow.dispatch`. Each dynamic dimension of a tensor argument or result stands once in
`argument_dims` / `result_dims`, outermost first, tensor by tensor. The body takes extents from those index arguments,
never from `tensor.dim` of an argument. Entry point attribute `flow.tied` (array of i64, one per result): the index of
the tensor argument whose storage the result updates in place, or -1.
"""

from collections.abc import Sequence
from typing import Any

from mlirage.mlir import ext, ir

# Discardable attribute of a dispatch: per result the part of it that is written, an array of `period, begin, end`
# (bytes `begin` to `end` of every `period` bytes); empty: all of it.
PARTS = "flow.parts"


def dynamic_dim_count(value_types: Sequence[ir.Type]) -> int:
    """The number of dynamic dimensions of all tensor types in `value_types`."""
    return sum(
        sum(t.is_dynamic_dim(i) for i in range(t.rank)) for t in value_types if isinstance(t, ir.RankedTensorType)
    )


def _dims_match(op: Any, what: str, values: Sequence[ir.Value], dims: Sequence[ir.Value]) -> bool:
    expected = dynamic_dim_count([v.type for v in values])
    if expected == len(dims):
        return True
    op.location.emit_error(f"{op.operation.name}: {what} have {expected} dynamic dims but {len(dims)} are given")
    return False


class Flow(ext.Dialect, name="flow"):
    """Whole-tensor programs split into dispatches."""


class DispatchOp(Flow.Operation, name="dispatch", traits=[ext.Pure]):
    """Runs entry point `entry` (`@executable::@entry`) on `arguments` (tensors and scalars).

    `argument_dims`/`result_dims` give every dynamic dimension. `tied` (array of i64, one per result) names the
    argument that a result is computed in place of, -1 for none; value semantics hold: copies are made where needed.
    """

    results_: Sequence[ext.Result[Any]]
    entry: ir.SymbolRefAttr
    tied: ir.ArrayAttr
    arguments: Sequence[ext.Operand[Any]]
    argument_dims: Sequence[ext.Operand[ir.IndexType]]
    result_dims: Sequence[ext.Operand[ir.IndexType]]

    def verify_invariants(self) -> bool:
        if len(self.tied) != len(self.operation.results):
            self.location.emit_error("flow.dispatch: `tied` needs one entry per result")
            return False
        return _dims_match(self, "arguments", list(self.arguments), list(self.argument_dims)) and _dims_match(
            self, "results", list(self.operation.results), list(self.result_dims)
        )


class DispatchRegionOp(Flow.Operation, name="dispatch_region", traits=[ext.Pure]):
    """Ops that will run as one dispatch: `body` sees the values around it and ends in `flow.return`.

    Lives between the phases dispatch-creation and flow.
    """

    results_: Sequence[ext.Result[Any]]
    body: ext.Region


class ReturnOp(Flow.Operation, name="return", traits=[ir.IsTerminatorTrait, ext.Pure]):
    """Ends a dispatch region: its operands are the results of the region."""

    values: Sequence[ext.Operand[Any]]


class TensorReshapeOp(Flow.Operation, name="tensor_reshape", traits=[ext.Pure]):
    """The same bytes with another shape (or an element type of equal width); costs nothing."""

    result: ext.Result[Any]
    source: ext.Operand[Any]
    source_dims: Sequence[ext.Operand[ir.IndexType]]
    result_dims: Sequence[ext.Operand[ir.IndexType]]

    def verify_invariants(self) -> bool:
        return _dims_match(self, "source", [self.source], list(self.source_dims)) and _dims_match(
            self, "result", [self.result], list(self.result_dims)
        )


class TensorEmptyOp(Flow.Operation, name="tensor_empty", traits=[ext.Pure]):
    """A tensor of unspecified contents."""

    result: ext.Result[Any]
    result_dims: Sequence[ext.Operand[ir.IndexType]]


class TensorSplatOp(Flow.Operation, name="tensor_splat", traits=[ext.Pure]):
    """A tensor with every element equal to the scalar `value`."""

    result: ext.Result[Any]
    value: ext.Operand[Any]
    result_dims: Sequence[ext.Operand[ir.IndexType]]


class TensorSliceOp(Flow.Operation, name="tensor_slice", traits=[ext.Pure]):
    """`source[offset : offset + n]` along dimension 0, n being dimension 0 of the result: a run of bytes.

    Other slices are dispatches. The offset is trusted: who creates the op has clamped it.
    """

    result: ext.Result[Any]
    source: ext.Operand[Any]
    offset: ext.Operand[ir.IndexType]
    source_dims: Sequence[ext.Operand[ir.IndexType]]
    result_dims: Sequence[ext.Operand[ir.IndexType]]


class TensorUpdateOp(Flow.Operation, name="tensor_update", traits=[ext.Pure]):
    """`target` with `target[offset : offset + n] = update` along dimension 0, in place where nobody else reads it."""

    result: ext.Result[Any]
    target: ext.Operand[Any]
    update: ext.Operand[Any]
    offset: ext.Operand[ir.IndexType]
    target_dims: Sequence[ext.Operand[ir.IndexType]]
    update_dims: Sequence[ext.Operand[ir.IndexType]]


class TensorLoadOp(Flow.Operation, name="tensor_load", traits=[ext.Pure]):
    """One element of `source` read by the host: makes control flow and shapes depend on data."""

    result: ext.Result[Any]
    source: ext.Operand[Any]
    source_dims: Sequence[ext.Operand[ir.IndexType]]
    indices: Sequence[ext.Operand[ir.IndexType]]


class TensorStoreOp(Flow.Operation, name="tensor_store", traits=[ext.Pure]):
    """`target` with the host's scalar `value` at `indices`."""

    result: ext.Result[Any]
    value: ext.Operand[Any]
    target: ext.Operand[Any]
    target_dims: Sequence[ext.Operand[ir.IndexType]]
    indices: Sequence[ext.Operand[ir.IndexType]]
