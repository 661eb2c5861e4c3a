"""Recognises softmax(query · keyᵀ …) · value, however it is spelled, and makes it one `linalgx.attention`.

    %s = contraction %q, %k;  %x = elementwise %s, %mask          scores: scaled, masked, capped, biased
    %m = reduce max %x;  %e = exp(%x - %m);  %t = reduce add %e   softmax
    %p = elementwise %e / %t;  %o = contraction %p, %v
      ─>
    %o = "linalgx.attention"(%q, %k, %v, %mask, %empty) ({ scores })

Transposes, widenings and repetitions of query, key and value, scales of query and key, and a transpose of the result
become part of the indexing maps and of the region. Weights that somebody else reads stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.attention import attention_loops, extents_of, loops_of
from mlirage.extents import Extents
from mlirage.global_optimization.element_expressions import (
    Apply,
    Constant,
    Expression,
    Read,
    build,
    expression_of,
    is_pointwise,
    reads,
    reshaped_place,
)
from mlirage.input import linalgx
from mlirage.mlir import arith, ir, tensor
from mlirage.passes import module_pass
from mlirage.program import Program

_CASTS = ("arith.extf", "arith.truncf")
_RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape")
_MOST_DEPTH = 1024
_LOWEST = {
    "f16": -65504.0,
    "bf16": -3.3895313892515355e38,
    "f32": -3.4028234663852886e38,
    "f64": -1.7976931348623157e308,
}


@module_pass("global-optimization-raise-attention")
def raise_attention(program: Program) -> None:
    """Replaces softmaxes between two contractions by attentions."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        extents = Extents()
        for op in structured_ops.tensor_ops(function.operation):
            if structured_ops.is_structured(op) and _is_product(op):
                for number in range(2):
                    if _raise(op, number, extents):
                        break


def _is_product(op: ir.Operation) -> bool:
    """Whether `op` sums products of two float tensors along one loop, from 0."""
    if not structured_ops.is_contraction(op) or len(op.results) != 1:
        return False
    matched = structured_ops.multiply_add(op)
    if matched is None or matched[0] != "arith.addf" or structured_ops.parallel_loops(op).count(False) != 1:
        return False
    if any(not _only_widens(factor) for factor in matched[1:]):
        return False
    return _filled(structured_ops.outputs(op)[0]) == 0.0


def _only_widens(factor: ir.Value) -> bool:
    while not isinstance(factor.owner, ir.Block):
        if factor.owner.operation.name != "arith.extf":
            return False
        factor = factor.owner.operation.operands[0]
    return isinstance(factor.type, ir.F16Type | ir.BF16Type | ir.F32Type | ir.F64Type)


def _filled(value: ir.Value) -> float | None:
    """The number that a tensor is filled with."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "linalg.fill":
        return None
    return _constant(value.owner.operation.operands[0])


def _constant(value: ir.Value) -> float | None:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None
    attribute = value.owner.operation.attributes["value"]
    return attribute.value if isinstance(attribute, ir.FloatAttr) else None


@dataclass(frozen=True)
class _Softmax:
    """softmax of `scores` (an expression over the dims of the weights) along one of the dims."""

    scores: Expression
    masked_rows: str


@dataclass
class _Operand:
    """A tensor and where it is read, over the attention's loops; `scale` is what its elements are multiplied by."""

    tensor: ir.Value
    place: ir.AffineMap
    scale: float = 1.0


def _raise(op: ir.Operation, number: int, extents: Extents) -> bool:
    """Rewrites `op` if its operand `number` is a softmax of scores."""
    weights = op.operands[number]
    maps, parallel = structured_ops.indexing_maps(op), structured_ops.parallel_loops(op)
    dims = structured_ops.map_dims(maps[number])
    key_loop = parallel.index(False)
    if None in dims or len(set(dims)) != len(dims) or key_loop not in dims or len(list(weights.uses)) != 1:
        return False
    softmax = _match_softmax(weights, dims.index(key_loop))
    if softmax is None:
        return False
    depth_loop = maps[0].n_dims
    total = depth_loop + 1
    # the weights' dims as loops of the attention: those of `op`, then the depth
    at = ir.AffineMap.get(total, 0, [ir.AffineDimExpr.get(d) for d in dims if d is not None])
    for candidate in reads(softmax.scores):
        product = _product_of(candidate, at, key_loop, depth_loop)
        if product is None:
            continue
        value = _Operand(op.operands[1 - number], _with_dims(maps[1 - number], total))
        if _rewrite(op, softmax, candidate, [*product, value], at, extents):
            return True
    return False


