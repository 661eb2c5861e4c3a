"""stream-place-results: what is copied into a part of something bigger is made there in the first place.

    %u = stream.async_dispatch @f(%x) -> %len           %t1 = stream.async_dispatch @f(%x) into %t[%offset for %len]
    %t1 = stream.async_update %t[%offset] = %u    ─>    %u = stream.resource_subview %t1[%offset for %len]

Concatenations become free: every operand is written where it belongs. Holds for results of dispatches, for splats,
clones, slices, and for whole concatenations that are a part of a bigger one. The target must exist before the work
(allocations and splats move up to it), nothing may touch that range of it in between, and the part must not be changed
once it is in place, nor the target where the part is still read.
"""

from __future__ import annotations

from mlirage.mlir import ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.aliasing import Aliasing
from mlirage.stream.index_math import Linear, are_disjoint, index_constant, static_index
from mlirage.stream.storage import Access, Storage, accesses, functions, is_device_op, tied_operand

_MAKERS = (
    "stream.async_dispatch",
    "stream.async_splat",
    "stream.async_clone",
    "stream.async_slice",
    "stream.async_alloca",
)
_MOVABLE = ("stream.async_alloca", "stream.async_splat")


@module_pass("stream-place-results")
def place_results(program: Program) -> None:
    """Places the source of every update for which that is right."""
    for function in functions(program.module):
        updates = [op for op in walk(function) if op.name == "stream.async_update"]
        if not updates:
            continue
        aliasing = Aliasing(function)
        # Ops that are left over stay to the end, on a value that is nothing: the analysis knows ops and values by their
        # addresses, which must not be used again.
        with ir.InsertionPoint.at_block_begin(function.regions[0].blocks[0]), function.location:
            nothing = stream.AsyncAllocaOp(stream.resource_type(), index_constant(0))
        left_over: list[ir.Operation] = []
        for update in updates:
            placement = _Placement(update, aliasing, nothing.result)
            if placement.is_possible():
                left_over += placement.apply()
        for op in left_over:
            op.erase()
        size = nothing.operation.operands[0].owner
        nothing.operation.erase()
        size.operation.erase()


