"""Groups the ops of every block into dispatch regions.

    %m = linalg.matmul …            %r = "flow.dispatch_region"() ({
    %b = linalg.generic … %m   ->     %m = linalg.matmul …
                                      %b = linalg.generic … %m
                                      "flow.return"(%b)

`grouping.py` decides who goes together; this pass moves the ops. Ops that run on the host or move whole runs of bytes
(reshapes, contiguous slices, loads) stay outside, as do free ops, which `clone_producers` copies into their readers.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlirage import structured_ops
from mlirage.extents import resolve_dims
from mlirage.flow.dialect import DispatchRegionOp, ReturnOp
from mlirage.flow.grouping import BlockGraph, Group, group_block
from mlirage.flow.host_extents import HostExtents
from mlirage.mlir import ir
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("flow-form-dispatch-regions")
def form_dispatch_regions(program: Program) -> None:
    """Moves ops that belong together into `flow.dispatch_region` ops."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func" or not function.regions[0].blocks:
            continue
        resolve_dims(function.operation, HostExtents())
        for block in host_blocks(function.operation):
            _form(block)


def host_blocks(function: ir.Operation) -> list[ir.Block]:
    """The blocks of a function whose ops run on the host: its own and those of its scf ops."""
    blocks = list(function.regions[0].blocks)
    for op in structured_ops.tensor_ops(function):
        if op.name.startswith("scf."):
            blocks.extend(block for region in op.regions for block in region.blocks)
    return blocks


def _form(block: ir.Block) -> None:
    graph = BlockGraph(block)
    groups = group_block(graph)
    if not groups:
        return
    terminator = graph.ops[-1]
    for node in _order(graph, groups):
        if isinstance(node, Group):
            _build_region(node, terminator)
        elif node != terminator:
            node.move_before(terminator)


def _order(graph: BlockGraph, groups: list[Group]) -> list[Group | ir.Operation]:
    """Ops and groups so that each follows what it reads, as near to the old order as that allows."""
    owner: dict[ir.Operation, Group] = {op: group for group in groups for op in group.ops}
    nodes: dict[Group | ir.Operation, list[ir.Operation]] = {}
    for op in graph.ops:
        nodes.setdefault(owner.get(op, op), []).append(op)
    ordered: list[Group | ir.Operation] = []
    done: set[Group | ir.Operation] = set()
    for start in nodes:
        stack: list[tuple[Group | ir.Operation, bool]] = [(start, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            if ready:
                done.add(node)
                ordered.append(node)
                continue
            stack.append((node, True))
            for op in reversed(nodes[node]):
                before = [*graph.producers[op], *([graph.after[op]] if op in graph.after else [])]
                stack.extend(
                    (owner.get(producer, producer), False)
                    for producer in reversed(before)
                    if owner.get(producer, producer) is not node and owner.get(producer, producer) not in done
                )
    return ordered


def _build_region(group: Group, terminator: ir.Operation) -> None:
    members = set(group.ops)
    outside: dict[ir.Value, list[ir.OpOperand]] = {}
    for op in group.ops:
        for result in op.results:
            uses = [use for use in result.uses if _ancestor(use.owner.operation, op.block) not in members]
            # Every result of a special op crosses the boundary, used or not: outs are also its working memory.
            if uses or (group.kind == "special" and op.name.startswith("linalgx.")):
                outside[result] = uses
    results = group_by_type(outside)
    with ir.InsertionPoint(terminator):
        region = DispatchRegionOp([result.type for result in results], loc=group.root.location)
    block = ir.Block.create_at_start(region.body, [])
    for op in group.ops:
        block.append(op)
    with ir.InsertionPoint(block):
        ReturnOp(results, loc=group.root.location)
    for new, old in zip(region.operation.results, results, strict=True):
        for use in outside[old]:
            use.owner.operation.operands[use.operand_number] = new


def _ancestor(op: ir.Operation, block: ir.Block) -> ir.Operation:
    while op.block != block:
        op = op.parent.operation
    return op


def group_by_type(values: Iterable[ir.Value]) -> list[ir.Value]:
    """`values` with those of equal type together: variadic operands are stored as runs of equal types."""
    by_type: dict[ir.Type, list[ir.Value]] = {}
    for value in values:
        by_type.setdefault(value.type, []).append(value)
    return [value for group in by_type.values() for value in group]
