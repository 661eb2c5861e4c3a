"""Scalar arithmetic on the virtual machine against the constant folders of upstream MLIR."""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from compile_host import compile_host
from machine import Context, Library

from mlirage.errors import CompileError
from mlirage.mlir import ir, new_context, run_pipeline
from mlirage.module_file import ModuleFile

INTEGERS = ("i1", "i5", "i8", "i16", "i32", "i37", "i64", "index")
FLOATS = ("f16", "bf16", "f32", "f64")
BINARY = ("addi", "subi", "muli", "divsi", "divui", "remsi", "remui", "andi", "ori", "xori", "shli", "shrsi", "shrui",
          "minsi", "minui", "maxsi", "maxui", "floordivsi", "ceildivsi", "ceildivui")  # fmt: skip
COMPARE = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
FLOAT_BINARY = ("addf", "subf", "mulf", "divf", "remf", "minimumf", "maximumf", "minnumf", "maxnumf")
FLOAT_COMPARE = ("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une",
                 "uno", "true")  # fmt: skip
DTYPES: dict[str, Any] = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}


def width_of(kind: str) -> int:
    return 64 if kind == "index" else int(kind.lstrip("bif"))


def integers(kind: str) -> list[int]:
    """Unsigned values around the interesting places."""
    width = width_of(kind)
    values = {0, 1, 2, 3, 7, (1 << width) - 1, (1 << width) - 2, 1 << (width - 1), (1 << (width - 1)) - 1, 100, 0x55}
    return sorted(value for value in values if value < 1 << width)


def floats(kind: str) -> list[Any]:
    values = (0.0, -0.0, 1.0, -1.5, 2.5, -2.5, 0.1, 1e-6, 300.0, -65000.0, 1e30, math.inf, -math.inf, math.nan)
    with np.errstate(all="ignore"):
        return [np.array(value).astype(DTYPES[kind]) for value in values]


def slot(value: Any, kind: str) -> int:
    """A value as a register holds it."""
    if kind in FLOATS:
        return int(np.array(value).view(f"u{width_of(kind) // 8}"))
    return int(value) % (1 << width_of(kind))


def literal(value: Any, kind: str) -> str:
    if kind in FLOATS:
        return f"0x{slot(value, kind):0{width_of(kind) // 4}X} : {kind}"
    if kind == "i1":
        return "true" if value else "false"
    return f"{value - (1 << width_of(kind)) if value >> (width_of(kind) - 1) else value} : {kind}"


def constant_slot(op: Any) -> int | None:
    """What a folded function returns."""
    if op.name != "arith.constant":
        return None
    attribute, type_ = op.attributes["value"], op.results[0].type
    if isinstance(attribute, ir.BoolAttr):
        return int(attribute.value)
    if isinstance(attribute, ir.IntegerAttr):
        return slot(attribute.value, str(type_))
    return slot(np.array(attribute.value).astype(DTYPES[str(type_)]), str(type_))


def is_nan(bits: int, kind: str) -> bool:
    return kind in FLOATS and bool(np.isnan(np.array(bits, f"u{width_of(kind) // 8}").view(DTYPES[kind])))


@dataclass(frozen=True)
class Check:
    """An operation to compare with its folder: `text` has {0}, {1}, … for operands of the types `sources`."""

    text: str
    sources: tuple[str, ...]
    target: str
    cases: tuple[tuple[Any, ...], ...]

    @property
    def names(self) -> list[str]:
        return [f"%a{i}" for i in range(len(self.sources))]

    @property
    def body(self) -> str:
        return f"%r = {self.text.format(*self.names)}\n return %r : {self.target}"

    def function(self, number: int) -> str:
        arguments = ", ".join(f"{name}: {kind}" for name, kind in zip(self.names, self.sources, strict=True))
        return f"func.func @f{number}({arguments}) -> {self.target} {{ {self.body} }}\n"

    def folded(self, number: int) -> str:
        text = ""
        for case, values in enumerate(self.cases):
            constants = "".join(
                f"{name} = arith.constant {literal(value, kind)}\n"
                for name, value, kind in zip(self.names, values, self.sources, strict=True)
            )
            text += f"func.func @f{number}_{case}() -> {self.target} {{ {constants} {self.body} }}\n"
        return text


def check_all(machine: Library, checks: list[Check]) -> None:
    """Runs every case on the virtual machine and compares with what `canonicalize` makes of it on constants."""
    context = Context(machine, compile_host("".join(check.function(i) for i, check in enumerate(checks))))
    with new_context():
        oracle = ir.Module.parse("".join(check.folded(i) for i, check in enumerate(checks)))
        run_pipeline(oracle.operation, "canonicalize")
        functions = iter(oracle.body.operations)
        for number, check in enumerate(checks):
            folded = 0
            for values in check.cases:
                returned = list(next(functions).body.blocks[0].operations)[-1].operands[0].owner
                expected = constant_slot(returned)
                if expected is None:
                    continue
                folded += 1
                arguments = [slot(value, kind) for value, kind in zip(values, check.sources, strict=True)]
                (got,) = context.call(f"f{number}", *arguments)
                if is_nan(expected, check.target):
                    assert is_nan(got, check.target), (check.text, values)
                else:
                    assert got == expected, (check.text, values, hex(got), hex(expected))
            assert folded > 0, check.text


