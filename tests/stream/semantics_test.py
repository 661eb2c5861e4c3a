"""Random programs mean the same after every pass: the async form as values, the scheduled form as memory."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mlirage.mlir import ir, new_context
from mlirage.passes import run_passes
from mlirage.program import Program
from mlirage.stream import PIPELINE
from tests.stream.interpreter import Machine, Memory

_RESOURCE = '!stream.resource<"*">'
_VARIABLES = {"s": 64, "t": 128}
_SIZES = (8, 64, 72, 128)


class _Writer:
    """Writes a random function of the async form."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def emit(self, text: str) -> None:
        self.lines.append(text)

    def index(self, value: int) -> str:
        name = self.name()
        self.emit(f"{name} = arith.constant {value} : index")
        return name

    def size(self, value: int | str) -> str:
        return value if isinstance(value, str) else self.index(value)

    def clone(self, value: tuple[str, int | str]) -> str:
        name = self.name()
        self.emit(
            f'{name} = "stream.async_clone"({value[0]}, {self.size(value[1])}) : ({_RESOURCE}, index) -> {_RESOURCE}'
        )
        return name

    def pick(self, values: list[tuple[str, int | str]], size: int | str | None = None) -> tuple[str, int | str] | None:
        fitting = [v for v in values if size is None or v[1] == size]
        # Later values more often: they are the ones that passes work in place on.
        return fitting[-1 - int(len(fitting) * self.random.random() ** 2)] if fitting else None

    def block(self, values: list[tuple[str, int | str]], length: int, depth: int) -> list[tuple[str, int | str]]:
        values = list(values)
        for _ in range(length):
            kinds = [
                "splat",
                "fill",
                "update",
                "slice",
                "dispatch",
                "dispatch",
                "dispatch",
                "load",
                "concat",
                "variable",
            ]
            kinds += ["loop", "branch"] if depth < 2 else []
            getattr(self, "_" + self.random.choice(kinds))(values, depth)
        return values

    def _splat(self, values: list[tuple[str, int | str]], depth: int) -> None:
        pattern, name = self.name(), self.name()
        size = self.random.choice([*_SIZES, "%n"])
        self.emit(f"{pattern} = arith.constant {self.random.randrange(100)} : i8")
        self.emit(f'{name} = "stream.async_splat"({pattern}, {self.size(size)}) : (i8, index) -> {_RESOURCE}')
        values.append((name, size))

    def _fill(self, values: list[tuple[str, int | str]], depth: int) -> None:
        target, size = self.pick(values) or ("", 0)
        pattern, name = self.name(), self.name()
        self.emit(f"{pattern} = arith.constant {self.random.randrange(100)} : i8")
        self._fill_with(values, target, size, pattern, name)

    def _fill_with(
        self, values: list[tuple[str, int | str]], target: str, size: int | str, pattern: str, name: str
    ) -> None:
        operands = f"{target}, {self.size(size)}, {pattern}, {self.index(self.random.choice((0, 3)))}, {self.index(5)}"
        self.emit(f'{name} = "stream.async_fill"({operands}) : ({_RESOURCE}, index, i8, index, index) -> {_RESOURCE}')
        values.append((name, size))

    def _load(self, values: list[tuple[str, int | str]], depth: int) -> None:
        source, size = self.pick(values) or ("", 0)
        pattern, name = self.name(), self.name()
        offset = self.index(self.random.randrange(8))
        self.emit(
            f'{pattern} = "stream.async_load"({source}, {self.size(size)}, {offset})'
            f" : ({_RESOURCE}, index, index) -> i8"
        )
        target, size = self.pick(values) or ("", 0)
        self._fill_with(values, target, size, pattern, name)

    def _update(self, values: list[tuple[str, int | str]], depth: int) -> None:
        target, update = self.pick(values, 128), self.pick(values, 64)
        if target and update:
            name = self.name()
            offset = self.index(self.random.choice((0, 32, 64)))
            operands = f"{target[0]}, {self.index(128)}, {update[0]}, {self.index(64)}, {offset}"
            types = f"({_RESOURCE}, index, {_RESOURCE}, index, index) -> {_RESOURCE}"
            self.emit(f'{name} = "stream.async_update"({operands}) : {types}')
            values.append((name, 128))

    def _slice(self, values: list[tuple[str, int | str]], depth: int) -> None:
        source = self.pick(values, 128)
        if source:
            name = self.name()
            operands = f"{source[0]}, {self.index(128)}, {self.index(self.random.choice((0, 8, 64)))}, {self.index(64)}"
            self.emit(f'{name} = "stream.async_slice"({operands}) : ({_RESOURCE}, index, index, index) -> {_RESOURCE}')
            values.append((name, 64))

    def _concat(self, values: list[tuple[str, int | str]], depth: int) -> None:
        parts = [self.pick(values, 64), self.pick(values, 8), self.pick(values, 64)]
        if not all(parts):
            return
        sizes = [64, 8, 64]
        name = self.name()
        self.emit(f'{name} = "stream.async_alloca"({self.index(136)}) : (index) -> {_RESOURCE}')
        order = [0, 1, 2]
        self.random.shuffle(order)
        for k in order:
            part = parts[k]
            assert part is not None
            new = self.name()
            offset = self.index(sum(sizes[:k]))
            operands = f"{name}, {self.index(136)}, {part[0]}, {self.index(sizes[k])}, {offset}"
            types = f"({_RESOURCE}, index, {_RESOURCE}, index, index) -> {_RESOURCE}"
            self.emit(f'{new} = "stream.async_update"({operands}) : {types}')
            name = new
        values.append((name, 136))

    def _dispatch(self, values: list[tuple[str, int | str]], depth: int) -> None:
        arguments = [self.pick(values) or ("", 0) for _ in range(self.random.randrange(4))]
        tied: list[int] = []
        for _ in range(self.random.randrange(1, 3)):
            free = [k for k in range(len(arguments)) if k not in tied]
            tied.append(self.random.choice(free) if free and self.random.random() < 0.4 else -1)
        sizes = [arguments[k][1] if k >= 0 else self.random.choice([*_SIZES, "%n"]) for k in tied]
        name = self.name()
        lengths = [self.size(size) for _, size in arguments]
        zero = self.index(0)
        operands = (
            [a for a, _ in arguments] + lengths + [zero] * len(arguments) + lengths + [self.size(s) for s in sizes]
        )
        n = len(arguments)
        entry = f"f_{'_'.join(str(k) if k >= 0 else '' for k in tied)}"
        attributes = (
            f"argument_count = {n} : i64, entry = @e{self.count}::@{entry}, operandSegmentSizes = "
            f"array<i32: 0, {n}, {n}, {n}, {n}, {len(sizes)}>, resultSegmentSizes = array<i32: {len(sizes)}>, "
            f"scalar_types = [], tied = {tied}"
        )
        types = ", ".join([_RESOURCE] * n + ["index"] * (len(operands) - n))
        results = ", ".join([_RESOURCE] * len(sizes))
        self.emit(
            f'{name}:{len(sizes)} = "stream.async_dispatch"({", ".join(operands)})'
            f" {{{attributes}}} : ({types}) -> ({results})"
        )
        values += [(f"{name}#{k}", size) for k, size in enumerate(sizes)]

    def _variable(self, values: list[tuple[str, int | str]], depth: int) -> None:
        symbol = self.random.choice(list(_VARIABLES))
        stored = self.pick(values, _VARIABLES[symbol])
        if stored and self.random.random() < 0.5:
            size = self.index(_VARIABLES[symbol])
            self.emit(
                f'"stream.variable_store"({stored[0]}, {size}) {{symbol = @{symbol}}} : ({_RESOURCE}, index) -> ()'
            )
            return
        name = self.name()
        self.emit(f'{name} = "util.global_load"() {{symbol = @{symbol}}} : () -> {_RESOURCE}')
        values.append((name, _VARIABLES[symbol]))

    def _loop(self, values: list[tuple[str, int | str]], depth: int) -> None:
        carried = [self.pick(values) or ("", 0) for _ in range(self.random.randrange(1, 3))]
        clones = [self.clone(value) for value in carried]
        name, i = self.name(), self.name()
        inner = [(self.name(), size) for _, size in carried]
        bounds = f"{self.index(0)} to {self.index(self.random.randrange(4))} step {self.index(1)}"
        pairs = ", ".join(f"{a} = {b}" for (a, _), b in zip(inner, clones, strict=True))
        self.emit(
            f"{name}:{len(carried)} = scf.for {i} = {bounds} iter_args({pairs})"
            f" -> ({', '.join([_RESOURCE] * len(carried))}) {{"
        )
        self._end_block(values + inner, [size for _, size in carried], depth)
        self.emit("}")
        values += [(f"{name}#{k}", size) for k, (_, size) in enumerate(carried)]

    def _branch(self, values: list[tuple[str, int | str]], depth: int) -> None:
        sizes = [(self.pick(values) or ("", 0))[1] for _ in range(self.random.randrange(1, 3))]
        name = self.name()
        self.emit(f"{name}:{len(sizes)} = scf.if %c -> ({', '.join([_RESOURCE] * len(sizes))}) {{")
        self._end_block(values, sizes, depth)
        self.emit("} else {")
        self._end_block(values, sizes, depth)
        self.emit("}")
        values += [(f"{name}#{k}", size) for k, size in enumerate(sizes)]

    def _end_block(self, values: list[tuple[str, int | str]], sizes: list[int | str], depth: int) -> None:
        values = self.block(values, self.random.randrange(1, 6), depth + 1)
        yielded = [self.clone(self.pick(values, size) or ("", 0)) for size in sizes]
        self.emit(f"scf.yield {', '.join(yielded)} : {', '.join([_RESOURCE] * len(yielded))}")


