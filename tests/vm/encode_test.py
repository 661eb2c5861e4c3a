"""Register allocation and encoding: random structured programs against a direct evaluation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_host import compile_host
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import Context, Library, Object

from mlirage.module_file import ModuleFile
from mlirage.vm.assembly import assemble, disassemble

OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "addi": lambda a, b: a + b,
    "subi": lambda a, b: a - b,
    "muli": lambda a, b: a * b,
    "xori": lambda a, b: a ^ b,
}
SCALARS, REFS = 5, 3


class Generator:
    """Makes a program in text and, beside it, a function that does the same to lists of values.

    The state is SCALARS i64 and REFS references; loops and branches hand on permutations of it, so that edges carry
    moves in cycles.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def permutation(self) -> tuple[list[int], list[int]]:
        scalars = [self.random.randrange(SCALARS) for _ in range(SCALARS)]
        refs = [self.random.randrange(REFS) for _ in range(REFS)]
        if self.random.random() < 0.6:
            self.random.shuffle(scalars := list(range(SCALARS)))
            self.random.shuffle(refs := list(range(REFS)))
        return scalars, refs

    def block(self, names: list[str], depth: int) -> tuple[str, list[str], Callable[[list[Any]], list[Any]]]:
        """Statements on the state `names`: text, names after it, and the evaluation."""
        text, steps = "", []
        for _ in range(self.random.randrange(1, 4)):
            kind = self.random.choice(["op", "op", "if", "for", "while", "select"] if depth else ["op", "select"])
            line, names, step = getattr(self, f"make_{kind}")(names, depth)
            text += line
            steps.append(step)

        def run(state: list[Any]) -> list[Any]:
            for step in steps:
                state = step(state)
            return state

        return text, names, run

    def make_op(self, names: list[str], depth: int) -> Any:
        target, a, b = (self.random.randrange(SCALARS) for _ in range(3))
        name = self.random.choice(list(OPERATIONS))
        result = self.fresh()
        after = [*names[:target], result, *names[target + 1 :]]

        def step(state: list[Any]) -> list[Any]:
            value = OPERATIONS[name](state[a], state[b]) % 2**64
            return [*state[:target], value, *state[target + 1 :]]

        return f"{result} = arith.{name} {names[a]}, {names[b]} : i64\n", after, step

    def make_select(self, names: list[str], depth: int) -> Any:
        a, b, target = (SCALARS + self.random.randrange(REFS) for _ in range(3))
        x, y = (self.random.randrange(SCALARS) for _ in range(2))
        condition, result = self.fresh(), self.fresh()
        text = f"{condition} = arith.cmpi ult, {names[x]}, {names[y]} : i64\n"
        text += f"{result} = arith.select {condition}, {names[a]}, {names[b]} : !hal.buffer\n"

        def step(state: list[Any]) -> list[Any]:
            return [*state[:target], state[a] if state[x] < state[y] else state[b], *state[target + 1 :]]

        return text, [*names[:target], result, *names[target + 1 :]], step

    def yielded(self, names: list[str]) -> tuple[str, Callable[[list[Any]], list[Any]]]:
        scalars, refs = self.permutation()
        order = scalars + [SCALARS + ref for ref in refs]
        return f"scf.yield {', '.join(names[i] for i in order)} : {TYPES}\n", lambda state: [state[i] for i in order]

    def make_if(self, names: list[str], depth: int) -> Any:
        x, y = (self.random.randrange(SCALARS) for _ in range(2))
        condition = self.fresh()
        sides = []
        for _ in range(2):
            text, inner, run = self.block(names, depth - 1)
            yield_, permute = self.yielded(inner)
            sides.append((text + yield_, lambda state, run=run, permute=permute: permute(run(state))))
        result = self.fresh()
        text = f"{condition} = arith.cmpi slt, {names[x]}, {names[y]} : i64\n"
        text += f"{result}:{SCALARS + REFS} = scf.if {condition} -> ({TYPES}) {{\n{sides[0][0]}}}"
        text += f" else {{\n{sides[1][0]}}}\n"

        def step(state: list[Any]) -> list[Any]:
            return sides[0 if to_signed(state[x]) < to_signed(state[y]) else 1][1](state)

        return text, [f"{result}#{i}" for i in range(SCALARS + REFS)], step

    def make_for(self, names: list[str], depth: int) -> Any:
        trips = self.random.randrange(4)
        index, zero, one, limit, result = (self.fresh() for _ in range(5))
        inner = [self.fresh() for _ in names]
        body, after, run = self.block(inner, depth - 1)
        yield_, permute = self.yielded(after)
        initial = ", ".join(f"{a} = {b}" for a, b in zip(inner, names, strict=True))
        text = f"{zero} = arith.constant 0 : index\n{one} = arith.constant 1 : index\n"
        text += (
            f"{limit} = arith.constant {trips} : index\n{result}:{SCALARS + REFS} = scf.for {index} = {zero} to {limit}"
        )
        text += f" step {one} iter_args({initial}) -> ({TYPES}) {{\n{body}{yield_}}}\n"

        def step(state: list[Any]) -> list[Any]:
            for _ in range(trips):
                state = permute(run(state))
            return state

        return text, [f"{result}#{i}" for i in range(SCALARS + REFS)], step

    def make_while(self, names: list[str], depth: int) -> Any:
        """Runs while bit 0 of a changing value is set; ends as the value is shifted."""
        counter, shifted, bit, one, flag, start, result = (self.fresh() for _ in range(7))
        before, inner = [self.fresh() for _ in names], [self.fresh() for _ in names]
        body, after, run = self.block(inner, depth - 1)
        scalars, refs = self.permutation()
        order = scalars + [SCALARS + ref for ref in refs]
        key = self.random.randrange(SCALARS)
        passed = ", ".join(before)
        args = ", ".join(f"{a} = {b}" for a, b in zip(before, names, strict=True))
        block_args = ", ".join(f"{a}: {t}" for a, t in zip(inner, TYPES.split(", "), strict=True))
        inner_counter, next_counter = self.fresh(), self.fresh()
        text = f"{one} = arith.constant 1 : i64\n{start} = arith.constant 7 : i64\n"
        text += f"{bit} = arith.andi {names[key]}, {start} : i64\n"
        text += f"{result}:{SCALARS + REFS + 1} = scf.while ({args}, {counter} = {bit})"
        text += f" : ({TYPES}, i64) -> ({TYPES}, i64) {{\n"
        text += f"{shifted} = arith.andi {counter}, {one} : i64\n{flag} = arith.trunci {shifted} : i64 to i1\n"
        text += f"scf.condition({flag}) {passed}, {counter} : {TYPES}, i64 }}"
        text += f" do {{ ^bb0({block_args}, {inner_counter}: i64):\n"
        text += f"{body}{next_counter} = arith.shrui {inner_counter}, {one} : i64\n"
        text += f"scf.yield {', '.join(after[i] for i in order)}, {next_counter} : {TYPES}, i64 }}\n"

        def step(state: list[Any]) -> list[Any]:
            count = state[key] & 7
            while count & 1:
                state = run(state)
                state = [state[i] for i in order]
                count >>= 1
            return state

        return text, [f"{result}#{i}" for i in range(SCALARS + REFS)], step


