"""hal ops as calls of the runtime's native module `hal`.

    %b = hal.buffer_subspan %a, %o, %n  ->  %b = vm.call_import(%a, %o, %n) {function = "hal.buffer_subspan",
                                                                           convention = "rII_r"}

The calling convention follows from the fields of the op's class: a list is a repeated group.
"""

from __future__ import annotations

import functools
from typing import Any, get_args

from mlirage.hal.dialect import Hal
from mlirage.mlir import ext, ir
from mlirage.vm.dialect import CallImportOp
from mlirage.vm.emitter import Emitter


@functools.cache
def conventions() -> dict[str, str]:
    """The calling convention of every hal op, by the op's name."""
    return {cls.OPERATION_NAME: _convention_of(cls) for cls in Hal.operations}


def _convention_of(op_class: Any) -> str:
    operands, _, results, _ = ext.partition_fields(op_class._fields)
    arguments = "".join(
        f"[{_letter(item.constraint)}]" if item.variadicity == ext.Variadicity.variadic else _letter(item.constraint)
        for item in operands
    )
    return f"{arguments}_{''.join(_letter(item.constraint) for item in results)}"


def _letter(constraint: Any) -> str:
    """The kind of values that satisfy a type constraint."""
    if constraint is ir.IndexType:
        return "I"
    if get_args(constraint):  # ir.IntegerType[32]
        return "i" if get_args(constraint)[0] <= 32 else "I"
    return "r"


def repetitions_of(op: ir.Operation) -> list[int]:
    """How often each group of an op's convention is repeated."""
    operands, *_ = ext.partition_fields(next(cls for cls in Hal.operations if op.name == cls.OPERATION_NAME)._fields)
    lists = [item.variadicity == ext.Variadicity.variadic for item in operands]
    if sum(lists) == 1:
        return [len(op.operands) - len(lists) + 1]
    if not any(lists):
        return []
    sizes = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    return [size for size, is_list in zip(sizes, lists, strict=True) if is_list]


def convert_hal_op(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """Replaces an op of the hal dialect."""
    call = CallImportOp(
        [result.type for result in op.results],
        list(op.operands),
        ir.StringAttr.get(op.name),
        ir.StringAttr.get(conventions()[op.name]),
        ir.DenseI32ArrayAttr.get(repetitions_of(op)),
        loc=emit.location,
        ip=ir.InsertionPoint(op),
    )
    return list(call.operation.results)
