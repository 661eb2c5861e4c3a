"""The table of TFLite operators: a function per builtin operator, found by its name in the schema.

    @tflite_op
    def RELU(node: Node, x: Tensor) -> Tensor: ...

A function gets the node (options, the file's description of its tensors) and its inputs (None where absent), and
returns its output or a tuple of them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlirage.importers.tflite_file import OperatorInfo, Quantization, TensorInfo
from mlirage.input.builders import DType, Tensor

if TYPE_CHECKING:
    from mlirage.importers.tflite_graph import GraphImporter

OperatorFunction = Callable[..., Any]


@dataclass(frozen=True)
class Operator:
    """An operator that the importer knows.

    Attributes:
      function: makes its IR.
      required: number of inputs it needs.
      most: number of inputs it takes; None: any.
    """

    function: OperatorFunction
    required: int
    most: int | None


REFUSED: dict[str, str] = {
    "CONCAT_EMBEDDINGS": "no interpreter has a kernel for it",
    "CUSTOM": "a custom operator",
    "DELEGATE": "what an interpreter makes in memory, not a part of files",
    "HASHTABLE": "tables have texts as keys or values",
    "HASHTABLE_FIND": "tables have texts as keys or values",
    "HASHTABLE_IMPORT": "tables have texts as keys or values",
    "HASHTABLE_SIZE": "tables have texts as keys or values",
    "LSH_PROJECTION": "its kernel's hash differs from machine to machine",
    "PLACEHOLDER_FOR_GREATER_OP_CODES": "no operator: the file says another one beside it",
    "SKIP_GRAM": "it works on texts",
    "STABLEHLO_CUSTOM_CALL": "a call of a function that is not in the file",
}
"""Operators of the schema that are not supported, and why."""

_OPERATORS: dict[str, Operator] = {}
_QUANTIZED = (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16))


def tflite_op(function: OperatorFunction) -> OperatorFunction:
    """Registers a function as the operator of its name; `CUSTOM_name` is the custom operator `name`."""
    name = function.__name__.replace("CUSTOM_", "CUSTOM:", 1)
    if name in _OPERATORS:
        raise ValueError(f"TFLite operator {name} is defined twice")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    _OPERATORS[name] = Operator(function, required, None if variadic else len(parameters))
    return function


def operators() -> dict[str, Operator]:
    """All operators by name."""
    if not _OPERATORS:
        package = importlib.import_module("mlirage.importers.tflite_ops")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _OPERATORS


@dataclass(frozen=True)
class Node:
    """A node while it is imported.

    Attributes:
      info: as in the file.
      graph: the importer that runs it (for subgraphs and state).
    """

    info: OperatorInfo
    graph: GraphImporter

    def option(self, name: str, default: Any = 0) -> Any:
        """A field of the node's options, or `default` where the node has none."""
        return self.info.options.get(name, default)

    def input(self, position: int) -> TensorInfo:
        """The file's description of an input that is there."""
        return self.graph.subgraph.tensors[self.info.inputs[position]]

    def output(self, position: int = 0) -> TensorInfo:
        """The file's description of an output.

        Raises:
          ValueError: the node has not so many.
        """
        if position >= len(self.info.outputs) or self.info.outputs[position] < 0:
            raise ValueError(f"output {position} is missing")
        return self.graph.subgraph.tensors[self.info.outputs[position]]

    def dtype(self, position: int = 0) -> DType:
        """The element type of an output.

        Raises:
          NotImplementedError: it is no number.
        """
        info = self.output(position)
        if info.dtype is None:
            raise NotImplementedError(
                f"output {info.name!r} is of type {info.type_name}, with which nothing is computed"
            )
        return info.dtype

    def is_quantized(self, position: int = 0) -> bool:
        """Whether an input is of integers that stand for real numbers."""
        return is_quantized(self.input(position))

    def quantization(self, position: int = 0) -> Quantization:
        """Scale and zero point of an input.

        Raises:
          ValueError: it has none.
        """
        return quantization_of(self.input(position))

    def output_quantization(self, position: int = 0) -> Quantization:
        """Scale and zero point of an output."""
        return quantization_of(self.output(position))


def is_quantized(info: TensorInfo) -> bool:
    """Whether a tensor is of integers that stand for real numbers."""
    return info.quantization is not None and info.dtype in _QUANTIZED


def quantization_of(info: TensorInfo) -> Quantization:
    """Scale and zero point of a tensor.

    Raises:
      ValueError: it has none.
    """
    if info.quantization is None:
        raise ValueError(f"tensor {info.name!r} of {info.type_name} has no quantization parameters")
    return info.quantization


def static_ints(tensor: Tensor, what: str) -> list[int]:
    """The elements of an integer tensor that must be known when the model is compiled.

    Raises:
      ValueError: they are not.
    """
    if tensor.known is None or tensor.known.dtype == object:
        raise ValueError(f"{what} must be known at compile time (a constant of the model)")
    return [int(x) for x in np.asarray(tensor.known).reshape(-1).tolist()]
