"""Tensors of an entry point become buffers, without a single allocation.

Results are computed where they belong (destination passing); what needs storage of its own lives on the stack if it
is small, else in the worker's scratch memory, whose size the entry point states.
"""

from __future__ import annotations

import math

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.arguments import SCRATCH_ATTRIBUTE, contiguous_view
from mlirage.codegen.cpu.loop_values import carry_in_place
from mlirage.errors import CompileError
from mlirage.mlir import arith, ir, linalg, memref, run_pipeline, scf

# Extents of computed values come from their operands, so that the values themselves are not kept for them.
_SIMPLIFY = "resolve-ranked-shaped-type-result-dims,canonicalize,cse"
_BUFFERIZE = (
    "eliminate-empty-tensors,empty-tensor-to-alloc-tensor,"
    "one-shot-bufferize{bufferize-function-boundaries=1 function-boundary-type-conversion=identity-layout-map "
    "buffer-alignment=64},canonicalize,cse,"
    "func.func(buffer-hoisting,buffer-loop-hoisting),canonicalize,cse"
)
_STACK_BYTES = 16 << 10  # of all stack buffers of an entry point together
_ALIGNMENT = 64
# Scratch memory of entry points with buffers of run-time size.
_SCRATCH_LIMIT = 8 << 20


def bufferize(entry: Entry) -> None:
    """Bufferizes the entry; afterwards it allocates nothing.

    Raises:
      CompileError: a temporary has no bound on its size.
    """
    to_buffers(entry)
    place_temporaries(entry)
    copies_to_loops(entry)


def to_buffers(entry: Entry) -> None:
    """Gives every tensor a buffer; those of temporaries are `memref.alloc`s."""
    carry_in_place(entry)
    run_pipeline(entry.operation.parent, _SIMPLIFY)
    unshare_inits(entry)
    run_pipeline(entry.operation.parent, _BUFFERIZE)


def unshare_inits(entry: Entry) -> None:
    """Gives every op that is computed in place a `tensor.empty` or `linalg.fill` of its own.

    eliminate-empty-tensors puts one into the destination of a single result; a second op on it would write there too,
    before the first result is taken (one-shot-bufferize no longer sees the conflict).
    """
    for name in ("linalg.fill", "tensor.empty"):
        for op in [o for o in entry.walk() if o.name == name]:
            users = [(use.owner.operation, use.operand_number) for use in op.results[0].uses]
            written = [(user, number) for user, number in users if not _only_reads(user, number)]
            for user, number in written[1:] if len(written) == len(users) else written:
                user.operands[number] = op.clone(ip=ir.InsertionPoint(op)).results[0]


def _only_reads(user: ir.Operation, number: int) -> bool:
    """Whether an op reads its operand `number` and does not compute on it in place."""
    if structured_ops.is_structured(user):
        return number < structured_ops.segment_sizes(user)[0]
    return user.name in ("tensor.extract", "tensor.dim", "tensor.extract_slice") or user.name.startswith("arith.")


def place_temporaries(entry: Entry) -> None:
    """Gives every `memref.alloc` a place on the stack or in scratch memory.

    Buffers whose size is only known at run time follow in scratch memory up to a limit; a call that needs more fails.
    """
    block = entry.function.entry_block
    scratch = block.arguments[len(block.arguments) - 1]
    stack, offset = 0, 0
    unbounded: list[ir.Operation] = []
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
            unbounded.append(op)
            continue
        size = count * byte_width(kind.element_type)
        flat = ir.MemRefType.get([max(count, 1)], kind.element_type)
        with ir.InsertionPoint.at_block_begin(block), op.location:
            if stack + size <= _STACK_BYTES:
                stack += size
                base = memref.AllocaOp(flat, [], [], alignment=_ALIGNMENT).result
            else:
                base = _scratch_view(scratch, flat, arith.constant(ir.IndexType.get(), offset))
                offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        _replace_alloc(op, base)
    if unbounded:
        offset = _place_unbounded(entry, unbounded, scratch, offset)
    entry.operation.attributes[SCRATCH_ATTRIBUTE] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), offset)


def _scratch_view(scratch: ir.Value, flat: ir.MemRefType, offset: ir.Value) -> ir.Value:
    """The part of scratch memory from `offset` as a buffer of type `flat`."""
    index = ir.IndexType.get()
    whole = ir.MemRefType.get([ir.ShapedType.get_dynamic_size()], ir.IntegerType.get_signless(8))
    length = arith.constant(index, (1 << 62) - 1)  # a view, not an allocation: nothing checks it
    return memref.view(flat, contiguous_view(scratch, whole, [length]), offset, [])


