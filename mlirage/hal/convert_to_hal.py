"""hal-convert-to-hal: resources become buffers, timepoints fences, and stream ops calls of the runtime.

    %a, %t = stream.resource_alloca(%before) %size       %t = hal.fence_create %device
                                                         %a = hal.device_queue_alloca %device, %before, %t, %size
    %u = stream.cmd_execute(%t) with %a, %x {…}    ─>    %c = util.global_load @__command_buffer_0
                                                         %u = hal.fence_create %device
                                                         hal.device_queue_execute %device, %t, %u, %c, [%a, %x]
    stream.timepoint_await %u                            hal.fence_await %u
    %w = stream.resource_constant %size {"__constants"}  %w = hal.allocator_import %device, "__constants", 0, %size
      … with mlirage.parameters on the module            %w = hal.parameter_load %device, "program", "model", %size, […]
    %v = stream.tensor_export %r, %size, %d              %v = hal.buffer_view_create %r, 0, %size, f32, %d

The device is number 0 of those given to the module, kept in a global. How regions become command buffers is told in
mlirage/hal/record_commands.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mlirage.hal import dialect as hal
from mlirage.hal.initializer import ensure_initializer
from mlirage.hal.record_commands import Recorder
from mlirage.mlir import arith, func, ir, walk
from mlirage.parameter_file import Parameters, parameters_of
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.util_dialect import Buffer as UtilBuffer
from mlirage.util_dialect import GlobalLoadOp, GlobalOp, GlobalStoreOp, NullOp, RodataOp

DEVICE = "__device"


@module_pass("hal-convert-to-hal")
def convert_to_hal(program: Program) -> None:
    """Converts every host function."""
    module = program.module
    functions: list[func.FuncOp] = [op for op in module.body.operations if isinstance(op, func.FuncOp)]
    if not any(_needs_device(op) for f in functions for op in walk(f.operation)):
        return
    initializer = ensure_initializer(module)
    recorder = Recorder(program, initializer)
    for function in functions:
        if function.operation != initializer:
            _Function(function.operation, recorder).convert()
    _Function(initializer, recorder).convert()
    _declare_device(module, initializer)
    recorder.load_executables()
    for op in module.body.operations:
        if op.operation.name == "util.global":
            kind = ir.TypeAttr(op.operation.attributes["type"]).value
            op.operation.attributes["type"] = ir.TypeAttr.get(_convert_type(kind))
    recorder.executables.erase_count_functions()


def _needs_device(op: ir.Operation) -> bool:
    return op.name.startswith(("stream.", "hal."))


def _declare_device(module: ir.Module, initializer: ir.Operation) -> None:
    """The device is the first thing that the initializer gets."""
    with ir.InsertionPoint.at_block_begin(module.body), ir.Location.name("initializer"):
        GlobalOp(ir.StringAttr.get(DEVICE), ir.TypeAttr.get(hal.Device.get()), ir.BoolAttr.get(False))
    with ir.InsertionPoint.at_block_begin(initializer.regions[0].blocks[0]), initializer.location:
        ordinal = arith.ConstantOp(ir.IntegerType.get_signless(64), 0).result
        device = hal.DeviceGetOp(hal.Device.get(), ordinal).result
        GlobalStoreOp(device, ir.FlatSymbolRefAttr.get(DEVICE))
    for op in list(walk(initializer)):
        if op.name == "util.global_load" and ir.FlatSymbolRefAttr(op.attributes["symbol"]).value == DEVICE:
            op.results[0].replace_all_uses_with(device)
            op.erase()


def _convert_type(old: ir.Type) -> ir.Type:
    if isinstance(old, stream.Resource):
        return hal.Buffer.get()
    return hal.Fence.get() if isinstance(old, stream.Timepoint) else old


def index(value: int) -> ir.Value:
    """An index constant."""
    return arith.ConstantOp(ir.IndexType.get(), value).result


def i32(value: int) -> ir.Value:
    """An i32 constant."""
    return arith.ConstantOp(ir.IntegerType.get_signless(32), value).result


class _Function:
    """Converts one function in place."""

    def __init__(self, function: ir.Operation, recorder: Recorder) -> None:
        self.function = function
        self.recorder = recorder
        self.entry = function.regions[0].blocks[0]
        self._device: ir.Value | None = None
        self.has_fences = any(op.name == "stream.timepoint_import" for op in walk(function))
        self.signalled: list[ir.Operation] = []  # timepoint_signal ops that their work does itself

    @property
    def device(self) -> ir.Value:
        """The device, loaded once at the start of the function."""
        if self._device is None:
            with ir.InsertionPoint.at_block_begin(self.entry), self.function.location:
                self._device = GlobalLoadOp(hal.Device.get(), ir.FlatSymbolRefAttr.get(DEVICE)).result
        return self._device

    def convert(self) -> None:
        """Sets the types of what stays, and replaces stream ops."""
        old = ir.FunctionType(ir.TypeAttr(self.function.attributes["function_type"]).value)
        inputs, results = ([_convert_type(t) for t in types] for types in (old.inputs, old.results))
        self.function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, results))
        operations = list(_host_ops(self.function))
        for op in (self.function, *operations):
            if op.name == "stream.cmd_execute":
                continue
            for region in op.regions:
                for block in region.blocks:
                    for argument in block.arguments:
                        argument.set_type(_convert_type(argument.type))
        for op in operations:
            for result in op.results:
                result.set_type(_convert_type(result.type))
        for op in operations:
            conversion = _CONVERSIONS.get(op.name)
            if conversion is None:
                assert not op.name.startswith("stream."), f"{op.name} has no form in hal"
                continue
            with ir.InsertionPoint(op), op.location:
                results = conversion(self, op)
            for old_result, new in zip(op.results, results, strict=True):
                old_result.replace_all_uses_with(new)
            op.erase()

    def null_fence(self) -> ir.Value:
        """No fence: already reached, or of interest to nobody."""
        return NullOp(hal.Fence.get()).result

    def fence(self) -> ir.Value:
        """A new fence."""
        return hal.FenceCreateOp(hal.Fence.get(), self.device).result


def _host_ops(op: ir.Operation) -> Iterator[ir.Operation]:
    """Ops of a function, those of command regions excluded."""
    for region in op.regions:
        for block in region.blocks:
            for inner in [o.operation for o in block.operations]:
                yield inner
                if inner.name != "stream.cmd_execute":
                    yield from _host_ops(inner)


def _import(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [hal.BufferViewBufferOp(hal.Buffer.get(), op.operands[0]).result]


def _export(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    if stream.STORAGE in op.attributes:
        return [f.entry.arguments[ir.IntegerAttr(op.attributes[stream.STORAGE]).value]]
    encoding = ir.RankedTensorType(view.encoding.value)
    dynamic = iter(view.dims)
    shape = [
        next(dynamic) if encoding.is_dynamic_dim(axis) else index(encoding.get_dim_size(axis))
        for axis in range(encoding.rank)
    ]
    number = i32(view.element_type.value)
    return [hal.BufferViewCreateOp(hal.BufferView.get(), view.source, index(0), view.size, number, shape).result]


def _alloc(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [hal.AllocatorAllocateOp(hal.Buffer.get(), f.device, op.operands[0]).result]


def _alloca(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    done = f.fence()
    buffer = hal.QueueAllocaOp(hal.Buffer.get(), f.device, view.await_timepoint, done, view.size).result
    return [buffer, done]


def _dealloca(f: _Function, op: ir.Operation) -> list[ir.Value]:
    hal.QueueDeallocaOp(f.device, op.operands[0], f.null_fence(), op.operands[1])
    return []


def _constant(f: _Function, op: ir.Operation) -> list[ir.Value]:
    if (parameters := parameters_of(op)) is not None:
        return [_parameters(f, op, parameters)]
    data = RodataOp(UtilBuffer.get(), op.attributes["name"]).result
    return [hal.AllocatorImportOp(hal.Buffer.get(), f.device, data, index(0), op.operands[0]).result]


def _parameters(f: _Function, op: ir.Operation, parameters: Parameters) -> ir.Value:
    def text(value: str) -> ir.Value:
        name = f"parameter: {value}"
        f.recorder.program.constants[name] = np.frombuffer(value.encode(), np.uint8)
        return RodataOp(UtilBuffer.get(), ir.StringAttr.get(name)).result

    tensors = parameters.tensors
    return hal.ParameterLoadOp(
        hal.Buffer.get(),
        f.device,
        text(parameters.program),
        text(parameters.scope),
        op.operands[0],
        [text(tensor.key) for tensor in tensors],
        [index(tensor.offset) for tensor in tensors],
        [index(tensor.length) for tensor in tensors],
    ).result


def _load(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    kind = op.results[0].type
    is_float = isinstance(kind, ir.FloatType)
    width = kind.width
    length = i32(max(1, width // 8))
    bits = hal.BufferLoadOp(ir.IntegerType.get_signless(64), view.source, view.offset, length).result
    if isinstance(kind, ir.IntegerType) and width == 1:
        zero = arith.ConstantOp(bits.type, 0).result
        return [arith.CmpIOp(arith.CmpIPredicate.ne, bits, zero).result]
    if width < 64:
        bits = arith.TruncIOp(ir.IntegerType.get_signless(width), bits).result
    return [arith.BitcastOp(kind, bits).result if is_float else bits]


def _subview(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    return [hal.BufferSubspanOp(hal.Buffer.get(), view.source, view.offset, view.length).result]


def _cast(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [op.operands[0]]


def _immediate(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [f.null_fence()]


def _await(f: _Function, op: ir.Operation) -> list[ir.Value]:
    hal.FenceAwaitOp(op.operands[0])
    return []


def _import_timepoint(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [op.operands[0]]


def _signal(f: _Function, op: ir.Operation) -> list[ir.Value]:
    if op not in f.signalled:
        hal.QueueBarrierOp(f.device, op.operands[0], op.operands[1])
    return []


def _execute(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    buffers, sizes, wait = list(view.resources), list(view.resource_sizes), view.await_timepoint
    command_buffer = f.recorder.command_buffer(op, f.device)
    users = [use.owner.operation for use in op.results[0].uses]
    signal = next((user for user in users if user.name == "stream.timepoint_signal" and user.block == op.block), None)
    if signal is not None:  # the work signals the caller's fence itself
        done = signal.operands[1]
        signal.operands[0] = f.null_fence()
        f.signalled.append(signal)
    else:
        done = f.fence()
    zero = index(0)
    awaited = any(user.name == "stream.timepoint_await" for user in users)
    submit = hal.QueueSubmitOp if f.has_fences and not awaited else hal.QueueExecuteOp
    submit(f.device, wait, done, command_buffer, buffers, [zero] * len(buffers), sizes)
    return [done]


_CONVERSIONS: dict[str, Callable[[_Function, ir.Operation], list[ir.Value]]] = {
    "stream.cmd_execute": _execute,
    "stream.resource_alloc": _alloc,
    "stream.resource_alloca": _alloca,
    "stream.resource_cast": _cast,
    "stream.resource_constant": _constant,
    "stream.resource_dealloca": _dealloca,
    "stream.resource_load": _load,
    "stream.resource_subview": _subview,
    "stream.tensor_export": _export,
    "stream.tensor_import": _import,
    "stream.timepoint_await": _await,
    "stream.timepoint_immediate": _immediate,
    "stream.timepoint_import": _import_timepoint,
    "stream.timepoint_signal": _signal,
}
