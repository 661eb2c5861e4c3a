"""kind "winograd": linalgx.winograd, with the elementwise ops that follow it.

    for each workgroup:                                  a block of tiles × a block of filters
      for each tile, for each vector of channels:        points × points pixels, zeros outside of the image
        image[point, tile, channels] = Bᵀ pixels B       to scratch memory
      for each panel of filters:                         and chunk of channels
        weights[point, channels, filters] = G weights Gᵀ   in the second-level cache
        for each point, for each few tiles:
          products[point, tile, filters] = image · weights   a register tile
      for each tile, for each vector of filters:
        Aᵀ products A, what follows, the stores          results that do not exist are not stored

Weights that were transformed at compile time are multiplied as they lie in memory, points outside, panels inside.
Blocks of tiles are chosen by codegen/winograd_blocks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mlirage import structured_ops
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.contraction import even_heights
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.elements import Elements, extent, is_readable
from mlirage.codegen.cpu.index_math import Index, Place, add, ceil_div, div, mul, product, rem, smaller, sub, value
from mlirage.codegen.cpu.linear_maps import LinearMaps
from mlirage.codegen.cpu.tile_outputs import Output, find_outputs, is_fusable
from mlirage.codegen.cpu.turned_stores import Run, store_runs, turns
from mlirage.codegen.register_shapes import bit_width, register_shape
from mlirage.codegen.target import CpuTarget
from mlirage.codegen.winograd_blocks import Convolution, choose_blocks
from mlirage.mlir import arith, ir, memref, scf, vector
from mlirage.winograd import transforms

KIND = "winograd"
LLVM_UNROLLS = False  # tiles are in registers

_CACHE_LINE = 16  # floats between the points' matrices, which would all lie in the same sets of the cache otherwise
_LOW = 4  # rows of register tiles that take two panels, so that enough sums are in flight
_STAGED_BYTES = 576 << 10  # of transformed weights, which are to stay in the second-level cache
_FEW_OPERATIONS = 12  # in what follows the convolution: more are not repeated for every result of a tile


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries with a linalgx.winograd that everything else only prepares or finishes elementwise."""
    root = _root(entry)
    if root is None:
        return None
    shape, tile, panel = _shape(root)
    blocks, _ = choose_blocks(shape, tile, panel, target, transforms_weights=is_plain(root))
    extents = [shape.batch, shape.height, shape.width]
    tiles = [blocks.images, blocks.rows * tile, blocks.columns * tile]
    if _is_grouped(root):
        extents.append(shape.groups)
        tiles.append(1)
    extents.append(shape.filters)
    tiles.append(blocks.filters)
    tiles = [0 if e is not None and t >= e else t for t, e in zip(tiles, extents, strict=True)]
    rows = register_shape(structured_ops.element_type(root.results[0].type), target).rows
    return root, Configuration(KIND, (*tiles, 0, 0, 0), {"rows": rows})


def _root(entry: Entry) -> ir.Operation | None:
    found = [op for op in entry.walk() if op.name.startswith("linalgx.")]
    if len(found) != 1 or found[0].name != "linalgx.winograd":
        return None
    root = found[0].results[0]
    written = [op.operands[0] for op in entry.walk() if op.name == "bufferization.materialize_in_destination"]
    if not written or not is_readable(found[0].operands[0]) or not all(is_fusable(v, root) for v in written):
        return None
    return found[0]


def _is_grouped(op: ir.Operation) -> bool:
    return ir.RankedTensorType(op.operands[0].type).rank == 5


def is_plain(op: ir.Operation) -> bool:
    """Whether the weights are still to be transformed."""
    window = ir.IntegerAttr(op.attributes["window"]).value
    return ir.RankedTensorType(op.operands[1].type).shape[-4] == window * window


def _shape(op: ir.Operation) -> tuple[Convolution, int, int]:
    """The numbers of the convolution, results per tile, and filters per panel."""
    image, weights, out = (ir.RankedTensorType(v.type) for v in op.operands)
    batch, height, width = (None if out.is_dynamic_dim(d) else out.get_dim_size(d) for d in range(3))
    tile, window = (ir.IntegerAttr(op.attributes[name]).value for name in ("tile", "window"))
    groups = image.shape[3] if _is_grouped(op) else 1
    shape = Convolution(batch, height, width, groups, image.shape[-1], out.shape[-1], window)
    return shape, tile, weights.shape[-1]


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the entry's body by the loops of the module docstring, on buffers."""
    _Kernel(entry, configuration, target).build()