def singles(values: list[Any]) -> tuple[tuple[Any], ...]:
    return tuple((value,) for value in values)


def pairs(values: list[Any]) -> tuple[tuple[Any, Any], ...]:
    return tuple(itertools.product(values, repeat=2))


@pytest.mark.parametrize("kind", INTEGERS)
def test_integer_arithmetic(machine: Library, kind: str) -> None:
    lowest, minus_one = 1 << (width_of(kind) - 1), (1 << width_of(kind)) - 1
    everything = pairs(integers(kind))

    def defined(name: str) -> tuple[tuple[Any, ...], ...]:
        if name.startswith("sh"):
            return tuple((a, b) for a, b in everything if b < width_of(kind))
        if "div" in name or "rem" in name:
            return tuple((a, b) for a, b in everything if b and (a, b) != (lowest, minus_one))
        return everything

    checks = [Check(f"arith.{name} {{0}}, {{1}} : {kind}", (kind, kind), kind, defined(name)) for name in BINARY]
    checks += [Check(f"arith.cmpi {p}, {{0}}, {{1}} : {kind}", (kind, kind), "i1", everything) for p in COMPARE]
    check_all(machine, checks)


def test_overflowing_division_is_no_trap(machine: Library) -> None:
    for kind in INTEGERS[1:]:
        module = compile_host(
            f"func.func @main(%a: {kind}, %b: {kind}) -> ({kind}, {kind}) {{\n"
            f"%q = arith.divsi %a, %b : {kind}\n%r = arith.remsi %a, %b : {kind}\nreturn %q, %r : {kind}, {kind} }}"
        )
        lowest, minus_one = 1 << (width_of(kind) - 1), (1 << width_of(kind)) - 1
        assert Context(machine, module).call("main", lowest, minus_one) == [lowest, 0]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integer_casts(machine: Library, kind: str) -> None:
    checks: list[Check] = []
    for target in INTEGERS:
        if "index" in (kind, target):
            names = ("index_cast", "index_castui") if kind != target else ()
        elif width_of(target) > width_of(kind):
            names = ("extsi", "extui")
        else:
            names = ("trunci",) if kind != target else ()
        for name in names:
            checks.append(Check(f"arith.{name} {{0}} : {kind} to {target}", (kind,), target, singles(integers(kind))))
    check_all(machine, checks)


@pytest.mark.parametrize("kind", FLOATS)
def test_float_arithmetic(machine: Library, kind: str) -> None:
    ones, everything = singles(floats(kind)), pairs(floats(kind))
    checks = [Check(f"arith.{name} {{0}}, {{1}} : {kind}", (kind, kind), kind, everything) for name in FLOAT_BINARY]
    checks += [Check(f"arith.cmpf {p}, {{0}}, {{1}} : {kind}", (kind, kind), "i1", everything) for p in FLOAT_COMPARE]
    checks.append(Check(f"math.copysign {{0}}, {{1}} : {kind}", (kind, kind), kind, everything))
    for name in ("arith.negf", "math.absf", "math.ceil", "math.floor", "math.trunc", "math.roundeven", "math.round"):
        if name in ("math.trunc", "math.round") and width_of(kind) == 16:
            continue  # has no folder
        checks.append(Check(f"{name} {{0}} : {kind}", (kind,), kind, ones))
    check_all(machine, checks)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_square_roots(machine: Library, kind: str) -> None:
    ones = singles(floats(kind))
    module = compile_host(
        f"func.func @main(%a: {kind}) -> ({kind}, {kind}, i1) {{ %r = math.sqrt %a : {kind}\n"
        f"%q = math.rsqrt %a : {kind}\n %n = math.isnan %a : {kind}\n return %r, %q, %n : {kind}, {kind}, i1 }}"
    )
    context = Context(machine, module)
    with np.errstate(all="ignore"):
        for (value,) in ones:
            root, inverse, nan = context.call("main", slot(value, kind))
            expected = [np.sqrt(value), np.divide(DTYPES[kind](1), np.sqrt(value))]
            for got, want in zip((root, inverse), expected, strict=True):
                assert is_nan(got, kind) if np.isnan(want) else got == slot(want, kind), value
            assert nan == int(np.isnan(value))


@pytest.mark.parametrize("kind", FLOATS)
def test_float_casts(machine: Library, kind: str) -> None:
    ones = singles(floats(kind))
    checks: list[Check] = []

    def add(name: str, source: str, target: str, cases: tuple[tuple[Any], ...]) -> None:
        checks.append(Check(f"arith.{name} {{0}} : {source} to {target}", (source,), target, cases))

    for target in FLOATS:
        if width_of(target) > width_of(kind):
            add("extf", kind, target, ones)
        elif width_of(target) < width_of(kind) and "f32" in (kind, target):
            add("truncf", kind, target, ones)
    for target in ("i8", "i32", "i64"):
        add("fptosi", kind, target, ones)
        add("fptoui", kind, target, ones)
    for source in ("i1", "i8", "i16", "i32", "i64"):
        if kind != "bf16" or width_of(source) <= 24:
            add("sitofp", source, kind, singles(integers(source)))
            add("uitofp", source, kind, singles(integers(source)))
    same_width = f"i{width_of(kind)}"
    add("bitcast", kind, same_width, ones)
    add("bitcast", same_width, kind, singles(integers(same_width)))
    check_all(machine, checks)


