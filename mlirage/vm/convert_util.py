"""util ops (globals, read-only data, buffers, lists) as vm ops.

    %x = util.buffer_load %b[%o] : f32     ->  %x = "vm.buffer_load_32"(%b, %o)
    util.buffer_store %v, %b[%o] : i8      ->  "vm.buffer_store_8"(%b, %o, %v)

Values narrower than their register are zero-extended (dialect.py); in memory they take whole bytes, with zeros above
the width of their type.
"""

from __future__ import annotations

import hashlib

import numpy as np

from mlirage.mlir import ir
from mlirage.program import Program
from mlirage.vm.convert_arith import Handler, Unsupported
from mlirage.vm.dialect import kind_of
from mlirage.vm.emitter import Emitter, width_of


def _convert_global_load(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    name = "global_load_ref" if kind_of(op.result.type) == "r" else "global_load"
    return [emit(name, op.result.type, symbol=op.attributes["symbol"])]


def _convert_global_store(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value = op.operands[0]
    name = "global_store_ref" if kind_of(value.type) == "r" else "global_store"
    emit(name, None, value, symbol=op.attributes["symbol"])
    return []


def _convert_rodata(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    return [emit("rodata", op.result.type, name=op.attributes["name"])]


def _convert_null(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    return [emit("null_ref", op.result.type)]


def _bytes_of(type_: ir.Type) -> int:
    """Bytes that a scalar takes in memory."""
    kind = kind_of(type_)
    if kind == "r":
        raise Unsupported(f"buffers hold no values of type {type_}")
    return 1 << max(0, (width_of(type_) - 1).bit_length() - 3)


def _convert_load(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    size = _bytes_of(op.result.type)
    form = {1: "u8", 2: "u16", 4: "32", 8: "64"}[size]
    return [emit(f"buffer_load_{form}", op.result.type, *op.operands)]


def _convert_store(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    value, target, offset = op.operands
    emit(f"buffer_store_{8 * _bytes_of(value.type)}", None, target, offset, value)
    return []


def _convert_fill(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    target, offset, length, value = op.operands
    size = ir.IntegerAttr.get(emit.i32, _bytes_of(value.type))
    kind = kind_of(value.type)
    if kind in "fF":
        value = emit(f"bitcast_f{width_of(value.type)}_i{width_of(value.type)}", emit.i64 if kind == "F" else emit.i32,
                     value)  # fmt: skip
    if kind in "if":
        value = emit("extend_u_i32_i64", emit.i64, value)
    emit("buffer_fill", None, target, offset, length, value, value=size)
    return []


_LIST_FORMS = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "r": "ref"}


def _convert_list_get(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    return [emit(f"list_get_{_LIST_FORMS[kind_of(op.result.type)]}", op.result.type, *op.operands)]


def _convert_list_set(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    emit(f"list_set_{_LIST_FORMS[kind_of(op.operands[2].type)]}", None, *op.operands)
    return []


def _convert_same(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """Ops that are an instruction of the same name and operands."""
    name = op.name.removeprefix("util.")
    if not op.results:
        emit(name, None, *op.operands)
        return []
    return [emit(name, op.result.type, *op.operands)]


HANDLERS: dict[str, Handler] = {
    "util.global_load": _convert_global_load,
    "util.global_store": _convert_global_store,
    "util.rodata": _convert_rodata,
    "util.null": _convert_null,
    "util.buffer_load": _convert_load,
    "util.buffer_store": _convert_store,
    "util.buffer_fill": _convert_fill,
    "util.list_get": _convert_list_get,
    "util.list_set": _convert_list_set,
    **dict.fromkeys(
        (f"util.buffer_{name}" for name in ("alloc", "clone", "slice", "length", "compare", "copy")), _convert_same
    ),
    **dict.fromkeys((f"util.list_{name}" for name in ("create", "size", "resize")), _convert_same),
}


def name_constants(program: Program, op: ir.Operation) -> None:
    """`util.buffer_constant` becomes read-only data of the program, under a name made of its bytes."""
    value = ir.DenseElementsAttr(op.attributes["value"])
    splat = np.array(ir.IntegerAttr(value.get_splat_value()).value, np.int8) if value.is_splat else None
    shape = ir.RankedTensorType(value.type).shape
    array = np.broadcast_to(splat, shape) if splat is not None else np.array(value)
    data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    name = f"__buffer_{hashlib.sha256(data.tobytes()).hexdigest()[:16]}"
    program.constants[name] = data
    rodata = Emitter(op)("rodata", op.result.type, name=ir.StringAttr.get(name))
    op.result.replace_all_uses_with(rodata)
    op.erase()
