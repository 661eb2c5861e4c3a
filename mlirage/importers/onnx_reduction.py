"""Parts of an ONNX model as models: for `mlirage reduce`.

A part is some of the nodes of the main graph. What a left-out node made becomes an input; what nobody in the part reads
becomes an output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from mlirage.errors import ImportFailure


class OnnxParts:
    """The parts of a model.

    Args:
      path: of the model.

    Raises:
      ImportFailure: it is no ONNX model.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.model = onnx.load(str(path))
            inferred = onnx.shape_inference.infer_shapes(self.model)
        except Exception as error:  # protobuf and shape inference have no common base
            raise ImportFailure(f"{path} is no ONNX model: {type(error).__name__}: {error}") from error
        self.nodes = list(self.model.graph.node)
        graph = inferred.graph
        self.types = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
        self.constants = {tensor.name: tensor for tensor in self.model.graph.initializer}

    def elements(self) -> list[int]:
        """The numbers of the nodes."""
        return list(range(len(self.nodes)))

    def part(self, numbers: Sequence[int]) -> bytes | None:
        """The part with these nodes as a model; None if it has none, or the type of one of its inputs is not known."""
        nodes = [self.nodes[number] for number in numbers]
        made = {name for node in nodes for name in node.output if name}
        read = {name: None for node in nodes for name in _read(node)}
        constants = [self.constants[name] for name in read if name in self.constants]
        inputs = [name for name in read if name not in made and name not in self.constants]
        own = {value.name for value in self.model.graph.output}
        outputs = [name for node in nodes for name in node.output if name and (name in own or name not in read)]
        if not nodes or any(name not in self.types for name in inputs):
            return None
        values = [self.types.get(name) or onnx.ValueInfoProto(name=name) for name in outputs]
        graph = onnx.helper.make_graph(
            nodes, self.model.graph.name, [self.types[name] for name in inputs], values, constants
        )
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.graph.CopyFrom(graph)
        return model.SerializeToString()

    def describe(self, numbers: Sequence[int]) -> list[str]:
        """The operators of nodes and their names."""
        return [f"{self.nodes[n].op_type} {self.nodes[n].name!r}" for n in numbers]


def _read(node: Any) -> list[str]:
    """What a node and the graphs inside of it read from around it."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {name for inner in graph.node for name in inner.output} | {value.name for value in graph.input}
            own |= {tensor.name for tensor in graph.initializer}
            inside = [name for inner in graph.node for name in _read(inner)] + [value.name for value in graph.output]
            names += [name for name in inside if name not in own]
    return names
