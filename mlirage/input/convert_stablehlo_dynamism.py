"""input-convert-stablehlo-dynamism: StableHLO ops whose shapes are run-time tensors become ops with index extents.

    %r = stablehlo.dynamic_broadcast_in_dim %x, %shape, dims = [0] : (tensor<?xf32>, tensor<2xi32>) -> tensor<?x5xf32>
    =>
    %n = tensor.extract %shape[%c0]; linalg.generic {maps (d0, d1) -> (d0), (d0, d1)} ins(%x) outs(tensor.empty(%n))

An extent that may be 1 at run time where the result's is not is stretched then; the test goes away where
canonicalization proves the extents equal. Also here: reverse, dynamic_gather (starts are clamped), real_dynamic_slice,
dynamic_update_slice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.input.stablehlo_attributes import dimension_numbers
from mlirage.mlir import arith, ir, linalg, scf, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import Extent, collapse_dims, dynamic_extents, extents, static_shape


@module_pass("input-convert-stablehlo-dynamism")
def convert_stablehlo_dynamism(program: Program) -> None:
    """Replaces the dynamic forms that stablehlo-legalize-to-linalg leaves."""
    for op in [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]:
        with op.location, ir.InsertionPoint(op):
            value = _CONVERSIONS[op.name](op)
            if value is None:
                continue
            if value.type != op.results[0].type:
                value = tensor.cast(op.results[0].type, value)
            op.results[0].replace_all_uses_with(value)
        op.erase()


def _index(value: int) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value)


def _element(vector: ir.Value, position: int) -> ir.Value:
    """An element of a shape tensor as an index."""
    return _to_index(tensor.extract(vector, [_index(position)]))


def _to_index(value: ir.Value) -> ir.Value:
    return value if isinstance(value.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), value)


def _result_extents(op: ir.Operation, shape: ir.Value) -> list[Extent]:
    """The result's extents: those that its type tells, the others from the run-time `shape`."""
    result = ir.RankedTensorType(op.results[0].type)
    return [_element(shape, i) if result.is_dynamic_dim(i) else result.get_dim_size(i) for i in range(result.rank)]


def _value(extent: Extent) -> ir.Value:
    return _index(extent) if isinstance(extent, int) else extent


def _integers(op: ir.Operation, name: str) -> list[int]:
    return list(ir.DenseI64ArrayAttr(op.attributes[name])) if name in op.attributes else []


def _broadcast(op: ir.Operation) -> ir.Value:
    operand, shape = op.operands
    source = ir.RankedTensorType(operand.type)
    dims = _integers(op, "broadcast_dimensions")
    target = _result_extents(op, shape)
    result_type = ir.RankedTensorType(op.results[0].type)
    stretched = set(_integers(op, "known_expanding_dimensions"))
    same = set(_integers(op, "known_nonexpanding_dimensions"))
    doubtful: list[int] = []
    for i, dim in enumerate(dims):
        if not source.is_dynamic_dim(i):
            if source.get_dim_size(i) == 1 and target[dim] != 1:
                stretched.add(i)
        elif i not in stretched and i not in same and not (not result_type.is_dynamic_dim(dim) and target[dim] == 1):
            doubtful.append(i)
    if not doubtful:
        return _broadcast_by_map(operand, dims, target, stretched)
    agree: ir.Value | None = None
    for i in doubtful:
        equal = arith.cmpi(arith.CmpIPredicate.eq, tensor.dim(operand, _index(i)), _value(target[dims[i]]))
        agree = equal if agree is None else arith.andi(agree, equal)
    assert agree is not None
    kind = ir.RankedTensorType.get(static_shape(target), source.element_type)
    branch = scf.IfOp(agree, [kind], has_else=True)
    with ir.InsertionPoint(branch.then_block):
        scf.yield_([_broadcast_by_map(operand, dims, target, stretched)])
    with ir.InsertionPoint(branch.else_block):
        scf.yield_([_broadcast_by_reads(operand, dims, target)])
    return branch.results[0]


