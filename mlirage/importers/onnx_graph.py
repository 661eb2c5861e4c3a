"""Runs the nodes of a graph in order, each through its operator's function, with the scoping of subgraphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from mlirage.errors import ImportFailure, MlirageError
from mlirage.importers.onnx_ops.registry import Node, attribute_value, find_operator, node_label
from mlirage.importers.onnx_values import Strings
from mlirage.importers.onnx_weights import WeightReader
from mlirage.input.builders import Sym, Tensor
from mlirage.mlir import ir

FunctionKey = tuple[str, str, str]


@dataclass
class ModelContext:
    """What all graphs of a model share.

    Attributes:
      opsets: version by domain.
      functions: model-local functions.
      weights: reads tensors.
    """

    opsets: dict[str, int]
    functions: dict[FunctionKey, onnx.FunctionProto]
    weights: WeightReader


class GraphImporter:
    """Imports one graph: a scope of named values.

    Args:
      context: of the model.
      values: what names mean on entry (inputs; for subgraphs also the values around them).
      attributes: what attribute references mean, inside a function.
      opsets: versions by domain, if other than the model's.
    """

    def __init__(
        self,
        context: ModelContext,
        values: Mapping[str, Any],
        attributes: Mapping[str, onnx.AttributeProto] | None = None,
        opsets: dict[str, int] | None = None,
    ) -> None:
        self.context = context
        self.values: dict[str, Any] = dict(values)
        self.attributes = dict(attributes or {})
        self.opsets = opsets or context.opsets
        self.history: list[tuple[onnx.NodeProto, int]] = []  # nodes imported so far and their opset, for gradients
        self.copied = 0  # how many of them `onnx_gradient` copied: the others are those of gradients
        self.softmax_is_of_one_axis = self.opsets.get("", 0) >= 13

    def take_initializers(self, graph: onnx.GraphProto) -> None:
        """Reads the initializers of the main graph, which is imported once."""
        for tensor in graph.initializer:
            self.values[tensor.name] = Tensor.of(self.context.weights.take(tensor), name=tensor.name or "weight")

    def run(self, graph: onnx.GraphProto, initializers_taken: bool = False) -> list[Any]:
        """Imports initializers (unless `take_initializers` has) and nodes; returns the graph's outputs."""
        for tensor in graph.initializer:
            if not initializers_taken:
                self.values[tensor.name] = Tensor.of(self.context.weights.read(tensor), name=tensor.name or "weight")
        for sparse in graph.sparse_initializer:
            raise ImportFailure(f"initializer {sparse.values.name!r} is sparse; sparse tensors are not supported")
        self.run_nodes(graph.node)
        for output in graph.output:
            if output.name not in self.values:
                raise ImportFailure(f"output {output.name!r} of graph {graph.name!r} is made by no node")
        return [self.values[output.name] for output in graph.output]

    def run_subgraph(self, graph: onnx.GraphProto, inputs: Sequence[Any]) -> list[Any]:
        """Imports a subgraph, which sees this scope, with its inputs bound."""
        if len(inputs) != len(graph.input):
            raise ValueError(f"subgraph {graph.name!r} takes {len(graph.input)} inputs, {len(inputs)} are given")
        bound = {value.name: tensor for value, tensor in zip(graph.input, inputs, strict=True)}
        return GraphImporter(self.context, {**self.values, **bound}, self.attributes, self.opsets).run(graph)

    def scope(self, opset: int) -> GraphImporter:
        """A scope that sees these values, in which nodes of the default domain are of another version."""
        return GraphImporter(self.context, self.values, self.attributes, {**self.opsets, "": opset})

    def run_nodes(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Imports nodes in order."""
        nodes = list(nodes)
        made = {name for node in nodes for name in node.output}
        for node in nodes:
            for name in node.input:
                if name and name not in self.values:
                    why = (
                        "is made only by this or a later node (a cycle, or nodes out of order)"
                        if name in made
                        else "is made by no node and is no input or initializer"
                    )
                    raise ImportFailure(f"node {node_label(node)!r} ({node.op_type}) reads {name!r}, which {why}")
            inputs = [self.values[name] if name else None for name in node.input]
            with ir.Location.name(node_label(node)):
                outputs = self._run_node(node, inputs)
            if len(outputs) < len([name for name in node.output if name]):
                raise ImportFailure(
                    f"node {node_label(node)!r} ({node.op_type}): {len(node.output)} outputs are used, "
                    f"{len(outputs)} are supported"
                )
            if node.op_type != "Gradient":  # it adds the nodes that it becomes
                self.history.append((node, self.opsets.get("", 0)))
            for name, output in zip(node.output, outputs, strict=False):
                if name:
                    if isinstance(output, Tensor) and output.known is not None:
                        output.name = name
                    self.values[name] = output

    def _run_node(self, proto: onnx.NodeProto, inputs: list[Any]) -> Sequence[Any]:
        try:
            key = (proto.domain, proto.op_type, proto.overload)
            if key in self.context.functions:
                return self._call(self.context.functions[key], proto, inputs)
            domain = "" if proto.domain == "ai.onnx" else proto.domain
            operator = find_operator(domain, proto.op_type)
            if operator is None:
                return self._call(self._schema_function(domain, proto, inputs), proto, inputs)
            while inputs and inputs[-1] is None:
                inputs.pop()
            if len(inputs) < operator.required or (operator.most is not None and len(inputs) > operator.most):
                most = "or more" if operator.most is None else f"to {operator.most}"
                raise ValueError(f"takes {operator.required} {most} inputs, {len(inputs)} are given")
            for position, tensor in enumerate(inputs[: operator.required]):
                if tensor is None:
                    raise ValueError(f"input {position} is missing")
            for x in inputs:
                if isinstance(x, Strings):
                    raise NotImplementedError(f"an input is {x}, which cannot be computed with")
                if not operator.takes_sequences and not (x is None or isinstance(x, Tensor)):
                    raise NotImplementedError("inputs must be tensors; sequences and optionals are not supported here")
            node = Node(proto, self.opsets[domain], self, self._attributes_of(proto))
            result = operator.function(node, *inputs)
        except MlirageError as error:
            if str(error).startswith("node "):
                raise
            raise ImportFailure(f"{self._where(proto, inputs)}: {error}") from error
        except (ValueError, TypeError, NotImplementedError, ir.MLIRError) as error:
            what = self._wrong_attribute(proto) or str(error)
            raise ImportFailure(f"{self._where(proto, inputs)}: {what}") from error
        except (ArithmeticError, LookupError, AttributeError, AssertionError, RecursionError, MemoryError) as error:
            # What the node says makes no sense in a way that its function does not look for.
            what = self._wrong_attribute(proto) or f"cannot be imported: {type(error).__name__}: {error}"
            raise ImportFailure(f"{self._where(proto, inputs)}: {what}") from error
        return result if type(result) in (tuple, list) else (result,)

    @staticmethod
    def _where(proto: onnx.NodeProto, inputs: Sequence[Any]) -> str:
        """What messages call a node, with the types of what it reads."""
        kinds = ", ".join(_kind(x) for x in inputs)
        return f"node {node_label(proto)!r} ({proto.op_type}{f' of {kinds}' if kinds else ''})"

    def _wrong_attribute(self, proto: onnx.NodeProto) -> str | None:
        """How the attributes of a node that cannot be imported differ from what its operator says, if they do."""
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        try:
            schema: Any = onnx.defs.get_schema(proto.op_type, self.opsets.get(domain, 0), domain)
        except onnx.defs.SchemaError:
            return None
        given = {attribute.name: attribute for attribute in proto.attribute}
        for name, declared in schema.attributes.items():
            if name not in given:
                if declared.required:
                    return f"attribute {name!r} is missing"
            elif not given[name].ref_attr_name and given[name].type != declared.type.value:
                kind = onnx.AttributeProto.AttributeType.Name(given[name].type)
                return f"attribute {name!r} is of type {kind}, not {declared.type.name}"
        return None

    def _attributes_of(self, proto: onnx.NodeProto) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for attribute in proto.attribute:
            source = attribute
            if attribute.ref_attr_name:
                if attribute.ref_attr_name not in self.attributes:
                    continue
                source = self.attributes[attribute.ref_attr_name]
            result[attribute.name] = attribute_value(source, self.context.weights.read)
        return result

    def _call(self, function: onnx.FunctionProto, proto: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        """Imports a function's body in place."""
        bound = {attribute.name: attribute for attribute in function.attribute_proto}
        for attribute in proto.attribute:
            if attribute.ref_attr_name:
                if attribute.ref_attr_name in self.attributes:
                    bound[attribute.name] = self.attributes[attribute.ref_attr_name]
            else:
                bound[attribute.name] = attribute
        values = {name: None for name in function.input}
        values.update(zip(function.input, inputs, strict=False))
        opsets = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in function.opset_import}
        body = GraphImporter(self.context, values, bound, {**self.opsets, **opsets})
        body.run_nodes(function.node)
        return [body.values.get(name) for name in function.output]

    def _schema_function(self, domain: str, proto: onnx.NodeProto, inputs: list[Any]) -> onnx.FunctionProto:
        """The body that the operator's schema defines it by."""
        schema: Any = onnx.defs.get_schema(proto.op_type, self.opsets[domain], domain)
        if schema.has_function:
            function = onnx.FunctionProto()
            function.ParseFromString(
                schema.get_function_with_opset_version(self.opsets[domain]) or schema.function_body.SerializeToString()
            )
            return self._with_defaults(schema, function)
        types = [_type_proto(x).SerializeToString() if x is not None else b"" for x in inputs]
        resolved = onnx.NodeProto()
        resolved.CopyFrom(proto)
        del resolved.attribute[:]
        for attribute in proto.attribute:
            source = self.attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
            if source is not None:
                copy = resolved.attribute.add()
                copy.CopyFrom(source)
                copy.name = attribute.name
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= self.opsets[domain]]
        if not versions:
            raise NotImplementedError(
                f"{domain or 'ai.onnx'}.{proto.op_type} (opset {self.opsets[domain]}) is not supported yet"
            )
        version = max(versions)
        body = schema.get_context_dependent_function_with_opset_version(version, resolved.SerializeToString(), types)
        function = onnx.FunctionProto()
        function.ParseFromString(body)
        return self._with_defaults(schema, function)

    @staticmethod
    def _with_defaults(schema: onnx.defs.OpSchema, function: onnx.FunctionProto) -> onnx.FunctionProto:
        present = {attribute.name for attribute in function.attribute_proto}
        for name, attribute in schema.attributes.items():
            if name not in present and attribute.default_value.name:
                function.attribute_proto.add().CopyFrom(attribute.default_value)
        return function


def _kind(x: Any) -> str:
    """An input in a message: `float32[2, ?]`."""
    if not isinstance(x, Tensor):
        return "none" if x is None else type(x).__name__.lower()
    return f"{x.dtype}[{', '.join('?' if isinstance(d, Sym) else str(d) for d in x.shape)}]"


def _type_proto(x: Tensor) -> onnx.TypeProto:
    element = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    return onnx.helper.make_tensor_type_proto(element, [None if isinstance(d, Sym) else d for d in x.shape])
