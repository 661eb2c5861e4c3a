"""The linalgx dialect: whole-tensor ops that linalg lacks (sort, scan, scatter, …), one target for all importers.

Every op has the form `inputs…, outs… -> results…`: results have the types of `outs`, whose contents are the results'
initial contents (a `tensor.empty` where they are not read), as for linalg ops. Regions are scalar code that ends in
`linalgx.yield`; they may use constants from outside. Memory that an algorithm needs is an out of its own, so that ops
lower to loops without allocations. All ops but `compact` keep the extents of their operands.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from mlirage import fourier
from mlirage.attention import AttentionLoops, attention_loops, loops_of
from mlirage.mlir import arith, ext, ir, tensor

I64 = ir.IntegerType[64]


class Linalgx(ext.Dialect, name="linalgx"):
    """Special ops on tensors beyond linalg."""


def _fail(op: Any, message: str) -> bool:
    op.location.emit_error(f"{op.operation.name}: {message}")
    return False


def _element(value: ir.Value) -> ir.Type:
    return ir.RankedTensorType(value.type).element_type


def _verify_form(op: Any, region_arguments: Sequence[ir.Type] | None, yielded: Sequence[ir.Type]) -> bool:
    """What all ops have in common: results like outs, the dimension in range, the region's types."""
    inputs, outs, results = list(op.inputs), list(op.outs), list(op.operation.results)
    if [r.type for r in results] != [o.type for o in outs]:
        return _fail(op, "results must have the types of `outs`")
    if not all(isinstance(v.type, ir.RankedTensorType) for v in (*inputs, *outs)):
        return _fail(op, "operands must be ranked tensors")
    if "dimension" in op.operation.attributes:
        dimension = ir.IntegerAttr(op.operation.attributes["dimension"]).value
        rank = ir.RankedTensorType((inputs or outs)[0].type).rank
        if not 0 <= dimension < rank:
            return _fail(op, f"dimension {dimension} is not one of the {rank} dims of the operand")
    if region_arguments is None:
        return True
    block = op.operation.regions[0].blocks[0]
    if [a.type for a in block.arguments] != list(region_arguments):
        return _fail(op, f"the region must take ({', '.join(map(str, region_arguments))})")
    end = list(block.operations)[-1].operation
    if end.name != "linalgx.yield" or [v.type for v in end.operands] != list(yielded):
        return _fail(op, f"the region must yield ({', '.join(map(str, yielded))})")
    return True


class YieldOp(Linalgx.Operation, name="yield", traits=[ir.IsTerminatorTrait, ext.Pure]):
    """Ends the region of a linalgx op."""

    mixed_limit = 4
    values: Sequence[ext.Operand[Any]]


class SortOp(Linalgx.Operation, name="sort", traits=[ext.Pure]):
    """Sorts `inputs` together and stably along `dimension`.

    The region takes two elements of every input (`a0, b0, a1, b1, …`) and yields whether a comes before b. Outs are one
    per input for the sorted tensors, then one per input as working memory, whose results mean nothing.
    """

    mixed_limit = 8
    results_: Sequence[ext.Result[Any]]
    inputs: Sequence[ext.Operand[Any]]
    outs: Sequence[ext.Operand[Any]]
    dimension: ir.IntegerAttr
    comparator: ext.Region

    def verify_invariants(self) -> bool:
        inputs = [v.type for v in self.inputs]
        if not inputs or [v.type for v in self.outs] != inputs * 2:
            return _fail(self, "`outs` must be like `inputs`, twice")
        elements = [t for v in self.inputs for t in (_element(v), _element(v))]
        return _verify_form(self, elements, [ir.IntegerType.get_signless(1, context=self.context)])


