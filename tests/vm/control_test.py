"""What a host can do with programs: interleave, bound, cancel, trace and reset them, and link several."""

from __future__ import annotations

import threading
import time

import pytest
from compile_host import compile_host
from machine import PENDING, Context, Failure, Library, Object
from modules import make_module

from mlirage.module_file import Global, Import, ModuleFile

FOREVER = "L0:\nbranch L0"
COUNT = """
  const_64_short 1 -> s1
L0:
  yield
  sub_i64 s0, s1 -> s0
  trunc_i64_i32 s0 -> s2
  branch_if s2, L0, L1
L1:
  return s0"""


def test_yield_interleaves_on_one_thread(library: Library) -> None:
    """Many invocations of one context take turns."""
    module = make_module({"f": ("I_I", COUNT)})
    contexts = [Context(library, module) for _ in range(5)]
    turns = [0] * 5
    done = [context.begin("f", 3 + number) for number, context in enumerate(contexts)]
    assert not any(done)
    assert all(context.pending() is None for context in contexts)
    while not all(done):
        for number, context in enumerate(contexts):
            if not done[number]:
                done[number] = context.resume()
                turns[number] += 1
    assert turns == [3, 4, 5, 6, 7]
    assert [context.finish() for context in contexts] == [[0]] * 5


def test_yield_does_nothing_in_calls_that_block(library: Library) -> None:
    assert Context(library, make_module({"f": ("I_I", COUNT)})).call("f", 9) == [0]


def test_a_yielding_call_can_be_given_up(library: Library) -> None:
    context = Context(library, make_module({"f": ("I_I", COUNT)}))
    assert not context.begin("f", 3)
    context.cancel()
    assert context.call("f", 2) == [0]


@pytest.mark.parametrize("limit", [1, 1000, 1024, 1025, 5000])
def test_jumps_are_bounded_exactly(library: Library, limit: int) -> None:
    code = "L0:\nsub_i64 s0, s1 -> s0\ntrunc_i64_i32 s0 -> s2\nbranch_if s2, L0, L1\nL1:\nreturn"
    context = Context(library, make_module({"f": ("II_", code)}), jump_limit=limit)
    context.call("f", limit + 1, 1)
    with pytest.raises(Failure, match=f"DEADLINE_EXCEEDED: more than {limit} calls"):
        context.call("f", limit + 2, 1)
    context.call("f", limit + 1, 1)


@pytest.mark.parametrize("code", [FOREVER, "call f\nreturn", "L0:\ncall g\nbranch L0"])
def test_cancel_from_another_thread(library: Library, code: str) -> None:
    context = Context(library, make_module({"f": ("_", code), "g": ("_", "return")}), stack_size=1 << 24)
    threading.Timer(0.05, context.cancel_calls).start()
    if code.startswith("call f"):
        with pytest.raises(Failure, match=r"CANCELLED|stack overflow"):
            context.call("f")
        return
    with pytest.raises(Failure, match=r"^CANCELLED: the call was cancelled\n  at f"):
        context.call("f")
    context.call("g")  # later calls are not affected


def test_poll_is_a_deadline(library: Library) -> None:
    end = time.monotonic() + 0.05
    context = Context(library, make_module({"f": ("_", FOREVER)}), poll=lambda: 9 if time.monotonic() > end else 0)
    with pytest.raises(Failure, match=r"^DEADLINE_EXCEEDED: the host ended the call"):
        context.call("f")


def test_poll_can_preempt(library: Library) -> None:
    answers = [PENDING, PENDING, 8]
    context = Context(library, make_module({"f": ("_", FOREVER)}), poll=lambda: answers.pop(0))
    assert not context.begin("f")
    assert not context.resume()
    with pytest.raises(Failure, match="ABORTED"):
        context.resume()


def test_trace(library: Library) -> None:
    module = make_module(
        {
            "f": ("iFr_I", "const_64_short -3 -> s2\ncall g, s2 -> s3\ncall_import t.n [], s0, r0\n"
                           "assert s0, 8, \"no\"\nis_null r0 -> s4\nbranch_if s4, L1, L1\nL1:\nreturn s3"),
            "g": ("I_I", "add_i64 s0, s0 -> s0\nreturn s0"),
        },
        imports=[Import("t.n", "ir_")],
    )  # fmt: skip
    lines: list[str] = []
    context = Context(library, module, natives={"t.n": ("ir_", lambda call: 0)}, trace=lines.append)
    kept = Object()
    context.call("f", 5, 0x3FF0000000000000, refs=[kept.address])
    assert lines == [
        "f+0 const_64_short -3 -> s2",
        "f+4 call g s2=0xfffffffffffffffd",
        "g+0 add_i64 s0=-3 s0=-3 -> s0",
        "g+4 return s0=0xfffffffffffffffa",
        "f+8 call_import t.n s0=0x5 r0=test.object",
        'f+14 assert s0=5 8 "no"',
        "f+20 is_null r0=test.object -> s4",
        "f+23 branch_if s4=0 L29 L29",
        "f+29 return s3=0xfffffffffffffffa",
    ]


