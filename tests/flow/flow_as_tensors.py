"""Turns a program after phase flow back into one plain tensor program, for an independent evaluator.

Dispatches become calls of their entry points, flow ops the tensor ops that they mean. Nothing is shared with the
passes that made the flow ops.
"""

from __future__ import annotations

import math
from typing import Any

from mlirage.compiler import run_phases
from mlirage.importers import import_source
from mlirage.mlir import arith, func, ir, linalg, tensor, walk
from mlirage.options import make_options
from mlirage.program import Program


def run_after_flow(model: Any, inputs: list[Any]) -> list[Any]:
    """What MLIR text or ONNX bytes compute, taken through phase flow and run by the reference evaluator."""
    from tests.importers.reference_runner import run_program

    return run_program(after_flow(model), inputs)


def after_flow(model: Any) -> Program:
    """MLIR text or ONNX bytes after phase flow, as tensor ops."""
    program = import_source(model, make_options(compile_to="flow", verify_each=True))
    run_phases(program)
    with program.context, ir.Location.unknown():
        _raise(program)
        program.module.operation.verify()
    return program


def _raise(program: Program) -> None:
    module = program.module
    for op in list(module.body.operations):
        if "flow.executable" in op.attributes:
            for entry in list(op.regions[0].blocks[0].operations):
                entry.operation.move_before(op)
                entry.attributes["sym_visibility"] = ir.StringAttr.get("private")
            op.operation.erase()
    for op in list(walk(module.operation)):
        if op.name.startswith("flow."):
            with ir.InsertionPoint(op), op.location:
                results = _RAISED[op.name](op.opview)
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(new)
            op.erase()


def _dispatch(op: Any) -> list[ir.Value]:
    entry = ir.SymbolRefAttr(op.entry).value[-1]
    call = func.CallOp(
        [r.type for r in op.operation.results],
        ir.FlatSymbolRefAttr.get(entry),
        [*op.arguments, *op.argument_dims, *op.result_dims],
    )
    return list(call.results)


def _reshape(op: Any) -> list[ir.Value]:
    source, result = op.source, op.result.type
    if source.type.element_type != result.element_type:
        source = tensor.bitcast(ir.RankedTensorType.get(source.type.shape, result.element_type), source)
    element, index = result.element_type, ir.IndexType.get()
    flat = ir.RankedTensorType.get([ir.ShapedType.get_dynamic_size()], element)
    if source.type.rank == 0:
        source = tensor.from_elements(ir.RankedTensorType.get([1], element), [tensor.extract(source, [])])
    if not result.rank:
        zero = [arith.constant(index, 0)] * source.type.rank
        return [tensor.from_elements(result, [tensor.extract(source, zero)])]
    everything = ir.ArrayAttr.get(
        [ir.IntegerAttr.get(ir.IntegerType.get_signless(64), i) for i in range(source.type.rank)]
    )
    if source.type.has_static_shape:
        flat = ir.RankedTensorType.get([math.prod(source.type.shape)], element)
    line = ir.Operation.create(
        "tensor.collapse_shape", [flat], [source], {"reassociation": ir.ArrayAttr.get([everything])}
    ).results[0]
    if source.type.has_static_shape != result.has_static_shape:
        size = structured_size(result)
        line = tensor.cast(ir.RankedTensorType.get([size], element), line)
    everything = ir.ArrayAttr.get([ir.IntegerAttr.get(ir.IntegerType.get_signless(64), i) for i in range(result.rank)])
    attributes = {
        "reassociation": ir.ArrayAttr.get([everything]),
        "static_output_shape": ir.DenseI64ArrayAttr.get(list(result.shape)),
    }
    return [ir.Operation.create("tensor.expand_shape", [result], [line, *op.result_dims], attributes).results[0]]


def structured_size(kind: ir.RankedTensorType) -> int:
    """The number of elements, or the sign for a dynamic one."""
    return math.prod(kind.shape) if kind.has_static_shape else ir.ShapedType.get_dynamic_size()


def _window(part: ir.Value | ir.Type, dims: Any) -> tuple[list[int], list[ir.Value]]:
    kind = part if isinstance(part, ir.Type) else part.type
    return list(kind.shape), list(dims)


def _slice(op: Any) -> list[ir.Value]:
    sizes, dynamic = _window(op.result.type, op.result_dims)
    rank = len(sizes)
    return [
        tensor.extract_slice(
            op.result.type, op.source, [op.offset], dynamic, [],
            [ir.ShapedType.get_dynamic_size()] + [0] * (rank - 1), sizes, [1] * rank,
        )
    ]  # fmt: skip


def _update(op: Any) -> list[ir.Value]:
    sizes, dynamic = _window(op.update, op.update_dims)
    rank = len(sizes)
    return [
        tensor.insert_slice(
            op.update, op.target, [op.offset], dynamic, [],
            [ir.ShapedType.get_dynamic_size()] + [0] * (rank - 1), sizes, [1] * rank,
        )
    ]  # fmt: skip


def _empty(kind: ir.Type, dims: Any) -> ir.Value:
    return ir.Operation.create("tensor.empty", [kind], list(dims)).results[0]


_RAISED = {
    "flow.dispatch": _dispatch,
    "flow.tensor_reshape": _reshape,
    "flow.tensor_slice": _slice,
    "flow.tensor_update": _update,
    "flow.tensor_empty": lambda op: [_empty(op.result.type, op.result_dims)],
    "flow.tensor_splat": lambda op: [linalg.fill(op.value, outs=[_empty(op.result.type, op.result_dims)])],
    "flow.tensor_load": lambda op: [tensor.extract(op.source, list(op.indices))],
    "flow.tensor_store": lambda op: [tensor.insert(op.value, op.target, list(op.indices))],
}