class TopkOp(Linalgx.Operation, name="topk", traits=[ext.Pure]):
    """The first k elements along `dimension` in the order of the region, and their positions, in order.

    The extent k of both outs along `dimension` is at most the input's; positions are of an integer type. The region
    takes (a, b) and yields whether a comes before b; of equal elements the first comes first.
    """

    values: ext.Result[Any]
    positions: ext.Result[Any]
    input: ext.Operand[Any]
    values_out: ext.Operand[Any]
    positions_out: ext.Operand[Any]
    dimension: ir.IntegerAttr
    comparator: ext.Region

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.input]

    @property
    def outs(self) -> Sequence[ir.Value]:
        return [self.values_out, self.positions_out]

    def verify_invariants(self) -> bool:
        element = _element(self.input)
        if _element(self.values_out) != element or not isinstance(_element(self.positions_out), ir.IntegerType):
            return _fail(self, "outs must be values of the input's element type and integer positions")
        return _verify_form(self, [element, element], [ir.IntegerType.get_signless(1, context=self.context)])


class ScanOp(Linalgx.Operation, name="scan", traits=[ext.Pure]):
    """Running totals along `dimension`: y[i] = f(y[i-1], x[i]), started by the accumulator.

    Outs: y, then the accumulator, which lacks `dimension` and ends as the total. The region takes (total, x) and yields
    the new total. `exclusive` (i1): y[i] is the total before x[i]. `reverse` (i1): from the last element to the first.
    """

    totals: ext.Result[Any]
    last: ext.Result[Any]
    input: ext.Operand[Any]
    totals_out: ext.Operand[Any]
    accumulator: ext.Operand[Any]
    dimension: ir.IntegerAttr
    exclusive: ir.IntegerAttr
    reverse: ir.IntegerAttr
    combiner: ext.Region

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.input]

    @property
    def outs(self) -> Sequence[ir.Value]:
        return [self.totals_out, self.accumulator]

    def verify_invariants(self) -> bool:
        total = _element(self.accumulator)
        if _element(self.totals_out) != total:
            return _fail(self, "both outs must have the same element type")
        return _verify_form(self, [total, _element(self.input)], [total])


class ScatterOp(Linalgx.Operation, name="scatter", traits=[ext.Pure]):
    """Combines windows of updates into tensors at run-time positions.

    Inputs: indices `N x D` (integers), then one updates tensor per out of shape `N x window…`, with a window extent
    (perhaps 1) for every dim of the outs. Window n starts at `indices[n, j]` along dim `dimension_map[j]` of the outs
    and at 0 along the others. Windows are applied in order; elements outside the outs are skipped. The region takes the
    current elements of all outs, then the updates, and yields the new elements. `unique` (i1): no element is met twice.
    """

    mixed_limit = 4
    results_: Sequence[ext.Result[Any]]
    indices: ext.Operand[Any]
    updates: Sequence[ext.Operand[Any]]
    outs: Sequence[ext.Operand[Any]]
    dimension_map: ir.ArrayAttr
    unique: ir.IntegerAttr
    combiner: ext.Region

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.indices, *self.updates]

    def verify_invariants(self) -> bool:
        outs, updates = list(self.outs), list(self.updates)
        if not outs or len(updates) != len(outs):
            return _fail(self, "every out needs updates")
        indices, rank = ir.RankedTensorType(self.indices.type), ir.RankedTensorType(outs[0].type).rank
        dims = [ir.IntegerAttr(dim).value for dim in self.dimension_map]
        if indices.rank != 2 or indices.shape[1] != len(dims) or len(set(dims)) != len(dims):
            return _fail(self, "indices must be N x D for D distinct dims in `dimension_map`")
        if not all(0 <= dim < rank for dim in dims):
            return _fail(self, f"`dimension_map` names dims that the outs of rank {rank} do not have")
        if any(ir.RankedTensorType(v.type).rank != rank + 1 for v in updates):
            return _fail(self, "updates must have a dim for the windows' number and one for every dim of the out")
        elements = [_element(v) for v in outs]
        return _verify_form(self, [*elements, *elements], elements)


class CompactOp(Linalgx.Operation, name="compact", traits=[ext.Pure]):
    """The positions of the true elements of a flat mask (`tensor<Nxi1>`, or integers that are not 0), in order.

    The out has room for at least as many as there are; what lies behind them keeps the out's contents.
    """

    positions: ext.Result[Any]
    mask: ext.Operand[Any]
    positions_out: ext.Operand[Any]

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.mask]

    @property
    def outs(self) -> Sequence[ir.Value]:
        return [self.positions_out]

    def verify_invariants(self) -> bool:
        if any(ir.RankedTensorType(v.type).rank != 1 for v in (self.mask, self.positions_out)):
            return _fail(self, "mask and positions must be of rank 1")
        return _verify_form(self, None, [])


