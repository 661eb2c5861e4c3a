"""The table of ATen operators: a function per operator, found by the name of its overload.

    @aten("relu")
    def relu(op: Op, x: Tensor) -> Tensor: ...

A function gets the call (`Op`) and the operator's arguments in the order of its schema, keyword-only ones by name where
it names them; what it returns is the operator's result, or a tuple of them. Tensors come as `Tensor`, symbolic integers
as `Dim`, symbolic floats and booleans as `RuntimeNumber`, everything else as Python has it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import ml_dtypes
import numpy as np
import torch
from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND as PROMOTION
from torch._prims_common import elementwise_dtypes

from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Sym, Tensor

if TYPE_CHECKING:
    from mlirage.importers.pytorch_graph import GraphImporter

OperatorFunction = Callable[..., Any]

# Keyword arguments that say where and how memory lies: all tensors here are contiguous and on one device.
PLACEMENT = frozenset(
    ("layout", "device", "pin_memory", "memory_format", "non_blocking", "requires_grad", "dtype_layout")
)


@dataclass(frozen=True, eq=False)
class RuntimeNumber:
    """A Python number that only a run knows: a tensor of rank 0, and the kind of number (`float`, `bool`, …)."""

    tensor: Tensor
    kind: type


Number: TypeAlias = "int | float | complex | bool | Sym | RuntimeNumber"
Operand: TypeAlias = "Tensor | Number"


@dataclass(frozen=True)
class Operator:
    """An operator that the importer knows: its function, and the keyword-only arguments that this takes."""

    function: OperatorFunction
    keywords: frozenset[str]


_OPERATORS: dict[str, Operator] = {}


def aten(*names: str, namespace: str = "aten") -> Callable[[OperatorFunction], OperatorFunction]:
    """Registers a function for operators: `"add.Tensor"`, or `"relu"` for the overload `default`."""

    def register(function: OperatorFunction) -> OperatorFunction:
        parameters = inspect.signature(function).parameters.values()
        keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        for name in names:
            full = f"{namespace}.{name}" if "." in name else f"{namespace}.{name}.default"
            if full in _OPERATORS:
                raise ValueError(f"operator {full} is defined twice")
            _OPERATORS[full] = Operator(function, keywords)
        return function

    return register


@functools.cache
def operators() -> dict[str, Operator]:
    """All operators by name, `aten.add.Tensor`."""
    package = importlib.import_module("mlirage.importers.pytorch_ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _OPERATORS


_NUMPY_LACKS = {
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float8_e4m3fn: ml_dtypes.float8_e4m3fn,
    torch.float8_e4m3fnuz: ml_dtypes.float8_e4m3fnuz,
    torch.float8_e5m2: ml_dtypes.float8_e5m2,
    torch.float8_e5m2fnuz: ml_dtypes.float8_e5m2fnuz,
    torch.float8_e8m0fnu: ml_dtypes.float8_e8m0fnu,
}
_NAMES = frozenset(
    ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64",
     "complex64", "complex128")
)  # fmt: skip


def numpy_dtype(dtype: torch.dtype) -> DType:
    """The numpy (or ml_dtypes) type of a PyTorch type.

    Raises:
      ValueError: it has none (complex32, the old quantized types).
    """
    if dtype in _NUMPY_LACKS:
        return np.dtype(_NUMPY_LACKS[dtype])
    name = str(dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise ValueError(f"tensors of type {dtype} are not supported")
    return np.dtype(name)


_TORCH_DTYPES = {np.dtype(kind): dtype for dtype, kind in _NUMPY_LACKS.items()}


def torch_dtype(dtype: DType) -> torch.dtype:
    """The PyTorch type of a numpy type."""
    return _TORCH_DTYPES.get(dtype) or getattr(torch, dtype.name)


@dataclass(frozen=True)
class Op:
    """A call of an operator while it is imported.

    Attributes:
      node: in the graph.
      importer: runs the graph, and graphs that the operator calls.
    """

    node: torch.fx.Node
    importer: GraphImporter

    @property
    def name(self) -> str:
        """`aten.add.Tensor`."""
        return str(self.node.target)

    def result_dtypes(self) -> list[DType]:
        """Types of the results, as PyTorch says."""
        value = self.node.meta["val"]
        values = value if isinstance(value, tuple | list) else [value]
        return [numpy_dtype(v.dtype) for v in values if isinstance(v, torch.Tensor)]

    @property
    def dtype(self) -> DType:
        """Type of the first result."""
        return self.result_dtypes()[0]


def promoted(operands: Sequence[Operand], kind: PROMOTION = PROMOTION.DEFAULT) -> DType:
    """The type in which PyTorch calculates with these operands: zero-dimensional tensors and numbers count less."""
    stand_ins: list[Any] = []
    for x in operands:
        if isinstance(x, Tensor):
            stand_ins.append(torch.empty((1,) * min(x.rank, 1), dtype=torch_dtype(x.dtype), device="meta"))
        elif isinstance(x, RuntimeNumber):
            stand_ins.append(x.kind(1))
        else:
            stand_ins.append(1 if isinstance(x, Sym) else x)
    # The first of the pair widens 16-bit floats, which our scalar code does by itself; the second is the result's.
    computed, result = elementwise_dtypes(*stand_ins, type_promotion_kind=kind)
    if kind in (PROMOTION.ALWAYS_BOOL, PROMOTION.COMPLEX_TO_FLOAT):
        narrow = elementwise_dtypes(*stand_ins, type_promotion_kind=PROMOTION.DEFAULT)[1]
        return numpy_dtype(narrow)
    del computed
    return numpy_dtype(result)


def as_tensor(x: Operand, dtype: DType | None = None) -> Tensor:
    """A tensor or number as a tensor of `dtype` (by default: its own, or the one that PyTorch gives numbers)."""
    if isinstance(x, RuntimeNumber):
        x = x.tensor
    if isinstance(x, Tensor):
        return x if dtype is None else b.cast(x, dtype)
    if isinstance(x, Sym):
        return b.cast(Tensor.of_dims(x), dtype or b.INT64)
    if dtype is None:
        dtype = numpy_dtype(torch.tensor(x).dtype)
    if b.is_integer(dtype):
        low, _ = b.integer_range(dtype)
        x = (int(x) - low) % 2 ** b.bit_width(dtype) + low  # pyright: ignore[reportArgumentType]
    return Tensor.of(np.asarray(x).astype(dtype))


def pointwise(
    op: Op,
    body: Callable[..., Scalar],
    *operands: Operand,
    kind: PROMOTION = PROMOTION.DEFAULT,
    dtype: DType | None = None,
) -> Tensor:
    """`body` of the elements of operands, all converted to the type that PyTorch calculates in."""
    common = promoted(operands, kind)
    return b.map_(body, *(as_tensor(x, common) for x in operands), dtype=dtype or op.dtype)


def axes_of(dim: int | Sequence[int] | None, rank: int) -> list[int]:
    """A `dim` argument as axes: None and [] are all of them; a tensor of rank 0 has an axis 0 for PyTorch."""
    if dim is None or (isinstance(dim, Sequence) and not dim):
        return list(range(rank))
    dims = [dim] if isinstance(dim, int) else list(dim)
    if rank == 0:
        return []
    return [b.normalize_axis(d, rank) for d in dims]


def at_least_1d(x: Tensor) -> Tensor:
    """`x`, a tensor of rank 0 as one of rank 1."""
    return x if x.rank else b.reshape(x, [1])


__all__ = [
    "PLACEMENT", "PROMOTION", "Dim", "Number", "Op", "Operand", "Operator", "RuntimeNumber", "as_tensor", "at_least_1d",
    "aten", "axes_of", "numpy_dtype", "operators", "pointwise", "promoted", "torch_dtype",
]  # fmt: skip
