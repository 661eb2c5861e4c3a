"""Ops of hal, hal_inline and hal_loader as calls of the runtime's native modules of these names.

    %b = hal.buffer_subspan %a, %o, %n  ->  %b = vm.call_import(%a, %o, %n) {function = "hal.buffer_subspan",
                                                                           convention = "rII_r"}

The calling convention follows from the fields of the op's class: a list is a repeated group. `hal_inline.dispatch`
alone is a function of another module: of the kernels that are linked into the host program.
"""

from __future__ import annotations

import functools
from typing import Any, get_args

from mlirage.hal.dialect import Hal
from mlirage.hal.inline_dialect import DispatchOp, HalInline, HalLoader
from mlirage.mlir import ext, ir
from mlirage.module_file import ModuleFile
from mlirage.vm.dialect import CallImportOp
from mlirage.vm.emitter import Emitter

DIALECTS: tuple[Any, ...] = (Hal, HalInline, HalLoader)
DEFAULT_MODULE_NAME = ModuleFile().name


@functools.cache
def conventions() -> dict[str, str]:
    """The calling convention of every op of these dialects, by the op's name."""
    return {name: _convention_of(cls) for name, cls in _classes().items()}


@functools.cache
def _classes() -> dict[str, Any]:
    return {cls.OPERATION_NAME: cls for dialect in DIALECTS for cls in dialect.operations}


def kernel_module(module_name: str) -> str:
    """The native module with the kernels of a module that are linked into the host program."""
    return f"{module_name}_executables"


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
    operands, *_ = ext.partition_fields(_classes()[op.name]._fields)
    lists = [item.variadicity == ext.Variadicity.variadic for item in operands]
    if sum(lists) == 1:
        return [len(op.operands) - len(lists) + 1]
    if not any(lists):
        return []
    sizes = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    return [size for size, is_list in zip(sizes, lists, strict=True) if is_list]


def convert_hal_op(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    """Replaces an op of one of the dialects."""
    call = CallImportOp(
        [result.type for result in op.results],
        list(op.operands),
        ir.StringAttr.get(_function(op)),
        ir.StringAttr.get(conventions()[op.name]),
        ir.DenseI32ArrayAttr.get(repetitions_of(op)),
        loc=emit.location,
        ip=ir.InsertionPoint(op),
    )
    return list(call.operation.results)


def _function(op: ir.Operation) -> str:
    if op.name != DispatchOp.OPERATION_NAME:
        return op.name
    module = op.parent
    while module is not None and module.name != "builtin.module":
        module = module.parent
    assert module is not None
    named = "sym_name" in module.attributes
    name = ir.StringAttr(module.attributes["sym_name"]).value if named else DEFAULT_MODULE_NAME
    return f"{kernel_module(name)}.dispatch"