def _replace_alloc(op: ir.Operation, base: ir.Value) -> None:
    with ir.InsertionPoint(op), op.location:
        view = contiguous_view(base, ir.MemRefType(op.results[0].type), list(op.operands))
    op.results[0].replace_all_uses_with(view)
    op.erase()


def _place_unbounded(entry: Entry, allocations: list[ir.Operation], scratch: ir.Value, offset: int) -> int:
    """Places buffers of run-time size one after the other; the body only runs if they fit.

    %fits = arith.cmpi ule, %end, LIMIT
    scf.if %fits { body }
    return select(%fits, 0, 1)
    """
    block = entry.function.entry_block
    index = ir.IndexType.get()
    extents: list[list[int | ir.Value]] = []
    definitions: list[ir.Operation] = []
    for op in allocations:
        bounds = [upper_bound(value) for value in op.operands]
        extents.append([v if b is None else b for v, b in zip(op.operands, bounds, strict=True)])
        for value in extents[-1]:
            if isinstance(value, ir.Value) and not _is_top_level(value, block, definitions):
                raise CompileError(
                    f"{op.location}: entry point @{entry.name} needs a temporary of type {op.results[0].type} whose "
                    "size depends on what is computed"
                )
    anchor = next(iter(block.operations)).operation
    for definition in definitions:
        definition.move_before(anchor)
    end: ir.Value | None = None
    with ir.InsertionPoint(anchor), entry.operation.location:
        end = arith.constant(index, offset)
        for op, dims in zip(allocations, extents, strict=True):
            kind = ir.MemRefType(op.results[0].type)
            static = math.prod(kind.get_dim_size(i) for i in range(kind.rank) if not kind.is_dynamic_dim(i))
            size = arith.constant(index, static * byte_width(kind.element_type))
            for dim in dims:
                size = arith.muli(size, arith.constant(index, dim) if isinstance(dim, int) else dim)
            base = _scratch_view(scratch, ir.MemRefType.get([1], kind.element_type), end)
            _replace_alloc(op, base)
            mask = arith.constant(index, _ALIGNMENT - 1)
            rounded = arith.andi(arith.addi(size, mask), arith.constant(index, -_ALIGNMENT))
            end = arith.addi(end, rounded)
        fits = arith.cmpi(arith.CmpIPredicate.ule, end, arith.constant(index, _SCRATCH_LIMIT))
        guard = scf.IfOp(fits)
    body = guard.operation.regions[0].blocks[0]
    for op in [o.operation for o in block.operations]:
        if op != guard.operation and not op.is_before_in_block(guard.operation) and op.name != "func.return":
            body.append(op)
    with ir.InsertionPoint(body), entry.operation.location:
        scf.yield_([])
    terminator = list(block.operations)[-1].operation
    i32 = ir.IntegerType.get_signless(32)
    with ir.InsertionPoint(terminator), entry.operation.location:
        terminator.operands[0] = arith.select(fits, arith.constant(i32, 0), arith.constant(i32, 1))
    return _SCRATCH_LIMIT


def _is_top_level(value: ir.Value, block: ir.Block, definitions: list[ir.Operation]) -> bool:
    """Whether `value` can be computed at the start of the function; collects what computes it, in order."""
    if isinstance(value.owner, ir.Block):
        return value.owner == block
    op = value.owner.operation
    if op in definitions:
        return True
    if not op.name.startswith(
        ("arith.", "affine.apply", "affine.min", "affine.max", "memref.dim", "memref.reinterpret_cast")
    ):
        return False
    if not all(_is_top_level(operand, block, definitions) for operand in op.operands):
        return False
    definitions.append(op)
    return True


def _refuse_carried(op: ir.Operation, entry: Entry) -> None:
    """A buffer that one iteration allocates and the next one reads cannot have one place."""
    for use in op.results[0].uses:
        parent = use.owner.operation.parent
        if use.owner.operation.name in ("scf.yield", "scf.condition") and parent.name in ("scf.for", "scf.while"):
            raise CompileError(
                f"{op.location}: entry point @{entry.name} carries a new buffer from iteration to iteration"
            )


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
