"""If, Loop and Scan become scf ops on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor, loops


def _tensors(values: Sequence[Any], what: str) -> list[Tensor]:
    for value in values:
        if not isinstance(value, Tensor):
            raise NotImplementedError(f"{what} must be tensors; sequences and optionals are not supported there")
    return list(values)


@onnx_op()
def If(node: Node, condition: Tensor) -> list[Any]:
    graphs = [node.require("then_branch"), node.require("else_branch")]
    known = condition.splat()
    if known is not None:
        return node.graph.run_subgraph(graphs[0] if known else graphs[1], [])
    then, otherwise = (
        lambda graph=graph: _tensors(node.graph.run_subgraph(graph, []), "results of If") for graph in graphs
    )
    return loops.if_(condition, then, otherwise)


@onnx_op()
def Loop(node: Node, limit: Tensor | None = None, condition: Tensor | None = None, *initial: Tensor) -> list[Tensor]:
    graph = node.require("body")
    count: Dim | None = limit.dims()[0] if limit is not None else None
    if isinstance(count, int) and count >= 2**31:
        count = None
    if count is not None:
        count = b.dims.maximum(count, 0)
    carried = _tensors(initial, "values of Loop")

    def body(i: Dim, values: list[Tensor]) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        go_on = Tensor.of(True)
        outputs = node.graph.run_subgraph(graph, [Tensor.of_dims(_scalar(i)), go_on, *values])
        results = _tensors(outputs, "results of Loop")
        return results[0], results[1 : 1 + len(values)], results[1 + len(values) :]

    finals, stacks = loops.loop(count, condition, carried, body)
    return [*finals, *stacks]


def _scalar(dim: Dim) -> Any:
    import numpy as np

    array = np.empty((), object)
    array[()] = dim
    return array


@onnx_op()
def Scan(node: Node, *inputs: Tensor | None) -> list[Tensor]:
    scans = node.require("num_scan_inputs")
    if node.opset < 9:
        return _batched_scan(node, list(inputs), scans)
    return _scan(node, list(inputs), scans)


def _batched_scan(node: Node, inputs: list[Tensor | None], scans: int) -> list[Tensor]:
    """Scan of opset 8: every input has a batch axis in front, and each batch is scanned for itself."""
    lengths, *rest = inputs
    if lengths is not None:
        raise NotImplementedError("Scan of opset 8 with sequence lengths is not supported")
    tensors = _tensors(rest, "inputs of Scan")

    def body(i: Dim, _: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        batch = [b.squeeze(b.slice_axis(x, 0, i, 1), [0]) for x in tensors]
        return None, [], _scan(node, batch, scans)

    return loops.loop(tensors[0].shape[0], None, [], body)[1]


def _scan(node: Node, inputs: list[Any], scans: int) -> list[Tensor]:
    graph = node.require("body")
    states, scanned = list(inputs[: len(inputs) - scans]), list(inputs[len(inputs) - scans :])
    made = len(graph.output) - len(states)
    axes = [b.normalize_axis(a, x.rank) for a, x in zip(node.get("scan_input_axes", [0] * scans), scanned, strict=True)]
    backwards = node.get("scan_input_directions", node.get("directions", [0] * scans))
    count = scanned[0].shape[axes[0]]
    for x, axis in zip(scanned, axes, strict=True):
        b.TensorBuilder.current().require_equal(x.shape[axis], count, "Scan: inputs of different length")

    def body(i: Dim, values: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        slices = [
            b.squeeze(b.slice_axis(x, axis, count - 1 - i if back else i, 1), [axis])
            for x, axis, back in zip(scanned, axes, backwards, strict=True)
        ]
        results = _tensors(node.graph.run_subgraph(graph, [*values, *slices]), "results of Scan")
        return None, results[: len(states)], results[len(states) :]

    finals, stacks = loops.loop(count, None, states, body)
    turned = node.get("scan_output_directions", [0] * made)
    places = node.get("scan_output_axes", [0] * made)
    outputs: list[Tensor] = []
    for stack, back, axis in zip(stacks, turned, places, strict=True):
        result = b.reverse(stack, [0]) if back else stack
        axis = b.normalize_axis(axis, result.rank)
        order = [*range(1, axis + 1), 0, *range(axis + 1, result.rank)]
        outputs.append(b.transpose(result, order))
    return [*finals, *outputs]