class AttentionOp(Linalgx.Operation, name="attention", traits=[ext.Pure]):
    """softmax(query · keyᵀ) · value, without the scores in memory.

    `indexing_maps` has one map per operand over common loops, whose roles `mlirage/attention.py` reads from them. The
    region changes scores before the softmax: scale, mask, bias, cap. It takes the score (f32 or f64, in which the
    softmax is computed and sums are kept), an element of every one of `extras`, and the numbers of all loops, and
    yields the score; extras are read along neither depth nor columns. `masked_rows` says what rows of -inf alone are:
    nan (as of the plain formula), zero, or zero_nan: 0, and 0 for rows in which a weight is NaN. Over no keys at all
    the result is 0.
    """

    mixed_limit = 8
    result: ext.Result[Any]
    query: ext.Operand[Any]
    key: ext.Operand[Any]
    value: ext.Operand[Any]
    extras: Sequence[ext.Operand[Any]]
    out: ext.Operand[Any]
    indexing_maps: ir.ArrayAttr
    masked_rows: ir.StringAttr
    score: ext.Region

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.query, self.key, self.value, *self.extras]

    @property
    def outs(self) -> Sequence[ir.Value]:
        return [self.out]

    @property
    def maps(self) -> list[ir.AffineMap]:
        return [ir.AffineMapAttr(attribute).value for attribute in self.indexing_maps]

    @property
    def loops(self) -> AttentionLoops:
        maps = self.maps
        return attention_loops(maps[0], maps[1], maps[2], maps[-1])

    def verify_invariants(self) -> bool:
        maps, operands = self.maps, [*self.inputs, self.out]
        if len(maps) != len(operands) or len({m.n_dims for m in maps}) != 1:
            return _fail(self, "every operand needs an indexing map over the same loops")
        if any(len(m.results) != ir.RankedTensorType(v.type).rank for m, v in zip(maps, operands, strict=True)):
            return _fail(self, "indexing maps must have a result for every dim of their operands")
        try:
            loops = self.loops
        except ValueError as error:
            return _fail(self, str(error))
        if any({loops.depth, loops.columns} & loops_of(m) for m in maps[3:-1]):
            return _fail(self, "extras cannot be read along the depth or the columns")
        if ir.StringAttr(self.masked_rows).value not in ("nan", "zero", "zero_nan"):
            return _fail(self, "masked_rows must be nan, zero or zero_nan")
        index, arguments = ir.IndexType.get(self.context), self.operation.regions[0].blocks[0].arguments
        score = arguments[0].type if len(arguments) else index
        if not isinstance(score, ir.F32Type | ir.F64Type):
            return _fail(self, "scores must be f32 or f64")
        extras = [_element(v) for v in self.extras]
        return _verify_form(self, [score, *extras, *[index] * maps[0].n_dims], [score])


