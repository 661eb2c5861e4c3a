"""How hal-convert-to-hal makes command buffers of regions.

A region whose commands are the same at every call (constant offsets, lengths, patterns, scalars, and so workgroup
counts) is recorded once, when the module is loaded, and replayed with the call's buffers in its slots:

    util.global @__command_buffer_0 : !hal.command_buffer
    func.func private @__init() attributes {mlirage.initializer} {
      %c = hal.command_buffer_create %device, 0, 2
      hal.command_buffer_dispatch %c, %executable, 3, …slots 0 and 1…
      hal.command_buffer_finalize %c
      util.global_store %c @__command_buffer_0

Others are recorded where they are executed. The resources of a region are its slots. Executables are loaded by the
initializer: the first variant that the device supports.
"""

from __future__ import annotations

import numpy as np

from mlirage.errors import CompileError
from mlirage.hal import dialect as hal
from mlirage.mlir import arith, cf, func, ir, walk
from mlirage.program import Program
from mlirage.util_dialect import Buffer as UtilBuffer
from mlirage.util_dialect import GlobalLoadOp, GlobalOp, GlobalStoreOp, NullOp, RodataOp

VARIANTS, ENTRIES = "hal.executable.variants", "hal.executable.entries"
_COUNT_SUFFIX = "_workgroup_count"
_DEVICE = "__device"


class Recorder:
    """Records the command buffers of a program and loads its executables."""

    def __init__(self, program: Program, initializer: ir.Operation) -> None:
        self.program = program
        self.module = program.module
        self.initializer = initializer
        self.executables = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in self.module.body.operations
            if op.operation.name == "builtin.module" and ENTRIES in op.operation.attributes
        }
        self.used: list[str] = []
        self.memoized = 0

    def command_buffer(self, execute: ir.Operation, device: ir.Value) -> ir.Value:
        """The command buffer of a `cmd_execute`, at the current insertion point."""
        if _function_of(execute) == self.initializer or not _is_static(execute):
            return _Recording(self, execute, device, one_shot=True).build()
        name = f"__command_buffer_{self.memoized}"
        self.memoized += 1
        symbol = ir.FlatSymbolRefAttr.get(name)
        with ir.InsertionPoint.at_block_begin(self.module.body):
            GlobalOp(ir.StringAttr.get(name), ir.TypeAttr.get(hal.CommandBuffer.get()), ir.BoolAttr.get(False))
        end = list(self.initializer.regions[0].blocks[0].operations)[-1]
        with ir.InsertionPoint(end):
            same_device = GlobalLoadOp(hal.Device.get(), ir.FlatSymbolRefAttr.get(_DEVICE)).result
            GlobalStoreOp(_Recording(self, execute, same_device, one_shot=False).build(), symbol)
        return GlobalLoadOp(hal.CommandBuffer.get(), symbol).result

    def entry(self, reference: ir.SymbolRefAttr) -> tuple[ir.Value, int, func.FuncOp]:
        """The executable of an entry point (its global, loaded), the entry's ordinal, its workgroup count function."""
        library, name = reference.value
        if library not in self.executables:
            raise CompileError(f"executable @{library} of entry point @{name} has not been translated")
        module = self.executables[library]
        entries = [ir.StringAttr(entry).value for entry in ir.ArrayAttr(module.attributes[ENTRIES])]
        count = next(
            (
                op
                for op in module.regions[0].blocks[0].operations
                if isinstance(op, func.FuncOp) and op.name.value == name + _COUNT_SUFFIX
            ),
            None,
        )
        if name not in entries or count is None:
            raise CompileError(f"executable @{library} has no entry point @{name}{_COUNT_SUFFIX if not count else ''}")
        if library not in self.used:
            self.used.append(library)
        load = GlobalLoadOp(hal.Executable.get(), ir.FlatSymbolRefAttr.get(_global_name(library))).result
        return load, entries.index(name), count

    def load_executables(self) -> None:
        """Loads the executables that command buffers use, right after the device is known."""
        entry = self.initializer.regions[0].blocks[0]
        operations = list(entry.operations)
        store = next(op for op in operations if op.operation.name == "util.global_store")
        device = store.operation.operands[0]
        with ir.InsertionPoint(operations[operations.index(store) + 1]), self.initializer.location:
            for library in self.used:
                with ir.InsertionPoint.at_block_begin(self.module.body):
                    kind = ir.TypeAttr.get(hal.Executable.get())
                    GlobalOp(ir.StringAttr.get(_global_name(library)), kind, ir.BoolAttr.get(False))
                variants = [ir.DictAttr(v) for v in ir.ArrayAttr(self.executables[library].attributes[VARIANTS])]
                value = self._load_first_supported(device, library, variants, variants)
                GlobalStoreOp(value, ir.FlatSymbolRefAttr.get(_global_name(library)))

    def _load_first_supported(
        self, device: ir.Value, library: str, variants: list[ir.DictAttr], everything: list[ir.DictAttr]
    ) -> ir.Value:
        kind = hal.Executable.get()
        if not variants:
            formats = ", ".join(ir.StringAttr(v["format"]).value for v in everything)
            false = arith.ConstantOp(ir.IntegerType.get_signless(1), 0).result
            cf.AssertOp(false, f"the device supports none of the formats of @{library}: {formats}")
            return NullOp(kind).result
        format_ = self._text(ir.StringAttr(variants[0]["format"]).value)
        supported = hal.DeviceSupportsOp(ir.IntegerType.get_signless(32), device, format_).result
        zero = arith.ConstantOp(ir.IntegerType.get_signless(32), 0).result
        condition = arith.CmpIOp(arith.CmpIPredicate.ne, supported, zero).result
        choice = ir.Operation.create("scf.if", [kind], [condition], regions=2)
        with ir.InsertionPoint(choice.regions[0].blocks.append()):
            data = RodataOp(UtilBuffer.get(), variants[0]["data"]).result
            loaded = hal.ExecutableCreateOp(kind, device, format_, data).result
            ir.Operation.create("scf.yield", operands=[loaded])
        with ir.InsertionPoint(choice.regions[1].blocks.append()):
            other = self._load_first_supported(device, library, variants[1:], everything)
            ir.Operation.create("scf.yield", operands=[other])
        return choice.results[0]

    def _text(self, text: str) -> ir.Value:
        name = f"format: {text}"
        self.program.constants[name] = np.frombuffer(text.encode(), np.uint8)
        return RodataOp(UtilBuffer.get(), ir.StringAttr.get(name)).result

    def erase_count_functions(self) -> None:
        """Every dispatch has computed its workgroup counts."""
        for module in self.executables.values():
            for op in list(module.regions[0].blocks[0].operations):
                op.operation.erase()


