"""input-decompose-dynamic-named-ops: softmax, pack and unpack over open extents become loops.

    %r = linalg.softmax dimension(1) ins(%x : tensor<?x?xf32>) outs(%o)
    =>
    %m = max over dim 1; %e = exp(x - m); %s = sum over dim 1; %r = e / s

    %r = linalg.pack %x padding_value(%p) inner_dims_pos = [0] inner_tiles = [8] into %o : tensor<?xf32> -> tensor<?x8xf32>
    =>
    %r = linalg.generic { inside ? tensor.extract %x[outer · 8 + inner] : %p }

The code generator takes these ops itself where shapes are known.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.mlir import arith, ir, linalg, math, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import Extent, extents

_I = arith.CmpIPredicate


@module_pass("input-decompose-dynamic-named-ops")
def decompose_dynamic_named_ops(program: Program) -> None:
    """Rewrites the ops of `_REWRITES` that have an operand or result of a dynamic shape."""
    for op in [op for op in walk(program.module.operation) if op.name in _REWRITES]:
        shaped = [v.type for v in (*op.operands, *op.results) if isinstance(v.type, ir.RankedTensorType)]
        if all(kind.has_static_shape for kind in shaped):
            continue
        with op.location, ir.InsertionPoint(op):
            value = _REWRITES[op.name](op)
            kind = op.results[0].type
            op.results[0].replace_all_uses_with(value if value.type == kind else tensor.cast(kind, value))
        op.erase()


def _index(value: int) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value)


def _value(extent: Extent) -> ir.Value:
    return extent if isinstance(extent, ir.Value) else _index(extent)


def _generic(
    ins: Sequence[ir.Value], out: ir.Value, maps: Sequence[ir.AffineMap], parallel: Sequence[bool],
    body: Callable[[ir.Block], ir.Value],
) -> ir.Value:  # fmt: skip
    return build_generic(ins, [out], maps, parallel, lambda block: [body(block)], ir.Location.current).results[0]


def _softmax(op: ir.Operation) -> ir.Value:
    x = op.operands[0]
    axis = ir.IntegerAttr(op.attributes["dimension"]).value
    shape = extents(x)
    element = ir.FloatType(ir.RankedTensorType(x.type).element_type)
    rank = len(shape)
    whole = identity_map(rank)
    rest = [ir.AffineExpr.get_dim(i) for i in range(rank) if i != axis]
    row = ir.AffineMap.get(rank, 0, rest)
    loops = [i != axis for i in range(rank)]
    kept = [extent for i, extent in enumerate(shape) if i != axis]

    def reduced(source: ir.Value, start: float, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
        init = linalg.fill(arith.constant(element, start), outs=[tensor.empty(kept, element)])
        return _generic([source], init, [whole, row], loops, lambda block: combine(*block.arguments))

    def each(source: ir.Value, other: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
        out = tensor.empty(shape, element)
        return _generic(
            [source, other], out, [whole, row, whole], [True] * rank, lambda b: combine(*list(b.arguments)[:2])
        )

    largest = reduced(x, float("-inf"), arith.maximumf)
    powers = each(x, largest, lambda a, b: math.exp(arith.subf(a, b)))
    return each(powers, reduced(powers, 0.0, arith.addf), arith.divf)


def _tiles(op: ir.Operation) -> tuple[list[int], list[int], list[ir.Value]]:
    """The tiled dims, the order of the outer ones, and the tiles' extents."""
    positions = list(ir.DenseI64ArrayAttr(op.attributes["inner_dims_pos"]))
    order = list(ir.DenseI64ArrayAttr(op.attributes["outer_dims_perm"])) if "outer_dims_perm" in op.attributes else []
    inner = op.operands[1] if op.name == "linalg.pack" else op.operands[0]
    sizes = extents(inner)[ir.RankedTensorType(inner.type).rank - len(positions) :]
    return positions, order, [_value(size) for size in sizes]


def _pack(op: ir.Operation) -> ir.Value:
    source, target = op.operands[0], op.operands[1]
    # Operands behind them: the padding's value, then extents of tiles, which are indices.
    padding = [v for v in list(op.operands)[2:] if not isinstance(v.type, ir.IndexType)]
    positions, order, sizes = _tiles(op)
    rank = ir.RankedTensorType(source.type).rank
    limits = [_value(extent) for extent in extents(source)]
    total = ir.RankedTensorType(target.type).rank

    def body(block: ir.Block) -> ir.Value:
        where: list[ir.Value] = [linalg.IndexOp(order.index(d) if order else d).result for d in range(rank)]
        for number, dim in enumerate(positions):
            inside = linalg.IndexOp(rank + number).result
            where[dim] = arith.addi(arith.muli(where[dim], sizes[number]), inside)
        fits = arith.constant(ir.IntegerType.get_signless(1), 1)
        for place, limit in zip(where, limits, strict=True):
            fits = arith.andi(fits, arith.cmpi(_I.ult, place, limit))
        other = padding[0] if padding else block.arguments[0]
        choice = ir.Operation.create("scf.if", results=[other.type], operands=[fits], regions=2)
        for region, inner in zip(choice.regions, (True, False), strict=True):
            with ir.InsertionPoint(ir.Block.create_at_start(region, [])):
                ir.Operation.create("scf.yield", operands=[tensor.extract(source, where) if inner else other])
        return choice.results[0]

    return _generic([], target, [identity_map(total)], [True] * total, body)


def _unpack(op: ir.Operation) -> ir.Value:
    source, target = op.operands[0], op.operands[1]
    positions, order, sizes = _tiles(op)
    rank = ir.RankedTensorType(target.type).rank

    def body(block: ir.Block) -> ir.Value:
        del block
        places: list[ir.Value] = [linalg.IndexOp(d).result for d in range(rank)]
        inner: list[ir.Value] = []
        for number, dim in enumerate(positions):
            inner.append(arith.remui(places[dim], sizes[number]))
            places[dim] = arith.divui(places[dim], sizes[number])
        outer = [places[d] for d in order] if order else places
        return tensor.extract(source, [*outer, *inner])

    return _generic([], target, [identity_map(rank)], [True] * rank, body)


_REWRITES: dict[str, Callable[[ir.Operation], ir.Value]] = {
    "linalg.softmax": _softmax,
    "linalg.pack": _pack,
    "linalg.unpack": _unpack,
}
