"""Building vm ops in the place of the op that is being converted."""

from __future__ import annotations

from typing import Any

from mlirage.mlir import ir
from mlirage.vm.dialect import kind_of

SUFFIX = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}


class Emitter:
    """Makes vm ops before `op`, with its location."""

    def __init__(self, op: ir.Operation) -> None:
        self.op = op
        self.context = op.context
        self.location = op.location
        self.i32 = ir.IntegerType.get_signless(32, op.context)
        self.i64 = ir.IntegerType.get_signless(64, op.context)
        self.f32 = ir.F32Type.get(op.context)
        self.f64 = ir.F64Type.get(op.context)
        self.bit = ir.IntegerType.get_signless(1, op.context)

    def __call__(self, name: str, type_: ir.Type | None, /, *operands: ir.Value, **attributes: ir.Attribute) -> Any:
        """Adds `vm.name`; gives its result, or the operation if there is none."""
        created = ir.Operation.create(
            f"vm.{name}",
            results=[] if type_ is None else [type_],
            operands=list(operands),
            attributes=attributes,
            loc=self.location,
            ip=ir.InsertionPoint(self.op),
        )
        return created.result if type_ is not None else created

    def typed(self, name: str, type_: ir.Type, *operands: ir.Value) -> ir.Value:
        """Adds the op `name` in its form for the kind of the first operand: `add` becomes `vm.add_i32`."""
        return self(f"{name}_{SUFFIX[kind_of(operands[0].type)]}", type_, *operands)

    def constant(self, value: int, type_: ir.Type) -> ir.Value:
        """An integer constant; `value` is taken modulo the width of the type."""
        wide = kind_of(type_) == "I"
        width = 64 if isinstance(type_, ir.IndexType) else width_of(type_)
        attribute = ir.IntegerAttr.get(self.i64 if wide else self.i32, signed(value % (1 << width), 64 if wide else 32))
        return self("const_64" if wide else "const_32", type_, value=attribute)


def width_of(type_: ir.Type) -> int:
    """Bits of a scalar type; index has 64."""
    if isinstance(type_, ir.IndexType):
        return 64
    return type_.width  # pyright: ignore[reportAttributeAccessIssue]


def signed(value: int, width: int) -> int:
    """The low `width` bits of `value` as a signed number."""
    value %= 1 << width
    return value - (1 << width) if value >> (width - 1) else value
