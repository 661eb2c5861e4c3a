"""The util dialect: module-level state shared by the flow, stream and hal phases."""

from typing import Any

from mlirage.mlir import ext, ir


class Util(ext.Dialect, name="util"):
    """Globals and read-only data of a program."""


class Buffer(Util.Type, name="buffer"):
    """Host memory: read-only data of the module or a byte buffer."""


class _ReadsGlobal(ir.MemoryEffectsOpInterface):
    """A read of module state: merged and removed by cse only between writes."""

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


class GlobalLoadOp(Util.Operation, name="global_load", traits=[_ReadsGlobal]):
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
