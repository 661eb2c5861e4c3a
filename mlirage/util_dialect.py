"""The util dialect: module-level state shared by the flow, stream and hal phases."""

from typing import Any

from mlirage.mlir import ext, ir


class Util(ext.Dialect, name="util"):
    """Globals and read-only data of a program."""


class Buffer(Util.Type, name="buffer"):
    """Host memory: read-only data of the module or a byte buffer."""


class List(Util.Type, name="list"):
    """Values of any kind by position; grows and shrinks."""


class _Reads(ir.MemoryEffectsOpInterface):
    """A read of module state or of a buffer: merged and removed by cse only between writes."""

    @staticmethod
    def get_effects(op: Any, effects: Any) -> None:
        effects.append(ir.MemoryEffect.Read)


class GlobalOp(Util.Operation, name="global"):
    """Module-level variable `@sym_name` of `type`.

    `is_mutable` (i1) tells whether anything but the initializer may store. An optional attribute `initial_value`
    (integer or float) starts scalars; references start null and are set by the function marked `mlirage.initializer`.
    """

    sym_name: ir.StringAttr
    type: ir.TypeAttr
    is_mutable: ir.IntegerAttr


class GlobalLoadOp(Util.Operation, name="global_load", traits=[_Reads]):
    """The value of the global `symbol`."""

    result: ext.Result[Any]
    symbol: ir.FlatSymbolRefAttr


class GlobalStoreOp(Util.Operation, name="global_store"):
    """Sets the global `symbol` to `value`."""

    value: ext.Operand[Any]
    symbol: ir.FlatSymbolRefAttr


class RodataOp(Util.Operation, name="rodata", traits=[ext.Pure]):
    """Read-only bytes of the module by name: the entry `name` of the program's constants."""

    result: ext.Result[Buffer]
    name: ir.StringAttr


class NullOp(Util.Operation, name="null", traits=[ext.Pure]):
    """A null reference of the result's type."""

    result: ext.Result[Any]


# Buffers. Offsets and lengths are index values in bytes; what does not fit fails when it runs.


class BufferAllocOp(Util.Operation, name="buffer_alloc"):
    """A new mutable buffer of `length` bytes, all zero."""

    result: ext.Result[Buffer]
    length: ext.Operand[ir.IndexType]


class BufferConstantOp(Util.Operation, name="buffer_constant", traits=[ext.Pure]):
    """Read-only bytes that the op itself holds: `value` is a dense tensor of i8."""

    result: ext.Result[Buffer]
    value: Any


class BufferCloneOp(Util.Operation, name="buffer_clone"):
    """A new mutable buffer with a copy of the range."""

    result: ext.Result[Buffer]
    source: ext.Operand[Buffer]
    offset: ext.Operand[ir.IndexType]
    length: ext.Operand[ir.IndexType]


class BufferSliceOp(Util.Operation, name="buffer_slice", traits=[ext.Pure]):
    """The range of a buffer as a buffer over the same bytes."""

    result: ext.Result[Buffer]
    source: ext.Operand[Buffer]
    offset: ext.Operand[ir.IndexType]
    length: ext.Operand[ir.IndexType]


class BufferLengthOp(Util.Operation, name="buffer_length", traits=[ext.Pure]):
    """The number of bytes of a buffer."""

    result: ext.Result[ir.IndexType]
    buffer: ext.Operand[Buffer]


class BufferCompareOp(Util.Operation, name="buffer_compare", traits=[_Reads]):
    """Whether the bytes at two places are equal over `length`."""

    result: ext.Result[ir.IntegerType[1]]
    left: ext.Operand[Buffer]
    left_offset: ext.Operand[ir.IndexType]
    right: ext.Operand[Buffer]
    right_offset: ext.Operand[ir.IndexType]
    length: ext.Operand[ir.IndexType]


class BufferFillOp(Util.Operation, name="buffer_fill"):
    """Fills a range with a scalar of 8, 16, 32 or 64 bits; `length` is a multiple of its size."""

    target: ext.Operand[Buffer]
    offset: ext.Operand[ir.IndexType]
    length: ext.Operand[ir.IndexType]
    value: ext.Operand[Any]


class BufferCopyOp(Util.Operation, name="buffer_copy"):
    """Copies `length` bytes; the ranges may overlap."""

    source: ext.Operand[Buffer]
    source_offset: ext.Operand[ir.IndexType]
    target: ext.Operand[Buffer]
    target_offset: ext.Operand[ir.IndexType]
    length: ext.Operand[ir.IndexType]


class BufferLoadOp(Util.Operation, name="buffer_load", traits=[_Reads]):
    """The scalar at `offset`: integers (i1 as a byte) and floats of up to 64 bits, of any alignment."""

    result: ext.Result[Any]
    source: ext.Operand[Buffer]
    offset: ext.Operand[ir.IndexType]


class BufferStoreOp(Util.Operation, name="buffer_store"):
    """Writes a scalar at `offset`; an i1 or i4 as a byte."""

    value: ext.Operand[Any]
    target: ext.Operand[Buffer]
    offset: ext.Operand[ir.IndexType]


# Lists. An element has the kind of the value that was put there last; a new one is the null reference.


class ListCreateOp(Util.Operation, name="list_create"):
    """A new empty list."""

    result: ext.Result[List]


class ListSizeOp(Util.Operation, name="list_size", traits=[_Reads]):
    """The number of elements."""

    result: ext.Result[ir.IndexType]
    list: ext.Operand[List]


class ListResizeOp(Util.Operation, name="list_resize"):
    """Drops elements at the end, or adds null references."""

    list: ext.Operand[List]
    size: ext.Operand[ir.IndexType]


class ListGetOp(Util.Operation, name="list_get", traits=[_Reads]):
    """The element at `index`, which must be of the kind of the result: i32, i64, f32, f64 or a reference."""

    result: ext.Result[Any]
    list: ext.Operand[List]
    index: ext.Operand[ir.IndexType]


class ListSetOp(Util.Operation, name="list_set"):
    """Puts `value` at `index`."""

    list: ext.Operand[List]
    index: ext.Operand[ir.IndexType]
    value: ext.Operand[Any]
