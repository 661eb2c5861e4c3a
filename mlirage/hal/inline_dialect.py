"""The hal_inline and hal_loader dialects: programs that compute in the call, without devices, queues or fences.

Every op is one call of the runtime's native module of the same name (runtime/src/hal_inline_module,
runtime/src/hal_loader_module), with operands as told in mlirage/hal/dialect.py. All memory is host memory
(`!util.buffer`); what the program does happens in the program's order. Sizes, offsets and lengths are bytes.
"""

from collections.abc import Sequence

from mlirage.hal.dialect import I32, Index, UtilBuffer
from mlirage.mlir import ext, ir


class HalBufferView(ir.Type):
    """Constraint `!hal.buffer_view`: IRDL refers to another dialect's type by name only."""

    type_name = "hal.buffer_view"


class HalExecutable(ir.Type):
    """Constraint `!hal.executable`."""

    type_name = "hal.executable"


class HalInline(ext.Dialect, name="hal_inline"):
    """Host memory, and what crosses the boundary of public functions."""


class BufferAllocateOp(HalInline.Operation, name="buffer_allocate"):
    """New memory of `size` bytes with unspecified contents, aligned to 64."""

    result: ext.Result[UtilBuffer]
    size: ext.Operand[Index]


class ParameterLoadOp(HalInline.Operation, name="parameter_load"):
    """The memory of parameters, as `hal.parameter_load`."""

    result: ext.Result[UtilBuffer]
    program: ext.Operand[UtilBuffer]
    scope: ext.Operand[UtilBuffer]
    size: ext.Operand[Index]
    keys: Sequence[ext.Operand[UtilBuffer]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]


class BufferViewCreateOp(HalInline.Operation, name="buffer_view_create"):
    """A view of a range of memory with `element_type` (docs/module-format.md) and `shape`."""

    result: ext.Result[HalBufferView]
    buffer: ext.Operand[UtilBuffer]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]
    element_type: ext.Operand[I32]
    shape: Sequence[ext.Operand[Index]]


class BufferViewAssertOp(HalInline.Operation, name="buffer_view_assert"):
    """Fails, naming `message`, unless the view has `element_type` and `shape` (-1: any extent)."""

    view: ext.Operand[HalBufferView]
    message: ext.Operand[UtilBuffer]
    element_type: ext.Operand[I32]
    shape: Sequence[ext.Operand[Index]]


class BufferViewAssertDistinctOp(HalInline.Operation, name="buffer_view_assert_distinct"):
    """Fails, naming `message`, if `view` has memory in common with one of `others`."""

    view: ext.Operand[HalBufferView]
    message: ext.Operand[UtilBuffer]
    others: Sequence[ext.Operand[HalBufferView]]


class BufferViewBufferOp(HalInline.Operation, name="buffer_view_buffer"):
    """The memory behind a view."""

    result: ext.Result[UtilBuffer]
    view: ext.Operand[HalBufferView]


class BufferViewDimOp(HalInline.Operation, name="buffer_view_dim"):
    """Extent of dimension `index` of a view."""

    result: ext.Result[Index]
    view: ext.Operand[HalBufferView]
    index: ext.Operand[I32]


class DispatchOp(HalInline.Operation, name="dispatch"):
    """Runs entry point `symbol` of the kernels linked into the host program: number `ordinal` of their table.

    Called as function `dispatch` of a native module that the program names, see docs/architecture.md.
    """

    symbol: ir.StringAttr
    ordinal: ext.Operand[I32]
    workgroup_x: ext.Operand[Index]
    workgroup_y: ext.Operand[Index]
    workgroup_z: ext.Operand[Index]
    constants: Sequence[ext.Operand[I32]]
    buffers: Sequence[ext.Operand[UtilBuffer]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]


class HalLoader(ext.Dialect, name="hal_loader"):
    """Kernels that are part of the module file."""


class ExecutableQuerySupportOp(HalLoader.Operation, name="executable_query_support", traits=[ext.Pure]):
    """1 if executables of `format` can be loaded, else 0."""

    result: ext.Result[I32]
    format: ext.Operand[UtilBuffer]


class ExecutableLoadOp(HalLoader.Operation, name="executable_load"):
    """Loads an executable library of `format` from `data`."""

    result: ext.Result[HalExecutable]
    format: ext.Operand[UtilBuffer]
    data: ext.Operand[UtilBuffer]


class ExecutableDispatchOp(HalLoader.Operation, name="executable_dispatch"):
    """Runs entry point `ordinal` over workgroup_x × y × z workgroups, one after the other.

    Binding i is `buffers[i][offsets[i] : offsets[i] + lengths[i]]`; `constants` are the 32-bit words of the dispatch.
    """

    executable: ext.Operand[HalExecutable]
    ordinal: ext.Operand[I32]
    workgroup_x: ext.Operand[Index]
    workgroup_y: ext.Operand[Index]
    workgroup_z: ext.Operand[Index]
    constants: Sequence[ext.Operand[I32]]
    buffers: Sequence[ext.Operand[UtilBuffer]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]