def _with_dims(indexing_map: ir.AffineMap, count: int) -> ir.AffineMap:
    return ir.AffineMap.get(count, 0, list(indexing_map.results))


# Matching -------------------------------------------------------------------------------------------------------------


def _match_softmax(weights: ir.Value, dim: int) -> _Softmax | None:
    rank = ir.RankedTensorType(weights.type).rank
    interesting: dict[ir.Value, bool] = {}

    def looks_into(value: ir.Value) -> bool:
        if value not in interesting:
            interesting[value] = _computes(value, looks_into)
        return interesting[value]

    def element(value: ir.Value, place: ir.AffineMap) -> Expression:
        return expression_of(value, place, looks_into)

    def reduced(e: Expression, name: Sequence[str], starts: Sequence[float]) -> Expression | None:
        """What is reduced along the softmax's dim, if `e` reads such a reduction."""
        if not isinstance(e, Read) or isinstance(e.tensor.owner, ir.Block):
            return None
        return _reduced(e, dim, name, starts, element)

    masked_rows = "nan"
    whole = _uncast(element(weights, ir.AffineMap.get_identity(rank)))
    guarded = _without_nan(whole)
    if guarded is not None:
        masked_rows, whole = "zero_nan", _uncast(guarded)
    match whole:
        case Apply("arith.divf", _, (powers, total)):
            pass
        case Apply("arith.mulf", _, (powers, Apply("arith.divf", _, (one, total)))) if _is_number(one, 1.0):
            pass
        case _:
            return None
    powers, total = _uncast(powers), _uncast(total)
    match total:
        case Apply("arith.select", _, (Apply("arith.cmpf", _, (a, zero)) as test, one, b)) if (
            a == b and _is_number(zero, 0.0) and _is_number(one, 1.0) and _predicate(test) == "oeq"
        ):
            total = b
            masked_rows = "zero" if masked_rows == "nan" else masked_rows
        case _:
            pass
    summed = reduced(_uncast(total), ("arith.addf",), (0.0, -0.0))
    if summed is None or _uncast(summed) != powers:
        return None
    match powers:
        case Apply("math.exp", _, (Apply("arith.subf", _, (scores, greatest)),)):
            pass
        case _:
            return None
    greatest = _unguarded(_uncast(greatest))
    element_type = str(getattr(greatest, "type", ""))
    lowest = (float("-inf"), _LOWEST.get(element_type, float("-inf")))
    compared = reduced(greatest, ("arith.maximumf", "arith.maxnumf"), lowest)
    if compared is None or _uncast(compared) != _uncast(scores):
        return None
    return _Softmax(scores, masked_rows)


def _computes(value: ir.Value, known: object) -> bool:
    """Whether a tensor is made elementwise of products or reductions: what else scores are made of is only read."""
    if isinstance(value.owner, ir.Block):
        return False
    op = value.owner.operation
    if op.name in ("tensor.cast", "tensor.expand_shape", "tensor.collapse_shape"):
        return _leads_to_sum(op.operands[0], known)
    return is_pointwise(op) and any(_leads_to_sum(v, known) for v in structured_ops.inputs(op))


def _leads_to_sum(value: ir.Value, known: object) -> bool:
    if isinstance(value.owner, ir.Block):
        return False
    op = value.owner.operation
    if structured_ops.is_structured(op) and op.name != "linalg.fill" and not structured_ops.is_elementwise(op):
        return True
    return known(value)  # pyright: ignore


