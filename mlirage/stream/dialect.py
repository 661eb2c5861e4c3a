"""The stream dialect: resources with lifetimes, work with timepoints, and one plan of memory.

Three forms follow one another within the phase:

* `async_*` ops have value semantics: every op makes new values; a *tied* result is a new version of an operand.
* `async_execute` regions hold the async work that is submitted together and yield a timepoint.
* `cmd_*` ops inside `cmd_execute` regions read and write ranges of allocated resources; nothing is a value any more.

Sizes, offsets and lengths are bytes, as index values. Ops that follow one another directly in a `cmd_execute` region
are separated by a barrier; the ops of a `cmd_concurrent` region run in any order or at the same time.

Lifetimes are `*` until memory is allocated, and stay so inside of regions: what a region works on has one type.
"""

from collections.abc import Sequence
from typing import Any

from mlirage.mlir import ext, ir

Index = ir.IndexType

# Attribute of a `tensor_export`: the number of the function's argument, a view, whose memory the result is written to.
STORAGE = "stream.storage"

# Discardable attribute of a dispatch: what it writes of its results (`written_parts`).
PARTS = "stream.parts"

LIFETIMES = ("*", "external", "constant", "variable", "transient", "staging")


class HalBufferView(ir.Type):
    """Constraint `!hal.buffer_view`: IRDL refers to another dialect's type by name only."""

    type_name = "hal.buffer_view"


class HalFence(ir.Type):
    """Constraint `!hal.fence`."""

    type_name = "hal.fence"


class Stream(ext.Dialect, name="stream"):
    """Asynchronous work on resources."""


class Resource(Stream.Type, name="resource"):
    """Bytes with a lifetime: `external constant variable transient staging`, or `*` before it is known.

    external: lives in a buffer of its own that the caller of the function sees; constant: read-only, in the module's
    slab; variable: module state; transient: within the function; staging: also accessed by the host.
    """

    lifetime: ir.StringAttr


class Resources(Stream.Type):
    """Constraint: resources of one lifetime. IRDL binds a variadic list to the type of its first element."""

    _dialect_name = "stream"
    _name = "resource"
    type_name = "stream.resource"


class Timepoint(Stream.Type, name="timepoint"):
    """A point in the device's time."""


def resource_type(lifetime: str = "*") -> ir.Type:
    """The type `!stream.resource<lifetime>`."""
    return Resource.get(ir.StringAttr.get(lifetime))


def is_resource(value: ir.Value) -> bool:
    """Whether `value` is a resource."""
    return isinstance(value.type, Resource)


def lifetime_of(value: ir.Value) -> str:
    """The lifetime in the type of a resource."""
    return ir.StringAttr(Resource(value.type).lifetime).value


def _fail(op: Any, message: str) -> bool:
    op.location.emit_error(f"{op.operation.name}: {message}")
    return False


# At the boundary of public functions.


class TensorImportOp(Stream.Operation, name="tensor_import", traits=[ext.Pure]):
    """The memory behind a buffer view given by the caller: only read."""

    result: ext.Result[Resource]
    view: ext.Operand[HalBufferView]
    size: ext.Operand[Index]


class TensorExportOp(Stream.Operation, name="tensor_export", traits=[ext.Pure]):
    """A resource as a buffer view of the tensor type `encoding`, whose dynamic extents are `dims`.

    `element_type` is the number of the element type in buffer views. With an attribute `stream.storage` the result is
    the view that is the argument of that number: the resource lies in its memory.
    """

    result: ext.Result[HalBufferView]
    source: ext.Operand[Resource]
    size: ext.Operand[Index]
    dims: Sequence[ext.Operand[Index]]
    encoding: ir.TypeAttr
    element_type: ir.IntegerAttr

    def verify_invariants(self) -> bool:
        shape = ir.RankedTensorType(self.encoding.value)
        dynamic = sum(shape.is_dynamic_dim(i) for i in range(shape.rank))
        return dynamic == len(list(self.dims)) or _fail(self, f"{dynamic} dynamic dims need as many operands")


# Async form: values.


