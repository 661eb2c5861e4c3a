"""Dot-product instructions on vectors of any number of lanes: a call of the target's intrinsic per register."""

from __future__ import annotations

from mlirage.codegen.dot_products import DotProduct
from mlirage.mlir import arith, ir, llvm, vector


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
    spread = vector.bitcast(register, vector.broadcast(ir.VectorType.get([dot.lanes], i32), word))
    for start in range(0, lanes, width):
        part = _slice(right, start * dot.depth, width * dot.depth, dot.lanes * dot.depth)
        sums = _slice(total, start, width, dot.lanes)
        result = ir.VectorType.get([dot.lanes], element)
        factors = [spread, part]
        if dot.accumulates:
            new = llvm.call_intrinsic(result, dot.intrinsic, [sums, *factors], [], [])
        else:
            new = arith.addi(sums, llvm.call_intrinsic(result, dot.intrinsic, factors, [], []))
        if width < dot.lanes:
            new = vector.shuffle(new, new, list(range(width)))
        total = new if width == lanes else _replaced(total, new, start)
    return total


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