def _reduced(e: Read, dim: int, names: Sequence[str], starts: Sequence[float], element: object) -> Expression | None:
    op = e.tensor.owner.operation  # pyright: ignore
    if not structured_ops.is_structured(op) or structured_ops.segment_sizes(op) != [1, 1]:
        return None
    parallel = structured_ops.parallel_loops(op)
    ops = [inner.operation for inner in structured_ops.body(op).operations]
    block = structured_ops.body(op)
    if parallel.count(False) < 1 or len(ops) != 2 or ops[0].name not in names:
        return None
    if set(ops[0].operands) != set(block.arguments) or _filled(structured_ops.outputs(op)[0]) not in starts:
        return None
    maps = structured_ops.indexing_maps(op)
    shape = list(ir.RankedTensorType(op.operands[0].type).shape)
    read = structured_ops.map_dims(maps[0])
    written = structured_ops.map_dims(maps[1])
    if None in read or None in written or len(set(read)) != len(read):
        return None
    loops: list[ir.AffineExpr] = [ir.AffineExpr.get_constant(0)] * len(parallel)
    for loop, expr in zip(written, e.place.results, strict=True):
        assert loop is not None
        loops[loop] = expr
    # one loop of the reduction is the softmax's dim, others only run over unit dims
    wide = [d for d, loop in enumerate(read) if loop is not None and not parallel[loop] and shape[d] != 1]
    if len(wide) > 1:
        return None
    for d in wide:
        loop = read[d]
        assert loop is not None
        loops[loop] = ir.AffineDimExpr.get(dim)
    place = structured_ops.compose(maps[0], ir.AffineMap.get(e.place.n_dims, 0, loops))
    return element(op.operands[0], place)  # pyright: ignore


def _uncast(e: Expression) -> Expression:
    while isinstance(e, Apply) and e.name in _CASTS:
        e = e.operands[0]
    return e


def _is_number(e: Expression, number: float) -> bool:
    return isinstance(e, Constant) and isinstance(e.attribute, ir.FloatAttr) and e.attribute.value == number


def _predicate(e: Apply) -> str:
    return arith.CmpFPredicate(ir.IntegerAttr(e.op.attributes["predicate"]).value).name.lower()


def _without_nan(e: Expression) -> Expression | None:
    """x of `x is NaN ? 0 : x`."""
    match e:
        case Apply("arith.select", _, (Apply("arith.cmpf", _, (a, b)) as test, zero, x)) if (
            a == b == x and _is_number(zero, 0.0) and _predicate(test) in ("une", "uno")
        ):
            return x
        case Apply("arith.select", _, (Apply("arith.cmpf", _, (a, b)) as test, x, zero)) if (
            a == b == x and _is_number(zero, 0.0) and _predicate(test) in ("oeq", "ord")
        ):
            return x
        case Apply("arith.select", _, (Apply("math.isnan", _, (a,)), zero, x)) if a == x and _is_number(zero, 0.0):
            return x
        case _:
            return None


def _unguarded(e: Expression) -> Expression:
    """m of `m == -inf ? 0 : m` and `max(m, -inf)`, which change nothing here."""
    match e:
        case Apply("arith.select", _, (Apply("arith.cmpf", _, (a, low)) as test, zero, m)) if (
            a == m and _is_number(low, float("-inf")) and _is_number(zero, 0.0) and _predicate(test) == "oeq"
        ):
            return _uncast(m)
        case Apply("arith.maximumf" | "arith.maxnumf", _, (m, low)) if _is_number(low, float("-inf")):
            return _uncast(m)
        case Apply("arith.maximumf" | "arith.maxnumf", _, (low, m)) if _is_number(low, float("-inf")):
            return _uncast(m)
        case _:
            return e


# Rewriting ------------------------------------------------------------------------------------------------------------


def _product_of(e: Read, at: ir.AffineMap, key_loop: int, depth_loop: int) -> list[_Operand] | None:
    """Query and key of scores that are read at `e`."""
    if isinstance(e.tensor.owner, ir.Block) or not structured_ops.is_structured(e.tensor.owner.operation):
        return None
    op = e.tensor.owner.operation
    if not _is_product(op):
        return None
    maps, parallel = structured_ops.indexing_maps(op), structured_ops.parallel_loops(op)
    written = structured_ops.map_dims(maps[2])
    place = structured_ops.compose(e.place, at)
    loops: list[ir.AffineExpr] = [ir.AffineDimExpr.get(depth_loop)] * len(parallel)
    for loop, expr in zip(written, place.results, strict=True):
        if loop is None:
            return None
        loops[loop] = expr
    inner = ir.AffineMap.get(at.n_dims, 0, loops)
    operands = [_Operand(op.operands[i], structured_ops.compose(maps[i], inner)) for i in range(2)]
    operands.sort(key=lambda o: any(_is_loop(expr, key_loop) for expr in o.place.results))
    return operands


