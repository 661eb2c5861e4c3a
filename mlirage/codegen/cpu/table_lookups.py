"""Numbers of four bits become floats by one look-up in a register that holds all sixteen (AVX-512).

    sitofp((x & 15) - 8)   ─>   vpermps(table, x)         table: -8.0, -7.0, … 7.0

The instruction reads the low four bits of every index, so the mask goes, too. A zero point that is no constant is taken
off afterwards: both are integers that f32 has exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlirage.codegen.configuration import Entry
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, llvm, vector
from mlirage.program import Array

_LANES = 16
_INTRINSIC = "llvm.x86.avx512.permvar.sf.512"
_INTEGERS: dict[str, Callable[[Array, int], Array]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
}


def look_up_nibbles(entry: Entry, target: CpuTarget) -> None:
    """Replaces conversions of nibbles to f32 in an entry point whose vectors are there."""
    if target.architecture != "x86_64" or target.vector_bytes != 64:
        return
    for op in list(entry.walk()):
        if op.name not in ("arith.sitofp", "arith.uitofp"):
            continue
        kind = op.results[0].type
        if not isinstance(kind, ir.VectorType) or str(kind.element_type) != "f32" or kind.shape[-1] % _LANES:
            continue
        with ir.InsertionPoint(op), op.location:
            found = _converted(op.operands[0], signed=op.name == "arith.sitofp")
        if found is not None:
            op.results[0].replace_all_uses_with(found)
            op.erase()


def _converted(number: ir.Value, signed: bool) -> ir.Value | None:
    """The f32 of a vector of i32 that are functions of nibbles; None if they are not."""
    known = _of_nibble(number)
    if known is not None:
        index, table = known
        return _look_up(index, table.astype(np.int64 if signed else np.uint32).astype(np.float32))
    if isinstance(number.owner, ir.Block) or number.owner.operation.name != "arith.subi" or not signed:
        return None
    left, right = number.owner.operation.operands
    known = _of_nibble(left)
    if known is None or not _is_byte(right):
        return None
    index, table = known
    kind = ir.VectorType.get(ir.VectorType(number.type).shape, ir.F32Type.get())
    return arith.subf(_look_up(index, table.astype(np.float32)), arith.sitofp(kind, right))


def _of_nibble(number: ir.Value) -> tuple[ir.Value, Array] | None:
    """What holds a nibble in its low bits, and the number (i32) for each of its sixteen values."""
    if isinstance(number.owner, ir.Block):
        return None
    op = number.owner.operation
    if op.name == "arith.andi":
        for value, mask in (tuple(op.operands), tuple(reversed(op.operands))):
            if _splat(mask) == 15 and str(ir.VectorType(value.type).element_type) == "i32":
                return value, np.arange(16, dtype=np.int64)
        return None
    if op.name not in _INTEGERS:
        return None
    inner, constant = _of_nibble(op.operands[0]), _splat(op.operands[1])
    if inner is None or constant is None or abs(constant) > 1 << 16:
        return None
    return inner[0], _INTEGERS[op.name](inner[1], constant).astype(np.int32).astype(np.int64)


def _splat(value: ir.Value) -> int | None:
    """The integer in all lanes of a constant."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None
    attribute = value.owner.operation.attributes["value"]
    if not isinstance(attribute, ir.DenseElementsAttr) or not attribute.is_splat:
        return None
    return ir.IntegerAttr(attribute.get_splat_value()).value


def _is_byte(value: ir.Value) -> bool:
    """Whether a vector of i32 was widened from bytes."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name not in ("arith.extsi", "arith.extui"):
        return False
    return ir.VectorType(value.owner.operation.operands[0].type).element_type.width <= 8  # pyright: ignore


def _look_up(index: ir.Value, table: Array) -> ir.Value:
    lanes = ir.VectorType(index.type).shape[-1]
    kind = ir.VectorType.get([_LANES], ir.F32Type.get())
    numbers = [ir.FloatAttr.get_f32(float(number)) for number in table]
    register = arith.constant(kind, ir.DenseElementsAttr.get(numbers, kind))
    parts: list[ir.Value] = []
    for start in range(0, lanes, _LANES):
        part = index if lanes == _LANES else vector.shuffle(index, index, list(range(start, start + _LANES)))
        parts.append(llvm.call_intrinsic(kind, _INTRINSIC, [register, part], [], []))
    while len(parts) > 1:  # joined by pairs
        joined: list[ir.Value] = []
        for first, second in zip(parts[::2], parts[1::2], strict=True):
            joined.append(vector.shuffle(first, second, list(range(2 * ir.VectorType(first.type).shape[0]))))
        parts = joined
    return parts[0]
