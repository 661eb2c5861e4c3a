"""input-convert-stablehlo-to-linalgx: what linalg lacks and StableHLO has: sort, scatter, top_k.

    %r = "stablehlo.sort"(%x) <{dimension = 0}> ({^bb0(%a, %b): %p = stablehlo.compare LT, %a, %b; return %p})
    =>
    %r:2 = "linalgx.sort"(%x, %empty, %empty) ({^bb0(%a, %b): … linalgx.yield %s}) {dimension = 0}

A scatter of any dimension numbers becomes one of N windows at N positions: indices are gathered into `N x D`, batching
dims become columns of them, updates are transposed so that windows come last and get a unit extent for inserted dims.
The regions stay StableHLO on 0-d tensors for now; input-inline-scalar-generics finishes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.element_types import signless
from mlirage.input import linalgx
from mlirage.input.stablehlo_attributes import dimension_numbers
from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map

DYNAMIC = ir.ShapedType.get_dynamic_size()


@module_pass("input-convert-stablehlo-to-linalgx")
def convert_stablehlo_to_linalgx(program: Program) -> None:
    """Replaces sort, scatter and top_k by linalgx ops."""
    for op in [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]:
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, _CONVERSIONS[op.name](op), strict=True):
                old.replace_all_uses_with(restore_sign(new, old.type))
        op.erase()


def _sort(op: ir.Operation) -> list[ir.Value]:
    dimension = _integer(op, "dimension")
    operands = list(op.operands)
    if ir.RankedTensorType(operands[0].type).rank == 0:
        return operands  # a single element is in order
    return linalgx.sort(operands, dimension, lambda *scalars: move_scalar_region(op, 0, scalars)[0])


def _top_k(op: ir.Operation) -> list[ir.Value]:
    values, positions = (ir.RankedTensorType(r.type) for r in op.results)
    operand = op.operands[0]
    element = values.element_type
    signed = not (isinstance(element, ir.IntegerType) and element.is_unsigned)
    dims = [_extent(operand, i) for i in range(values.rank - 1)] + [values.shape[-1]]
    outs = tensor.empty(dims, element), tensor.empty(dims, positions.element_type)
    return list(linalgx.topk(operand, values.rank - 1, *outs, lambda a, b: _greater(a, b, signed)))


def _greater(a: ir.Value, b: ir.Value, signed: bool) -> ir.Value:
    """a > b for descending order with every NaN before all numbers, as JAX orders them."""
    if signed and isinstance(a.type, ir.IntegerType) and a.type.width > 1:
        return arith.cmpi(arith.CmpIPredicate.sgt, a, b)
    if isinstance(a.type, ir.IntegerType):
        flat = signless(a.type)
        return arith.cmpi(arith.CmpIPredicate.ugt, restore_sign(a, flat), restore_sign(b, flat))
    a_is_nan, b_is_nan = (arith.cmpf(arith.CmpFPredicate.UNO, x, x) for x in (a, b))
    true = arith.constant(ir.IntegerType.get_signless(1), 1)
    first = arith.andi(a_is_nan, arith.xori(b_is_nan, true))
    return arith.ori(first, arith.cmpf(arith.CmpFPredicate.OGT, a, b))


def _scatter(op: ir.Operation) -> list[ir.Value]:
    count = (len(op.operands) - 1) // 2
    outs, indices, updates = list(op.operands)[:count], op.operands[count], list(op.operands)[count + 1 :]
    numbers = _dimension_numbers(op)
    rank = ir.RankedTensorType(outs[0].type).rank
    hidden = sorted(numbers["inserted_window_dims"] + numbers["input_batching_dims"])
    dimension_map = numbers["scatter_dims_to_operand_dims"] + numbers["input_batching_dims"]
    if not dimension_map:  # one window at the origin
        return _scatter_whole(op, outs, updates, numbers, hidden, rank)
    return linalgx.scatter(
        outs,
        _index_matrix(indices, numbers),
        [_windows(update, numbers["update_window_dims"], hidden, rank) for update in updates],
        dimension_map,
        lambda *scalars: move_scalar_region(op, 0, scalars),
        unique=bool(ir.BoolAttr(op.attributes["unique_indices"]).value) if "unique_indices" in op.attributes else False,
    )


def _scatter_whole(
    op: ir.Operation,
    outs: list[ir.Value],
    updates: list[ir.Value],
    numbers: dict[str, list[int]],
    hidden: list[int],
    rank: int,
) -> list[ir.Value]:
    """Scatter without scattered dims: every window starts at the origin. Any dim can carry the zero index."""
    windows = [_windows(update, numbers["update_window_dims"], hidden, rank) for update in updates]
    if rank == 0:  # linalgx.scatter needs a dim for its indices: a 0-d tensor is one of extent 1
        one = [ir.RankedTensorType.get([1], _tensor(v).element_type) for v in outs]
        outs = [tensor.expand_shape(kind, v, [], [], [1]) for kind, v in zip(one, outs, strict=True)]
        windows = [
            tensor.expand_shape(
                ir.RankedTensorType.get([*_tensor(w).shape, 1], _tensor(w).element_type),
                w, _groups([[0, 1]]), _dynamic([_extent(w, 0)]), [*_tensor(w).shape, 1],
            )
            for w in windows
        ]  # fmt: skip
    i64 = ir.IntegerType.get_signless(64)
    zeros = linalg.fill(arith.constant(i64, 0), outs=[tensor.empty([_extent(windows[0], 0), 1], i64)])
    results = linalgx.scatter(outs, zeros, windows, [0], lambda *scalars: move_scalar_region(op, 0, scalars))
    if rank == 0:
        return [tensor.collapse_shape(r.type, v, []) for r, v in zip(op.results, results, strict=True)]
    return results


def _index_matrix(indices: ir.Value, numbers: dict[str, list[int]]) -> ir.Value:
    """The start positions as `N x D` i64: index vectors, then the positions along the batching dims."""
    shaped = _tensor(indices)
    vector_dim = numbers["index_vector_dim"][0]
    batch_dims = [i for i in range(shaped.rank) if i != vector_dim]
    depth = 1 if vector_dim == shaped.rank else shaped.shape[vector_dim]
    batching = [batch_dims.index(dim) for dim in numbers["scatter_indices_batching_dims"]]
    element, i64 = shaped.element_type, ir.IntegerType.get_signless(64)
    unsigned = isinstance(element, ir.IntegerType) and element.is_unsigned
    flat = restore_sign(indices, signless(indices.type))
    extents = [_extent(indices, i) for i in batch_dims]
    out = tensor.empty([*extents, depth + len(batching)], i64)
    rank = len(batch_dims) + 1

    def body(block: ir.Block) -> Sequence[ir.Value]:
        place = [linalg.IndexOp(i).result for i in range(rank)]
        column = place[-1]
        # Columns behind the index vectors read vector 0 and are then replaced.
        inside = arith.minsi(column, arith.constant(ir.IndexType.get(), max(depth - 1, 0)))
        position = list(place[:-1])
        if vector_dim < shaped.rank:
            position.insert(vector_dim, inside)
        value = _to_i64(tensor.extract(flat, position), unsigned) if depth else arith.constant(i64, 0)
        for number, dim in enumerate(batching):
            here = arith.cmpi(arith.CmpIPredicate.eq, column, arith.constant(ir.IndexType.get(), depth + number))
            value = arith.select(here, arith.index_cast(i64, place[dim]), value)
        return [value]

    matrix = build_generic([], [out], [identity_map(rank)], [True] * rank, body, ir.Location.current).results[0]
    return _collapse_leading(matrix, rank - 1)


def _to_i64(value: ir.Value, unsigned: bool) -> ir.Value:
    i64 = ir.IntegerType.get_signless(64)
    if isinstance(value.type, ir.IndexType):
        return arith.index_cast(i64, value)
    if ir.IntegerType(value.type).width == 64:
        return value  # what is beyond 2^63 unsigned becomes negative: outside, either way
    return arith.extui(i64, value) if unsigned else arith.extsi(i64, value)


def _windows(updates: ir.Value, window_dims: list[int], hidden: list[int], rank: int) -> ir.Value:
    """Updates as `N x window`, with a unit extent for every hidden dim of the operand."""
    shaped = _tensor(updates)
    scatter_dims = [i for i in range(shaped.rank) if i not in window_dims]
    order = scatter_dims + window_dims
    if order != list(range(shaped.rank)):
        out = tensor.empty([_extent(updates, i) for i in order], shaped.element_type)
        updates = linalg.transpose(updates, outs=[out], permutation=order).results[0]  # pyright: ignore[reportArgumentType]
    updates = _collapse_leading(updates, len(scatter_dims))
    if not hidden:
        return updates
    # Groups of expand_shape: each source dim takes the unit dims that follow it (the first also those before it).
    target: list[ir.Value | int] = [_extent(updates, 0)]
    groups: list[list[int]] = [[0]]
    source = 1
    for dim in range(rank):
        if dim in hidden:
            target.append(1)
        else:
            target.append(_extent(updates, source))
            groups.append([])
            source += 1
        groups[-1].append(dim + 1)
    static = [extent if isinstance(extent, int) else DYNAMIC for extent in target]
    kind = ir.RankedTensorType.get(static, _tensor(updates).element_type)
    return tensor.expand_shape(kind, updates, _groups(groups), _dynamic(target), static)


def _collapse_leading(value: ir.Value, count: int) -> ir.Value:
    """`value` with its first `count` dims as one; with none, a dim of extent 1 in front."""
    shaped = _tensor(value)
    rest = list(range(count, shaped.rank))
    if count == 1:
        return value
    if count == 0:
        static = [1, *shaped.shape]
        kind = ir.RankedTensorType.get(static, shaped.element_type)
        groups = [[0, 1], *[[i + 1] for i in rest[1:]]] if rest else []
        return tensor.expand_shape(
            kind, value, _groups(groups), _dynamic([_extent(value, i) for i in range(shaped.rank)]), static
        )
    leading = shaped.shape[:count]
    total = DYNAMIC if DYNAMIC in leading else 1
    for extent in leading:
        total = total * extent if total != DYNAMIC else DYNAMIC
    kind = ir.RankedTensorType.get([total, *shaped.shape[count:]], shaped.element_type)
    return tensor.collapse_shape(kind, value, _groups([list(range(count)), *[[i] for i in rest]]))


def move_scalar_region(op: ir.Operation, number: int, scalars: Sequence[ir.Value]) -> list[ir.Value]:
    """Moves the ops of region `number` of `op`, code on 0-d tensors, to the insertion point, fed with `scalars`."""
    block = op.regions[number].blocks[0]
    for argument, scalar in zip(block.arguments, scalars, strict=True):
        kind = ir.RankedTensorType(argument.type)
        argument.replace_all_uses_with(restore_sign(_from_element(scalar, kind), kind))
    ops = [inner.operation for inner in block.operations]
    marker = _marker()
    for inner in ops[:-1]:
        inner.move_before(marker)
    returned = list(ops[-1].operands)
    values: list[ir.Value] = []
    for value in returned:
        element = ir.RankedTensorType(value.type).element_type
        values.append(restore_sign(tensor.extract(restore_sign(value, signless(value.type)), []), element))
    marker.erase()
    ops[-1].erase()
    return values


def _marker() -> ir.Operation:
    """An op at the insertion point to move others before."""
    return arith.constant(ir.IndexType.get(), 0).owner


def _from_element(scalar: ir.Value, kind: ir.RankedTensorType) -> ir.Value:
    return tensor.from_elements(ir.RankedTensorType(signless(kind)), [restore_sign(scalar, signless(scalar.type))])


def restore_sign(value: ir.Value, wanted: ir.Type) -> ir.Value:
    """`value` as `wanted`, which differs in signedness at most."""
    if value.type == wanted:
        return value
    return ir.Operation.create("builtin.unrealized_conversion_cast", results=[wanted], operands=[value]).results[0]


def _dimension_numbers(op: ir.Operation) -> dict[str, list[int]]:
    """The lists of `#stablehlo.scatter<…>`."""
    names = (
        "update_window_dims", "inserted_window_dims", "input_batching_dims", "scatter_indices_batching_dims",
        "scatter_dims_to_operand_dims",
    )  # fmt: skip
    return dimension_numbers(op.attributes["scatter_dimension_numbers"], names)


def _integer(op: ir.Operation, name: str) -> int:
    return ir.IntegerAttr(op.attributes[name]).value


def _tensor(value: ir.Value) -> ir.RankedTensorType:
    return ir.RankedTensorType(value.type)


def _extent(value: ir.Value, dim: int) -> ir.Value | int:
    shaped = _tensor(value)
    if shaped.is_dynamic_dim(dim):
        return tensor.dim(value, arith.constant(ir.IndexType.get(), dim))
    return shaped.get_dim_size(dim)


def _dynamic(extents: Sequence[ir.Value | int]) -> list[ir.Value]:
    return [extent for extent in extents if isinstance(extent, ir.Value)]


def _groups(groups: Sequence[Sequence[int]]) -> ir.ArrayAttr:
    i64 = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(i64, dim) for dim in group]) for group in groups])


_CONVERSIONS: dict[str, Callable[[ir.Operation], list[ir.Value]]] = {
    "stablehlo.sort": _sort,
    "stablehlo.scatter": _scatter,
    "chlo.top_k": _top_k,
}
