"""Moves reshapes past the elementwise ops and reductions that follow them: these see the shape of their producer.

    %p = linalg.matmul … : tensor<6x8xf32>                  %p = linalg.matmul … : tensor<6x8xf32>
    %e = tensor.expand_shape %p [[0, 1], [2]] 2x3x8    ->   %r = collapse_shape %residual : tensor<6x8xf32>
    %s = linalg.generic … ins(%e, %residual) 2x3x8          %s = linalg.generic … ins(%p, %r) 6x8
                                                            expand_shape %s

An op that reads an expand_shape is computed on collapsed loops; one that reads a collapse_shape on expanded loops. The
reshape of the result meets its inverse further down, and the op can run in the dispatch of its producer. Reshapes cost
nothing themselves: they only stand in the way of fusion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlirage import structured_ops
from mlirage.extents import Extents, reassociation
from mlirage.global_optimization.simplify_reshape import RESHAPES, collapse_shape, expand_shape, simplify_reshape
from mlirage.mlir import arith, ir, linalg
from mlirage.passes import module_pass
from mlirage.program import Program

Groups = list[list[int]]


@module_pass("global-optimization-propagate-reshapes")
def propagate_reshapes(program: Program) -> None:
    """Sinks expand_shape and collapse_shape of computed tensors below their elementwise and reducing readers."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        extents = Extents()
        for op in structured_ops.tensor_ops(function.operation):
            if op.name == "linalg.generic" and _is_movable(op):
                _move(op, extents)
            elif op.name in RESHAPES:
                simplify_reshape(op, extents)


def _is_movable(op: ir.Operation) -> bool:
    return (
        len(op.results) > 0
        and not structured_ops.is_contraction(op)
        and not structured_ops.is_window(op)
        and not structured_ops.has_index(op)
    )


def _move(op: ir.Operation, extents: Extents) -> None:
    maps = structured_ops.indexing_maps(op)
    for operand, indexing_map in zip(structured_ops.inputs(op), maps, strict=False):
        made_by = None if isinstance(operand.owner, ir.Block) else operand.owner.operation
        if made_by is None or made_by.name not in RESHAPES:
            continue
        source = made_by.operands[0]
        if isinstance(source.owner, ir.Block) or not structured_ops.is_structured(source.owner.operation):
            continue
        dims = structured_ops.map_dims(indexing_map)
        if made_by.name == "tensor.expand_shape":
            loops = [[dims[i] for i in group] for group in reassociation(made_by)]
            done = _collapse(op, loops, extents)
        else:
            done = _expand(op, dims, made_by, extents)
        if done:
            return


def _collapse(op: ir.Operation, groups: Sequence[Sequence[int | None]], extents: Extents) -> bool:
    """Rebuilds `op` with each group of its loops as one loop; False if some operand does not allow it."""
    merged = [[loop for loop in group if loop is not None] for group in groups if len(group) > 1]
    if any(len(mine) != len(group) for mine, group in zip(merged, [g for g in groups if len(g) > 1], strict=True)):
        return False
    parallel = structured_ops.parallel_loops(op)
    if any(len({parallel[loop] for loop in group}) != 1 for group in merged):
        return False
    first = {group[0]: group for group in merged}
    inner = {loop for group in merged for loop in group[1:]}
    maps = structured_ops.indexing_maps(op)
    shapes: list[Groups] = []
    for operand, indexing_map in zip(op.operands, maps, strict=True):
        if not isinstance(operand.type, ir.RankedTensorType):
            shapes.append([])
            continue
        shape = _collapsed_dims(indexing_map, first, inner)
        if shape is None:
            return False
        shapes.append(shape)
    kept = [loop for loop in range(len(parallel)) if loop not in inner]
    number = {loop: position for position, loop in enumerate(kept)}
    new_maps = [_renumbered(m, inner, number) for m in maps]
    count = structured_ops.segment_sizes(op)[0]
    with ir.InsertionPoint(op), op.location:
        operands = [_collapse_value(v, shape, extents) for v, shape in zip(op.operands, shapes, strict=True)]
        _rebuild(op, operands, new_maps, [parallel[loop] for loop in kept], shapes[count:], extents)
    return True


