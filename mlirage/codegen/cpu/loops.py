"""kind "loops": elementwise ops, reductions, poolings, and chains of them over common rows (softmax, layer norm).

    for each workgroup:            tiles of the root's row loops
      for each row (block):        only if the entry has several ops
        every op of the chain      on that row; what they pass on stays in the cache

The root is the op that all others lead to. Row loops are those of its loops along which no op of the chain would be
computed twice. Innermost loops walk along contiguous elements and are left to LLVM's vectorizer, which handles ragged
and dynamic extents with a vector remainder of its own.
"""

from __future__ import annotations

import math

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Datum, Entry, is_structured
from mlirage.codegen.cpu.grain import GUESS, cost_ns, workgroup_tiles
from mlirage.codegen.cpu.loop_order import allow_reordering, best_order, order_loops, simplify_softmax
from mlirage.codegen.cpu.transforms import OP, apply_transforms, match
from mlirage.codegen.cpu.transpose import block_tiles, vectorize_blocks
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import identity, ir

KIND = "loops"
# The vectorizer interleaves what is worth it; unrolling whole rows makes code ten times as large, not faster.
LLVM_UNROLLS = False
_ROOT = "loops_root"
_ROW_BLOCK_ELEMENTS = 1024
# Columns that a chain sums up side by side.
_COLUMN_BLOCK = 128
# Elements of a transposing block along the loops that are contiguous where it reads and where it writes.
_READ_BLOCK, _WRITE_BLOCK = 16, 64
_VIEWS = ("tensor.extract_slice", "tensor.expand_shape", "tensor.collapse_shape", "tensor.cast")
_HARMLESS = ("tensor.empty", "tensor.dim", "bufferization.to_tensor", "bufferization.materialize_in_destination",
             "func.return")  # fmt: skip