@pytest.mark.parametrize("kind", INTEGERS[:-1])
def test_bit_counts(machine: Library, kind: str) -> None:
    width = width_of(kind)
    module = compile_host(
        f"func.func @main(%a: {kind}) -> ({kind}, {kind}, {kind}, {kind}) {{\n"
        f"%0 = math.ctlz %a : {kind}\n%1 = math.cttz %a : {kind}\n%2 = math.ctpop %a : {kind}\n"
        f"%3 = math.absi %a : {kind}\n return %0, %1, %2, %3 : {kind}, {kind}, {kind}, {kind} }}"
    )
    context = Context(machine, module)
    for value in integers(kind):
        trailing = (value & -value).bit_length() - 1 if value else width
        magnitude = min(value, (1 << width) - value)
        expected = [width - value.bit_length(), trailing, value.bit_count(), magnitude]
        assert context.call("main", value) == [number % (1 << width) for number in expected], value


def test_select_and_extended_addition(machine: Library) -> None:
    module = compile_host("""
      func.func @main(%c: i1, %a: i8, %b: i8, %x: f64) -> (i8, f64, i8, i1) {
        %0 = arith.select %c, %a, %b : i8
        %nan = arith.constant 0x7FF8000000000000 : f64
        %1 = arith.select %c, %x, %nan : f64
        %2, %3 = arith.addui_extended %a, %b : i8, i1
        return %0, %1, %2, %3 : i8, f64, i8, i1
      }""")
    context = Context(machine, module)
    one = struct.unpack("<Q", struct.pack("<d", 1.0))[0]
    assert context.call("main", 1, 200, 100, one) == [200, one, 44, 1]
    assert context.call("main", 0, 20, 100, one) == [100, 0x7FF8 << 48, 120, 0]


def test_index_dialect(machine: Library) -> None:
    body = "".join(
        f"%{i} = index.{name} %a, %b\n"
        for i, name in enumerate(("add", "sub", "mul", "divs", "divu", "floordivs", "ceildivs", "rems", "maxs", "minu"))
    )
    results = ", ".join(f"%{i}" for i in range(10))
    kinds = ", ".join(["index"] * 10)
    text = f"func.func @main(%a: index, %b: index) -> ({kinds}, i1, i32) {{ {body} %p = index.cmp slt(%a, %b)\n"
    text += f"%q = index.casts %a : index to i32\n return {results}, %p, %q : {kinds}, i1, i32 }}"
    context = Context(machine, compile_host(text))
    wrap = 2**64
    assert context.call("main", wrap - 7, 2) == [
        wrap - 5, wrap - 9, wrap - 14, wrap - 3, (wrap - 7) // 2, wrap - 4, wrap - 3, wrap - 1, 2, 2, 1, 2**32 - 7,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("%r = math.exp %a : f32", "math.exp: no such instruction"),
        ("%e = arith.extf %a : f32 to f64\n%d = arith.addf %e, %e : f64\n"
         "%h = arith.truncf %d : f64 to f16\n%r = arith.extf %h : f16 to f32",
         "f64 as f16 would be rounded twice"),
        ("%i = arith.fptosi %a : f32 to i32\n%h = arith.sitofp %i : i32 to bf16\n%r = arith.extf %h : bf16 to f32",
         "bf16 would be rounded twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(body: str, text: str) -> None:
    with pytest.raises(CompileError, match=text) as error:
        compile_host(f'func.func @main(%a: f32) -> f32 {{ {body} loc("node 7")\n return %r : f32 }}')
    assert "the host program holds what the virtual machine cannot run" in str(error.value)
    if "exp" in body:
        assert "node 7" in str(error.value)


def test_module_has_no_unused_parts() -> None:
    module: ModuleFile = compile_host(
        """
        "util.global"() {sym_name = "unused", type = i32, is_mutable = true} : () -> ()
        "util.global"() {sym_name = "used", type = f32, is_mutable = true, initial_value = 1.5 : f32} : () -> ()
        func.func private @dead() { return }
        func.func private @helper() -> f32 {
          %0 = "util.global_load"() {symbol = @used} : () -> f32
          return %0 : f32
        }
        func.func public @main() -> f32 attributes {mlirage.signature = "{}"} {
          %0 = call @helper() : () -> f32
          return %0 : f32
        }
        """,
        weights=np.zeros(100),
    )
    assert [function.name for function in module.functions] == ["main", "helper"]
    assert [(item.name, item.kind, item.initial_value) for item in module.globals] == [("used", "f", 0x3FC00000)]
    assert [(export.name, export.signature) for export in module.exports] == [("main", "{}")]
    assert module.rodata == []
