"""input-convert-stablehlo-control-flow: StableHLO's regions on tensors become scf with scalar conditions.

    %r = stablehlo.while(%i = %a) cond {…return %p : tensor<i1>} do {…}
    =>
    %r = scf.while (%i = %a) {… scf.condition(%s) %i} do {… scf.yield …}          %s = tensor.extract %p[]

`if` becomes `scf.if`, `case` `scf.index_switch` (an index out of range takes the last branch), `optimization_barrier`
and its kin vanish, the custom call `shape_assertion` becomes `cf.assert`, `get_dimension_size` `tensor.dim`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from mlirage.mlir import arith, cf, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-convert-stablehlo-control-flow")
def convert_stablehlo_control_flow(program: Program) -> None:
    """Replaces StableHLO control flow, innermost first."""
    ops = [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]
    for op in reversed(ops):
        with op.location, ir.InsertionPoint(op):
            results = _CONVERSIONS[op.name](op)
            if results is None:
                continue
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(new)
            op.erase()


def _scalar(value: ir.Value) -> ir.Value:
    return tensor.extract(value, [])


def _move_body(source: ir.Region, target: ir.Region) -> ir.Operation:
    """Moves the one block of a region; returns its terminator."""
    block = source.blocks[0]
    block.append_to(target)
    return list(target.blocks[0].operations)[-1].operation


def _cast(values: Iterable[ir.Value], types: Iterable[ir.Type]) -> list[ir.Value]:
    """StableHLO lets a value flow to where fewer of its extents are known, or more; scf does not."""
    return [v if v.type == kind else tensor.cast(kind, v) for v, kind in zip(values, types, strict=True)]


def _yield_instead_of(terminator: ir.Operation, types: Sequence[ir.Type]) -> None:
    with ir.InsertionPoint(terminator):
        ir.Operation.create("scf.yield", operands=_cast(terminator.operands, types))
    terminator.erase()


def _while(op: ir.Operation) -> list[ir.Value]:
    condition_types, body_types = ([a.type for a in region.blocks[0].arguments] for region in op.regions)
    new = ir.Operation.create("scf.while", body_types, _cast(op.operands, condition_types), regions=2)
    condition = _move_body(op.regions[0], new.regions[0])
    with ir.InsertionPoint(condition):
        arguments = _cast(new.regions[0].blocks[0].arguments, body_types)
        ir.Operation.create("scf.condition", operands=[_scalar(condition.operands[0]), *arguments])
    condition.erase()
    _yield_instead_of(_move_body(op.regions[1], new.regions[1]), condition_types)
    return _cast(new.results, [r.type for r in op.results])


def _if(op: ir.Operation) -> list[ir.Value]:
    types = [r.type for r in op.results]
    new = ir.Operation.create("scf.if", types, [_scalar(op.operands[0])], regions=2)
    for source, target in zip(op.regions, new.regions, strict=True):
        _yield_instead_of(_move_body(source, target), types)
    return list(new.results)


def _case(op: ir.Operation) -> list[ir.Value]:
    branches, types = list(op.regions), [r.type for r in op.results]
    choice = arith.index_cast(ir.IndexType.get(), _scalar(op.operands[0]))
    new = ir.Operation.create(
        "scf.index_switch",
        types,
        [choice],
        {"cases": ir.DenseI64ArrayAttr.get(list(range(len(branches) - 1)))},
        regions=len(branches),
    )
    for source, target in zip([branches[-1], *branches[:-1]], new.regions, strict=True):
        _yield_instead_of(_move_body(source, target), types)
    return list(new.results)


def _identity(op: ir.Operation) -> list[ir.Value]:
    return list(op.operands)


def _custom_call(op: ir.Operation) -> list[ir.Value] | None:
    target = ir.StringAttr(op.attributes["call_target_name"]).value
    if target == "shape_assertion":
        message = ir.StringAttr(op.attributes["error_message"]).value if "error_message" in op.attributes else target
        # {0}, {1}, … stand for the operands after the condition, which a message cannot show; JAX has them in a part
        # of its own.
        message = re.sub(r" Obtained dimension variables:.*|, but found \{\d+\}", "", message, flags=re.DOTALL)
        cf.AssertOp(_scalar(op.operands[0]), message)
        return []
    if target in ("Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape") and len(op.operands) == len(op.results):
        return list(op.operands)
    return None


def _get_dimension_size(op: ir.Operation) -> list[ir.Value]:
    source = op.operands[0]
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    shaped = ir.RankedTensorType(source.type)
    i32 = ir.IntegerType.get_signless(32)
    if shaped.is_dynamic_dim(dimension):
        extent = arith.index_cast(i32, tensor.dim(source, arith.constant(ir.IndexType.get(), dimension)))
    else:
        extent = arith.constant(i32, shaped.get_dim_size(dimension))
    return [tensor.from_elements(ir.RankedTensorType(op.results[0].type), [extent])]


_CONVERSIONS: dict[str, Callable[[ir.Operation], list[ir.Value] | None]] = {
    "stablehlo.while": _while,
    "stablehlo.if": _if,
    "stablehlo.case": _case,
    "stablehlo.optimization_barrier": _identity,
    "stablehlo.custom_call": _custom_call,
    "stablehlo.get_dimension_size": _get_dimension_size,
}
