"""global-optimization-split-reductions: long sums over several axes are made in two steps.

    %r = linalg.generic {h, w, c reduced} ins(%x : 256x256x2x16) outs(%init : 2)
    =>
    %p = linalg.generic {w, c reduced} ins(%x) outs(%zero : 2x256)
    %r = linalg.generic {h reduced} ins(%p) outs(%init : 2)

One accumulator over a million elements loses four digits; the partial sums are as many workgroups, too. An axis whose
neighbours in memory are results of their own is taken apart where its extent has a factor:

    %r = linalg.generic {n reduced} ins(%x : 22499x64)  =>  151 partial sums over 149 rows each, and their sum

Sums along neighbours in memory stay: their kernels take blocks. Where axes further out are reduced with them (the
channels of a batch), they give the partial sums. The greatest and least of such axes are found the same way, in rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import expand_dim, extents

# What combines two elements, and what it starts from.
_COMBINERS = {"arith.addf": 0.0, "arith.maximumf": -math.inf, "arith.minimumf": math.inf}
_LONG = 1 << 14  # elements of a sum along neighbours that is split, and of all sums together
_LONG_COLUMN = 1 << 12  # elements of a sum of elements that lie apart
_LEAST_PARTS, _LEAST_PART = 4, 64
_MOST_IN_COLUMN, _COLUMN_PART = 1 << 9, 1 << 8  # elements of a column's partial sum: at most, best
_LEAST_ROW = 32  # neighbours that make a row of vectors


@dataclass(frozen=True)
class _Split:
    """The loops whose steps become partial sums.

    Attributes:
      loops: (number, into how many parts), as the axes lie in memory: into as many as it has steps, or a divisor.
      last: whether partial sums lie along the last axes; else along the first, as neighbours in memory are kept apart.
    """

    loops: tuple[tuple[int, int], ...]
    last: bool


@module_pass("global-optimization-split-reductions")
def split_reductions(program: Program) -> None:
    """Splits long sums and extremes of f32 and f64 along the axes that lie outermost in memory."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        for op in structured_ops.tensor_ops(function.operation):
            long_column = _LONG_COLUMN
            while op.name == "linalg.generic" and (split := _find_split(op, long_column)) is not None:
                op = _rewrite(op, split)
                long_column = _MOST_IN_COLUMN + 1  # that there are two steps is settled: a third is little more


def _find_split(op: ir.Operation, long_column: int) -> _Split | None:
    parallel = structured_ops.parallel_loops(op)
    reduced = [loop for loop, is_parallel in enumerate(parallel) if not is_parallel]
    if not reduced or len(op.results) != 1 or not (combiner := _combiner(op)):
        return None
    if structured_ops.is_contraction(op) or structured_ops.is_window(op):
        return None
    counts = structured_ops.loop_extents(op)
    if structured_ops.DYNAMIC in (counts[loop] for loop in reduced) or 0 in counts:
        return None
    maps = structured_ops.indexing_maps(op)[:-1]
    for indexing_map in maps:
        dims = structured_ops.map_dims(indexing_map)
        order = [dim for dim in dims if dim is not None and dim in reduced]
        if len(set(order)) != len(reduced) or None in dims:
            continue
        row = _trailing(dims, reduced)
        if len(row) == len(reduced):
            return None
        if row and math.prod(counts[loop] for loop in row) >= _LEAST_ROW:
            outer = order[: len(order) - len(row)]
            small = structured_ops.DYNAMIC not in counts and math.prod(counts) < _LONG
            return None if small else _Split(tuple((loop, counts[loop]) for loop in outer), last=False)
        if combiner != "arith.addf":
            return None  # they lose no digits: apart from rows there is nothing to be won
        if row:
            return _split_axes(order, counts)
        plain = all(None not in structured_ops.map_dims(m) for m in maps)
        return (
            _split_columns(order, counts, plain) if math.prod(counts[loop] for loop in reduced) >= long_column else None
        )
    return None


def _trailing(dims: Sequence[int | None], reduced: Sequence[int]) -> list[int]:
    """The last dims of an operand that are all reduced."""
    row: list[int] = []
    for dim in reversed(dims):
        if dim is None or dim not in reduced:
            break
        row.append(dim)
    return row


def _split_axes(order: Sequence[int], counts: Sequence[int]) -> _Split | None:
    """Whole axes, until what is left of them is short."""
    outer = 1
    while outer < len(order) - 1 and math.prod(counts[loop] for loop in order[outer:]) >= _LONG:
        outer += 1
    parts, part = (math.prod(counts[loop] for loop in loops) for loops in (order[:outer], order[outer:]))
    if parts < _LEAST_PARTS or part < _LEAST_PART or parts * part < _LONG:
        return None
    return _Split(tuple((loop, counts[loop]) for loop in order[:outer]), last=True)


