"""Names of entry points: `main$3_matmul_128x768x768_f32` = function $ ordinal _ root op _ loop extents _ types."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlirage import structured_ops
from mlirage.mlir import ir


def entry_name(prefix: str, ops: Sequence[ir.Operation]) -> str:
    """The name of the entry point that runs `ops`: `prefix`, then what the most costly op does, on what."""
    root = max(ops, key=_weight)  # the first of equals
    types = dict.fromkeys(str(structured_ops.element_type(value.type)) for value in [*root.operands, *root.results])
    kind = "x".join(re.sub(r"\W", "", name) for name in types if name != "index") or "index"
    if structured_ops.is_structured(root):
        extents = structured_ops.loop_extents(root)
    else:
        extents = list(root.results[0].type.shape) if root.results else []
    shape = "x".join("D" if extent == structured_ops.DYNAMIC else str(extent) for extent in extents) or "scalar"
    return f"{prefix}_{_verb(root, ops)}_{shape}_{kind}"


def _weight(op: ir.Operation) -> int:
    if structured_ops.is_structured(op) and op.name != "linalg.fill":
        if structured_ops.is_contraction(op):
            return 9
        if structured_ops.is_window(op):
            return 8
        return 5 if not structured_ops.is_elementwise(op) else 4
    if op.name.startswith("linalgx.") or op.name in ("linalg.softmax", "linalg.pack", "linalg.unpack"):
        return 7
    return {"tensor.pad": 3, "tensor.insert_slice": 3, "tensor.extract_slice": 2, "linalg.fill": 2}.get(op.name, 1)


def _verb(root: ir.Operation, ops: Sequence[ir.Operation]) -> str:
    if root.name != "linalg.generic":
        return root.name.partition(".")[2]
    if structured_ops.is_contraction(root):
        return "contract"
    if structured_ops.is_window(root):
        return "conv"
    if structured_ops.is_elementwise(root):
        body = list(structured_ops.body(root).operations)
        if len(body) > 1:
            return "elementwise"
        maps = structured_ops.indexing_maps(root)
        return "copy" if all(m.is_projected_permutation for m in maps) else "gather"
    names = [op.name for op in ops if structured_ops.is_structured(op) and not structured_ops.is_elementwise(op)]
    return "reduce" if len(names) == 1 else "normalize"