def _program(seed: int) -> str:
    writer = _Writer(seed)
    values: list[tuple[str, int | str]] = [("%x", 64), ("%y", 128), ("%z", "%n")]
    values = writer.block(values, writer.random.randrange(3, 25), 0)
    results = [writer.clone(writer.pick(values) or ("", 0)) for _ in range(3)]
    kinds = ", ".join([_RESOURCE] * 3)
    variables = "\n".join(
        f'"util.global"() {{is_mutable = false, size = {size} : i64, sym_name = "{name}", '
        f'type = !stream.resource<"variable">}} : () -> ()'
        for name, size in _VARIABLES.items()
    )
    body = "\n".join(writer.lines)
    return f"""{variables}
func.func private @main(%x: {_RESOURCE}, %y: {_RESOURCE}, %z: {_RESOURCE}, %n: index, %c: i1) -> ({kinds}) {{
{body}
return {", ".join(results)} : {kinds}
}}"""


@pytest.mark.parametrize("seed", range(80))
def test_random_programs_keep_their_meaning(seed: int) -> None:
    text = _program(seed)
    module = ir.Module.parse(text, new_context())
    generator = np.random.default_rng(seed)
    n = int(generator.choice([8, 40, 64, 200]))
    arrays = [generator.integers(0, 256, size, np.uint8) for size in (64, 128, n)]
    variables = {name: generator.integers(0, 256, size, np.uint8) for name, size in _VARIABLES.items()}
    condition = bool(seed % 2)
    expected_machine = Machine(module, variables)
    expected = expected_machine.call("main", [*arrays, n, condition])

    program = Program(module)
    run_passes(program, PIPELINE[1:])
    machine = Machine(module, variables, seed)
    memories = [Memory(array.copy()) for array in arrays]
    got = machine.call("main", [*memories, n, condition])
    for number, (want, memory) in enumerate(zip(expected, got, strict=True)):
        assert memory.data.tobytes() == want.tobytes(), f"result {number}"
        others = [*memories, *machine.variables.values(), *got[:number]]
        assert not any(np.shares_memory(memory.data, other.data) for other in others), f"result {number} is not its own"
    for array, memory in zip(arrays, memories, strict=True):
        assert array.tobytes() == memory.data.tobytes(), "an argument was changed"
    for name, memory in machine.variables.items():
        assert memory.data.tobytes() == expected_machine.variables[name].data.tobytes(), f"variable {name}"
