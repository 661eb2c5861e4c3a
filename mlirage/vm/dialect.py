"""The vm dialect: what the virtual machine computes, as typed SSA ops.

Most ops are opcodes: `vm.add_i32` and the rest are made from runtime/src/vm/vm_opcodes.def, the one table that the
interpreter is made from too. Control flow stays in `func` and `cf`; registers do not exist yet. A value lives in a
register of the kind that its type has:

    kind  register      types
    i     low 32 bits   i1 … i32 (zero-extended), floats of 16 bits and less (their bits)
    I     64 bits       i33 … i64 (zero-extended), index
    f F   32, 64 bits   f32, f64
    r     reference     every other type
"""

import types
from collections.abc import Sequence
from typing import Any

from mlirage.mlir import ext, ir
from mlirage.vm.opcodes import KINDS, Opcode, opcodes


class Vm(ext.Dialect, name="vm"):
    """Instructions of the virtual machine."""


def kind_of(type_: ir.Type) -> str:
    """The letter of the register kind of values of `type_`.

    Raises:
      TypeError: the virtual machine has no scalars of this type.
    """
    if isinstance(type_, ir.IntegerType):
        if type_.width <= 64:
            return "i" if type_.width <= 32 else "I"
    elif isinstance(type_, ir.IndexType):
        return "I"
    elif isinstance(type_, ir.F32Type):
        return "f"
    elif isinstance(type_, ir.F64Type):
        return "F"
    elif isinstance(type_, ir.FloatType) and type_.width <= 16:
        return "i"
    elif isinstance(type_, ir.DynamicType) or not isinstance(type_, (ir.FloatType, ir.ComplexType, ir.ShapedType)):
        return "r"
    raise TypeError(f"the virtual machine has no values of type {type_}")


# What an operand letter of the table that is no register becomes: an attribute of the op.
_ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "w": ("value", ir.IntegerAttr | ir.FloatAttr),
    "l": ("value", ir.IntegerAttr | ir.FloatAttr),
    "t": ("message", ir.StringAttr),
    "g": ("symbol", ir.FlatSymbolRefAttr),
    "G": ("symbol", ir.FlatSymbolRefAttr),
    "o": ("name", ir.StringAttr),
    "m": ("function", ir.StringAttr),
}
# Opcodes that are no ops: cf and func stand for control flow, registers are assigned when encoding, and the choice
# among encodings of a constant is made there too.
NOT_OPS = frozenset(
    ("branch", "branch_if", "switch", "call", "call_import", "return", "fail", "move_ref", "discard",
     "const_64_short")
)  # fmt: skip
_EFFECTS = {"global_store", "global_store_ref", "assert", "buffer_alloc", "buffer_clone", "buffer_fill", "buffer_copy",
            "list_create", "list_resize", "yield"}  # fmt: skip
_READS = ("global_load", "buffer_load", "buffer_compare", "list_size", "list_kind", "list_get")
_WRITES = ("buffer_store", "list_set")


class _Reads(ir.MemoryEffectsOpInterface):
    """A read of module state or of a buffer."""

    @staticmethod
    def get_effects(op: Any, effects: Any) -> None:
        effects.append(ir.MemoryEffect.Read)


def _verifier(opcode: Opcode) -> "staticmethod[[Any], bool]":
    """Checks that operands and results are of the kinds that the table says."""
    reads = [letter for letter in opcode.reads if letter in "iIfFxr"]

    def verify_invariants(op: Any) -> bool:
        generic = ""
        for letter, value in zip(reads + list(opcode.writes), [*op.operands, *op.results], strict=True):
            try:
                kind = kind_of(value.type)
            except TypeError as error:
                op.location.emit_error(str(error))
                return False
            if letter == "x" and kind != "r":
                letter = generic = generic or kind
            if letter != kind:
                op.location.emit_error(
                    f"'vm.{opcode.name}' takes {KINDS.get(letter, 'a scalar')} where {value.type} is given"
                )
                return False
        return True

    return staticmethod(verify_invariants)


def _op_class(opcode: Opcode) -> type:
    """The op of an opcode: registers are operands and results, everything else attributes."""
    annotations: dict[str, Any] = {}
    if opcode.writes:
        annotations["result"] = ext.Result[Any]
    for number, letter in enumerate(opcode.reads):
        if letter in _ATTRIBUTES:
            name, kind = _ATTRIBUTES[letter]
            annotations["status" if opcode.name == "assert" and letter == "w" else name] = kind
        else:
            annotations["abcde"[number]] = ext.Operand[Any]
    has_effects = opcode.name in _EFFECTS or opcode.name.startswith(_WRITES)
    traits: list[Any] = [] if has_effects else [_Reads] if opcode.name.startswith(_READS) else [ext.Pure]
    class_name = "".join(part.capitalize() for part in opcode.name.split("_")) + "Op"
    body = {
        "__annotations__": annotations,
        "__doc__": opcode.meaning,
        "__module__": __name__,
        "verify_invariants": _verifier(opcode),
    }
    return types.new_class(
        class_name, (Vm.Operation,), {"name": opcode.name, "traits": traits}, lambda namespace: namespace.update(body)
    )


OPCODE_OPS = {opcode.name: _op_class(opcode) for opcode in opcodes().values() if opcode.name not in NOT_OPS}


class CallImportOp(Vm.Operation, name="call_import"):
    """Calls the imported function `function` ('hal.device_get') with `convention`.

    `repetitions` (array of i32) has the number of repetitions of each group of the convention; arguments come in the
    convention's order, groups unrolled.
    """

    mixed_limit = 8
    results_: Sequence[ext.Result[Any]]
    arguments: Sequence[ext.Operand[Any]]
    function: ir.StringAttr
    convention: ir.StringAttr
    repetitions: Any
