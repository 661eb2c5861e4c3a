"""kind "contraction": matrix products and convolutions, with the elementwise ops around them.

    for each workgroup:                              blocks of outer loops × rows × columns
      stage what the left operand is computed from   (padded or converted input), into scratch memory
      for each panel of columns:
        stage the panel of the right operand         unless it is packed, or read as it lies
        for each tile of rows:                       registers: rows × one panel (register_tile.py)

A constant right operand comes packed (`pack-weights`). Tiles of rows have few different heights: a static number of
rows is cut into tiles of two heights; a dynamic one into tiles of one, chosen when it runs, the last of them moved
back over rows that are computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu import staging
from mlirage.codegen.cpu.contraction_blocks import workgroup_tiles
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, Staged, extent, is_readable
from mlirage.codegen.cpu.index_math import (
    Index,
    add,
    div,
    mul,
    product,
    rem,
    smaller,
    split,
    sub,
    value,
)  # fmt: skip
from mlirage.codegen.cpu.register_tile import Panel, RegisterTile, Tile
from mlirage.codegen.cpu.table_lookups import look_up_nibbles
from mlirage.codegen.cpu.tile_outputs import find_outputs, is_fusable
from mlirage.codegen.dot_products import instruction_of
from mlirage.codegen.register_shapes import bit_width, register_shape
from mlirage.codegen.target import CpuTarget
from mlirage.contractions import Contraction, match_contraction
from mlirage.mlir import arith, ir, scf, vector

KIND = "contraction"
LLVM_UNROLLS = False  # tiles are in registers: nothing is gained, and compiling takes three times as long


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries with one contraction that everything else only prepares or finishes elementwise."""
    contraction = root_contraction(entry)
    if contraction is None:
        return None
    if contraction.group > 1 and not _has_instruction(contraction, target):
        return None  # packed for another target
    element = structured_ops.element_type(contraction.op.results[0].type)
    shape = register_shape(element, target)
    if contraction.panel:
        shape = replace(shape, columns=contraction.panel)
    if shape.columns * bit_width(element) <= 8 * target.vector_bytes and contraction.group == 1:
        # one register per row: more rows keep as many sums in flight
        shape = replace(shape, rows=min(14, target.vector_registers - 4))
    extents = [None if e == structured_ops.DYNAMIC else e for e in structured_ops.loop_extents(contraction.op)]
    outputs = find_outputs(entry, contraction.op.results[0])
    interleaves = any(output.order[-1:] != (len(output.order) - 1,) for output in outputs)
    tiles = workgroup_tiles(contraction, extents, shape, _operations_around(entry), interleaves)
    return contraction.op, Configuration(KIND, tiles, {"rows": shape.rows, "columns": shape.columns})


def _operations_around(entry: Entry) -> int:
    """Scalar operations of the elementwise ops of an entry, each once per element."""
    bodies = [structured_ops.body(op) for op in entry.structured_ops() if structured_ops.is_elementwise(op)]
    return sum(inner.operation.name.startswith(("arith.", "math.")) for body in bodies for inner in body.operations)


def _has_instruction(contraction: Contraction, target: CpuTarget) -> bool:
    return instruction_of(contraction.op, contraction.right, contraction.group, target) is not None


def root_contraction(entry: Entry) -> Contraction | None:
    """The contraction of an entry that this kind can compute, None if there is none or something is in its way."""
    found = [c for op in entry.structured_ops() if (c := match_contraction(op)) is not None]
    if len(found) != 1:
        return None
    contraction = found[0]
    root = contraction.op.results[0]
    reads = (contraction.left_value, contraction.right_value, structured_ops.outputs(contraction.op)[0])
    written = [op.operands[0] for op in entry.walk() if op.name == "bufferization.materialize_in_destination"]
    if not written or not all(map(is_readable, reads)) or not all(is_fusable(v, root) for v in written):
        return None
    return contraction


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the entry's body by the loops of the module docstring, on buffers."""
    contraction = root_contraction(entry)
    assert contraction is not None, "configured by hand?"
    _Kernel(entry, contraction, configuration, target).build()
    look_up_nibbles(entry, target)


