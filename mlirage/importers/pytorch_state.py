"""Parameters, buffers and constants of PyTorch programs: shared by all entry points, and without copies.

What no entry point changes is a constant of the program, an array over the tensor's own memory; what one changes is an
`ml_program.global` that every call reads and writes (a KV cache, a counter of steps). Tensors are the same state where
they share memory, so that modules exported twice keep one copy of their weights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mlirage.constants import extern
from mlirage.errors import ImportFailure
from mlirage.importers.pytorch_ops.registry import numpy_dtype
from mlirage.input.builders import INT64, Tensor, map_, tensor_type
from mlirage.mlir import ir, ml_program
from mlirage.program import Array, Program, as_splat

_Key = tuple[Any, ...]


def array_of(tensor: torch.Tensor, what: str) -> Array:
    """The elements of a tensor as an array over the same memory, if that is the host's.

    Raises:
      ImportFailure: the tensor has no elements (fake and meta tensors) or a type that cannot be computed with.
    """
    if tensor.is_meta or isinstance(tensor, torch._subclasses.FakeTensor):  # pyright: ignore[reportPrivateUsage]
        raise ImportFailure(f"{what} has no contents: it is on the meta device; load the weights first")
    if tensor.layout is not torch.strided:
        raise ImportFailure(f"{what} is sparse ({tensor.layout}); only dense tensors are supported")
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        raise ImportFailure(
            f"{what} is a {type(tensor).__qualname__}, a tensor subclass; only plain ones are supported"
        )
    try:
        dtype = numpy_dtype(tensor.dtype)
    except ValueError as error:
        raise ImportFailure(f"{what}: {error}") from error
    host = tensor.detach().resolve_conj().resolve_neg().cpu()
    if dtype.name.startswith(("bfloat", "float8")):
        bits = torch.int16 if dtype.itemsize == 2 else torch.uint8
        return host.contiguous().view(bits).numpy().view(dtype)
    return host.numpy()


def _key(tensor: torch.Tensor) -> _Key:
    if not tensor.numel() or tensor.is_meta:
        return ("empty", id(tensor))
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """First and last address of a tensor's elements."""
    start = tensor.data_ptr()
    reach = sum((n - 1) * abs(s) for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (reach + 1) * tensor.element_size()


@dataclass
class _Variable:
    """State that calls change: its global, and its value in the function being built."""

    symbol: str
    source: torch.Tensor
    kind: ir.Type


@dataclass
class State:
    """The tensors of all entry points of a program.

    Attributes:
      program: receives globals and arrays.
    """

    program: Program
    _arrays: dict[_Key, tuple[torch.Tensor, Array]] = field(default_factory=dict[_Key, tuple[torch.Tensor, Array]])
    _variables: dict[_Key, _Variable] = field(default_factory=dict[_Key, _Variable])
    _random: str | None = None

    def add_variable(self, name: str, tensor: torch.Tensor) -> None:
        """Makes a tensor one that calls change.

        Raises:
          ImportFailure: another changing tensor shares only part of its memory.
        """
        key = _key(tensor)
        if key in self._variables:
            return
        first, last = _extent(tensor) if tensor.numel() else (0, 0)
        for other in self._variables.values():
            start, end = _extent(other.source) if other.source.numel() else (0, 0)
            if first < end and start < last:
                raise ImportFailure(
                    f"the buffers {name!r} and {other.symbol!r} change and overlap in memory; make them one buffer"
                )
        array = array_of(tensor, f"buffer {name!r}")
        symbol = self._free_symbol(name)
        kind = tensor_type(array.shape, array.dtype)
        bits = np.ascontiguousarray(array).reshape(-1)
        zero = array.size > 0 and not bits.view(np.uint8).any()
        value = extern(kind)
        if zero and array.dtype.kind in "biuf":
            value = ir.DenseElementsAttr.get_splat(kind, _zero(kind.element_type))
        else:  # a copy: later steps in PyTorch must not change what was compiled
            self.program.constants[symbol] = np.array(array, order="C", copy=True)
        with ir.InsertionPoint.at_block_begin(self.program.module.body), ir.Location.name(name):
            ml_program.GlobalOp(symbol, ir.TypeAttr.get(kind), is_mutable=True, value=value, sym_visibility="private")
        self._variables[key] = _Variable(symbol, tensor, kind)

    def _free_symbol(self, name: str) -> str:
        base = re.sub(r"[^\w$.]", "_", name)
        taken = {variable.symbol for variable in self._variables.values()} | set(self.program.constants)
        symbol, number = base, 0
        while symbol in taken:
            number += 1
            symbol = f"{base}_{number}"
        return symbol

    def value(self, name: str, tensor: torch.Tensor) -> Tensor:
        """A parameter, buffer or constant in the function being built."""
        key = _key(tensor)
        variable = self._variables.get(key)
        if variable is not None:
            value = ml_program.GlobalLoadOp(variable.kind, ir.FlatSymbolRefAttr.get(variable.symbol)).result
            return Tensor(tuple(tensor.shape), numpy_dtype(tensor.dtype), value=value)
        if key not in self._arrays:
            self._arrays[key] = tensor, as_splat(array_of(tensor, f"tensor {name!r}"))
        array = self._arrays[key][1]
        symbol = re.sub(r"[^\w$.]", "_", name)
        return Tensor(array.shape, array.dtype, known=array, name=symbol)

    def draw(self) -> Tensor:
        """The number (int64) of the draw of random numbers that starts here; the next one has another."""
        kind = tensor_type((), INT64)
        if self._random is None:
            self._random = self._free_symbol("random_state")
            with ir.InsertionPoint.at_block_begin(self.program.module.body), ir.Location.name(self._random):
                first = ir.DenseElementsAttr.get_splat(kind, _zero(kind.element_type))
                ml_program.GlobalOp(
                    self._random, ir.TypeAttr.get(kind), is_mutable=True, value=first, sym_visibility="private"
                )
        symbol = ir.FlatSymbolRefAttr.get(self._random)
        number = Tensor((), INT64, value=ml_program.GlobalLoadOp(kind, symbol).result)
        ml_program.GlobalStoreOp(symbol, map_(lambda n: n + 1, number).value)
        return number

    def store(self, tensor: torch.Tensor, value: Tensor) -> None:
        """Gives a changing tensor its new value."""
        variable = self._variables[_key(tensor)]
        ml_program.GlobalStoreOp(ir.FlatSymbolRefAttr.get(variable.symbol), value.value)


def _zero(element: ir.Type) -> ir.Attribute:
    return ir.FloatAttr.get(element, 0.0) if isinstance(element, ir.FloatType) else ir.IntegerAttr.get(element, 0)
