"""The lifetimes of values outside of regions, put in their types when memory is allocated.

Views given by the caller, and what crosses a call, are `external`; what loops and branches carry is `transient`;
globals say their own. A `resource_cast` stands where an owner changes.
"""

from __future__ import annotations

from mlirage.mlir import ir, walk
from mlirage.stream import dialect as stream


def assign_lifetimes(function: ir.Operation, module: ir.Module) -> None:
    """Sets the types of the resources that host ops of a function make or carry."""
    globals_ = _global_types(module)
    for argument in function.regions[0].blocks[0].arguments:
        _set(argument, "external")
    for op in walk(function):
        if op.name in ("stream.tensor_import", "func.call"):
            for result in op.results:
                _set(result, "external")
        elif op.name == "stream.resource_constant":
            _set(op.results[0], "constant")
        elif op.name == "util.global_load" and stream.is_resource(op.results[0]):
            op.results[0].set_type(globals_[ir.FlatSymbolRefAttr(op.attributes["symbol"]).value])
        elif op.name.startswith("scf."):
            for result in op.results:
                _set(result, "transient")
            for region in op.regions:
                for block in region.blocks:
                    for argument in block.arguments:
                        _set(argument, "transient")


def _set(value: ir.Value, lifetime: str) -> None:
    if stream.is_resource(value):
        value.set_type(stream.resource_type(lifetime))


def cast_lifetimes(function: ir.Operation, module: ir.Module) -> None:
    """Inserts casts where the lifetime of a value is not the one that its user is declared with."""
    globals_ = _global_types(module)
    for op in list(walk(function)):
        if op.name == "util.global_store":
            wanted = globals_[ir.FlatSymbolRefAttr(op.attributes["symbol"]).value]
        elif op.name in _LIFETIMES:
            wanted = stream.resource_type(_LIFETIMES[op.name])
        else:
            continue
        for number, operand in enumerate(op.operands):
            if stream.is_resource(operand) and operand.type != wanted:
                with ir.InsertionPoint(op), op.location:
                    op.operands[number] = stream.ResourceCastOp(wanted, operand).result


def _global_types(module: ir.Module) -> dict[str, ir.Type]:
    return {
        ir.StringAttr(op.attributes["sym_name"]).value: ir.TypeAttr(op.attributes["type"]).value
        for op in module.body.operations
        if op.operation.name == "util.global"
    }


_LIFETIMES = {
    "func.call": "external",
    "func.return": "external",
    "scf.for": "transient",
    "scf.while": "transient",
    "scf.yield": "transient",
    "scf.condition": "transient",
}


def set_signatures(module: ir.Module) -> None:
    """Functions take and give external resources."""
    for op in module.body.operations:
        if op.operation.name != "func.func":
            continue
        old = ir.FunctionType(ir.TypeAttr(op.operation.attributes["function_type"]).value)
        inputs, results = ([_external(t) for t in types] for types in (old.inputs, old.results))
        op.operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, results))


def _external(old: ir.Type) -> ir.Type:
    return stream.resource_type("external") if isinstance(old, stream.Resource) else old
