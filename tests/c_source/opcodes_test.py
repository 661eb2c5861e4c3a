"""Every instruction of the virtual machine as C: the same bits as from the interpreter, for awkward operands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage.c_source import emit_c_source
from mlirage.c_source.expressions import EXPRESSIONS, LOADS, STORES
from mlirage.mlir import ir, new_context
from mlirage.passes import run_passes
from mlirage.program import Program
from mlirage.vm import PIPELINE
from mlirage.vm.dialect import NOT_OPS
from mlirage.vm.encode import encode_module
from mlirage.vm.opcodes import opcodes
from tests.c_source.c_program import CLANG, GCC, GCC_SANITIZED, CProgram

_TYPES = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}
_DTYPES: dict[str, Any] = {"i": np.uint32, "I": np.uint64, "f": np.float32, "F": np.float64}
# Instructions with scalar operands alone; those of any type are tried as f32.
SCALAR = [
    opcode
    for opcode in opcodes().values()
    if opcode.name in EXPRESSIONS and "r" not in opcode.reads + opcode.writes and opcode.name not in NOT_OPS
]
# The rest of the table, and where it is tested: whole programs of output_formats_test.py and buffers_test below.
ELSEWHERE = {
    "const_32", "const_64", "null_ref", "rodata", "select_ref", "is_null", "global_load", "global_store",
    "global_load_ref", "global_store_ref", "assert", "buffer_alloc", "buffer_clone", "buffer_slice", "buffer_length",
    "buffer_compare", "buffer_fill", "buffer_copy",
}  # fmt: skip


def _letters(name: str, side: str) -> str:
    opcode = opcodes()[name]
    return (opcode.reads if side == "reads" else opcode.writes).replace("x", "f")


def _function(name: str) -> str:
    """`name` over arrays: out[i] = op(a[i], b[i], …)."""
    reads, (write,) = _letters(name, "reads"), _letters(name, "writes")
    sizes = {"i": 4, "f": 4, "I": 8, "F": 8}
    arguments = [
        {"name": "abc"[k], "dtype": np.dtype(_DTYPES[kind]).name, "shape": [None]} for k, kind in enumerate(reads)
    ]
    results = [{"name": "out", "dtype": np.dtype(_DTYPES[write]).name, "shape": [None]}]
    signature = json.dumps({"arguments": arguments, "results": results}).replace('"', '\\"')
    lines = [
        f"func.func public @{name}({', '.join(f'%v{k}: !hal.buffer_view' for k in range(len(reads)))}) -> "
        f'!hal.buffer_view attributes {{mlirage.signature = "{signature}"}} {{',
        "  %zero = arith.constant 0 : index",
        "  %one = arith.constant 1 : index",
        f"  %size = arith.constant {sizes[write]} : index",
        "  %axis = arith.constant 0 : i32",
        f"  %type = arith.constant {mlirage_type(write)} : i32",
        '  %n = "hal_inline.buffer_view_dim"(%v0, %axis) : (!hal.buffer_view, i32) -> index',
        "  %length = arith.muli %n, %size : index",
        '  %out = "hal_inline.buffer_allocate"(%length) : (index) -> !util.buffer',
    ]
    for k in range(len(reads)):
        lines.append(f'  %b{k} = "hal_inline.buffer_view_buffer"(%v{k}) : (!hal.buffer_view) -> !util.buffer')
    lines.append("  scf.for %i = %zero to %n step %one {")
    for k, kind in enumerate(reads):
        lines += [
            f"    %s{k} = arith.constant {sizes[kind]} : index",
            f"    %o{k} = arith.muli %i, %s{k} : index",
            f'    %x{k} = "util.buffer_load"(%b{k}, %o{k}) : (!util.buffer, index) -> {_TYPES[kind]}',
        ]
    types = ", ".join(_TYPES[kind] for kind in reads)
    lines += [
        f'    %y = "vm.{name}"({", ".join(f"%x{k}" for k in range(len(reads)))}) : ({types}) -> {_TYPES[write]}',
        "    %at = arith.muli %i, %size : index",
        f'    "util.buffer_store"(%y, %out, %at) : ({_TYPES[write]}, !util.buffer, index) -> ()',
        "  }",
        '  %view = "hal_inline.buffer_view_create"(%out, %zero, %length, %type, %n)'
        " : (!util.buffer, index, index, i32, index) -> !hal.buffer_view",
        "  return %view : !hal.buffer_view",
        "}",
    ]
    return "\n".join(lines)


def mlirage_type(kind: str) -> int:
    from mlirage.runtime.arrays import ELEMENT_TYPES

    return ELEMENT_TYPES[np.dtype(_DTYPES[kind]).name]


def _values(kind: str, seed: int, count: int = 300) -> np.ndarray[Any, Any]:
    """Random bits, small numbers, and the special ones."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(_DTYPES[kind])
    high = np.iinfo(f"u{dtype.itemsize}").max
    bits = random.integers(0, high, count, np.uint64, endpoint=True)
    values = bits.astype(f"u{dtype.itemsize}").view(dtype)
    if kind in "iI":
        top = 8 * dtype.itemsize
        special = [*range(8), 31, 32, 33, 63, 64, 128, 255, 0x8000]
        special += [(1 << top) - 1, 1 << top - 1, (1 << top - 1) - 1]
        small = random.integers(0, 70, count // 3)
    else:
        special = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-45, 65504.0, 65520.0, 6e-8]
        special += [2.0**31, -(2.0**31), 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e-310, 4503599627370497.5]
        small = random.standard_normal(count // 3) * 100
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values[: len(special)] = np.array(special).astype(dtype)
        values[-(count // 3) :] = small.astype(dtype)
    return random.permutation(values)


@pytest.fixture(scope="module")
def program() -> Program:
    text = "\n".join(_function(opcode.name) for opcode in SCALAR)
    with new_context():
        module = ir.Module.parse(f"module {{ {text} }}")
    program = Program(module)
    run_passes(program, PIPELINE)
    return program


@pytest.mark.parametrize("command", [GCC, GCC_SANITIZED, CLANG], ids=["gcc", "sanitized", "clang"])
def test_scalar_instructions(command: tuple[str, ...], program: Program, tmp_path: Path) -> None:
    interpreted = mlirage.load(encode_module(program), device="local-sync")
    compiled = CProgram((emit_c_source(program, "model"), program), tmp_path, command)
    calls: list[tuple[str, list[Any]]] = []
    for number, opcode in enumerate(SCALAR):
        inputs = [_values(kind, 3 * number + k) for k, kind in enumerate(_letters(opcode.name, "reads"))]
        if opcode.name.startswith(("div_", "rem_")) and opcode.reads[0] in "iI":
            inputs[1][inputs[1] == 0] = 5
        calls.append((opcode.name, inputs))
    for (name, inputs), got in zip(calls, compiled.run(calls), strict=True):
        (want,) = getattr(interpreted, name)(*inputs)
        assert not isinstance(got, int), name
        if want.dtype.kind == "f":  # any NaN is a NaN
            np.testing.assert_array_equal(got[0], want, err_msg=name)
            np.testing.assert_array_equal(np.signbit(got[0])[~np.isnan(want)], np.signbit(want)[~np.isnan(want)], name)
        else:
            np.testing.assert_array_equal(got[0], want, err_msg=name)


def test_division_by_zero_is_a_status(program: Program, tmp_path: Path) -> None:
    compiled = CProgram((emit_c_source(program, "model"), program), tmp_path)
    zero, ones = np.zeros(2, np.uint64), np.ones(2, np.uint64)
    good = (ones, [np.ones(2, np.uint64)])
    results = compiled.run([("div_s_i64", [ones, zero]), ("rem_u_i64", [ones, zero]), ("div_u_i64", [ones, good[0]])])
    assert results[:2] == [12, 12]
    np.testing.assert_array_equal(results[2][0], ones)  # type: ignore[index]


def test_too_little_memory_is_a_status(program: Program, tmp_path: Path) -> None:
    compiled = CProgram((emit_c_source(program, "model"), program), tmp_path)
    values = _values("I", 0)
    for memory in (0, 16, 40, 64, 1000, 2400):
        assert compiled.run([("add_i64", [values, values])] * 2, memory) == [2, 2]
    # What a call frees the next one uses.
    results = compiled.run([("add_i64", [values, values])] * 50, 4000)
    assert all(not isinstance(result, int) for result in results)


def test_every_instruction_has_a_form() -> None:
    known = {*EXPRESSIONS, *LOADS, *STORES, *ELSEWHERE, *NOT_OPS}
    missing = {name for name in opcodes() if name not in known}
    assert not {name for name in missing if not name.startswith(("list_", "await", "yield", "import_", "buffer_"))}
