"""Runs the nodes of a subgraph in order, each through its operator's function; keeps the model's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlirage.errors import ImportFailure, MlirageError
from mlirage.importers.tflite_file import ModelFile, OperatorInfo, Subgraph, TensorInfo
from mlirage.importers.tflite_ops.registry import Node, operators
from mlirage.input.builders import DType, Tensor, element_type
from mlirage.mlir import ir, ml_program
from mlirage.program import Array, Program, as_splat

_DEEPEST_CALL = 32


@dataclass(frozen=True)
class Resource:
    """What a VAR_HANDLE makes: a name for state that all subgraphs share."""

    name: str


@dataclass
class StateVariable:
    """A mutable global."""

    symbol: str
    kind: ir.Type
    dtype: DType


@dataclass
class ModelContext:
    """What all entry points of a model share.

    Attributes:
      file: the model.
      program: gets the globals.
      variables: state by its name; an element type and shape are known from the first node that reads or writes it.
    """

    file: ModelFile
    program: Program
    variables: dict[str, StateVariable] = field(default_factory=dict[str, StateVariable])

    def variable(self, name: str, shape: Sequence[int], dtype: DType, start: Array | None = None) -> StateVariable:
        """The global of a variable, made at its first mention; it starts with zeros, or with `start`.

        Raises:
          ValueError: it is used with another type.
        """
        kind = ir.RankedTensorType.get(list(shape), element_type(dtype))
        if name in self.variables:
            found = self.variables[name]
            if found.kind != kind or found.dtype != dtype:
                raise ValueError(f"variable {name!r} of {found.kind} is used as {kind}")
            return found
        symbol = self.symbol(name)
        start = as_splat(np.zeros(tuple(shape), dtype) if start is None else start)
        self.program.constants[symbol] = start
        with ir.InsertionPoint.at_block_begin(self.program.module.body):
            ml_program.GlobalOp(
                symbol, kind, is_mutable=True, value=ir.Attribute.parse(f"#ml_program.extern<{kind}>"),
                sym_visibility="private",
            )  # fmt: skip
        self.variables[name] = StateVariable(symbol, kind, dtype)
        return self.variables[name]

    def resource(self, handle: Resource, shape: Sequence[Any], dtype: DType) -> StateVariable:
        """The variable of a handle; extents that are not known when it is first used must be those of its start.

        Raises:
          ValueError: its shape is not known.
        """
        if handle.name in self.variables:
            found = self.variables[handle.name]
            if found.dtype != dtype or len(shape) != ir.RankedTensorType(found.kind).rank:
                raise ValueError(f"variable {handle.name!r} of {found.kind} is used as {dtype} with {len(shape)} axes")
            return found
        if any(not isinstance(d, int) for d in shape):
            raise ValueError(f"variable {handle.name!r} has no fixed shape: {list(shape)}")
        return self.variable(handle.name, shape, dtype)

    def symbol(self, name: str) -> str:
        """A symbol name that nothing has."""
        name, number = f"state.{name}", 0
        symbol = name
        while symbol in self.program.constants:
            number += 1
            symbol = f"{name}_{number}"
        return symbol


class GraphImporter:
    """Imports one subgraph: a scope of numbered values.

    Args:
      context: of the model.
      subgraph: what is imported.
      depth: number of calls around it.
    """

    def __init__(self, context: ModelContext, subgraph: Subgraph, depth: int = 0) -> None:
        self.context = context
        self.subgraph = subgraph
        self.depth = depth
        self.values: dict[int, Any] = {}

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Imports the nodes; returns the outputs."""
        for index, value in zip(self.subgraph.inputs, inputs, strict=True):
            self.values[index] = value
        for operator in self.subgraph.operators:
            self._run_operator(operator)
        return [self._value(index, "the graph") for index in self.subgraph.outputs]

    def run_subgraph(self, number: int, inputs: Sequence[Any]) -> list[Any]:
        """Imports another subgraph in place.

        Raises:
          ValueError: there is none of this number, it takes other inputs, or subgraphs call each other without end.
        """
        subgraphs = self.context.file.subgraphs
        if not 0 <= number < len(subgraphs):
            raise ValueError(f"calls subgraph {number} of {len(subgraphs)}")
        if len(subgraphs[number].inputs) != len(inputs):
            raise ValueError(f"subgraph {number} takes {len(subgraphs[number].inputs)} inputs, {len(inputs)} are given")
        if self.depth >= _DEEPEST_CALL:
            raise ValueError(f"subgraphs call each other {_DEEPEST_CALL} deep; recursion is not supported")
        return GraphImporter(self.context, subgraphs[number], self.depth + 1).run(inputs)

    def run_initializer(self, number: int) -> None:
        """Makes the constants that a subgraph assigns to variables their first values.

        Raises:
          NotImplementedError: it does anything else.
        """
        subgraphs = self.context.file.subgraphs
        if not 0 <= number < len(subgraphs):
            raise ValueError(f"calls subgraph {number} of {len(subgraphs)}")
        handles: dict[int, Resource] = {}
        graph = subgraphs[number]
        for operator in graph.operators:
            if operator.name == "VAR_HANDLE":
                node = Node(operator, self)
                handles[operator.outputs[0]] = operators()["VAR_HANDLE"].function(node)
            elif operator.name == "ASSIGN_VARIABLE" and graph.tensors[operator.inputs[1]].data is not None:
                data = graph.tensors[operator.inputs[1]].data
                assert data is not None
                name = handles[operator.inputs[0]].name
                if name not in self.context.variables:
                    self.context.variable(name, data.shape, data.dtype, data)
            else:
                raise NotImplementedError(f"an initializer with {operator.name} of what is no constant")

    def load_state(self, info: TensorInfo) -> Tensor:
        """The present value of a tensor that is state."""
        variable = self._state(info)
        value = ml_program.GlobalLoadOp(variable.kind, variable.symbol).result
        return Tensor.from_value(value, variable.dtype)

    def store_state(self, info: TensorInfo, value: Tensor) -> None:
        """Makes `value` the next call's value of a tensor that is state."""
        variable = self._state(info)
        kept = Tensor.from_value(value.value, value.dtype, ir.RankedTensorType(variable.kind).shape)
        ml_program.GlobalStoreOp(variable.symbol, kept.value)

    def _state(self, info: TensorInfo) -> StateVariable:
        if info.dtype is None or any(d is None for d in info.shape):
            raise ValueError(f"state {info.name!r} of {info.type_name} {info.shape} has no fixed type and shape")
        shape = [d for d in info.shape if d is not None]
        start = info.data
        if start is None:
            zero = info.quantization.zero_point if info.dtype == np.int8 and info.quantization else 0
            start = np.broadcast_to(np.asarray(zero, info.dtype), shape)
        number = self.context.file.subgraphs.index(self.subgraph)
        return self.context.variable(f"{number}.{info.name}.{info.index}", shape, info.dtype, start)

    def _value(self, index: int, reader: str) -> Any:
        if index in self.values:
            return self.values[index]
        info = self.subgraph.tensors[index]
        if info.is_variable:
            return self.load_state(info)
        if info.data is None or info.dtype is None:
            raise ImportFailure(f"{reader} reads {info.name!r}, which is made by no earlier node and is no constant")
        data = info.data if info.blocks is None else self._dequantized(info, info.data)
        self.values[index] = Tensor.of(as_splat(data), name=info.name or "weight")
        return self.values[index]

    def _dequantized(self, info: TensorInfo, data: Array) -> Array:
        """The real numbers of a constant that is quantized in blocks."""
        assert info.blocks is not None
        tensors = self.subgraph.tensors
        found: list[Array] = []
        for what, number in (("scales", info.blocks.scales), ("zero points", info.blocks.zero_points)):
            part = tensors[number].data if 0 <= number < len(tensors) else None
            if part is None and (what == "scales" or number >= 0):
                raise ImportFailure(f"{info.name!r} is quantized in blocks, but its {what} are no constant")
            part = np.zeros(1, np.float32) if part is None else part.astype(np.float32)
            if part.size > 1:
                part = np.repeat(part.reshape(*data.shape[:-1], -1), info.blocks.size, -1)
                if part.shape != data.shape:
                    raise ImportFailure(f"{info.name!r} of {data.shape} is quantized in blocks of {info.blocks.size}")
            found.append(part)
        return (data.astype(np.float32) - found[1]) * found[0]

    def _run_operator(self, operator: OperatorInfo) -> None:
        label = self._label(operator)
        where = f"node {label!r} ({operator.name})"
        with ir.Location.name(label):
            try:
                inputs = [self._value(i, where) if i >= 0 else None for i in operator.inputs]
                outputs = self._outputs_of(operator, inputs)
            except MlirageError as error:
                if str(error).startswith("node "):
                    raise
                raise ImportFailure(f"{where}: {error}") from error
            except (ValueError, TypeError, NotImplementedError, OverflowError, ir.MLIRError) as error:
                raise ImportFailure(f"{where}: {error}") from error
        if len(outputs) < len(operator.outputs):
            raise ImportFailure(f"{where}: {len(operator.outputs)} outputs are used, it makes {len(outputs)}")
        for index, output in zip(operator.outputs, outputs, strict=False):
            if index >= 0 and output is not None:
                info = self.subgraph.tensors[index]
                if isinstance(output, Tensor):
                    if output.dtype != info.dtype:
                        raise ImportFailure(
                            f"{where}: {info.name!r} is declared {info.type_name} but is {output.dtype}"
                        )
                    if output.known is not None:
                        output.name = info.name
                self.values[index] = output

    def _outputs_of(self, operator: OperatorInfo, inputs: list[Any]) -> Sequence[Any]:
        known = operators()[operator.name]
        while inputs and inputs[-1] is None:
            inputs.pop()
        if len(inputs) < known.required or (known.most is not None and len(inputs) > known.most):
            most = "or more" if known.most is None else f"to {known.most}"
            raise ValueError(f"takes {known.required} {most} inputs, {len(inputs)} are given")
        for position, tensor in enumerate(inputs[: known.required]):
            if tensor is None:
                raise ValueError(f"input {position} is missing")
        result = known.function(Node(operator, self), *inputs)
        return result if type(result) in (tuple, list) else (result,)

    def _label(self, operator: OperatorInfo) -> str:
        for index in operator.outputs:
            if index >= 0:
                return self.subgraph.tensors[index].name
        return operator.name
