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
      is_tap: whether the innermost depth is a tap of a window, which groups split into two loops.
    """

    dot: DotProduct
    left: Narrow
    right: Narrow
    stored: Narrow
    is_tap: bool = False

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
    read, inner = contraction.maps[contraction.left], contraction.depth[-1]
    if not len(read.results) or not _ends_with(read.results[-1], inner) or _counts(read, inner) != 1:
        return None
    left, stored = types[contraction.left], types[contraction.right]
    right = stored
    if stored.kind != "f":
        numbers = as_numbers(array, stored)
        fits = int(numbers.min()) >= -_SIGN and int(numbers.max()) < _SIGN
        right = Narrow("s", 8 if fits else 16)
    dot = find_dot_product(left, right, target)
    is_tap = not isinstance(read.results[-1], ir.AffineDimExpr)
    if dot is None:
        return None
    if is_tap and dot.right.kind == "f" and structured_ops.loop_extents(op)[inner] % dot.depth:
        return None  # what fills a group is multiplied by pixels, which may be infinite
    return Grouping(dot, left, dot.right, stored, is_tap)


def _ends_with(place: ir.AffineExpr, loop: int) -> bool:
    """Whether a place is a loop, or so many steps after a multiple of another: a tap of a window."""
    if isinstance(place, ir.AffineAddExpr):
        for tap, start in ((place.lhs, place.rhs), (place.rhs, place.lhs)):
            plain = isinstance(tap, ir.AffineDimExpr) and tap.position == loop
            if plain and f"d{loop}" not in _names(start) and _is_multiple(start):
                return True
        return False
    return isinstance(place, ir.AffineDimExpr) and place.position == loop


def _is_multiple(place: ir.AffineExpr) -> bool:
    if isinstance(place, ir.AffineMulExpr):
        is_positive = isinstance(place.rhs, ir.AffineConstantExpr) and place.rhs.value > 0
        return is_positive and isinstance(place.lhs, ir.AffineDimExpr)
    return isinstance(place, ir.AffineDimExpr)


def fills_groups(op: ir.Operation, target: CpuTarget) -> bool:
    """Whether an instruction of the target multiplies bytes of the first operand by taps or channels side by side.

    The groups may be filled up with zeros, to twice as much.
    """
    dot = find_dot_product(Narrow("u", 8), Narrow("s", 8), target)
    places = structured_ops.indexing_maps(op)[0].results
    if dot is None or not len(places):
        return False
    parallel, extents = structured_ops.parallel_loops(op), structured_ops.loop_extents(op)
    summed = [loop for loop, is_parallel in enumerate(parallel) if not is_parallel and _ends_with(places[-1], loop)]
    return len(summed) == 1 and -(-extents[summed[0]] // dot.depth) * dot.depth <= 2 * extents[summed[0]]


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