def _broadcast_by_map(
    operand: ir.Value, dims: Sequence[int], target: Sequence[Extent], stretched: set[int]
) -> ir.Value:
    """Reads the operand through a map: the dims in `stretched` are 1."""
    source = ir.RankedTensorType(operand.type)
    kept = [i for i in range(source.rank) if i not in stretched]
    if len(kept) < source.rank:
        sizes = extents(operand)
        kind = ir.RankedTensorType.get([source.shape[i] for i in kept], source.element_type)
        static = [1 if i in stretched else s for i, s in enumerate(static_shape(sizes))]
        dynamic = [size for i, size in enumerate(sizes) if i in kept and isinstance(size, ir.Value)]
        rank = source.rank
        operand = tensor.extract_slice(kind, operand, [], dynamic, [], [0] * rank, static, [1] * rank)
    rank = len(target)
    expressions = [ir.AffineExpr.get_dim(dims[i]) for i in kept]
    maps = [ir.AffineMap.get(rank, 0, expressions), identity_map(rank)]
    out = tensor.empty(list(target), source.element_type)
    location = ir.Location.current
    return build_generic([operand], [out], maps, [True] * rank, lambda block: [block.arguments[0]], location).results[0]


def _broadcast_by_reads(operand: ir.Value, dims: Sequence[int], target: Sequence[Extent]) -> ir.Value:
    """Asks for every extent at run time whether it is 1."""
    one, zero = _index(1), _index(0)
    units = [arith.cmpi(arith.CmpIPredicate.eq, _value(extent), one) for extent in extents(operand)]

    def body(place: list[ir.Value]) -> ir.Value:
        return tensor.extract(
            operand, [arith.select(unit, zero, place[dim]) for unit, dim in zip(units, dims, strict=True)]
        )

    return _tabulate(target, ir.RankedTensorType(operand.type).element_type, body)


def _tabulate(shape: Sequence[Extent], element: ir.Type, body: Callable[[list[ir.Value]], ir.Value]) -> ir.Value:
    """The tensor whose element at a place is `body(place)`."""
    rank = len(shape)
    out = tensor.empty(list(shape), element)

    def fill(block: ir.Block) -> Sequence[ir.Value]:
        del block
        return [body([linalg.IndexOp(i).result for i in range(rank)])]

    return build_generic([], [out], [identity_map(rank)], [True] * rank, fill, ir.Location.current).results[0]


def _reshape(op: ir.Operation) -> ir.Value:
    operand, shape = op.operands
    source = ir.RankedTensorType(operand.type)
    target = _result_extents(op, shape)
    if len(target) == 1 and source.rank > 0:
        return operand if source.rank == 1 else collapse_dims(operand, 0, source.rank)
    sizes = tensor.from_elements(
        ir.RankedTensorType.get([len(target)], ir.IndexType.get()), [_value(e) for e in target]
    )
    return tensor.reshape(ir.RankedTensorType.get(static_shape(target), source.element_type), operand, sizes)


def _reverse(op: ir.Operation) -> ir.Value:
    operand = op.operands[0]
    dims = set(_integers(op, "dimensions"))
    shape = extents(operand)

    def body(place: list[ir.Value]) -> ir.Value:
        mirrored = [
            arith.subi(arith.subi(_value(extent), _index(1)), p) if i in dims else p
            for i, (p, extent) in enumerate(zip(place, shape, strict=True))
        ]
        return tensor.extract(operand, mirrored)

    return _tabulate(shape, ir.RankedTensorType(operand.type).element_type, body)


def _slice(op: ir.Operation) -> ir.Value:
    """real_dynamic_slice: operand, start, limit, strides; all 1-D integer tensors."""
    operand, starts, limits, strides = op.operands
    result = ir.RankedTensorType(op.results[0].type)
    begin, step, shape = [], [], []
    for i in range(result.rank):
        start, limit, stride = (_element(vector, i) for vector in (starts, limits, strides))
        begin.append(start)
        step.append(stride)
        static = not result.is_dynamic_dim(i)
        shape.append(result.get_dim_size(i) if static else arith.ceildivsi(arith.subi(limit, start), stride))

    def body(place: list[ir.Value]) -> ir.Value:
        where = [arith.addi(b, arith.muli(p, s)) for b, p, s in zip(begin, place, step, strict=True)]
        return tensor.extract(operand, where)

    return _tabulate(shape, result.element_type, body)