TYPES = ", ".join(["i64"] * SCALARS + ["!hal.buffer"] * REFS)


def to_signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value


def make_program(seed: int) -> tuple[str, Callable[[list[Any]], list[Any]]]:
    names = [f"%a{i}" for i in range(SCALARS + REFS)]
    arguments = ", ".join(f"{name}: {kind}" for name, kind in zip(names, TYPES.split(", "), strict=True))
    text, after, run = Generator(seed).block(names, 3)
    return f"func.func @main({arguments}) -> ({TYPES}) {{\n{text}return {', '.join(after)} : {TYPES}\n}}", run


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_random_programs(machine: Library, seed: int) -> None:
    text, run = make_program(seed)
    module = compile_host(text)
    check_round_trip(module)
    context = Context(machine, module)
    rng = random.Random(seed)
    for _ in range(3):
        scalars = [rng.choice([0, 1, 2, 7, 2**63, 2**64 - 1, rng.randrange(2**64)]) for _ in range(SCALARS)]
        objects = [Object() for _ in range(REFS)]
        expected = run([*scalars, *objects])
        got = context.call("main", *scalars, refs=[item.address for item in objects])
        assert got == expected[:SCALARS]
        assert list(context.refs) == [item.address for item in expected[SCALARS:]]
        for item in objects:  # one of ours, and one for each result
            assert item.count == 1 + sum(other is item for other in expected[SCALARS:])


def check_round_trip(module: ModuleFile) -> None:
    """assemble(disassemble(code)) == code, and the same for the file."""
    for function in module.functions:
        np.testing.assert_array_equal(assemble(disassemble(module, function), module), function.code)
    encoded = module.encode()
    assert ModuleFile.decode(encoded).encode() == encoded


