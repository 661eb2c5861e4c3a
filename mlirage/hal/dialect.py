"""The hal dialect: the program against the device abstraction of the runtime.

Every op is one call of the runtime's native module `hal` (runtime/src/hal_module): the operands in the declared order,
attributes as constants after them. The VM sees index and i64 as i64, i1..i32 as i32, reference types as ref. Absent
fences are null references (`util.null`). Sizes, offsets and lengths are bytes.
"""

from collections.abc import Sequence
from typing import Any

from mlirage.mlir import ext, ir

I32 = ir.IntegerType[32]
I64 = ir.IntegerType[64]
Index = ir.IndexType
# Of the program's module after `executable-targets`: entry point -> JSON text (hal-collect-dispatch-statistics).
DISPATCHES = "mlirage.dispatches"


class UtilBuffer(ir.Type):
    """Constraint `!util.buffer`: IRDL refers to another dialect's type by name only."""

    type_name = "util.buffer"


class Hal(ext.Dialect, name="hal"):
    """Devices, buffers, command buffers, executables, fences."""


class Device(Hal.Type, name="device"):
    """A logical device."""


class Buffer(Hal.Type, name="buffer"):
    """Device memory."""


class BufferView(Hal.Type, name="buffer_view"):
    """A buffer range with element type and shape: what crosses the boundary of a public function."""


class CommandBuffer(Hal.Type, name="command_buffer"):
    """A recorded list of commands; buffers are named by slots of a binding table given at execution."""


class Executable(Hal.Type, name="executable"):
    """A loaded library of entry points."""


class Fence(Hal.Type, name="fence"):
    """A point in a device's time: waited on and signalled by queue operations."""


class DeviceGetOp(Hal.Operation, name="device_get", traits=[ext.Pure]):
    """The device with number `ordinal` of the context."""

    result: ext.Result[Device]
    ordinal: ext.Operand[I64]


class DeviceSupportsOp(Hal.Operation, name="device_supports", traits=[ext.Pure]):
    """1 if the device can load executables of `format` (`embedded-elf-x86_64:+avx2,+fma`), else 0."""

    result: ext.Result[I32]
    device: ext.Operand[Device]
    format: ext.Operand[UtilBuffer]


class ExecutableCreateOp(Hal.Operation, name="executable_create"):
    """Loads an executable library of `format` from `data`."""

    result: ext.Result[Executable]
    device: ext.Operand[Device]
    format: ext.Operand[UtilBuffer]
    data: ext.Operand[UtilBuffer]


class AllocatorImportOp(Hal.Operation, name="allocator_import"):
    """A buffer over `source[offset : offset + length]`: shares the memory where the device can, copies otherwise."""

    result: ext.Result[Buffer]
    device: ext.Operand[Device]
    source: ext.Operand[UtilBuffer]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]


class ParameterLoadOp(Hal.Operation, name="parameter_load"):
    """A buffer of `size` bytes with the parameters `scope::keys[i]` of `lengths[i]` bytes at `offsets[i]`.

    It shares the memory where the parameters lie like that already (the file that the compiler wrote), and copies
    otherwise. `program` says for which program they were made.
    """

    result: ext.Result[Buffer]
    device: ext.Operand[Device]
    program: ext.Operand[UtilBuffer]
    scope: ext.Operand[UtilBuffer]
    size: ext.Operand[Index]
    keys: Sequence[ext.Operand[UtilBuffer]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]


class AllocatorAllocateOp(Hal.Operation, name="allocator_allocate"):
    """A new buffer of `size` bytes with unspecified contents: results and variables."""

    result: ext.Result[Buffer]
    device: ext.Operand[Device]
    size: ext.Operand[Index]


class QueueAllocaOp(Hal.Operation, name="device_queue_alloca"):
    """A transient buffer of `size` bytes, usable after `signal`; pooled by the device."""

    result: ext.Result[Buffer]
    device: ext.Operand[Device]
    wait: ext.Operand[Fence]
    signal: ext.Operand[Fence]
    size: ext.Operand[Index]


