"""The table of ONNX operators: a function per operator, found by domain and name.

    @onnx_op()
    def Relu(node: Node, x: Tensor) -> Tensor: ...

A function gets the node (attributes, opset) and its inputs (None where absent) and returns its output or a tuple of
them. Opset differences are the function's own business: `node.opset`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx
from onnx import numpy_helper

from mlirage.errors import ImportFailure
from mlirage.input.builders import DType, Tensor

if TYPE_CHECKING:
    from mlirage.importers.onnx_graph import GraphImporter

OperatorFunction = Callable[..., Any]
DOMAIN_ALIASES = {"ai.onnx": "", "": ""}


@dataclass(frozen=True)
class Operator:
    """An operator that the importer knows.

    Attributes:
      function: makes its IR.
      required: number of inputs it needs.
      most: number of inputs it takes; None: any.
      takes_sequences: whether inputs may be sequences or optionals; otherwise all must be tensors.
    """

    function: OperatorFunction
    required: int
    most: int | None
    takes_sequences: bool


_OPERATORS: dict[tuple[str, str], Operator] = {}


def onnx_op(domain: str = "", takes_sequences: bool = False) -> Callable[[OperatorFunction], OperatorFunction]:
    """Registers a function as the ONNX operator of its name."""

    def register(function: OperatorFunction) -> OperatorFunction:
        key = (domain, function.__name__)
        if key in _OPERATORS:
            raise ValueError(f"ONNX operator {key} is defined twice")
        parameters = list(inspect.signature(function).parameters.values())[1:]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        required = sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
        _OPERATORS[key] = Operator(function, required, None if variadic else len(parameters), takes_sequences)
        return function

    return register


def find_operator(domain: str, name: str) -> Operator | None:
    """The operator, or None if there is no function for it."""
    if not _OPERATORS:
        package = importlib.import_module("mlirage.importers.onnx_ops")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _OPERATORS.get((DOMAIN_ALIASES.get(domain, domain), name))


@dataclass(frozen=True)
class Node:
    """A node while it is imported.

    Attributes:
      proto: as in the model.
      opset: version of the operator set of the node's domain.
      graph: the importer that runs it (for subgraphs).
      attributes: by name, converted to Python and numpy.
    """

    proto: onnx.NodeProto
    opset: int
    graph: GraphImporter
    attributes: dict[str, Any]

    @property
    def label(self) -> str:
        """The node's name; unnamed nodes are called after their first output."""
        return node_label(self.proto)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default` where it is absent."""
        return self.attributes.get(name, default)

    def require(self, name: str) -> Any:
        """An attribute that must be there.

        Raises:
          ValueError: it is not.
        """
        if name not in self.attributes:
            raise ValueError(f"attribute {name!r} is missing")
        return self.attributes[name]

    def wants(self, output: int) -> bool:
        """Whether the model uses the output of that number."""
        return output < len(self.proto.output) and bool(self.proto.output[output])

    def dtype(self, name: str, default: int | None = None) -> DType:
        """The dtype that an attribute of TensorProto.DataType names."""
        return numpy_type(self.attributes.get(name, default))


def node_label(proto: onnx.NodeProto) -> str:
    """What messages and locations call a node."""
    outputs = [name for name in proto.output if name]
    return proto.name or f"{proto.op_type}:{outputs[0] if outputs else ''}"


def numpy_type(element_type: int | None) -> DType:
    """The numpy dtype of a TensorProto.DataType.

    Raises:
      ValueError: there is none that can be computed with (strings, undefined).
    """
    if element_type == onnx.TensorProto.STRING:
        raise ValueError("string tensors cannot be computed with")
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(cast(int, element_type)))
    except (KeyError, ValueError) as error:
        raise ValueError(f"unknown element type {element_type}") from error


def attribute_value(attribute: onnx.AttributeProto, read_tensor: Callable[[onnx.TensorProto], Any]) -> Any:
    """An attribute as Python value: strings decoded, tensors as arrays, graphs as they are."""
    kinds = onnx.AttributeProto
    if attribute.type == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == kinds.STRINGS:
        return [text.decode("utf-8", "replace") for text in attribute.strings]
    if attribute.type == kinds.TENSOR:
        return read_tensor(attribute.t)
    if attribute.type == kinds.TENSORS:
        return [read_tensor(tensor) for tensor in attribute.tensors]
    if attribute.type in (kinds.INTS, kinds.FLOATS):
        return list(onnx.helper.get_attribute_value(attribute))
    return onnx.helper.get_attribute_value(attribute)


def static_ints(tensor: Tensor | None, what: str) -> list[int] | None:
    """The elements of an integer tensor that must be known when the model is compiled.

    Raises:
      ValueError: they are not.
    """
    if tensor is None:
        return None
    if tensor.known is None or tensor.known.dtype == object:
        raise ValueError(f"{what} must be known at compile time (a constant of the model), not an input")
    return [int(x) for x in np.asarray(tensor.known).reshape(-1).tolist()]


def pairs(pads: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """ONNX's `[begins…, ends…]` as two lists."""
    half = len(pads) // 2
    return list(pads[:half]), list(pads[half:])


__all__ = [
    "ImportFailure", "Node", "Operator", "attribute_value", "find_operator", "node_label", "numpy_helper", "numpy_type",
    "onnx_op", "pairs", "static_ints",
]  # fmt: skip
