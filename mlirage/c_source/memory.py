"""How much memory a program needs at most, where that can be told from the program alone."""

from __future__ import annotations

from collections.abc import Mapping

from mlirage.mlir import func, ir
from mlirage.vm.encode_function import edges_of

# A block's header and what its end is rounded up by, at most.
_BLOCK = 32 + 15


def memory_bound(functions: Mapping[str, func.FuncOp]) -> str:
    """A C expression of the bytes for all allocations that live at the same time; "" if it depends on shapes.

    Everything that a function allocates is taken to live until it returns, and what the initializer allocates forever.
    Allocations in loops are not bounded this way.
    """
    try:
        known: dict[str, tuple[int, int]] = {}
        always = (0, 0)
        largest = (0, 0)
        for name, function in functions.items():
            attributes = function.operation.attributes
            found = _of_function(name, functions, known)
            if "mlirage.initializer" in attributes:
                always = found
            elif "sym_visibility" not in attributes or ir.StringAttr(attributes["sym_visibility"]).value == "public":
                largest = (max(largest[0], found[0]), max(largest[1], found[1]))
    except _Unknown:
        return ""
    size, views = always[0] + largest[0], always[1] + largest[1]
    return f"{size + 16}" + (f" + {views} * (sizeof(model_array_t) + {_BLOCK})" if views else "")


class _Unknown(Exception):
    """A size that is not constant, an allocation in a loop, or a function that calls itself."""


def _of_function(name: str, functions: Mapping[str, func.FuncOp], known: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Bytes of blocks, and views, that a call of the function allocates."""
    if name in known:
        if known[name][0] < 0:
            raise _Unknown
        return known[name]
    known[name] = (-1, 0)
    blocks = list(functions[name].body.blocks)
    repeated = _blocks_in_loops(blocks)
    size = views = 0
    for number, block in enumerate(blocks):
        for view in block.operations:
            op = view.operation
            more = _of_op(op, functions, known)
            if any(more) and number in repeated:
                raise _Unknown
            size, views = size + more[0], views + more[1]
    known[name] = (size, views)
    return known[name]


def _of_op(
    op: ir.Operation, functions: Mapping[str, func.FuncOp], known: dict[str, tuple[int, int]]
) -> tuple[int, int]:
    match op.name:
        case "func.call":
            return _of_function(ir.FlatSymbolRefAttr(op.attributes["callee"]).value, functions, known)
        case "vm.buffer_alloc":
            return _constant(op.operands[0]) + _BLOCK, 0
        case "vm.buffer_clone":
            return _constant(op.operands[2]) + _BLOCK, 0
        case "vm.global_store_ref":
            return _size_of_kept(op)
        case "vm.call_import":
            function = ir.StringAttr(op.attributes["function"]).value
            if function == "hal_inline.buffer_allocate":
                return _constant(op.operands[0]) + _BLOCK, 0
            if function.endswith("_executables.dispatch"):
                raise _Unknown  # kernels have scratch memory of their own
            return 0, int(function == "hal_inline.buffer_view_create")
        case _:
            return 0, 0


def _size_of_kept(op: ir.Operation) -> tuple[int, int]:
    """What storing a variable allocates: nothing, but for memory of the caller, which is copied."""
    owner = op.operands[0].owner
    if isinstance(owner, ir.Block):
        raise _Unknown  # of an argument, maybe
    operation = owner.operation
    borrowed = operation.name in ("vm.buffer_slice", "vm.select_ref", "func.call") or (
        operation.name == "vm.call_import"
        and ir.StringAttr(operation.attributes["function"]).value == "hal_inline.buffer_view_buffer"
    )
    if borrowed:
        raise _Unknown
    return 0, 0


def _constant(value: ir.Value) -> int:
    owner = value.owner
    if isinstance(owner, ir.Operation | ir.OpView) and owner.operation.name == "vm.const_64":
        return ir.IntegerAttr(owner.operation.attributes["value"]).value
    raise _Unknown


def _blocks_in_loops(blocks: list[ir.Block]) -> set[int]:
    """Blocks that can be reached from themselves."""
    numbers = {block: number for number, block in enumerate(blocks)}
    successors = [[target for target, _ in edges_of(block, numbers)] for block in blocks]
    found: set[int] = set()
    for start in range(len(blocks)):
        pending, seen = list(successors[start]), set[int]()
        while pending:
            block = pending.pop()
            if block not in seen:
                seen.add(block)
                pending += successors[block]
        if start in seen:
            found.add(start)
    return found
