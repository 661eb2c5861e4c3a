"""Buffers and lists of the virtual machine: what each instruction does, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from compile_host import compile_host
from machine import Context, Failure, Library
from modules import make_module

from mlirage.module_file import Rodata

COMPILED = """
      func.func @sum(%n: i64) -> (f64, i32, i8) {
        %count = arith.index_cast %n : i64 to index
        %c0 = arith.constant 0 : index
        %c1 = arith.constant 1 : index
        %c8 = arith.constant 8 : index
        %size = arith.muli %count, %c8 : index
        %b = "util.buffer_alloc"(%size) : (index) -> !util.buffer
        %l = "util.list_create"() : () -> !util.list
        "util.list_resize"(%l, %count) : (!util.list, index) -> ()
        scf.for %i = %c0 to %count step %c1 {
          %o = arith.muli %i, %c8 : index
          %k = arith.index_cast %i : index to i64
          %f = arith.sitofp %k : i64 to f64
          "util.buffer_store"(%f, %b, %o) : (f64, !util.buffer, index) -> ()
          "util.list_set"(%l, %i, %f) : (!util.list, index, f64) -> ()
        }
        %z = arith.constant 0.0 : f64
        %s = scf.for %i = %c0 to %count step %c1 iter_args(%a = %z) -> f64 {
          %o = arith.muli %i, %c8 : index
          %x = "util.buffer_load"(%b, %o) : (!util.buffer, index) -> f64
          %y = "util.list_get"(%l, %i) : (!util.list, index) -> f64
          %p = arith.addf %x, %y : f64
          %q = arith.addf %a, %p : f64
          scf.yield %q : f64
        }
        %table = "util.buffer_constant"() {value = dense<[7, -2, 3, 0]> : tensor<4xi8>} : () -> !util.buffer
        %w = "util.buffer_load"(%table, %c0) : (!util.buffer, index) -> i32
        %m = "util.buffer_load"(%table, %c1) : (!util.buffer, index) -> i8
        return %s, %w, %m : f64, i32, i8
      }
