"""kind "attention": linalgx.attention without its scores in memory.

    for each workgroup:                          blocks of batch loops × a block of rows
      stage the rows of the query                as floats that are multiplied
      for each block of keys:                    one, if there are few
        stage the keys                           transposed, in panels of columns
        stage the values                         unless there are few rows
        for each few rows:
          scores = query · keys                  register tiles, the region applied while they are in registers
          powers = exp(scores - greatest)        rows in the first-level cache
          sums = sums * correction + powers · values
      result = sums / totals

With several blocks of keys the greatest score so far changes from block to block; sums and totals are then corrected by
exp(old - new). Rows that are masked whole so far count from 0: what they are in the end, `masked_rows` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from mlirage import structured_ops
from mlirage.attention import extents_of
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.attention_operands import AttentionOperands, if_some
from mlirage.codegen.cpu.contraction import even_heights
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, is_readable
from mlirage.codegen.cpu.index_math import (
    Index,
    Place,
    add,
    ceil_div,
    div,
    mul,
    product,
    rem,
    smaller,
    sub,
    value,
)  # fmt: skip
from mlirage.codegen.register_shapes import register_shape
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, memref, scf, vector

KIND = "attention"
LLVM_UNROLLS = False

_WORKGROUP_NS = 20_000.0
_MULTIPLY_NS, _SCORE_NS, _STAGE_NS = 0.01, 0.25, 0.1  # per multiply-add, per score, per staged element
# Rows of a workgroup: every one of them brings all keys and values to its memory, so many rows are good; but there
# should be workgroups for all threads, and what is kept of every row should stay in the second-level cache.
_MOST_ROWS, _FEW_ROWS_EACH, _MOST_ROW_BYTES = 512, 256, 512 << 10
_ENOUGH_WORKGROUPS = 12
_GUESS = 128  # what a dynamic extent is taken for
_MOST_DEPTH = 1024
_ROWS_OF_SOFTMAX = 2  # at once: one row would wait for the steps of its exponentials and reductions
_P, _I = arith.CmpFPredicate, arith.CmpIPredicate


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries of one attention of static depth and columns, and what its operands are read through."""
    found = [op for op in entry.walk() if op.name == "linalgx.attention"]
    if len(found) != 1 or any(op.name.startswith("linalgx.") and op.name != "linalgx.yield" for op in entry.walk()
                              if op != found[0]):  # fmt: skip
        return None
    op: Any = found[0].opview
    written = [o.operands[0] for o in entry.walk() if o.name == "bufferization.materialize_in_destination"]
    if written != [found[0].results[0]] or not all(map(is_readable, op.inputs)):
        return None
    loops, extents = op.loops, extents_of(list(found[0].operands), op.maps)
    depth, columns = extents[loops.depth], extents[loops.columns]
    if not depth or not columns or max(depth, columns) > _MOST_DEPTH or not all(map(_is_vectorizable, op.inputs)):
        return None
    score = found[0].regions[0].blocks[0].arguments[0].type
    shape = register_shape(score, target)
    tiles = _workgroup_tiles(op, extents)
    return (
        None
        if tiles is None
        else (found[0], Configuration(KIND, tiles, {"rows": shape.rows, "columns": shape.columns}))
    )


def _is_vectorizable(operand: ir.Value) -> bool:
    element = structured_ops.element_type(operand.type)
    return not isinstance(element, ir.ComplexType)


