"""Contractions packed for dot products: exact integers, bf16 within rounding, every target's instruction."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mlirage.codegen.cpu.loop_remarks import scalar_loops
from mlirage.codegen.dot_products import Narrow, dot_products, find_dot_product
from mlirage.codegen.target import parse_target
from mlirage.global_optimization.panels import into_groups, into_panels
from tests.codegen.abi import CompiledLibrary, compile_entries

Array = np.ndarray[Any, np.dtype[Any]]
_V3 = "x86_64-unknown-linux-gnu:x86-64-v3"
_VEX = "x86_64-unknown-linux-gnu:x86-64-v3:+avxvnni"
_V4_VNNI = "x86_64-unknown-linux-gnu:x86-64-v4:+avx512vnni,+avx512bf16"
_ARM = "aarch64-unknown-linux-gnu:generic:+dotprod,+i8mm,+bf16"
_S8, _U8, _S16, _BF16 = Narrow("s", 8), Narrow("u", 8), Narrow("s", 16), Narrow("f", 16)


def _entry(m: int | None, n: int, k: int, left: str, right: str, group: int, target: str = "host") -> CompiledLibrary:
    """A product with packed weights; `left` and `right` are "s8", "u8", "s16" or "bf16"."""
    element = {"s8": "i8", "u8": "i8", "s16": "i16", "bf16": "bf16"}
    widen = {"s8": "arith.extsi", "u8": "arith.extui", "s16": "arith.extsi", "bf16": "arith.extf"}
    wide, multiply, add = ("f32", "arith.mulf", "arith.addf") if left == "bf16" else ("i32", "arith.muli", "arith.addi")
    width = _panel(target)
    rows, dims, empty = ("?", ", %d0: index, %d1: index", "%d1") if m is None else (str(m), "", "")
    a = f"tensor<{rows}x{k}x{element[left]}>"
    w = f"tensor<{-(-n // width)}x{-(-k // group)}x{width * group}x{element[right]}>"
    c = f"tensor<{rows}x{n}x{wide}>"
    place = f"(n mod {width}) * {group} + k mod {group}"
    text = f"""
    func.func @f(%a: {a}, %w: {w}{dims}) -> {c} {{
      %z = arith.constant {"0.0" if wide == "f32" else "0"} : {wide}
      %e = tensor.empty({empty}) : {c}
      %i = linalg.fill ins(%z : {wide}) outs(%e : {c}) -> {c}
      %r = linalg.generic {{indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
          affine_map<(m, n, k) -> (n floordiv {width}, k floordiv {group}, {place})>, affine_map<(m, n, k) -> (m, n)>],
          iterator_types = ["parallel", "parallel", "reduction"]}} ins(%a, %w : {a}, {w}) outs(%i : {c}) {{
      ^bb0(%x: {element[left]}, %y: {element[right]}, %s: {wide}):
        %1 = {widen[left]} %x : {element[left]} to {wide}
        %2 = {widen[right]} %y : {element[right]} to {wide}
        %3 = {multiply} %1, %2 : {wide}
        %4 = {add} %s, %3 : {wide}
        linalg.yield %4 : {wide}
      }} -> {c}
      return %r : {c}
    }}"""
    library = compile_entries(text, target)
    library.check_kind("contraction")
    return library


def _panel(target: str) -> int:
    return 2 * parse_target(target).vector_bytes // 4


def _random(kind: str, *shape: int) -> Array:
    generator = np.random.default_rng(sum(shape))
    if kind == "bf16":
        return generator.standard_normal(shape).astype(ml_dtypes.bfloat16)
    low, high = {"s8": (-128, 128), "u8": (0, 256), "s16": (-32768, 32768)}[kind]
    return generator.integers(low, high, shape).astype({"s8": np.int8, "u8": np.uint8, "s16": np.int16}[kind])


def _packed(weights: Array, group: int, target: str) -> Array:
    return into_groups(into_panels(np.ascontiguousarray(weights.T), 0, _panel(target)), group)


def _check(m: int | None, rows: int, n: int, k: int, left: str, right: str, group: int, target: str = "host") -> None:
    library = _entry(m, n, k, left, right, group, target)
    a, w = _random(left, rows, k), _random(right, k, n)
    (result,) = library.call("f", a, _packed(w, group, target), result_dims=[rows] if m is None else [])
    if left == "bf16":
        expected = a.astype(np.float64) @ w.astype(np.float64)
        bound = np.abs(a.astype(np.float64)) @ np.abs(w.astype(np.float64))
        assert (np.abs(result - expected) <= 1e-6 * bound + 1e-30).all()
    else:
        wrapped = (a.astype(np.int64) @ w.astype(np.int64)).astype(np.int32)
        np.testing.assert_array_equal(result, wrapped)


def _needs(target: str, left: Narrow, right: Narrow, depth: int) -> None:
    dot = find_dot_product(left, right, parse_target(target))
    if dot is None or dot.depth != depth:
        pytest.skip("this processor has no such instruction")
    host = parse_target("host")
    if target != "host" and not all(host.has(f[1:]) for f in parse_target(target).features if f.startswith("+avx")):
        pytest.skip("this processor does not run the target's code")


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (7, 33, 5), (64, 64, 64), (13, 31, 67), (9, 130, 3), (0, 5, 8)])
@pytest.mark.parametrize("target", ["host", _V4_VNNI, _VEX])
def test_unsigned_times_signed_bytes(m: int, n: int, k: int, target: str) -> None:
    _needs(target, _U8, _S8, 4)
    _check(m, m, n, k, "u8", "s8", 4, target)


@pytest.mark.parametrize("m", [0, 1, 5, 8, 19, 70])
def test_dynamic_rows(m: int) -> None:
    _needs("host", _U8, _S8, 4)
    _check(None, m, 45, 37, "u8", "s8", 4)


@pytest.mark.parametrize("left", ["u8", "s8", "s16"])
@pytest.mark.parametrize("target", ["host", _V3, "x86_64-unknown-linux-gnu"])
def test_sixteen_bits(left: str, target: str) -> None:
    _needs(target, _S16, _S16, 2)
    _check(11, 11, 45, 37, left, "s16", 2, target)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (7, 33, 5), (64, 64, 64), (13, 31, 67)])
@pytest.mark.parametrize("target", ["host", _V4_VNNI])
def test_brain_floats(m: int, n: int, k: int, target: str) -> None:
    _needs(target, _BF16, _BF16, 2)
    _check(m, m, n, k, "bf16", "bf16", 2, target)


def test_brain_floats_keep_infinities_and_nans() -> None:
    _needs("host", _BF16, _BF16, 2)
    library = _entry(3, 40, 5, "bf16", "bf16", 2)
    a, w = _random("bf16", 3, 5), _random("bf16", 5, 40)
    a[1, 4], a[2, 0] = np.inf, np.nan  # the last of five steps shares its group with padding
    (result,) = library.call("f", a, _packed(w, 2, "host"))
    assert np.isfinite(result[0]).all()
    assert np.isinf(result[1]).all()
    assert np.isnan(result[2]).all()


def test_hot_loops_are_instructions() -> None:
    _needs("host", _U8, _S8, 4)
    for left, right, group, mnemonic in (("u8", "s8", 4, "vpdpbusd"), ("s8", "s16", 2, "vpdpwssd")):
        (files,) = _entry(33, 96, 130, left, right, group, _V4_VNNI).files.values()
        assert mnemonic in files["asm.s"]
        assert scalar_loops(files["optimized.ll"]) == []


@pytest.mark.parametrize(
    ("target", "left", "right", "group", "mnemonic"),
    [
        (_VEX, "u8", "s8", 4, "vpdpbusd"),
        (_V3, "u8", "s16", 2, "vpmaddwd"),  # pairs of 16 bits: nothing saturates, as vpmaddubsw does
        ("aarch64:generic:+dotprod", "s8", "s8", 4, "sdot"),
        ("aarch64:generic:+i8mm", "u8", "s8", 4, "usdot"),
        ("aarch64:generic:+sve256", "s8", "s8", 4, "sdot\tz"),
        ("aarch64:generic:+sve256,+i8mm", "u8", "s8", 4, "usdot\tz"),
        ("aarch64:generic:+sve512,+bf16", "bf16", "bf16", 2, "bfdot\tz"),
    ],
)
def test_instructions(target: str, left: str, right: str, group: int, mnemonic: str) -> None:
    """Tiles multiply by the instruction, and nothing goes by way of the stack."""
    (files,) = _entry(64, 64, 128, left, right, group, target).files.values()
    blocks = re.split(r"^(?:\.L\w+:|\t(?:j\w+|b\.\w+)\t).*$", files["asm.s"], flags=re.MULTILINE)
    hot = max(blocks, key=lambda block: block.count(mnemonic))
    assert hot.count(mnemonic) >= 8
    assert not re.search(r"\b(r?sp)\b", hot)
    assert "pmaddubs" not in files["asm.s"]


def test_choice_by_target() -> None:
    names = {
        text: [dot.intrinsic.split(".")[-2:] for dot in dot_products(parse_target(text))]
        for text in (_V4_VNNI, _V3, "aarch64-unknown-linux-gnu", "aarch64-unknown-linux-gnu:generic:+dotprod", _ARM)
    }
    assert names[_V4_VNNI] == [["vpdpbusd", "512"], ["vpdpwssd", "512"], ["dpbf16ps", "512"]]
    assert names[_V3] == [["pmadd", "wd"]]
    assert names["aarch64-unknown-linux-gnu"] == []
    assert names["aarch64-unknown-linux-gnu:generic:+dotprod"] == [["v4i32", "v16i8"]]
    assert [dot.intrinsic.split(".")[3] for dot in dot_products(parse_target(_ARM))] == ["sdot", "usdot", "bfdot"]
    for left, chosen in ((_S8, "sdot"), (_U8, "usdot")):  # no offset where the signs are as they are
        dot = find_dot_product(left, _S8, parse_target(_ARM))
        assert dot is not None
        assert dot.intrinsic.split(".")[3] == chosen
    assert find_dot_product(_S8, _S8, parse_target(_V4_VNNI)) == dot_products(parse_target(_V4_VNNI))[0]
    assert find_dot_product(_U8, _S16, parse_target(_V3)) == dot_products(parse_target(_V3))[0]
    assert find_dot_product(_U8, _U8, parse_target(_V4_VNNI)) == dot_products(parse_target(_V4_VNNI))[1]
