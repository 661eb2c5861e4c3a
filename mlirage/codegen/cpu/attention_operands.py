"""What an attention's products read, in scratch memory: floats of the type that is multiplied, laid out for registers.

query[row, depth], keys[panel, depth, column], values[panel, key, column]; scores are of few rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mlirage import structured_ops
from mlirage.attention import extents_of
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, extent
from mlirage.codegen.cpu.fetches import Fetches
from mlirage.codegen.cpu.float_formats import expand_floats
from mlirage.codegen.cpu.index_math import Index, Place, add, div, evaluate, mul, rem, smaller, split, sub, value
from mlirage.codegen.cpu.math_functions import Functions
from mlirage.codegen.cpu.staging import byte_width, transpose_square
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, memref, tensor, vector

_FEW_ROWS = 16  # at once, whole vectors: their scores and a panel of keys or values stay in the first-level cache
_KEYS_AT_ONCE = 512  # so many keys are one block …
_KEY_BLOCK = 256  # … more are cut into such blocks
_STAGED_VALUES_FROM = 16  # rows
_KEYS_AHEAD = 8  # values of so many keys later are fetched


class AttentionOperands:
    """The operands of the attention of an entry, and the scratch memory that a workgroup keeps them in."""

    def __init__(self, entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
        self.entry, self.target = entry, target
        root, _ = entry.configured()
        self.root, self.op = root, root.opview
        self.loops, self.maps = self.op.loops, self.op.maps  # pyright: ignore
        self.operands = [*self.op.inputs, self.op.out]  # pyright: ignore
        self.tiles = configuration.workgroup_tiles
        height, columns = configuration.data["rows"], configuration.data["columns"]
        assert isinstance(height, int)
        assert isinstance(columns, int)
        self.height, self.lanes = height, columns
        self.region = root.regions[0].blocks[0]
        self.kind: ir.Type = self.region.arguments[0].type
        self.register = min(columns, max(1, target.vector_bytes // byte_width(self.kind)))
        self.masked_rows = ir.StringAttr(root.attributes["masked_rows"]).value
        (self.store,) = (op for op in entry.walk() if op.name == "bufferization.materialize_in_destination")
        self.destination = self.store.operands[1]

    # Scalar functions ---------------------------------------------------------------------------------------------

    def _make_functions(self) -> None:
        """Conversions and the exponential, as bodies that are cloned on vectors."""
        self.templates: list[ir.Operation] = []
        elements = [structured_ops.element_type(v.type) for v in self.operands]
        self.widening = [self._function(e, self.kind, lambda x: _converted(self.kind, x)) for e in elements[:3]]
        self.narrowing = self._function(self.kind, elements[-1], lambda x: _converted(elements[-1], x))
        self.power = self._function(
            self.kind, self.kind, lambda x: Functions(self.kind, self.target).exp_of_difference(x)
        )
        expand_floats(self.entry, self.target)

    def _function(self, kind: ir.Type, to: ir.Type, make: Callable[[ir.Value], ir.Value]) -> ir.Block:
        identity = structured_ops.identity_map(1)
        op = structured_ops.build_generic(
            [tensor.empty([1], kind)],
            [tensor.empty([1], to)],
            [identity] * 2,
            [True],
            lambda block: [make(block.arguments[0])],
            self.root.location,
        )
        self.templates.append(op)
        return structured_ops.body(op)

    def _call(self, function: ir.Block, elements: Elements, x: ir.Value) -> ir.Value:
        return elements.clone_body(function, [x, None], {})[0]

    def _loop_extents(self) -> list[Index]:
        static = extents_of(self.operands, self.maps)
        extents: list[Index] = [-1 if e is None else e for e in static]
        for operand, indexing in zip(self.operands, self.maps, strict=True):
            for d, expr in enumerate(indexing.results):
                if isinstance(expr, ir.AffineDimExpr) and extents[expr.position] == -1:
                    extents[expr.position] = extent(operand, d)
        return extents

    def _make_bounds(self) -> None:
        """Extents of the loops and sizes of the scratch buffers."""
        self.extents = self._loop_extents()
        loops = self.loops
        rows = [self.tiles[loop] or self.extents[loop] for loop in loops.rows]
        self.row_bound = math.prod(r for r in rows if isinstance(r, int))
        keys, depth, columns = (self.extents[loop] for loop in (loops.keys, loops.depth, loops.columns))
        assert isinstance(depth, int)
        assert isinstance(columns, int)
        self.depth, self.columns = depth, columns
        self.one_block = isinstance(keys, int) and keys <= _KEYS_AT_ONCE
        self.key_block = max(keys, 1) if self.one_block and isinstance(keys, int) else _KEY_BLOCK
        self.key_panels = -(-self.key_block // self.lanes)
        self.column_panels = -(-columns // self.lanes)
        self.few_rows = min(max(_FEW_ROWS, self.register), self.row_bound)
        self.stages_values = (
            self.row_bound >= _STAGED_VALUES_FROM or structured_ops.element_type(self.operands[2].type) != self.kind
        )

    def _enter(self, starts: dict[int, Index], sizes: dict[int, Index]) -> None:
        """Begins a workgroup: where it starts in every loop, and how far it goes."""
        self.starts, self.sizes = starts, sizes
        self.row_sizes = [sizes[loop] for loop in self.loops.rows]
        self.at: dict[int, Index] = {}  # the place of the batch loops at hand
        self.query = self._scratch(self.row_bound, self.depth)
        self.keys = self._scratch(self.key_panels, self.depth, self.lanes)
        self.values = self._scratch(self.column_panels, self.key_block, self.lanes) if self.stages_values else None

    def _scratch(self, *shape: int) -> ir.Value:
        kind = ir.MemRefType.get(list(shape), self.kind)
        return memref.AllocOp(kind, [], [], alignment=64).memref

    def _row_scratch(self, rows: int) -> ir.Value:
        """A number for every row, in whole vectors."""
        return self._scratch(-(-rows // self.register) * self.register)

    # Staging ------------------------------------------------------------------------------------------------------

    def _stage_query(self, rows: Index) -> None:
        def row(number: Index) -> None:
            loops = self._row(number)

            def copy(elements: Elements, first: Place) -> None:
                loops[self.loops.depth] = first
                x = self._read(0, elements, loops)
                elements.store(x, self.query, [Place(number), first])

            _along(self.depth, self.register, copy)

        for_each(rows, 1, row)

    def _row(self, number: Index) -> dict[int, Place]:
        """The loops at a row of the workgroup."""
        loops = {loop: Place(i) for loop, i in self.at.items()}
        for loop, i in zip(self.loops.rows, split(number, self.row_sizes), strict=True):
            loops[loop] = Place(add(self.starts[loop], i))
        return loops

    def _read(self, operand: int, elements: Elements, loops: dict[int, Place]) -> ir.Value:
        """Elements of query, key or value as they are multiplied."""
        read = elements.read(self.operands[operand], self._places(operand, loops))
        return self._call(self.widening[operand], elements, read)

    def _places(self, operand: int, loops: dict[int, Place]) -> list[Place]:
        return [evaluate(e, loops, {}) for e in self.maps[operand].results]

    def _stage_keys(self, first: Index, count: Index) -> None:
        """keys[panel, depth, column]: as the register tiles read them."""
        whole = div(count, self.lanes)
        for_each(whole, 1, lambda panel: self._stage_panel(panel, add(first, mul(panel, self.lanes)), None))
        left = rem(count, self.lanes)
        if_some(left, lambda: self._stage_panel(whole, add(first, mul(whole, self.lanes)), left))

    def _stage_panel(self, panel: Index, first: Index, count: Index | None) -> None:
        """One panel of keys; beyond `count` of them the last one is repeated."""
        loops = {loop: Place(i) for loop, i in self.at.items()}
        last = self.maps[1].results[-1]
        turns = isinstance(last, ir.AffineDimExpr) and last.position == self.loops.depth
        if not turns or self.register not in (2, 4, 8, 16):
            mask = None if count is None else self._mask(count)
            elements = Elements(self.lanes, mask, count)

            def copy(d: Index) -> None:
                read = self._read(1, elements, loops | {self.loops.keys: Place(first, 1), self.loops.depth: Place(d)})
                vector.store(read, self.keys, [value(panel), value(d), value(0)])

            for_each(self.depth, 1, copy)
            return
        whole = self.depth // self.register

        def number(lane: int) -> Index:
            return add(first, lane if count is None else smaller(lane, sub(count, 1)))

        def square(group: int, start: Index) -> None:
            elements = Elements(self.register)
            rows: list[ir.Value] = []
            for lane in range(group, group + self.register):
                here = loops | {self.loops.keys: Place(number(lane)), self.loops.depth: Place(start, 1)}
                rows.append(self._read(1, elements, here))
                self._fetch(1, here | {self.loops.keys: Place(add(number(lane), self.register))}, self.register)
            for step, column in enumerate(transpose_square(rows)):
                vector.store(column, self.keys, [value(panel), value(add(start, step)), value(group)])

        for group in range(0, self.lanes, self.register):
            for_each(whole, 1, lambda i, group=group: square(group, mul(i, self.register)))
        scalars = Elements()

        def element(d: int) -> None:
            for lane in range(self.lanes):
                here = loops | {self.loops.keys: Place(number(lane)), self.loops.depth: Place(d)}
                x = self._read(1, scalars, here)
                memref.store(x, self.keys, [value(panel), value(d), value(lane)])

        for d in range(whole * self.register, self.depth):
            element(d)

    def _stage_values(self, first: Index, count: Index) -> None:
        def key(number: Index) -> None:
            for panel in range(self.column_panels):
                read = self._value_vector(panel, add(first, number))
                assert self.values is not None
                vector.store(read, self.values, [value(panel), value(number), value(0)])
                ahead = {self.loops.keys: Place(add(add(first, number), _KEYS_AHEAD))}
                ahead[self.loops.columns] = Place(panel * self.lanes, 1)
                self._fetch(2, {loop: Place(i) for loop, i in self.at.items()} | ahead, self.lanes)

        for_each(count, 1, key)

    def _fetch(self, operand: int, loops: dict[int, Place], lanes: int) -> None:
        """Fetches elements that will be read soon."""
        Fetches(lanes).read(self.operands[operand], self._places(operand, loops))

    def _value_vector(self, panel: int, key: Index) -> ir.Value:
        loops = {loop: Place(i) for loop, i in self.at.items()}
        loops |= {self.loops.keys: Place(key), self.loops.columns: Place(panel * self.lanes, 1)}
        return self._read(2, self._column_elements(panel), loops)

    def _column_elements(self, panel: int) -> Elements:
        left = self.columns - panel * self.lanes
        return Elements(self.lanes) if left >= self.lanes else Elements(self.lanes, self._mask(left), left)

    # Vectors ------------------------------------------------------------------------------------------------------

    def _multiply_add(self, left: ir.Value, right: ir.Value, total: ir.Value) -> ir.Value:
        spread = vector.broadcast(self._vector_type(), left)
        if self.target.has_fma:
            return vector.fma(spread, right, total)
        return arith.addf(total, arith.mulf(spread, right))

    def _vector_type(self) -> ir.Type:
        return ir.VectorType.get([self.lanes], self.kind)

    def _vector(self, number: float) -> ir.Value:
        return Elements(self.lanes).spread(arith.constant(self.kind, number))

    def _spread(self, number: float) -> ir.Value:
        """A number for every row of a vector of rows."""
        return Elements(self.register).spread(arith.constant(self.kind, number))

    def _mask(self, count: Index) -> ir.Value:
        return vector.create_mask(ir.VectorType.get([self.lanes], ir.IntegerType.get_signless(1)), [value(count)])


def _converted(kind: ir.Type, x: ir.Value) -> ir.Value:
    if x.type == kind:
        return x
    return (arith.extf if x.type.width < kind.width else arith.truncf)(kind, x)  # pyright: ignore


def _along(count: int, lanes: int, body: Callable[[Elements, Place], None]) -> None:
    """Vectors along a static extent, the last one masked."""
    whole = count // lanes
    for_each(whole, 1, lambda i: body(Elements(lanes), Place(mul(i, lanes), 1)))
    left = count % lanes
    if left:
        mask = vector.create_mask(ir.VectorType.get([lanes], ir.IntegerType.get_signless(1)), [value(left)])
        body(Elements(lanes, mask, left), Place(whole * lanes, 1))


def if_some(count: Index, body: Callable[[], None]) -> None:
    """`body` unless `count` is 0."""
    if isinstance(count, int):
        if count:
            body()
        return
    if_else(arith.cmpi(arith.CmpIPredicate.ne, count, value(0)), body, None)