def test_trace_of_every_operand_form(library: Library) -> None:
    """Immediates, globals, texts, data, lists of targets and registers; locations of the source."""
    import numpy as np

    from mlirage.module_file import Location, Rodata

    module = make_module(
        {"f": ("_", """
          const_64 0x123456789abcdef0 -> s0
          global_store @state, s0
          rodata #0 -> r0
          switch s0, L1, L1
        L1:
          discard -> r0
          return""")},
        globals=[Global("@state", "I")],
        rodata=[Rodata("d", np.zeros(3, np.uint8))],
    )  # fmt: skip
    module.functions[0].locations = [Location(6, "model:/node")]
    lines: list[str] = []
    Context(library, module, trace=lines.append).call("f")
    assert lines[0] == "f+0 const_64 1311768467463790320 -> s0"
    assert lines[1] == "f+6 global_store @@state s0=0x123456789abcdef0  ; model:/node"
    assert [line.split()[1] for line in lines[2:]] == ["rodata", "switch", "discard", "return"]


def test_reset(library: Library) -> None:
    module = make_module(
        {
            "__init": ("_", "const_64_short 7 -> s0\nglobal_store a, s0\nreturn"),
            "add": ("I_II", "global_load a -> s1\nadd_i64 s0, s1 -> s1\nglobal_store a, s1\n"
                            "global_load b -> s2\nadd_i64 s0, s2 -> s2\nglobal_store b, s2\nreturn s1, s2"),
            "keep": ("r_", "global_store_ref c, r0\nreturn"),
            "kept": ("_i", "global_load_ref c -> r0\nis_null r0 -> s0\nreturn s0"),
        },
        globals=[Global("a", "I"), Global("b", "I", 100), Global("c", "r")],
    )  # fmt: skip
    context, other = Context(library, module), Context(library, module)
    held = Object()
    assert context.call("add", 1) == [8, 101]
    context.call("keep", refs=[held.address])
    assert held.count == 2
    context.reset()
    assert held.count == 1
    assert context.call("kept") == [1]
    assert context.call("add", 1) == [8, 101]
    assert other.call("add", 2) == [9, 102]  # contexts have states of their own


def _adder(name: str, version: int = 0, **imports: int) -> ModuleFile:
    """A module whose `f` adds 1 to what the modules that it imports from give; its state tells who was first."""
    code = ["const_64_short 1 -> s1", "add_i64 s0, s1 -> s0"]
    for other in imports:
        code.append(f"call_import {other}.f [], s0 -> s0")
    functions = {"f": ("I_I", "\n".join([*code, "return s0"]))}
    start = [f"call_import {other}.f [], s0 -> s0" for other in imports]
    functions["__init"] = ("_", "\n".join(["const_64_short 10 -> s0", *start, "global_store start, s0", "return"]))
    functions["start"] = ("_I", "global_load start -> s0\nreturn s0")
    return make_module(
        functions,
        name=name,
        version=version,
        imports=[Import(f"{other}.f", "I_I", least) for other, least in imports.items()],
        globals=[Global("start", "I")],
    )


def test_modules_call_each_other(library: Library) -> None:
    """In any order of the list; initializers run after those of what is imported."""
    a, b, c = _adder("a", b=0, c=0), _adder("b", c=0), _adder("c")
    for order in ([a, b, c], [c, b, a], [b, a, c]):
        context = Context(library, *order)
        assert context.call("f", 0, module=order.index(a)) == [4]
        assert [context.call("start", module=order.index(m)) for m in (a, b, c)] == [[13], [11], [10]]


def test_circles_are_refused(library: Library) -> None:
    with pytest.raises(Failure, match=r"INVALID_MODULE: modules import from each other in a circle: a, b$"):
        Context(library, _adder("a", b=0), _adder("b", a=0), _adder("c"))


def test_a_module_may_import_from_itself(library: Library) -> None:
    module = make_module(
        {"f": ("I_I", "call_import a.g [], s0 -> s0\nreturn s0"), "g": ("I_I", "return s0")},
        name="a", imports=[Import("a.g", "I_I")],
    )  # fmt: skip
    assert Context(library, module).call("f", 3) == [3]


def test_least_versions(library: Library) -> None:
    assert Context(library, _adder("a", b=2), _adder("b", version=3)).call("f", 0) == [2]
    with pytest.raises(Failure, match=r"NOT_FOUND: module 'a' imports what nothing provides: b\.f"):
        Context(library, _adder("a", b=4), _adder("b", version=3))


def test_failures_across_modules_tell_the_way(library: Library) -> None:
    inner = make_module({"f": ("I_I", "div_s_i64 s0, s1 -> s0\nreturn s0")}, name="inner")
    outer = make_module(
        {"main": ("I_I", "call_import inner.f [], s0 -> s0\nreturn s0")}, imports=[Import("inner.f", "I_I")]
    )
    with pytest.raises(Failure, match=r"DIVISION_BY_ZERO: integer division by zero\n  at f\n  at inner\.f\n  at main|"
                                      r"DIVISION_BY_ZERO: integer division by zero\n  at f\n  at main"):  # fmt: skip
        Context(library, outer, inner).call("main", 1)


def test_compiled_yield(machine: Library) -> None:
    module = compile_host("""
      func.func @f(%n: i64) -> i64 {
        "vm.yield"() : () -> ()
        return %n : i64
      }
    """)
    context = Context(machine, module)
    assert not context.begin("f", 4)
    assert context.resume()
    assert context.finish() == [4]