def _split_columns(order: Sequence[int], counts: Sequence[int], divide: bool) -> _Split | None:
    """Whole axes, and then a factor of the next, if axes may be divided."""
    part = math.prod(counts[loop] for loop in order)
    loops: list[tuple[int, int]] = []
    for loop in order:
        count = counts[loop]
        if part <= _MOST_IN_COLUMN:
            break
        if part // count >= _LEAST_PART:
            parts = count
        else:
            divisors = [d for d in range(1, count) if count % d == 0 and part // d >= _LEAST_PART]
            parts = min(divisors if divide else [1], key=lambda d: abs(math.log(part / d / _COLUMN_PART)))
        if parts > 1:
            loops.append((loop, parts))
            part //= parts
    return _Split(tuple(loops), last=False) if math.prod(parts for _, parts in loops) >= _LEAST_PARTS else None


def _combiner(op: ir.Operation) -> str:
    """The op by which the body combines one float with the result; empty if it does something else."""
    block = structured_ops.body(op)
    total = block.arguments[len(block.arguments) - 1]
    (value,) = list(block.operations)[-1].operation.operands
    if not isinstance(total.type, ir.F32Type | ir.F64Type) or isinstance(value.owner, ir.Block):
        return ""
    name = value.owner.operation.name
    return name if name in _COMBINERS and [use.owner for use in total.uses] == [value.owner] else ""


def _rewrite(op: ir.Operation, split: _Split) -> ir.Operation:
    """The sum of the partial sums that replaces the op."""
    maps = structured_ops.indexing_maps(op)
    parallel = structured_ops.parallel_loops(op)
    counts = structured_ops.loop_extents(op)
    rank = len(parallel)
    divided = [(loop, parts) for loop, parts in split.loops if parts != counts[loop]]
    new = {loop: rank + i for i, (loop, _) in enumerate(divided)}
    (init,) = structured_ops.outputs(op)
    kind = ir.RankedTensorType(init.type)
    at = kind.rank if split.last else 0
    with ir.InsertionPoint(op), op.location:
        sums = [new.get(loop, loop) for loop, _ in split.loops]
        parallel = [is_parallel or loop in sums for loop, is_parallel in enumerate([*parallel, *(False for _ in new)])]
        inputs, read = structured_ops.inputs(op), []
        for i, indexing_map in enumerate(maps[:-1]):
            inputs[i], indices = _divide_dims(inputs[i], indexing_map, dict(split.loops), new)
            read.append(ir.AffineMap.get(rank + len(new), 0, indices))
        sizes = extents(init)
        sizes[at:at] = [parts for _, parts in split.loops]
        empty = tensor.EmptyOp(sizes, kind.element_type).result
        combiner = _combiner(op)
        start = arith.constant(kind.element_type, ir.FloatAttr.get(kind.element_type, _COMBINERS[combiner]))
        written = list(maps[-1].results)
        written[at:at] = [ir.AffineExpr.get_dim(loop) for loop in sums]
        partial_map = ir.AffineMap.get(rank + len(new), 0, written)
        parts = structured_ops.build_generic(
            inputs, [linalg.fill(start, outs=[empty])], [*read, partial_map], parallel,
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)), op.location,
        )  # fmt: skip
        _divide_places(parts, {new[loop]: (loop, counts[loop] // count) for loop, count in divided})
        rank = len(written)
        kept = [not at <= i < at + len(split.loops) for i in range(rank)]
        kept_map = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(i) for i in range(rank) if kept[i]])
        whole = structured_ops.build_generic(
            [parts.results[0]], [init], [structured_ops.identity_map(rank), kept_map], kept,
            lambda block: [
                ir.Operation.create(combiner, [kind.element_type], [block.arguments[1], block.arguments[0]]).result
            ],
            op.location,
        )  # fmt: skip
    op.results[0].replace_all_uses_with(whole.results[0])
    op.erase()
    return whole


def _divide_dims(
    operand: ir.Value, indexing_map: ir.AffineMap, parts: Mapping[int, int], new: Mapping[int, int]
) -> tuple[ir.Value, list[ir.AffineExpr]]:
    """An operand whose dims of loops that are divided are two dims each, and its indices."""
    indices: list[ir.AffineExpr] = []
    for index in indexing_map.results:
        loop = index.position if isinstance(index, ir.AffineDimExpr) else -1
        if loop in new:
            count = ir.RankedTensorType(operand.type).get_dim_size(len(indices))
            operand = expand_dim(operand, len(indices), [parts[loop], count // parts[loop]])
            indices.append(ir.AffineExpr.get_dim(new[loop]))
        indices.append(index)
    return operand, indices


def _divide_places(op: ir.Operation, divided: Mapping[int, tuple[int, int]]) -> None:
    """Makes what asks where along a divided loop it is get the place in the whole.

    Args:
      divided: for each loop over parts, the loop within a part, and that one's steps.
    """
    for index in [inner for inner in walk(op) if inner.name == "linalg.index"]:
        for outer, (loop, steps) in divided.items():
            if ir.IntegerAttr(index.attributes["dim"]).value == loop:
                with ir.InsertionPoint(index), index.location:
                    first = arith.muli(linalg.IndexOp(outer).result, arith.constant(ir.IndexType.get(), steps))
                    place = arith.addi(first, linalg.IndexOp(loop).result)
                index.results[0].replace_all_uses_with(place)
                index.erase()
