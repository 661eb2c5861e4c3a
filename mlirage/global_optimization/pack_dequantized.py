"""Packing of weights that are dequantized when they are read: integers stay packed, the kernel computes the floats.

    %w = linalg.generic ins(@q : kxnxi4, @s : k/32xnxf32) { (extsi q) * s }
    %r = linalg.matmul ins(%x, %w)
      ─>
    %w = linalg.generic ins(@q.panels : n/32 x k/8 x 32 x i32, @s.panels : n/32 x k/32 x 32 x f32)
           { (((q >> 4 * step) & 15) - 8) * s }                              // n/32 x k/8 x 8 x 32
    %r = linalg.generic ins(%x, %w) (m, n, k) -> (n floordiv 32, k floordiv 8, k mod 8, n mod 32)

Integers of four bits lie eight to a word of 32 bits, neighbours in depth, as q + 8 if they are signed: a kernel shifts
a vector of words by 4 for every step, and need not widen anything. Scales and zero points may be one number, differ by
column, and by block of depth. `hoist-constants` leaves such weights alone unless they are small (a few kilobytes):
floats would take four or eight times the memory, and the time to read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlirage import structured_ops
from mlirage.constants import add_global
from mlirage.contractions import Contraction
from mlirage.extents import reassociation
from mlirage.global_optimization.constant_arrays import load_constant
from mlirage.global_optimization.dequantized_factors import (
    Dequantization,
    Operand,
    match_dequantization,
    spread_constant,
)
from mlirage.global_optimization.panels import into_panels
from mlirage.mlir import arith, ir, linalg, tensor
from mlirage.program import Array, Program

_NIBBLE_OFFSET = 8
_NIBBLES = 8  # of a word


@dataclass(frozen=True)
class DequantizedWeights:
    """Constant weights of a contraction, as arrays over its loops.

    Attributes:
      numbers: integers [kept…, column, depth…], i32.
      zero: what is taken off, in so many dims, 1 where it does not vary; the last one counts blocks.
      scale: what is multiplied by, likewise.
      block: steps of the innermost depth per block.
      bits: of the integers.
      signed: how they are read.
      depth: loops of the depth.
    """

    numbers: Array
    zero: Array
    scale: Array
    block: int
    bits: int
    signed: bool
    depth: tuple[int, ...]

    def scale_of_columns(self) -> Array | None:
        """The scale as [kept…, column] if it is the same for all of the depth."""
        kept = self.numbers.ndim - len(self.depth)
        if any(extent != 1 for extent in self.scale.shape[kept:]):
            return None
        return np.ascontiguousarray(
            np.broadcast_to(self.scale.reshape(self.scale.shape[:kept]), self.numbers.shape[:kept])
        )


def find_dequantized_weights(program: Program, contraction: Contraction, kept: list[int]) -> DequantizedWeights | None:
    """The right operand of a contraction as dequantized constants; None if it is anything else."""
    value = contraction.right_value
    dims = structured_ops.map_dims(contraction.maps[contraction.right])
    if None in dims or len(set(dims)) != len(dims) or not isinstance(value.type, ir.RankedTensorType):
        return None
    # For every dim of what is dequantized the loop along it, and whether it counts blocks of it.
    along = [(loop, False) for loop in dims if loop is not None]
    owner = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if owner is not None and owner.name == "tensor.collapse_shape":
        value, along = owner.operands[0], []
        for loop, group in zip(dims, reassociation(owner), strict=True):
            assert loop is not None
            if len(group) > 2 or (len(group) == 2 and loop not in contraction.depth):
                return None
            along += [(loop, True), (loop, False)] if len(group) == 2 else [(loop, False)]
    dequantized = match_dequantization(value)
    if dequantized is None or not dequantized.is_float:
        return None
    return _arrays(program, contraction, dequantized, tuple(value.type.shape), along, kept)


def _arrays(
    program: Program,
    contraction: Contraction,
    dequantized: Dequantization,
    shape: tuple[int, ...],
    along: list[tuple[int, bool]],
    kept: list[int],
) -> DequantizedWeights | None:
    rank = len(shape)
    numbers = spread_constant(program, dequantized.source, rank, dequantized.signed)
    zero = _factor(program, dequantized.zero, rank, dequantized.zero_signed, np.int32(0))
    scale = _factor(program, dequantized.scale, rank, True, np.float32(1))
    blocked = [loop for loop, is_block in along if is_block]
    if (
        numbers is None
        or numbers.shape != shape
        or not numbers.size
        or zero is None
        or scale is None
        or len(blocked) > 1
    ):
        return None
    loops = [loop for loop, is_block in along if not is_block]
    depth = [loop for loop in contraction.depth if loop in loops]
    if len(kept) + 1 + len(depth) != len(loops) or not depth or (blocked and blocked[0] != depth[-1]):
        return None
    order = [along.index((loop, False)) for loop in (*kept, contraction.column, *depth)]
    if blocked:
        order.insert(len(order) - 1, along.index((blocked[0], True)))
    numbers, zero, scale = (array.transpose(order) for array in (numbers, zero, scale))
    if blocked:
        blocks, steps = numbers.shape[-2:]
        numbers, zero, scale = (_joined(array, blocks, steps) for array in (numbers, zero, scale))
    inner = numbers.shape[-1]
    block = next(
        size for size in range(inner, 0, -1) if inner % size == 0 and all(_repeats(a, size) for a in (zero, scale))
    )
    zero, scale = (array[..., ::block] if array.shape[-1] != 1 else array for array in (zero, scale))
    element = structured_ops.element_type(dequantized.source.value.type)
    assert isinstance(element, ir.IntegerType)
    return DequantizedWeights(numbers, zero, scale, block, element.width, dequantized.signed, tuple(depth))


def _joined(array: Array, blocks: int, steps: int) -> Array:
    """An array whose last two dims count blocks and steps inside them (or are 1), with one dim for both."""
    if array.shape[-2:] != (1, 1):
        array = np.broadcast_to(array, (*array.shape[:-2], blocks, steps))
    return array.reshape(*array.shape[:-2], -1)


def _repeats(array: Array, size: int) -> bool:
    """Whether an array is the same along its last dim within runs of `size`."""
    if array.shape[-1] == 1 or size == 1:
        return True
    runs = array.reshape(*array.shape[:-1], -1, size)
    return bool((runs == runs[..., :1]).all())


def _factor(
    program: Program, factor: int | float | Operand | None, rank: int, signed: bool, default: np.generic
) -> Array | None:
    if isinstance(factor, Operand):
        return spread_constant(program, factor, rank, signed)
    return np.full((1,) * rank, default if factor is None else factor, default.dtype)


class PackedDequantization:
    """The packed arrays of dequantized weights, and the op that computes floats from them.

    Its dims are [kept…, panel, depth…, column of the panel]; with integers of four bits the innermost depth counts
    words, and a dim for the steps of a word follows it.
    """

    def __init__(self, program: Program, weights: DequantizedWeights, kept: int, width: int) -> None:
        self.program, self.weights, self.kept, self.width = program, weights, kept, width
        self.in_words = weights.bits == 4
        self.offset = _NIBBLE_OFFSET if self.in_words and weights.signed else 0
        numbers = weights.numbers
        panels = -(-numbers.shape[kept] // width)
        inner = numbers.shape[-1]
        steps = [-(-inner // _NIBBLES), _NIBBLES] if self.in_words else [inner]
        self.shape = [*numbers.shape[:kept], panels, *numbers.shape[kept + 1 : -1], *steps, width]
        self.operands: list[tuple[str, ir.AffineMap]] = []
        places = [
            ir.AffineExpr.get_dim(i) for i in range(len(self.shape)) if not (self.in_words and i == len(self.shape) - 2)
        ]
        element = ir.IntegerType.get_signless(32 if self.in_words else 8)
        self._operand(self._packed_numbers(), places, element, "")
        self.zero = self._varying(weights.zero + np.int32(self.offset), ".zeros")
        self.scale = self._varying(weights.scale, ".scales")

    def is_for(self, weights: DequantizedWeights, kept: int, width: int) -> bool:
        """Whether this packing of a value serves another contraction of it."""
        same = (self.kept, self.width, self.weights.numbers.shape) == (kept, width, weights.numbers.shape)
        return same and np.array_equal(self.weights.numbers, weights.numbers)

    def build(self) -> ir.Value:
        """The dequantizing op, at the insertion point."""
        rank = len(self.shape)
        i32, f32 = ir.IntegerType.get_signless(32), ir.F32Type.get()
        zero, scale = self.zero, self.scale
        identity = structured_ops.identity_map(rank)
        empty = tensor.EmptyOp(self.shape, f32).result

        def fill_body(block: ir.Block) -> list[ir.Value]:
            stored = block.arguments[0]
            if self.in_words:
                step = linalg.IndexOp(rank - 2).result
                bits = arith.muli(step, arith.constant(ir.IndexType.get(), 4))
                number = arith.andi(arith.shrui(stored, arith.index_castui(i32, bits)), arith.constant(i32, 15))
            else:
                number = arith.extsi(i32, stored) if self.weights.signed else arith.extui(i32, stored)
            if isinstance(zero, _Argument) or int(zero):
                taken = block.arguments[zero.number] if isinstance(zero, _Argument) else arith.constant(i32, int(zero))
                if isinstance(zero, _Argument) and taken.type != i32:
                    taken = arith.extsi(i32, taken) if zero.signed else arith.extui(i32, taken)
                number = arith.subi(number, taken)
            result = arith.sitofp(f32, number)
            if isinstance(scale, _Argument):
                return [arith.mulf(result, block.arguments[scale.number])]
            return [result if float(scale) == 1 else arith.mulf(result, arith.constant(f32, float(scale)))]

        names, maps = zip(*self.operands, strict=True)
        return structured_ops.build_generic(
            [load_constant(self.program, name) for name in names],
            [empty],
            [*maps, identity],
            [True] * rank,
            fill_body,
            ir.Location.current,
        ).results[0]

    def places(self, contraction: Contraction, kept: list[int]) -> list[ir.AffineExpr]:
        """How the contraction reads the result of `build`."""
        column = ir.AffineExpr.get_dim(contraction.column)
        steps: list[ir.AffineExpr] = [ir.AffineExpr.get_dim(loop) for loop in self.weights.depth]
        if self.in_words:
            inner = steps.pop()
            steps += [ir.AffineExpr.get_floor_div(inner, _NIBBLES), ir.AffineExpr.get_mod(inner, _NIBBLES)]
        return [
            *(ir.AffineExpr.get_dim(loop) for loop in kept),
            ir.AffineExpr.get_floor_div(column, self.width),
            *steps,
            ir.AffineExpr.get_mod(column, self.width),
        ]

    def _packed_numbers(self) -> Array:
        numbers = (self.weights.numbers + self.offset).astype(np.uint8)
        panels = into_panels(numbers, self.kept, self.width)
        if not self.in_words:
            return panels.view(np.int8)
        depth = panels.shape[-2]
        words = np.zeros((*panels.shape[:-2], -(-depth // _NIBBLES), self.width), np.uint32)
        for step in range(min(depth, _NIBBLES)):
            numbers = panels[..., step::_NIBBLES, :]
            words[..., : numbers.shape[-2], :] |= numbers.astype(np.uint32) << (4 * step)
        return words.view(np.int32)

    def _operand(self, array: Array, places: Sequence[ir.AffineExpr], element: ir.Type, suffix: str) -> int:
        kind = ir.RankedTensorType.get(array.shape, element)
        name = add_global(self.program, kind, np.ascontiguousarray(array), f"quantized.panels{self.width}{suffix}")
        indexing = ir.AffineMap.get(len(self.shape), 0, list(places))
        self.operands.append((name, indexing))
        return len(self.operands) - 1

    def _varying(self, array: Array, suffix: str) -> _Argument | int | float:
        """A scale or zero point as an argument of the body, or as the one number it is."""
        first = array.reshape(-1)[0]
        if bool((array == first).all()):
            return int(first) if array.dtype.kind == "i" else float(first)
        rank = len(self.shape)
        has_columns = array.shape[self.kept] != 1
        if has_columns:
            array = into_panels(array, self.kept, self.width)  # [kept…, panel, depth…, column]
        dim = ir.AffineExpr.get_dim
        kept = [dim(i) for i in range(self.kept)]
        depth: list[ir.AffineExpr] = [dim(i) for i in range(self.kept + 1, rank - (3 if self.in_words else 2))]
        depth.append(self._block_number(rank))
        places = [*kept, dim(self.kept), *depth, *([dim(rank - 1)] if has_columns else [])]
        varying = [place for place, extent in zip(places, array.shape, strict=True) if extent != 1]
        element: ir.Type = ir.F32Type.get()
        signed = True
        if array.dtype.kind == "i":
            low, high = int(array.min()), int(array.max())
            signed = low < 0
            small = (low >= -128 and high < 128) or (not signed and high < 256)
            array = array.astype(np.uint8).view(np.int8) if small else array
            element = ir.IntegerType.get_signless(8 if small else 32)
        squeezed = array.reshape([extent for extent in array.shape if extent != 1])
        return _Argument(self._operand(squeezed, varying, element, suffix), signed)

    def _block_number(self, rank: int) -> ir.AffineExpr:
        """The block of the innermost depth."""
        dim = ir.AffineExpr.get_dim
        block = self.weights.block
        if not self.in_words:
            return ir.AffineExpr.get_floor_div(dim(rank - 2), block)
        if block % _NIBBLES == 0:
            return ir.AffineExpr.get_floor_div(dim(rank - 3), block // _NIBBLES)
        step = ir.AffineExpr.get_add(ir.AffineExpr.get_mul(dim(rank - 3), _NIBBLES), dim(rank - 2))
        return ir.AffineExpr.get_floor_div(step, block)


@dataclass(frozen=True)
class _Argument:
    """An argument of the body, and how it is widened."""

    number: int
    signed: bool
