"""Sequences and optionals: lists whose length the compiler knows, taken apart at import."""

from __future__ import annotations

from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Tensor


class TensorSequence(list[Tensor]):
    """The value of a sequence-typed name."""


class Absent:
    """The value of an optional that holds nothing."""


def _position(position: Tensor | None, default: int, what: str) -> int:
    if position is None:
        return default
    (index,) = position.dims()
    if not isinstance(index, int):
        raise NotImplementedError(f"the position of {what} must be known at compile time")
    return index


@onnx_op()
def SequenceConstruct(node: Node, *elements: Tensor) -> TensorSequence:
    return TensorSequence(elements)


@onnx_op()
def SequenceEmpty(node: Node) -> TensorSequence:
    return TensorSequence()


@onnx_op(takes_sequences=True)
def SequenceAt(node: Node, sequence: TensorSequence, position: Tensor) -> Tensor:
    index = _position(position, 0, "SequenceAt")
    if not -len(sequence) <= index < len(sequence):
        raise ValueError(f"position {index} of a sequence of {len(sequence)} tensors")
    return sequence[index]


@onnx_op(takes_sequences=True)
def SequenceInsert(node: Node, sequence: TensorSequence, element: Tensor, position: Tensor | None = None) -> Any:
    index = _position(position, len(sequence), "SequenceInsert")
    if not -len(sequence) <= index <= len(sequence):
        raise ValueError(f"position {index} of a sequence of {len(sequence)} tensors")
    result = TensorSequence(sequence)
    result.insert(index, element)
    return result


@onnx_op(takes_sequences=True)
def SequenceErase(node: Node, sequence: TensorSequence, position: Tensor | None = None) -> Any:
    index = _position(position, -1, "SequenceErase")
    if not -len(sequence) <= index < len(sequence):
        raise ValueError(f"position {index} of a sequence of {len(sequence)} tensors")
    result = TensorSequence(sequence)
    del result[index]
    return result


@onnx_op(takes_sequences=True)
def SequenceLength(node: Node, sequence: TensorSequence) -> Tensor:
    return Tensor.of(len(sequence), b.INT64)


@onnx_op()
def SplitToSequence(node: Node, x: Tensor, split: Tensor | None = None) -> Any:
    axis = b.normalize_axis(node.get("axis", 0), x.rank)
    extent = x.shape[axis]
    if split is None or split.rank == 0:
        size = _position(split, 1, "the pieces of SplitToSequence")
        if not isinstance(extent, int):
            raise NotImplementedError("the extent of the split axis must be known at compile time")
        sizes: list[Any] = [min(size, extent - start) for start in range(0, extent, size)]
    else:
        sizes = list(split.dims())
    parts = TensorSequence()
    start: b.Dim = 0
    for size in sizes:
        part = b.slice_axis(x, axis, start, size)
        parts.append(b.squeeze(part, [axis]) if split is None and not node.get("keepdims", 1) else part)
        start = start + size
    return parts


@onnx_op(takes_sequences=True)
def ConcatFromSequence(node: Node, sequence: TensorSequence) -> Tensor:
    axis = node.require("axis")
    if not node.get("new_axis", 0):
        return b.concatenate(sequence, axis)
    axis = b.normalize_axis(axis, sequence[0].rank + 1)
    return b.concatenate([b.unsqueeze(x, [axis]) for x in sequence], axis)


@onnx_op(takes_sequences=True)
def SequenceMap(node: Node, first: TensorSequence, *others: Any) -> Any:
    graph = node.require("body")
    results = [TensorSequence() for _ in graph.output]
    for i, element in enumerate(first):
        inputs = [element] + [other[i] if isinstance(other, TensorSequence) else other for other in others]
        for result, output in zip(results, node.graph.run_subgraph(graph, inputs), strict=True):
            result.append(output)
    return results


@onnx_op(takes_sequences=True)
def Optional(node: Node, value: Any = None) -> Any:
    return Absent() if value is None else value


@onnx_op(takes_sequences=True)
def OptionalHasElement(node: Node, value: Any = None) -> Tensor:
    return Tensor.of(value is not None and not isinstance(value, Absent))


@onnx_op(takes_sequences=True)
def OptionalGetElement(node: Node, value: Any) -> Any:
    if isinstance(value, Absent):
        raise ValueError("the optional holds nothing")
    return value