class _Kernel:
    def __init__(self, entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
        root = _root(entry)
        assert root is not None, "configured by hand?"
        rows = configuration.data["rows"]
        assert isinstance(rows, int)
        self.entry, self.root, self.height, self.target = entry, root, rows, target
        self.image, self.weights, self.out = root.operands
        self.shape, self.tile, self.panel = _shape(root)
        self.transforms = transforms(self.tile, self.shape.window)
        self.points = self.transforms.points
        self.grouped = _is_grouped(root)
        self.stages = is_plain(root)
        self.filter_loop = 4 if self.grouped else 3
        self.tiles = configuration.workgroup_tiles
        self.kind = structured_ops.element_type(root.results[0].type)
        self.lanes = min(self.panel, max(2, target.vector_bytes // 4))
        self.maps = LinearMaps(self.kind, self.lanes, target.has_fma)
        self.padding = [ir.IntegerAttr(p).value for p in ir.ArrayAttr(root.attributes["padding"])]

    def build(self) -> None:
        terminator = list(self.entry.function.entry_block.operations)[-1].operation
        with ir.InsertionPoint(terminator), self.root.location:
            self.outputs: list[Output] = find_outputs(self.entry, self.root.results[0])
            self.extents: list[Index] = [extent(self.out, d) for d in range(self.filter_loop + 1)]
            self._distribute()
        for op in [o for o in self.entry.walk() if o.name == "bufferization.materialize_in_destination"]:
            op.erase()

    def _distribute(self) -> None:
        """One block of every distributed loop is a workgroup."""
        loops = [loop for loop, tile in enumerate(self.tiles) if tile]
        starts: list[Index] = [0] * len(self.extents)
        sizes = list(self.extents)
        if not loops:
            self._workgroup(starts, sizes)
            return
        forall = scf.ForallOp([0] * len(loops), [self.extents[x] for x in loops], [self.tiles[x] for x in loops])
        with ir.InsertionPoint(forall.body):
            for loop, start in zip(loops, forall.induction_variables, strict=True):
                starts[loop] = start
            self._sizes(loops, starts, sizes)
            scf.InParallelOp()

    def _sizes(self, loops: Sequence[int], starts: list[Index], sizes: list[Index]) -> None:
        """How large the workgroup's block is."""
        for loop in loops:
            whole, tile = self.extents[loop], self.tiles[loop]
            if tile == 1 or (isinstance(whole, int) and whole % tile == 0):
                sizes[loop] = tile
            else:
                sizes[loop] = smaller(tile, sub(whole, starts[loop]))
        self._workgroup(starts, sizes)

    def _workgroup(self, starts: list[Index], sizes: list[Index]) -> None:
        self.starts, self.sizes = starts, sizes
        self.blocks: list[Index] = [sizes[0], ceil_div(sizes[1], self.tile), ceil_div(sizes[2], self.tile)]
        bounds = [self.tiles[loop] or self.extents[loop] for loop in range(len(self.extents))]
        most = [bounds[0], ceil_div(bounds[1], self.tile), ceil_div(bounds[2], self.tile)]
        tiles, filters = product(most), ceil_div(bounds[self.filter_loop], self.panel)
        assert isinstance(tiles, int), "dynamic extents are distributed"
        assert isinstance(filters, int)
        self.width = filters * self.panel
        self.columns = Elements(self.lanes)
        self.transformed = self._scratch(tiles * self.shape.channels)
        self.products = self._scratch(tiles * self.width)
        self._for_tiles(self._transform_image)
        self._multiply_all()
        self.repeats = self._epilogue_operations() <= _FEW_OPERATIONS
        ragged = [not self._divides(dim) for dim in (1, 2)]
        self.ragged = any(ragged)
        self.corner = self._buffer(self.tile**2, self.lanes) if self.ragged or not self.repeats else None
        self._for_tiles(self._transform_result)

    def _scratch(self, length: int) -> ir.Value:
        return self._buffer(self.points**2, length + _CACHE_LINE)

    def _buffer(self, *shape: int) -> ir.Value:
        return memref.AllocOp(ir.MemRefType.get(list(shape), self.kind), [], [], alignment=64).memref

    def _divides(self, dim: int) -> bool:
        """Whether tiles cover the result evenly along one dim."""
        whole = self.extents[dim]
        return isinstance(whole, int) and whole % self.tile == 0

    def _epilogue_operations(self) -> int:
        ops = [op for op in self.entry.structured_ops() if structured_ops.is_elementwise(op)]
        return sum(len(list(structured_ops.body(op).operations)) - 1 for op in ops)

    def _for_tiles(self, body: Callable[[Index, tuple[Index, Index, Index]], None]) -> None:
        """All tiles of the block: their number in it, and (image, row, column) of their first result."""
        images, rows, columns = self.blocks

        def tile(n: Index, i: Index, j: Index) -> None:
            number = add(mul(add(mul(n, rows), i), columns), j)
            at = add(self.starts[0], n), add(self.starts[1], mul(i, self.tile)), add(self.starts[2], mul(j, self.tile))
            body(number, at)

        for_each(images, 1, lambda n: for_each(rows, 1, lambda i: for_each(columns, 1, lambda j: tile(n, i, j))))

    # Image --------------------------------------------------------------------------------------------------------

    def _transform_image(self, number: Index, at: tuple[Index, Index, Index]) -> None:
        n, top, left = at[0], sub(at[1], self.padding[0]), sub(at[2], self.padding[1])
        height, width = extent(self.image, 1), extent(self.image, 2)
        exists = self._exists(top, height), self._exists(left, width)
        whole = _all([inside for part in exists for inside in part])
        if whole is True:
            self._image_tile(number, n, top, left, None)
        elif whole is False:
            self._image_tile(number, n, top, left, exists)
        else:
            if_else(
                whole,
                lambda: self._image_tile(number, n, top, left, None),
                lambda: self._image_tile(number, n, top, left, exists),
            )

    def _exists(self, start: Index, size: Index) -> list[ir.Value | bool]:
        """Which of the pixels from `start` on lie in the image."""
        exists: list[ir.Value | bool] = []
        for i in range(self.points):
            place = add(start, i)
            if isinstance(place, int) and isinstance(size, int):
                exists.append(0 <= place < size)
            else:  # as an unsigned number, a place before the start is larger than any extent
                exists.append(arith.cmpi(arith.CmpIPredicate.ult, value(place), value(size)))
        return exists

    def _image_tile(
        self,
        number: Index,
        n: Index,
        top: Index,
        left: Index,
        exists: tuple[list[ir.Value | bool], list[ir.Value | bool]] | None,
    ) -> None:
        """All channels of one tile; with `exists` not all of its pixels lie in the image."""
        group = [Place(self.starts[3])] if self.grouped else []

        def pixel(elements: Elements, first: Index, i: int, j: int) -> ir.Value:
            place = [Place(n), Place(add(top, i)), Place(add(left, j)), *group, Place(first, 1)]
            inside = _all([exists[0][i], exists[1][j]]) if exists is not None else True
            if inside is True:
                return elements.read(self.image, place)
            zero = elements.spread(arith.constant(self.kind, 0.0))
            if inside is False:
                return zero
            branch = scf.IfOp(inside, [zero.type], has_else=True)
            with ir.InsertionPoint(branch.then_block):
                scf.yield_([elements.read(self.image, place)])
            with ir.InsertionPoint(branch.else_block):
                scf.yield_([zero])
            return branch.results[0]

        def channels(elements: Elements, first: Index) -> None:
            matrix = self.transforms.image
            turned: list[list[ir.Value]] = []
            for j in range(self.points):
                turned.append(self.maps.apply(matrix, [pixel(elements, first, i, j) for i in range(self.points)]))
            place = add(mul(number, self.shape.channels), first)
            for i in range(self.points):
                for j, v in enumerate(self.maps.apply(matrix, [column[i] for column in turned])):
                    elements.store(v, self.transformed, [Place(i * self.points + j), Place(place, 1)])

        self._vectors(self.shape.channels, channels)

    def _vectors(self, count: Index, body: Callable[[Elements, Index], None]) -> None:
        """Vectors along a dim, the last one masked."""
        for_each(div(count, self.lanes), 1, lambda i: body(Elements(self.lanes), mul(i, self.lanes)))
        left = rem(count, self.lanes)
        if isinstance(left, int) and left == 0:
            return

        def tail() -> None:
            mask = vector.create_mask(ir.VectorType.get([self.lanes], ir.IntegerType.get_signless(1)), [value(left)])
            body(Elements(self.lanes, mask, left), mul(div(count, self.lanes), self.lanes))

        if isinstance(left, int):
            tail()
        else:
            if_else(arith.cmpi(arith.CmpIPredicate.ne, left, value(0)), tail, None)

    # Products -----------------------------------------------------------------------------------------------------

    def _multiply_all(self) -> None:
        """The products of all tiles and filters of the block at all points."""
        count = ceil_div(self.sizes[self.filter_loop], self.panel)
        if not self.stages:
            for_each(
                self.points**2,
                1,
                lambda point: self._heights(lambda height, tiles: self._panels(point, count, height, tiles)),
            )
            return
        tiles = product(self.blocks)
        together = 2 if isinstance(tiles, int) and tiles <= _LOW else 1
        channels = self.shape.channels
        most = max(1, _STAGED_BYTES // (4 * self.points**2 * self.panel * together))
        self.chunk = -(-channels // -(-channels // most))
        self.staged = self._buffer(together * self.points**2, self.chunk * self.panel + _CACHE_LINE)
        if self.chunk < channels:
            for_each(self.points**2, 1, self._clear)

        def group(number: int) -> Callable[[Index], None]:
            return lambda panel: for_each(
                channels, self.chunk, lambda start: self._multiply_staged(panel, number, start)
            )

        self._in_groups(count, together, group)

    def _in_groups(self, count: Index, together: int, group: Callable[[int], Callable[[Index], None]]) -> None:
        whole = mul(div(count, together), together)
        for_each(whole, together, group(together))
        if together > 1:
            for_each(sub(count, whole), 1, lambda i: group(1)(add(whole, i)))

    def _panels(
        self, point: Index, count: Index, height: int, tiles: Callable[[Callable[[Index, int], None]], None]
    ) -> None:
        """All panels at one point, with the weights as they lie in memory."""
        first = div(self.starts[self.filter_loop], self.panel)

        def group(number: int) -> Callable[[Index], None]:
            def body(panel: Index) -> None:
                def weights(p: int, depth: Index) -> ir.Value:
                    return self._weights(Elements(self.panel), point, add(first, add(panel, p)), depth, 0)

                tiles(
                    lambda row, rows: self._register_tile(
                        point, row, rows, panel, number, weights, 0, self.shape.channels
                    )
                )

            return body

        self._in_groups(count, 2 if height <= _LOW else 1, group)

    def _weights(self, elements: Elements, matrix: Index, panel: Index, channel: Index, filter_: int) -> ir.Value:
        group = [Place(self.starts[3])] if self.grouped else []
        return elements.read(self.weights, [*group, Place(matrix), Place(panel), Place(channel), Place(filter_, 1)])

    def _clear(self, point: Index) -> None:
        """Zeros for sums over several chunks of channels."""
        zero = self.columns.spread(arith.constant(self.kind, 0.0))
        length = mul(product(self.blocks), self.width)
        for_each(length, self.lanes, lambda i: self.columns.store(zero, self.products, [Place(point), Place(i, 1)]))

    def _multiply_staged(self, panel: Index, number: int, start: Index) -> None:
        """Some panels and a chunk of channels: their weights are transformed, then multiplied at all points."""
        channels = self.shape.channels
        count = smaller(self.chunk, sub(channels, start)) if channels % self.chunk else self.chunk
        first = div(self.starts[self.filter_loop], self.panel)
        for p in range(number):
            for_each(count, 1, lambda c, p=p: self._stage(p, add(first, add(panel, p)), start, c))

        def multiply(point: Index) -> None:
            def weights(p: int, depth: Index) -> ir.Value:
                place = [Place(add(p * self.points**2, point)), Place(mul(depth, self.panel), 1)]
                return Elements(self.panel).load(self.staged, place)

            def tile(row: Index, rows: int) -> None:
                self._register_tile(point, row, rows, panel, number, weights, start, count)

            self._heights(lambda _, tiles: tiles(tile))

        for_each(self.points**2, 1, multiply)

    def _stage(self, p: int, panel: Index, start: Index, c: Index) -> None:
        """The weights of one panel and channel, transformed."""
        window, matrix = self.shape.window, self.transforms.weights
        for f in range(0, self.panel, self.lanes):
            turned: list[list[ir.Value]] = []
            for j in range(window):
                numbers = [i * window + j for i in range(window)]
                column = [self._weights(self.columns, number, panel, add(start, c), f) for number in numbers]
                turned.append(self.maps.apply(matrix, column))
            for i in range(self.points):
                for j, v in enumerate(self.maps.apply(matrix, [column[i] for column in turned])):
                    point = p * self.points**2 + i * self.points + j
                    self.columns.store(v, self.staged, [Place(point), Place(add(mul(c, self.panel), f), 1)])

    def _heights(self, run: Callable[[int, Callable[[Callable[[Index, int], None]], None]], None]) -> None:
        """Calls `run` with a height of register tiles and a loop over the tiles of about that height."""
        tiles = product(self.blocks)
        if not isinstance(tiles, int):
            self._dynamic_heights(tiles, self.height, run)
            return
        high, more, fewer = even_heights(tiles, self.height)

        def static(tile: Callable[[Index, int], None]) -> None:
            for_each(more, 1, lambda i: tile(mul(i, high), high))
            for_each(fewer, 1, lambda i: tile(add(more * high, mul(i, high - 1)), high - 1))

        run(high, static)

    def _dynamic_heights(
        self,
        tiles: ir.Value,
        height: int,
        run: Callable[[int, Callable[[Callable[[Index, int], None]], None]], None],
    ) -> None:
        """The largest height that fits; what is left over takes lower tiles."""

        def in_order(tile: Callable[[Index, int], None]) -> None:
            done: Index = 0
            for rows in (height, height // 2, 1):
                left = sub(tiles, done)
                for_each(div(left, rows), 1, lambda i, done=done, rows=rows: tile(add(done, mul(i, rows)), rows))
                done = add(done, mul(div(left, rows), rows))

        run(height, in_order)

    def _register_tile(
        self,
        point: Index,
        row: Index,
        rows: int,
        panel: Index,
        panels: int,
        weights: Callable[[int, Index], ir.Value],
        start: Index,
        count: Index,
    ) -> None:
        """`rows` tiles of the image by `panels` panels of filters, over `count` channels."""
        elements = Elements(self.panel)

        def place(r: int, p: int) -> list[Place]:
            return [Place(point), Place(add(mul(add(row, r), self.width), mul(add(panel, p), self.panel)), 1)]

        zero = elements.spread(arith.constant(self.kind, 0.0))
        adds = self.stages and self.chunk < self.shape.channels
        tile = [(r, p) for r in range(rows) for p in range(panels)]
        loop = scf.ForOp(
            value(0),
            value(count),
            value(1),
            [elements.load(self.products, place(*at)) if adds else zero for at in tile],
        )
        totals: list[ir.Value] = list(loop.results)
        with ir.InsertionPoint(loop.body):
            depth = loop.induction_variable
            sums: list[ir.Value] = list(loop.inner_iter_args)
            right = [weights(p, depth) for p in range(panels)]
            for r in range(rows):
                at = add(mul(add(row, r), self.shape.channels), add(start, depth))
                left = elements.spread(memref.load(self.transformed, [value(point), value(at)]))
                for p in range(panels):
                    sums[r * panels + p] = self._multiply_add(left, right[p], sums[r * panels + p])
            scf.yield_(sums)
        for total, at in zip(totals, tile, strict=True):
            elements.store(total, self.products, place(*at))

    def _multiply_add(self, left: ir.Value, right: ir.Value, total: ir.Value) -> ir.Value:
        return vector.fma(left, right, total) if self.target.has_fma else arith.addf(total, arith.mulf(left, right))

    # Result -------------------------------------------------------------------------------------------------------

    def _transform_result(self, number: Index, at: tuple[Index, Index, Index]) -> None:
        left: list[Index] = [sub(self.extents[dim], at[dim]) for dim in (1, 2)]
        if not self.ragged:
            self._result_tile(number, at, None if self.repeats else (self.tile, self.tile))
            return
        counts = smaller(self.tile, left[0]), smaller(self.tile, left[1])
        if not self.repeats:
            self._result_tile(number, at, counts)
            return
        whole = _all([_at_least(rest, self.tile) for rest in left])
        if isinstance(whole, bool):
            self._result_tile(number, at, None if whole else counts)
        else:
            if_else(
                whole,
                lambda: self._result_tile(number, at, None),
                lambda: self._result_tile(number, at, counts),
            )

    def _result_tile(self, number: Index, at: tuple[Index, Index, Index], counts: tuple[Index, Index] | None) -> None:
        """All filters of one tile; with `counts` of rows and columns a loop goes over those results that exist."""
        together = any(output.order[-1] == 2 for output in self.outputs)  # registers hold a tile to be turned around

        def filters(elements: Elements, first: Index) -> None:
            matrix = self.transforms.result
            place = add(mul(number, self.width), first)
            turned: list[list[ir.Value]] = []
            for j in range(self.points):
                numbers = [i * self.points + j for i in range(self.points)]
                column = [self.columns.load(self.products, [Place(n), Place(place, 1)]) for n in numbers]
                turned.append(self.maps.apply(matrix, column))
            rows: list[list[ir.Value]] = []
            for i in range(self.tile):
                row = self.maps.apply(matrix, [column[i] for column in turned])
                rows.append(row)
                for j, v in enumerate(row if counts is not None else []):
                    assert self.corner is not None
                    vector.store(v, self.corner, [value(i * self.tile + j), value(0)])
                if counts is None and not together:
                    self._finish([row], at, i, 0, elements, first)
            if counts is None:
                if together:
                    self._finish(rows, at, 0, 0, elements, first)
                return
            down, along = counts
            stored = self._finish_stored
            for_each(down, 1, lambda i: for_each(along, 1, lambda j: stored(at, i, j, elements, first)))

        self._vectors(self.sizes[self.filter_loop], filters)

    def _finish_stored(
        self, at: tuple[Index, Index, Index], i: Index, j: Index, elements: Elements, first: Index
    ) -> None:
        assert self.corner is not None
        number = add(mul(i, self.tile), j)
        total = self.columns.load(self.corner, [Place(number), Place(0, 1)])
        self._finish([[total]], at, i, j, elements, first)

    def _finish(
        self,
        rows: Sequence[Sequence[ir.Value]],
        at: tuple[Index, Index, Index],
        i: Index,
        j: Index,
        elements: Elements,
        first: Index,
    ) -> None:
        """What follows the convolution, and the stores, of rows of vectors of the result, the first one at (i, j)."""
        group = [Place(self.starts[3])] if self.grouped else []
        channel = Place(add(self.starts[self.filter_loop], first), 1)
        root = self.root.results[0]

        def places(row: int, column: int, output: Output) -> list[Place]:
            pixel = [Place(add(add(at[1], i), row)), Place(add(add(at[2], j), column))]
            result = [Place(at[0]), *pixel, *group, channel]
            return [result[d] for d in output.order]

        for output in self.outputs:
            runs: list[Run] = []
            element = structured_ops.element_type(output.tensor.type)
            turned = turns(len(rows[0]), places(0, 0, output), element) and output.order[-1] == 2
            for row, values in enumerate(rows):
                read: list[ir.Value] = []
                for column, total in enumerate(values):
                    known: Mapping[ir.Value, ir.Value] = {root: total}
                    finished, target = elements.knowing(known), places(row, column, output)
                    read.append(finished.read(output.tensor, target))
                    if not turned:
                        finished.store(read[-1], output.buffer, target)
                runs.append(Run(read, places(row, 0, output)))
            if turned:
                store_runs(runs, elements, output.buffer, 8 * self.target.vector_bytes // bit_width(element))


def _at_least(index: Index, least: int) -> ir.Value | bool:
    if isinstance(index, int):
        return index >= least
    return arith.cmpi(arith.CmpIPredicate.sge, index, value(least))


def _all(conditions: Sequence[ir.Value | bool]) -> ir.Value | bool:
    """Whether all conditions hold."""
    if any(condition is False for condition in conditions):
        return False
    combined: ir.Value | bool = True
    for condition in conditions:
        if not isinstance(condition, bool):
            combined = condition if isinstance(combined, bool) else arith.andi(combined, condition)
    return combined
