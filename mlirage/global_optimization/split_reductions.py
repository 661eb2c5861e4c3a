"""global-optimization-split-reductions: long sums over several axes are made in two steps.

    %r = linalg.generic {h, w, c reduced} ins(%x : 256x256x2x16) outs(%init : 2)
    =>
    %p = linalg.generic {w, c reduced} ins(%x) outs(%zero : 2x256)
    %r = linalg.generic {h reduced} ins(%p) outs(%init : 2)

One accumulator over a million elements loses four digits; the partial sums are as many workgroups, too. Sums along
neighbours in memory stay: their kernels take blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.mlir import arith, ir, linalg, tensor
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import extents

_LONG = 1 << 14  # elements of a sum that is split
_LEAST_PARTS, _LEAST_PART = 4, 64


@dataclass(frozen=True)
class _Split:
    """The loops whose steps become partial sums.

    Attributes:
      loops: their numbers, as the axes lie in memory.
      extents: their extents.
      last: whether partial sums lie along the last axes; else along the first, as neighbours in memory are kept apart.
    """

    loops: tuple[int, ...]
    extents: tuple[int, ...]
    last: bool


@module_pass("global-optimization-split-reductions")
def split_reductions(program: Program) -> None:
    """Splits sums of f32 and f64 over 16,384 elements and more along the axes that lie outermost in memory."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        for op in structured_ops.tensor_ops(function.operation):
            if op.name == "linalg.generic" and (split := _find_split(op)) is not None:
                _rewrite(op, split)


def _find_split(op: ir.Operation) -> _Split | None:
    parallel = structured_ops.parallel_loops(op)
    reduced = [loop for loop, is_parallel in enumerate(parallel) if not is_parallel]
    if len(reduced) < 2 or len(op.results) != 1 or not _adds(op):
        return None
    if structured_ops.is_contraction(op) or structured_ops.is_window(op):
        return None
    counts = structured_ops.loop_extents(op)
    if structured_ops.DYNAMIC in (counts[loop] for loop in reduced):
        return None
    for indexing_map in structured_ops.indexing_maps(op)[:-1]:
        dims = structured_ops.map_dims(indexing_map)
        order = [dim for dim in dims if dim is not None and dim in reduced]
        if len(set(order)) != len(reduced) or None in dims:
            continue
        if set(dims[-len(reduced) :]) == set(reduced):
            return None
        outer = 1  # axes to split: until what is left of them is short
        while outer < len(order) - 1 and math.prod(counts[loop] for loop in order[outer:]) >= _LONG:
            outer += 1
        parts, part = (math.prod(counts[loop] for loop in loops) for loops in (order[:outer], order[outer:]))
        if parts < _LEAST_PARTS or part < _LEAST_PART or parts * part < _LONG:
            return None
        return _Split(tuple(order[:outer]), tuple(counts[loop] for loop in order[:outer]), dims[-1] in reduced)
    return None


def _adds(op: ir.Operation) -> bool:
    """Whether the body adds one float to the total."""
    block = structured_ops.body(op)
    total = block.arguments[len(block.arguments) - 1]
    (value,) = list(block.operations)[-1].operation.operands
    if not isinstance(total.type, ir.F32Type | ir.F64Type) or isinstance(value.owner, ir.Block):
        return False
    return value.owner.operation.name == "arith.addf" and [use.owner for use in total.uses] == [value.owner]


def _rewrite(op: ir.Operation, split: _Split) -> None:
    maps = structured_ops.indexing_maps(op)
    parallel = structured_ops.parallel_loops(op)
    for loop in split.loops:
        parallel[loop] = True
    (init,) = structured_ops.outputs(op)
    kind = ir.RankedTensorType(init.type)
    at = kind.rank if split.last else 0
    with ir.InsertionPoint(op), op.location:
        sizes = extents(init)
        sizes[at:at] = split.extents
        empty = tensor.EmptyOp(sizes, kind.element_type).result
        zero = arith.constant(kind.element_type, ir.FloatAttr.get(kind.element_type, 0.0))
        written = list(maps[-1].results)
        written[at:at] = [ir.AffineExpr.get_dim(loop) for loop in split.loops]
        partial_map = ir.AffineMap.get(maps[-1].n_dims, 0, written)
        parts = structured_ops.build_generic(
            structured_ops.inputs(op), [linalg.fill(zero, outs=[empty])], [*maps[:-1], partial_map], parallel,
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)), op.location,
        ).results[0]  # fmt: skip
        rank = len(written)
        kept = [not at <= i < at + len(split.loops) for i in range(rank)]
        read = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(i) for i in range(rank) if kept[i]])
        whole = structured_ops.build_generic(
            [parts], [init], [structured_ops.identity_map(rank), read], kept,
            lambda block: [arith.addf(block.arguments[1], block.arguments[0])], op.location,
        )  # fmt: skip
    op.results[0].replace_all_uses_with(whole.results[0])
    op.erase()
