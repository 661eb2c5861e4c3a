"""LSTMs of integers: bytes in and out, 16 bits between them, as LiteRT's kernels calculate them bit by bit.

gate = table[saturate16(scaled(x · w + bias) + scaled(h · r))]        Q3.12 in, Q0.15 out
cell = saturate16(forget · cell + input · new)                        scale 2^k, k ≤ -9
h    = saturate8(scaled(output · tanh(cell)) + zero point)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlirage.importers.tflite_file import Quantization
from mlirage.importers.tflite_ops.fixed_point import INT16, quantize_multiplier, rounding_divide, saturated, scaled
from mlirage.importers.tflite_ops.gemmlowp_tables import logistic_16, tanh_16
from mlirage.importers.tflite_ops.linear import by_rows
from mlirage.importers.tflite_ops.lookup import look_up
from mlirage.importers.tflite_ops.registry import Node, quantization_of
from mlirage.importers.tflite_ops.windows import folded_bias
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

F32 = np.float32
_GATE_SCALE = F32(2.0**-12)
_INPUT, _FORGET, _NEW, _OUTPUT = range(4)


@dataclass(frozen=True)
class _IntegerCell:
    """The inputs of a node in the order of the schema: 0 the input, 1–4 its weights, 5–8 recurrent weights,
    9–11 peepholes, 12–15 biases, 16 and 17 the projection, 18 and 19 the states, 20–23 normalizations.
    """

    node: Node
    tensors: Sequence[Tensor | None]

    def at(self, position: int) -> Tensor | None:
        return self.tensors[position] if position < len(self.tensors) else None

    def needed(self, position: int) -> Tensor:
        found = self.at(position)
        if found is None:
            raise ValueError(f"input {position} is missing")
        return found

    def scale(self, position: int) -> np.float32:
        return self.node.quantization(position).scale

    def bias(self, gate: int) -> Tensor | None:
        return self.at(12 + gate)

    def intermediate(self, position: int) -> Quantization:
        """Scale and zero point of what is calculated on the way.

        Raises:
          ValueError: the file does not say them.
        """
        numbers = self.node.info.intermediates
        if position >= len(numbers) or numbers[position] < 0:
            raise ValueError(f"the quantization of intermediate {position} is missing")
        return quantization_of(self.node.graph.subgraph.tensors[numbers[position]])

    @property
    def hidden(self) -> Quantization:
        """Quantization of what the projection is made of; the output's where there is none."""
        return self.intermediate(4)

    @property
    def cell_power(self) -> int:
        """The power of two that is the scale of the cell's state."""
        fraction, power = np.frexp(self.scale(19))
        if fraction != 0.5 or power - 1 > -9:
            raise ValueError(f"the cell's state has the scale {self.scale(19)}, which is no power of two below 2^-8")
        return int(power) - 1


def _sixteen(x: Scalar) -> Scalar:
    return saturated(x, 0, INT16)


def _plus(total: Scalar, more: Scalar) -> Scalar:
    """The sum of two 16-bit numbers, saturated."""
    return _sixteen(s.cast(total, b.INT32) + s.cast(more, b.INT32))


def _input_part(cell: _IntegerCell, rows: Tensor, gate: int) -> Tensor:
    """Rows times the gate's input weights on the gate's scale, 16 bits."""
    weight = cell.needed(1 + gate)
    factor = F32(F32(cell.scale(1 + gate) * cell.scale(0)) / _GATE_SCALE)
    return _product(rows, weight, cell.node.quantization(0).zero_point, cell.bias(gate), factor)


def _product(x: Tensor, weight: Tensor, zero_point: int, bias: Tensor | None, factor: np.float32) -> Tensor:
    total = by_rows(x, weight, b.INT32)
    bias = folded_bias(weight, [1], zero_point, bias, b.INT32)
    parts = quantize_multiplier(float(factor))
    operands = [total] if bias is None else [total, bias]
    return b.map_(
        lambda a, *k: _sixteen(scaled(a + k[0] if k else a, *parts)), *operands, dtype=INT16, shape=total.shape
    )


def _gate(cell: _IntegerCell, part: Tensor, h: Tensor, c: Tensor, gate: int) -> Tensor:
    """The gate before its activation."""
    factor = F32(F32(cell.scale(5 + gate) * cell.scale(18)) / _GATE_SCALE)
    again = _product(h, cell.needed(5 + gate), cell.node.quantization(18).zero_point, None, factor)
    total = b.map_(_plus, part, again)
    position = {_INPUT: 9, _FORGET: 10, _OUTPUT: 11}.get(gate)
    peephole = cell.at(position) if position else None
    if peephole is None or position is None:
        return total
    parts = quantize_multiplier(float(F32(2.0**cell.cell_power * float(cell.scale(position)) / float(_GATE_SCALE))))

    def body(a: Scalar, k: Scalar, w: Scalar) -> Scalar:
        product = scaled(s.cast(k, b.INT32) * s.cast(w, b.INT32), *parts)
        return _sixteen(s.cast(a, b.INT32) + product)

    return b.map_(body, total, c, peephole, shape=total.shape)