class WinogradOp(Linalgx.Operation, name="winograd", traits=[ext.Pure]):
    """A convolution with square windows, strides of 1 and channels last by Winograd's algorithm (mlirage/winograd.py).

    image [n, h, w, c] or, in groups, [n, h, w, g, c]; out likewise with f. The weights are packed, and transformed or
    not: [g,] points * points or window * window, f / width, c, width; f is filled up with zeros. `tile` results of a
    window of `window` taps are made at once in both dims. `padding` is how many zeros lie before the image in both
    dims; behind it there are as many as the extents of the out need. The out's contents are not read. `indexing_maps`
    has a map per operand over the loops n, h, w, [g,] f, c and two of the window.
    """

    result: ext.Result[Any]
    image: ext.Operand[Any]
    weights: ext.Operand[Any]
    out: ext.Operand[Any]
    tile: ir.IntegerAttr
    window: ir.IntegerAttr
    padding: ir.ArrayAttr
    indexing_maps: ir.ArrayAttr

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.image, self.weights]

    @property
    def outs(self) -> Sequence[ir.Value]:
        return [self.out]

    def verify_invariants(self) -> bool:
        image, weights, out = (ir.RankedTensorType(v.type) for v in (self.image, self.weights, self.out))
        if image.rank not in (4, 5) or out.rank != image.rank or weights.rank != image.rank:
            return _fail(self, "image, weights and out must all have 4 dims, or 5 if there are groups")
        if len(list(self.padding)) != 2:
            return _fail(self, "padding must be two numbers")
        points = ir.IntegerAttr(self.tile).value + ir.IntegerAttr(self.window).value - 1
        window = ir.IntegerAttr(self.window).value
        if not weights.has_static_shape or weights.shape[-4] not in (points**2, window**2):
            return _fail(self, f"the weights must be {points} * {points} or {window} * {window} matrices")
        shape = [*list(image.shape)[3:-1], weights.shape[-4], weights.shape[-3], image.shape[-1], weights.shape[-1]]
        if (
            list(weights.shape) != shape
            or not 0 <= weights.shape[-3] * weights.shape[-1] - out.shape[-1] < weights.shape[-1]
        ):
            return _fail(self, "groups and channels of image, weights and out must agree")
        if len(list(self.indexing_maps)) != 3:
            return _fail(self, "every operand needs an indexing map")
        return _verify_form(self, None, [])


class FourierOp(Linalgx.Operation, name="fourier", traits=[ext.Pure]):
    """Fourier transforms of the middle dim of [o, n, i], times `scale`, in stages of `radices` (mlirage/fourier.py).

    Input and out are complex, or real with the parts in a fourth dim of 2. `pairs` = 1: the input is real, of twice the
    length that the radices say, and the out has the first half of the coefficients and the middle one; 2: the inverse
    of that; 3: as 1, but the out has all coefficients. In these i is 1. The table has the real parts of all its
    numbers, then the imaginary ones: [2, numbers]. The out's contents are not read. `indexing_maps` has a map per
    operand over the loops o and i.
    """

    result: ext.Result[Any]
    input: ext.Operand[Any]
    table: ext.Operand[Any]
    out: ext.Operand[Any]
    radices: ir.ArrayAttr
    inverse: ir.IntegerAttr
    pairs: ir.IntegerAttr
    scale: ir.FloatAttr
    indexing_maps: ir.ArrayAttr

    @property
    def inputs(self) -> Sequence[ir.Value]:
        return [self.input, self.table]

    @property
    def outs(self) -> Sequence[ir.Value]:
        return [self.out]

    def verify_invariants(self) -> bool:
        radices = [ir.IntegerAttr(r).value for r in self.radices]
        pairs = ir.IntegerAttr(self.pairs).value
        length = math.prod(radices)
        source, out, table = (ir.RankedTensorType(v.type) for v in (self.input, self.out, self.table))
        if pairs not in (0, 1, 2, 3) or not radices or not all(2 <= r <= fourier.LARGEST_RADIX for r in radices):
            return _fail(self, f"radices must be 2 to {fourier.LARGEST_RADIX} and pairs 0 to 3")
        if list(table.shape) != [2, fourier.table_length(radices, pairs != 0)]:
            return _fail(self, f"the table has {list(table.shape)} numbers")
        for kind, real, extent in (
            (source, pairs in (1, 3), (length, 2 * length, length + 1, 2 * length)[pairs]),
            (out, pairs == 2, (length, length + 1, 2 * length, 2 * length)[pairs]),
        ):
            element = kind.element_type
            is_complex = isinstance(element, ir.ComplexType)
            part = ir.ComplexType(element).element_type if is_complex else element
            rank = 3 if real or is_complex else 4
            if part != table.element_type or (real and is_complex) or kind.rank != rank or kind.shape[1] != extent:
                return _fail(self, f"{kind} has not the form of an operand of {extent} {part}")
            if (rank == 4 and kind.shape[3] != 2) or (pairs and kind.shape[2] != 1):
                return _fail(self, f"{kind} has not the form of an operand")
        return _verify_form(self, None, [])


