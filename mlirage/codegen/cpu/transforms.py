"""Transform-dialect schedules: text of transform ops applied to one entry point."""

from __future__ import annotations

from mlirage.codegen.configuration import Entry
from mlirage.mlir import ir, transform_interpreter

OP = "!transform.any_op"


def apply_transforms(entry: Entry, schedule: str) -> None:
    """Runs `schedule`, the body of a named sequence in which `%f` is the module of the entry.

    Ops are found by a discardable attribute: `transform.structured.match attributes{tag = "root"} in %f`.

    Raises:
      ir.MLIRError: a transform op failed or does not parse.
    """
    text = f"""module attributes {{transform.with_named_sequence}} {{
      transform.named_sequence @schedule(%f: {OP} {{transform.consumed}}) {{
        {schedule}
        transform.yield
      }} }}"""
    module = ir.Module.parse(text, entry.operation.context)
    sequence = module.body.operations[0]
    name = entry.name
    payload = entry.operation.parent
    transform_interpreter.apply_named_sequence(payload, sequence.operation, module.operation)
    # transforms may have replaced the function op
    for op in payload.regions[0].blocks[0].operations:
        if op.operation.name == "func.func" and op.name.value == name:  # pyright: ignore
            entry.function = op  # pyright: ignore


def match(name: str, tag: str) -> str:
    """Text that binds handle `%name` to the ops with discardable attribute `tag`."""
    return f"%{name} = transform.structured.match attributes{{{tag}}} in %f : ({OP}) -> {OP}"


_AGGREGATES = {
    "linalg.softmax": f"transform.structured.decompose_interface %op : ({OP}) -> {OP}",
    "linalg.pack": 'transform.structured.lower_pack %op : (!transform.op<"linalg.pack">) -> '
    '(!transform.op<"tensor.pad">, !transform.op<"tensor.expand_shape">, !transform.op<"linalg.transpose">)',
    "linalg.unpack": 'transform.structured.lower_unpack %op : (!transform.op<"linalg.unpack">) -> '
    '(!transform.op<"tensor.empty">, !transform.op<"linalg.transpose">, !transform.op<"tensor.collapse_shape">, '
    '!transform.op<"tensor.extract_slice">, !transform.op<"linalg.copy">)',
}


def decompose_aggregates(entry: Entry) -> None:
    """linalg ops that stand for several ops (softmax, pack, unpack) become those."""
    for name, step in _AGGREGATES.items():
        if any(op.name == name for op in entry.walk()):
            handle = OP if name == "linalg.softmax" else f'!transform.op<"{name}">'
            apply_transforms(
                entry, f'%op = transform.structured.match ops{{["{name}"]}} in %f : ({OP}) -> {handle}\n{step}'
            )