class _Placement:
    """The placement of the source of one update in its target."""

    def __init__(self, update: ir.Operation, aliasing: Aliasing, nothing: ir.Value) -> None:
        self.update = update
        self.nothing = nothing
        self.view = update.opview
        self.aliasing = aliasing
        self.part = aliasing.class_of(self.view.update)
        self.target = aliasing.class_of(self.view.target)

    def is_possible(self) -> bool:
        """Whether nobody can tell the difference."""
        root = self.part.root
        if isinstance(root, str) or isinstance(root.owner, ir.Block) or isinstance(self.target.root, str):
            return False
        self.maker = root.owner.operation
        is_whole = not self.aliasing.storage.place(self.view.update).offsets
        if self.maker.name not in _MAKERS or self.maker.block != self.update.block or not is_whole:
            return False
        if self.part is self.target or self.part.is_given_away:
            return False
        return self._target_is_ready() and self._range_is_free() and self._part_stays()

    def _target_is_ready(self) -> bool:
        """The target exists where the part is made, or can be made before."""
        assert isinstance(self.target.root, ir.Value)
        if not all(self._is_available(v) for v in (self.view.offset, self.view.target_size, self.view.update_size)):
            return False
        owner = self.target.root.owner
        if isinstance(owner, ir.Block) or owner.operation.block != self.update.block:
            return all(change.block == self.update.block for change in self._earlier_changes())
        if any(change.block != self.update.block for change in self._earlier_changes()):
            return False
        if self._is_before(owner.operation):
            return True
        return owner.operation.name in _MOVABLE and all(
            self._is_available(operand) for operand in owner.operation.operands
        )

    def _earlier_changes(self) -> list[ir.Operation]:
        order = self.aliasing.order
        return [change for change in self.target.changes if order(change) <= order(self.update)]

    def _is_before(self, op: ir.Operation) -> bool:
        return self.aliasing.order(op) < self.aliasing.order(self.maker)

    def _is_available(self, value: ir.Value) -> bool:
        """Whether a host value can be used where the part is made."""
        if isinstance(value.owner, ir.Block) or static_index(value) is not None:
            return True
        owner = value.owner.operation
        if owner.operation.name == "arith.constant":
            return True
        return owner.block != self.update.block or self._is_before(owner)

    def _range_is_free(self) -> bool:
        """Between the making of the part and the update nothing touches that range of the target."""
        order = self.aliasing.order
        for op in self.target.uses + self.target.changes:
            if not order(self.maker) <= order(op) < order(self.update):
                continue
            if not self._keeps_clear(op):
                return False
        return True

    def _keeps_clear(self, op: ir.Operation) -> bool:
        """Whether `op` surely touches no byte of the range."""
        if op.name == "stream.resource_subview":
            return True  # no access: its users count
        if not is_device_op(op):
            return False
        offset = self.aliasing.storage.place(self.view.target).offset + Linear.of(self.view.offset)
        length = Linear.of(self.view.update_size)
        return all(
            are_disjoint(*self.aliasing.storage.access_range(access), offset, length)
            for access in accesses(op)
            if self._is_target(access)
        )

    def _is_target(self, access: Access) -> bool:
        return not access.symbol and self.aliasing.class_of(access.value) is self.target

    def _part_stays(self) -> bool:
        """The part does not change once placed, and the target not where the part is still read."""
        order = self.aliasing.order
        if any(order(change) >= order(self.update) for change in self.part.changes):
            return False
        late = [use for use in self.part.uses if order(use) > order(self.update)]
        changes = [change for change in self.target.changes if order(change) > order(self.update)]
        return not any(
            self.aliasing.may_follow(use, change) and (change.name not in _IN_PLACE or not self._keeps_clear(change))
            for use in late
            for change in changes
        )

    def apply(self) -> list[ir.Operation]:
        """Makes the part in the target; gives the ops that are left over."""
        self._move_target()
        version, user = self._version_before_maker()
        with ir.InsertionPoint(self.maker), self.maker.location:
            offset, size, length = (
                self._here(value) for value in (self.view.offset, self.view.target_size, self.view.update_size)
            )
        assert isinstance(self.part.root, ir.Value)
        self.aliasing.merge(self.view.target, self.part.root)
        with ir.InsertionPoint(self.maker), self.maker.location:
            made = self._make(version, offset, size, length)
            part = stream.ResourceSubviewOp(version.type, made, size, offset, length)
        for op in [part.operation] if made is version else [ir.OpResult(made).owner.operation, part.operation]:
            self.aliasing.set_order(op, self.maker)
        if made is not version:
            self.target.changes.append(ir.OpResult(made).owner.operation)
            if user is not None:
                user[0].operands[user[1]] = made
        self._replace_maker(made, part.result)
        self.update.results[0].replace_all_uses_with(self.update.operands[0])
        for op in (self.update, self.maker):
            self.aliasing.forget(op)
            for number, operand in enumerate(op.operands):
                if stream.is_resource(operand):
                    op.operands[number] = self.nothing
        self.aliasing.storage = Storage()
        return [self.update, self.maker]

    def _move_target(self) -> None:
        assert isinstance(self.target.root, ir.Value)
        owner = self.target.root.owner
        if (
            isinstance(owner, ir.Block)
            or owner.operation.block != self.update.block
            or self._is_before(owner.operation)
        ):
            return
        op = owner.operation
        with ir.InsertionPoint(self.maker), op.location:
            operands = [self._here(operand) for operand in op.operands]
        for number, operand in enumerate(operands):
            op.operands[number] = operand
        op.move_before(self.maker)
        self.aliasing.set_order(op, self.maker)

    def _here(self, value: ir.Value) -> ir.Value:
        """`value` at the insertion point: constants are repeated, they may stand further down."""
        if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
            return value
        constant = static_index(value)
        if constant is not None and isinstance(value.type, ir.IndexType):
            return index_constant(constant)
        return value.owner.operation.clone().operation.results[0]

    def _version_before_maker(self) -> tuple[ir.Value, tuple[ir.Operation, int] | None]:
        """The last version of the target before the part is made, and where it is changed next: (op, operand)."""
        assert isinstance(self.target.root, ir.Value)
        version = self.target.root
        while True:
            user = _next_change(version)
            if user is None or not self._is_before(user[0]):
                return version, user
            version = next(r for r in user[0].results if _is_tied_to(r, version, user[1]))

    def _make(self, version: ir.Value, offset: ir.Value, size: ir.Value, length: ir.Value) -> ir.Value:
        """The version of the target that holds the part."""
        view, kind = self.maker.opview, version.type
        if isinstance(view, stream.AsyncAllocaOp):
            return version
        if isinstance(view, stream.AsyncSplatOp):
            return stream.AsyncFillOp(kind, version, size, view.pattern, offset, length).result
        if isinstance(view, stream.AsyncCloneOp):
            return stream.AsyncUpdateOp(kind, version, size, view.source, length, offset).result
        if isinstance(view, stream.AsyncSliceOp):
            source = stream.ResourceSubviewOp(kind, view.source, view.source_size, view.offset, view.length)
            self.aliasing.set_order(source.operation, self.maker)
            self.aliasing.class_of(view.source).uses.append(source.operation)
            return stream.AsyncUpdateOp(kind, version, size, source.result, length, offset).result
        return self._make_dispatch(view, version, offset, size, length)

    def _make_dispatch(
        self, view: stream.AsyncDispatchOp, version: ir.Value, offset: ir.Value, size: ir.Value, length: ir.Value
    ) -> ir.Value:
        assert isinstance(self.part.root, ir.Value)
        number = ir.OpResult(self.part.root).result_number
        i64 = ir.IntegerType.get_signless(64)
        tied = list(view.tied)
        tied[number] = ir.IntegerAttr.get(i64, len(list(view.resources)))
        sizes = list(view.result_sizes)
        sizes[number] = size
        new = stream.AsyncDispatchOp(
            [result.type for result in self.maker.results],
            view.entry,
            ir.ArrayAttr.get(tied),
            view.argument_count,
            view.scalar_types,
            list(view.scalars),
            [*view.resources, version],
            [*view.resource_sizes, size],
            [*view.offsets, offset],
            [*view.lengths, length],
            sizes,
        )
        if stream.PARTS in self.maker.attributes:
            new.operation.attributes[stream.PARTS] = self.maker.attributes[stream.PARTS]
        return new.operation.results[number]

    def _replace_maker(self, made: ir.Value, part: ir.Value) -> None:
        """The other results of a dispatch are as before; uses of the maker are uses of what replaces it."""
        for result in self.maker.results:
            if result == self.part.root:
                result.replace_all_uses_with(part)
                continue
            new = ir.OpResult(made).owner.operation.results[ir.OpResult(result).result_number]
            self.aliasing.rename(result, new)
            result.replace_all_uses_with(new)
        if made.owner != self.maker and not isinstance(made.owner, ir.Block):
            self.aliasing.replace(self.maker, made.owner.operation)


_IN_PLACE = ("stream.async_dispatch", "stream.async_fill", "stream.async_update")


def _next_change(version: ir.Value) -> tuple[ir.Operation, int] | None:
    """The op that has `version` as a tied operand, and the operand's number."""
    for use in version.uses:
        op = use.owner.operation
        if op.name in _IN_PLACE and any(_is_tied_to(result, version, use.operand_number) for result in op.results):
            return op, use.operand_number
    return None


def _is_tied_to(result: ir.Value, version: ir.Value, operand_number: int) -> bool:
    owner = ir.OpResult(result).owner
    operand = tied_operand(result)
    if operand is None or operand != version:
        return False
    view = owner.opview
    if not isinstance(view, stream.AsyncDispatchOp):
        return operand_number == 0
    return operand_number == len(list(view.scalars)) + stream.tied_operands(view)[ir.OpResult(result).result_number]
