"""The host program as instructions of the virtual machine.

    %0 = arith.addi %a, %b : index          ->  %0 = "vm.add_i64"(%a, %b)
    %1 = util.global_load @state            ->  %1 = "vm.global_load_ref"() {symbol = @state}
    %3 = func.call @filters.scale(%a)       ->  %3 = "vm.call_import"(%a) {function = "filters.scale", …}
    %2 = hal.buffer_length %1               ->  %2 = "vm.call_import"(%1) {function = "hal.buffer_length", …}
    cf.assert %ok, "message"                ->  "vm.assert"(%ok) {status = 8, message = "message"}

Works on the functions of the program's own module; those of executables are gone or not the host's. Functions, calls,
branches and globals stay as they are; functions without a body are those of other modules. Types stay too: the kind of
a value's register follows from its type.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, func, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.vm import convert_arith as arith
from mlirage.vm import convert_util as util
from mlirage.vm.convert_arith import Unsupported
from mlirage.vm.convert_hal import conventions, convert_hal_op
from mlirage.vm.dialect import CallImportOp, kind_of
from mlirage.vm.emitter import Emitter

STATUS_ABORTED = 8  # mlirage_status_t
KEPT = {"func.return", "func.call", "cf.br", "cf.cond_br", "cf.switch"}


def _convert_assert(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    status = ir.IntegerAttr.get(emit.i32, STATUS_ABORTED)
    emit("assert", None, op.operands[0], status=status, message=op.attributes["msg"])
    return []


def _convert_microkernel(op: ir.Operation, emit: Emitter) -> list[ir.Value]:
    names = [ir.StringAttr(op.attributes[key]) for key in ("function", "convention")]
    CallImportOp(
        [], list(op.operands), *names, op.attributes["repetitions"], loc=emit.location, ip=ir.InsertionPoint(op)
    )
    return []


def _call_external(op: ir.Operation, type_: ir.FunctionType) -> None:
    """A call of a function that another module provides: its symbol is `module.function`."""
    kinds = ["".join(kind_of(item) for item in types) for types in (type_.inputs, type_.results)]
    call = CallImportOp(
        list(type_.results),
        list(op.operands),
        ir.StringAttr.get(ir.FlatSymbolRefAttr(op.attributes["callee"]).value),
        ir.StringAttr.get("_".join(kinds)),
        ir.DenseI32ArrayAttr.get([]),
        loc=op.location,
        ip=ir.InsertionPoint(op),
    )
    for old, new in zip(op.results, call.operation.results, strict=True):
        old.replace_all_uses_with(new)
    op.erase()


_HANDLERS = arith.HANDLERS | util.HANDLERS | {"cf.assert": _convert_assert, "vmvx.call": _convert_microkernel}


def host_functions(module: ir.Module) -> Iterator[func.FuncOp]:
    """The functions of the host program."""
    return (op for op in module.body.operations if isinstance(op, func.FuncOp))


@module_pass("vm-convert-to-vm")
def convert_to_vm(program: Program) -> None:
    """Replaces arithmetic, globals, assertions and hal ops of the host program by vm ops.

    Raises:
      CompileError: lists every op that the virtual machine cannot do.
    """
    failures: list[str] = []
    externals = {
        function.name.value: function.type for function in host_functions(program.module) if function.is_external
    }
    for function in host_functions(program.module):
        for op in list(walk(function.operation)):
            if op.name == "func.call" and ir.FlatSymbolRefAttr(op.attributes["callee"]).value in externals:
                _call_external(op, externals[ir.FlatSymbolRefAttr(op.attributes["callee"]).value])
                continue
            if op.name in KEPT or op.name.startswith("vm."):
                continue
            if op.name == "util.buffer_constant":
                util.name_constants(program, op)
                continue
            try:
                results = _convert(op)
            except (Unsupported, TypeError) as error:
                failures.append(f"{describe_location(op.location)}: {op.name}: {error}")
                continue
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(new)
            op.erase()
    if failures:
        raise CompileError("the host program holds what the virtual machine cannot run:\n  " + "\n  ".join(failures))


def _convert(op: ir.Operation) -> list[ir.Value]:
    emit = Emitter(op)
    if op.name in conventions():
        return convert_hal_op(op, emit)
    if op.name not in _HANDLERS:
        raise Unsupported("no such instruction")
    return _HANDLERS[op.name](op, emit)
