"""stream-pack-constants: all constants of the program in one slab.

    %w = stream.async_constant 4096 {name = "weights"}
      ─>
    util.global @__constants : !stream.resource<"constant">
    %slab = util.global_load @__constants
    %w = stream.resource_subview %slab[0 for 4096]

Constants lie at multiples of 64 bytes in the order of their first use; equal ones lie once. The array of the slab joins
the program's constants and those that it holds leave. The initializer gives the slab to the device as it lies in the
module file. Splats are no bytes of the file: each pattern is one range of a second slab, as long as the longest use of
the pattern, which the initializer fills.

With the option `parameters` the slab is a file of its own (mlirage/parameter_file.py): the attribute
`mlirage.parameters` of the module says what lies where in it. Each constant has a place then, equal or not: other files
may hold other values.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from mlirage.errors import CompileError
from mlirage.memory import FREED_AT_ONCE, release_freed, release_pages, zeroed_bytes
from mlirage.mlir import arith, ir, walk
from mlirage.parameter_file import Tensor, set_parameters, tensor_of
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat
from mlirage.stream import dialect as stream
from mlirage.stream.convert_globals import ensure_initializer
from mlirage.stream.index_math import index_constant, static_index
from mlirage.stream.packing import aligned
from mlirage.stream.storage import functions
from mlirage.util_dialect import GlobalLoadOp, GlobalOp, GlobalStoreOp

CONSTANTS = "__constants"
SPLATS = "__splats"


@dataclass
class _Slab:
    """Where things lie in a slab: content → (offset, length)."""

    ranges: dict[bytes, tuple[int, int]] = field(default_factory=dict[bytes, tuple[int, int]])
    size: int = 0

    def add(self, content: bytes, length: int) -> int:
        if content not in self.ranges:
            self.ranges[content] = (self.size, length)
            self.size += aligned(max(length, 1))  # what is empty has a place, too: a slab of nothing else must be
        return self.ranges[content][0]


@module_pass("stream-pack-constants")
def pack_constants(program: Program) -> None:
    """Moves every constant that functions use into a slab."""
    uses = [op for f in functions(program.module) for op in walk(f) if op.name == "stream.async_constant"]
    patterns: dict[bytes, int] = {}  # by pattern: the longest use
    for op in uses:
        array = _array(program, op)
        if (pattern := _splat_pattern(array)) is not None:
            patterns[pattern] = max(patterns.get(pattern, 0), _size(op))
    splats, constants = _Slab(), _Slab()
    for pattern, length in patterns.items():
        splats.add(pattern, length)
    external = bool(program.options.parameters)
    tensors: dict[str, Tensor] = {}
    pieces: dict[int, Array] = {}
    places: list[tuple[ir.Operation, str, int]] = []
    for op in uses:
        array = _array(program, op)
        pattern = _splat_pattern(array)
        if pattern is not None:
            places.append((op, SPLATS, splats.add(pattern, 0)))
            continue
        data = stored_bytes(array)
        name = ir.StringAttr(op.attributes["name"]).value
        if data.size != _size(op):
            raise CompileError(f"{op.location}: constant {name!r} has {data.size} bytes where {_size(op)} are used")
        content = name.encode() if external else hashlib.sha256(data.data).digest()
        offset = constants.add(content, data.size)
        if data.size:
            pieces.setdefault(offset, data)
            tensors.setdefault(name, tensor_of(name, offset, array, data.size))
        places.append((op, CONSTANTS, offset))
    array = data = None  # `pieces` alone keeps them from here on
    for op, slab, offset in places:
        _replace(op, slab, offset, constants.size if slab == CONSTANTS else splats.size)
    _drop_packed(program)
    if constants.size:
        program.constants[CONSTANTS] = _join(pieces, constants.size)
    _build_initializer(program, constants, splats)
    if external and tensors:
        set_parameters(program, CONSTANTS, list(tensors.values()))


def _array(program: Program, op: ir.Operation) -> Array:
    name = ir.StringAttr(op.attributes["name"]).value
    if name not in program.constants:
        raise CompileError(f"{op.location}: the program has no constant called {name!r}")
    return program.constants[name]


def _size(op: ir.Operation) -> int:
    size = static_index(op.opview.size)
    assert size is not None, "constants have static shapes"
    return size


def stored_bytes(array: Array) -> Array:
    """The bytes of an array as device code sees them: booleans are bytes, smaller elements packed, low bits first."""
    bits = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}.get(array.dtype.name)
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if bits is None:
        return flat
    per_byte = 8 // bits
    flat = np.pad(flat & ((1 << bits) - 1), (0, -flat.size % per_byte)).reshape(-1, per_byte)
    packed = np.zeros(len(flat), np.uint8)
    for position in range(per_byte):
        packed |= flat[:, position] << (bits * position)
    return packed


def _splat_pattern(array: Array) -> bytes | None:
    """The shortest pattern of 1, 2, 4 or 8 bytes that a splat repeats; None for other arrays."""
    if not is_splat(array):
        return None
    pattern = stored_bytes(array.reshape(-1)[:2]).tobytes()  # two elements: those below 8 bits fill a byte or repeat
    if array.dtype.name in ("int2", "uint2"):
        pattern = stored_bytes(np.repeat(array.reshape(-1)[:1], 4)).tobytes()
    for length in (1, 2, 4, 8):
        if len(pattern) % length == 0 and pattern == pattern[:length] * (len(pattern) // length):
            return pattern[:length]
    return None


def _join(pieces: dict[int, Array], size: int) -> Array:
    """The slab; `pieces` is used up, so that memory holds large constants once and not twice."""
    slab = zeroed_bytes(size)
    freed = 0
    for offset in list(pieces):
        data = pieces.pop(offset)
        slab[offset : offset + data.size] = data
        release_pages(data)
        freed += data.size
        del data
        if freed > FREED_AT_ONCE or (size > FREED_AT_ONCE and not pieces):
            release_freed()
            freed = 0
    return slab


def _replace(op: ir.Operation, slab: str, offset: int, slab_size: int) -> None:
    with ir.InsertionPoint(op), op.location:
        base = GlobalLoadOp(stream.resource_type(), ir.FlatSymbolRefAttr.get(slab)).result
        new = stream.ResourceSubviewOp(
            stream.resource_type(), base, index_constant(slab_size), index_constant(offset), op.opview.size
        )
    op.results[0].replace_all_uses_with(new.result)
    op.erase()


def _drop_packed(program: Program) -> None:
    """Keeps the constants that the module still names: messages and other read-only data."""
    named = {
        ir.StringAttr(op.attributes["name"]).value for op in walk(program.module.operation) if op.name == "util.rodata"
    }
    for name in [name for name in program.constants if name not in named]:
        del program.constants[name]


def _build_initializer(program: Program, constants: _Slab, splats: _Slab) -> None:
    if not constants.size and not splats.size:
        return
    entry = ensure_initializer(program.module).entry_block
    with ir.InsertionPoint.at_block_begin(entry), ir.Location.name("constants"):
        for symbol, slab in ((CONSTANTS, constants), (SPLATS, splats)):
            if not slab.size:
                continue
            with ir.InsertionPoint.at_block_begin(program.module.body):
                kind = ir.TypeAttr.get(stream.resource_type("constant"))
                GlobalOp(ir.StringAttr.get(symbol), kind, ir.BoolAttr.get(False))
            size = index_constant(slab.size)
            if slab is constants:
                value = stream.ResourceConstantOp(stream.resource_type(), size, ir.StringAttr.get(symbol)).result
            else:
                value = _fill_splats(slab, size)
            GlobalStoreOp(value, ir.FlatSymbolRefAttr.get(symbol))


def _fill_splats(slab: _Slab, size: ir.Value) -> ir.Value:
    value = stream.AsyncAllocaOp(stream.resource_type(), size).result
    for pattern, (offset, length) in slab.ranges.items():
        kind = ir.IntegerType.get_signless(8 * len(pattern))
        bits = int.from_bytes(pattern, "little", signed=True)
        scalar = arith.ConstantOp(kind, ir.IntegerAttr.get(kind, bits)).result  # pyright: ignore[reportArgumentType]
        value = stream.AsyncFillOp(
            stream.resource_type(), value, size, scalar, index_constant(offset), index_constant(length)
        ).result
    return value
