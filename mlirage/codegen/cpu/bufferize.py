"""Tensors of an entry point become buffers, without a single allocation.

Results are computed where they belong (destination passing); what needs storage of its own lives on the stack if it
is small, else in the worker's scratch memory, whose size the entry point states.
"""

from __future__ import annotations

from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.arguments import SCRATCH_ATTRIBUTE, contiguous_view
from mlirage.codegen.cpu.loop_values import carry_in_place
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, linalg, memref, run_pipeline

_PIPELINE = (
    # extents of computed values come from their operands, so that the values themselves are not kept for them
    "resolve-ranked-shaped-type-result-dims,canonicalize,cse,eliminate-empty-tensors,empty-tensor-to-alloc-tensor,"
    "one-shot-bufferize{bufferize-function-boundaries=1 function-boundary-type-conversion=identity-layout-map "
    "buffer-alignment=64},canonicalize,cse,"
    "func.func(buffer-hoisting,buffer-loop-hoisting),canonicalize,cse"
)
_STACK_BYTES = 16 << 10  # of all stack buffers of an entry point together
_ALIGNMENT = 64


def bufferize(entry: Entry) -> None:
    """Bufferizes the entry; afterwards it allocates nothing.

    Raises:
      CompileError: a temporary has no bound on its size.
    """
    carry_in_place(entry)
    run_pipeline(entry.operation.parent, _PIPELINE)
    place_temporaries(entry)
    copies_to_loops(entry)


def place_temporaries(entry: Entry) -> None:
    """Gives every `memref.alloc` a place on the stack or in scratch memory."""
    block = entry.function.entry_block
    scratch = block.arguments[len(block.arguments) - 1]
    stack, offset = 0, 0
    for op in list(entry.walk()):
        if op.name == "memref.dealloc":
            op.erase()
            continue
        if op.name != "memref.alloc":
            continue
        if any(use.owner.operation.name in ("scf.yield", "scf.condition") for use in op.results[0].uses):
            _refuse_carried(op, entry)
        kind = ir.MemRefType(op.results[0].type)
        count = _bound_of(op, kind)
        if count is None:
            raise CompileError(
                f"{op.location}: entry point @{entry.name} needs a temporary of type {kind} whose size has no bound"
            )
        size = count * byte_width(kind.element_type)
        flat = ir.MemRefType.get([max(count, 1)], kind.element_type)
        with ir.InsertionPoint.at_block_begin(block), op.location:
            if stack + size <= _STACK_BYTES:
                stack += size
                base = memref.AllocaOp(flat, [], [], alignment=_ALIGNMENT).result
            else:
                whole = ir.MemRefType.get([ir.ShapedType.get_dynamic_size()], ir.IntegerType.get_signless(8))
                length = arith.constant(ir.IndexType.get(), offset + size)
                bytes_ = contiguous_view(scratch, whole, [length])
                base = memref.view(flat, bytes_, arith.constant(ir.IndexType.get(), offset), [])
                offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        with ir.InsertionPoint(op), op.location:
            view = contiguous_view(base, kind, list(op.operands))
        op.results[0].replace_all_uses_with(view)
        op.erase()
    entry.operation.attributes[SCRATCH_ATTRIBUTE] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), offset)


def _refuse_carried(op: ir.Operation, entry: Entry) -> None:
    """A buffer that one iteration allocates and the next one reads cannot have one place."""
    for use in op.results[0].uses:
        parent = use.owner.operation.parent
        if use.owner.operation.name in ("scf.yield", "scf.condition") and parent.name in ("scf.for", "scf.while"):
            raise CompileError(f"{op.location}: entry point @{entry.name} carries a new buffer from iteration to iteration")


def byte_width(element: ir.Type) -> int:
    """Bytes of one element in memory."""
    if isinstance(element, ir.ComplexType):
        return 2 * byte_width(element.element_type)
    if isinstance(element, ir.IndexType):
        return 8
    return max(1, -(-element.width // 8))  # pyright: ignore


def _bound_of(op: ir.Operation, kind: ir.MemRefType) -> int | None:
    """The most elements that the allocation can have."""
    total = 1
    dynamic = iter(op.operands)
    for i in range(kind.rank):
        bound = upper_bound(next(dynamic)) if kind.is_dynamic_dim(i) else kind.get_dim_size(i)
        if bound is None:
            return None
        total *= bound
    return total


def upper_bound(value: ir.Value) -> int | None:
    """A constant that the index `value` never exceeds, as far as its definition tells."""
    owner = value.owner
    if not isinstance(owner, ir.Operation | ir.OpView):
        return None
    op = owner.operation
    match op.name:
        case "arith.constant":
            return ir.IntegerAttr(op.attributes["value"]).value
        case "affine.min":
            expressions = ir.AffineMapAttr(op.attributes["map"]).value.results
            bounds = [e.value for e in expressions if isinstance(e, ir.AffineConstantExpr)]
            return min(bounds, default=None)
        case "arith.minsi" | "arith.minui":
            bounds = [b for b in map(upper_bound, op.operands) if b is not None]
            return min(bounds, default=None)
        case "arith.select":
            bounds = [upper_bound(v) for v in list(op.operands)[1:]]
            return None if None in bounds else max(b for b in bounds if b is not None)
        case _:
            return None


def copies_to_loops(entry: Entry) -> None:
    """`memref.copy` becomes an elementwise linalg op: no runtime function, and vectorized like any other."""
    for op in list(entry.walk()):
        if op.name != "memref.copy":
            continue
        source, target = op.operands
        if source == target:
            op.erase()
            continue
        kind = ir.MemRefType(source.type)
        identity = ir.AffineMapAttr.get(ir.AffineMap.get_identity(kind.rank))
        with ir.InsertionPoint(op), op.location:
            generic = linalg.GenericOp(
                [],
                [source],
                [target],
                ir.ArrayAttr.get([identity] * 2),
                ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * kind.rank),
            )
            body = ir.Block.create_at_start(generic.regions[0], [kind.element_type] * 2)
            with ir.InsertionPoint(body):
                linalg.yield_([body.arguments[0]])
        op.erase()