class AsyncAllocaOp(Stream.Operation, name="async_alloca", traits=[ext.Pure]):
    """`size` bytes of unspecified contents."""

    result: ext.Result[Resource]
    size: ext.Operand[Index]


class AsyncConstantOp(Stream.Operation, name="async_constant", traits=[ext.Pure]):
    """The array `name` of the program's constants."""

    result: ext.Result[Resource]
    size: ext.Operand[Index]
    name: ir.StringAttr


class AsyncSplatOp(Stream.Operation, name="async_splat", traits=[ext.Pure]):
    """`size` bytes that repeat the integer `pattern` (i8, i16, i32, i64)."""

    result: ext.Result[Resource]
    pattern: ext.Operand[Any]
    size: ext.Operand[Index]


class AsyncCloneOp(Stream.Operation, name="async_clone"):
    """A copy of `source` that nothing else refers to; not pure, so that two clones never become one."""

    result: ext.Result[Resource]
    source: ext.Operand[Resource]
    size: ext.Operand[Index]


class AsyncSliceOp(Stream.Operation, name="async_slice", traits=[ext.Pure]):
    """A copy of `source[offset : offset + length]`."""

    result: ext.Result[Resource]
    source: ext.Operand[Resource]
    source_size: ext.Operand[Index]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]


class AsyncUpdateOp(Stream.Operation, name="async_update", traits=[ext.Pure]):
    """`target` with `update` at `offset`; the result is tied to `target`."""

    result: ext.Result[Resource]
    target: ext.Operand[Resource]
    target_size: ext.Operand[Index]
    update: ext.Operand[Resource]
    update_size: ext.Operand[Index]
    offset: ext.Operand[Index]


class AsyncFillOp(Stream.Operation, name="async_fill", traits=[ext.Pure]):
    """`target` with `length` bytes at `offset` that repeat `pattern`; the result is tied to `target`."""

    result: ext.Result[Resource]
    target: ext.Operand[Resource]
    target_size: ext.Operand[Index]
    pattern: ext.Operand[Any]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]


class AsyncLoadOp(Stream.Operation, name="async_load", traits=[ext.Pure]):
    """The scalar at `offset` of `source`, read by the host."""

    result: ext.Result[Any]
    source: ext.Operand[Resource]
    source_size: ext.Operand[Index]
    offset: ext.Operand[Index]


class AsyncDispatchOp(Stream.Operation, name="async_dispatch", traits=[ext.Pure]):
    """Runs entry point `entry` (`@executable::@entry`) with `scalars` on ranges of resources.

    A scalar is the bit pattern of a value of its entry in `scalar_types`, zero-extended to i64.
    Operand k is `resources[k][offsets[k] : offsets[k] + lengths[k]]`, k below `argument_count` being the tensor
    arguments of the entry point. `tied` has an index per result: k below `argument_count`: the argument is updated in
    place; k from `argument_count` on: the result is written to that operand's range; -1: a new resource of
    `result_sizes[i]` bytes. A tied result is the next version of the whole resource of its operand.
    """

    results_: Sequence[ext.Result[Resources]]
    entry: ir.SymbolRefAttr
    tied: ir.ArrayAttr
    argument_count: ir.IntegerAttr
    scalar_types: ir.ArrayAttr
    scalars: Sequence[ext.Operand[ir.IntegerType[64]]]
    resources: Sequence[ext.Operand[Resources]]
    resource_sizes: Sequence[ext.Operand[Index]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]
    result_sizes: Sequence[ext.Operand[Index]]

    def verify_invariants(self) -> bool:
        count = len(list(self.resources))
        if not count == len(list(self.resource_sizes)) == len(list(self.offsets)) == len(list(self.lengths)):
            return _fail(self, "each resource needs a size, an offset and a length")
        if not len(self.operation.results) == len(self.tied) == len(list(self.result_sizes)):
            return _fail(self, "each result needs an entry of `tied` and a size")
        tied = tied_operands(self)
        arguments = self.argument_count.value
        if any(k >= count for k in tied):
            return _fail(self, f"`tied` {tied} goes beyond the {count} resources")
        if len(self.scalar_types) != len(list(self.scalars)):
            return _fail(self, "each scalar needs a type")
        used = [k for k in tied if k >= 0]
        if len(set(used)) != len(used) or not set(range(arguments, count)) <= set(used):
            return _fail(self, "each operand is tied once at most, and those that are not arguments are tied")
        return True


