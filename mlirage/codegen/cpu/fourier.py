"""kind "fourier": linalgx.fourier in vectors; the stages of a row go back and forth between two buffers in the cache.

    for each workgroup:                          some rows, or some of the columns that lie side by side
      for each row (or vector of columns):
        first stage                              reads complex numbers, keeps real and imaginary parts apart
        the stages between                       from one buffer to the other
        last stage                               writes complex numbers

Stockham's form: the stage of radix r after transforms of length l turns [r, m, l] into [m, r, l],

    y[k, t, j] = Σ_a ω^(a·t) · (x[a, k, j] · w(a, j))

so that nothing is reversed. A row's vectors go along k in the first stage, whose results are interleaved, and along j
in the others. Columns are vectors of their own. Where a count is no multiple of the lanes, the last vector begins
earlier and makes some numbers twice, the same ones: stages do not change what they read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.arguments import contiguous_view
from mlirage.codegen.cpu.control_flow import for_each, if_else
from mlirage.codegen.cpu.index_math import Index, add, div, mul, rem, smaller, sub, value
from mlirage.codegen.linalgx.fourier import separate
from mlirage.codegen.small_transforms import Arithmetic, Parts, small_transform
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, memref, scf, vector

KIND = "fourier"
LLVM_UNROLLS = False

_WORKGROUP_ELEMENTS = 4096
# Floats between the parts of a buffer, whose elements would else lie in the same sets of the cache.
_APART = 48

Read = Callable[[Index, int], Parts]
Write = Callable[[Index, Parts], None]


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes entries of one linalgx.fourier between memory and memory."""
    op = _root(entry)
    if op is None:
        return None
    length = math.prod(_radices(op))
    outer, _, inner, *_ = (None if e == ir.ShapedType.get_dynamic_size() else e
                           for e in ir.RankedTensorType(op.results[0].type).shape)  # fmt: skip
    wanted = max(1, _WORKGROUP_ELEMENTS // length)
    tiles = [0, 0]
    if inner is None or inner > wanted:
        lanes = _lanes(op, target)
        tiles[1] = 1 if inner == 1 else max(1, wanted // lanes) * lanes
        if inner is not None and tiles[1] >= inner:
            tiles[1] = 0
    rows = max(1, wanted // (inner or wanted))
    if outer is None or outer > rows:
        tiles[0] = rows
    return op, Configuration(KIND, tuple(tiles))


def _root(entry: Entry) -> ir.Operation | None:
    found = [op for op in entry.walk() if op.name.startswith("linalgx.")]
    if len(found) != 1 or found[0].name != "linalgx.fourier":
        return None
    uses = [use.owner.operation for use in found[0].results[0].uses]
    if len(uses) != 1 or uses[0].name != "bufferization.materialize_in_destination":
        return None
    operands = list(found[0].operands)[:2]
    if any(isinstance(v.owner, ir.Block) or v.owner.operation.name != "bufferization.to_tensor" for v in operands):
        return None
    if any(0 in ir.RankedTensorType(v.type).shape for v in (*operands, found[0].results[0])):
        return None
    written = sum(op.name == "bufferization.materialize_in_destination" for op in entry.walk())
    return found[0] if written == 1 else None


def _radices(op: ir.Operation) -> list[int]:
    return [ir.IntegerAttr(r).value for r in ir.ArrayAttr(op.attributes["radices"])]


def _lanes(op: ir.Operation, target: CpuTarget) -> int:
    part = ir.RankedTensorType(op.operands[1].type).element_type
    return max(1, target.vector_bytes // (8 if isinstance(part, ir.F64Type) else 4))


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the op by the loops of the module docstring, on buffers."""
    _Kernel(entry, configuration, target).build()


class _Kernel:
    def __init__(self, entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
        op = _root(entry)
        assert op is not None, "configured as fourier"
        self.entry, self.op, self.tiles = entry, op, configuration.workgroup_tiles
        self.radices = _radices(op)
        self.length = math.prod(self.radices)
        self.inverse = bool(ir.IntegerAttr(op.attributes["inverse"]).value)
        self.pairs = ir.IntegerAttr(op.attributes["pairs"]).value
        self.scale = ir.FloatAttr(op.attributes["scale"]).value
        self.lanes = _lanes(op, target)
        self.part = ir.RankedTensorType(op.operands[1].type).element_type
        self.has_fma = target.has_fma

    def build(self) -> None:
        terminator = list(self.entry.function.entry_block.operations)[-1].operation
        write = next(op for op in self.entry.walk() if op.name == "bufferization.materialize_in_destination")
        source = self.op.operands[0].owner.operation.operands[0]  # pyright: ignore
        self.table: ir.Value = self.op.operands[1].owner.operation.operands[0]  # pyright: ignore
        target = write.operands[1]
        self.outer, self.inner = (_extent(source, d) for d in (0, 2))
        write.erase()
        self.op.erase()
        self._retype([source, target])
        with ir.InsertionPoint(terminator), terminator.location:
            self.source, self.target = self._flat(source), self._flat(target)
            self._distribute()

    def _retype(self, memories: Sequence[ir.Value]) -> None:
        """The bindings of complex numbers are ones of their parts."""
        for memory in memories:
            argument = _binding(memory)
            argument.set_type(ir.MemRefType.get([1], self.part))
        arguments = [a.type for a in self.entry.function.entry_block.arguments]
        results = ir.FunctionType(ir.TypeAttr(self.entry.operation.attributes["function_type"]).value).results
        self.entry.operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(arguments, results))

    def _flat(self, memory: ir.Value) -> ir.Value:
        """All parts that a binding holds, in one dim; what viewed it goes."""
        view = memory.owner.operation  # pyright: ignore
        argument = _binding(memory)
        for use in list(memory.uses):
            use.owner.operation.erase()
        view.erase()
        unbounded = value(1 << 48)  # a view, not an allocation: nothing checks it
        return contiguous_view(argument, ir.MemRefType.get([ir.ShapedType.get_dynamic_size()], self.part), [unbounded])

    def _distribute(self) -> None:
        extents = (self.outer, self.inner)
        loops = [loop for loop, tile in enumerate(self.tiles) if tile]
        starts: list[Index] = [0, 0]
        sizes: list[Index] = list(extents)
        if not loops:
            self._workgroup(starts, sizes)
            return
        forall = scf.ForallOp([0] * len(loops), [extents[n] for n in loops], [self.tiles[n] for n in loops])
        with ir.InsertionPoint(forall.body):
            for n, start in zip(loops, forall.induction_variables, strict=True):
                starts[n] = start
                whole, tile = extents[n], self.tiles[n]
                even = tile == 1 or (isinstance(whole, int) and whole % tile == 0)
                sizes[n] = tile if even else smaller(tile, sub(whole, start))
            self._workgroup(starts, sizes)
            scf.InParallelOp()

    def _workgroup(self, starts: Sequence[Index], sizes: Sequence[Index]) -> None:
        count = sizes[1]
        if self.inner == 1:
            row = _Rows(self)
            for_each(sizes[0], 1, lambda o: row.build(add(starts[0], o)))
            return
        known = self.inner if isinstance(self.inner, int) else 0
        wide = min(self.lanes, 1 << (known.bit_length() - 1)) if known else self.lanes

        def rows(lanes: int) -> None:
            columns = _Columns(self, lanes)

            def row(o: Index) -> None:
                _for_blocks(count, lanes, lambda i: columns.build(add(starts[0], o), add(starts[1], i)))

            for_each(sizes[0], 1, row)

        if known:
            rows(wide)
        else:
            enough = arith.cmpi(arith.CmpIPredicate.uge, value(self.inner), value(wide))
            if_else(enough, lambda: rows(wide), lambda: rows(1))

    # What rows and columns share ----------------------------------------------------------------------------------

    def arithmetic(self, lanes: int) -> Arithmetic:
        """Arithmetic on vectors."""
        return Arithmetic(ir.VectorType.get([lanes], self.part), self.has_fma)

    def load(self, memory: ir.Value, place: Index, lanes: int) -> ir.Value:
        """Neighbours in a flat buffer."""
        return vector.load(ir.VectorType.get([lanes], self.part), memory, [value(place)])

    def load_complex(self, first: Index, lanes: int) -> Parts:
        """Complex numbers of the input that lie side by side; places count parts."""
        both = self.load(self.source, first, 2 * lanes)
        return tuple(vector.shuffle(both, both, list(range(p, 2 * lanes, 2))) for p in (0, 1))  # pyright: ignore

    def store_complex(self, z: Parts, first: Index) -> None:
        """Complex numbers of the result that lie side by side."""
        vector.store(_interleave(z), self.target, [value(first)])

    def buffer(self, lanes: int) -> list[ir.Value]:
        """Room for all numbers of a row, or of so many columns: real parts, imaginary ones."""
        kind = ir.MemRefType.get([self.length * lanes + _APART], self.part)
        return [memref.AllocOp(kind, [], [], alignment=64).memref for _ in range(2)]

    def roots(self, place: Index, lanes: int) -> Parts:
        """Numbers of the table."""
        kind = ir.VectorType.get([lanes], self.part)
        return tuple(vector.load(kind, self.table, [value(p), value(place)]) for p in (0, 1))  # pyright: ignore

    def table_starts(self) -> list[int]:
        """Where the numbers of every stage begin, and last those for pairs."""
        starts, done, place = [0], self.radices[0], 0
        for radix in self.radices[1:]:
            starts.append(place)
            place += (radix - 1) * done
            done *= radix
        return [*starts, place]


class _Rows:
    """Transforms along memory: vectors of neighbours of one row."""

    def __init__(self, kernel: _Kernel) -> None:
        self.kernel, self.length = kernel, kernel.length
        several = len(kernel.radices) > 1 or kernel.pairs
        self.buffers = [kernel.buffer(1) for _ in range(2)] if several else []
        self.starts = kernel.table_starts()
        pairs = kernel.pairs
        self.source_row = 2 * (self.length + (pairs == 2))
        self.target_row = {0: 2, 1: 2, 2: 2, 3: 4}[pairs] * self.length + 2 * (pairs == 1)

    def build(self, o: Index) -> None:
        """Row number `o`."""
        kernel, buffers = self.kernel, self.buffers
        source, target = mul(o, self.source_row), mul(o, self.target_row)

        def given(place: Index, lanes: int) -> Parts:
            return kernel.load_complex(add(source, mul(place, 2)), lanes)

        def made(place: Index, z: Parts) -> None:
            lanes = ir.VectorType(z[0].type).get_dim_size(0)
            scaled = kernel.arithmetic(lanes).scale(z, kernel.scale)
            kernel.store_complex(scaled, add(target, mul(place, 2)))

        now = 0
        read: Read = given
        if kernel.pairs == 2:
            self._join(given)
            read, now = self._reader(buffers[0]), 1
        done = 1
        for number, radix in enumerate(kernel.radices):
            last = number == len(kernel.radices) - 1 and kernel.pairs in (0, 2)
            write = made if last else self._writer(buffers[now])
            if number == 0:
                self._first(radix, read, write)
            else:
                self._stage(radix, done, self.starts[number], read, write)
            if not last:
                read, now = self._reader(buffers[now]), 1 - now
            done *= radix
        if kernel.pairs in (1, 3):
            self._separate(read, made)

    def _reader(self, buffer: Sequence[ir.Value]) -> Read:
        return lambda place, lanes: tuple(self.kernel.load(b, place, lanes) for b in buffer)  # pyright: ignore

    def _writer(self, buffer: Sequence[ir.Value]) -> Write:
        def write(place: Index, z: Parts) -> None:
            for part, memory in zip(z, buffer, strict=True):
                vector.store(part, memory, [value(place)])

        return write

    def _width(self, count: int) -> int:
        """Lanes for so many numbers side by side."""
        return min(self.kernel.lanes, 1 << (count.bit_length() - 1))

    def _first(self, radix: int, read: Read, write: Write) -> None:
        rest = self.length // radix
        lanes = self._width(rest)
        on = self.kernel.arithmetic(lanes)

        def block(k: Index) -> None:
            x = [read(add(k, a * rest), lanes) for a in range(radix)]
            y = small_transform(x, self.kernel.inverse, on)
            merged = [_merge([z[p] for z in y]) for p in (0, 1)]
            for u, parts in enumerate(zip(*merged, strict=True)):
                write(add(mul(k, radix), u * lanes), parts)

        _for_blocks(rest, lanes, block)

    def _stage(self, radix: int, done: int, table: int, read: Read, write: Write) -> None:
        rest = self.length // (radix * done)
        lanes = self._width(done)
        on = self.kernel.arithmetic(lanes)

        def block(j: Index) -> None:
            roots = [self.kernel.roots(add(j, table + a * done), lanes) for a in range(radix - 1)]

            def step(k: Index) -> None:
                x = [read(add(add(mul(k, done), j), a * rest * done), lanes) for a in range(radix)]
                x = [x[0], *(on.multiply(z, w) for z, w in zip(x[1:], roots, strict=True))]
                for t, z in enumerate(small_transform(x, self.kernel.inverse, on)):
                    write(add(add(mul(k, radix * done), j), t * done), z)

            for_each(rest, 1, step)

        _for_blocks(done, lanes, block)

    def _join(self, given: Read) -> None:
        """What an inverse transform to pairs of real numbers starts from, to the first buffer."""
        kernel, length = self.kernel, self.length
        write = self._writer(self.buffers[0])
        # the parts of the first and last coefficient that a real signal does not have are not looked at
        x, y = given(0, 1)[0], given(length, 1)[0]
        write(0, (arith.addf(x, y), arith.subf(x, y)))

        def block(k: Index, lanes: int) -> None:
            on = kernel.arithmetic(lanes)
            opposite = sub(length + 1 - lanes, k)
            x = given(k, lanes)
            y = tuple(map(_reverse, given(opposite, lanes)))
            total = arith.addf(x[0], y[0]), arith.subf(x[1], y[1])
            difference = arith.subf(x[0], y[0]), arith.addf(x[1], y[1])
            turned = on.multiply(difference, kernel.roots(add(k, self.starts[-1]), lanes))
            write(k, (arith.subf(total[0], turned[1]), arith.addf(total[1], turned[0])))
            low, high = arith.addf(total[0], turned[1]), arith.subf(turned[0], total[1])
            write(opposite, (_reverse(low), _reverse(high)))

        self._for_halves(block)

    def _separate(self, read: Read, made: Write) -> None:
        """The coefficients of real numbers from those of their pairs."""
        kernel, length = self.kernel, self.length
        one = kernel.arithmetic(1)
        zero = one.constant(0.0)
        real, imaginary = read(0, 1)
        made(0, (arith.addf(real, imaginary), zero))
        made(length, (arith.subf(real, imaginary), zero))

        def block(k: Index, lanes: int) -> None:
            on = kernel.arithmetic(lanes)
            opposite = sub(length + 1 - lanes, k)
            y: Parts = tuple(map(_reverse, read(opposite, lanes)))  # pyright: ignore
            low, high = separate(read(k, lanes), y, kernel.roots(add(k, self.starts[-1]), lanes), on)
            made(k, low)
            made(opposite, (_reverse(high[0]), _reverse(high[1])))
            if kernel.pairs == 3:
                made(sub(2 * length + 1 - lanes, k), (_reverse(low[0]), arith.negf(_reverse(low[1]))))
                made(add(k, length), (high[0], arith.negf(high[1])))

        self._for_halves(block)

    def _for_halves(self, block: Callable[[Index, int], None]) -> None:
        """`block(k, lanes)` for all k from 1 to half the length."""
        count = self.length // 2
        if count:
            lanes = self._width(count)
            _for_blocks(count, lanes, lambda k: block(add(k, 1), lanes))


class _Columns:
    """Transforms across memory: vectors of so many neighbouring columns."""

    def __init__(self, kernel: _Kernel, lanes: int) -> None:
        self.kernel, self.lanes, self.length = kernel, lanes, kernel.length
        self.buffers = [kernel.buffer(lanes) for _ in range(2)] if len(kernel.radices) > 1 else []
        self.on = kernel.arithmetic(lanes)

    def build(self, o: Index, i: Index) -> None:
        """Columns i, i + 1, … of block `o`."""
        kernel, lanes, on = self.kernel, self.lanes, self.on
        starts = kernel.table_starts()
        first = mul(o, self.length)

        def place(k: Index) -> Index:
            return mul(add(mul(add(first, k), kernel.inner), i), 2)

        now, done = 0, 1
        for number, radix in enumerate(kernel.radices):
            rest = self.length // (radix * done)
            source = None if number == 0 else self.buffers[1 - now]
            target = None if number == len(kernel.radices) - 1 else self.buffers[now]

            def read(k: Index, source: Sequence[ir.Value] | None = source) -> Parts:
                if source is None:
                    return kernel.load_complex(place(k), lanes)
                return tuple(kernel.load(b, mul(k, lanes), lanes) for b in source)  # pyright: ignore

            def write(k: Index, z: Parts, target: Sequence[ir.Value] | None = target) -> None:
                if target is None:
                    kernel.store_complex(on.scale(z, kernel.scale), place(k))
                    return
                for part, memory in zip(z, target, strict=True):
                    vector.store(part, memory, [value(mul(k, lanes))])

            def column(j: Index, radix: int = radix, done: int = done, rest: int = rest, number: int = number,
                       read: Callable[[Index], Parts] = read, write: Write = write) -> None:  # fmt: skip
                roots = [self._root(add(j, starts[number] + a * done)) for a in range(radix - 1)] if number else []

                def step(k: Index) -> None:
                    x = [read(add(add(mul(k, done), j), a * rest * done)) for a in range(radix)]
                    if number:
                        x = [x[0], *(on.multiply(z, w) for z, w in zip(x[1:], roots, strict=True))]
                    for t, z in enumerate(small_transform(x, kernel.inverse, on)):
                        write(add(add(mul(k, radix * done), j), t * done), z)

                for_each(rest, 1, step)

            for_each(done, 1, column)
            now, done = 1 - now, done * radix

    def _root(self, place: Index) -> Parts:
        """A number of the table in all lanes."""
        scalars = [memref.load(self.kernel.table, [value(p), value(place)]) for p in (0, 1)]
        return tuple(vector.broadcast(self.on.kind, s) for s in scalars)  # pyright: ignore


def _binding(memory: ir.Value) -> ir.BlockArgument:
    """The binding that a buffer is a view of."""
    owner = memory.owner
    assert not isinstance(owner, ir.Block)
    return ir.BlockArgument(owner.operation.operands[0])


def _extent(memory: ir.Value, dim: int) -> Index:
    """The extent of a view of a binding, without the view, which goes."""
    kind = ir.MemRefType(memory.type)
    if not kind.is_dynamic_dim(dim):
        return kind.get_dim_size(dim)
    operands = list(memory.owner.operation.operands)  # pyright: ignore
    return operands[1 + sum(kind.is_dynamic_dim(d) for d in range(dim))]


def _for_blocks(count: Index, lanes: int, body: Callable[[Index], None]) -> None:
    """`body` for every vector of at least `lanes` places; the last one may begin within the one before it."""
    whole = count if lanes == 1 else mul(div(count, lanes), lanes)
    for_each(whole, lanes, body)
    left = rem(count, lanes)
    if isinstance(left, int):
        if left:
            body(sub(count, lanes))
        return
    some = arith.cmpi(arith.CmpIPredicate.ne, left, value(0))
    if_else(some, lambda: body(sub(count, lanes)), None)


def _interleave(x: Sequence[ir.Value]) -> ir.Value:
    """x₀[0], x₁[0], x₀[1], x₁[1], …"""
    lanes = ir.VectorType(x[0].type).get_dim_size(0)
    return vector.shuffle(x[0], x[1], [p * lanes + lane for lane in range(lanes) for p in (0, 1)])


def _merge(x: Sequence[ir.Value]) -> list[ir.Value]:
    """x₀[0], x₁[0], x₂[0], … x₀[1], …, as vectors of the same size."""
    count, lanes = len(x), ir.VectorType(x[0].type).get_dim_size(0)
    if count & (count - 1) == 0:
        return _merge_pairs(x)
    merged: list[ir.Value] = []
    for u in range(count):
        places = [divmod(u * lanes + lane, count) for lane in range(lanes)]  # (lane, number) of what goes there
        number = places[0][1]
        out = vector.shuffle(x[number], x[number], [lane if n == number else 0 for lane, n in places])
        for number in dict.fromkeys(n for _, n in places[1:]):
            if number != places[0][1]:
                mask = [lanes + lane if n == number else at for at, (lane, n) in enumerate(places)]
                out = vector.shuffle(out, x[number], mask)
        merged.append(out)
    return merged


def _merge_pairs(x: Sequence[ir.Value]) -> list[ir.Value]:
    """The same of a power of two of vectors, by halves."""
    if len(x) == 1:
        return list(x)
    lanes = ir.VectorType(x[0].type).get_dim_size(0)
    even, odd = _merge_pairs(x[::2]), _merge_pairs(x[1::2])
    merged: list[ir.Value] = []
    for a, b in zip(even, odd, strict=True):
        for half in (0, 1):
            places = [half * lanes + at for at in range(lanes)]
            merged.append(vector.shuffle(a, b, [at // 2 + at % 2 * lanes for at in places]))
    return merged


def _reverse(x: ir.Value) -> ir.Value:
    lanes = ir.VectorType(x.type).get_dim_size(0)
    return vector.shuffle(x, x, list(reversed(range(lanes))))
