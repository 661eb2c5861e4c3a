"""Gives public functions the types that the runtime passes, and a signature if the importer wrote none.

    func.func @f(%n: index, %s: bf16, …)   ->   func.func @f(%n: i64, %s: f32, …) attributes {mlirage.signature = "…"}
                                                  %0 = arith.index_cast %n : i64 to index
                                                  %1 = arith.truncf %s : f32 to bf16

Scalars cross the boundary as i32, i64, f32 or f64: smaller ones are widened, index is i64. Tensors stay as they are.
Everything else a caller could not pass: an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mlirage.element_types import dtype_name
from mlirage.errors import CompileError
from mlirage.mlir import arith, describe_location, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

SIGNATURE = "mlirage.signature"


@module_pass("input-legalize-signatures")
def legalize_signatures(program: Program) -> None:
    """Converts scalars at the boundary of public functions and writes missing signatures."""
    changed: dict[str, ir.FunctionType] = {}
    for op in program.module.body.operations:
        function = op.operation
        if function.name == "func.func" and _is_public(function):
            if not function.regions[0].blocks:
                raise CompileError(f"{_where(function)} has no body: a public function is an entry point")
            if _convert(function):
                changed[_name(function)] = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    if changed:
        for op in list(walk(program.module.operation)):
            if op.name == "func.call":
                _convert_call(op, changed)


def _is_public(function: ir.Operation) -> bool:
    if "sym_visibility" not in function.attributes:
        return True
    return ir.StringAttr(function.attributes["sym_visibility"]).value == "public"


def _name(function: ir.Operation) -> str:
    return ir.StringAttr(function.attributes["sym_name"]).value


def _where(function: ir.Operation) -> str:
    return f"{describe_location(function.location)}: function @{_name(function)}"


def boundary_type(value_type: ir.Type) -> ir.Type | None:
    """The type as which a value crosses the boundary of a public function; None if it cannot."""
    match value_type:
        case ir.RankedTensorType():
            return value_type if _has_dtype(value_type.element_type) else None
        case ir.IndexType():
            return ir.IntegerType.get_signless(64)
        case ir.IntegerType() if value_type.is_signless and value_type.width <= 64:
            return ir.IntegerType.get_signless(32 if value_type.width <= 32 else 64)
        case ir.F64Type():
            return value_type
        case _ if _has_dtype(value_type) and isinstance(value_type, ir.FloatType):
            return ir.F32Type.get()
        case _:
            return None


def _has_dtype(element: ir.Type) -> bool:
    try:
        dtype_name(element)
    except KeyError:
        return False
    return True


def _convert(function: ir.Operation) -> bool:
    """Converts one function; tells whether its type changed."""
    kind = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    inputs = [_checked(function, f"argument {i}", t) for i, t in enumerate(kind.inputs)]
    results = [_checked(function, f"result {i}", t) for i, t in enumerate(kind.results)]
    if SIGNATURE not in function.attributes:
        function.attributes[SIGNATURE] = ir.StringAttr.get(json.dumps(_signature(kind)))
    if inputs == list(kind.inputs) and results == list(kind.results):
        return False
    block = function.regions[0].blocks[0]
    for argument, new in zip(block.arguments, inputs, strict=True):
        old = argument.type
        if new != old:
            argument.set_type(new)
            with ir.InsertionPoint.at_block_begin(block), function.location:
                inner = _cast(argument, old)
            argument.replace_all_uses_except(inner, ir.OpResult(inner).owner.operation)
    for op in list(walk(function)):
        if op.name == "func.return":
            _cast_operands(op, results)
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, results))
    return True


def _checked(function: ir.Operation, what: str, value_type: ir.Type) -> ir.Type:
    new = boundary_type(value_type)
    if new is None:
        raise CompileError(
            f"{_where(function)}: {what} has type {value_type}, which a caller cannot pass; use a ranked tensor of "
            "integers, floats or complex numbers, or a scalar of at most 64 bits"
        )
    return new


def _convert_call(call: ir.Operation, changed: dict[str, ir.FunctionType]) -> None:
    kind = changed.get(ir.FlatSymbolRefAttr(call.attributes["callee"]).value)
    if kind is None:
        return
    _cast_operands(call, list(kind.inputs))
    for result, new in zip(call.results, kind.results, strict=True):
        old = result.type
        if new != old:
            result.set_type(new)
            with ir.InsertionPoint.after(call), call.location:
                inner = _cast(result, old)
            result.replace_all_uses_except(inner, ir.OpResult(inner).owner.operation)


def _cast_operands(op: ir.Operation, types: list[ir.Type]) -> None:
    with ir.InsertionPoint(op), op.location:
        for number, (value, wanted) in enumerate(zip(list(op.operands), types, strict=True)):
            if value.type != wanted:
                op.operands[number] = _cast(value, wanted)


def _cast(value: ir.Value, wanted: ir.Type) -> ir.Value:
    build: Callable[[ir.Type, ir.Value], ir.Value]
    if isinstance(value.type, ir.IndexType) or isinstance(wanted, ir.IndexType):
        build = arith.index_cast
    elif isinstance(wanted, ir.IntegerType):
        width = ir.IntegerType(value.type).width
        grows = width < wanted.width
        build = (arith.extui if width == 1 else arith.extsi) if grows else arith.trunci
    else:
        build = arith.extf if ir.FloatType(value.type).width < ir.FloatType(wanted).width else arith.truncf
    return build(wanted, value)


def _signature(kind: ir.FunctionType) -> dict[str, Any]:
    return {
        "arguments": [{"name": f"arg{number}", **_described(t)} for number, t in enumerate(kind.inputs)],
        "results": [{"name": f"result{number}", **_described(t)} for number, t in enumerate(kind.results)],
        "source": "mlir",
    }


def _described(value_type: ir.Type) -> dict[str, Any]:
    if not isinstance(value_type, ir.RankedTensorType):
        return {"dtype": dtype_name(value_type), "shape": []}
    shape = [None if value_type.is_dynamic_dim(i) else value_type.shape[i] for i in range(value_type.rank)]
    return {"dtype": dtype_name(value_type.element_type), "shape": shape}
