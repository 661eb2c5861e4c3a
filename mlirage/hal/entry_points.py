"""What the host program knows of the executables: which entry point is which, how many workgroups a dispatch has.

Shared by the conversions to `hal` and to `hal_inline`: executables are loaded by the initializer, the first variant
that the machine supports; the count function of an entry point (`@e_workgroup_count`) is inlined at each dispatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlirage.errors import CompileError
from mlirage.hal import dialect as hal
from mlirage.mlir import arith, cf, func, ir
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.util_dialect import Buffer as UtilBuffer
from mlirage.util_dialect import GlobalOp, GlobalStoreOp, NullOp, RodataOp

VARIANTS, ENTRIES = "hal.executable.variants", "hal.executable.entries"
COUNT_SUFFIX = "_workgroup_count"


@dataclass(frozen=True)
class EntryPoint:
    """An entry point: its executable, its ordinal there, its symbol and the function that counts its workgroups."""

    library: str
    ordinal: int
    symbol: str
    count: func.FuncOp


@dataclass(frozen=True)
class Loading:
    """How executables are loaded: a condition (i1) on a format, and an executable of a format and data."""

    supports: Callable[[ir.Value], ir.Value]
    load: Callable[[ir.Value, ir.Value], ir.Value]


class Executables:
    """The executables of a program after `executable-targets`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.modules = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in program.module.body.operations
            if op.operation.name == "builtin.module" and ENTRIES in op.operation.attributes
        }
        self.used: list[str] = []

    def entry(self, reference: ir.SymbolRefAttr) -> EntryPoint:
        """The entry point that a dispatch names; its executable is used from then on.

        Raises:
          CompileError: it has not been translated.
        """
        library, name = reference.value
        if library not in self.modules:
            raise CompileError(f"executable @{library} of entry point @{name} has not been translated")
        module = self.modules[library]
        entries = [ir.StringAttr(entry).value for entry in ir.ArrayAttr(module.attributes[ENTRIES])]
        count = next(
            (
                op
                for op in module.regions[0].blocks[0].operations
                if isinstance(op, func.FuncOp) and op.name.value == name + COUNT_SUFFIX
            ),
            None,
        )
        if name not in entries or count is None:
            raise CompileError(f"executable @{library} has no entry point @{name}{COUNT_SUFFIX if not count else ''}")
        if library not in self.used:
            self.used.append(library)
        return EntryPoint(library, entries.index(name), name, count)

    def load(self, loading: Loading) -> None:
        """Declares a global for every used executable and loads it, at the insertion point."""
        for library in self.used:
            with ir.InsertionPoint.at_block_begin(self.program.module.body):
                kind = ir.TypeAttr.get(hal.Executable.get())
                GlobalOp(ir.StringAttr.get(global_name(library)), kind, ir.BoolAttr.get(False))
            variants = [ir.DictAttr(v) for v in ir.ArrayAttr(self.modules[library].attributes[VARIANTS])]
            value = self._load_first_supported(loading, library, variants, variants)
            GlobalStoreOp(value, ir.FlatSymbolRefAttr.get(global_name(library)))

    def _load_first_supported(
        self, loading: Loading, library: str, variants: list[ir.DictAttr], everything: list[ir.DictAttr]
    ) -> ir.Value:
        kind = hal.Executable.get()
        if not variants:
            formats = ", ".join(ir.StringAttr(v["format"]).value for v in everything)
            false = arith.ConstantOp(ir.IntegerType.get_signless(1), 0).result
            cf.AssertOp(false, f"the device supports none of the formats of @{library}: {formats}")
            return NullOp(kind).result
        format_ = self._text(ir.StringAttr(variants[0]["format"]).value)
        choice = ir.Operation.create("scf.if", [kind], [loading.supports(format_)], regions=2)
        with ir.InsertionPoint(choice.regions[0].blocks.append()):
            data = RodataOp(UtilBuffer.get(), variants[0]["data"]).result
            ir.Operation.create("scf.yield", operands=[loading.load(format_, data)])
        with ir.InsertionPoint(choice.regions[1].blocks.append()):
            other = self._load_first_supported(loading, library, variants[1:], everything)
            ir.Operation.create("scf.yield", operands=[other])
        return choice.results[0]

    def _text(self, text: str) -> ir.Value:
        name = f"format: {text}"
        self.program.constants[name] = np.frombuffer(text.encode(), np.uint8)
        return RodataOp(UtilBuffer.get(), ir.StringAttr.get(name)).result

    def erase_count_functions(self) -> None:
        """Every dispatch has computed its workgroup counts."""
        for module in self.modules.values():
            for op in list(module.regions[0].blocks[0].operations):
                op.operation.erase()


def global_name(library: str) -> str:
    """The global that holds a loaded executable."""
    return f"__executable_{library}"


def dispatch_operands(
    dispatch: stream.CmdDispatchOp, scalars: Sequence[ir.Value], count: func.FuncOp
) -> tuple[list[ir.Value], list[ir.Value]]:
    """The workgroup counts x, y, z and the 32-bit words of the constants; `scalars` are those of the dispatch."""
    types = [ir.TypeAttr(kind).value for kind in dispatch.scalar_types]
    pairs = list(zip(scalars, types, strict=True))
    groups = _inline(count, [_from_bits(scalar, kind) for scalar, kind in pairs], dispatch.operation)
    return groups, [word for scalar, kind in pairs for word in _words(scalar, kind)]


def _from_bits(bits: ir.Value, kind: ir.Type) -> ir.Value:
    """The scalar of type `kind` whose bits `bits` (i64) holds."""
    if isinstance(kind, ir.IndexType):
        return arith.IndexCastOp(kind, bits).result
    assert isinstance(kind, ir.IntegerType | ir.FloatType)
    width = kind.width
    if width < 64:
        bits = arith.TruncIOp(ir.IntegerType.get_signless(width), bits).result
    return arith.BitcastOp(kind, bits).result if isinstance(kind, ir.FloatType) else bits


def _words(bits: ir.Value, kind: ir.Type) -> list[ir.Value]:
    """The 32-bit words of a scalar (runtime/include/mlirage/executable.h): two from 33 bits on, low first."""
    word = ir.IntegerType.get_signless(32)
    low = arith.TruncIOp(word, bits).result
    if isinstance(kind, ir.IntegerType | ir.FloatType) and kind.width <= 32:
        return [low]
    shift = arith.ConstantOp(bits.type, 32).result
    return [low, arith.TruncIOp(word, arith.ShRUIOp(bits, shift).result).result]


def _inline(count: func.FuncOp, scalars: list[ir.Value], dispatch: ir.Operation) -> list[ir.Value]:
    """The body of a workgroup count function on `scalars`: three counts."""
    block = count.entry_block
    if len(block.arguments) != len(scalars):
        raise CompileError(
            f"{dispatch.location}: @{count.name.value} takes {len(block.arguments)} scalars, "
            f"the dispatch has {len(scalars)}"
        )
    values: dict[ir.Value, ir.Value] = dict(zip(block.arguments, scalars, strict=True))
    for op in [o.operation for o in block.operations]:
        if op.name == "func.return":
            return [values[operand] for operand in op.operands]
        new = op.clone()
        for number, operand in enumerate(op.operands):
            new.operation.operands[number] = values[operand]
        for old_result, result in zip(op.results, new.operation.results, strict=True):
            values[old_result] = result
    raise AssertionError(f"@{count.name.value} returns nothing")
