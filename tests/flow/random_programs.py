"""Random tensor programs as MLIR text, with the results that numpy computes for them.

All numbers are small integers in f32, so that no order of additions changes a result. In dynamic programs every
argument dim is `?` and all extents are computed from `tensor.dim`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Value:
    """An SSA value: its name, the SSA names of its extents (None if static), and what it is."""

    name: str
    extents: list[str | None]
    array: Array

    @property
    def type(self) -> str:
        dims = "".join(f"{n if e is None else '?'}x" for n, e in zip(self.array.shape, self.extents, strict=True))
        return f"tensor<{dims}f32>"


class RandomProgram:
    """A program of `size` ops made from `seed`."""

    def __init__(self, seed: int, size: int, dynamic: bool, extents: tuple[int, ...] = (1, 2, 3, 5, 7)) -> None:
        self.random = random.Random(seed)
        self.dynamic = dynamic
        self.lines: list[str] = []
        self.count = 0
        self.inputs: list[Array] = []
        self.arguments: list[Value] = []
        self.choices = [self.random.choice(extents) for _ in range(3)]
        self.values: list[Value] = []
        for number in range(self.random.randint(1, 3)):
            shape = [self.random.choice(self.choices) for _ in range(self.random.randint(1, 3))]
            array = self._integers(shape)
            names: list[str | None] = [None] * len(shape)
            value = Value(f"%arg{number}", names, array)
            if dynamic:
                names[:] = [self._dim(f"%arg{number}", shape, i) for i in range(len(shape))]
            self.inputs.append(array)
            self.arguments.append(value)
            self.values.append(value)
        steps = [
            self._unary, self._binary, self._row, self._reduce, self._transpose, self._collapse, self._expand,
            self._matmul, self._batch_matmul, self._concat, self._slice, self._pad, self._select, self._iota,
            self._strided, self._insert,
        ]  # fmt: skip
        while self.count < size:
            self.random.choice(steps)()
        used = self.values[len(self.arguments) :]
        self.results = self.random.sample(used, min(len(used), self.random.randint(1, 3)))

    @property
    def text(self) -> str:
        """The program."""
        arguments = ", ".join(f"{value.name}: {value.type}" for value in self.arguments)
        types = ", ".join(value.type for value in self.results)
        body = "\n".join(f"  {line}" for line in self.lines)
        names = ", ".join(value.name for value in self.results)
        return f"func.func @main({arguments}) -> ({types}) {{\n{body}\n  return {names} : {types}\n}}\n"

    def _integers(self, shape: list[int]) -> Array:
        generator = np.random.default_rng(self.random.randint(0, 1 << 30))
        return generator.integers(-3, 4, shape).astype(np.float32)

    def _new(self, text: str) -> str:
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"{name} = {text}")
        return name

    def _name(self, text: str) -> str:
        name = f"%s{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def _dim(self, value: str, shape: list[int], dim: int) -> str:
        types = "tensor<" + "?x" * len(shape) + "f32>"
        index = self._name(f"arith.constant {dim} : index")
        return self._name(f"tensor.dim {value}, {index} : {types}")

    def _add(self, name: str, extents: list[str | None], array: Array) -> Value:
        value = Value(name, extents, array.astype(np.float32))
        # Keep numbers small: products of products would leave the exact integers.
        if np.abs(value.array).max(initial=0) > 1000:
            value = self._clamped(value)
        self.values.append(value)
        return value

    def _clamped(self, value: Value) -> Value:
        low, high = self._name("arith.constant -3.0 : f32"), self._name("arith.constant 3.0 : f32")
        rank = value.array.ndim
        body = f"%m = arith.maximumf %a, {low} : f32\n %n = arith.minimumf %m, {high} : f32\n linalg.yield %n : f32"
        name = self._generic([(value, self._identity(rank))], value.extents, value.array.shape, rank, body)
        return Value(name, value.extents, np.clip(value.array, -3, 3))

    def _identity(self, rank: int) -> str:
        return ", ".join(f"d{i}" for i in range(rank))

    def _empty(self, extents: list[str | None], shape: tuple[int, ...]) -> tuple[str, str]:
        kind = Value("", extents, np.zeros(shape, np.float32)).type
        dims = ", ".join(extent for extent in extents if extent)
        return self._name(f"tensor.empty({dims}) : {kind}"), kind

    def _generic(
        self,
        operands: list[tuple[Value, str]],
        extents: list[str | None],
        shape: tuple[int, ...],
        rank: int,
        body: str,
        out_map: str | None = None,
        reduced: tuple[int, ...] = (),
        init: str | None = None,
    ) -> str:
        loops = self._identity(rank)
        out, kind = self._empty(extents, shape)
        if init is not None:
            constant = self._name(f"arith.constant {init} : f32")
            out = self._name(f"linalg.fill ins({constant} : f32) outs({out} : {kind}) -> {kind}")
        maps = ", ".join(
            f"affine_map<({loops}) -> ({m})>"
            for m in [*(m for _, m in operands), out_map if out_map is not None else loops]
        )
        kinds = ", ".join('"reduction"' if i in reduced else '"parallel"' for i in range(rank))
        names = ["%a", "%b", "%c"][: len(operands)]
        ins = (
            f"ins({', '.join(v.name for v, _ in operands)} : {', '.join(v.type for v, _ in operands)})"
            if operands
            else ""
        )
        arguments = ", ".join(f"{n}: f32" for n in [*names, "%out"])
        return self._new(
            f"linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}} {ins} outs({out} : {kind}) {{\n"
            f"  ^bb0({arguments}):\n    {body}\n  }} -> {kind}"
        )

    def _pick(self, least_rank: int = 0) -> Value | None:
        fitting = [value for value in self.values if value.array.ndim >= least_rank]
        return self.random.choice(fitting[-6:]) if fitting else None

    def _unary(self) -> None:
        x = self._pick()
        assert x is not None
        rank = x.array.ndim
        body = "%z = arith.negf %a : f32\n    %y = arith.maximumf %z, %a : f32\n    linalg.yield %y : f32"
        name = self._generic([(x, self._identity(rank))], x.extents, x.array.shape, rank, body)
        self._add(name, x.extents, np.abs(x.array))

    def _binary(self) -> None:
        x = self._pick()
        assert x is not None
        partners = [v for v in self.values if v.extents == x.extents and v.array.shape == x.array.shape]
        y = self.random.choice(partners)
        rank, same = x.array.ndim, self._identity(x.array.ndim)
        body = "%y = arith.addf %a, %b : f32\n    linalg.yield %y : f32"
        name = self._generic([(x, same), (y, same)], x.extents, x.array.shape, rank, body)
        self._add(name, x.extents, x.array + y.array)

    def _row(self) -> None:
        """An operand that lacks some loops."""
        x = self._pick(1)
        if x is None:
            return
        rank = x.array.ndim
        for y in reversed(self.values):
            for start in range(rank - y.array.ndim + 1):
                part = slice(start, start + y.array.ndim)
                if y.array.ndim < rank and y.extents == x.extents[part] and y.array.shape == x.array.shape[part]:
                    body = "%y = arith.subf %a, %b : f32\n    linalg.yield %y : f32"
                    read = ", ".join(f"d{i}" for i in range(start, start + y.array.ndim))
                    name = self._generic([(x, self._identity(rank)), (y, read)], x.extents, x.array.shape, rank, body)
                    shape = (*y.array.shape, *([1] * (rank - start - y.array.ndim)))
                    self._add(name, x.extents, x.array - y.array.reshape(shape))
                    return

    def _reduce(self) -> None:
        x = self._pick(1)
        if x is None:
            return
        rank = x.array.ndim
        axis = self.random.choice([rank - 1, rank - 1, self.random.randrange(rank)])
        kept = [i for i in range(rank) if i != axis]
        largest = self.random.random() < 0.5 and x.array.shape[axis] > 0
        op, init = ("maximumf", "0xFF800000") if largest else ("addf", "0.0")
        body = f"%y = arith.{op} %a, %out : f32\n    linalg.yield %y : f32"
        name = self._generic(
            [(x, self._identity(rank))], [x.extents[i] for i in kept], tuple(x.array.shape[i] for i in kept), rank,
            body, ", ".join(f"d{i}" for i in kept), (axis,), init,
        )  # fmt: skip
        self._add(name, [x.extents[i] for i in kept], x.array.max(axis) if largest else x.array.sum(axis))

    def _transpose(self) -> None:
        x = self._pick(2)
        if x is None:
            return
        order = list(range(x.array.ndim))
        self.random.shuffle(order)
        extents, array = [x.extents[i] for i in order], x.array.transpose(order)
        out, kind = self._empty(extents, array.shape)
        name = self._new(f"linalg.transpose ins({x.name} : {x.type}) outs({out} : {kind}) permutation = {order}")
        self._add(name, extents, array)

    def _collapse(self) -> None:
        x = self._pick(2)
        if x is None:
            return
        at = self.random.randrange(x.array.ndim - 1)
        first, second = x.extents[at : at + 2]
        merged = None
        if first or second:
            sizes = [
                e or self._name(f"arith.constant {n} : index")
                for e, n in zip((first, second), x.array.shape[at : at + 2], strict=True)
            ]
            merged = self._name(f"arith.muli {sizes[0]}, {sizes[1]} : index")
        shape = (*x.array.shape[:at], x.array.shape[at] * x.array.shape[at + 1], *x.array.shape[at + 2 :])
        result = Value("", [*x.extents[:at], merged, *x.extents[at + 2 :]], x.array.reshape(shape))
        groups = [[i] for i in range(at)] + [[at, at + 1]] + [[i] for i in range(at + 2, x.array.ndim)]
        name = self._new(f"tensor.collapse_shape {x.name} {groups} : {x.type} into {result.type}")
        self._add(name, result.extents, result.array)

    def _expand(self) -> None:
        x = self._pick(1)
        if x is None or x.array.ndim > 3:
            return
        at = self.random.randrange(x.array.ndim)
        extent = x.array.shape[at]
        factor = self.random.choice([n for n in (1, 2, 3, 5, 7) if extent % n == 0])
        outer = None
        if x.extents[at]:
            divisor = self._name(f"arith.constant {factor} : index")
            outer = self._name(f"arith.divsi {x.extents[at]}, {divisor} : index")
        shape = (*x.array.shape[:at], extent // factor, factor, *x.array.shape[at + 1 :])
        result = Value("", [*x.extents[:at], outer, None, *x.extents[at + 1 :]], x.array.reshape(shape))
        groups = [[i] for i in range(at)] + [[at, at + 1]] + [[i + 1] for i in range(at + 1, x.array.ndim)]
        sizes = ", ".join(e or str(n) for e, n in zip(result.extents, shape, strict=True))
        name = self._new(f"tensor.expand_shape {x.name} {groups} output_shape [{sizes}] : {x.type} into {result.type}")
        self._add(name, result.extents, result.array)

    def _pairs(self, rank: int, transposed: bool) -> tuple[Value, Value] | None:
        pairs = [
            (x, y)
            for x in self.values[-8:]
            for y in self.values[-8:]
            if x.array.ndim == y.array.ndim == rank
            and x.extents[:-2] == y.extents[:-2]
            and x.array.shape[:-2] == y.array.shape[:-2]
            and x.extents[-1] == y.extents[-2]
            and x.array.shape[-1] == y.array.shape[-2]
        ]
        return self.random.choice(pairs) if pairs else None

    def _product(self, op: str, x: Value, y: Value) -> None:
        extents = [*x.extents[:-1], y.extents[-1]]
        array = x.array @ y.array
        out, kind = self._empty(extents, array.shape)
        zero = self._name("arith.constant 0.0 : f32")
        init = self._name(f"linalg.fill ins({zero} : f32) outs({out} : {kind}) -> {kind}")
        name = self._new(f"linalg.{op} ins({x.name}, {y.name} : {x.type}, {y.type}) outs({init} : {kind}) -> {kind}")
        self._add(name, extents, array)

    def _matmul(self) -> None:
        pair = self._pairs(2, False)
        if pair is not None:
            self._product("matmul", *pair)

    def _batch_matmul(self) -> None:
        pair = self._pairs(3, False)
        if pair is not None:
            self._product("batch_matmul", *pair)

    def _concat(self) -> None:
        x = self._pick(1)
        if x is None:
            return
        axis = self.random.randrange(x.array.ndim)
        extent = None
        if x.extents[axis]:
            extent = self._name(f"arith.addi {x.extents[axis]}, {x.extents[axis]} : index")
        extents = [extent if i == axis else e for i, e in enumerate(x.extents)]
        array = np.concatenate([x.array, x.array], axis)
        kind = Value("", extents, array).type
        name = self._new(f"tensor.concat dim({axis}) {x.name}, {x.name} : ({x.type}, {x.type}) -> {kind}")
        self._add(name, extents, array)

    def _slice(self) -> None:
        """A part of one dim, at the end."""
        x = self._pick(1)
        if x is None:
            return
        axis = self.random.randrange(x.array.ndim)
        if x.extents[axis] or x.array.shape[axis] < 2 or 0 in x.array.shape:
            return
        start = self.random.randrange(x.array.shape[axis])
        size = x.array.shape[axis] - start
        window = [slice(None)] * x.array.ndim
        window[axis] = slice(start, None)
        array = x.array[tuple(window)]
        self._extract(x, axis, start, size, 1, array)

    def _strided(self) -> None:
        x = self._pick(1)
        if x is None:
            return
        axis = self.random.randrange(x.array.ndim)
        if x.extents[axis] or x.array.shape[axis] < 3 or 0 in x.array.shape:
            return
        window = [slice(None)] * x.array.ndim
        window[axis] = slice(0, None, 2)
        array = x.array[tuple(window)]
        self._extract(x, axis, 0, array.shape[axis], 2, array)

    def _extract(self, x: Value, axis: int, start: int, size: int, stride: int, array: Array) -> None:
        rank = x.array.ndim
        offsets = [start if i == axis else 0 for i in range(rank)]
        sizes = ", ".join(
            str(size) if i == axis else e or str(n)
            for i, (e, n) in enumerate(zip(x.extents, x.array.shape, strict=True))
        )
        strides = [stride if i == axis else 1 for i in range(rank)]
        result = Value("", list(x.extents), array)
        name = self._new(f"tensor.extract_slice {x.name}{offsets} [{sizes}] {strides} : {x.type} to {result.type}")
        self._add(name, result.extents, array)

    def _insert(self) -> None:
        """Doubles a part of a tensor in place."""
        x = self._pick(1)
        if x is None or x.extents[0] or x.array.shape[0] < 2 or 0 in x.array.shape:
            return
        rank = x.array.ndim
        part = Value("", [None, *x.extents[1:]], x.array[1:])
        sizes = ", ".join(
            [str(part.array.shape[0]), *(e or str(n) for e, n in zip(x.extents[1:], x.array.shape[1:], strict=True))]
        )
        offsets, strides = [1] + [0] * (rank - 1), [1] * rank
        source = self._name(f"tensor.extract_slice {x.name}{offsets} [{sizes}] {strides} : {x.type} to {part.type}")
        offsets = [0] * rank
        name = self._new(
            f"tensor.insert_slice {source} into {x.name}{offsets} [{sizes}] {strides} : {part.type} into {x.type}"
        )
        array = x.array.copy()
        array[:-1] = x.array[1:]
        self._add(name, x.extents, array)

    def _pad(self) -> None:
        x = self._pick(1)
        if x is None:
            return
        axis = self.random.randrange(x.array.ndim)
        extent = None
        if x.extents[axis]:
            three = self._name("arith.constant 3 : index")
            extent = self._name(f"arith.addi {x.extents[axis]}, {three} : index")
        extents = [extent if i == axis else e for i, e in enumerate(x.extents)]
        array = np.pad(x.array, [(1, 2) if i == axis else (0, 0) for i in range(x.array.ndim)], constant_values=2)
        low, high = ([n if i == axis else 0 for i in range(x.array.ndim)] for n in (1, 2))
        fill = self._name("arith.constant 2.0 : f32")
        arguments = ", ".join(f"%i{i}: index" for i in range(x.array.ndim))
        kind = Value("", extents, array).type
        name = self._new(
            f"tensor.pad {x.name} low{low} high{high} {{\n  ^bb0({arguments}):\n    tensor.yield {fill} : f32\n"
            f"  }} : {x.type} to {kind}"
        )
        self._add(name, extents, array)

    def _select(self) -> None:
        """A comparison kept as a tensor of i1 and used by another op."""
        x = self._pick()
        assert x is not None
        rank, same = x.array.ndim, self._identity(x.array.ndim)
        dims = ", ".join(extent for extent in x.extents if extent)
        kind = x.type.replace("f32", "i1")
        empty = self._name(f"tensor.empty({dims}) : {kind}")
        zero = self._name("arith.constant 0.0 : f32")
        loops = f"affine_map<({same}) -> ({same})>"
        parallel = ", ".join(['"parallel"'] * rank)
        mask = self._name(
            f"linalg.generic {{indexing_maps = [{loops}, {loops}], iterator_types = [{parallel}]}} "
            f"ins({x.name} : {x.type}) outs({empty} : {kind}) {{\n  ^bb0(%a: f32, %out: i1):\n"
            f"    %p = arith.cmpf ogt, %a, {zero} : f32\n    linalg.yield %p : i1\n  }} -> {kind}"
        )
        out, out_kind = self._empty(x.extents, x.array.shape)
        name = self._new(
            f"linalg.select ins({mask}, {x.name}, {x.name} : {kind}, {x.type}, {x.type}) "
            f"outs({out} : {out_kind}) -> {out_kind}"
        )
        self._add(name, x.extents, x.array)

    def _iota(self) -> None:
        x = self._pick(1)
        if x is None:
            return
        rank = x.array.ndim
        axis = self.random.randrange(rank)
        body = (
            f"%i = linalg.index {axis} : index\n    %j = arith.index_cast %i : index to i64\n"
            "    %f = arith.sitofp %j : i64 to f32\n    %y = arith.addf %a, %f : f32\n    linalg.yield %y : f32"
        )
        name = self._generic([(x, self._identity(rank))], x.extents, x.array.shape, rank, body)
        shape = [x.array.shape[axis] if i == axis else 1 for i in range(rank)]
        self._add(name, x.extents, x.array + np.arange(x.array.shape[axis], dtype=np.float32).reshape(shape))