def _update_slice(op: ir.Operation) -> ir.Value:
    """dynamic_update_slice: starts are clamped so that the update fits."""
    operand, update, *starts = op.operands
    sizes = extents(update)
    begin: list[Extent] = []
    for start, whole, size in zip(starts, extents(operand), sizes, strict=True):
        last = arith.subi(_value(whole), _value(size))
        begin.append(arith.maxsi(arith.minsi(_to_index(tensor.extract(start, [])), last), _index(0)))
    return tensor.insert_slice(
        update, operand, dynamic_extents(begin), dynamic_extents(sizes), [],
        static_shape(begin), static_shape(sizes), [1] * len(sizes),
    )  # fmt: skip


def _gather(op: ir.Operation) -> ir.Value:
    """dynamic_gather: as gather, with slice sizes from a tensor."""
    operand, indices, sizes = op.operands
    numbers = _gather_numbers(op)
    result = ir.RankedTensorType(op.results[0].type)
    rank = ir.RankedTensorType(operand.type).rank
    index_rank = ir.RankedTensorType(indices.type).rank
    vector_dim = numbers["index_vector_dim"][0]
    offset_dims = numbers["offset_dims"]
    batch_dims = [i for i in range(result.rank) if i not in offset_dims]
    hidden = set(numbers["collapsed_slice_dims"] + numbers["operand_batching_dims"])
    windows = [dim for dim in range(rank) if dim not in hidden]
    slice_sizes = [_element(sizes, dim) for dim in range(rank)]
    index_extents = extents(indices)
    batch_extents = [extent for i, extent in enumerate(index_extents) if i != vector_dim]
    shape: list[Extent] = []
    for i in range(result.rank):
        if not result.is_dynamic_dim(i):
            shape.append(result.get_dim_size(i))
        elif i in offset_dims:
            shape.append(slice_sizes[windows[offset_dims.index(i)]])
        else:
            shape.append(batch_extents[batch_dims.index(i)])
    limits = [arith.subi(_value(e), s) for e, s in zip(extents(operand), slice_sizes, strict=True)]

    def body(place: list[ir.Value]) -> ir.Value:
        batch = [place[i] for i in batch_dims]
        where = [_index(0)] * rank
        for dim, offset in zip(windows, offset_dims, strict=True):
            where[dim] = place[offset]
        for column, dim in enumerate(numbers["start_index_map"]):
            position = list(batch)
            if vector_dim < index_rank:
                position.insert(vector_dim, _index(column))
            start = _to_index(tensor.extract(indices, position))
            start = arith.maxsi(arith.minsi(start, limits[dim]), _index(0))
            where[dim] = arith.addi(where[dim], start)
        vectors = [i for i in range(index_rank) if i != vector_dim]
        for dim, index_dim in zip(
            numbers["operand_batching_dims"], numbers["start_indices_batching_dims"], strict=True
        ):
            where[dim] = batch[vectors.index(index_dim)]
        return tensor.extract(operand, where)

    return _tabulate(shape, result.element_type, body)


def _gather_numbers(op: ir.Operation) -> dict[str, list[int]]:
    names = (
        "offset_dims", "collapsed_slice_dims", "operand_batching_dims", "start_indices_batching_dims",
        "start_index_map",
    )  # fmt: skip
    return dimension_numbers(op.attributes["dimension_numbers"], names)


_CONVERSIONS: dict[str, Callable[[ir.Operation], ir.Value | None]] = {
    "stablehlo.dynamic_broadcast_in_dim": _broadcast,
    "stablehlo.dynamic_reshape": _reshape,
    "stablehlo.reverse": _reverse,
    "stablehlo.real_dynamic_slice": _slice,
    "stablehlo.dynamic_gather": _gather,
    "stablehlo.dynamic_update_slice": _update_slice,
}
