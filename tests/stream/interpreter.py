"""Runs stream programs in Python: values of the async form, and memory with the commands of the scheduled form.

The scheduled form is run by a strict machine: concurrent commands come in random order and must not touch the same
bytes, a dispatch must not write what it reads elsewhere, memory begins as garbage, and dead memory is not touched.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from mlirage.mlir import ir
from mlirage.stream import dialect as stream

Array = np.ndarray[Any, np.dtype[np.uint8]]
Range = tuple[int, int, int]  # memory, first, last


def compute(entry: str, arguments: list[Array], sizes: list[int]) -> list[Array]:
    """What a dispatch computes: every byte of a result depends on bytes of all arguments."""
    results = []
    for number, size in enumerate(sizes):
        total = np.full(size, sum(entry.encode()) + 17 * number, np.uint32)
        for k, argument in enumerate(arguments):
            if len(argument):
                total += (
                    np.resize(argument, size).astype(np.uint32) * (3 + 2 * k) + np.arange(size, dtype=np.uint32) * k
                )
                total += int(argument[-1])
        results.append((total % 251).astype(np.uint8))
    return results


class Memory:
    """A block of memory; alive until it is given back."""

    def __init__(self, data: Array) -> None:
        self.data = data
        self.is_alive = True


class Machine:
    """Evaluates the functions of a module; `variables` are its globals."""

    def __init__(self, module: ir.Module, variables: dict[str, Array], seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.variables = {name: Memory(data.copy()) for name, data in variables.items()}
        self.functions = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in module.body.operations
            if op.operation.name == "func.func"
        }
        self.values: dict[ir.Value, Any] = {}

    def call(self, name: str, arguments: list[Any]) -> list[Any]:
        """The results of a function."""
        block = self.functions[name].regions[0].blocks[0]
        self.values.update(zip(block.arguments, arguments, strict=True))
        return self._run(block)

    def _run(self, block: ir.Block) -> list[Any]:
        """The operands of the terminator."""
        for op in [op.operation for op in block.operations][:-1]:
            results = getattr(self, "_" + op.name.replace(".", "_"))(op)
            self.values.update(zip(op.results, results, strict=True))
        return self._operands([op.operation for op in block.operations][-1])

    def _operands(self, op: ir.Operation) -> list[Any]:
        return [self.values[operand] for operand in op.operands]

    def _get(self, values: Any) -> list[Any]:
        return [self.values[value] for value in values]

    # Scalars and control flow.

    def _arith_constant(self, op: ir.Operation) -> list[Any]:
        return [ir.IntegerAttr(op.attributes["value"]).value]

    def _arith_addi(self, op: ir.Operation) -> list[Any]:
        a, b = self._operands(op)
        return [a + b]

    def _arith_muli(self, op: ir.Operation) -> list[Any]:
        a, b = self._operands(op)
        return [a * b]

    def _arith_andi(self, op: ir.Operation) -> list[Any]:
        a, b = self._operands(op)
        return [a & b]

    def _arith_maxui(self, op: ir.Operation) -> list[Any]:
        return [max(self._operands(op))]

    def _arith_select(self, op: ir.Operation) -> list[Any]:
        condition, a, b = self._operands(op)
        return [a if condition else b]

    def _func_call(self, op: ir.Operation) -> list[Any]:
        return self.call(ir.FlatSymbolRefAttr(op.attributes["callee"]).value, self._operands(op))

    def _scf_for(self, op: ir.Operation) -> list[Any]:
        first, end, step, *carried = self._operands(op)
        block = op.regions[0].blocks[0]
        for index in range(first, end, step):
            self.values.update(zip(block.arguments, [index, *carried], strict=True))
            carried = self._run(block)
        return carried

    def _scf_if(self, op: ir.Operation) -> list[Any]:
        region = op.regions[0 if self.values[op.operands[0]] else 1]
        return self._run(region.blocks[0]) if len(region.blocks) else []

    # Values.

    def _util_global_load(self, op: ir.Operation) -> list[Any]:
        memory = self.variables[ir.FlatSymbolRefAttr(op.attributes["symbol"]).value]
        return [memory.data.copy() if stream.lifetime_of(op.results[0]) == "*" else memory]

    def _stream_variable_store(self, op: ir.Operation) -> list[Any]:
        self.variables[ir.FlatSymbolRefAttr(op.attributes["symbol"]).value].data[:] = self.values[op.operands[0]]
        return []

    def _stream_async_alloca(self, op: ir.Operation) -> list[Any]:
        return [np.zeros(self.values[op.operands[0]], np.uint8)]

    def _stream_async_splat(self, op: ir.Operation) -> list[Any]:
        pattern, size = self._operands(op)
        return [np.full(size, pattern & 255, np.uint8)]

    def _stream_async_clone(self, op: ir.Operation) -> list[Any]:
        return [self.values[op.operands[0]].copy()]

    def _stream_async_slice(self, op: ir.Operation) -> list[Any]:
        source, _, offset, length = self._operands(op)
        return [source[offset : offset + length].copy()]

    def _stream_async_update(self, op: ir.Operation) -> list[Any]:
        target, _, update, _, offset = self._operands(op)
        result = target.copy()
        result[offset : offset + len(update)] = update
        return [result]

    def _stream_async_fill(self, op: ir.Operation) -> list[Any]:
        target, _, pattern, offset, length = self._operands(op)
        result = target.copy()
        result[offset : offset + length] = pattern & 255
        return [result]

    def _stream_async_load(self, op: ir.Operation) -> list[Any]:
        source, _, offset = self._operands(op)
        return [int(source[offset])]

    def _stream_async_dispatch(self, op: ir.Operation) -> list[Any]:
        view = op.opview
        return compute(str(view.entry), self._get(view.resources), self._get(view.result_sizes))

    # Memory.

    def _stream_timepoint_immediate(self, op: ir.Operation) -> list[Any]:
        return [None]

    def _stream_timepoint_await(self, op: ir.Operation) -> list[Any]:
        return []

    def _garbage(self, size: int) -> Memory:
        return Memory(np.frombuffer(self.random.randbytes(size), np.uint8).copy())

    def _stream_resource_alloc(self, op: ir.Operation) -> list[Any]:
        return [self._garbage(self.values[op.operands[0]])]

    def _stream_resource_alloca(self, op: ir.Operation) -> list[Any]:
        return [self._garbage(self.values[op.opview.size]), None]

    def _stream_resource_dealloca(self, op: ir.Operation) -> list[Any]:
        self.values[op.opview.resource].is_alive = False
        return []

    def _stream_resource_cast(self, op: ir.Operation) -> list[Any]:
        return self._operands(op)

    def _stream_resource_subview(self, op: ir.Operation) -> list[Any]:
        source, _, offset, length = self._operands(op)
        part = Memory(source.data[offset : offset + length])
        return [part]

    def _stream_resource_load(self, op: ir.Operation) -> list[Any]:
        source, _, offset = self._operands(op)
        assert source.is_alive
        return [int(source.data[offset])]

    def _stream_cmd_execute(self, op: ir.Operation) -> list[Any]:
        view = op.opview
        block = view.body.blocks[0]
        memories = self._get(view.resources)
        for memory, size in zip(memories, self._get(view.resource_sizes), strict=True):
            assert memory.is_alive, "dead memory is used"
            assert len(memory.data) == size, "a resource has another size than said"
        self.values.update(zip(block.arguments, memories, strict=True))
        for command in [c.operation for c in block.operations][:-1]:
            self._command_group(command)
        return [None]

    def _command_group(self, op: ir.Operation) -> None:
        if op.name != "stream.cmd_concurrent":
            self._command(op)
            return
        commands = [c.operation for c in op.regions[0].blocks[0].operations][:-1]
        touched = [self._touched(command) for command in commands]
        for i, (reads, writes) in enumerate(touched):
            for other_reads, other_writes in touched[:i]:
                assert not _overlap(writes, other_reads + other_writes), "concurrent commands touch the same bytes"
                assert not _overlap(reads, other_writes), "concurrent commands touch the same bytes"
        self.random.shuffle(commands)
        for command in commands:
            self._command(command)

    def _touched(self, op: ir.Operation) -> tuple[list[Range], list[Range]]:
        view = op.opview
        if op.name == "stream.cmd_fill":
            return [], [self._range(view.target, view.offset, view.length)]
        if op.name == "stream.cmd_copy":
            source = self._range(view.source, view.source_offset, view.length)
            return [source], [self._range(view.target, view.target_offset, view.length)]
        ranges = [self._range(*r) for r in zip(view.resources, view.offsets, view.lengths, strict=True)]
        access = [ir.StringAttr(a).value for a in view.access]
        return (
            [r for r, a in zip(ranges, access, strict=True) if "r" in a],
            [r for r, a in zip(ranges, access, strict=True) if "w" in a],
        )

    def _range(self, memory: ir.Value, offset: ir.Value, length: ir.Value) -> Range:
        data = self.values[memory].data
        start = data.__array_interface__["data"][0] + self.values[offset]
        assert self.values[offset] + self.values[length] <= len(data), "a range goes beyond its memory"
        return 0, start, start + self.values[length]

    def _bytes(self, memory: ir.Value, offset: ir.Value, length: ir.Value) -> Array:
        start = self.values[offset]
        return self.values[memory].data[start : start + self.values[length]]

    def _command(self, op: ir.Operation) -> None:
        view = op.opview
        reads, writes = self._touched(op)
        if op.name == "stream.cmd_fill":
            self._bytes(view.target, view.offset, view.length)[:] = self.values[view.pattern] & 255
        elif op.name == "stream.cmd_copy":
            assert not _overlap(reads, writes), "a copy overlaps itself"
            source = self._bytes(view.source, view.source_offset, view.length)
            self._bytes(view.target, view.target_offset, view.length)[:] = source
        else:
            self._dispatch(view)

    def _dispatch(self, view: Any) -> None:
        bindings = [self._bytes(*b) for b in zip(view.resources, view.offsets, view.lengths, strict=True)]
        ranges = [self._range(*r) for r in zip(view.resources, view.offsets, view.lengths, strict=True)]
        access = [ir.StringAttr(a).value for a in view.access]
        for i, kind in enumerate(access):
            others = ranges[:i] + ranges[i + 1 :]
            assert "w" not in kind or not _overlap([ranges[i]], others), "a dispatch writes what it also reads"
        inputs = [b.copy() for b, a in zip(bindings, access, strict=True) if "r" in a]
        outputs = sorted(
            (k for k, a in enumerate(access) if "w" in a), key=lambda k: self.order(str(view.entry), k, access)
        )
        results = compute(str(view.entry), inputs, [len(bindings[k]) for k in outputs])
        for k, result in zip(outputs, results, strict=True):
            bindings[k][:] = result

    def order(self, entry: str, binding: int, access: list[str]) -> int:
        """The number of the result that a binding holds; entries name what is tied: `f_1__0` ties 1, none, 0."""
        tied = [int(t) if t else -1 for t in entry.split("f")[-1].split("_")[1:]]
        arguments = sum("r" in a for a in access)
        if binding < arguments:
            return tied.index(binding)
        untied = [number for number, t in enumerate(tied) if t < 0]
        return untied[binding - arguments]


def _overlap(a: list[Range], b: list[Range]) -> bool:
    return any(x[1] < y[2] and y[1] < x[2] for x in a for y in b)
