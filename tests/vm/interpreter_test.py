"""Control flow, references, globals, calls, imports, suspension and failures of the C interpreter."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from machine import PENDING, Call, Context, Failure, Library, Object
from modules import make_module

from mlirage.module_file import Global, Import, Location, ModuleFile, Rodata

FACTORIAL = """
  const_64_short 1 -> s1
  le_s_i64 s0, s1 -> s2
  branch_if s2, done, more
more:
  sub_i64 s0, s1 -> s2
  call factorial, s2 -> s2
  mul_i64 s0, s2 -> s0
  return s0
done:
  return s1
"""
# Sum of 0 … n - 1.
LOOP = """
  const_64_short 0 -> s1
  const_64_short 1 -> s2
  move s1 -> s3
head:
  lt_s_i64 s3, s0 -> s4
  branch_if s4, body, exit
body:
  add_i64 s1, s3 -> s1
  add_i64 s3, s2 -> s3
  branch head
exit:
  return s1
"""


def test_calls_loops_and_recursion(library: Library) -> None:
    context = Context(library, make_module({"factorial": ("I_I", FACTORIAL), "sum": ("I_I", LOOP)}))
    assert context.call("factorial", 20) == [2432902008176640000]
    assert context.call("sum", 1000) == [499500]
    assert context.call("sum", 0) == [0]


def test_switch_takes_the_last_target_by_default(library: Library) -> None:
    code = "switch s0, a, b, c\n"
    code += "".join(
        f"{label}:\n const_32 {number} -> s1\n return s1\n" for label, number in zip("abc", (10, 11, 12), strict=True)
    )
    context = Context(library, make_module({"main": ("I_i", code)}))
    assert [context.call("main", value) for value in (0, 1, 2, 3, -1, 2**63)] == [[10], [11], [12], [12], [12], [12]]


def test_constants_moves_and_select(library: Library) -> None:
    code = """
      const_32 0xfedcba98 -> s1
      const_64 0x123456789abcdef0 -> s2
      const_64_short -2 -> s3
      move s2 -> s4
      select s0, s4, s3 -> s5
      return s1, s3, s5
    """
    context = Context(library, make_module({"main": ("i_iII", code)}))
    assert context.call("main", 1) == [0xFEDCBA98, 2**64 - 2, 0x123456789ABCDEF0]
    assert context.call("main", 0) == [0xFEDCBA98, 2**64 - 2, 2**64 - 2]
    # Conditions are i32: high bits do not count.
    assert context.call("main", 1 << 32) == [0xFEDCBA98, 2**64 - 2, 2**64 - 2]


def test_scalar_globals_keep_their_values_per_context(library: Library) -> None:
    module = make_module(
        {"main": ("I_II", "global_load a -> s1\n global_store b, s0\n global_load b -> s2\n add_i64 s1, s0 -> s3\n"
                          " global_store a, s3\n return s1, s2")},
        globals=[Global("a", "I", 5), Global("b", "I")],
    )  # fmt: skip
    first, second = Context(library, module), Context(library, module)
    assert first.call("main", 7) == [5, 7]
    assert first.call("main", 1) == [12, 1]
    assert second.call("main", 0) == [5, 0]


def test_references_are_counted(library: Library) -> None:
    module = make_module(
        {
            "swap": ("rr_rr", "return r1, r0"),
            "twice": ("r_rr", "move_ref r0 -> r1\n move_ref r1 -> r1\n return r0, r1"),
            "select": ("irr_ri", "select_ref s0, r0, r1 -> r2\n discard -> r0, r1\n is_null r2 -> s1\n return s1, r2"),
            "null": ("r_ri", "null_ref -> r0\n is_null r0 -> s0\n return s0, r0"),
            "keep": ("r_", "global_store_ref state, r0\n return"),
            "kept": ("_r", "global_load_ref state -> r0\n return r0"),
        },
        globals=[Global("state", "r")],
    )
    a, b = Object(), Object()
    context = Context(library, module)
    context.call("swap", refs=[a.address, b.address])
    assert list(context.refs) == [b.address, a.address]
    assert (a.count, b.count) == (2, 2)
    context.call("twice", refs=[a.address])
    assert (list(context.refs), a.count) == ([a.address] * 2, 4)
    assert context.call("select", 1, refs=[a.address, None]) == [0]
    assert (list(context.refs), a.count) == ([a.address], 5)
    assert context.call("select", 0, refs=[a.address, None]) == [1]
    assert context.call("null", refs=[b.address]) == [1]
    assert (list(context.refs), a.count, b.count) == ([None], 5, 2)
    context.call("keep", refs=[b.address])
    context.call("kept")
    assert (list(context.refs), b.count) == ([b.address], 4)
    context.call("keep", refs=[a.address])
    assert (a.count, b.count) == (6, 3)
    del context
    assert a.count == 5


def test_a_value_is_destroyed_when_its_last_register_lets_go(library: Library) -> None:
    objects: list[Object] = []

    def make(call: Any) -> int:
        objects.append(Object())
        call.contents.ref_results[0] = objects[-1].address
        return 0

    seen: list[bool] = []

    def look(call: Any) -> int:
        seen.append(objects[-1].destroyed)
        return 0

    module = make_module(
        {"main": ("_", "call_import test.make, [] -> r0\n call_import test.look, []\n discard -> r0\n"
                       " call_import test.look, []\n call_import test.make, [] -> r1\n return")},
        imports=[Import("test.make", "_r"), Import("test.look", "_")],
    )  # fmt: skip
    context = Context(library, module, natives={"test.make": ("_r", make), "test.look": ("_", look)})
    context.call("main")
    assert seen == [False, True]
    assert all(item.destroyed for item in objects)


def test_rodata_is_used_in_place(library: Library) -> None:
    texts: list[tuple[int, int, bytes]] = []

    def show(call: Any) -> int:
        name, data, length, pattern = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32

        class Entry(ctypes.Structure):
            _fields_ = (("type", data), ("count", length), ("name", name), ("data", data), ("length", length),
                        ("pattern", pattern))  # fmt: skip

        entry = Entry.from_address(call.contents.refs[0])
        stored = ctypes.string_at(entry.data, entry.pattern or entry.length)
        texts.append((entry.length, entry.pattern, stored))
        read = (ctypes.c_uint8 * 7)()
        rodata = ctypes.c_void_p(call.contents.refs[0])
        library.c.mlirage_rodata_read(rodata, ctypes.c_size_t(3), ctypes.c_size_t(7), read)
        texts.append((0, 0, bytes(read)))
        return 0

    ramp = np.arange(40, dtype=np.uint8)
    splat = np.broadcast_to(np.uint32(0x04030201), (1000,))
    module = make_module(
        {"main": ("_", "rodata #0 -> r0\n call_import test.show, [], r0\n rodata #1 -> r0\n"
                       " call_import test.show, [], r0\n return")},
        imports=[Import("test.show", "r_")],
        rodata=[Rodata.of("ramp", ramp), Rodata.of("splat", splat, splat=True)],
    )  # fmt: skip
    Context(library, module, natives={"test.show": ("r_", show)}).call("main")
    assert texts == [
        (40, 0, ramp.tobytes()), (0, 0, bytes(range(3, 10))),
        (4000, 4, bytes([1, 2, 3, 4])), (0, 0, bytes([4, 1, 2, 3, 4, 1, 2])),
    ]  # fmt: skip


def test_native_functions_get_groups_unrolled(library: Library) -> None:
    calls: list[Any] = []

    def native(call: Any) -> int:
        c: Call = call.contents
        calls.append((list(c.scalars[:7]), list(c.refs[:3]), list(c.group_counts[:2])))
        c.scalar_results[0] = 42
        c.ref_results[0] = item.retain()
        return 0

    item = Object()
    code = """
      const_32 1 -> s2
      const_32 2 -> s3
      call_import test.all, [2 1], s0, s2, s1, s3, s1, s3, s0, r0, r1, r0 -> s4, r2
      return s4, r2
    """
    module = make_module({"main": ("iIrr_ir", code)}, imports=[Import("test.all", "ir[iI][rIIr]_ir")])
    context = Context(library, module, natives={"test.all": ("ir[iI][rIIr]_ir", native)})
    assert context.call("main", 7, 8, refs=[item.address, None]) == [42]
    assert calls == [([7, 1, 8, 2, 8, 2, 7], [item.address, None, item.address], [2, 1])]
    assert list(context.refs) == [item.address]
    assert item.count == 2


def test_optional_imports(library: Library) -> None:
    code = "import_resolved test.maybe -> s0\n return s0"
    module = make_module(
        {"has": ("_i", code), "use": ("_", "call_import test.maybe, []\n return")},
        imports=[Import("test.maybe", "_", optional=True)],
    )
    assert Context(library, module, natives={"test.maybe": ("_", lambda call: 0)}).call("has") == [1]
    context = Context(library, module)
    assert context.call("has") == [0]
    with pytest.raises(Failure, match=r"NOT_FOUND: the optional import 'test.maybe' has not been found"):
        context.call("use")


def test_missing_imports_are_all_named(library: Library) -> None:
    module = make_module(
        {"main": ("_", "return")}, imports=[Import("a.x", "_"), Import("b.y", "i_"), Import("c.z", "_", 2)], name="m"
    )
    with pytest.raises(Failure, match=r"NOT_FOUND: module 'm' imports what nothing provides: a\.x, c\.z$"):
        Context(library, module, natives={"b.y": ("i_", lambda call: 0), "c.z": ("_", lambda call: 0)})
    with pytest.raises(Failure, match=r"import 'b\.y' is called as 'i_' but provided as 'I_'"):
        Context(library, module, natives={"b.y": ("I_", lambda call: 0)})


def test_modules_import_each_other(library: Library) -> None:
    library_module = make_module(
        {"double": ("Ir_Ir", "add_i64 s0, s0 -> s0\n return s0, r0"), "fail": ("_", 'fail 8, "from afar"')}, name="lib"
    )
    main = make_module(
        {"main": ("Ir_Ir", "call_import lib.double, [], s0, r0 -> s3, r2\n"
                           " call_import lib.double, [], s3, r2 -> s0, r1\n return s0, r1"),
         "broken": ("_", "call_import lib.fail, []\n return")},
        imports=[Import("lib.double", "Ir_Ir"), Import("lib.fail", "_")], name="main",
    )  # fmt: skip
    item = Object()
    for order in ((library_module, main), (main, library_module)):
        context = Context(library, *order)
        position = order.index(main)
        assert context.call("main", 5, refs=[item.address], module=position) == [20]
        assert list(context.refs) == [item.address]
        with pytest.raises(Failure, match=r"^ABORTED: from afar\n  at fail\n  at broken$"):
            context.call("broken", module=position)
    assert item.count == 3


def test_the_initializer_runs_at_load(library: Library) -> None:
    module = make_module(
        {"__init": ("_", "const_64_short 9 -> s0\n global_store a, s0\n return"),
         "main": ("_I", "global_load a -> s0\n return s0")},
        globals=[Global("a", "I", 1)],
    )  # fmt: skip
    assert Context(library, module).call("main") == [9]
    with pytest.raises(Failure, match=r"ABORTED: no\n  at __init"):
        Context(library, make_module({"__init": ("_", 'fail 8, "no"')}))
    with pytest.raises(Failure, match="__init takes or gives values"):
        Context(library, make_module({"__init": ("i_", "return")}))


def test_failures_tell_where(library: Library) -> None:
    module = make_module({
        "main": ("Ii_I", "call _inner, s0, s1 -> s2\n return s2"),
        "_inner": ("Ii_I", 'assert s1, 5, "index out of bounds"\n const_64_short 3 -> s2\n'
                           " div_u_i64 s2, s0 -> s3\n return s3"),
    })  # fmt: skip
    module.functions[0].locations = [Location(0, "model.onnx:/call")]
    module.functions[1].locations = [Location(0, "check"), Location(6, ""), Location(10, "model.onnx:/div")]
    context = Context(library, module)
    assert context.call("main", 3, 1) == [1]
    with pytest.raises(Failure) as failure:
        context.call("main", 0, 1)
    assert failure.value.status == "DIVISION_BY_ZERO"
    assert failure.value.text == "integer division by zero\n  at _inner (model.onnx:/div)\n  at main (model.onnx:/call)"
    with pytest.raises(Failure) as failure:
        context.call("main", 1, 0)
    assert failure.value.status == "OUT_OF_RANGE"
    assert failure.value.text.startswith("index out of bounds\n  at _inner (check)\n  at main")
    assert context.call("main", 1, 1) == [3]  # the invocation goes on


def test_failing_native_functions_are_named(library: Library) -> None:
    item = Object()

    def native(call: Any) -> int:
        call.contents.ref_results[0] = item.retain()  # given back although the function fails
        return 5

    module = make_module({"main": ("_", "call_import test.bad, [] -> r0\n return")}, imports=[Import("test.bad", "_r")])
    context = Context(library, module, natives={"test.bad": ("_r", native)})
    with pytest.raises(Failure, match=r"^OUT_OF_RANGE: OUT_OF_RANGE\n  at test\.bad\n  at main$"):
        context.call("main")
    assert item.count == 1


def test_the_stack_is_bounded(library: Library) -> None:
    item = Object()
    module = make_module({"main": ("Ir_I", "call main, s0, r0 -> s1\n return s1")})
    for size in (256, 1000, 4096, 1 << 20):
        context = Context(library, module, stack_size=size)
        for _ in range(2):
            with pytest.raises(Failure, match=f"OUT_OF_MEMORY: stack overflow: .* stack of {size} bytes"):
                context.call("main", 1, refs=[item.address])
    assert item.count == 1


def test_no_room_for_native_arguments(library: Library) -> None:
    registers = ", ".join(["s0"] * 200)
    module = make_module(
        {"main": ("I_", f"call_import test.many, [200], {registers}\n return")}, imports=[Import("test.many", "[I]_")]
    )
    natives = {"test.many": ("[I]_", lambda call: 0)}
    assert Context(library, module, natives=natives).call("main", 1) == []
    with pytest.raises(Failure, match="stack overflow: no room for the arguments of a native function"):
        Context(library, module, natives=natives, stack_size=512).call("main", 1)


def test_the_jump_limit_ends_endless_programs(library: Library) -> None:
    module = make_module({"spin": ("_", "x:\n branch x"), "sum": ("I_I", LOOP)})
    context = Context(library, module, jump_limit=1000)
    with pytest.raises(Failure, match="DEADLINE_EXCEEDED: more than 1000 calls and backward jumps"):
        context.call("spin")
    assert context.call("sum", 900) == [404550]
    with pytest.raises(Failure, match="DEADLINE_EXCEEDED"):
        context.call("sum", 1100)


def suspending(objects: list[Object], after: int) -> tuple[Callable[[Any], int], list[int]]:
    """A native function that is pending `after` times."""
    calls: list[int] = []

    def native(call: Any) -> int:
        assert call.contents.can_suspend
        calls.append(call.contents.scalars[0])
        if len(calls) <= after:
            objects.append(Object())
            call.contents.pending = objects[-1].retain()
            return PENDING
        call.contents.scalar_results[0] = 5
        return 0

    return native, calls


def suspending_module() -> ModuleFile:
    return make_module(
        {
            "main": ("Ir_Ir", "call _inner, s0, r0 -> s1, r1\n add_i64 s1, s0 -> s2\n return s2, r1"),
            "_inner": ("Ir_Ir", "call_import test.wait, [], s0 -> s1\n return s1, r0"),
        },
        imports=[Import("test.wait", "I_I")],
    )


def test_suspended_calls_resume_where_they_were(library: Library) -> None:
    objects: list[Object] = []
    native, calls = suspending(objects, after=2)
    context = Context(library, suspending_module(), natives={"test.wait": ("I_I", native)})
    item = Object()
    assert not context.begin("main", 10, refs=[item.address])
    assert context.pending() == objects[0].address
    with pytest.raises(Failure, match="FAILED_PRECONDITION: another call is in progress"):
        context.call("main", 1, refs=[None])
    assert not context.resume()
    assert (context.pending(), objects[0].count) == (objects[1].address, 1)
    assert context.resume()
    assert context.finish() == [15]
    assert (list(context.refs), calls, item.count) == ([item.address], [10] * 3, 2)
    assert [waited.count for waited in objects] == [1, 1]
    with pytest.raises(Failure, match="FAILED_PRECONDITION"):
        context.resume()


def test_suspended_calls_can_be_given_up(library: Library) -> None:
    objects: list[Object] = []
    native, _ = suspending(objects, after=1)
    context = Context(library, suspending_module(), natives={"test.wait": ("I_I", native)})
    item = Object()
    assert not context.begin("main", 10, refs=[item.address])
    assert item.count > 1
    context.cancel()
    assert (item.count, objects[0].count) == (1, 1)
    assert context.begin("main", 1, refs=[item.address])  # finished, but nobody takes the results
    context.cancel()
    assert item.count == 1
    assert not objects[0].destroyed


def test_a_blocking_call_cannot_be_pending(library: Library) -> None:
    item = Object()

    def native(call: Any) -> int:
        assert not call.contents.can_suspend
        call.contents.pending = item.retain()
        return PENDING

    context = Context(library, suspending_module(), natives={"test.wait": ("I_I", native)})
    with pytest.raises(Failure, match="INTERNAL: a native function is pending in a call that blocks"):
        context.call("main", 1, refs=[None])
    assert item.count == 1


def test_lookup_of_unknown_functions(library: Library) -> None:
    context = Context(library, make_module({"b": ("_", "return"), "d": ("_", "return")}, name="m"))
    for name in ("a", "c", "e", "", "bb"):
        with pytest.raises(Failure, match=f"NOT_FOUND: module 'm' has no function '{name}'"):
            context.lookup(name)
    with pytest.raises(Failure, match="OUT_OF_RANGE: no module 1"):
        context.lookup("b", 1)
