"""linalgx ops inside executables become loops on tensors that bufferize in place.

    %r:2 = "linalgx.sort"(%x, %out, %working) ({…})   =>   scf.for … tensor.extract … tensor.insert …

One file per op. What an op needs as memory is among its outs, so nothing is allocated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.linalgx.attention import lower_attention
from mlirage.codegen.linalgx.compact import lower_compact
from mlirage.codegen.linalgx.factorize import lower_factorize
from mlirage.codegen.linalgx.fourier import lower_fourier
from mlirage.codegen.linalgx.scan import lower_scan
from mlirage.codegen.linalgx.scatter import lower_scatter
from mlirage.codegen.linalgx.sort import lower_sort
from mlirage.codegen.linalgx.topk import lower_topk
from mlirage.mlir import ir, linalg, tensor, walk
from mlirage.structured_ops import clone_body


def lower_linalgx(function: ir.Operation, vector_bytes: int = 0) -> None:
    """Replaces every linalgx op in `function` by loops.

    Args:
      function: where they are.
      vector_bytes: of a vector register; 0: there are to be no vectors.
    """
    for op in [op for op in walk(function) if op.name in LOWERINGS]:
        _separate_outs(op)
        with op.location, ir.InsertionPoint(op):
            lanes = _lanes(op, vector_bytes)
            results = _vector_topk(op, lanes) if lanes else LOWERINGS[op.name](op)
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(new)
        op.erase()


def _lanes(op: ir.Operation, vector_bytes: int) -> int:
    """Elements that a top-k compares at once, 0: one by one."""
    if op.name != "linalgx.topk" or not vector_bytes:
        return 0
    element = ir.RankedTensorType(op.operands[0].type).element_type
    known = isinstance(element, ir.F32Type | ir.F64Type) or (
        isinstance(element, ir.IntegerType) and element.width in (32, 64)
    )
    return 8 * vector_bytes // element.width if known else 0  # pyright: ignore


def _vector_topk(op: ir.Operation, lanes: int) -> list[ir.Value]:
    def before(a: ir.Value, b: ir.Value) -> ir.Value:
        elements = Elements(lanes if isinstance(a.type, ir.VectorType) else 0)
        return elements.clone_body(op.regions[0].blocks[0], [a, b], {})[0]

    return lower_topk(op.opview, before, lanes)


def _separate_outs(op: ir.Operation) -> None:
    """Gives each out memory of its own that can be written.

    cse merges `tensor.empty`s, and bufferization would give both outs the same memory; a constant has none to write to.
    """
    seen: list[ir.Value] = []
    for number, operand in enumerate(op.operands):
        owner = operand.owner
        is_empty = isinstance(operand, ir.OpResult) and owner.operation.name == "tensor.empty"
        if is_empty and operand in seen:
            op.operands[number] = owner.operation.clone(ir.InsertionPoint(op)).results[0]
        seen.append(operand)
        if number >= len(op.operands) - len(op.results) and _is_constant(operand):
            with op.location, ir.InsertionPoint(op):
                kind = ir.RankedTensorType(operand.type)
                op.operands[number] = linalg.copy(operand, outs=[tensor.empty(kind.shape, kind.element_type)])


def _is_constant(value: ir.Value) -> bool:
    return isinstance(value, ir.OpResult) and value.owner.operation.name == "arith.constant"


def is_linalgx(op: ir.Operation) -> bool:
    """Whether `op` is one of those that `lower_linalgx` replaces."""
    return op.name in LOWERINGS


def _with_region(lower: Callable[..., list[ir.Value]], single: bool) -> Callable[[ir.Operation], list[ir.Value]]:
    """Gives `lower` a function that clones the op's region at the insertion point; with one value, not a list."""

    def run(op: ir.Operation) -> list[ir.Value]:
        def region(*scalars: ir.Value) -> Any:
            values = clone_body(op.regions[0].blocks[0], scalars)
            return values[0] if single else values

        return lower(op.opview, region)

    return run


LOWERINGS: dict[str, Callable[[ir.Operation], list[ir.Value]]] = {
    "linalgx.sort": _with_region(lower_sort, single=True),
    "linalgx.topk": _with_region(lower_topk, single=True),
    "linalgx.scan": _with_region(lower_scan, single=True),
    "linalgx.scatter": _with_region(lower_scatter, single=False),
    "linalgx.attention": _with_region(lower_attention, single=True),
    "linalgx.compact": lambda op: lower_compact(op.opview),
    "linalgx.fourier": lambda op: lower_fourier(op.opview),
    "linalgx.factorize": lambda op: lower_factorize(op.opview),
}
