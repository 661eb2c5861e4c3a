"""input-convert-stablehlo-select-and-scatter: the gradient of pooling becomes a search and a scatter.

    "stablehlo.select_and_scatter"(%x, %source, %init) ({select}, {scatter}) {window = 2x2, stride = 2x2}
    =>
    %best, %place = linalg.generic over source x window: the chosen element of every window, its flat place or -1
    %y = "linalgx.scatter"(%place, %source, fill(%init)) ({scatter})

Padding takes no part in the search. Regions stay StableHLO on 0-d tensors; input-inline-scalar-generics finishes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlirage.element_types import signless
from mlirage.input import linalgx
from mlirage.input.convert_stablehlo_to_linalgx import move_scalar_region, restore_sign
from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic
from mlirage.tensor_shapes import Extent, collapse_dims, expand_dim, extents


@module_pass("input-convert-stablehlo-select-and-scatter")
def convert_stablehlo_select_and_scatter(program: Program) -> None:
    """Replaces `stablehlo.select_and_scatter`."""
    for op in [op for op in walk(program.module.operation) if op.name == "stablehlo.select_and_scatter"]:
        with op.location, ir.InsertionPoint(op):
            result = _convert(op)
            kind = op.results[0].type
            op.results[0].replace_all_uses_with(result if result.type == kind else tensor.cast(kind, result))
        op.erase()


def _convert(op: ir.Operation) -> ir.Value:
    operand, source, init = op.operands
    shape, windows = extents(operand), extents(source)
    place = _search(op, operand, shape, windows)
    scalar = tensor.extract(init, [])
    flat = linalg.fill(scalar, outs=[tensor.empty([_product(shape)], scalar.type)])
    count = _product(windows)
    places, updates = (expand_dim(_flatten(value), 0, [count, 1]) for value in (place, source))
    (result,) = linalgx.scatter([flat], places, [updates], [0], lambda *scalars: move_scalar_region(op, 1, scalars))
    return result if len(shape) == 1 else expand_dim(result, 0, shape)


def _value(extent: Extent) -> ir.Value:
    return extent if isinstance(extent, ir.Value) else arith.constant(ir.IndexType.get(), extent)


def _product(shape: Sequence[Extent]) -> Extent:
    static = [extent for extent in shape if isinstance(extent, int)]
    if len(static) == len(shape):
        return math.prod(static)
    total = _value(shape[0])
    for extent in shape[1:]:
        total = arith.muli(total, _value(extent))
    return total


def _flatten(value: ir.Value) -> ir.Value:
    rank = ir.RankedTensorType(value.type).rank
    return value if rank == 1 else collapse_dims(value, 0, rank)


def _search(op: ir.Operation, operand: ir.Value, shape: Sequence[Extent], windows: Sequence[Extent]) -> ir.Value:
    """For every window the flat place of the element that `select` keeps."""
    rank, sizes = len(shape), [_value(extent) for extent in shape]
    extent = _integers(op, "window_dimensions") or [1] * rank
    stride = _integers(op, "window_strides") or [1] * rank
    padding = _padding(op, rank)
    index, i64 = ir.IndexType.get(), ir.IntegerType.get_signless(64)
    plain = restore_sign(operand, signless(operand.type))
    element = ir.RankedTensorType(plain.type).element_type
    d = [ir.AffineExpr.get_dim(i) for i in range(2 * rank)]
    maps = [ir.AffineMap.get(2 * rank, 0, d[rank:]), *[ir.AffineMap.get(2 * rank, 0, d[:rank])] * 2]
    window = tensor.empty(extent, element)  # its shape tells the extents of the loops over a window
    best = tensor.empty(list(windows), element)
    none = linalg.fill(arith.constant(i64, -1), outs=[tensor.empty(list(windows), i64)])

    def body(block: ir.Block) -> Sequence[ir.Value]:
        _, kept, kept_place = block.arguments
        inside = arith.constant(ir.IntegerType.get_signless(1), 1)
        where: list[ir.Value] = []
        flat = arith.constant(index, 0)
        for i in range(rank):
            start = arith.muli(linalg.IndexOp(i).result, arith.constant(index, stride[i]))
            position = arith.addi(start, linalg.IndexOp(rank + i).result)
            position = arith.subi(position, arith.constant(index, padding[i]))
            # Taken as unsigned, positions before the start are beyond the end.
            inside = arith.andi(inside, arith.cmpi(arith.CmpIPredicate.ult, position, sizes[i]))
            where.append(position)
            flat = arith.addi(arith.muli(flat, sizes[i]), position)
        where = [arith.select(inside, p, arith.constant(index, 0)) for p in where]
        value = _read_or(plain, where, _has_elements(sizes), kept)
        (keep,) = move_scalar_region(op, 0, (kept, value))
        found = arith.cmpi(arith.CmpIPredicate.sge, kept_place, arith.constant(i64, 0))
        true = arith.constant(ir.IntegerType.get_signless(1), 1)
        take = arith.andi(inside, arith.xori(arith.andi(found, keep), true))
        return [arith.select(take, value, kept), arith.select(take, arith.index_cast(i64, flat), kept_place)]

    parallel = [True] * rank + [False] * rank
    return build_generic([window], [best, none], maps, parallel, body, ir.Location.current).results[1]


def _has_elements(sizes: Sequence[ir.Value]) -> ir.Value:
    """Whether no extent is 0: only then is there an element to read."""
    zero = arith.constant(ir.IndexType.get(), 0)
    found = arith.constant(ir.IntegerType.get_signless(1), 1)
    for size in sizes:
        found = arith.andi(found, arith.cmpi(arith.CmpIPredicate.ne, size, zero))
    return found


def _read_or(x: ir.Value, where: Sequence[ir.Value], possible: ir.Value, other: ir.Value) -> ir.Value:
    choice = ir.Operation.create("scf.if", results=[other.type], operands=[possible], regions=2)
    for region, inner in zip(choice.regions, (True, False), strict=True):
        with ir.InsertionPoint(ir.Block.create_at_start(region, [])):
            ir.Operation.create("scf.yield", operands=[tensor.extract(x, where) if inner else other])
    return choice.results[0]


def _integers(op: ir.Operation, name: str) -> list[int]:
    return list(ir.DenseI64ArrayAttr(op.attributes[name])) if name in op.attributes else []


def _padding(op: ir.Operation, rank: int) -> list[int]:
    """The low padding of every dim."""
    if "padding" not in op.attributes:
        return [0] * rank
    values = [int(v) for v in ir.DenseIntElementsAttr(op.attributes["padding"])]
    return values[::2] if len(values) == 2 * rank else [values[0]] * rank
