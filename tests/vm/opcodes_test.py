"""Every opcode, run by the C interpreter in both ways of dispatch, against numpy or Python."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from machine import Context, Failure, Library
from modules import make_module

from mlirage.module_file import ModuleFile
from mlirage.vm.opcodes import opcodes

INTEGERS = [0, 1, 2, 3, 5, 7, 31, 32, 33, 63, 64, 100, 255, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
            0x123456789, 2**63 - 1, 2**63, 2**64 - 1]  # fmt: skip
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 3.25, 1e-40, -1e-310, 1e10, -3e9, 4.3e9, 1e19, -1e19, 2e20,
          65504.0, 65520.0, 1e-7, math.inf, -math.inf, math.nan, math.pi]  # fmt: skip


def signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def truncated_division(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


INTEGER_ORACLES: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, w: a + b,
    "sub": lambda a, b, w: a - b,
    "mul": lambda a, b, w: a * b,
    "div_s": lambda a, b, w: truncated_division(signed(a, w), signed(b, w)),
    "div_u": lambda a, b, w: a // b,
    "rem_s": lambda a, b, w: signed(a, w) - signed(b, w) * truncated_division(signed(a, w), signed(b, w)),
    "rem_u": lambda a, b, w: a % b,
    "and": lambda a, b, w: a & b,
    "or": lambda a, b, w: a | b,
    "xor": lambda a, b, w: a ^ b,
    "shl": lambda a, b, w: a << b if b < w else 0,
    "shr_s": lambda a, b, w: signed(a, w) >> min(b, w),
    "shr_u": lambda a, b, w: a >> min(b, w),
    "min_s": lambda a, b, w: min(signed(a, w), signed(b, w)),
    "min_u": lambda a, b, w: min(a, b),
    "max_s": lambda a, b, w: max(signed(a, w), signed(b, w)),
    "max_u": lambda a, b, w: max(a, b),
    "clz": lambda a, b, w: w - a.bit_length(),
    "ctz": lambda a, b, w: (a & -a).bit_length() - 1 if a else w,
    "popcnt": lambda a, b, w: a.bit_count(),
    "eq": lambda a, b, w: a == b,
    "ne": lambda a, b, w: a != b,
    "lt_s": lambda a, b, w: signed(a, w) < signed(b, w),
    "lt_u": lambda a, b, w: a < b,
    "le_s": lambda a, b, w: signed(a, w) <= signed(b, w),
    "le_u": lambda a, b, w: a <= b,
}
FLOAT_ORACLES: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "rem": np.fmod, "neg": np.negative,
    "abs": np.abs, "copysign": np.copysign, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "round_even": np.rint, "sqrt": np.sqrt,
    "min": lambda a, b: np.minimum(a, b) if a != b or np.isnan(a) else (a if np.signbit(a) else b),
    "max": lambda a, b: np.maximum(a, b) if a != b or np.isnan(a) else (b if np.signbit(a) else a),
    "eq": np.equal, "lt": np.less, "le": np.less_equal,
}  # fmt: skip
INTEGER_CASES = [f"{name}_i{width}" for width in (32, 64) for name in INTEGER_ORACLES]
FLOAT_CASES = [f"{name}_f{width}" for width in (32, 64) for name in FLOAT_ORACLES]
CONVERSIONS = [
    "extend_s_i32_i64", "extend_u_i32_i64", "trunc_i64_i32", "extend_s_i8_i32", "extend_s_i16_i32", "f32_f64",
    "f64_f32", "f16_f32", "f32_f16", "bf16_f32", "f32_bf16", "bitcast_i32_f32", "bitcast_f32_i32", "bitcast_i64_f64",
    "bitcast_f64_i64",
    *(f"i{i}_f{f}_{s}" for i in (32, 64) for f in (32, 64) for s in "su"),
    *(f"f{f}_i{i}_{s}" for f in (32, 64) for i in (32, 64) for s in "su"),
]  # fmt: skip
# In interpreter_test.py.
OTHERS = {
    "branch", "branch_if", "switch", "call", "call_import", "import_resolved", "return", "fail", "assert", "const_32",
    "const_64", "const_64_short", "move", "move_ref", "null_ref", "rodata", "discard", "select", "select_ref",
    "is_null", "global_load", "global_store", "global_load_ref", "global_store_ref", "yield",
}  # fmt: skip
# In lists_and_buffers_test.py.
BUFFERS = {
    *(f"buffer_{name}" for name in ("alloc", "clone", "slice", "length", "compare", "fill", "copy")),
    *(f"buffer_load_{form}" for form in ("u8", "s8", "u16", "s16", "32", "64")),
    *(f"buffer_store_{width}" for width in (8, 16, 32, 64)),
}
LISTS = {
    *(f"list_{name}" for name in ("create", "size", "resize", "kind")),
    *(f"list_{way}_{form}" for way in ("get", "set") for form in ("i32", "i64", "f32", "f64", "ref")),
}


def module_of(code: str, convention: str) -> ModuleFile:
    """A module with one exported function `main`."""
    return make_module({"main": (convention, code)})


def test_every_opcode_is_tested() -> None:
    assert {*INTEGER_CASES, *FLOAT_CASES, *CONVERSIONS, *OTHERS, *BUFFERS, *LISTS} == set(opcodes())


@pytest.mark.parametrize("name", INTEGER_CASES)
def test_integer_opcode(library: Library, name: str) -> None:
    operation, _, width_text = name.rpartition("_i")
    width, letters = int(width_text), opcodes()[name].operands
    arity = len(opcodes()[name].reads)
    registers = ", ".join(f"s{i}" for i in range(arity))
    code = f"{name} {registers} -> s2\n return s2"
    context = Context(library, module_of(code, f"{letters[:arity]}_{letters[-1]}"))
    mask = (1 << width) - 1
    values = sorted({value & mask for value in INTEGERS})
    for a in values:
        for b in values if arity == 2 else [0]:
            operands = [a, b][:arity]
            if operation[:3] in ("div", "rem") and b == 0:
                with pytest.raises(Failure, match="DIVISION_BY_ZERO: integer division by zero\n  at main"):
                    context.call("main", *operands)
                continue
            expected = int(INTEGER_ORACLES[operation](a, b, width)) & mask
            assert context.call("main", *operands) == [expected], (name, a, b)


def bits(value: Any, width: int) -> int:
    return int(np.array(value, f"f{width // 8}").view(f"u{width // 8}"))


def same(got: int, expected: Any, width: int) -> bool:
    """Equal bits, or both NaN."""
    if np.isnan(expected):
        return bool(np.isnan(np.array(got, f"u{width // 8}").view(f"f{width // 8}")))
    return got == bits(expected, width)


@pytest.mark.parametrize("name", FLOAT_CASES)
def test_float_opcode(library: Library, name: str) -> None:
    operation, _, width_text = name.rpartition("_f")
    width, opcode = int(width_text), opcodes()[name]
    arity = len(opcode.reads)
    code = f"{name} {', '.join(f's{i}' for i in range(arity))} -> s2\n return s2"
    context = Context(library, module_of(code, opcode.operands))
    kind = np.float32 if width == 32 else np.float64
    with np.errstate(all="ignore"):
        values = [kind(value) for value in FLOATS]
        for a in values:
            for b in values if arity == 2 else [kind(0)]:
                operands = [a, b][:arity]
                expected = FLOAT_ORACLES[operation](*operands)
                (got,) = context.call("main", *(bits(value, width) for value in operands))
                if opcode.writes == "i":
                    assert got == int(expected), (name, a, b)
                else:
                    assert same(got, expected, width), (name, a, b)


def convert_oracle(name: str, slot: int) -> tuple[int, float | None]:
    """Expected bits of a conversion; or the float, where NaN may come out."""
    source, target = name.split("_")[-3:-1] if name.split("_")[-1] in "su" else name.split("_")[-2:]
    if name.startswith("extend_s"):
        width = {"extend_s_i8_i32": 8, "extend_s_i16_i32": 16}.get(name, 32)
        return signed(slot % (1 << width), width) % (1 << int(target[1:])), None
    if name.startswith(("extend_u", "trunc")):
        return slot % 2**32, None
    if name.startswith("bitcast"):
        return slot, None
    if source[0] == "i":
        width, is_signed = int(source[1:]), name.endswith("s")
        value = signed(slot % (1 << width), width) if is_signed else slot % (1 << width)
        result = np.array(value, f"{'i' if is_signed else 'u'}{width // 8}").astype(f"f{int(target[1:]) // 8}")
        return bits(result, int(target[1:])), None
    width = int(source.lstrip("bf"))
    if source == "bf16":
        value = struct.unpack("<f", struct.pack("<I", slot % 65536 << 16))[0]
    else:
        value = float(np.array(slot % (1 << width), f"u{width // 8}").view(f"f{width // 8}"))
    if target[0] == "i":
        width, is_signed = int(target[1:]), name.endswith("s")
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if is_signed else (0, (1 << width) - 1)
        if math.isnan(value):
            return 0, None
        whole = low if value == -math.inf else high if value == math.inf else int(value)
        return min(max(whole, low), high) % (1 << width), None
    if target == "bf16":
        return int(np.array(value, np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)), value
    with np.errstate(all="ignore"):
        width = int(target[1:])
        return bits(np.float64(value).astype(f"f{width // 8}"), width), value


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversion_opcode(library: Library, name: str) -> None:
    opcode = opcodes()[name]
    context = Context(library, module_of(f"{name} s0 -> s1\n return s1", opcode.operands))
    source = opcode.reads
    if source in "iI":
        width = 32 if source == "i" else 64
        slots = {value % (1 << width) for value in [*INTEGERS, 0x3C00, 0x7C00, 0x7E00, 0x8001, 0x03FF, 0x7F80, 0x7FC0]}
    else:
        width = 32 if source == "f" else 64
        values = [*FLOATS, 2049.0, 65519.9, 6e-8, 2.98e-8, 1.00390625]
        with np.errstate(all="ignore"):
            slots = {bits(np.float64(value).astype(f"f{width // 8}"), width) for value in values}
    for slot in sorted(slots):
        (got,) = context.call("main", slot)
        expected, value = convert_oracle(name, slot)
        if value is not None and math.isnan(value):
            target = name.split("_")[1]
            exponent = {"f16": 0x7C00, "bf16": 0x7F80, "f32": 0x7F800000, "f64": 0x7FF << 52}[target]
            assert got & exponent == exponent, (name, hex(slot), hex(got))
            assert got & (exponent & -exponent) - 1, (name, hex(slot), hex(got))
        else:
            assert got == expected, (name, hex(slot), hex(got), hex(expected))