class _Kernel:
    def __init__(self, entry: Entry, contraction: Contraction, configuration: Configuration, target: CpuTarget) -> None:
        self.entry, self.contraction = entry, contraction
        self.tiles = configuration.workgroup_tiles
        self.materializations = [op for op in entry.walk() if op.name == "bufferization.materialize_in_destination"]
        rows, columns = configuration.data["rows"], configuration.data["columns"]
        assert isinstance(rows, int)
        assert isinstance(columns, int)
        self.height, self.columns = rows, columns
        self.target = target
        self.terminator = list(entry.function.entry_block.operations)[-1].operation
        self.recomputes = not _in_place(entry)
        self.tile_height = rows

    def build(self) -> None:
        c = self.contraction
        root = c.op.results[0]
        with ir.InsertionPoint(self.terminator), c.op.location:
            outputs = find_outputs(self.entry, root)
            self.extents = self._loop_extents()
            self.tile = RegisterTile(c, outputs, self.extents, self.target)
            self._distribute()
        for op in self.materializations:
            op.erase()

    def _loop_extents(self) -> list[Index]:
        op = self.contraction.op
        extents: list[Index] = [e if e != structured_ops.DYNAMIC else -1 for e in structured_ops.loop_extents(op)]
        for operand, indexing in zip(op.operands, structured_ops.indexing_maps(op), strict=True):
            for d, loop in enumerate(structured_ops.map_dims(indexing)):
                if loop is not None and extents[loop] == -1:
                    extents[loop] = extent(operand, d)
        return extents

    def _distribute(self) -> None:
        """The workgroups: one block of every distributed loop each."""
        loops = [loop for loop, tile in enumerate(self.tiles) if tile]
        starts: dict[int, Index] = {loop: 0 for loop in range(len(self.extents))}
        if not loops:
            self._workgroup(starts, dict(enumerate(self.extents)))
            return
        forall = scf.ForallOp([0] * len(loops), [self.extents[loop] for loop in loops], [self.tiles[x] for x in loops])
        with ir.InsertionPoint(forall.body):
            starts.update(zip(loops, forall.induction_variables, strict=True))
            self._sizes(loops, starts, dict(enumerate(self.extents)))
            scf.InParallelOp()

    def _sizes(self, loops: Sequence[int], starts: dict[int, Index], sizes: dict[int, Index]) -> None:
        """Finds out how large the workgroup's block is; a static last block of rows gets code of its own."""
        if not loops:
            self._workgroup(starts, sizes)
            return
        loop, rest = loops[0], loops[1:]
        whole, tile = self.extents[loop], self.tiles[loop]
        if tile == 1 or (isinstance(whole, int) and whole % tile == 0):
            self._sizes(rest, starts, sizes | {loop: tile})
        elif isinstance(whole, int) and loop in self.contraction.rows:
            last = arith.cmpi(arith.CmpIPredicate.ugt, value(add(starts[loop], tile)), value(whole))
            if_else(
                last,
                lambda: self._sizes(rest, starts, sizes | {loop: whole % tile}),
                lambda: self._sizes(rest, starts, sizes | {loop: tile}),
            )
        else:
            self._sizes(rest, starts, sizes | {loop: smaller(tile, sub(whole, starts[loop]))})

    def _workgroup(self, starts: dict[int, Index], sizes: dict[int, Index]) -> None:
        bounds = {loop: self.tiles[loop] or self.extents[loop] for loop in range(len(self.extents))}
        staged = staging.stage_left(self.tile, starts, sizes, bounds, self.target)
        self._outer(0, {}, starts, sizes, staged)

    def _outer(
        self,
        level: int,
        outer: dict[int, Index],
        starts: dict[int, Index],
        sizes: dict[int, Index],
        staged: Mapping[ir.Value, Staged],
    ) -> None:
        """Loops over the outer loops of a workgroup."""
        c = self.contraction
        if level == len(c.outer):
            self._heights(outer, starts, sizes, staged)
            return
        loop = c.outer[level]

        def body(i: Index) -> None:
            self._outer(level + 1, {**outer, loop: add(starts[loop], i)}, starts, sizes, staged)

        for_each(sizes[loop], 1, body)

    def _heights(
        self,
        outer: Mapping[int, Index],
        starts: Mapping[int, Index],
        sizes: Mapping[int, Index],
        staged: Mapping[ir.Value, Staged],
    ) -> None:
        """Chooses the heights of the register tiles, then runs over panels and tiles."""
        c = self.contraction
        count = product([sizes[loop] for loop in c.rows])

        def run(height: int, tiles: Callable[[Callable[[Index, int], None]], None]) -> None:
            self.tile_height = height
            self._panels(height, outer, starts, sizes, staged, tiles)

        if isinstance(count, int):
            inner = self._inner_rows(sizes)
            run_ = inner if runs_apart(count, inner, self.height, self._taps_of_runs(sizes)) else count
            high, more, fewer = even_heights(run_, self.height, inner)

            def static(tile: Callable[[Index, int], None]) -> None:
                def tiles_of(start: Index) -> None:
                    for_each(more, 1, lambda i: tile(add(start, mul(i, high)), high))
                    for_each(fewer, 1, lambda i: tile(add(start, add(more * high, mul(i, high - 1))), high - 1))

                for_each(count // run_, 1, lambda i: tiles_of(mul(i, run_)))

            if count:
                self.apart = run_ < count
                run(high, static)
            return
        self.apart = False
        every = self.recomputes and sum(sizes[loop] != 1 for loop in c.rows) == 1
        self._dynamic_heights(count, self.height, run, every)

    def _inner_rows(self, sizes: Mapping[int, Index]) -> int:
        """Static extent of the innermost loop of the rows, 1 if it is dynamic."""
        inner = next((sizes[loop] for loop in reversed(self.contraction.rows) if sizes[loop] != 1), 1)
        return inner if isinstance(inner, int) else 1

    def _taps_of_runs(self, sizes: Mapping[int, Index]) -> float:
        """The share of the taps inside the image that tiles have which keep to runs, and so have taps of their own."""
        wide = [loop for loop in self.contraction.rows if sizes[loop] != 1]
        taps = self.tile.taps.values()
        return math.prod(t.share(self.extents) for t in taps if len(wide) > 1 and wide[-1] not in t.terms)

    def _dynamic_heights(
        self,
        count: ir.Value,
        height: int,
        run: Callable[[int, Callable[[Callable[[Index, int], None]], None]], None],
        every: bool,
        even: ir.Value | None = None,
    ) -> None:
        """Chooses the height of the tiles.

        Args:
          count: rows.
          height: the tallest left to choose.
          run: builds the tiles of a height.
          every: whether there is code for every height up to 8, else for every half: where rows are many, or may not
            be computed twice.
          even: the height to choose, if there is code for it.
        """
        if even is None:
            even = count
            if every and not staging.wants_right(self.tile, count, height, height):  # as few tiles, of equal heights
                fewest = arith.maxui(arith.ceildivui(count, value(height)), value(1))
                even = arith.ceildivui(count, fewest)

        def tiles(tile: Callable[[Index, int], None]) -> None:
            if self.recomputes:
                number = arith.ceildivui(count, value(height))
                last = arith.subi(count, value(height))
                for_each(number, 1, lambda i: tile(smaller(mul(i, height), last), height))
            else:
                for_each(div(count, height), 1, lambda i: tile(mul(i, height), height))
                done = mul(div(count, height), height)
                for_each(rem(count, height), 1, lambda i: tile(add(done, i), 1))

        if height == 1:
            run(1, tiles)
            return
        lower = height - max(1, height // 6) if every else height // 2
        enough = arith.cmpi(arith.CmpIPredicate.uge, even, value(height))
        if_else(enough, lambda: run(height, tiles), lambda: self._dynamic_heights(count, lower, run, every, even))

    def _panels(
        self,
        height: int,
        outer: Mapping[int, Index],
        starts: Mapping[int, Index],
        sizes: Mapping[int, Index],
        staged: Mapping[ir.Value, Staged],
        tiles: Callable[[Callable[[Index, int], None]], None],
    ) -> None:
        """Runs over the panels of a block of columns: whole ones in groups, then what is left of the last one."""
        c = self.contraction
        start, size = starts[c.column], sizes[c.column]
        whole = div(size, self.columns)
        together = panels_together(height)
        first = div(start, self.columns)
        plain = Elements(self.columns)

        def group(number: int) -> Callable[[Index], None]:
            def body(i: Index) -> None:
                panels = [
                    Panel(add(start, mul(add(i, p), self.columns)), add(first, add(i, p)), plain) for p in range(number)
                ]
                self._tiles(panels, outer, starts, sizes, staged, tiles)

            return body

        grouped = mul(div(whole, together), together)
        for_each(grouped, together, group(together))
        if together > 1:
            for_each(sub(whole, grouped), 1, lambda i: group(1)(add(grouped, i)))
        left = rem(size, self.columns)

        def tail() -> None:
            lanes = self._tail_lanes(left)
            elements = Elements(lanes)
            if left != lanes:
                mask = vector.create_mask(ir.VectorType.get([lanes], ir.IntegerType.get_signless(1)), [value(left)])
                elements = Elements(lanes, mask, left)
            panel = Panel(add(start, mul(whole, self.columns)), add(first, whole), elements)
            self._tiles([panel], outer, starts, sizes, staged, tiles)

        if isinstance(left, int):
            if left:
                tail()
            return
        columns, tile = self.extents[c.column], self.tiles[c.column]
        if isinstance(columns, int) and tile % self.columns == 0:  # only the last block has a last panel
            if columns % self.columns:
                is_last = arith.cmpi(arith.CmpIPredicate.ne, left, value(0))
                left = columns % self.columns
                if_else(is_last, tail, None)
            return
        if_else(arith.cmpi(arith.CmpIPredicate.ne, left, value(0)), tail, None)

    def _tail_lanes(self, left: Index) -> int:
        """Lanes for the last `left` columns: those of one register where they suffice."""
        register = 8 * self.target.vector_bytes // bit_width(self.tile.accumulator)
        suffices = isinstance(left, int) and left <= register and self.contraction.group == 1
        return register if suffices and register < self.columns else self.columns

    def _tiles(
        self,
        panels: Sequence[Panel],
        outer: Mapping[int, Index],
        starts: Mapping[int, Index],
        sizes: Mapping[int, Index],
        staged: Mapping[ir.Value, Staged],
        tiles: Callable[[Callable[[Index, int], None]], None],
    ) -> None:
        c = self.contraction
        count = product([sizes[loop] for loop in c.rows])
        if staging.wants_right(self.tile, count, self.tile_height, self.height):
            panels = [staging.stage_panel(self.tile, panel, outer, self.target) for panel in panels]

        def tile(first: Index, height: int) -> None:
            rows = row_places(first, height, c.rows, starts, sizes, self.apart)
            run = self._run(height, sizes)
            # fewer rows than the tallest tile has are mostly one tile
            alone = not isinstance(count, int) and height < self.height
            self.tile.build(Tile(rows, outer, panels, staged, run), (first, height if alone else count))

        tiles(tile)

    def _run(self, height: int, sizes: Mapping[int, Index]) -> tuple[int, ...]:
        """The loops along which the rows of a tile follow each other as they do in memory; empty: they may not."""
        wide = tuple(loop for loop in self.contraction.rows if sizes[loop] != 1)
        if rows_in_one_run(height, wide, sizes, self.apart):
            return wide[-1:]
        whole = all(isinstance(sizes[loop], int) and sizes[loop] == self.extents[loop] for loop in wide[1:])
        return wide if whole else ()


def rows_in_one_run(height: int, wide: Sequence[int], sizes: Mapping[int, Index], apart: bool) -> bool:
    """Whether tiles of `height` rows never reach over the end of the innermost of the loops `wide`."""
    inner = sizes[wide[-1]] if wide else 1
    return apart or len(wide) == 1 or (isinstance(inner, int) and inner % height == 0)


def runs_apart(count: int, inner: int, most: int, share: float = 1.0) -> bool:
    """Whether tiles that keep to runs of `inner` rows have as little to do, or nearly, as tiles that do not.

    Args:
      count: rows in all.
      inner: rows of a run.
      most: rows of a tile.
      share: of its work that is left to a tile in a run.
    """
    if inner <= 1 or count % inner:
        return False
    return share * (count // inner * -(-inner // most)) <= 1.06 * -(-count // most)


def even_heights(count: int, most: int, inner: int = 1) -> tuple[int, int, int]:
    """Cuts `count` rows into the fewest tiles of at most `most` rows, evenly.

    Args:
      inner: rows lie in runs of so many; tiles that divide a run need less arithmetic.

    Returns:
      (height, how many tiles of it, how many tiles one row lower).
    """
    if count == 0:
        return 1, 0, 0
    for height in range(most, max(1, most - 3), -1):
        if inner % height == 0 and count % height == 0:
            return height, count // height, 0
    tiles = -(-count // most)
    height = -(-count // tiles)
    lower = tiles * height - count
    return height, tiles - lower, lower


def panels_together(height: int) -> int:
    """Low tiles take two panels at once, so that enough sums are in flight; more streams read memory more slowly."""
    return 2 if height <= 3 else 1


def row_places(
    first: Index,
    height: int,
    loops: Sequence[int],
    starts: Mapping[int, Index],
    sizes: Mapping[int, Index],
    apart: bool,
) -> list[dict[int, Index]]:
    """The loop indices of `height` consecutive rows of a block, row number `first` on.

    Args:
      apart: the rows lie in one run of the innermost loop for sure.
    """
    wide = [loop for loop in loops if sizes[loop] != 1]
    fixed = {loop: starts[loop] for loop in loops if loop not in wide}
    if not wide:
        return [fixed]
    extents = [sizes[loop] for loop in wide]
    rows: list[dict[int, Index]] = []
    together = rows_in_one_run(height, wide, sizes, apart)
    base = split(first, extents) if together else []
    if together and height == extents[-1]:
        base[-1] = 0  # a run as a whole
    for r in range(height):
        at = [*base[:-1], add(base[-1], r)] if together else split(add(first, r), extents)
        rows.append(fixed | {loop: add(starts[loop], i) for loop, i in zip(wide, at, strict=True)})
    return rows


def _in_place(entry: Entry) -> bool:
    """Whether a result overwrites an argument that the entry reads: then nothing may be computed twice."""

    def base(v: ir.Value) -> ir.Value:
        while not isinstance(v.owner, ir.Block):
            v = v.owner.operation.operands[0]
        return v

    read = [base(op.operands[0]) for op in entry.walk() if op.name == "bufferization.to_tensor"]
    written = [base(op.operands[1]) for op in entry.walk() if op.name == "bufferization.materialize_in_destination"]
    return any(v in read for v in written)