def _is_loop(expr: ir.AffineExpr, loop: int) -> bool:
    return isinstance(expr, ir.AffineDimExpr) and expr.position == loop


def _rewrite(
    op: ir.Operation, softmax: _Softmax, product: Read, operands: list[_Operand], at: ir.AffineMap, extents: Extents
) -> bool:
    result_map = _with_dims(structured_ops.indexing_maps(op)[2], at.n_dims)
    extras = [r for r in reads(softmax.scores) if r != product]
    _drop_unit_loops(operands, at, result_map, op.results[0])
    maps = [o.place for o in operands] + [structured_ops.compose(r.place, at) for r in extras]
    try:
        loops = attention_loops(maps[0], maps[1], maps[2], result_map)
    except ValueError:
        return False
    known = extents_of([*(o.tensor for o in operands), *(r.tensor for r in extras), op.results[0]], [*maps, result_map])
    if not all(_reads_evenly(m, {loops.keys, loops.depth, loops.columns}) for m in maps):
        return False
    depth, columns = known[loops.depth], known[loops.columns]
    if not depth or not columns or max(depth, columns) > _MOST_DEPTH:
        return False
    inner = {loops.keys, loops.depth, loops.columns}
    for number, operand in enumerate(operands):
        _look_through(operand, inner, scales=number < 2)
    maps[:3] = [o.place for o in operands]
    factor = operands[0].scale * operands[1].scale
    element = structured_ops.element_type(product.tensor.type)
    kind = element if isinstance(element, ir.F64Type) else ir.F32Type.get()
    result, transpose = _transposed_result(op)
    init = structured_ops.outputs(op)[0]
    if transpose is not None:
        result_map = structured_ops.compose(transpose, result_map)

    def score(s: ir.Value, *others: ir.Value) -> ir.Value:
        if factor != 1.0:
            s = arith.mulf(s, arith.constant(kind, factor))
        given = {product: s if s.type == element else arith.truncf(element, s)}
        given.update(zip(extras, others, strict=False))

        def number(expr: ir.AffineExpr) -> ir.Value:
            place = structured_ops.compose(ir.AffineMap.get(len(at.results), 0, [expr]), at)
            return _index_value(place.results[0], list(others)[len(extras) :])

        new = build(softmax.scores, given, number)
        return new if new.type == kind else arith.extf(kind, new)

    kinds = ir.RankedTensorType(result.type)
    with ir.InsertionPoint(op):
        sizes = [_extent(init, i, extents) for i in range(kinds.rank)]
        if transpose is not None:
            sizes = [sizes[expr.position] for expr in transpose.results]  # pyright: ignore
    with ir.InsertionPoint(op), op.location:
        out = tensor.empty(sizes, kinds.element_type)
        new = linalgx.attention(
            operands[0].tensor, operands[1].tensor, operands[2].tensor, [r.tensor for r in extras], out,
            [*maps, result_map], kind, softmax.masked_rows, score,
        )  # fmt: skip
    result.replace_all_uses_with(new)
    return True


def _drop_unit_loops(operands: list[_Operand], at: ir.AffineMap, result_map: ir.AffineMap, result: ir.Value) -> None:
    """Batch loops of one step are no loops of the operands: query and key may lack a dim that the value has."""
    shape = ir.RankedTensorType(result.type)
    batch = loops_of(at) & (loops_of(operands[1].place) | loops_of(operands[2].place))
    units = {
        expr.position
        for dim, expr in enumerate(result_map.results)
        if isinstance(expr, ir.AffineDimExpr) and expr.position in batch
        and not shape.is_dynamic_dim(dim) and shape.get_dim_size(dim) == 1
    }  # fmt: skip
    count = at.n_dims
    step = [ir.AffineExpr.get_constant(0) if i in units else ir.AffineDimExpr.get(i) for i in range(count)]
    for operand in operands:
        operand.place = structured_ops.compose(operand.place, ir.AffineMap.get(count, 0, step))


def _reads_evenly(indexing_map: ir.AffineMap, inner: set[int]) -> bool:
    """Whether the loops that kernels run along in vectors index dims of their own."""
    return all(
        isinstance(expr, ir.AffineDimExpr) or not loops_of(ir.AffineMap.get(indexing_map.n_dims, 0, [expr])) & inner
        for expr in indexing_map.results
    )