class FactorizeOp(Linalgx.Operation, name="factorize", traits=[ext.Pure]):
    """A matrix algorithm on the last dims of the operands, for every place of the first `batch_rank` dims.

    `kind` names it: cholesky, lu, qr, householder_product, hessenberg, schur, eig, eigh, svd,
    triangular_solve, tridiagonal_solve. `flags` are words. Which tensors each takes, and what the flags mean, its file
    in codegen/linalgx says.
    """

    results_: Sequence[ext.Result[Any]]
    inputs: Sequence[ext.Operand[Any]]
    outs: Sequence[ext.Operand[Any]]
    kind: ir.StringAttr
    flags: ir.StringAttr
    batch_rank: ir.IntegerAttr

    def verify_invariants(self) -> bool:
        batch = ir.IntegerAttr(self.batch_rank).value
        if any(ir.RankedTensorType(v.type).rank < batch for v in (*self.inputs, *self.outs)):
            return _fail(self, f"every operand must have the {batch} batch dims")
        return _verify_form(self, None, [])


Body = Callable[..., Any]


def sort(inputs: Sequence[ir.Value], dimension: int, before: Body) -> list[ir.Value]:
    """`inputs` sorted together, stably: `before(a0, b0, a1, b1, …)` makes the i1 that says whether a comes before b."""
    outs = [empty_like(value) for value in (*inputs, *inputs)]
    elements = [_element(value) for value in inputs for _ in range(2)]
    op = SortOp([out.type for out in outs], list(inputs), outs, _i64(dimension)).operation
    _fill(op, elements, before)
    return list(op.results)[: len(inputs)]


def topk(
    value: ir.Value, dimension: int, values_out: ir.Value, positions_out: ir.Value, before: Body
) -> tuple[ir.Value, ir.Value]:
    """The first elements of `value` in the order of `before(a, b)`, as many as `values_out` holds, and positions."""
    kinds = values_out.type, positions_out.type
    op = TopkOp(*kinds, value, values_out, positions_out, _i64(dimension)).operation
    _fill(op, [_element(value)] * 2, before)
    return op.results[0], op.results[1]


def scan(
    value: ir.Value,
    initial: ir.Value,
    dimension: int,
    combine: Body,
    *,
    exclusive: bool = False,
    reverse: bool = False,
) -> tuple[ir.Value, ir.Value]:
    """Running totals of `value` from `initial` (without `dimension`) under `combine(total, x)`, and the last total."""
    out = tensor.empty(_extents(value), _element(initial))
    flags = _i64(dimension), _bool(exclusive), _bool(reverse)
    op = ScanOp(out.type, initial.type, value, out, initial, *flags).operation
    _fill(op, [_element(initial), _element(value)], combine)
    return op.results[0], op.results[1]


def scatter(
    outs: Sequence[ir.Value],
    indices: ir.Value,
    updates: Sequence[ir.Value],
    dimension_map: Sequence[int],
    combine: Body,
    *,
    unique: bool = False,
) -> list[ir.Value]:
    """`outs` with windows of `updates` combined in; `combine(current…, update…)` makes the new elements."""
    dims = ir.ArrayAttr.get([_i64(dim) for dim in dimension_map])
    op = ScatterOp([out.type for out in outs], indices, list(updates), list(outs), dims, _bool(unique)).operation
    _fill(op, [_element(value) for value in outs] * 2, combine)
    return list(op.results)


def compact(mask: ir.Value, positions_out: ir.Value) -> ir.Value:
    """The positions of the true elements of the flat `mask`, written to the head of `positions_out`."""
    return CompactOp(positions_out.type, mask, positions_out).positions


def attention(
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    extras: Sequence[ir.Value],
    out: ir.Value,
    maps: Sequence[ir.AffineMap],
    kind: ir.Type,
    masked_rows: str,
    score: Body,
) -> ir.Value:
    """The attention of `AttentionOp`; `score(score, extras…, loop numbers…)` of type `kind` makes the new score."""
    indexing = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])
    rows = ir.StringAttr.get(masked_rows)
    op = AttentionOp(out.type, query, key, value, list(extras), out, indexing, rows).operation
    _fill(op, [kind, *map(_element, extras), *[ir.IndexType.get()] * maps[0].n_dims], score)
    return op.results[0]