def tied_operands(dispatch: Any) -> list[int]:
    """The attribute `tied` of a dispatch as integers."""
    return [ir.IntegerAttr(entry).value for entry in dispatch.tied]


def written_parts(dispatch: Any) -> list[tuple[int, int, int] | None]:
    """For each result the part of it that a dispatch touches: bytes `begin` to `end` of every `period`; None: all."""
    attributes = dispatch.operation.attributes
    if PARTS not in attributes:
        return [None] * len(dispatch.operation.results)
    parts = [tuple(ir.DenseI64ArrayAttr(part)) for part in ir.ArrayAttr(attributes[PARTS])]
    return [(part[0], part[1], part[2]) if part else None for part in parts]


class VariableStoreOp(Stream.Operation, name="variable_store"):
    """The variable `symbol` has the contents of `source` from here on."""

    source: ext.Operand[Resource]
    size: ext.Operand[Index]
    symbol: ir.FlatSymbolRefAttr


class ResourceSubviewOp(Stream.Operation, name="resource_subview", traits=[ext.Pure]):
    """The same memory as `source[offset : offset + length]`."""

    result: ext.Result[Resource]
    source: ext.Operand[Resource]
    source_size: ext.Operand[Index]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]


class ResourceCastOp(Stream.Operation, name="resource_cast", traits=[ext.Pure]):
    """The same memory under another lifetime: where what is owned crosses a region or a function."""

    result: ext.Result[Resource]
    source: ext.Operand[Resource]


# Execution regions.


class TimepointImmediateOp(Stream.Operation, name="timepoint_immediate", traits=[ext.Pure]):
    """The timepoint that is always reached."""

    result: ext.Result[Timepoint]


class TimepointAwaitOp(Stream.Operation, name="timepoint_await"):
    """The host waits for a timepoint."""

    timepoint: ext.Operand[Timepoint]


class TimepointImportOp(Stream.Operation, name="timepoint_import"):
    """The timepoint at which a fence given by the caller is signalled; a null fence is.

    Not pure: it stands for what schedule_execution makes work wait for.
    """

    result: ext.Result[Timepoint]
    fence: ext.Operand[HalFence]


class TimepointSignalOp(Stream.Operation, name="timepoint_signal"):
    """Signals a fence given by the caller when `timepoint` is reached; it fails as the work before it has failed."""

    timepoint: ext.Operand[Timepoint]
    fence: ext.Operand[HalFence]


class AsyncExecuteOp(Stream.Operation, name="async_execute"):
    """Async work submitted together, done after `await_timepoint`; yields what is used outside of it.

    `timepoint` is reached when all of it is done. Attribute `wave` of the ops inside: those of equal wave are
    independent of one another.
    """

    timepoint: ext.Result[Timepoint]
    results_: Sequence[ext.Result[Resources]]
    await_timepoint: ext.Operand[Timepoint]
    body: ext.Region


class YieldOp(Stream.Operation, name="yield", traits=[ir.IsTerminatorTrait]):
    """The results of an `async_execute` region; the end of a `cmd_*` region, without operands."""

    operands_: Sequence[ext.Operand[Resources]]


class CmdExecuteOp(Stream.Operation, name="cmd_execute"):
    """Work on allocated resources, done after `await_timepoint`, reached at `timepoint`.

    The arguments of the region are `resources`, no two the same, sorted by lifetime; `access` has their "r", "w", "rw".
    """

    timepoint: ext.Result[Timepoint]
    await_timepoint: ext.Operand[Timepoint]
    resources: Sequence[ext.Operand[Any]]
    resource_sizes: Sequence[ext.Operand[Index]]
    access: ir.ArrayAttr
    body: ext.Region

    def verify_region_invariants(self) -> bool:
        count = len(list(self.resources))
        if not count == len(list(self.resource_sizes)) == len(self.access) == len(self.body.blocks[0].arguments):
            return _fail(self, "each resource needs a size, an access and a region argument")
        return True


