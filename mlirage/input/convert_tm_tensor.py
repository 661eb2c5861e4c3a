"""input-convert-tm-tensor: the special ops that torch-mlir leaves behind become linalgx ops.

tm_tensor.scan dimension(1) inclusive(true) ins(%x) outs(%y, %total) {^bb0(%a, %b): …}
=>
"linalgx.scan"(%x, %y, %total) ({^bb0(%total, %x): …}) {dimension = 1, exclusive = false, reverse = false}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.input import linalgx
from mlirage.mlir import ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import clone_body


@module_pass("input-convert-tm-tensor")
def convert_tm_tensor(program: Program) -> None:
    """Replaces tm_tensor's sort, scan and scatter."""
    for op in [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]:
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, _CONVERSIONS[op.name](op), strict=True):
                old.replace_all_uses_with(new)
        op.erase()


def _region(op: ir.Operation, scalars: Sequence[ir.Value]) -> ir.Value:
    return clone_body(op.regions[0].blocks[0], scalars)[0]


def _integer(op: ir.Operation, name: str) -> int:
    return ir.IntegerAttr(op.attributes[name]).value


def _sort(op: ir.Operation) -> list[ir.Value]:
    return linalgx.sort(list(op.operands), _integer(op, "dimension"), lambda *scalars: _region(op, scalars))


def _scan(op: ir.Operation) -> list[ir.Value]:
    source, _, initial = op.operands
    inclusive = bool(_integer(op, "inclusive"))
    return list(
        linalgx.scan(
            source, initial, _integer(op, "dimension"),
            lambda total, x: _region(op, (x, total)), exclusive=not inclusive,
        )
    )  # fmt: skip


def _scatter(op: ir.Operation) -> list[ir.Value]:
    """tm_tensor's windows lack the scattered dims; linalgx gives those the extent 1."""
    updates, indices, original = op.operands
    dims = list(ir.DenseI64ArrayAttr(op.attributes["dimension_map"]))
    rank = ir.RankedTensorType(original.type).rank
    shaped = ir.RankedTensorType(updates.type)
    windows = updates
    if shaped.rank != rank + 1:
        # Group 0 is the number of windows; unit dims join the group before them.
        groups: list[list[int]] = [[0]]
        static, source = [shaped.shape[0]], 1
        for dim in range(rank):
            if dim in dims:
                static.append(1)
            else:
                static.append(shaped.shape[source])
                groups.append([])
                source += 1
            groups[-1].append(dim + 1)
        dynamic = [tensor.dim(updates, linalgx.index(i)) for i in range(shaped.rank) if shaped.is_dynamic_dim(i)]
        i64 = ir.IntegerType.get_signless(64)
        association = ir.ArrayAttr.get(
            [ir.ArrayAttr.get([ir.IntegerAttr.get(i64, dim) for dim in group]) for group in groups]
        )
        kind = ir.RankedTensorType.get(static, shaped.element_type)
        windows = tensor.expand_shape(kind, updates, association, dynamic, static)
    return linalgx.scatter(
        [original], indices, [windows], dims,
        lambda current, update: _region(op, (update, current)), unique=bool(_integer(op, "unique_indices")),
    )  # fmt: skip


_CONVERSIONS: dict[str, Callable[[ir.Operation], list[ir.Value]]] = {
    "tm_tensor.sort": _sort,
    "tm_tensor.scan": _scan,
    "tm_tensor.scatter": _scatter,
}
