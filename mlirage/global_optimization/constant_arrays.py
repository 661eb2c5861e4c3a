"""Constants of a program as arrays: what a tensor value is if it is a constant, and new constants."""

from __future__ import annotations

import numpy as np

from mlirage.constants import add_global
from mlirage.mlir import ir, ml_program, walk
from mlirage.program import Array, Program, is_splat


def constant_array(program: Program, value: ir.Value) -> tuple[str, Array] | None:
    """The constant that a value is, seen through transposes and reshapes, and the name of the array it comes from."""
    kind = value.type
    if isinstance(value.owner, ir.Block) or not isinstance(kind, ir.RankedTensorType):  # a linalg op may read scalars
        return None
    op = value.owner.operation
    match op.name:
        case "ml_program.global_load_const":
            name = ir.SymbolRefAttr(op.attributes["global"]).value[0]
            array = program.constants.get(name)
            return None if array is None else (name, array)
        case "linalg.transpose":
            source = constant_array(program, op.operands[0])
            order = list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))
            return None if source is None else (source[0], source[1].transpose(order))
        case "tensor.expand_shape" | "tensor.collapse_shape" | "tensor.cast" if kind.has_static_shape:
            source = constant_array(program, op.operands[0])
            if source is None:
                return None
            array = source[1]
            if is_splat(array):
                return source[0], np.broadcast_to(array.reshape(-1)[0], kind.shape)
            return source[0], array.reshape(kind.shape)
        case _:
            return None


def add_constant(program: Program, name: str, array: Array, like: ir.Value) -> str:
    """Adds a constant with the element type and location of `like`; returns its symbol: `name`, made unique."""
    kind = ir.RankedTensorType.get(array.shape, ir.RankedTensorType(like.type).element_type)
    with like.location:
        return add_global(program, kind, array, name)


def load_constant(program: Program, name: str) -> ir.Value:
    """A load of the constant `name`, at the insertion point."""
    declared = next(
        op for op in program.module.body.operations
        if op.operation.name == "ml_program.global" and ir.StringAttr(op.operation.attributes["sym_name"]).value == name
    )  # fmt: skip
    kind = ir.TypeAttr(declared.operation.attributes["type"]).value
    return ml_program.global_load_const(kind, ir.FlatSymbolRefAttr.get(name))


def erase_unread(value: ir.Value) -> None:
    """Erases the pure op that makes `value`, and those that it reads, as far as nobody else reads them."""
    op = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if op is None or any(list(result.uses) for result in op.results):
        return
    if op.name.startswith(("linalg.", "tensor.", "arith.", "ml_program.global_load_const")):
        operands = dict.fromkeys(op.operands)
        op.erase()
        for operand in operands:
            erase_unread(operand)


def drop_unread_constants(program: Program) -> None:
    """Removes reads of constants that nobody uses any more, and the constants that nobody reads."""
    read: set[str] = set()
    for op in reversed(list(walk(program.module.operation))):
        pure = op.name.startswith(("ml_program.global_load_const", "tensor.", "linalg.transpose"))
        if pure and op.results and not any(list(r.uses) for r in op.results):
            op.erase()
        elif op.name.startswith("ml_program.global_load") or op.name == "ml_program.global_store":
            read.add(ir.SymbolRefAttr(op.attributes["global"]).value[0])
    for op in list(program.module.body.operations):
        if op.operation.name != "ml_program.global":
            continue
        name = ir.StringAttr(op.operation.attributes["sym_name"]).value
        if name in program.constants and name not in read:
            del program.constants[name]
            op.operation.erase()
