"""Sequences and optionals: lists whose length the compiler knows are taken apart at import, others are ragged."""

from __future__ import annotations

from typing import Any

import onnx

from mlirage.importers.onnx_ops.control import run_loop
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.importers.onnx_values import Absent, DynamicOptional, RaggedSequence, TensorSequence, ragged
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor

_Sequence = TensorSequence | RaggedSequence


def _position(position: Tensor | None, default: Dim) -> Dim:
    return default if position is None else position.dims()[0]


def _sequence(value: Any) -> _Sequence:
    if not isinstance(value, _Sequence):
        raise TypeError(f"takes a sequence, is given {value!r}")
    return value


def _static(sequence: TensorSequence, index: int, past_end: bool = False) -> int:
    if not -len(sequence) <= index < len(sequence) + past_end:
        raise ValueError(f"position {index} of a sequence of {len(sequence)} tensors")
    return index + len(sequence) if index < 0 else index


@onnx_op()
def SequenceConstruct(node: Node, *elements: Tensor) -> _Sequence:
    return TensorSequence(elements)


@onnx_op()
def SequenceEmpty(node: Node) -> _Sequence:
    return TensorSequence((), node.dtype("dtype", onnx.TensorProto.FLOAT))


@onnx_op(takes_sequences=True)
def SequenceAt(node: Node, sequence: Any, position: Tensor) -> Tensor:
    sequence, index = _sequence(sequence), _position(position, 0)
    if isinstance(sequence, TensorSequence) and isinstance(index, int):
        return sequence[_static(sequence, index)]
    sequence = ragged(sequence)
    return sequence.at(sequence.place(index, "SequenceAt"))


@onnx_op(takes_sequences=True)
def SequenceInsert(node: Node, sequence: Any, element: Tensor, position: Tensor | None = None) -> _Sequence:
    sequence = _sequence(sequence)
    if isinstance(sequence, TensorSequence):
        index = _position(position, len(sequence))
        if isinstance(index, int):
            result = TensorSequence(sequence)
            result.insert(_static(sequence, index, past_end=True), element)
            return result
    if isinstance(sequence, TensorSequence) and not sequence:
        sequence = TensorSequence((), element.dtype)
    if sequence.dtype != element.dtype:
        raise ValueError(f"a tensor of {element.dtype} into a sequence of {sequence.dtype}")
    sequence = ragged(sequence)
    place = sequence.place(_position(position, sequence.length), "SequenceInsert", past_end=True)
    return sequence.replaced(place, 0, [element])


@onnx_op(takes_sequences=True)
def SequenceErase(node: Node, sequence: Any, position: Tensor | None = None) -> _Sequence:
    sequence, index = _sequence(sequence), _position(position, -1)
    if isinstance(sequence, TensorSequence) and isinstance(index, int):
        result = TensorSequence(sequence, sequence.dtype)
        del result[_static(sequence, index)]
        return result
    sequence = ragged(sequence)
    return sequence.replaced(sequence.place(index, "SequenceErase"), 1, [])


@onnx_op(takes_sequences=True)
def SequenceLength(node: Node, sequence: Any) -> Tensor:
    sequence = _sequence(sequence)
    length = len(sequence) if isinstance(sequence, TensorSequence) else sequence.length
    return b.reshape(Tensor.of_dims([length]), ())


@onnx_op()
def SplitToSequence(node: Node, x: Tensor, split: Tensor | None = None) -> _Sequence:
    axis = b.normalize_axis(node.get("axis", 0), x.rank)
    extent = x.shape[axis]
    squeezed = split is None and not node.get("keepdims", 1)
    if split is not None and split.rank == 1 and (split.known is not None or isinstance(split.shape[0], int)):
        sizes = list(split.dims())
        b.TensorBuilder.current().require_equal(sum(sizes), extent, "SplitToSequence: the sizes must add up")
        return _pieces(x, axis, sizes, squeezed)
    if split is not None and split.rank == 1:
        raise NotImplementedError("the number of pieces of SplitToSequence must be known at compile time")
    size = _position(split, 1)
    if isinstance(size, int) and isinstance(extent, int):
        if size < 1:
            raise ValueError(f"pieces of {size} positions")
        return _pieces(x, axis, [min(size, extent - start) for start in range(0, extent, size)], squeezed)
    builder = b.TensorBuilder.current()
    builder.require_at_least(size, 1, "SplitToSequence: pieces must not be empty")
    size = b.dims.maximum(size, 1)

    def body(i: Dim, values: list[Any]) -> tuple[None, list[Any], list[Tensor]]:
        start = i * size
        (sequence,) = values
        (part,) = _pieces(x, axis, [b.dims.minimum(size, extent - start)], squeezed, start)
        sequence = ragged(sequence, part.rank)
        return None, [sequence.replaced(sequence.length, 0, [part])], []

    count = (extent + size - 1) // size
    ((result,), _) = run_loop(count, None, [TensorSequence((), x.dtype)], body)
    return result