# A chain whose fusion would make more ops than that is not tiled.
_MOST_COPIES = 1000


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries whose structured ops all lead to one root and that hold nothing else but views of operands."""
    ops = _chain(entry)
    if ops is None:
        return None
    root = ops[-1]
    if _fused_copies(ops) > _MOST_COPIES:
        return root, Configuration(KIND, (0,) * len(structured_ops.loop_extents(root)))
    for op in ops:
        simplify_softmax(op)
    rows = row_loops(ops)
    if not _results_are_local(entry, ops, rows):
        rows = set()
    extents = [GUESS if e == structured_ops.DYNAMIC else e for e in structured_ops.loop_extents(root)]
    total_ns = sum(cost_ns(op) for op in ops)
    dynamic = [e == structured_ops.DYNAMIC for e in structured_ops.loop_extents(root)]
    tiles = workgroup_tiles(extents, dynamic, rows, total_ns, best_order(root))
    data: dict[str, Datum] = {}
    if len(_heavy(ops)) > 1 and rows:
        data["row_tiles"] = _row_tiles(ops, extents, rows)
    elif rows == set(range(len(extents))):
        if blocks := block_tiles(root, target):
            data["register_blocks"] = blocks
            # A workgroup has whole blocks: in smaller ones the loop over blocks is empty, which no bound may say.
            tiles = tuple(-(-tile // block) * block for tile, block in zip(tiles, blocks, strict=True))
        elif blocks := _transpose_tiles(root, extents):
            data["row_tiles"] = blocks
    return root, Configuration(KIND, tiles, data)


def _fused_copies(ops: list[ir.Operation]) -> int:
    """How many ops fusing all producers into a tile of the last one makes: one for every path that leads there.

    Recurrences such as Clenshaw's, where every value is used by the next two, have as many as Fibonacci's numbers.
    """
    copies = {identity(op): 0 for op in ops}
    copies[identity(ops[-1])] = 1
    for op in reversed(ops):
        for value in op.operands:
            if not isinstance(value.owner, ir.Block) and identity(value.owner.operation) in copies:
                copies[identity(value.owner.operation)] += copies[identity(op)]
    return sum(copies.values())


def _heavy(ops: list[ir.Operation]) -> list[ir.Operation]:
    return [op for op in ops if op.name != "linalg.fill"]


def _chain(entry: Entry) -> list[ir.Operation] | None:
    """The structured ops in order, the root last; None if the entry is of another form."""
    ops: list[ir.Operation] = []
    block = entry.function.entry_block
    for opview in block.operations:
        op = opview.operation
        if is_structured(op):
            ops.append(op)
        elif op.name in _VIEWS:
            if not _leads_to_operand(op.operands[0]):
                return None
        elif op.name.startswith(("linalg.", "scf.", "linalgx.")) or (
            op.name.startswith("tensor.") and op.name not in (*_HARMLESS, "tensor.extract")
        ):
            return None
    heavy = _heavy(ops)
    if not heavy or any(not isinstance(r.type, ir.RankedTensorType) for op in ops for r in op.results):
        return None
    root = heavy[-1]
    if ops[-1] != root:
        return None
    # every other op must lead to the root
    reached = {root}
    for op in reversed(ops):
        if op in reached:
            reached.update(v.owner.operation for v in op.operands if not isinstance(v.owner, ir.Block))
    return ops if all(op in reached for op in ops) else None


def _leads_to_operand(value: ir.Value) -> bool:
    """Whether a value is a view of an operand of the entry."""
    if isinstance(value.owner, ir.Block):
        return False
    op = value.owner.operation
    return op.name == "bufferization.to_tensor" or (op.name in _VIEWS and _leads_to_operand(op.operands[0]))


def row_loops(ops: list[ir.Operation]) -> set[int]:
    """Loops of the root (the last op) along which tiling computes nothing twice, but cheap elementwise ops."""
    root = ops[-1]
    rows = {loop for loop, parallel in enumerate(structured_ops.parallel_loops(root)) if parallel}
    if not all(_grows(e) for op in ops for m in structured_ops.indexing_maps(op) for e in m.results):
        return set()
    # for each op: the loop of the op that each root loop is, where it is one
    loops_of: dict[ir.Operation, dict[int, int]] = {root: {loop: loop for loop in rows}}
    for op in reversed(ops):
        if op not in loops_of:
            continue
        maps = structured_ops.indexing_maps(op)
        for operand, indexing_map in zip(op.operands, maps, strict=True):
            producer = None if isinstance(operand.owner, ir.Block) else operand.owner.operation
            if producer is None or producer not in ops or producer.name == "linalg.fill":
                continue
            number = list(producer.results).index(operand)
            inputs = structured_ops.segment_sizes(producer)[0]
            written = structured_ops.map_dims(structured_ops.indexing_maps(producer)[inputs + number])
            read = structured_ops.map_dims(indexing_map)
            known = loops_of[op]
            mapping = {
                row: inner
                for row, loop in known.items()
                for position, inner in enumerate(written)
                if inner is not None and read[position] == loop
            }
            cheap = all(structured_ops.parallel_loops(producer)) and not _reads_of(ops, producer)
            rows &= set(mapping) | (set(known) if cheap else set())
            if producer in loops_of:
                mapping = {row: loop for row, loop in loops_of[producer].items() if mapping.get(row) == loop}
                rows &= set(mapping) | (set(known) if cheap else set())
            loops_of[producer] = mapping
    return rows


def _grows(expression: ir.AffineExpr) -> bool:
    """Whether an index grows with every loop: tiling derives the extent of a tile from its last index."""
    match expression:
        case ir.AffineDimExpr() | ir.AffineConstantExpr():
            return True
        case ir.AffineAddExpr():
            return _grows(expression.lhs) and _grows(expression.rhs)
        case ir.AffineMulExpr():
            factor = expression.rhs
            return _grows(expression.lhs) and isinstance(factor, ir.AffineConstantExpr) and factor.value > 0
        case _:
            return False


def _reads_of(ops: list[ir.Operation], producer: ir.Operation) -> bool:
    """Whether `producer` itself reads other computing ops of the chain."""
    return any(
        not isinstance(v.owner, ir.Block) and v.owner.operation in ops and v.owner.operation.name != "linalg.fill"
        for v in producer.operands
    )


def _results_are_local(entry: Entry, ops: list[ir.Operation], rows: set[int]) -> bool:
    """Whether each workgroup writes its own part of every result."""
    root = ops[-1]
    for op in entry.walk():
        if op.name == "bufferization.materialize_in_destination":
            source = op.operands[0]
            producer = None if isinstance(source.owner, ir.Block) else source.owner.operation
            if producer == root:
                inputs = structured_ops.segment_sizes(root)[0]
                maps = structured_ops.indexing_maps(root)[inputs:]
                if not all(rows <= {d for d in structured_ops.map_dims(m) if d is not None} for m in maps):
                    return False
            else:
                return False
    return True


def _row_tiles(ops: list[ir.Operation], extents: list[int], rows: set[int]) -> tuple[int, ...]:
    """Rows that a chain handles at a time: one, or so many short ones that loops are worth their set-up."""
    per_row = max(
        math.prod(GUESS if e == structured_ops.DYNAMIC else max(e, 1) for e in structured_ops.loop_extents(op))
        for op in ops
    ) / max(1, math.prod(max(extents[loop], 1) for loop in rows))
    tiles = [1 if loop in rows else 0 for loop in range(len(extents))]
    last = max(rows)
    tiles[last] = max(1, min(extents[last] or 1, int(_ROW_BLOCK_ELEMENTS / max(per_row, 1))))
    if any(_reduces_outside(op) for op in ops):  # columns are summed up side by side: whole vectors of them
        tiles[last] = max(tiles[last], min(extents[last], _COLUMN_BLOCK))
    return tuple(tiles)


def _reduces_outside(op: ir.Operation) -> bool:
    """Whether what `op` reads is contiguous along a parallel loop, and reduced along others."""
    parallel = structured_ops.parallel_loops(op)
    return not all(parallel) and parallel[best_order(op)[-1]]


def _transpose_tiles(root: ir.Operation, extents: list[int]) -> tuple[int, ...]:
    """Blocks for an op that reads along one loop and writes along another: cache lines read are used up soon."""
    maps = structured_ops.indexing_maps(root)
    inputs = structured_ops.segment_sizes(root)[0]
    written = _last_loop(maps[inputs])
    read = {_last_loop(m) for m in maps[:inputs] if len(m.results) > 1} - {written, None}
    if written is None or not read or not all(m.n_dims == len(extents) for m in maps):
        return ()
    tiles = [0] * len(extents)
    for loop in read:
        if loop is not None and extents[loop] > _READ_BLOCK:
            tiles[loop] = _READ_BLOCK
    if not any(tiles):
        return ()
    if extents[written] > _WRITE_BLOCK:
        tiles[written] = _WRITE_BLOCK
    return tuple(tiles)


def _last_loop(indexing_map: ir.AffineMap) -> int | None:
    dims = structured_ops.map_dims(indexing_map)
    return dims[-1] if dims else None


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Distributes, tiles rows, fuses the chain into them, and orders the loops."""
    del target
    root, _ = entry.configured()
    for op in list(entry.structured_ops()):
        if op.name not in ("linalg.generic", "linalg.fill") and op != root:
            structured_ops.generalize(op)
    if root.name != "linalg.generic":
        root = structured_ops.generalize(root)
    root.attributes[_ROOT] = ir.UnitAttr.get()
    tile_and_fuse(entry, configuration.workgroup_tiles, "{use_forall}")
    row_tiles = configuration.data.get("row_tiles", ())
    assert isinstance(row_tiles, tuple)
    tile_and_fuse(entry, row_tiles, "")
    _write_in_place(entry)
    register_blocks = configuration.data.get("register_blocks", ())
    assert isinstance(register_blocks, tuple)
    if register_blocks:
        vectorize_blocks(entry, _ROOT, register_blocks)
    for op in list(entry.structured_ops()):
        if op.name == "linalg.generic":
            order_loops(op)
            if not all(structured_ops.parallel_loops(op)):
                allow_reordering(op)