class CmdConcurrentOp(Stream.Operation, name="cmd_concurrent"):
    """Independent work: any order, or at the same time."""

    body: ext.Region


class CmdFillOp(Stream.Operation, name="cmd_fill"):
    """Fills `target[offset : offset + length]` with the integer `pattern`."""

    target: ext.Operand[Resource]
    offset: ext.Operand[Index]
    length: ext.Operand[Index]
    pattern: ext.Operand[Any]


class CmdCopyOp(Stream.Operation, name="cmd_copy"):
    """Copies `length` bytes; the ranges do not overlap."""

    source: ext.Operand[Resource]
    source_offset: ext.Operand[Index]
    target: ext.Operand[Resource]
    target_offset: ext.Operand[Index]
    length: ext.Operand[Index]


class CmdDispatchOp(Stream.Operation, name="cmd_dispatch"):
    """Runs entry point `entry` (`@executable::@entry`): binding k is `resources[k][offsets[k] : … + lengths[k]]`.

    Scalars as in `async_dispatch`. `access` has "r", "w" or "rw" per binding.
    """

    entry: ir.SymbolRefAttr
    access: ir.ArrayAttr
    scalar_types: ir.ArrayAttr
    scalars: Sequence[ext.Operand[ir.IntegerType[64]]]
    resources: Sequence[ext.Operand[Resources]]
    offsets: Sequence[ext.Operand[Index]]
    lengths: Sequence[ext.Operand[Index]]

    def verify_invariants(self) -> bool:
        count = len(list(self.resources))
        if not count == len(list(self.offsets)) == len(list(self.lengths)) == len(self.access):
            return _fail(self, "each binding needs an offset, a length and an access")
        return True


# Allocation.


class ResourceAllocOp(Stream.Operation, name="resource_alloc"):
    """New memory of unspecified contents, usable at once: results and variables."""

    result: ext.Result[Resource]
    size: ext.Operand[Index]


class ResourceAllocaOp(Stream.Operation, name="resource_alloca"):
    """Pooled memory of unspecified contents, usable after `timepoint`; back in the pool when nothing refers to it."""

    result: ext.Result[Resource]
    timepoint: ext.Result[Timepoint]
    await_timepoint: ext.Operand[Timepoint]
    size: ext.Operand[Index]


class ResourceDeallocaOp(Stream.Operation, name="resource_dealloca"):
    """Gives memory of `resource_alloca` back to the pool after `await_timepoint`."""

    await_timepoint: ext.Operand[Timepoint]
    resource: ext.Operand[Resource]
    size: ext.Operand[Index]


class ResourceConstantOp(Stream.Operation, name="resource_constant"):
    """The bytes `name` of the program's constants as device memory, shared where the device can."""

    result: ext.Result[Resource]
    size: ext.Operand[Index]
    name: ir.StringAttr


class ResourceLoadOp(Stream.Operation, name="resource_load"):
    """The scalar at `offset`, read by the host; nothing is waited for."""

    result: ext.Result[Any]
    source: ext.Operand[Resource]
    source_size: ext.Operand[Index]
    offset: ext.Operand[Index]


class ResourcePackOp(Stream.Operation, name="resource_pack", traits=[ext.Pure]):
    """Offsets for slices of sizes known at run time behind a packed static part of `base` bytes.

    Slice i is live in `intervals[2 * i] ..= intervals[2 * i + 1]`; slices live at the same time do not overlap; every
    offset is a multiple of 64. `total` is what all need.
    """

    total: ext.Result[Index]
    offsets: Sequence[ext.Result[Index]]
    base: ext.Operand[Index]
    sizes: Sequence[ext.Operand[Index]]
    intervals: ir.ArrayAttr

    def verify_invariants(self) -> bool:
        count = len(list(self.sizes))
        if len(self.intervals) != 2 * count or len(self.operation.results) != count + 1:
            return _fail(self, f"{count} sizes need as many offsets and intervals")
        return True
