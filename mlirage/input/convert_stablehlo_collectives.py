"""input-convert-stablehlo-collectives: what processes say to each other, where there is one process.

    %r = "stablehlo.all_reduce"(%x) <{replica_groups = dense<0> : tensor<1x1xi64>}> ({…})     =>     %x
    %i = stablehlo.replica_id : tensor<ui32>                                                  =>     0

A permutation that sends nothing to the process gives zeros. Groups of several processes are an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-convert-stablehlo-collectives")
def convert_stablehlo_collectives(program: Program) -> None:
    """Replaces collectives by what they mean for a group of one."""
    for op in [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]:
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, _CONVERSIONS[op.name](op), strict=True):
                old.replace_all_uses_with(new)
        op.erase()


def _same(op: ir.Operation) -> list[ir.Value]:
    if [v.type for v in op.operands] != [v.type for v in op.results]:
        raise _several(op)
    groups = ir.ShapedType(op.attributes["replica_groups"].type) if "replica_groups" in op.attributes else None
    if groups is not None and groups.rank == 2 and groups.get_dim_size(1) > 1:
        raise _several(op)
    return list(op.operands)


def _several(op: ir.Operation) -> CompileError:
    return CompileError(
        f"{describe_location(op.location)}: {op.name} joins several processes; a program runs in one: "
        "export the model for one device"
    )


def _permute(op: ir.Operation) -> list[ir.Value]:
    pairs = [int(v) for v in ir.DenseIntElementsAttr(op.attributes["source_target_pairs"])]
    if any(pairs):
        raise _several(op)
    return list(op.operands) if pairs else [_zeros(result.type) for result in op.results]


def _number(op: ir.Operation) -> list[ir.Value]:
    return [_zeros(op.results[0].type)]


def _zeros(kind: ir.Type) -> ir.Value:
    element = str(ir.RankedTensorType(kind).element_type)
    zero = "(0.0, 0.0)" if element.startswith("complex") else "0" if re.match(r"u?i\d", element) else "0.0"
    value = ir.Attribute.parse(f"dense<{'false' if element == 'i1' else zero}> : {kind}")
    return ir.Operation.create("stablehlo.constant", results=[kind], attributes={"value": value}).results[0]


_SAME = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "collective_broadcast", "cross-replica-sum")
_CONVERSIONS: dict[str, Callable[[ir.Operation], list[ir.Value]]] = {
    **{f"stablehlo.{name}": _same for name in _SAME},
    "stablehlo.collective_permute": _permute,
    "stablehlo.replica_id": _number,
    "stablehlo.partition_id": _number,
}