def _pieces(x: Tensor, axis: int, sizes: list[Dim], squeezed: bool, start: Dim = 0) -> TensorSequence:
    parts = TensorSequence((), x.dtype)
    for size in sizes:
        part = b.slice_axis(x, axis, start, size)
        parts.append(b.squeeze(part, [axis]) if squeezed else part)
        start = start + size
    return parts


@onnx_op(takes_sequences=True)
def ConcatFromSequence(node: Node, sequence: Any) -> Tensor:
    sequence, axis = _sequence(sequence), node.require("axis")
    new_axis = node.get("new_axis", 0)
    if isinstance(sequence, TensorSequence):
        if not sequence:
            raise ValueError("there is nothing to concatenate: the sequence is empty")
        axis = b.normalize_axis(axis, sequence[0].rank + bool(new_axis))
        return b.concatenate([b.unsqueeze(x, [axis]) if new_axis else x for x in sequence], axis)
    b.TensorBuilder.current().require_at_least(sequence.length, 1, "ConcatFromSequence: the sequence is empty")
    axis = b.normalize_axis(axis, sequence.rank + bool(new_axis))

    def element(place: Dim) -> Tensor:
        return b.unsqueeze(sequence.at(place), [axis]) if new_axis else sequence.at(place)

    def body(i: Dim, values: list[Any]) -> tuple[None, list[Any], list[Tensor]]:
        return None, [b.concatenate([values[0], element(i)], axis)], []

    nothing = b.slice_axis(element(0), axis, 0, 0)
    ((result,), _) = run_loop(sequence.length, None, [nothing], body)
    return result


@onnx_op(takes_sequences=True)
def SequenceMap(node: Node, first: Any, *others: Any) -> Any:
    graph = node.require("body")
    sequence = _sequence(first)
    lengths = {len(x) for x in (first, *others) if isinstance(x, TensorSequence)}
    if len(lengths) > 1:
        raise ValueError(f"sequences of different lengths: {sorted(lengths)}")
    if lengths:
        results = [TensorSequence() for _ in graph.output]
        for i in range(lengths.pop()):
            inputs = [_element(x, i) for x in (first, *others)]
            for result, output in zip(results, node.graph.run_subgraph(graph, inputs), strict=True):
                result.append(output)
        return results

    def body(i: Dim, values: list[Any]) -> tuple[None, list[Any], list[Tensor]]:
        outputs = node.graph.run_subgraph(graph, [_element(x, i) for x in (first, *others)])
        grown: list[Any] = []
        for value, output in zip(values, outputs, strict=True):
            start = TensorSequence((), output.dtype) if isinstance(value, TensorSequence) and not value else value
            wide = ragged(start, output.rank)
            grown.append(wide.replaced(wide.length, 0, [output]))
        return None, grown, []

    assert isinstance(sequence, RaggedSequence)
    finals, _ = run_loop(sequence.length, None, [TensorSequence() for _ in graph.output], body)
    return finals


def _element(value: Any, place: Dim) -> Any:
    """What one call of SequenceMap's body is given of an input: an element of a sequence, a tensor as it is."""
    if isinstance(value, TensorSequence) and isinstance(place, int):
        return value[place]
    if isinstance(value, RaggedSequence):
        return value.at(value.place(place, "SequenceMap"))
    return value


@onnx_op(takes_sequences=True)
def Optional(node: Node, value: Any = None) -> Any:
    return Absent() if value is None else value


@onnx_op(takes_sequences=True)
def OptionalHasElement(node: Node, value: Any = None) -> Tensor:
    if isinstance(value, DynamicOptional):
        return value.present
    return Tensor.of(value is not None and not isinstance(value, Absent))


@onnx_op(takes_sequences=True)
def OptionalGetElement(node: Node, value: Any) -> Any:
    if isinstance(value, Absent):
        raise ValueError("the optional holds nothing")
    if isinstance(value, DynamicOptional):
        condition = b.loops.scalar_condition(value.present)
        b.TensorBuilder.current().require(condition, "OptionalGetElement: the optional holds nothing")
        return value.value
    return value
