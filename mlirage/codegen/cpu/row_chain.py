"""Finds chains of ops over rows: what `rows.py` computes row by row, in vectors along contiguous elements.

    %s = sum of %x[n, h, w] over (h, w)            rows (n), inner loops (h, w)
    %y = %x[n, h, w] / %s[n]                       the same rows, the same inner loops

Every loop of every op is one of the chain's *row* loops or one of its *inner* loops. A reduction reduces all inner
loops; what is read or written along inner loops is contiguous there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.elements import is_readable
from mlirage.codegen.cpu.folds import fold_of
from mlirage.mlir import identity, ir

_PLAIN_OPS = ("arith.", "hal.", "func.", "memref.")
_PLAIN_TENSOR_OPS = ("tensor.empty", "tensor.dim", "tensor.cast", "tensor.extract_slice", "tensor.expand_shape",
                     "tensor.collapse_shape", "bufferization.to_tensor",
                     "bufferization.materialize_in_destination")  # fmt: skip
# A chain of more ops than this is left to loops: its vectors would not stay in registers.
_MOST_OPS = 200


@dataclass
class Chain:
    """Ops over common rows.

    Attributes:
      ops: in program order, without fills.
      rows: number of row loops.
      inner: number of inner loops.
      loops: for each op (by identity) the common number of each of its loops: rows first, then inner loops.
      stores: (value, destination) of what is written to memory.
    """

    ops: list[ir.Operation]
    rows: int
    inner: int
    loops: dict[int, tuple[int, ...]]
    stores: list[tuple[ir.Value, ir.Value]] = field(default_factory=list[tuple[ir.Value, ir.Value]])

    def holds(self, value: ir.Value) -> bool:
        """Whether an op of the chain makes `value`."""
        return not isinstance(value.owner, ir.Block) and identity(value.owner.operation) in self.loops

    def is_inner(self, op: ir.Operation) -> bool:
        """Whether what `op` makes varies along inner loops."""
        return any(number >= self.rows for m in self._result_maps(op) for number in self.classes(op, m))

    def classes(self, op: ir.Operation, indexing_map: ir.AffineMap) -> list[int]:
        """The common numbers of the loops that a map of `op` reads, in order of the dims; -1: no single loop."""
        numbers = self.loops[identity(op)]
        return [-1 if d is None else numbers[d] for d in structured_ops.map_dims(indexing_map)]

    def _result_maps(self, op: ir.Operation) -> list[ir.AffineMap]:
        return structured_ops.indexing_maps(op)[structured_ops.segment_sizes(op)[0] :]

    def result_classes(self, value: ir.Value) -> list[int]:
        """The common loop of each dim of a value of the chain."""
        result = ir.OpResult(value)
        return self.classes(result.owner.operation, self._result_maps(result.owner.operation)[result.result_number])

    def operands(self, op: ir.Operation) -> Iterator[tuple[ir.Value, ir.AffineMap, ir.Value]]:
        """(operand, its map, its argument of the body) of the inputs that are used."""
        inputs = structured_ops.segment_sizes(op)[0]
        triples = zip(op.operands, structured_ops.indexing_maps(op), structured_ops.body(op).arguments, strict=True)
        for number, (operand, indexing_map, argument) in enumerate(triples):
            used = bool(list(argument.uses))
            if used and (number < inputs or all(structured_ops.parallel_loops(op))):
                yield operand, indexing_map, argument


def find_chain(entry: Entry) -> Chain | None:
    """The chain that the entry consists of; None if it is of another form."""
    ops: list[ir.Operation] = []
    stores: list[tuple[ir.Value, ir.Value]] = []
    for opview in entry.function.entry_block.operations:
        op = opview.operation
        if op.name == "bufferization.materialize_in_destination":
            stores.append((op.operands[0], op.operands[1]))
        elif structured_ops.is_structured(op) and op.name != "linalg.fill":
            ops.append(op)
        elif op.name != "linalg.fill" and op.name not in _PLAIN_TENSOR_OPS and not op.name.startswith(_PLAIN_OPS):
            return None
    first = next((op for op in ops if not all(structured_ops.parallel_loops(op))), None)
    if first is None or len(ops) > _MOST_OPS or any(not _is_plain(op) for op in ops):
        return None
    loops = _common_loops(ops, first)
    if loops is None:
        return None
    parallel = structured_ops.parallel_loops(first)
    chain = Chain(ops, parallel.count(True), parallel.count(False), loops, stores)
    return chain if _is_well_formed(chain) else None


def _is_plain(op: ir.Operation) -> bool:
    """Whether the body is arithmetic alone, on tensors and scalars."""
    if len(op.regions) != 1 or any(not isinstance(r.type, ir.RankedTensorType) for r in op.results):
        return False
    inner = [o.operation.name for o in structured_ops.body(op).operations][:-1]
    return all(name.startswith(("arith.", "math.")) or name == "linalg.index" for name in inner)


def _common_loops(ops: Sequence[ir.Operation], first: ir.Operation) -> dict[int, tuple[int, ...]] | None:
    """The common number of every loop of every op, by what they read and write in common with `first`."""
    rows = [loop for loop, parallel in enumerate(structured_ops.parallel_loops(first)) if parallel]
    inner = [loop for loop, parallel in enumerate(structured_ops.parallel_loops(first)) if not parallel]
    order = [*rows, *inner]
    known: dict[int, list[int]] = {
        identity(op): [-1] * len(structured_ops.parallel_loops(op)) for op in ops if op != first
    }
    known[identity(first)] = [order.index(loop) for loop in range(len(order))]
    dims: dict[ir.Value, list[int]] = {}
    changed = True
    while changed:
        changed = False
        for op in ops:
            loops = known[identity(op)]
            inputs = structured_ops.segment_sizes(op)[0]
            values = [*list(op.operands)[:inputs], *op.results]
            for value, indexing_map in zip(values, structured_ops.indexing_maps(op), strict=True):
                if not isinstance(value.type, ir.RankedTensorType):
                    continue
                positions = structured_ops.map_dims(indexing_map)
                place = dims.setdefault(value, [-1] * len(positions))
                for d, loop in enumerate(positions):
                    if loop is None:
                        continue
                    if place[d] < 0 <= loops[loop]:
                        place[d] = loops[loop]
                        changed = True
                    elif loops[loop] < 0 <= place[d] and place[d] not in loops:
                        loops[loop] = place[d]
                        changed = True
    if any(-1 in loops for loops in known.values()):
        return None
    return {key: tuple(loops) for key, loops in known.items()}


def _is_well_formed(chain: Chain) -> bool:
    inner = set(range(chain.rows, chain.rows + chain.inner))
    for op in chain.ops:
        numbers = chain.loops[identity(op)]
        parallel = structured_ops.parallel_loops(op)
        reduced = {number for number, p in zip(numbers, parallel, strict=True) if not p}
        if reduced and (reduced != inner or fold_of(op) is None or len(numbers) != chain.rows + chain.inner):
            return False
        if len(set(numbers)) != len(numbers) or (not reduced and inner & set(numbers) not in (set(), inner)):
            return False
        if chain.inner > 1 and _asks_for_inner_index(chain, op):
            return False
        maps = structured_ops.indexing_maps(op)
        inputs = structured_ops.segment_sizes(op)[0]
        if any(None in structured_ops.map_dims(m) for m in maps[inputs:]):
            return False
        if reduced and not all(is_readable(v) for v in structured_ops.outputs(op)):
            return False
        if not all(_is_read_well(chain, op, v, m) for v, m, _ in chain.operands(op)):
            return False
    if not chain.stores or not all(_is_stored_well(chain, v, memory) for v, memory in chain.stores):
        return False
    return _extents_agree(chain) and not _is_written_while_read(chain)


def _asks_for_inner_index(chain: Chain, op: ir.Operation) -> bool:
    numbers = chain.loops[identity(op)]
    return any(
        o.operation.name == "linalg.index"
        and numbers[ir.IntegerAttr(o.operation.attributes["dim"]).value] >= chain.rows
        for o in structured_ops.body(op).operations
    )


def _is_read_well(chain: Chain, op: ir.Operation, operand: ir.Value, indexing_map: ir.AffineMap) -> bool:
    if not isinstance(operand.type, ir.RankedTensorType):
        return True
    classes = chain.classes(op, indexing_map)
    if chain.holds(operand):
        return classes == chain.result_classes(operand)
    if not is_readable(operand):
        return False
    if all(0 <= c < chain.rows for c in classes) or not operand.type.rank:
        return True
    if not _varies(chain, op, indexing_map.results):
        return True
    leading = indexing_map.results[: len(classes) - chain.inner]
    return (
        _ends_in_inner(chain, classes)
        and not _varies(chain, op, leading)
        and _is_direct(operand, views=chain.inner == 1)
    )


def _varies(chain: Chain, op: ir.Operation, indices: Iterable[ir.AffineExpr]) -> bool:
    """Whether an index depends on an inner loop."""
    numbers = chain.loops[identity(op)]
    inner = [loop for loop, number in enumerate(numbers) if number >= chain.rows]
    return any(_uses(e, loop) for e in indices for loop in inner)


def _uses(expression: ir.AffineExpr, loop: int) -> bool:
    if isinstance(expression, ir.AffineDimExpr):
        return expression.position == loop
    return isinstance(expression, ir.AffineBinaryExpr) and (_uses(expression.lhs, loop) or _uses(expression.rhs, loop))


def _ends_in_inner(chain: Chain, classes: list[int]) -> bool:
    """Whether inner loops come last and in order."""
    return classes[len(classes) - chain.inner :] == list(range(chain.rows, chain.rows + chain.inner))


def _is_direct(operand: ir.Value, views: bool) -> bool:
    """Whether a tensor is memory, or a part of it whose last dim is contiguous."""
    op = ir.OpResult(operand).owner.operation
    match op.name:
        case "bufferization.to_tensor":
            return _is_row_major(op.operands[0])
        case "linalg.fill" | "tensor.empty" | "tensor.splat":
            return True
        case "arith.constant":
            attribute = op.attributes["value"]
            return isinstance(attribute, ir.DenseElementsAttr) and attribute.is_splat
        case "tensor.cast":
            return views and _is_direct(op.operands[0], views)
        case "tensor.extract_slice":
            strides = list(ir.DenseI64ArrayAttr(op.attributes["static_strides"]))
            same = ir.RankedTensorType(op.operands[0].type).rank == ir.RankedTensorType(op.results[0].type).rank
            return views and same and all(s == 1 for s in strides) and _is_direct(op.operands[0], views)
        case _:
            return False


def _is_row_major(memory: ir.Value) -> bool:
    kind = ir.MemRefType(memory.type)
    return str(kind.layout).startswith("affine_map") and kind.layout == ir.AffineMapAttr.get(
        ir.AffineMap.get_identity(kind.rank)
    )


def _is_stored_well(chain: Chain, value: ir.Value, memory: ir.Value) -> bool:
    if not chain.holds(value):
        return False
    classes = chain.result_classes(value)
    rows = [c for c in classes if c < chain.rows]
    if sorted(rows) != list(range(chain.rows)):
        return False  # several workgroups would write the same
    if len(rows) == len(classes):
        return True
    return _ends_in_inner(chain, classes) and (chain.inner == 1 or _is_row_major(memory))


def _extents_agree(chain: Chain) -> bool:
    """Whether no two ops disagree on the static extent of a common loop."""
    found: dict[int, int] = {}
    for op in chain.ops:
        for number, extent in zip(chain.loops[identity(op)], structured_ops.loop_extents(op), strict=True):
            if extent != structured_ops.DYNAMIC and found.setdefault(number, extent) != extent:
                return False
    return True


def _is_written_while_read(chain: Chain) -> bool:
    """Whether a binding that is read is written too: later passes over a row would read what earlier ones wrote."""
    written = {_binding(memory) for _, memory in chain.stores}
    if len(written) != len(chain.stores):
        return True
    for op in chain.ops:
        for operand, _, _ in chain.operands(op):
            if not isinstance(operand.type, ir.RankedTensorType) or chain.holds(operand):
                continue
            source = ir.OpResult(operand).owner.operation
            while source.name != "bufferization.to_tensor" and source.operands:
                inner = source.operands[0]
                if isinstance(inner.owner, ir.Block) or not isinstance(inner.type, ir.RankedTensorType):
                    break
                source = inner.owner.operation
            if source.name == "bufferization.to_tensor" and _binding(source.operands[0]) in written:
                return True
    return False


def _binding(memory: ir.Value) -> int:
    """The number of the binding that a buffer is a part of: of an interface op, later of the entry's argument."""
    while not isinstance(memory.owner, ir.Block):
        op = memory.owner.operation
        if op.name == "hal.interface_binding_subspan":
            return ir.IntegerAttr(op.attributes["binding"]).value
        memory = op.operands[0]
    return ir.BlockArgument(memory).arg_number
