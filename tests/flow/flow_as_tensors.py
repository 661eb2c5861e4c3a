"""Turns a program after phase flow back into one plain tensor program, for an independent evaluator.

Dispatches become calls of their entry points, flow ops the tensor ops that they mean. Nothing is shared with the
passes that made the flow ops.
"""

from __future__ import annotations

from typing import Any

from mlirage.compiler import run_phases
from mlirage.importers.mlir import import_mlir
from mlirage.mlir import arith, func, ir, linalg, tensor, walk
from mlirage.options import CompileOptions, make_options
from mlirage.program import Program


def before(source: str, options: CompileOptions) -> Program:
    """The program as imported."""
    return import_mlir(source, make_options(compile_to="input"))


def after(source: str, options: CompileOptions) -> Program:
    """The program after phase flow, as tensor ops."""
    program = import_mlir(source, make_options(compile_to="flow", verify_each=True))
    run_phases(program)
    with program.context, ir.Location.unknown():
        _raise(program)
        program.module.operation.verify()
    return program


def onnx_after(source: Any, options: CompileOptions) -> Program:
    """An ONNX model after phase flow, as tensor ops."""
    from mlirage.importers.onnx import import_onnx

    program = import_onnx(source, make_options(compile_to="flow"))
    run_phases(program)
    with program.context, ir.Location.unknown():
        _raise(program)
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
    dims = iter(op.result_dims)
    index = ir.IndexType.get()
    shape = [
        next(dims) if result.is_dynamic_dim(i) else arith.constant(index, result.shape[i]) for i in range(result.rank)
    ]
    if not shape:
        zero = [arith.constant(index, 0)] * source.type.rank
        return [tensor.from_elements(result, [tensor.extract(source, zero)])]
    shape_tensor = tensor.from_elements(ir.RankedTensorType.get([len(shape)], index), shape)
    return [ir.Operation.create("tensor.reshape", [result], [source, shape_tensor]).results[0]]


def _rest(value: ir.Value, dims: Any) -> tuple[list[int], list[ir.Value]]:
    """Static and dynamic sizes of all dims of a value but the first."""
    given = list(dims)
    if value.type.is_dynamic_dim(0):
        given = given[1:]
    return list(value.type.shape[1:]), given


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
