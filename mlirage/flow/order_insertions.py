"""Writes the parts of a tensor in the order in which they are computed.

    %t = tensor.insert_slice %late into %e[0, 0]           %t = tensor.insert_slice %early into %e[0, 8]
    %u = tensor.insert_slice %early into %t[0, 8]    ->    %u = tensor.insert_slice %late into %t[0, 0]

Whoever computes a part may then write it itself (`insertions.py`), without waiting for parts that wait for it: skip
connections, whose early part often stands behind the late one. Only parts that do not overlap change places.
"""

from __future__ import annotations

import functools

from mlirage import structured_ops
from mlirage.flow.insertions import INSERTION, are_disjoint
from mlirage.mlir import ir
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("flow-order-insertions")
def order_insertions(program: Program) -> None:
    """Sorts every chain of tensor.insert_slice by the origins of what is inserted."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        insertions = [op for op in structured_ops.tensor_ops(function.operation) if op.name == INSERTION]
        for op in insertions:
            if _next(op) is None:
                _sort(op)


def _next(op: ir.Operation) -> ir.Operation | None:
    """The insertion that alone reads `op`, as its target."""
    uses = list(op.results[0].uses)
    user = uses[0].owner.operation if len(uses) == 1 else None
    if user is None or user.name != INSERTION or uses[0].operand_number != 1 or user.block != op.block:
        return None
    return user


def _sort(last: ir.Operation) -> None:
    chain = [last]
    while True:
        owner = chain[0].operands[1].owner
        if isinstance(owner, ir.Block) or owner.operation.name != INSERTION:
            break
        follower = _next(owner.operation)
        if follower is None or follower != chain[0]:
            break
        if not all(are_disjoint(owner.operation, op) for op in chain):
            break
        chain.insert(0, owner.operation)
    order = sorted(chain, key=_by_origin)
    if order == chain:
        return
    value = chain[0].operands[1]
    for op in order:
        clone = op.clone(ip=ir.InsertionPoint(last))
        clone.operands[1] = value
        value = clone.results[0]
    last.results[0].replace_all_uses_with(value)
    for op in reversed(chain):
        op.erase()


def _is_made_before(a: ir.Value, b: ir.Value) -> bool:
    """Whether `a` is made by an op before that of `b`; what comes from outside of the block is made before all."""
    if isinstance(a.owner, ir.Block) or isinstance(b.owner, ir.Block):
        return isinstance(a.owner, ir.Block) and not isinstance(b.owner, ir.Block)
    first, second = a.owner.operation, b.owner.operation
    return first != second and first.block == second.block and first.is_before_in_block(second)


def _compare_origins(a: ir.Operation, b: ir.Operation) -> int:
    return _is_made_before(b.operands[0], a.operands[0]) - _is_made_before(a.operands[0], b.operands[0])


_by_origin = functools.cmp_to_key(_compare_origins)
