"""Packing for dot-product instructions: which one a contraction with constant weights uses, and what that takes.

    result = Σ ext(x) * ext(w)                 x signed, the instruction takes unsigned times signed bytes
      ─>
    result = Σ zext(x xor 0x80) * sext(w)  -  128 * Σ w

`pack-weights` asks here; the kernels find the instruction again by the types in the body and the size of the groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlirage import structured_ops
from mlirage.codegen.dot_products import DotProduct, Narrow, find_dot_product, narrow_factor, narrow_factors
from mlirage.codegen.target import CpuTarget
from mlirage.constants import add_global
from mlirage.contractions import Contraction
from mlirage.global_optimization.constant_arrays import load_constant
from mlirage.mlir import arith, ir
from mlirage.program import Array, Program, is_splat

_SIGN = 128


@dataclass(frozen=True)
class Grouping:
    """How a contraction is packed for a dot product.

    Attributes:
      dot: the instruction.
      left: what the body widens of the left operand.
      right: the weights as they are packed.
      stored: the weights as the program has them.
    """

    dot: DotProduct
    left: Narrow
    right: Narrow
    stored: Narrow

    @property
    def offset(self) -> int:
        """What the instruction's left factor is larger by than the program's."""
        if self.dot.left.bits != 8 or self.dot.left == self.left:
            return 0
        return _SIGN if self.dot.left.kind == "u" else -_SIGN

    def converted(self, array: Array) -> Array:
        """The weights as they are packed, a splat as a splat."""
        numbers = as_numbers(array, self.stored)
        if self.right.kind == "f" or numbers.dtype.itemsize * 8 == self.right.bits:
            return numbers if self.right.kind == "f" else numbers.astype(f"int{self.right.bits}", copy=False)
        if is_splat(numbers) and numbers.size:
            return np.broadcast_to(numbers.reshape(-1)[0].astype(f"int{self.right.bits}"), numbers.shape)
        return numbers.astype(f"int{self.right.bits}")

    def fill_body(self, block: ir.Block, left: int) -> list[ir.Value]:
        """The body of the packed contraction."""
        total = block.arguments[2]
        a, b = block.arguments[left], block.arguments[1 - left]
        if self.right.kind == "f":
            return [arith.addf(total, arith.mulf(arith.extf(total.type, a), arith.extf(total.type, b)))]
        signed = self.left.kind == "s"
        if self.offset:
            a = arith.xori(a, arith.constant(a.type, -_SIGN))
            signed = not signed
        wide = arith.extsi(total.type, a) if signed else arith.extui(total.type, a)
        return [arith.addi(total, arith.muli(wide, arith.extsi(total.type, b)))]


def as_numbers(array: Array, stored: Narrow) -> Array:
    """The array with a dtype that has the sign the program reads it with."""
    if stored.kind == "f":
        return array
    return array.view(f"{'u' if stored.kind == 'u' else ''}int{stored.bits}")


def find_grouping(contraction: Contraction, array: Array, target: CpuTarget) -> Grouping | None:
    """The packing for the fastest instruction that multiplies these operands; None if there is none."""
    op = contraction.op
    types = narrow_factors(op)
    if types is None or not contraction.depth or not array.size:
        return None
    matched = structured_ops.multiply_add(op)
    assert matched is not None
    block = structured_ops.body(op)
    for factor, argument in zip(matched[1:], block.arguments, strict=False):
        narrow = narrow_factor(factor)
        if narrow is None or narrow[0] != argument:
            return None
    read = structured_ops.map_dims(contraction.maps[contraction.left])
    inner = contraction.depth[-1]
    if not read or read[-1] != inner or _counts(contraction.maps[contraction.left], inner) != 1:
        return None
    left, stored = types[contraction.left], types[contraction.right]
    right = stored
    if stored.kind != "f":
        numbers = as_numbers(array, stored)
        fits = int(numbers.min()) >= -_SIGN and int(numbers.max()) < _SIGN
        right = Narrow("s", 8 if fits else 16)
    dot = find_dot_product(left, right, target)
    return None if dot is None else Grouping(dot, left, dot.right, stored)


def _counts(indexing_map: ir.AffineMap, loop: int) -> int:
    """How many results of a map mention a loop."""
    return sum(f"d{loop}" in _names(expr) for expr in indexing_map.results)


def _names(expr: ir.AffineExpr) -> set[str]:
    if isinstance(expr, ir.AffineDimExpr):
        return {f"d{expr.position}"}
    return _names(expr.lhs) | _names(expr.rhs) if isinstance(expr, ir.AffineBinaryExpr) else set()


def subtract_offset(
    program: Program,
    contraction_maps: list[ir.AffineMap],
    result: ir.Value,
    weights: Array,
    loops: list[int],
    offset: int,
) -> None:
    """Subtracts `offset` times the sums of the weights, which lie as [*loops, depth…], from the result."""
    depth = tuple(range(len(loops), weights.ndim))
    sums = weights.sum(axis=depth, dtype=np.int64) * offset
    if not sums.any():
        return
    combine_columns(program, contraction_maps, result, sums.astype(np.int32), loops, arith.subi)


def combine_columns(
    program: Program,
    maps: list[ir.AffineMap],
    result: ir.Value,
    factors: Array,
    loops: list[int],
    combine: Callable[[ir.Value, ir.Value], ir.Value],
) -> None:
    """Combines the result of a contraction with a constant that is indexed by some of its parallel loops."""
    written = structured_ops.map_dims(maps[-1])
    op = ir.OpResult(result).owner.operation
    element = structured_ops.element_type(result.type)
    with ir.InsertionPoint.after(op), op.location:
        name = add_global(program, ir.RankedTensorType.get(factors.shape, element), factors, "columns")
        constant = load_constant(program, name)
        rank = len(written)
        read = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(written.index(loop)) for loop in loops])
        identity = structured_ops.identity_map(rank)
        combined = structured_ops.build_generic(
            [result, constant], [structured_ops.outputs(op)[0]], [identity, read, identity], [True] * rank,
            lambda block: [combine(block.arguments[0], block.arguments[1])], op.location,
        )  # fmt: skip
    result.replace_all_uses_except(combined.results[0], combined)
