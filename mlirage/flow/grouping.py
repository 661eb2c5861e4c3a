"""Decides which ops of a block run in one dispatch.

Ops are taken in program order. Contractions, convolutions and poolings start a *tile* group: the work is cut along all
their parallel loops, so only elementwise ops over the same loops may follow them (bias, activation, residual). Other
ops start or join a *row* group: the ops share the outer parallel loops ("rows") and each may have loops of its own
inside a row, so that a softmax or a layer norm is one dispatch. Special ops are groups of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mlirage import structured_ops
from mlirage.flow.cloning import bit_width, is_clonable, is_contiguous_slice, is_free
from mlirage.flow.insertions import INSERTION, is_passing_reshape, may_join
from mlirage.mlir import ir, walk

# Fewer rows than this are too few to share among threads …
_MIN_ROWS = 16
# … unless a thread handles so few elements in no time.
_SMALL = 32768
# So many times as many elements as what it reads has are worth rows of an op's own.
_MUCH_LARGER = 64
# Runs of equal types among the results and operands of a dispatch; scalars and extents need some of the latter.
_RESULT_TYPES = 8
_OPERAND_TYPES = 12

_SPECIAL = frozenset(
    ("tensor.pad", "tensor.gather", "tensor.scatter", "tensor.generate", "tensor.concat", "tensor.extract_slice",
     "linalg.pack", "linalg.unpack", "linalg.softmax", "linalg.winograd_filter_transform",
     "linalg.winograd_input_transform", "linalg.winograd_output_transform")
)  # fmt: skip
_EFFECT_FREE = (
    "linalg.",
    "tensor.",
    "arith.",
    "math.",
    "linalgx.",
    "complex.",
    "flow.",
    "ml_program.global_load_const",
)


@dataclass(eq=False)
class Group:
    """Ops of one dispatch, in program order.

    Attributes:
      kind: "tile", "row" or "special".
      rows: for each op the loops that are the group's rows, in one common order.
    """

    kind: str
    ops: list[ir.Operation]
    rows: dict[ir.Operation, tuple[int, ...]] = field(default_factory=dict[ir.Operation, tuple[int, ...]])

    @property
    def root(self) -> ir.Operation:
        """The op that the dispatch is named after."""
        work = [op for op in self.ops if structured_ops.is_structured(op)] or self.ops
        return next((op for op in work if not structured_ops.is_elementwise(op)), work[-1])


class BlockGraph:
    """Who produces what in a block, captures of nested regions included; `after` is the order of ops with effects."""

    def __init__(self, block: ir.Block) -> None:
        self.ops = [op.operation for op in block.operations]
        self.position = {op: number for number, op in enumerate(self.ops)}
        self.producers = {op: self._producers(op) for op in self.ops}
        effects = [op for op in self.ops if self.has_effects(op)]
        self.after = dict(zip(effects[1:], effects, strict=False))  # effects keep their order

    def _producers(self, op: ir.Operation) -> list[ir.Operation]:
        values = list(op.operands)
        for inner in walk(op):
            values.extend(inner.operands)
        owners = (value.owner.operation for value in values if not isinstance(value.owner, ir.Block))
        return list(dict.fromkeys(owner for owner in owners if owner in self.position))

    def has_effects(self, op: ir.Operation) -> bool:
        """Whether `op` may read or write state, so that its order among its like matters."""
        return not op.name.startswith(_EFFECT_FREE)


def group_block(graph: BlockGraph) -> list[Group]:
    """The groups of a block, in the order of their first ops."""
    return _Grouping(graph).run()


class _Grouping:
    def __init__(self, graph: BlockGraph) -> None:
        self.graph = graph
        self.owner: dict[ir.Operation, Group] = {}
        self.cloned: list[ir.Operation] = []
        self.insertions: list[ir.Operation] = []

    def run(self) -> list[Group]:
        for op in self.graph.ops:
            self._place(op)
        self._materialize_clones()
        for op in self.insertions:
            self._place_insertion(op)
        unique = dict.fromkeys(self.owner[op] for op in self.graph.ops if op in self.owner)
        return list(unique)

    def _place(self, op: ir.Operation) -> None:
        if not any(isinstance(result.type, ir.RankedTensorType) for result in op.results):
            return
        if is_free(op) and not _is_wide_fill(op):
            return
        from_group = any(producer in self.owner for producer in self.graph.producers[op])
        is_convolution = op.name == "linalgx.winograd"
        if is_clonable(op) and (not from_group or not structured_ops.is_structured(op)):
            self.cloned.append(op)
        elif op.name == INSERTION:
            if not is_contiguous_slice(op):
                self.insertions.append(op)
        elif op.name in _SPECIAL or (op.name.startswith("linalgx.") and not is_convolution):
            if op.name != "tensor.extract_slice" or not is_contiguous_slice(op):
                self.owner[op] = Group("special", [op])
        elif structured_ops.is_structured(op) or is_convolution:
            parallel = structured_ops.parallel_loops(op)
            loops = tuple(loop for loop, is_parallel in enumerate(parallel) if is_parallel)
            if is_convolution or structured_ops.is_contraction(op) or structured_ops.is_window(op):
                self.owner[op] = Group("tile", [op], {op: loops})
            elif not self._join(op):
                self.owner[op] = Group("row", [op], {op: loops})

    def _materialize_clones(self) -> None:
        """Clonable ops that something outside tile and row groups reads are dispatches as well."""
        for op in reversed(self.cloned):
            if not structured_ops.is_structured(op) and op.name not in ("tensor.pad", "tensor.extract_slice"):
                continue
            for use in op.results[0].uses:
                user = use.owner.operation
                while user.block != op.block:
                    user = user.parent.operation
                group = self.owner.get(user)
                if (group is None and user not in self.cloned) or (group is not None and group.kind == "special"):
                    self.owner[op] = Group("special", [op])
                    break

    def _place_insertion(self, op: ir.Operation) -> None:
        """Puts a write into a part of a tensor into the dispatch that computes the part; all others have theirs."""
        members = [op]
        made_by = _made_by(op.operands[0])
        if made_by is not None and is_passing_reshape(made_by):
            members.insert(0, made_by)
            made_by = _made_by(made_by.operands[0])
        # A part that is itself made of parts is complete only after the dispatch.
        group = None if made_by is None or made_by.name == INSERTION else self.owner.get(made_by)
        if (
            group is not None
            and group.kind != "special"
            and may_join(op, group.ops)
            and not self._reaches(group, [p for m in members for p in self.graph.producers[m] if p not in members])
            and not _too_many_types([*group.ops, *members])
        ):
            for member in members:
                group.ops.append(member)
                self.owner[member] = group
        else:
            self.owner[op] = Group("special", [op])

    def _join(self, op: ir.Operation) -> bool:
        """Puts `op` into the group of one of its producers, and merges the groups of the others where possible."""
        producers = [producer for producer in self.graph.producers[op] if producer in self.owner]
        groups = list(dict.fromkeys(self.owner[producer] for producer in producers))
        groups = [group for group in groups if group.kind != "special"]
        groups.sort(key=lambda g: (g.kind == "tile", self.graph.position[g.ops[-1]]), reverse=True)
        for group in groups:
            rows = _rows_for(op, group)
            if rows is None or self._reaches(group, self.graph.producers[op]):
                continue
            if group.kind == "tile" and self._read_elsewhere(group, op):
                continue
            if _too_many_types([*group.ops, op]):
                continue
            self._add(group, op, rows)
            if group.kind == "row":
                for other in groups:
                    if other is not group and other.kind == "row":
                        self._merge(group, other, op)
            return True
        return False

    def _add(self, group: Group, op: ir.Operation, rows: dict[ir.Operation, tuple[int, ...]]) -> None:
        group.ops.append(op)
        group.rows = rows
        self.owner[op] = group

    def _merge(self, group: Group, other: Group, op: ir.Operation) -> None:
        """Takes `other`, whose results `op` of `group` reads, into `group` if both share rows and no cycle arises."""
        rows = _rows_for(op, other)
        if rows is None:
            return
        # Rows common to both, by the loops of `op` that they are.
        here, there = group.rows[op], rows[op]
        if set(here) != set(there) or _too_many_types([*group.ops, *other.ops]):
            return
        if self._reaches(group, [p for o in other.ops for p in self.graph.producers[o]], group):
            return
        if self._reaches(other, [p for o in group.ops for p in self.graph.producers[o]], other):
            return
        order = [there.index(loop) for loop in here]
        for member in other.ops:
            group.rows[member] = tuple(rows[member][i] for i in order)
            self.owner[member] = group
        group.ops = sorted([*group.ops, *other.ops], key=self.graph.position.__getitem__)

    def _read_elsewhere(self, group: Group, op: ir.Operation) -> bool:
        """Whether a result of `group` that `op` reads has a reader outside the group."""
        return any(
            use.owner.operation != op and use.owner.operation not in group.rows
            for operand in op.operands
            if not isinstance(operand.owner, ir.Block) and operand.owner.operation in group.rows
            for use in operand.uses
        )

    def _reaches(self, group: Group, targets: list[ir.Operation], inside: Group | None = None) -> bool:
        """Whether one of `targets` outside the group depends on the group: joining them would make a cycle.

        Direct members among `targets` are fine; `inside` names a group whose members do not count as outside.
        """
        first = self.graph.position[group.ops[0]]
        stack = [target for target in targets if self.owner.get(target) is not group]
        seen: set[ir.Operation] = set()
        while stack:
            op = stack.pop()
            if op in seen:
                continue
            seen.add(op)
            owner = self.owner.get(op)
            members = owner.ops if owner is not None else [op]
            if owner is not None:
                seen.update(members)
            if self.graph.position[members[-1]] < first:
                continue
            for member in members:
                before = self.graph.after.get(member)
                for producer in [*self.graph.producers[member], *([before] if before is not None else [])]:
                    if self.owner.get(producer) is group:
                        return True
                    if producer not in seen:
                        stack.append(producer)
        return False


def _made_by(value: ir.Value) -> ir.Operation | None:
    return None if isinstance(value.owner, ir.Block) else value.owner.operation


def _is_wide_fill(op: ir.Operation) -> bool:
    """Whether `op` fills with elements of 16 bytes, which no command of a device does: where it is read, a dispatch."""
    element = structured_ops.element_type(op.results[0].type)
    return op.name == "linalg.fill" and isinstance(element, ir.ComplexType) and bit_width(element) > 64


def _too_many_types(ops: list[ir.Operation]) -> bool:
    """Whether dispatches of these ops might need more lists of operands or results than there are (mlirage/mlir.py)."""
    results = {result.type for op in ops for result in op.results}
    operands = {operand.type for op in ops for operand in op.operands}
    return len(results) > _RESULT_TYPES or len(operands | results) > _OPERAND_TYPES


def _rows_for(op: ir.Operation, group: Group) -> dict[ir.Operation, tuple[int, ...]] | None:
    """The rows of every op if `op` joined `group`, None if it cannot.

    A row of the group stays a row if every operand that the group produces carries it to one and the same parallel
    loop of `op`.
    """
    parallel = structured_ops.parallel_loops(op)
    maps = structured_ops.indexing_maps(op)
    count = len(next(iter(group.rows.values())))
    targets: list[int | None] = [None] * count
    alive = [True] * count
    read_directly: set[ir.Operation] = set()
    for operand, indexing_map in zip(op.operands, maps, strict=True):
        producer = None if isinstance(operand.owner, ir.Block) else operand.owner.operation
        if producer is None or producer not in group.rows:
            continue
        read_directly.add(producer)
        reader_loops = structured_ops.map_dims(indexing_map)
        out_map = structured_ops.indexing_maps(producer)[
            structured_ops.segment_sizes(producer)[0] + ir.OpResult(operand).result_number
        ]
        written_by = structured_ops.map_dims(out_map)
        for row, loop in enumerate(group.rows[producer]):
            target = reader_loops[written_by.index(loop)] if loop in written_by else None
            if target is None or not parallel[target] or targets[row] not in (None, target):
                alive[row] = False
            targets[row] = target
        if not _reduces_trailing(reader_loops, parallel, list(operand.type.shape)):
            return None
    if any(p in group.rows and p not in read_directly for p in _captured_producers(op)):
        return None  # read element by element from inside the body
    if not read_directly:
        return None
    kept = [row for row in range(count) if alive[row]]
    kept_targets = [targets[row] for row in kept]
    loops = tuple(target for target in kept_targets if target is not None)
    if len(set(loops)) != len(loops):
        return None
    if group.kind == "tile":
        if len(kept) != count or len(loops) != len(parallel) or not structured_ops.is_elementwise(op):
            return None
        if any(inner.name == "tensor.extract" for inner in walk(op)):
            return None  # a look-up in a table, which kernels of vectors cannot do
    elif not _worth_sharing(op, loops, group):
        return None
    rows = {member: tuple(member_rows[row] for row in kept) for member, member_rows in group.rows.items()}
    return {**rows, op: loops}


def _captured_producers(op: ir.Operation) -> list[ir.Operation]:
    return [
        value.owner.operation for inner in walk(op) for value in inner.operands if not isinstance(value.owner, ir.Block)
    ]


def _reduces_trailing(reader_loops: list[int | None], parallel: list[bool], shape: list[int]) -> bool:
    """Whether the dims of an operand that are reduced lie inside those that stay; unit dims do not count."""
    reduced = [
        loop is not None and not parallel[loop] for loop, extent in zip(reader_loops, shape, strict=True) if extent != 1
    ]
    return reduced == sorted(reduced)


def _worth_sharing(op: ir.Operation, loops: tuple[int, ...], group: Group) -> bool:
    """Whether running op and group row by row leaves enough rows for all threads, or the work is small anyway."""
    extents = structured_ops.loop_extents(op)
    if len(loops) == len(extents):
        return True
    work = math.prod(_static(extents))
    works = [math.prod(_static(structured_ops.loop_extents(o))) for o in group.ops]
    if max(work, *works) <= _SMALL:
        return True
    if work >= _MUCH_LARGER * max(works) and len(loops) < structured_ops.parallel_loops(op).count(True):
        return False  # long rows of its own, for a few numbers that need not be read again
    rows = math.prod(extents[loop] if extents[loop] != structured_ops.DYNAMIC else _MIN_ROWS for loop in loops)
    return rows >= _MIN_ROWS


def _static(extents: list[int]) -> list[int]:
    return [extent if extent != structured_ops.DYNAMIC else _SMALL + 1 for extent in extents]
