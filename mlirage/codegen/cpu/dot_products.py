"""Dot-product instructions on vectors of any number of lanes: a call of the target's intrinsic per register."""

from __future__ import annotations

from mlirage.codegen.dot_products import DotProduct
from mlirage.mlir import arith, ir, llvm, vector

_SVE_BITS = 128  # of the shortest register


def add_dot_products(dot: DotProduct, left: ir.Value, right: ir.Value, total: ir.Value) -> ir.Value:
    """total[i] + the sum of left[j] * right[i * depth + j].

    Args:
      dot: the instruction.
      left: a vector of `dot.depth` elements.
      right: so many for every lane of `total`.
      total: a vector of 32-bit elements.
    """
    kind = ir.VectorType(total.type)
    lanes, element = kind.get_dim_size(0), kind.element_type
    right_element = ir.VectorType(right.type).element_type
    i32 = ir.IntegerType.get_signless(32)
    width = min(lanes, dot.lanes)
    word = vector.extract(vector.bitcast(ir.VectorType.get([1], i32), left), [], [0])
    register = ir.VectorType.get([dot.lanes * dot.depth], right_element)
    words = vector.broadcast(ir.VectorType.get([dot.lanes], i32), word)
    spread = words if dot.scalable else vector.bitcast(register, words)
    group = 1 if dot.scalable else dot.depth
    if dot.scalable:  # LLVM makes shorter vectors of bf16 by way of the stack
        right = vector.bitcast(ir.VectorType.get([lanes], i32), right)
    for start in range(0, lanes, width):
        part = _slice(right, start * group, width * group, dot.lanes * group)
        sums = _slice(total, start, width, dot.lanes)
        result = ir.VectorType.get([dot.lanes], element)
        factors = [spread, part]
        if dot.scalable:
            new = _in_scalable_registers(dot, sums, factors, right_element)
        elif dot.accumulates:
            new = llvm.call_intrinsic(result, dot.intrinsic, [sums, *factors], [], [])
        else:
            new = arith.addi(sums, llvm.call_intrinsic(result, dot.intrinsic, factors, [], []))
        if width < dot.lanes:
            new = vector.shuffle(new, new, list(range(width)))
        total = new if width == lanes else _replaced(total, new, start)
    return total


def _in_scalable_registers(dot: DotProduct, total: ir.Value, factors: list[ir.Value], element: ir.Type) -> ir.Value:
    """The instruction on SVE's registers, whose first lanes the vectors are; factors are words that hold `element`s."""
    zero = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 0)

    def register(kind: ir.Type) -> ir.VectorType:
        return ir.VectorType.get([_SVE_BITS // kind.width], kind, scalable=[True])  # pyright: ignore

    def widened(vectors: ir.Value) -> ir.Value:
        kind = register(ir.VectorType(vectors.type).element_type)
        return llvm.intr_vector_insert(llvm.mlir_undef(kind), vectors, zero)

    words = [llvm.bitcast(register(element), widened(factor)) for factor in factors]
    start = widened(total)
    result = llvm.call_intrinsic(start.type, dot.intrinsic, [start, *words], [], [])
    return llvm.intr_vector_extract(total.type, result, zero)


def _slice(values: ir.Value, start: int, count: int, size: int) -> ir.Value:
    """`count` elements of a vector from `start`, as a vector of `size`; what is beyond them does not matter."""
    kind = ir.VectorType(values.type)
    if kind.get_dim_size(0) == size:
        return values
    return vector.shuffle(values, values, [start + i % count for i in range(size)])


def _replaced(values: ir.Value, part: ir.Value, start: int) -> ir.Value:
    """`values` with the elements from `start` on replaced by `part`."""
    i64 = ir.IntegerType.get_signless(64)
    return ir.Operation.create(
        "vector.insert_strided_slice",
        [values.type],
        [part, values],
        {name: ir.ArrayAttr.get([ir.IntegerAttr.get(i64, n)]) for name, n in (("offsets", start), ("strides", 1))},
    ).results[0]
