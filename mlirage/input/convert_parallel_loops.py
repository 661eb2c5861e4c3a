"""input-convert-parallel-loops: scf.forall and scf.parallel of a source program become nests of scf.for.

    %r = scf.forall (%i) in (3) shared_outs(%t = %o) { …; scf.forall.in_parallel { tensor.parallel_insert_slice %u into
         %t[%i, 0] … } }
    =>
    %r = scf.for %i = 0 to 3 step 1 iter_args(%t = %o) { …; %v = tensor.insert_slice %u into %t[%i, 0] …; yield %v }

What runs in parallel here are dispatches; loops of a program run on the host. Reductions of scf.parallel go in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

Body = Callable[[list[ir.Value], list[ir.Value]], list[ir.Value]]


@module_pass("input-convert-parallel-loops")
def convert_parallel_loops(program: Program) -> None:
    """Rewrites parallel loops, the inner ones first."""
    for op in reversed([op for op in walk(program.module.operation) if op.name in _REWRITES]):
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, _REWRITES[op.name](op), strict=True):
                old.replace_all_uses_with(new)
        op.erase()


def _nest(
    bounds: Sequence[tuple[ir.Value, ir.Value, ir.Value]], values: list[ir.Value], body: Body, numbers: list[ir.Value]
) -> list[ir.Value]:
    """Loops within loops over `bounds` (low, high, step) that carry `values`."""
    if not bounds:
        return body(numbers, values)
    low, high, step = bounds[0]
    types = [value.type for value in values]
    loop = ir.Operation.create("scf.for", results=types, operands=[low, high, step, *values], regions=1)
    location = ir.Location.current
    assert location is not None
    block = ir.Block.create_at_start(loop.regions[0], [low.type, *types], [location] * (len(types) + 1))
    number, *carried = block.arguments
    with ir.InsertionPoint(block):
        ir.Operation.create("scf.yield", operands=_nest(bounds[1:], list(carried), body, [*numbers, number]))
    return list(loop.results)


def _move(block: ir.Block, arguments: Sequence[ir.Value]) -> ir.Operation:
    """Moves the ops of a block to the insertion point; the terminator, which stays, is given back."""
    for old, new in zip(block.arguments, arguments, strict=True):
        old.replace_all_uses_with(new)
    index = ir.IndexType.get()
    marker = ir.Operation.create("arith.constant", results=[index], attributes={"value": ir.IntegerAttr.get(index, 0)})
    *ops, end = [inner.operation for inner in block.operations]
    for inner in ops:
        inner.move_before(marker)
    marker.erase()
    return end


def _forall(op: ir.Operation) -> list[ir.Value]:
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    operands = list(op.operands)
    dynamic = [operands[sum(segments[:i]) : sum(segments[: i + 1])] for i in range(3)]
    lows, highs, steps = (
        _bounds(list(ir.DenseI64ArrayAttr(op.attributes[name])), values)
        for name, values in zip(("staticLowerBound", "staticUpperBound", "staticStep"), dynamic, strict=True)
    )
    block = op.regions[0].blocks[0]

    def body(numbers: list[ir.Value], values: list[ir.Value]) -> list[ir.Value]:
        end = _move(block, [*numbers, *values])
        shared = list(values)
        for store in [inner.operation for inner in end.regions[0].blocks[0].operations]:
            if store.name != "tensor.parallel_insert_slice":
                raise CompileError(f"{store.location}: {store.name} in scf.forall is not supported")
            place = shared.index(store.operands[1])
            new = ir.Operation.create(
                "tensor.insert_slice",
                results=[values[place].type],
                operands=[store.operands[0], values[place], *list(store.operands)[2:]],
                attributes={name: store.attributes[name] for name in store.attributes},
            )
            values[place] = new.results[0]
        return values

    return _nest(list(zip(lows, highs, steps, strict=True)), operands[sum(segments[:3]) :], body, [])


def _bounds(static: Sequence[int], dynamic: Sequence[ir.Value]) -> list[ir.Value]:
    rest = iter(dynamic)
    unknown = ir.ShapedType.get_dynamic_size()
    return [next(rest) if n == unknown else arith.constant(ir.IndexType.get(), n) for n in static]


def _parallel(op: ir.Operation) -> list[ir.Value]:
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    operands = list(op.operands)
    lows, highs, steps, starts = (operands[sum(segments[:i]) : sum(segments[: i + 1])] for i in range(4))
    block = op.regions[0].blocks[0]

    def body(numbers: list[ir.Value], values: list[ir.Value]) -> list[ir.Value]:
        reduce = _move(block, numbers)
        return [
            _move(region.blocks[0], (value, term)).operands[0]
            for region, value, term in zip(reduce.regions, values, reduce.operands, strict=True)
        ]

    return _nest(list(zip(lows, highs, steps, strict=True)), starts, body, [])


_REWRITES: dict[str, Callable[[ir.Operation], list[ir.Value]]] = {"scf.forall": _forall, "scf.parallel": _parallel}