def tile_and_fuse(entry: Entry, tiles: tuple[int, ...], flags: str) -> None:
    """Tiles the root and fuses its producers into the loops."""
    if not any(tiles):
        return
    while tiles and tiles[-1] == 0:
        tiles = tiles[:-1]
    loops = 1 if "use_forall" in flags else sum(t != 0 for t in tiles)
    handles = ", ".join([OP] * (loops + 1))
    apply_transforms(
        entry,
        f"""{match("root", _ROOT)}
        %tiled, %loops:{loops} = transform.structured.fuse %root tile_sizes [{", ".join(map(str, tiles))}] {flags}
          : ({OP}) -> ({handles})
        %fn = transform.structured.match ops{{["func.func"]}} in %f : ({OP}) -> {OP}
        transform.apply_patterns to %fn {{
          transform.apply_patterns.tensor.fold_tensor_empty
          transform.apply_patterns.canonicalization
        }} : {OP}
        transform.apply_cse to %fn : {OP}""",
    )


def _write_in_place(entry: Entry) -> None:
    """Lets a chain of elementwise ops compute where the root will put its result.

        %p = producer outs(%empty);  %r = root ins(%p, …) outs(%slice)
          ─>
        %p = producer outs(%slice);  %r = root ins(%p, …) outs(%p)

    and so on up the chain. A row, of any length, then needs no buffer of its own.
    """
    work = [op for op in entry.structured_ops() if _ROOT in op.attributes]
    while work:
        op = work.pop()
        if not all(structured_ops.parallel_loops(op)):
            continue
        maps = structured_ops.indexing_maps(op)
        inputs = structured_ops.segment_sizes(op)[0]
        for number in range(inputs, len(maps)):
            target = op.operands[number]
            for candidate in range(inputs):
                value = op.operands[candidate]
                if maps[candidate] == maps[number] and _can_move(value, target, op):
                    producer = value.owner.operation
                    init = structured_ops.segment_sizes(producer)[0] + list(producer.results).index(value)
                    target.owner.operation.move_before(producer)
                    producer.operands[init] = target
                    op.operands[number] = value
                    work.append(producer)
                    break


def _can_move(value: ir.Value, target: ir.Value, root: ir.Operation) -> bool:
    """Whether `value` may be computed into `target`, the slice that `root` writes."""
    if isinstance(value.owner, ir.Block) or isinstance(target.owner, ir.Block) or value.type != target.type:
        return False
    producer, slice_op = value.owner.operation, target.owner.operation
    if not is_structured(producer) or slice_op.name != "tensor.extract_slice" or producer.block != root.block:
        return False
    init = structured_ops.outputs(producer)[list(producer.results).index(value)]
    if isinstance(init.owner, ir.Block) or init.owner.operation.name != "tensor.empty":
        return False
    if len(list(target.uses)) != 1 or slice_op.block != root.block:
        return False
    # nobody may want the old value afterwards
    readers = [use.owner.operation for use in value.uses]
    if any(
        reader != root and (reader.block != root.block or not reader.is_before_in_block(root)) for reader in readers
    ):
        return False
    return all(
        isinstance(v.owner, ir.Block)
        or v.owner.operation.block != root.block
        or v.owner.operation.is_before_in_block(producer)
        for v in slice_op.operands
    )
