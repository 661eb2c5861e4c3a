"""Recurrent networks: LSTM, RNN and SVDF, with state that lives from call to call.

Products with the inputs of all time steps are made at once before the loop over time. Integer weights with real
activations are multiplied as dynamic-range kernels do it: each row is quantized on the fly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.activation import activate
from mlirage.importers.tflite_ops.fixed_point import quantize_multiplier, saturated, scaled
from mlirage.importers.tflite_ops.integer_recurrent import integer_lstm
from mlirage.importers.tflite_ops.linear import by_rows, hybrid_product
from mlirage.importers.tflite_ops.registry import Node, is_quantized, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

INT16 = np.dtype(np.int16)


@dataclass(frozen=True)
class _Cell:
    """The inputs of an LSTM from `first` on, in the order of the schema.

    Attributes:
      node: the operator.
      tensors: its inputs.
      first: position of the weights from the input to the input gate.
    """

    node: Node
    tensors: Sequence[Tensor | None]
    first: int

    def at(self, offset: int) -> Tensor | None:
        """An input; None if absent. Small per-channel ones may be integers in dynamic-range models."""
        position = self.first + offset
        return self.tensors[position] if position < len(self.tensors) else None

    def vector(self, offset: int) -> Tensor | None:
        """A vector (peephole, bias, normalization) as real numbers."""
        found = self.at(offset)
        if found is None or b.is_float(found.dtype):
            return found
        scale = float(self.node.quantization(self.first + offset).scale)
        return b.map_(lambda a: s.cast(a, b.FLOAT32) * scale, found, dtype=b.FLOAT32)

    def product(self, x: Tensor, offset: int) -> Tensor:
        """Rows times weights.

        Raises:
          ValueError: the weights are absent.
        """
        return product(self.node, x, self.at(offset), self.first + offset)


def product(node: Node, x: Tensor, weight: Tensor | None, position: int) -> Tensor:
    """Rows [n, k] times weights [m, k], which may be integers.

    Raises:
      ValueError: the weights are absent.
    """
    if weight is None:
        raise ValueError(f"input {position} (weights) is missing")
    if not b.is_float(weight.dtype) and is_quantized(node.input(position)):
        asymmetric = bool(node.option("AsymmetricQuantizeInputs", False))
        return hybrid_product(x, weight, node.quantization(position).scales, asymmetric)
    return by_rows(x, weight, x.dtype)


def _normalized(x: Tensor, coefficients: Tensor | None, bias: Tensor | None) -> Tensor:
    """Layer normalization of each row, or only the bias."""
    if coefficients is not None:
        mean = b.mean(x, [1], keepdims=True)
        squares = b.mean(b.map_(lambda a: a * a, x), [1], keepdims=True)

        def body(a: Scalar, m: Scalar, q: Scalar, k: Scalar) -> Scalar:
            return (a - m) / s.sqrt(q - m * m + 1e-8) * k

        x = b.map_(body, x, mean, squares, coefficients, shape=x.shape)
    return x if bias is None else b.map_(lambda a, c: a + c, x, bias, shape=x.shape)


def _check_batch(batch: Dim, state: Tensor) -> None:
    b.TensorBuilder.current().require_equal(batch, state.shape[0], "the state was made for another batch size")


def _lstm_step(
    cell: _Cell, parts: Sequence[Tensor | None], h: Tensor, c: Tensor, norms: Sequence[Tensor | None], options: Any
) -> tuple[Tensor, Tensor]:
    """One step: `parts` are the products of input, forget, cell and output gate with the step's input."""
    activation, cell_clip, projection_clip = options

    def gate(i: int, peephole: int | None, state: Tensor) -> Tensor:
        part = parts[i]
        assert part is not None
        total = b.add(part, cell.product(h, 4 + i))
        weights = cell.vector(peephole) if peephole is not None else None
        if weights is not None:
            total = b.map_(lambda a, p, q: a + p * q, total, state, weights, shape=total.shape)
        return _normalized(total, norms[i], cell.vector(11 + i))

    forget = b.map_(s.sigmoid, gate(1, 9, c))
    write = b.map_(s.sigmoid, gate(0, 8, c)) if parts[0] is not None else b.map_(lambda f: -f + 1.0, forget)
    new = b.map_(lambda a: activate(a, activation), gate(2, None, c))

    def update(f: Scalar, old: Scalar, i: Scalar, g: Scalar) -> Scalar:
        value = f * old + i * g
        return s.clamp(value, -cell_clip, cell_clip) if cell_clip > 0 else value

    c = b.map_(update, forget, c, write, new)
    out = b.map_(s.sigmoid, gate(3, 10, c))
    h = b.map_(lambda o, v: o * activate(v, activation), out, c)
    if cell.at(15) is not None:
        h = cell.product(h, 15)
        bias = cell.vector(16)
        h = h if bias is None else b.map_(lambda a, k: a + k, h, bias, shape=h.shape)
        h = b.map_(lambda a: s.clamp(a, -projection_clip, projection_clip), h) if projection_clip > 0 else h
    return h, c


