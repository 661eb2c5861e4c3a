"""Constants in the slab: alignment, sharing, splats, packed elements; and what leaves the table."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from mlirage.errors import CompileError
from mlirage.mlir import ir, new_context, walk
from mlirage.passes import run_passes
from mlirage.program import Array, Program
from mlirage.stream.pack_constants import CONSTANTS, SPLATS, pack_constants, stored_bytes


def _pack(arrays: dict[str, Array]) -> tuple[Program, list[tuple[str, int, int]]]:
    """The program after the pass and, per array in order, where it lies: (slab, offset, length)."""
    lines = [
        f"%s{i} = arith.constant {stored_bytes(a).size} : index\n"
        f'%v{i} = "stream.async_constant"(%s{i}) {{name = "{name}"}} : (index) -> !stream.resource<"*">\n'
        f'%r{i} = "stream.async_clone"(%v{i}, %s{i}) : (!stream.resource<"*">, index) -> !stream.resource<"*">'
        for i, (name, a) in enumerate(arrays.items())
    ]
    text = "func.func @main() {\n" + "\n".join(lines) + "\nreturn }"
    program = Program(ir.Module.parse(text, new_context()), {**arrays, "unused": np.zeros(3)})
    run_passes(program, (pack_constants,))
    places = []
    for op in walk(program.module.operation):
        if op.name == "stream.resource_subview":
            slab = ir.FlatSymbolRefAttr(op.operands[0].owner.attributes["symbol"]).value
            offset, length = (ir.IntegerAttr(op.operands[n].owner.attributes["value"]).value for n in (2, 3))
            places.append((slab, offset, length))
    return program, places


def test_slab_holds_every_array_once() -> None:
    arrays: dict[str, Array] = {
        "a": np.arange(5, dtype=np.float32),
        "b": np.arange(3, dtype=np.int8),
        "same_as_a": np.arange(5, dtype=np.float32),
        "half": np.array([1.5, -2], ml_dtypes.bfloat16),
        "flags": np.array([True, False, True]),
        "empty": np.zeros((0, 4), np.float32),
        "nibbles": np.array([1, -2, 7], ml_dtypes.int4),
        "transposed": np.arange(6, dtype=np.int16).reshape(2, 3).T,
    }
    program, places = _pack(arrays)
    assert places[0] == places[2]
    assert set(program.constants) == {CONSTANTS}
    slab = program.constants[CONSTANTS]
    for (name, array), (where, offset, length) in zip(arrays.items(), places, strict=True):
        assert where == CONSTANTS
        assert offset % 64 == 0
        expected = bytes([0xE1, 0x07]) if name == "nibbles" else np.ascontiguousarray(array).tobytes()
        assert slab[offset : offset + length].tobytes() == expected, name


def test_splats_share_the_range_of_their_pattern() -> None:
    arrays: dict[str, Array] = {
        "zeros": np.broadcast_to(np.float32(0), (4, 4)),
        "more_zeros": np.broadcast_to(np.int64(0), (100,)),
        "ones": np.broadcast_to(np.float32(1), (7,)),
        "wide": np.broadcast_to(np.complex128(1 + 2j), (3,)),
        "nibbles": np.broadcast_to(np.asarray(3, ml_dtypes.int4), (5,)),
    }
    program, places = _pack(arrays)
    assert [where for where, _, _ in places] == [SPLATS, SPLATS, SPLATS, CONSTANTS, SPLATS]
    assert places[0][1] == places[1][1]
    assert len({offset for where, offset, _ in places if where == SPLATS}) == 3
    assert program.constants[CONSTANTS].size == 64  # the pattern of complex128 is longer than fills can be
    fills = [op for op in walk(program.module.operation) if op.name == "stream.async_fill"]
    lengths = [ir.IntegerAttr(op.operands[4].owner.attributes["value"]).value for op in fills]
    assert lengths == [800, 28, 3]


def test_wrong_size_is_an_error() -> None:
    text = """func.func @main() {
      %s = arith.constant 8 : index
      %v = "stream.async_constant"(%s) {name = "w"} : (index) -> !stream.resource<"*">
      return }"""
    program = Program(ir.Module.parse(text, new_context()), {"w": np.zeros(3, np.int8) + np.arange(3, dtype=np.int8)})
    with pytest.raises(CompileError, match="constant 'w' has 3 bytes where 8 are used"):
        run_passes(program, (pack_constants,))