def _step(cell: _IntegerCell, parts: Sequence[Tensor | None], h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    logistic, tanh = logistic_16(3), tanh_16(3)

    def part(gate: int) -> Tensor:
        found = parts[gate]
        assert found is not None
        return found

    forget = look_up(_gate(cell, part(_FORGET), h, c, _FORGET), logistic, "logistic")
    new = look_up(_gate(cell, part(_NEW), h, c, _NEW), tanh, "tanh")
    if parts[_INPUT] is None:  # coupled to the forget gate
        write = b.map_(lambda f: s.cast(-s.cast(f, b.INT32) + 32767, INT16), forget)
    else:
        write = look_up(_gate(cell, part(_INPUT), h, c, _INPUT), logistic, "logistic")
    power = cell.cell_power
    clip = float(cell.node.option("CellClip", 0.0))
    limit = int(min(F32(clip) / cell.scale(19), F32(32767))) if clip > 0 else 0

    def update(f: Scalar, old: Scalar, i: Scalar, g: Scalar) -> Scalar:
        f, old, i, g = (s.cast(x, b.INT32) for x in (f, old, i, g))
        total = rounding_divide(f * old, 15) + rounding_divide(i * g, 30 + power)
        held = s.clamp(total, -32768, 32767)
        return s.cast(s.clamp(held, -limit, limit) if limit else held, INT16)

    c = b.map_(update, forget, c, write, new)
    out = look_up(_gate(cell, part(_OUTPUT), h, c, _OUTPUT), logistic, "logistic")
    return _output(cell, out, look_up(c, tanh_16(15 + power), "tanh_cell")), c


def _output(cell: _IntegerCell, gate: Tensor, squashed: Tensor) -> Tensor:
    hidden = cell.hidden
    factor = quantize_multiplier(float(F32(2.0**-15 / float(hidden.scale) * 2.0**-15)))
    weight = cell.at(16)
    zero = hidden.zero_point if weight is None else -hidden.zero_point

    def joined(o: Scalar, t: Scalar) -> Scalar:
        return saturated(scaled(s.cast(o, b.INT32) * s.cast(t, b.INT32), *factor), zero, b.INT8)

    made = b.map_(joined, gate, squashed, dtype=b.INT8)
    if weight is None:
        return made
    target = cell.node.quantization(18)
    total = by_rows(made, weight, b.INT32)
    # What is projected had the zero point subtracted: it comes back with the weights' sums.
    bias = folded_bias(weight, [1], -hidden.zero_point, cell.at(17), b.INT32)
    scale = quantize_multiplier(float(F32(F32(cell.scale(16) * hidden.scale) / target.scale)))
    clip = float(cell.node.option("ProjClip", 0.0))
    limit = int(min(F32(clip) / cell.node.output_quantization().scale, F32(127))) if clip > 0 else 0

    def finish(a: Scalar, *k: Scalar) -> Scalar:
        value = saturated(scaled(a + k[0] if k else a, *scale), target.zero_point, b.INT8)
        return s.clamp(value, -limit, limit) if limit else value

    return b.map_(finish, total, *([] if bias is None else [bias]), dtype=b.INT8, shape=total.shape)


def integer_lstm(node: Node, x: Tensor, tensors: Sequence[Tensor | None]) -> tuple[Tensor, Tensor, Tensor]:
    """x [time, batch, k] to outputs [time, batch, n], and the last states.

    Raises:
      NotImplementedError: a variant that TensorFlow's converter does not make.
    """
    cell = _IntegerCell(node, tensors)
    h, c = cell.needed(18), cell.needed(19)
    if [t.dtype for t in (x, h, c)] != [b.INT8, b.INT8, INT16]:
        raise NotImplementedError(f"an LSTM of {x.dtype} with states of {h.dtype} and {c.dtype}")
    if len(node.info.intermediates) > 5:
        raise NotImplementedError("an LSTM with gates of 8 bits (12 intermediates)")
    if any(t is not None for t in tensors[20:]):
        raise NotImplementedError("an integer LSTM with layer normalization")
    if cell.at(11) is not None and cell.at(16) is not None:
        raise NotImplementedError("an integer LSTM with peepholes and a projection")
    steps, batch = x.shape[0], x.shape[1]
    b.TensorBuilder.current().require_equal(batch, h.shape[0], "the state was made for another batch size")
    rows = b.reshape(x, [steps * batch, x.shape[2]])
    parts: list[Tensor | None] = []
    for gate in range(4):
        if gate == _INPUT and cell.at(1) is None:
            parts.append(None)
            continue
        made = _input_part(cell, rows, gate)
        parts.append(b.reshape(made, [steps, batch, made.shape[1]]))

    def body(i: Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        now = [None if p is None else b.squeeze(b.slice_axis(p, 0, i, 1), [0]) for p in parts]
        following = _step(cell, now, state[0], state[1])
        return None, list(following), [following[0]]

    (h, c), (outputs,) = loops.loop(steps, None, [h, c], body)
    return outputs, h, c