class QueueDeallocaOp(Hal.Operation, name="device_queue_dealloca"):
    """Gives a transient buffer back to its pool after `wait`."""

    device: ext.Operand[Device]
    wait: ext.Operand[Fence]
    signal: ext.Operand[Fence]
    buffer: ext.Operand[Buffer]


class QueueExecuteOp(Hal.Operation, name="device_queue_execute"):
    """Executes `command_buffer` after `wait`, then signals `signal`.

    Slot i of the command buffer is `buffers[i][offsets[i] : offsets[i] + lengths[i]]`.
    """

    device: ext.Operand[Device]
    wait: ext.Operand[Fence]
    signal: ext.Operand[Fence]
    command_buffer: ext.Operand[CommandBuffer]
    buffers: Sequence[ext.Operand[Buffer]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]


class QueueSubmitOp(Hal.Operation, name="device_queue_submit"):
    """As `device_queue_execute`, but back before the work is done, where the device has a thread to do it."""

    device: ext.Operand[Device]
    wait: ext.Operand[Fence]
    signal: ext.Operand[Fence]
    command_buffer: ext.Operand[CommandBuffer]
    buffers: Sequence[ext.Operand[Buffer]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]


class QueueBarrierOp(Hal.Operation, name="device_queue_barrier"):
    """Signals `signal` once `wait` is signalled, with its failure if it has one."""

    device: ext.Operand[Device]
    wait: ext.Operand[Fence]
    signal: ext.Operand[Fence]


class FenceCreateOp(Hal.Operation, name="fence_create"):
    """A fence not yet signalled."""

    result: ext.Result[Fence]
    device: ext.Operand[Device]


class FenceJoinOp(Hal.Operation, name="fence_join"):
    """A fence signalled when all `fences` are; null ones count as signalled."""

    result: ext.Result[Fence]
    fences: Sequence[ext.Operand[Fence]]


class FenceAwaitOp(Hal.Operation, name="fence_await"):
    """Waits until `fence` is signalled (the invocation suspends); fails with the status of failed work."""

    fence: ext.Operand[Fence]


class CommandBufferCreateOp(Hal.Operation, name="command_buffer_create"):
    """A command buffer in recording state. `one_shot` (i32): 1 if executed once, 0 if replayed."""

    result: ext.Result[CommandBuffer]
    device: ext.Operand[Device]
    one_shot: ext.Operand[I32]
    binding_capacity: ext.Operand[I32]


class CommandBufferFinalizeOp(Hal.Operation, name="command_buffer_finalize"):
    """Ends recording."""

    command_buffer: ext.Operand[CommandBuffer]


class CommandBufferBarrierOp(Hal.Operation, name="command_buffer_execution_barrier"):
    """What is recorded after starts when everything recorded before has completed."""

    command_buffer: ext.Operand[CommandBuffer]


class CommandBufferFillOp(Hal.Operation, name="command_buffer_fill_buffer"):
    """Fills a range of slot `target` with the low `pattern_length` (1, 2, 4, 8) bytes of `pattern`."""

    command_buffer: ext.Operand[CommandBuffer]
    target: ext.Operand[I32]
    target_offset: ext.Operand[Index]
    length: ext.Operand[Index]
    pattern: ext.Operand[I64]
    pattern_length: ext.Operand[I32]


class CommandBufferCopyOp(Hal.Operation, name="command_buffer_copy_buffer"):
    """Copies `length` bytes between slots; the ranges do not overlap."""

    command_buffer: ext.Operand[CommandBuffer]
    source: ext.Operand[I32]
    source_offset: ext.Operand[Index]
    target: ext.Operand[I32]
    target_offset: ext.Operand[Index]
    length: ext.Operand[Index]


class CommandBufferDispatchOp(Hal.Operation, name="command_buffer_dispatch"):
    """Dispatches entry point `entry_ordinal` over workgroup_x × y × z workgroups.

    `constants` are the 32-bit words of the dispatch; binding i is the range `offsets[i]`, `lengths[i]` of slot
    `slots[i]` of the binding table.
    """

    command_buffer: ext.Operand[CommandBuffer]
    executable: ext.Operand[Executable]
    entry_ordinal: ext.Operand[I32]
    workgroup_x: ext.Operand[Index]
    workgroup_y: ext.Operand[Index]
    workgroup_z: ext.Operand[Index]
    constants: Sequence[ext.Operand[I32]]
    slots: Sequence[ext.Operand[I32]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]