def _extent(value: ir.Value, dim: int, extents: Extents) -> int | ir.Value:
    kind = ir.RankedTensorType(value.type)
    return extents.extent(value, dim) if kind.is_dynamic_dim(dim) else kind.get_dim_size(dim)


def _index_value(expr: ir.AffineExpr, loops: Sequence[ir.Value]) -> ir.Value:
    match expr:
        case ir.AffineDimExpr():
            return loops[expr.position]
        case ir.AffineConstantExpr():
            return arith.constant(ir.IndexType.get(), expr.value)
        case _:
            raise ValueError(f"{expr} as the number of a loop")


def _transposed_result(op: ir.Operation) -> tuple[ir.Value, ir.AffineMap | None]:
    """The transpose that alone reads the result of `op`, and its map from dims of the result; else the result."""
    result = op.results[0]
    uses = list(result.uses)
    if len(uses) != 1:
        return result, None
    reader = uses[0].owner.operation
    if reader.name != "linalg.generic" or reader.block != op.block or not _is_copy(reader):
        return result, None
    read, written = structured_ops.indexing_maps(reader)
    if not read.is_permutation or not written.is_permutation:
        return result, None
    # the reader's result has in dim i what the product has in dim order[i]
    loop_of = structured_ops.map_dims(written)
    position = structured_ops.map_dims(read)
    order = [position.index(loop) for loop in loop_of]
    return reader.results[0], ir.AffineMap.get_permutation(order) if order else None


def _is_copy(op: ir.Operation) -> bool:
    block = structured_ops.body(op)
    return (
        structured_ops.is_elementwise(op)
        and structured_ops.segment_sizes(op) == [1, 1]
        and len(block.operations) == 1
        and block.operations[0].operands[0] == block.arguments[0]
    )


def _look_through(operand: _Operand, inner: set[int], scales: bool) -> None:
    """Replaces a transposed, repeated, widened or scaled operand by what it is made of."""
    while not isinstance(operand.tensor.owner, ir.Block):
        op = operand.tensor.owner.operation
        if op.name == "tensor.cast":
            operand.tensor = op.operands[0]
            continue
        if op.name in _RESHAPES:
            place = reshaped_place(op, operand.place)
            if place is None or not _reads_evenly(place, inner) or not _moves(op.operands[0]):
                return
            operand.tensor, operand.place = op.operands[0], place
            continue
        factor = _scale_of(op) if is_pointwise(op) and structured_ops.segment_sizes(op) == [1, 1] else None
        if factor is None or (factor != 1.0 and not scales):
            return
        read, written = structured_ops.indexing_maps(op)
        place = structured_ops.compose(structured_ops.inverse_permutation(written), operand.place)
        operand.place = structured_ops.compose(read, place)
        operand.tensor = op.operands[0]
        operand.scale *= factor


def _scale_of(op: ir.Operation) -> float | None:
    """What an elementwise op of one input multiplies it by, 1 for copies and widenings; None: it does more."""
    if not isinstance(op.operands[0].type, ir.RankedTensorType):
        return None
    if not isinstance(
        structured_ops.element_type(op.operands[0].type), ir.F16Type | ir.BF16Type | ir.F32Type | ir.F64Type
    ):
        return None
    factor, block = 1.0, structured_ops.body(op)
    value = list(block.operations)[-1].operation.operands[0]
    while value != block.arguments[0]:
        if isinstance(value.owner, ir.Block):
            return None
        inner = value.owner.operation
        if inner.name == "arith.extf":
            value = inner.operands[0]
            continue
        if inner.name not in ("arith.mulf", "arith.divf"):
            return None
        a, b = inner.operands
        number = _constant(b)
        if number is None and inner.name == "arith.mulf":
            a, b = b, a
            number = _constant(b)
        if number is None or not 1e-6 < abs(number) < 1e6:
            return None
        factor = factor * number if inner.name == "arith.mulf" else factor / number
        value = a
    return factor


def _moves(value: ir.Value) -> bool:
    """Whether a tensor is a smaller one repeated, or another one transposed or scaled, perhaps reshaped afterwards."""
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name in (*_RESHAPES, "tensor.cast"):
        value = value.owner.operation.operands[0]
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "linalg.generic":
        return False
    op = value.owner.operation
    return is_pointwise(op) and structured_ops.segment_sizes(op) == [1, 1] and _scale_of(op) is not None
