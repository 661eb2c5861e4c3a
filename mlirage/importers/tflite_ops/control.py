"""Control flow between subgraphs, and state."""

from __future__ import annotations

from typing import Any

from mlirage.importers.tflite_graph import Resource
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input.builders import Dim, Tensor, loops
from mlirage.mlir import ir, ml_program


def _tensors(values: list[Any]) -> list[Tensor]:
    for value in values:
        if not isinstance(value, Tensor):
            raise NotImplementedError("resources cannot be handed to or from a branch or loop")
    return values


@tflite_op
def IF(node: Node, condition: Tensor, *inputs: Any) -> list[Tensor]:
    then, otherwise = (node.option(f"{k}SubgraphIndex", -1) for k in ("Then", "Else"))
    return loops.if_(
        condition,
        lambda: _tensors(node.graph.run_subgraph(then, inputs)),
        lambda: _tensors(node.graph.run_subgraph(otherwise, inputs)),
    )


@tflite_op
def WHILE(node: Node, *inputs: Any) -> list[Any]:
    condition, body = (node.option(f"{k}SubgraphIndex", -1) for k in ("Cond", "Body"))
    # Resources only name state: they pass by the loop.
    fixed = {i: value for i, value in enumerate(inputs) if isinstance(value, Resource)}

    def with_fixed(values: list[Tensor]) -> list[Any]:
        rest = iter(values)
        return [fixed[i] if i in fixed else next(rest) for i in range(len(inputs))]

    def holds(values: list[Tensor]) -> Tensor:
        (result,) = node.graph.run_subgraph(condition, with_fixed(values))
        return result

    def step(_: Dim, values: list[Tensor]) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        made = node.graph.run_subgraph(body, with_fixed(values))
        following = _tensors([value for i, value in enumerate(made) if i not in fixed])
        return holds(following), following, []

    start = [value for i, value in enumerate(inputs) if i not in fixed]
    finals, _ = loops.loop(None, holds(start), start, step)
    return with_fixed(finals)


@tflite_op
def CALL(node: Node, *inputs: Any) -> list[Any]:
    return node.graph.run_subgraph(node.option("Subgraph", -1), inputs)


@tflite_op
def STABLEHLO_COMPOSITE(node: Node, *inputs: Any) -> list[Any]:
    """A named group of operators: its decomposition is imported."""
    return node.graph.run_subgraph(node.option("DecompositionSubgraphIndex", -1), inputs)


@tflite_op
def CALL_ONCE(node: Node) -> list[Any]:
    """Initial values of variables: its subgraph only assigns constants, which become the globals' first values."""
    node.graph.run_initializer(node.option("InitSubgraphIndex", -1))
    return []


@tflite_op
def VAR_HANDLE(node: Node) -> Resource:
    return Resource(f"{node.option('Container', '')}/{node.option('SharedName', '')}")


@tflite_op
def READ_VARIABLE(node: Node, handle: Resource) -> Tensor:
    info = node.output()
    variable = node.graph.context.resource(handle, list(info.shape), node.dtype())
    return Tensor.from_value(ml_program.GlobalLoadOp(variable.kind, variable.symbol).result, variable.dtype)


@tflite_op
def ASSIGN_VARIABLE(node: Node, handle: Resource, value: Tensor) -> list[Any]:
    variable = node.graph.context.resource(handle, list(value.shape), value.dtype)
    stored = Tensor.from_value(value.value, value.dtype, ir.RankedTensorType(variable.kind).shape)
    ml_program.GlobalStoreOp(variable.symbol, stored.value)
    return []
