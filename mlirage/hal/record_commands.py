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

from mlirage.hal import dialect as hal
from mlirage.hal.entry_points import EntryPoint, Executables, Loading, dispatch_operands, global_name
from mlirage.mlir import arith, ir, walk
from mlirage.program import Program
from mlirage.util_dialect import GlobalLoadOp, GlobalOp, GlobalStoreOp

_DEVICE = "__device"


class Recorder:
    """Records the command buffers of a program and loads its executables."""

    def __init__(self, program: Program, initializer: ir.Operation) -> None:
        self.program = program
        self.module = program.module
        self.initializer = initializer
        self.executables = Executables(program)
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

    def entry(self, reference: ir.SymbolRefAttr) -> tuple[ir.Value, EntryPoint]:
        """An entry point and its executable, loaded from the global that holds it."""
        entry = self.executables.entry(reference)
        symbol = ir.FlatSymbolRefAttr.get(global_name(entry.library))
        return GlobalLoadOp(hal.Executable.get(), symbol).result, entry

    def load_executables(self) -> None:
        """Loads the executables that command buffers use, right after the device is known."""
        operations = list(self.initializer.regions[0].blocks[0].operations)
        store = next(op for op in operations if op.operation.name == "util.global_store")
        device = store.operation.operands[0]

        def supports(format_: ir.Value) -> ir.Value:
            i32 = ir.IntegerType.get_signless(32)
            supported = hal.DeviceSupportsOp(i32, device, format_).result
            return arith.CmpIOp(arith.CmpIPredicate.ne, supported, arith.ConstantOp(i32, 0).result).result

        def load(format_: ir.Value, data: ir.Value) -> ir.Value:
            return hal.ExecutableCreateOp(hal.Executable.get(), device, format_, data).result

        with ir.InsertionPoint(operations[operations.index(store) + 1]), self.initializer.location:
            self.executables.load(Loading(supports, load))


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
        executable, entry = self.recorder.entry(view.entry)
        groups, words = dispatch_operands(view, [self._value(scalar) for scalar in view.scalars], entry.count)
        hal.CommandBufferDispatchOp(
            self.commands,
            executable,
            self._i32(entry.ordinal),
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