def _lstm(
    cell: _Cell, x: Tensor, h: Tensor, c: Tensor, norms: Sequence[Tensor | None], backwards: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """x [time, batch, k] to outputs [time, batch, n], and the last states."""
    node = cell.node
    if not b.is_float(x.dtype):
        raise NotImplementedError(f"an LSTM of {x.dtype} activations")
    options = [node.option("FusedActivationFunction"), *(float(node.option(k, 0.0)) for k in ("CellClip", "ProjClip"))]
    steps, batch = x.shape[0], x.shape[1]
    _check_batch(batch, h)
    rows = b.reshape(x, [steps * batch, x.shape[2]])
    parts: list[Tensor | None] = []
    for i in range(4):
        if i == 0 and cell.at(0) is None:
            parts.append(None)  # the input gate is coupled to the forget gate
            continue
        made = cell.product(rows, i)
        parts.append(b.reshape(made, [steps, batch, made.shape[1]]))

    def body(i: Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        at = steps - 1 - i if backwards else i
        now = [None if p is None else b.squeeze(b.slice_axis(p, 0, at, 1), [0]) for p in parts]
        following = _lstm_step(cell, now, state[0], state[1], norms, options)
        return None, list(following), [following[0]]

    (h, c), (outputs,) = loops.loop(steps, None, [h, c], body)
    return (b.reverse(outputs, [0]) if backwards else outputs), h, c


def _by_time(node: Node, x: Tensor) -> Tensor:
    """Time first."""
    return x if node.option("TimeMajor", False) else b.transpose(x, [1, 0, 2])


def _full_lstm(node: Node, x: Tensor, tensors: Sequence[Tensor | None]) -> tuple[Tensor, Tensor, Tensor]:
    if b.is_integer(x.dtype):
        return integer_lstm(node, x, tensors)
    cell = _Cell(node, tensors, 1)
    norms = [cell.vector(19 + i) for i in range(4)]
    return _lstm(cell, x, _state(tensors, 18), _state(tensors, 19), norms)


@tflite_op
def UNIDIRECTIONAL_SEQUENCE_LSTM(node: Node, x: Tensor, *rest: Tensor | None) -> Tensor:
    tensors = [x, *rest]
    outputs, h, c = _full_lstm(node, _by_time(node, x), tensors)
    node.graph.store_state(node.input(18), h)
    node.graph.store_state(node.input(19), c)
    return outputs if node.option("TimeMajor", False) else b.transpose(outputs, [1, 0, 2])


def _state(tensors: Sequence[Tensor | None], position: int) -> Tensor:
    found = tensors[position] if position < len(tensors) else None
    if found is None:
        raise ValueError(f"input {position} (state) is missing")
    return found


@tflite_op
def BIDIRECTIONAL_SEQUENCE_LSTM(node: Node, x: Tensor, *rest: Tensor | None) -> tuple[Tensor, ...]:
    tensors = [x, *rest]
    if any(t is not None for t in tensors[39:]):
        raise NotImplementedError("BIDIRECTIONAL_SEQUENCE_LSTM with an auxiliary input")
    made: list[Tensor] = []
    for first, state, backwards in ((1, 35, False), (18, 37, True)):
        h, c = _state(tensors, state), _state(tensors, state + 1)
        outputs, h, c = _lstm(_Cell(node, tensors, first), _by_time(node, x), h, c, [None] * 4, backwards)
        node.graph.store_state(node.input(state), h)
        node.graph.store_state(node.input(state + 1), c)
        made.append(outputs if node.option("TimeMajor", False) else b.transpose(outputs, [1, 0, 2]))
    return (b.concatenate(made, 2),) if node.option("MergeOutputs", False) else tuple(made)


@tflite_op
def LSTM(node: Node, x: Tensor, *rest: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors = [x, *rest]
    if node.option("KernelType"):
        return _basic_lstm(node, tensors)
    outputs, h, c = _full_lstm(node, b.unsqueeze(x, [0]), tensors)
    node.graph.store_state(node.input(18), h)
    node.graph.store_state(node.input(19), c)
    return (b.squeeze(outputs, [0]),)


def _basic_lstm(node: Node, tensors: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """x, last output, weights [4n, k], bias, last state; gates in the order input, new, forget, output."""
    x, h, weight, bias, c = (_state(tensors, i) for i in range(5))
    if not b.is_float(x.dtype):
        raise NotImplementedError(f"an LSTM of {x.dtype} activations")
    joined = b.concatenate([x, h], 1)
    total = b.map_(lambda a, k: a + k, by_rows(joined, weight, x.dtype), bias)
    width = c.shape[1]
    write, new, forget, out = (b.slice_axis(total, 1, width * i, width) for i in range(4))

    def update(i: Scalar, g: Scalar, f: Scalar, old: Scalar) -> Scalar:
        return s.sigmoid(i) * s.tanh(g) + s.sigmoid(f) * old

    c = b.map_(update, write, new, forget, c)
    h = b.map_(lambda o, v: s.sigmoid(o) * s.tanh(v), out, c)
    return h, c, joined, total


def _rnn(
    node: Node, x: Tensor, tensors: Sequence[Tensor | None], first: int, state: int, backwards: bool = False
) -> Tensor:
    """x [time, batch, k] to outputs [time, batch, n]: weights, recurrent weights and bias from `first` on."""
    h = _state(tensors, state)
    bias = _state(tensors, first + 2)
    steps, batch = x.shape[0], x.shape[1]
    _check_batch(batch, h)
    made = product(node, b.reshape(x, [steps * batch, x.shape[2]]), tensors[first], first)
    parts = b.reshape(made, [steps, batch, made.shape[1]])
    activation = node.option("FusedActivationFunction")

    def body(i: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        now = b.squeeze(b.slice_axis(parts, 0, steps - 1 - i if backwards else i, 1), [0])
        again = product(node, carried[0], tensors[first + 1], first + 1)
        following = b.map_(lambda p, q, k: activate(p + q + k, activation), now, again, bias, shape=now.shape)
        return None, [following], [following]

    (h,), (outputs,) = loops.loop(steps, None, [h], body)
    node.graph.store_state(node.input(state), h)
    return b.reverse(outputs, [0]) if backwards else outputs


@tflite_op
def RNN(node: Node, x: Tensor, *rest: Tensor | None) -> Tensor:
    return b.squeeze(_rnn(node, b.unsqueeze(x, [0]), [x, *rest], 1, 4), [0])


@tflite_op
def UNIDIRECTIONAL_SEQUENCE_RNN(node: Node, x: Tensor, *rest: Tensor | None) -> Tensor:
    outputs = _rnn(node, _by_time(node, x), [x, *rest], 1, 4)
    return outputs if node.option("TimeMajor", False) else b.transpose(outputs, [1, 0, 2])


@tflite_op
def BIDIRECTIONAL_SEQUENCE_RNN(node: Node, x: Tensor, *rest: Tensor | None) -> tuple[Tensor, ...]:
    tensors = [x, *rest]
    if any(t is not None for t in tensors[9:]):
        raise NotImplementedError("BIDIRECTIONAL_SEQUENCE_RNN with an auxiliary input")
    made: list[Tensor] = []
    for first, state, backwards in ((1, 4, False), (5, 8, True)):
        outputs = _rnn(node, _by_time(node, x), tensors, first, state, backwards)
        made.append(outputs if node.option("TimeMajor", False) else b.transpose(outputs, [1, 0, 2]))
    return (b.concatenate(made, 2),) if node.option("MergeOutputs", False) else tuple(made)


@tflite_op
def SVDF(node: Node, x: Tensor, features: Tensor, times: Tensor, bias: Tensor | None, state: Tensor) -> Tensor:
    """A memory of each filter's last results; `rank` filters make a unit."""
    rank, (filters, memory) = node.option("Rank"), times.shape
    if not isinstance(filters, int) or not isinstance(memory, int) or rank < 1 or filters % rank:
        raise ValueError(f"rank {rank}, time weights {list(times.shape)}")
    _check_batch(x.shape[0], state)
    batch = x.shape[0]
    integer = not b.is_float(x.dtype)
    new = _integer_features(node, x, features) if integer else product(node, x, features, 1)
    history = b.reshape(state, [batch, filters, memory])
    kept = b.concatenate([b.slice_axis(history, 2, 1, memory - 1), b.reshape(new, [batch, filters, 1])], 2)
    node.graph.store_state(node.input(4), b.reshape(kept, state.shape))
    wide = b.INT32 if integer else x.dtype
    if not integer and not b.is_float(times.dtype):
        scale = float(node.quantization(2).scale)
        times = b.map_(lambda a: s.cast(a, b.FLOAT32) * scale, times, dtype=b.FLOAT32)
    sums = b.reduce_(lambda t, a, w: t + s.cast(a, wide) * s.cast(w, wide), 0, [kept, times], [2], wide)
    units = b.sum_(b.reshape(sums, [batch, filters // rank, rank]), [2])
    if not integer:
        activation = node.option("FusedActivationFunction")
        operands = [units] if bias is None else [units, bias]
        return b.map_(lambda a, *k: activate(a + k[0] if k else a, activation), *operands, shape=units.shape)
    target = node.output_quantization()
    product_scale = np.float32(node.quantization(4).scale * node.quantization(2).scale)
    factor = quantize_multiplier(float(np.float32(product_scale / target.scale)))

    def finish(a: Scalar, *k: Scalar) -> Scalar:
        return saturated(scaled(a + k[0] if k else a, *factor), target.zero_point, x.dtype)

    return b.map_(finish, units, *([] if bias is None else [bias]), dtype=x.dtype, shape=units.shape)


def _integer_features(node: Node, x: Tensor, features: Tensor) -> Tensor:
    source, weights, state = node.quantization(0), node.quantization(1), node.quantization(4)
    factor = quantize_multiplier(float(np.float32(np.float32(source.scale * weights.scale) / state.scale)))
    centered = b.map_(lambda a: s.cast(a, INT16) - source.zero_point, x, dtype=INT16)
    total = by_rows(centered, b.cast(features, INT16), b.INT32)
    return b.map_(lambda a: saturated(scaled(a, *factor), 0, INT16), total, dtype=INT16)