def _workgroup_tiles(op: Any, extents: Sequence[int | None]) -> tuple[int, ...] | None:
    """Blocks of rows and of batches worth a workgroup's start; None if rows cannot be bounded."""
    loops = op.loops
    known = [_GUESS if e is None else max(e, 1) for e in extents]
    tiles = [0] * len(extents)
    outside = math.prod(known[loop] for loop in loops.rows[:-1])
    if any(extents[loop] is None for loop in loops.rows[:-1]) or outside > _FEW_ROWS_EACH:
        return None
    rows = outside
    if loops.rows:
        last = loops.rows[-1]
        most = max(1, _rows_of_workgroup(op, known) // outside)
        if extents[last] is None or known[last] > most:
            blocks = -(-known[last] // most)
            tiles[last] = most if extents[last] is None else -(-known[last] // blocks)
        rows *= tiles[last] or known[last]
    scores = rows * known[loops.keys]
    elements = known[loops.keys] * (known[loops.depth] + known[loops.columns])
    each = rows * elements * _MULTIPLY_NS + scores * _SCORE_NS + elements * _STAGE_NS
    wanted = max(1, round(_WORKGROUP_NS / each))
    for loop in reversed(loops.batch):
        tile = min(known[loop], wanted)
        if extents[loop] is None or tile < known[loop]:
            tiles[loop] = tile
        wanted = max(1, wanted // known[loop])
    return tuple(tiles)


def _rows_of_workgroup(op: Any, known: Sequence[int]) -> int:
    """How many rows a workgroup should have at most."""
    loops = op.loops
    rows = math.prod(known[loop] for loop in loops.rows)
    batches = math.prod(known[loop] for loop in loops.batch)
    row_bytes = 4 * (known[loops.depth] + known[loops.columns])
    most = min(_MOST_ROWS, _MOST_ROW_BYTES // row_bytes, rows * batches // _ENOUGH_WORKGROUPS)
    return max(most, _FEW_ROWS_EACH)


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the op by the loops of the module docstring, on buffers."""
    _Kernel(entry, configuration, target).build()


class _Kernel(AttentionOperands):
    def build(self) -> None:
        terminator = list(self.entry.function.entry_block.operations)[-1].operation
        with ir.InsertionPoint(terminator), self.root.location:
            self._make_functions()
            self._make_bounds()
            self._distribute()
        self.store.erase()
        for template in self.templates:
            template.erase()
        self.root.erase()

    def _distribute(self) -> None:
        """One block of every distributed loop is a workgroup."""
        loops = [loop for loop, tile in enumerate(self.tiles) if tile]
        starts: dict[int, Index] = {loop: 0 for loop in range(len(self.extents))}
        sizes: dict[int, Index] = dict(enumerate(self.extents))
        if not loops:
            self._workgroup(starts, sizes)
            return
        forall = scf.ForallOp([0] * len(loops), [self.extents[loop] for loop in loops], [self.tiles[x] for x in loops])
        with ir.InsertionPoint(forall.body):
            starts.update(zip(loops, forall.induction_variables, strict=True))
            for loop in loops:
                whole, tile = self.extents[loop], self.tiles[loop]
                if tile == 1 or (isinstance(whole, int) and whole % tile == 0):
                    sizes[loop] = tile
                else:
                    sizes[loop] = smaller(tile, sub(whole, starts[loop]))
            self._workgroup(starts, sizes)
            scf.InParallelOp()

    def _workgroup(self, starts: dict[int, Index], sizes: dict[int, Index]) -> None:
        self._enter(starts, sizes)
        self.scores = self._scratch(self.few_rows, self.key_panels * self.lanes)
        self.tops, self.totals, self.inverse = (self._row_scratch(self.few_rows) for _ in range(3))
        if not self.one_block:
            self.sums = self._scratch(self.row_bound, self.column_panels * self.lanes)
            self.greatest, self.all_totals = (self._row_scratch(self.row_bound) for _ in range(2))
            self.corrections = self._row_scratch(self.few_rows)
        self._batches(0, {})

    def _batches(self, level: int, at: dict[int, Index]) -> None:
        if level == len(self.loops.batch):
            self._batch(at)
            return
        loop = self.loops.batch[level]
        for_each(self.sizes[loop], 1, lambda i: self._batches(level + 1, {**at, loop: add(self.starts[loop], i)}))

    def _batch(self, at: dict[int, Index]) -> None:
        """All rows of one place of the batch loops."""
        self.at = at
        rows = product(self.row_sizes)
        self._stage_query(rows)
        keys = self.extents[self.loops.keys]
        if self.one_block:
            self._key_block(rows, 0, keys)
            return
        zero, lowest = self._vector(0.0), arith.constant(self.kind, float("-inf"))

        def clear(row: Index) -> None:
            memref.store(lowest, self.greatest, [value(row)])
            memref.store(arith.constant(self.kind, 0.0), self.all_totals, [value(row)])
            for panel in range(self.column_panels):
                vector.store(zero, self.sums, [value(row), value(panel * self.lanes)])

        for_each(rows, 1, clear)
        loop = scf.ForOp(value(0), value(keys), value(self.key_block))
        with ir.InsertionPoint(loop.body):
            first = loop.induction_variable
            self._key_block(rows, first, smaller(self.key_block, sub(keys, first)))
            scf.yield_([])
        for_each(rows, 1, self._finish_row)

    def _key_block(self, rows: Index, first: Index, count: Index) -> None:
        """All rows against some keys."""
        self._stage_keys(first, count)
        if self.stages_values:
            self._stage_values(first, count)

        def few(start: Index) -> None:
            height = (
                rows if isinstance(rows, int) and rows <= self.few_rows else smaller(self.few_rows, sub(rows, start))
            )
            if isinstance(rows, int) and rows % self.few_rows == 0:
                height = self.few_rows
            self._few_rows(start, height, first, count)

        for_each(rows, self.few_rows, few)

    def _few_rows(self, start: Index, rows: Index, first: Index, count: Index) -> None:
        def panel(number: Index, left: Index | None) -> None:
            mask = None if left is None else self._mask(left)
            elements = Elements(self.lanes, mask, left)
            column = mul(number, self.lanes)
            _in_tiles(
                rows, self.height, lambda row, height: self._scores(start, row, height, number, column, first, elements)
            )

        whole = div(count, self.lanes)
        for_each(whole, 1, lambda number: panel(number, None))
        left = rem(count, self.lanes)
        if_some(left, lambda: panel(whole, left))
        columns = mul(ceil_div(count, self.lanes), self.lanes)
        self._softmax(start, rows, columns)
        for number in range(self.column_panels):
            _in_tiles(
                rows,
                self.height,
                lambda row, height, number=number: self._sums(start, row, height, number, first, count),
            )

    def _scores(
        self, start: Index, row: Index, height: int, panel: Index, column: Index, first: Index, elements: Elements
    ) -> None:
        """A register tile of scores, through the region, to the scratch memory."""

        def step(d: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            right = vector.load(self._vector_type(), self.keys, [value(panel), d, value(0)])
            lefts = [memref.load(self.query, [value(add(add(start, row), r)), d]) for r in range(height)]
            return [self._multiply_add(left, right, total) for left, total in zip(lefts, sums, strict=True)]

        sums = _sum(self.depth, [self._vector(0.0)] * height, step)
        for r, total in enumerate(sums):
            loops = self._row(add(add(start, row), r)) | {self.loops.keys: Place(add(first, column), 1)}
            score = self._region(total, elements, loops)
            if elements.mask is not None:
                score = arith.select(elements.mask, score, self._vector(float("-inf")))
            vector.store(score, self.scores, [value(add(row, r)), value(column)])

    def _region(self, score: ir.Value, elements: Elements, loops: dict[int, Place]) -> ir.Value:
        """The score as the op's region changes it."""
        arguments: list[ir.Value | None] = [score]
        given = list(self.region.arguments)
        for operand, argument in zip(range(3, len(self.operands) - 1), given[1:], strict=False):
            used = bool(list(argument.uses))
            arguments.append(elements.read(self.operands[operand], self._places(operand, loops)) if used else None)
        for loop, argument in enumerate(given[len(arguments) :]):
            used = bool(list(argument.uses))
            arguments.append(elements.lane_numbers(loops.get(loop, Place(0))) if used else None)
        return elements.clone_body(self.region, arguments, {})[0]

    def _softmax(self, start: Index, rows: Index, columns: Index) -> None:
        """exp(scores - greatest) in place, their sums, and what earlier sums are to be corrected by.

        What there is of every row, its greatest score and its total, is computed for many rows at once: one row would
        wait for every step.
        """
        _in_tiles(rows, _ROWS_OF_SOFTMAX, lambda row, height: self._find_tops(row, height, columns))
        self._vectors_of_rows(rows, lambda first: self._correct(start, first))
        _in_tiles(rows, _ROWS_OF_SOFTMAX, lambda row, height: self._raise(row, height, columns))
        self._vectors_of_rows(rows, lambda first: self._add_totals(start, first))

    def _vectors_of_rows(self, rows: Index, body: Callable[[Index], None]) -> None:
        """`body` with the first of every vector of rows; what it writes beyond the last row no one reads."""
        for_each(ceil_div(rows, self.register), 1, lambda i: body(mul(i, self.register)))

    def _find_tops(self, first: Index, height: int, columns: Index) -> None:
        """The greatest score of a few rows."""
        rows = [add(first, r) for r in range(height)]

        def higher(column: ir.Value, best: Sequence[ir.Value]) -> list[ir.Value]:
            loaded = [vector.load(self._vector_type(), self.scores, [value(row), column]) for row in rows]
            return [arith.select(arith.cmpf(_P.OGT, x, b), x, b) for x, b in zip(loaded, best, strict=True)]

        best = _sum(columns, [self._vector(float("-inf"))] * height, higher, self.lanes)
        for row, greatest in zip(rows, best, strict=True):
            top = vector.reduction(self.kind, vector.CombiningKind.MAXNUMF, greatest, fastmath=arith.FastMathFlags.nnan)
            memref.store(top, self.tops, [value(row)])

    def _correct(self, start: Index, first: Index) -> None:
        """The greatest scores so far of a vector of rows, and what that makes of earlier sums."""
        elements = Elements(self.register)
        kind, lowest, zero = (elements.type_of(self.kind), *map(self._spread, (float("-inf"), 0.0)))
        at, everywhere = [value(first)], [value(add(start, first))]
        top = vector.load(kind, self.tops, at)
        old = top
        if not self.one_block:
            old = vector.load(kind, self.greatest, everywhere)
            top = arith.select(arith.cmpf(_P.OGT, old, top), old, top)
            vector.store(top, self.greatest, everywhere)
        held = arith.select(arith.cmpf(_P.OEQ, top, lowest), zero, top)  # rows without a key so far count from 0
        vector.store(held, self.tops, at)
        if not self.one_block:
            vector.store(self._call(self.power, elements, arith.subf(old, held)), self.corrections, at)

    def _raise(self, first: Index, height: int, columns: Index) -> None:
        """The exponentials of a few rows, and their sums."""
        kind = self._vector_type()
        rows = [add(first, r) for r in range(height)]
        tops = [vector.broadcast(kind, memref.load(self.tops, [value(row)])) for row in rows]
        elements = Elements(self.lanes)

        def raised(column: ir.Value, totals: Sequence[ir.Value]) -> list[ir.Value]:
            sums: list[ir.Value] = []
            for row, top, total in zip(rows, tops, totals, strict=True):
                score = vector.load(kind, self.scores, [value(row), column])
                power = self._call(self.power, elements, arith.subf(score, top))
                vector.store(power, self.scores, [value(row), column])
                sums.append(arith.addf(total, power))
            return sums

        parts = _sum(columns, [self._vector(0.0)] * height, raised, self.lanes)
        for row, part in zip(rows, parts, strict=True):
            total = vector.reduction(self.kind, vector.CombiningKind.ADD, part, fastmath=arith.FastMathFlags.reassoc)
            memref.store(total, self.totals, [value(row)])

    def _add_totals(self, start: Index, first: Index) -> None:
        """The sums of exponentials of a vector of rows: their inverses if there are no more keys."""
        elements = Elements(self.register)
        kind, at, everywhere = elements.type_of(self.kind), [value(first)], [value(add(start, first))]
        total = vector.load(kind, self.totals, at)
        if self.one_block:
            vector.store(self._inverse(total, elements), self.inverse, at)
            return
        before = arith.mulf(vector.load(kind, self.all_totals, everywhere), vector.load(kind, self.corrections, at))
        vector.store(arith.addf(before, total), self.all_totals, everywhere)

    def _inverse(self, total: ir.Value, elements: Elements) -> ir.Value:
        """What sums are multiplied by in the end; NaN in rows whose result is to be 0 for a NaN."""
        zero, one = (elements.spread(arith.constant(self.kind, x)) for x in (0.0, 1.0))
        inverse = arith.divf(one, total)
        if self.masked_rows != "nan":
            inverse = arith.select(arith.cmpf(_P.OEQ, total, zero), zero, inverse)
        keys = self.extents[self.loops.keys]
        if keys == 0 or not isinstance(keys, int):
            inverse = arith.select(arith.cmpi(_I.eq, value(keys), value(0)), zero, inverse)
        return inverse

    def _sums(self, start: Index, row: Index, height: int, panel: int, first: Index, count: Index) -> None:
        """A register tile of powers · values: the result of one block of keys, else added to the sums."""

        def step(k: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            if self.values is not None:
                right = vector.load(self._vector_type(), self.values, [value(panel), k, value(0)])
            else:
                right = self._value_vector(panel, add(first, k))
            lefts = [memref.load(self.scores, [value(add(row, r)), k]) for r in range(height)]
            return [self._multiply_add(left, right, total) for left, total in zip(lefts, sums, strict=True)]

        rows = [add(row, r) for r in range(height)]
        if self.one_block:
            sums = _sum(count, [self._vector(0.0)] * height, step)
            for r, total in zip(rows, sums, strict=True):
                self._store(add(start, r), panel, total, memref.load(self.inverse, [value(r)]))
            return
        column = value(panel * self.lanes)
        before: list[ir.Value] = []
        for r in rows:
            old = vector.load(self._vector_type(), self.sums, [value(add(start, r)), column])
            correction = vector.broadcast(self._vector_type(), memref.load(self.corrections, [value(r)]))
            before.append(arith.mulf(old, correction))
        for r, total in zip(rows, _sum(count, before, step), strict=True):
            vector.store(total, self.sums, [value(add(start, r)), column])

    def _finish_row(self, row: Index) -> None:
        inverse = self._inverse(memref.load(self.all_totals, [value(row)]), Elements())
        for panel in range(self.column_panels):
            total = vector.load(self._vector_type(), self.sums, [value(row), value(panel * self.lanes)])
            self._store(row, panel, total, inverse)

    def _store(self, row: Index, panel: int, total: ir.Value, inverse: ir.Value) -> None:
        elements = self._column_elements(panel)
        factor = vector.broadcast(self._vector_type(), inverse)
        result = arith.mulf(total, factor)
        if self.masked_rows == "zero_nan":
            result = arith.select(arith.cmpf(_P.UNO, factor, factor), self._vector(0.0), result)
        loops = self._row(row) | {self.loops.columns: Place(panel * self.lanes, 1)}
        places = self._places(len(self.operands) - 1, loops)
        elements.store(self._call(self.narrowing, elements, result), self.destination, places)


def _sum(
    count: Index, start: Sequence[ir.Value], step: Callable[[ir.Value, Sequence[ir.Value]], list[ir.Value]], by: int = 1
) -> list[ir.Value]:
    """A loop that carries values."""
    loop = scf.ForOp(value(0), value(count), value(by), list(start))
    with ir.InsertionPoint(loop.body):
        scf.yield_(step(loop.induction_variable, list(loop.inner_iter_args)))
    return list(loop.results)


def _in_tiles(count: Index, height: int, tile: Callable[[Index, int], None]) -> None:
    """Cuts rows into tiles of `height`, and what is left into a few lower ones."""
    if isinstance(count, int):
        high, more, fewer = even_heights(count, height)
        for_each(more, 1, lambda i: tile(mul(i, high), high))
        for_each(fewer, 1, lambda i: tile(add(more * high, mul(i, high - 1)), high - 1))
        return
    whole = div(count, height)
    for_each(whole, 1, lambda i: tile(mul(i, height), height))
    done, left = mul(whole, height), value(rem(count, height))
    part = 1 << (height - 1).bit_length()
    while part > 1:
        part //= 2
        bit = arith.andi(left, value(part))
        at = add(done, arith.andi(left, value(-2 * part)))
        if_else(arith.cmpi(_I.ne, bit, value(0)), lambda at=at, part=part: tile(at, part), None)