def _collapsed_dims(indexing_map: ir.AffineMap, first: dict[int, list[int]], inner: set[int]) -> Groups | None:
    """The groups of dims of an operand that its loops make; None if they are not next to each other and in order."""
    dims = structured_ops.map_dims(indexing_map)
    groups: Groups = []
    position = 0
    while position < len(dims):
        loop = dims[position]
        group = first.get(loop, [loop]) if loop is not None else [None]
        if loop is None and indexing_map.results[position] != ir.AffineConstantExpr.get(0):
            return None
        if loop in inner or dims[position : position + len(group)] != group:
            return None
        groups.append(list(range(position, position + len(group))))
        position += len(group)
    return groups


def _renumbered(indexing_map: ir.AffineMap, inner: set[int], number: dict[int, int]) -> ir.AffineMap:
    results = [
        ir.AffineDimExpr.get(number[expr.position]) if isinstance(expr, ir.AffineDimExpr) else expr
        for expr in indexing_map.results
        if not (isinstance(expr, ir.AffineDimExpr) and expr.position in inner)
    ]
    return ir.AffineMap.get(len(number), 0, results)


def _collapse_value(value: ir.Value, groups: Groups, extents: Extents) -> ir.Value:
    if not isinstance(value.type, ir.RankedTensorType) or all(len(group) == 1 for group in groups):
        return value
    made_by = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if made_by is not None and made_by.name == "tensor.expand_shape" and reassociation(made_by) == groups:
        return made_by.operands[0]
    shape = [
        structured_ops.DYNAMIC
        if any(value.type.is_dynamic_dim(i) for i in group)
        else math.prod(value.type.shape[i] for i in group)
        for group in groups
    ]
    result = ir.RankedTensorType.get(shape, value.type.element_type)
    collapsed = collapse_shape(value, result, groups)
    if made_by is not None and is_uniform(made_by):
        dims = extents.dynamic(collapsed)
        extents.forget(ir.OpResult(collapsed).owner.operation)
        ir.OpResult(collapsed).owner.operation.erase()
        return _uniform_like(made_by, result, dims)
    return collapsed


def is_uniform(op: ir.Operation) -> bool:
    """Whether all elements of the result of `op` are equal, or unspecified, whatever its shape."""
    if op.name == "arith.constant":
        value = op.attributes["value"]
        return isinstance(value, ir.DenseElementsAttr) and value.is_splat
    return op.name in ("tensor.empty", "linalg.fill", "tensor.splat")


def _uniform_like(op: ir.Operation, kind: ir.RankedTensorType, dims: list[ir.Value]) -> ir.Value:
    """What a uniform `op` makes, in another shape, at the current insertion point."""
    if op.name == "arith.constant":
        value = ir.DenseElementsAttr(op.attributes["value"])
        return arith.ConstantOp(kind, ir.DenseElementsAttr.get_splat(kind, value.get_splat_value())).result  # pyright: ignore[reportArgumentType]
    empty = ir.Operation.create("tensor.empty", [kind], dims).results[0]
    return empty if op.name == "tensor.empty" else linalg.fill(op.operands[0], outs=[empty])


def _expand(op: ir.Operation, dims: list[int | None], collapse: ir.Operation, extents: Extents) -> bool:
    """Rebuilds `op` with a loop for each dim that `collapse` merges; False if some operand does not allow it."""
    source = collapse.operands[0]
    split: dict[int, list[int]] = {}  # loop -> dims of the source
    for loop, group in zip(dims, reassociation(collapse), strict=True):
        if len(group) > 1:
            if loop is None or loop in split:
                return False
            split[loop] = group
    parallel = structured_ops.parallel_loops(op)
    maps = structured_ops.indexing_maps(op)
    if split and any(not _is_simple(expr) for m in maps for expr in m.results):
        return False
    new_loops: list[list[int]] = []
    for loop in range(len(parallel)):
        start = sum(len(group) for group in new_loops)
        new_loops.append(list(range(start, start + len(split.get(loop, [loop])))))
    total = sum(len(group) for group in new_loops)
    new_maps: list[ir.AffineMap] = []
    shapes: list[Groups] = []
    operands: list[ir.Value] = []
    with ir.InsertionPoint(op), op.location:
        for operand, indexing_map in zip(op.operands, maps, strict=True):
            results: list[ir.AffineExpr] = []
            groups: Groups = []
            for expr in indexing_map.results:
                loops = new_loops[expr.position] if isinstance(expr, ir.AffineDimExpr) else None
                groups.append(list(range(len(results), len(results) + (len(loops) if loops else 1))))
                results.extend([ir.AffineDimExpr.get(loop) for loop in loops] if loops else [expr])
            new_maps.append(ir.AffineMap.get(total, 0, results))
            shapes.append(groups)
            operands.append(_expand_value(operand, indexing_map, groups, split, source, extents))
        new_parallel = [parallel[loop] for loop, group in enumerate(new_loops) for _ in group]
        count = structured_ops.segment_sizes(op)[0]
        fused = structured_ops.build_generic(
            operands[:count],
            operands[count:],
            new_maps,
            new_parallel,
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)),
            op.location,
        )
        for old, new, groups in zip(op.results, fused.results, shapes[count:], strict=True):
            old.replace_all_uses_with(_collapse_value(new, groups, extents))
    _erase(op, extents)
    return True