def test_encoding_is_deterministic() -> None:
    text, _ = make_program(5)
    assert compile_host(text).encode() == compile_host(text).encode()


@pytest.mark.parametrize("kind", ["i32", "i64", "i8", "index"])
@pytest.mark.parametrize("cases", [[0, 1, 2], [3, -1, 100], [], [0], [1, 0]])
def test_switches(machine: Library, kind: str, cases: list[int]) -> None:
    """Dense cases become a table, others comparisons."""
    if kind == "index":
        arms = "".join(f"case {case} {{ %k{i} = arith.constant {i + 10} : i64 scf.yield %k{i} : i64 }}\n"
                       for i, case in enumerate(cases) if case >= 0)  # fmt: skip
        body = f"%r = scf.index_switch %a -> i64\n {arms} default {{ %d = arith.constant 99 : i64 scf.yield %d : i64 }}"
        text = f"func.func @main(%a: index) -> i64 {{ {body} return %r : i64 }}"
    else:
        arms = "".join(f", {case}: ^bb{i + 1}" for i, case in enumerate(cases))
        blocks = "".join(f"^bb{i + 1}:\n%k{i} = arith.constant {i + 10} : i64\nreturn %k{i} : i64\n"
                         for i in range(len(cases)))  # fmt: skip
        text = f"func.func @main(%a: {kind}) -> i64 {{ cf.switch %a : {kind}, [default: ^other{arms}]\n"
        text += f"{blocks}^other:\n%d = arith.constant 99 : i64\nreturn %d : i64 }}"
    context = Context(machine, compile_host(text))
    width = 64 if kind == "index" else int(kind[1:])
    for value in (0, 1, 2, 3, 4, 100, -1, -100):
        expected = 10 + cases.index(value) if value in cases and (kind != "index" or value >= 0) else 99
        assert context.call("main", value % (1 << width)) == [expected], value


def test_references_die_after_their_last_use(machine: Library) -> None:
    """Each step's buffer is released before the next is made: memory of one at a time."""
    steps = "".join(
        f'%{i} = "hal.allocator_allocate"(%d, %c) : (!hal.device, index) -> !hal.buffer\n'
        f'%n{i} = "hal.buffer_length"(%{i}) : (!hal.buffer) -> index\n%s{i} = arith.addi %s{i - 1}, %n{i} : index\n'
        for i in range(1, 6)
    )
    text = f"""func.func @main(%d: !hal.device, %c: index) -> index {{
      %s0 = arith.constant 0 : index
      {steps} return %s5 : index }}"""
    module = compile_host(text)
    assert module.functions[0].ref_registers == 2
    alive: list[Object] = []
    peak: list[int] = []

    def allocate(call: Any) -> int:
        alive.append(Object())
        call.contents.ref_results[0] = alive[-1].address
        peak.append(sum(not item.destroyed for item in alive))
        return 0

    def length(call: Any) -> int:
        call.contents.scalar_results[0] = 3
        return 0

    natives = {"hal.allocator_allocate": ("rI_r", allocate), "hal.buffer_length": ("r_I", length)}
    context = Context(machine, module, natives=natives)
    device = Object()
    assert context.call("main", 9, refs=[device.address]) == [15]
    # The register of a dead buffer is reused by the call that makes the next: two at most for a moment.
    assert max(peak) <= 2
    assert all(item.destroyed for item in alive)
    assert device.count == 1


def test_thousands_of_values_need_few_registers(machine: Library) -> None:
    lines = "".join(f"%{i} = arith.muli %{i - 1}, %a : i64\n%b{i} = arith.xori %{i}, %a : i64\n"
                    f"%c{i} = arith.addi %b{i}, %c{i - 1} : i64\n" for i in range(1, 2000))  # fmt: skip
    text = f"func.func @main(%a: i64, %0: i64, %c0: i64) -> i64 {{ {lines} return %c1999 : i64 }}"
    text = text.replace("%0: i64", "%z: i64").replace("%0,", "%z,")
    module = compile_host(text)
    assert module.functions[0].scalar_registers <= 5
    a, product, total = 0x9E3779B97F4A7C15, 3, 0
    for _ in range(1, 2000):
        product = product * a % 2**64
        total = (total + (product ^ a)) % 2**64
    assert Context(machine, module).call("main", a, 3, 0) == [total]