def winograd(
    image: ir.Value, weights: ir.Value, out: ir.Value, tile: int, window: int, padding: Sequence[int]
) -> ir.Value:
    """The convolution of `WinogradOp`."""
    grouped = ir.RankedTensorType(image.type).rank == 5
    width = ir.RankedTensorType(weights.type).shape[-1]
    dims = [ir.AffineExpr.get_dim(i) for i in range(8 if grouped else 7)]
    n, h, w, *group = dims[: 4 if grouped else 3]
    f, c, kh, kw = dims[-4:]
    panel, place = ir.AffineExpr.get_floor_div(f, width), ir.AffineExpr.get_mod(f, width)
    expressions = [
        [n, ir.AffineExpr.get_add(h, kh), ir.AffineExpr.get_add(w, kw), *group, c],
        [*group, ir.AffineExpr.get_constant(0), panel, c, place],
        [n, h, w, *group, f],
    ]
    maps = [ir.AffineMapAttr.get(ir.AffineMap.get(len(dims), 0, e)) for e in expressions]
    numbers = ir.ArrayAttr.get([_i64(p) for p in padding])
    op = WinogradOp(out.type, image, weights, out, _i64(tile), _i64(window), numbers, ir.ArrayAttr.get(maps))
    return op.operation.results[0]


def fourier_transform(
    x: ir.Value, table: ir.Value, out: ir.Value, radices: Sequence[int], *, inverse: bool, pairs: int, scale: float
) -> ir.Value:
    """The transform of `FourierOp`."""
    outer, inner = (ir.AffineExpr.get_dim(i) for i in range(2))
    zero = ir.AffineExpr.get_constant(0)

    def over(value: ir.Value) -> ir.Attribute:
        rank = ir.RankedTensorType(value.type).rank
        return ir.AffineMapAttr.get(ir.AffineMap.get(2, 0, [outer, zero, inner, zero][:rank]))

    fixed = ir.AffineMapAttr.get(ir.AffineMap.get(2, 0, [zero, zero]))
    maps = ir.ArrayAttr.get([over(x), fixed, over(out)])
    numbers = ir.ArrayAttr.get([_i64(r) for r in radices])
    factor = ir.FloatAttr.get(ir.F64Type.get(), scale)
    return FourierOp(out.type, x, table, out, numbers, _bool(inverse), _i64(pairs), factor, maps).result


def factorize(
    kind: str, inputs: Sequence[ir.Value], outs: Sequence[ir.Value], batch_rank: int, flags: Sequence[str] = ()
) -> list[ir.Value]:
    """The outs of the matrix algorithm `kind`."""
    words = ir.StringAttr.get(" ".join(flags))
    types = [out.type for out in outs]
    op = FactorizeOp(types, list(inputs), list(outs), ir.StringAttr.get(kind), words, _i64(batch_rank))
    return list(op.operation.results)


def empty_like(value: ir.Value) -> ir.Value:
    """A tensor of the type and extents of `value` with unspecified contents."""
    return tensor.empty(_extents(value), _element(value))


def _extents(value: ir.Value) -> list[Any]:
    shaped = ir.RankedTensorType(value.type)
    return [
        tensor.dim(value, index(i)) if shaped.is_dynamic_dim(i) else shaped.get_dim_size(i) for i in range(shaped.rank)
    ]


def index(value: int) -> ir.Value:
    """An index constant."""
    return arith.constant(ir.IndexType.get(), value)


def _fill(op: ir.Operation, elements: Sequence[ir.Type], body: Body) -> None:
    """Builds the region of `op`: a block with arguments of types `elements` that yields what `body` makes of them."""
    block = ir.Block.create_at_start(op.regions[0], list(elements), [op.location] * len(elements))
    with ir.InsertionPoint(block):
        values = body(*block.arguments)
        YieldOp([values] if isinstance(values, ir.Value) else list(values))


def _i64(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


def _bool(value: bool) -> ir.Attribute:
    return ir.BoolAttr.get(value)