def _is_simple(expr: ir.AffineExpr) -> bool:
    return isinstance(expr, ir.AffineDimExpr | ir.AffineConstantExpr)


def _expand_value(
    value: ir.Value,
    indexing_map: ir.AffineMap,
    groups: Groups,
    split: dict[int, list[int]],
    source: ir.Value,
    extents: Extents,
) -> ir.Value:
    if not isinstance(value.type, ir.RankedTensorType) or all(len(group) == 1 for group in groups):
        return value
    made_by = None if isinstance(value.owner, ir.Block) else value.owner.operation
    shape: list[int] = []
    dynamic: list[ir.Value] = []
    for dim, expr in enumerate(indexing_map.results):
        split_dims = split.get(expr.position) if isinstance(expr, ir.AffineDimExpr) else None
        for of, at in [(source, i) for i in split_dims] if split_dims else [(value, dim)]:
            shape.append(of.type.shape[at])
            if of.type.is_dynamic_dim(at):
                dynamic.append(extents.extent(of, at))
    if made_by is not None and made_by.name == "tensor.collapse_shape" and reassociation(made_by) == groups:
        inner = made_by.operands[0]
        # The same dims may be merged from other extents (1x2 and 2x1 both become 2); a single unknown one follows from
        # the others.
        single = all(sum(shape[i] == structured_ops.DYNAMIC for i in group) <= 1 for group in groups)
        if list(inner.type.shape) == shape and (single or extents.dynamic(inner) == dynamic):
            return inner
    if made_by is not None and is_uniform(made_by):
        return _uniform_like(made_by, ir.RankedTensorType.get(shape, value.type.element_type), dynamic)
    return expand_shape(value, shape, dynamic, groups)


def _rebuild(
    op: ir.Operation,
    operands: list[ir.Value],
    maps: list[ir.AffineMap],
    parallel: list[bool],
    out_groups: list[Groups],
    extents: Extents,
) -> None:
    """Replaces `op` by a generic with the same body on collapsed loops, whose results are expanded again."""
    count = structured_ops.segment_sizes(op)[0]
    results = [(list(result.type.shape), extents.dynamic(result)) for result in op.results]
    with ir.InsertionPoint(op):
        fused = structured_ops.build_generic(
            operands[:count],
            operands[count:],
            maps,
            parallel,
            lambda block: structured_ops.clone_body(structured_ops.body(op), list(block.arguments)),
            op.location,
        )
        for old, new, groups, (shape, dynamic) in zip(op.results, fused.results, out_groups, results, strict=True):
            same = all(len(group) == 1 for group in groups)
            old.replace_all_uses_with(new if same else expand_shape(new, shape, dynamic, groups))
    _erase(op, extents)


def _erase(op: ir.Operation, extents: Extents) -> None:
    extents.forget(op)
    op.erase()


def expanded_init(op: ir.Operation, batch: list[int], dims: list[ir.Value], extents: Extents) -> ir.Value:
    """The init of `op` with its first dim split into `batch`, whose dynamic extents are `dims`."""
    init = structured_ops.outputs(op)[0]
    shape = [*batch, *list(init.type.shape)[1:]]
    dynamic = [*dims, *(extents.extent(init, i) for i in range(1, init.type.rank) if init.type.is_dynamic_dim(i))]
    made_by = None if isinstance(init.owner, ir.Block) else init.owner.operation
    if made_by is not None and is_uniform(made_by):
        return _uniform_like(made_by, ir.RankedTensorType.get(shape, init.type.element_type), dynamic)
    count = len(batch)
    return expand_shape(init, shape, dynamic, [list(range(count)), *([count + i] for i in range(init.type.rank - 1))])


def replace_by_collapsed(op: ir.Operation, new: ir.Operation, groups: Groups, extents: Extents) -> None:
    """Replaces `op` by the result of `new`, collapsed to the shape of `op`'s."""
    op.results[0].replace_all_uses_with(_collapse_value(new.results[0], groups, extents))
    _erase(op, extents)