def _global_name(library: str) -> str:
    return f"__executable_{library}"


def _function_of(op: ir.Operation) -> ir.Operation:
    while op.name != "func.func":
        assert op.parent is not None
        op = op.parent.operation
    return op


def _is_constant(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "arith.constant"


def _is_static(execute: ir.Operation) -> bool:
    """Whether everything that commands say, but the buffers, is constant."""
    return all(
        _is_constant(operand) or (isinstance(operand.owner, ir.Block) and operand.owner.owner == execute)
        for op in walk(execute)
        for operand in op.operands
    )


class _Recording:
    """Records the commands of one region at the insertion point."""

    def __init__(self, recorder: Recorder, execute: ir.Operation, device: ir.Value, one_shot: bool) -> None:
        self.recorder = recorder
        self.execute = execute
        self.device = device
        self.one_shot = one_shot
        self.block = execute.regions[0].blocks[0]
        self.slots = {argument: number for number, argument in enumerate(self.block.arguments)}
        self.constants: dict[ir.Attribute, ir.Value] = {}

    def build(self) -> ir.Value:
        kind = hal.CommandBuffer.get()
        with self.execute.location:
            one_shot = self._i32(int(self.one_shot))
            capacity = self._i32(len(self.slots))
            self.commands = hal.CommandBufferCreateOp(kind, self.device, one_shot, capacity).result
        needs_barrier = False
        for op in [o.operation for o in self.block.operations][:-1]:
            with op.location:
                if needs_barrier:
                    hal.CommandBufferBarrierOp(self.commands)
                needs_barrier = True
                if op.name != "stream.cmd_concurrent":
                    self._record(op)
                    continue
                for inner in [o.operation for o in op.regions[0].blocks[0].operations][:-1]:
                    with inner.location:
                        self._record(inner)
        with self.execute.location:
            hal.CommandBufferFinalizeOp(self.commands)
        return self.commands

    def _record(self, op: ir.Operation) -> None:
        view = op.opview
        if op.name == "stream.cmd_dispatch":
            self._dispatch(op)
        elif op.name == "stream.cmd_copy":
            hal.CommandBufferCopyOp(
                self.commands,
                self._slot(view.source),
                self._value(view.source_offset),
                self._slot(view.target),
                self._value(view.target_offset),
                self._value(view.length),
            )
        elif op.name == "stream.cmd_fill":
            i64, width = ir.IntegerType.get_signless(64), ir.IntegerType(view.pattern.type).width
            pattern = self._value(view.pattern)
            if width < 64:
                pattern = arith.ExtUIOp(i64, pattern).result
            target, offset, length = self._slot(view.target), self._value(view.offset), self._value(view.length)
            hal.CommandBufferFillOp(self.commands, target, offset, length, pattern, self._i32(width // 8))
        else:
            raise AssertionError(f"{op.name} is no command")

    def _dispatch(self, op: ir.Operation) -> None:
        view = op.opview
        executable, ordinal, count = self.recorder.entry(view.entry)
        types = [ir.TypeAttr(kind).value for kind in view.scalar_types]
        scalars = [self._value(scalar) for scalar in view.scalars]
        narrow = [_from_bits(scalar, kind) for scalar, kind in zip(scalars, types, strict=True)]
        groups = _inline(count, narrow, op)
        words = [word for scalar, kind in zip(scalars, types, strict=True) for word in _words(scalar, kind)]
        hal.CommandBufferDispatchOp(
            self.commands,
            executable,
            self._i32(ordinal),
            *groups,
            words,
            [self._slot(resource) for resource in view.resources],
            [self._value(offset) for offset in view.offsets],
            [self._value(length) for length in view.lengths],
        )

    def _slot(self, argument: ir.Value) -> ir.Value:
        return self._i32(self.slots[argument])

    def _value(self, value: ir.Value) -> ir.Value:
        """A value that commands use: constants are made anew, so that the recording may stand anywhere."""
        if not _is_constant(value):
            return value
        return self._constant(value.type, ir.OpResult(value).owner.attributes["value"])

    def _i32(self, value: int) -> ir.Value:
        kind = ir.IntegerType.get_signless(32)
        return self._constant(kind, ir.IntegerAttr.get(kind, value))

    def _constant(self, kind: ir.Type, attribute: ir.Attribute) -> ir.Value:
        if attribute not in self.constants:
            self.constants[attribute] = arith.ConstantOp(kind, attribute).result  # pyright: ignore[reportArgumentType]
        return self.constants[attribute]


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