"""
_RODATA = [
    Rodata("plain", np.arange(1, 11, dtype=np.uint8)),
    Rodata.of("splat", np.broadcast_to(np.uint32(0x04030201), (4,)), splat=True),
]


def _run(library: Library, convention: str, code: str, *scalars: int) -> list[int]:
    return Context(library, make_module({"f": (convention, code)}, rodata=list(_RODATA))).call("f", *scalars)


@pytest.mark.parametrize(
    ("load", "offset", "expected"),
    [("u8", 9, 10), ("s8", 0, 1), ("u16", 1, 0x0302), ("s16", 8, 0x0A09), ("32", 3, 0x07060504),
     ("64", 2, 0x0A09080706050403)],
)  # fmt: skip
def test_loads(library: Library, load: str, offset: int, expected: int) -> None:
    kind = "I" if load == "64" else "i"
    assert _run(library, f"I_{kind}", f"rodata #0 -> r0\nbuffer_load_{load} r0, s0 -> s1\nreturn s1", offset) == [
        expected
    ]


@pytest.mark.parametrize("offset", [-1, 7, 8, 10, 2**63 - 1, -(2**63)])
def test_loads_stay_inside(library: Library, offset: int) -> None:
    with pytest.raises(Failure, match="OUT_OF_RANGE"):
        _run(library, "I_i", "rodata #0 -> r0\nbuffer_load_32 r0, s0 -> s1\nreturn s1", offset)


def test_signs(library: Library) -> None:
    code = """
      const_64_short 4 -> s0
      buffer_alloc s0 -> r0
      const_64_short 1 -> s1
      const_32 0xFF80 -> s2
      buffer_store_16 r0, s1, s2
      buffer_load_s16 r0, s1 -> s3
      buffer_load_s8 r0, s1 -> s4
      buffer_load_u16 r0, s1 -> s5
      return s3, s4, s5"""
    assert _run(library, "_iii", code) == [0xFFFFFF80, 0xFFFFFF80, 0xFF80]


def test_splats_are_read_as_if_expanded(library: Library) -> None:
    code = "rodata #1 -> r0\nbuffer_load_32 r0, s0 -> s1\nbuffer_length r0 -> s2\nreturn s1, s2"
    assert _run(library, "I_iI", code, 3) == [0x03020104, 16]
    sliced = "rodata #1 -> r0\nbuffer_slice r0, s0, s1 -> r1\nbuffer_load_u8 r1, s2 -> s3\nreturn s3"
    assert _run(library, "III_i", sliced, 2, 5, 3) == [2]


def test_read_only_data_is_not_written(library: Library) -> None:
    for store in ("buffer_store_8 r1, s0, s1", "buffer_fill r1, s0, s0, s0, 1", "buffer_copy r1, s0, r1, s0, s0"):
        code = f"rodata #0 -> r0\nconst_64_short 3 -> s2\nbuffer_slice r0, s0, s2 -> r1\n{store}\nreturn"
        with pytest.raises(Failure, match="FAILED_PRECONDITION: the buffer is read-only"):
            _run(library, "Ii_", code, 0, 1)


def test_slices_share_and_clones_do_not(library: Library) -> None:
    code = """
      rodata #0 -> r0
      buffer_clone r0, s0, s1 -> r1
      buffer_slice r1, s2, s3 -> r2
      discard -> r1
      const_32 77 -> s4
      buffer_store_8 r2, s0, s4
      buffer_slice r2, s0, s3 -> r3
      buffer_load_u8 r3, s0 -> s5
      buffer_load_u8 r0, s2 -> s6
      return s5, s6"""
    assert _run(library, "IIII_ii", code, 0, 10, 4, 2) == [77, 5]


def test_fill_copy_compare(library: Library) -> None:
    code = """
      const_64_short 16 -> s0
      buffer_alloc s0 -> r0
      const_64_short 3 -> s1
      const_64_short 8 -> s2
      const_64_short 0x0102 -> s3
      buffer_fill r0, s1, s2, s3, 2
      const_64_short 5 -> s4
      buffer_copy r0, s1, r0, s4, s2
      buffer_load_64 r0, s4 -> s5
      const_64_short 4 -> s6
      buffer_compare r0, s1, r0, s4, s6 -> s7
      buffer_compare r0, s1, r0, s6, s6 -> s6
      return s5, s7, s6"""
    context = Context(library, make_module({"f": ("_Iii", code)}))
    assert context.call("f") == [0x0102010201020102, 1, 0]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("buffer_length r0 -> s1", "INVALID_ARGUMENT: the buffer is null"),
        ("list_create -> r0\nbuffer_length r0 -> s1", "INVALID_ARGUMENT: the buffer is a util.list"),
        ("rodata #0 -> r0\nlist_size r0 -> s1", "INVALID_ARGUMENT: the list is a util.buffer"),
        ("const_64_short -1 -> s0\nbuffer_alloc s0 -> r0", "OUT_OF_MEMORY"),
        ("const_64 0x7fffffffffffff00 -> s0\nbuffer_alloc s0 -> r0", "OUT_OF_MEMORY"),
        ("rodata #0 -> r0\nconst_64_short 11 -> s1\nbuffer_slice r0, s0, s1 -> r1", "OUT_OF_RANGE"),
        ("rodata #0 -> r0\nconst_64_short -1 -> s1\nbuffer_clone r0, s1, s1 -> r1", "OUT_OF_RANGE"),
        ("const_64_short 6 -> s1\nbuffer_alloc s1 -> r0\nbuffer_fill r0, s0, s1, s0, 4", "INVALID_ARGUMENT"),
        ("const_64_short 6 -> s1\nbuffer_alloc s1 -> r0\nbuffer_fill r0, s0, s1, s0, 3", "INVALID_ARGUMENT"),
        ("list_create -> r0\nlist_get_i32 r0, s0 -> s1", "OUT_OF_RANGE: element 0 of a list of 0"),
        ("list_create -> r0\nconst_64_short -1 -> s0\nlist_resize r0, s0", "OUT_OF_MEMORY"),
    ],
)  # fmt: skip
def test_refusals(library: Library, code: str, status: str) -> None:
    with pytest.raises(Failure, match=f"^{status}"):
        _run(library, "_", f"{code}\nreturn")


def test_lists_hold_every_kind(library: Library) -> None:
    code = """
      list_create -> r0
      const_64_short 5 -> s0
      list_resize r0, s0
      const_64_short 1 -> s1
      const_64_short 2 -> s2
      const_64_short 3 -> s3
      const_64_short 4 -> s4
      const_64_short 0 -> s5
      list_set_i32 r0, s5, s4
      list_set_i64 r0, s1, s0
      list_set_f32 r0, s2, s3
      list_set_f64 r0, s3, s2
      list_set_ref r0, s4, r1
      list_get_i32 r0, s5 -> s6
      list_get_i64 r0, s1 -> s7
      list_get_f32 r0, s2 -> s2
      list_kind r0, s4 -> s0
      list_kind r0, s3 -> s1
      list_get_f64 r0, s3 -> s3
      return s6, s7, s0, s1, s2, s3"""
    assert _run(library, "_iIiifF", code) == [4, 5, 0, 4, 3, 2]
    mixed = "list_create -> r0\nlist_resize r0, s0\nlist_set_i32 r0, s1, s2\nlist_get_f64 r0, s1 -> s3\nreturn s3"
    with pytest.raises(Failure, match="INVALID_ARGUMENT: element 2 of the list is of kind i32, not f64"):
        _run(library, "IIi_F", mixed, 3, 2, 7)


def test_lists_never_contain_each_other(library: Library) -> None:
    nested = """
      list_create -> r0
      list_create -> r1
      const_64_short 1 -> s0
      const_64_short 0 -> s1
      list_resize r0, s0
      list_resize r1, s0
      list_set_ref r0, s1, r1
      list_set_ref {}, s1, {}
      return"""
    _run(library, "_", nested.format("r0", "r1"))
    for outer, inner in (("r1", "r0"), ("r1", "r1"), ("r0", "r0")):
        with pytest.raises(Failure, match="FAILED_PRECONDITION: lists may not contain each other"):
            _run(library, "_", nested.format(outer, inner))


def test_list_gives_references_back(library: Library) -> None:
    code = """
      list_create -> r0
      const_64_short 40 -> s0
      list_resize r0, s0
      const_64_short 39 -> s1
      rodata #0 -> r1
      list_set_ref r0, s1, r1
      list_get_ref r0, s1 -> r2
      const_64_short 2 -> s2
      buffer_load_u8 r2, s2 -> s3
      list_resize r0, s2
      list_size r0 -> s4
      return s3, s4"""
    assert _run(library, "_iI", code) == [3, 2]


def test_compiled(machine: Library) -> None:
    """From util ops: every width, floats, constants of the module, lists in loops."""
    context = Context(machine, compile_host(COMPILED))
    bits, word, byte = context.call("sum", 10)
    assert np.array([bits], np.uint64).view(np.float64)[0] == 90.0
    assert (word, byte) == (0x0003FE07, 254)