class BufferLengthOp(Hal.Operation, name="buffer_length"):
    """Byte length of a buffer."""

    result: ext.Result[Index]
    buffer: ext.Operand[Buffer]


class BufferSubspanOp(Hal.Operation, name="buffer_subspan"):
    """A reference to a range of `buffer` that keeps it alive."""

    result: ext.Result[Buffer]
    buffer: ext.Operand[Buffer]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]


class BufferLoadOp(Hal.Operation, name="buffer_load"):
    """`length` (1, 2, 4, 8) bytes at `offset` as the low bits of an i64, zero-extended; waits for nothing."""

    result: ext.Result[I64]
    buffer: ext.Operand[Buffer]
    offset: ext.Operand[Index]
    length: ext.Operand[I32]


class BufferStoreOp(Hal.Operation, name="buffer_store"):
    """Stores the low `length` (1, 2, 4, 8) bytes of `value` at `offset`."""

    value: ext.Operand[I64]
    buffer: ext.Operand[Buffer]
    offset: ext.Operand[Index]
    length: ext.Operand[I32]


class BufferViewCreateOp(Hal.Operation, name="buffer_view_create"):
    """A view of a range of `buffer` with `element_type` (docs/module-format.md) and `shape`."""

    result: ext.Result[BufferView]
    buffer: ext.Operand[Buffer]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]
    element_type: ext.Operand[I32]
    shape: Sequence[ext.Operand[Index]]


class BufferViewAssertOp(Hal.Operation, name="buffer_view_assert"):
    """Fails, naming `message`, unless the view has `element_type` and `shape` (-1: any extent)."""

    view: ext.Operand[BufferView]
    message: ext.Operand[UtilBuffer]
    element_type: ext.Operand[I32]
    shape: Sequence[ext.Operand[Index]]


class BufferViewAssertDistinctOp(Hal.Operation, name="buffer_view_assert_distinct"):
    """Fails, naming `message`, if `view` has memory in common with one of `others`."""

    view: ext.Operand[BufferView]
    message: ext.Operand[UtilBuffer]
    others: Sequence[ext.Operand[BufferView]]


class BufferViewBufferOp(Hal.Operation, name="buffer_view_buffer"):
    """The range of memory behind a view, as a buffer."""

    result: ext.Result[Buffer]
    view: ext.Operand[BufferView]


class BufferViewDimOp(Hal.Operation, name="buffer_view_dim"):
    """Extent of dimension `index` of a view."""

    result: ext.Result[Index]
    view: ext.Operand[BufferView]
    index: ext.Operand[I32]


# Inside executables, between the phases executable-sources and executable-targets: what an entry point is given.


class InterfaceBindingSubspanOp(Hal.Operation, name="interface_binding_subspan", traits=[ext.Pure]):
    """Binding number `binding` as a contiguous row-major memref; `dims` are its dynamic extents, outermost first."""

    result: ext.Result[Any]
    binding: ir.IntegerAttr
    dims: Sequence[ext.Operand[ir.IndexType]]

    def verify_invariants(self) -> bool:
        memref = ir.MemRefType(self.result.type)
        dynamic = sum(memref.is_dynamic_dim(i) for i in range(memref.rank))
        if dynamic != len(list(self.dims)):
            self.location.emit_error(f"hal.interface_binding_subspan: {dynamic} dynamic dims need as many operands")
            return False
        return True


class InterfaceConstantLoadOp(Hal.Operation, name="interface_constant_load", traits=[ext.Pure]):
    """Scalar operand number `ordinal` of the dispatch, decoded from its 32-bit words that start at `word`."""

    result: ext.Result[Any]
    ordinal: ir.IntegerAttr
    word: ir.IntegerAttr
