"""Arguments and results of the functions that PyTorch graphs become, with the extents that vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mlirage.importers.pytorch_graph import GraphImporter
from mlirage.importers.pytorch_ops.registry import RuntimeNumber, as_tensor
from mlirage.importers.pytorch_symbols import evaluate
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor, TensorBuilder
from mlirage.mlir import ir


@dataclass(frozen=True)
class Argument:
    """An argument of the function.

    Attributes:
      node: of the graph.
      name: for callers.
      dtype: of its elements.
      extents: ints and SymInts; none for a number.
    """

    node: torch.fx.Node
    name: str
    dtype: Any
    extents: list[Any]

    @property
    def names(self) -> list[int | str | None]:
        """Extents for the signature: numbers, and names of those that vary."""
        return [_name(extent) for extent in self.extents]

    @property
    def kind(self) -> ir.Type:
        """Its MLIR type."""
        dynamic = ir.ShapedType.get_dynamic_size()
        return ir.RankedTensorType.get(
            [d if isinstance(d, int) else dynamic for d in self.names], b.element_type(self.dtype)
        )

    def described(self) -> dict[str, Any]:
        """Its entry in the signature."""
        return {"name": self.name, "dtype": self.dtype.name, "shape": self.names}


def described_result(name: str, x: Tensor) -> dict[str, Any]:
    """A result's entry in the signature."""
    return {"name": name, "dtype": x.dtype.name, "shape": [d if isinstance(d, int) else None for d in x.shape]}


def result_tensor(value: Any) -> Tensor:
    """What a function returns: a tensor, numbers as tensors of rank 0."""
    return value.tensor if isinstance(value, RuntimeNumber) else as_tensor(value)


def _name(extent: Any) -> int | str | None:
    if isinstance(extent, int):
        return extent
    formula = extent.node.expr
    return int(formula) if formula.is_number else str(formula) if formula.is_Symbol else None


def bind_arguments(
    arguments: Sequence[Argument], builder: TensorBuilder, block: ir.Block, importer: GraphImporter
) -> dict[str, Any]:
    """The arguments by name; extents that PyTorch gives one symbol are one dim, which is checked on entry."""
    values: dict[str, Any] = {}
    late: list[tuple[str, Dim, Any]] = []
    for argument, value in zip(arguments, block.arguments, strict=True):
        if isinstance(argument.node.meta["val"], torch.SymInt):
            (dim,) = Tensor((), b.INT64, value=value).dims()
            importer.symbols.setdefault(argument.node.meta["val"].node.expr, dim)
            values[argument.name] = dim
            continue
        shape: list[Dim] = []
        for axis, extent in enumerate(argument.extents):
            known = _name(extent)
            if isinstance(known, int):
                shape.append(known)
                continue
            dim = builder.atoms.extent(value, axis)
            shape.append(importer.symbols.setdefault(extent.node.expr, dim) if known else dim)
            late.append((f"input {argument.name!r}, axis {axis}", dim, extent))
        values[argument.name] = Tensor(shape, argument.dtype, value=value)
    for where, dim, extent in late:
        wanted = evaluate(extent, importer.symbols)
        if wanted is not None:
            builder.require_equal(dim, wanted, f"{where}: the extent must be {extent.node.expr}, as elsewhere")
    return values
