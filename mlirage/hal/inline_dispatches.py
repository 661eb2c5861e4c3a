"""How hal-convert-to-hal-inline calls kernels.

inline-dynamic: they are loaded from the module file by the initializer.

    hal_loader.executable_dispatch %executable, 3, %x, %y, %z, [%words], [%buffers], [%offsets], [%lengths]

inline-static with llvm-cpu: they are linked into the host program.

    hal_inline.dispatch "f", 3, %x, %y, %z, [%words], [%buffers], [%offsets], [%lengths]

inline-static with vmvx-inline: they are functions of the module (docs/architecture.md), called for every workgroup.

    scf.for %i = 0 to %x { func.call @f(%buffers, %words, %i, 0, 0, %x, %y, %z) }
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from mlirage.hal import dialect as hal
from mlirage.hal import inline_dialect as inline
from mlirage.hal.entry_points import Executables, Loading, dispatch_operands, global_name
from mlirage.mlir import arith, func, ir
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.util_dialect import Buffer, BufferSliceOp, GlobalLoadOp

Range = tuple[ir.Value, ir.Value, ir.Value]  # buffer, offset, length


class Dispatcher(Protocol):
    """Calls the kernels of a program."""

    def dispatch(self, view: stream.CmdDispatchOp, scalars: Sequence[ir.Value], ranges: Sequence[Range]) -> None:
        """Runs a dispatch at the insertion point."""
        ...

    def finish(self, initializer: Callable[[], ir.Operation]) -> None:
        """Every dispatch is there: brings in what they need."""
        ...


def make_dispatcher(program: Program) -> Dispatcher:
    """The way of the program's execution model."""
    if program.options.execution_model == "inline-dynamic":
        return _Loaded(program)
    return _Inlined(program) if program.options.target_backend == "vmvx-inline" else _Linked(program)


def _i32(value: int) -> ir.Value:
    return arith.ConstantOp(ir.IntegerType.get_signless(32), value).result


class _Loaded:
    """Kernels in the module file."""

    def __init__(self, program: Program) -> None:
        self.executables = Executables(program)

    def dispatch(self, view: stream.CmdDispatchOp, scalars: Sequence[ir.Value], ranges: Sequence[Range]) -> None:
        entry = self.executables.entry(view.entry)
        symbol = ir.FlatSymbolRefAttr.get(global_name(entry.library))
        executable = GlobalLoadOp(hal.Executable.get(), symbol).result
        groups, words = dispatch_operands(view, scalars, entry.count)
        buffers, offsets, lengths = _columns(ranges)
        inline.ExecutableDispatchOp(executable, _i32(entry.ordinal), *groups, words, buffers, offsets, lengths)

    def finish(self, initializer: Callable[[], ir.Operation]) -> None:
        if self.executables.used:
            block = initializer().regions[0].blocks[0]
            with ir.InsertionPoint.at_block_begin(block), initializer().location:
                self.executables.load(Loading(_supports, _load))
        self.executables.erase_count_functions()


def _supports(format_: ir.Value) -> ir.Value:
    supported = inline.ExecutableQuerySupportOp(ir.IntegerType.get_signless(32), format_).result
    return arith.CmpIOp(arith.CmpIPredicate.ne, supported, _i32(0)).result


def _load(format_: ir.Value, data: ir.Value) -> ir.Value:
    return inline.ExecutableLoadOp(hal.Executable.get(), format_, data).result


class _Linked:
    """Kernels in the host program."""

    def __init__(self, program: Program) -> None:
        self.executables = Executables(program)

    def dispatch(self, view: stream.CmdDispatchOp, scalars: Sequence[ir.Value], ranges: Sequence[Range]) -> None:
        entry = self.executables.entry(view.entry)
        groups, words = dispatch_operands(view, scalars, entry.count)
        symbol = ir.StringAttr.get(entry.symbol)
        inline.DispatchOp(symbol, _i32(entry.ordinal), *groups, words, *_columns(ranges))

    def finish(self, initializer: Callable[[], ir.Operation]) -> None:
        self.executables.erase_count_functions()


class _Inlined:
    """Kernels as functions of the module."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.executables = Executables(program)
        self.functions: dict[tuple[str, str], str] = {}

    def dispatch(self, view: stream.CmdDispatchOp, scalars: Sequence[ir.Value], ranges: Sequence[Range]) -> None:
        entry = self.executables.entry(view.entry)
        groups, words = dispatch_operands(view, scalars, entry.count)
        name = self._function(entry.library, entry.symbol)
        buffers = [_slice(item) for item in ranges]
        i32 = ir.IntegerType.get_signless(32)
        counts = [arith.IndexCastOp(i32, count).result for count in groups]
        ids: list[ir.Value] = []

        def nest(dimension: int) -> None:
            """Loops over the workgroups, x innermost."""
            if dimension < 0:
                func.CallOp([], ir.FlatSymbolRefAttr.get(name), [*buffers, *words, *reversed(ids), *counts])
                return
            if _is_one(groups[dimension]):
                ids.append(_i32(0))
                nest(dimension - 1)
                return
            index = ir.IndexType.get()
            bounds = [arith.ConstantOp(index, 0).result, groups[dimension], arith.ConstantOp(index, 1).result]
            loop = ir.Operation.create("scf.for", operands=bounds, regions=1)
            block = loop.regions[0].blocks.append(index, arg_locs=[loop.location])
            with ir.InsertionPoint(block):
                ids.append(arith.IndexCastOp(i32, block.arguments[0]).result)
                nest(dimension - 1)
                ir.Operation.create("scf.yield")

        nest(2)

    def _function(self, library: str, symbol: str) -> str:
        """The host's name of an entry point."""
        if (library, symbol) not in self.functions:
            taken = {
                ir.StringAttr(op.operation.attributes["sym_name"]).value
                for op in self.program.module.body.operations
                if "sym_name" in op.operation.attributes
            } | set(self.functions.values())
            name, number = symbol, 0
            while name in taken:
                number += 1
                name = f"{symbol}_{number}"
            self.functions[library, symbol] = name
        return self.functions[library, symbol]

    def finish(self, initializer: Callable[[], ir.Operation]) -> None:
        for library, module in self.executables.modules.items():
            for op in list(module.regions[0].blocks[0].operations):
                key = (library, ir.StringAttr(op.operation.attributes["sym_name"]).value)
                if key in self.functions:
                    op.operation.attributes["sym_name"] = ir.StringAttr.get(self.functions[key])
                    op.operation.attributes["sym_visibility"] = ir.StringAttr.get("private")
                    self.program.module.body.append(op)
                else:
                    op.operation.erase()


def _columns(ranges: Sequence[Range]) -> tuple[list[ir.Value], list[ir.Value], list[ir.Value]]:
    return [r[0] for r in ranges], [r[1] for r in ranges], [r[2] for r in ranges]


def _slice(item: Range) -> ir.Value:
    """A buffer that starts where the range does: kernels do not look beyond its length."""
    buffer, offset, length = item
    if _constant(offset) == 0:
        return buffer
    return BufferSliceOp(Buffer.get(), buffer, offset, length).result


def _is_one(value: ir.Value) -> bool:
    return _constant(value) == 1


def _constant(value: ir.Value) -> int | None:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None
    return ir.IntegerAttr(value.owner.operation.attributes["value"]).value
