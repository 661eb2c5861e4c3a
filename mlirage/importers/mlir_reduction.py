"""Parts of an MLIR program as programs: for `mlirage reduce`.

A part is some of the ops of the functions' bodies. What a left-out op made becomes an argument of the function; results
that are arguments go, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlirage.errors import ImportFailure
from mlirage.mlir import func, ir, new_context


class MlirParts:
    """The parts of a program.

    Args:
      path: of MLIR text or bytecode.

    Raises:
      ImportFailure: it does not parse.
    """

    def __init__(self, path: Path) -> None:
        self.context = new_context()
        try:
            self.module = ir.Module.parseFile(str(path), self.context)
        except ir.MLIRError as error:
            raise ImportFailure(f"{path}: {error}") from error

    def elements(self) -> list[int]:
        """The numbers of the ops in the bodies of functions."""
        return list(range(len(_ops(self.module))))

    def part(self, numbers: Sequence[int]) -> bytes | None:
        """The program with these ops alone; None if it is not valid."""
        kept = set(numbers)
        with self.context, ir.Location.unknown():
            module = ir.Module.parse(self.module.operation.get_asm(enable_debug_info=True))
            # From the last to the first: who reads a value goes before it.
            ops = _ops(module)
            for number in reversed(range(len(ops))):
                if number not in kept:
                    _leave_out(ops[number])
            for op in module.body.operations:
                if isinstance(op, func.FuncOp) and not op.is_external:
                    _tidy(op)
            try:
                module.operation.verify()
            except ir.MLIRError:
                return None
            return module.operation.get_asm(enable_debug_info=True).encode()

    def describe(self, numbers: Sequence[int]) -> list[str]:
        """The names of ops."""
        ops = _ops(self.module)
        return [ops[number].name for number in numbers]


def _ops(module: ir.Module) -> list[ir.Operation]:
    functions = [op for op in module.body.operations if isinstance(op, func.FuncOp) and not op.is_external]
    return [op.operation for function in functions for op in list(function.entry_block.operations)[:-1]]


def _leave_out(op: ir.Operation) -> None:
    block = op.block
    for result in op.results:
        if list(result.uses):
            result.replace_all_uses_with(block.add_argument(result.type, op.location))
    op.erase()


def _tidy(function: func.FuncOp) -> None:
    """Results that are arguments go, and arguments that nobody reads; the function's type follows."""
    block = function.entry_block
    terminator = list(block.operations)[-1].operation
    if terminator.name != "func.return":
        return
    kept = [value for value in terminator.operands if not isinstance(value.owner, ir.Block)]
    if len(kept) != len(terminator.operands) and _is_called(function):
        kept = list(terminator.operands)
    with ir.InsertionPoint(terminator), terminator.location:
        func.return_(kept)
    terminator.erase()
    if not _is_called(function):
        for number in reversed(range(len(block.arguments))):
            if not list(block.arguments[number].uses):
                block.erase_argument(number)
    types = ([argument.type for argument in block.arguments], [value.type for value in kept])
    function.operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*types))
    for name in ("arg_attrs", "res_attrs", "mlirage.signature"):
        if name in function.operation.attributes:
            del function.operation.attributes[name]


def _is_called(function: func.FuncOp) -> bool:
    attributes = function.operation.attributes
    return "sym_visibility" in attributes and ir.StringAttr(attributes["sym_visibility"]).value != "public"
