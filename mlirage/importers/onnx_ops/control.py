"""If, Loop and Scan become scf ops on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.importers.onnx_values import Form, coerce, form_of, join, leaves, rebuild_all
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor, loops


def _tensors(values: Sequence[Any], what: str) -> list[Tensor]:
    for value in values:
        if not isinstance(value, Tensor):
            raise NotImplementedError(f"{what} must be tensors; sequences and optionals are not supported there")
    return list(values)


class _FormsDiffer(Exception):
    """Values of control flow take other forms than was assumed; carries what they have in common."""

    def __init__(self, forms: list[Form]) -> None:
        super().__init__()
        self.forms = forms


@onnx_op(takes_sequences=True)
def If(node: Node, condition: Tensor) -> list[Any]:
    graphs = [node.require("then_branch"), node.require("else_branch")]
    known = condition.splat()
    if known is not None:
        return node.graph.run_subgraph(graphs[0] if known else graphs[1], [])
    forms: list[Form] | None = None
    while True:
        agreed: list[list[Form]] = [forms] if forms is not None else []

        def branch(graph: Any, agreed: list[list[Form]] = agreed) -> list[Tensor]:
            values = node.graph.run_subgraph(graph, [])
            mine = list(map(form_of, values))
            if not agreed:
                agreed.append(mine)
            if len(mine) != len(agreed[0]):
                raise ValueError(f"the branches make {len(agreed[0])} and {len(mine)} values")
            joined = [join(a, c, any_rank=True) for a, c in zip(agreed[0], mine, strict=True)]
            if joined != agreed[0]:
                raise _FormsDiffer(joined)
            return [x for value, form in zip(values, joined, strict=True) for x in leaves(coerce(value, form))]

        try:
            tensors = loops.if_(condition, lambda b=branch: b(graphs[0]), lambda b=branch: b(graphs[1]))
        except _FormsDiffer as other:
            forms = other.forms
        else:
            return rebuild_all(agreed[0], tensors)


ValueLoopBody = Callable[[Dim, list[Any]], tuple[Tensor | None, list[Any], list[Tensor]]]


def run_loop(
    count: Dim | None, condition: Tensor | None, initial: Sequence[Any], body: ValueLoopBody
) -> tuple[list[Any], list[Tensor]]:
    """`loops.loop` with values of any form; a sequence that grows is carried as a ragged one."""
    forms = list(map(form_of, initial))
    while True:
        carried = [x for value, form in zip(initial, forms, strict=True) for x in leaves(coerce(value, form))]

        def tensor_body(i: Dim, tensors: list[Tensor], forms: list[Form] = forms) -> Any:
            go_on, values, collected = body(i, rebuild_all(forms, tensors))
            if len(values) != len(forms):
                raise ValueError(f"the loop carries {len(forms)} values but its body makes {len(values)}")
            joined = [join(form, form_of(value)) for form, value in zip(forms, values, strict=True)]
            if joined != forms:
                raise _FormsDiffer(joined)
            return (
                go_on,
                [x for value, form in zip(values, forms, strict=True) for x in leaves(coerce(value, form))],
                collected,
            )

        try:
            finals, stacks = loops.loop(count, condition, carried, tensor_body)
        except _FormsDiffer as other:
            forms = other.forms
        else:
            return rebuild_all(forms, finals), stacks


@onnx_op(takes_sequences=True)
def Loop(node: Node, limit: Tensor | None = None, condition: Tensor | None = None, *initial: Any) -> list[Any]:
    graph = node.require("body")
    count: Dim | None = limit.dims()[0] if limit is not None else None
    if isinstance(count, int) and count >= 2**31:
        count = None
    if count is not None:
        count = b.dims.maximum(count, 0)

    def body(i: Dim, values: list[Any]) -> tuple[Tensor | None, list[Any], list[Tensor]]:
        outputs = node.graph.run_subgraph(graph, [Tensor.of_dims(_scalar(i)), Tensor.of(True), *values])
        go_on = _tensors(outputs[:1], "the condition of Loop")[0]
        return go_on, outputs[1 : 1 + len(values)], _tensors(outputs[1 + len(values) :], "scan outputs of Loop")

    finals, stacks = run_loop(count, condition, initial, body)
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
    """Scan of opset 8: every input has a batch axis in front, and each batch is scanned for itself.

    Of a batch that is shorter than others its first steps are scanned; behind what these collect come zeros.
    """
    lengths, *rest = inputs
    tensors = _tensors(rest, "inputs of Scan")
    states = len(tensors) - scans
    longest = tensors[states].shape[1]
    where = b.TensorBuilder.current()

    def body(i: Dim, _: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        batch = [b.squeeze(b.slice_axis(x, 0, i, 1), [0]) for x in tensors]
        if lengths is None:
            return None, [], _scan(node, batch, scans)
        (length,) = b.squeeze(b.slice_axis(lengths, 0, i, 1), [0]).dims()
        where.require_at_least(length, 0, "Scan: a sequence length is at least 0")
        where.require_at_least(longest, length, "Scan: a sequence length is at most the inputs'")
        cut = [*batch[:states], *(b.slice_axis(x, 0, 0, length) for x in batch[states:])]
        results = _scan(node, cut, scans)
        return None, [], [*results[:states], *(_padded(x, longest - length) for x in results[states:])]

    return loops.loop(tensors[0].shape[0], None, [], body)[1]


def _padded(x: Tensor, count: Dim) -> Tensor:
    """`x` with `count` rows of zeros behind the others."""
    return b.pad(x, [0] * x.rank, [count, *[0] * (x.rank - 1)], 0)


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
