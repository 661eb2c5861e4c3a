"""LSTM, GRU and plain recurrent layers: the products with the inputs of all steps at once, then a loop over steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlirage.importers.pytorch_ops.registry import Op, aten
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

# From the inputs' part and the state's part of the gates, and the state, the new state.
Cell = Callable[[Tensor, Tensor, list[Tensor]], list[Tensor]]


def _gate(x: Tensor, number: int, count: int) -> Tensor:
    width = x.shape[-1] // count
    return b.slice_axis(x, x.rank - 1, width * number, width)


def _lstm_cell(gates: Tensor, recurrent: Tensor, state: list[Tensor]) -> list[Tensor]:
    total = b.add(gates, recurrent)
    i, f, g, o = (_gate(total, n, 4) for n in range(4))

    def carried(p: Scalar, q: Scalar, r: Scalar, c: Scalar) -> Scalar:
        return s.sigmoid(q) * c + s.sigmoid(p) * s.tanh(r)

    cell = b.map_(carried, i, f, g, state[1])
    return [b.map_(lambda p, c: s.sigmoid(p) * s.tanh(c), o, cell), cell]


def _gru_cell(gates: Tensor, recurrent: Tensor, state: list[Tensor]) -> list[Tensor]:
    parts = [_gate(x, n, 3) for n in range(3) for x in (gates, recurrent)]

    def hidden(r: Scalar, rr: Scalar, z: Scalar, zr: Scalar, n: Scalar, nr: Scalar, h: Scalar) -> Scalar:
        update = s.sigmoid(z + zr)
        new = s.tanh(n + s.sigmoid(r + rr) * nr)
        return new + update * (h - new)

    return [b.map_(hidden, *parts, state[0])]


def _plain_cell(function: Callable[[Scalar], Scalar]) -> Cell:
    def cell(gates: Tensor, recurrent: Tensor, state: list[Tensor]) -> list[Tensor]:
        return [b.map_(lambda p, q: function(p + q), gates, recurrent)]

    return cell


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result = b.matmul(x, b.transpose(weight, [1, 0]))
    return result if bias is None else b.add(result, bias)


def _run_layer(
    cell: Cell, x: Tensor, state: list[Tensor], weights: Sequence[Tensor], biased: bool, backwards: bool,
    sizes: Tensor | None,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """One layer in one direction over [time, batch, features]: all outputs, and the last state.

    Of the batch, so many as `sizes` says of a step take part in it; the state of the others stays.
    """
    gates = _affine(x, weights[0], weights[2] if biased else None)
    projection = weights[4 if biased else 2] if len(weights) > (4 if biased else 2) else None
    count = x.shape[0]

    def step(i: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        at = count - 1 - i if backwards else i
        now = b.squeeze(b.slice_axis(gates, 0, at, 1), [0])
        recurrent = _affine(carried[0], weights[1], weights[3] if biased else None)
        following = cell(now, recurrent, carried)
        if projection is not None:
            following[0] = b.matmul(following[0], b.transpose(projection, [1, 0]))
        if sizes is not None:
            following = [_where_going(sizes, at, new, old) for new, old in zip(following, carried, strict=True)]
        return None, following, [following[0]]

    finals, (outputs,) = loops.loop(count, None, state, step)
    return (b.reverse(outputs, [0]) if backwards else outputs), finals


def _where_going(sizes: Tensor, at: Dim, new: Tensor, old: Tensor) -> Tensor:
    """New states of the first `sizes[at]` of the batch, old ones of the rest."""
    size = b.slice_axis(sizes, 0, at, 1)
    shape = new.shape

    def body(n: Scalar, p: Scalar, q: Scalar) -> Scalar:
        return s.select(s.cast(s.index_of(0), b.INT64) < n, p, q)

    return b.map_(body, size, new, old, dtype=new.dtype, shape=shape)


def network(
    cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], biased: bool, layers: int,
    dropout: float, train: bool, both: bool, batch_first: bool, sizes: Tensor | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """All layers: the outputs of the last one, then last states of every layer and direction."""
    if train and dropout:
        raise NotImplementedError("recurrent layers with dropout in training mode: export the model in eval mode")
    batched = x.rank == 3
    if not batched:
        x, states = b.unsqueeze(x, [0 if batch_first else 1]), [b.unsqueeze(v, [1]) for v in states]
    if batch_first:
        x = b.transpose(x, [1, 0, 2])
    directions = 2 if both else 1
    each = len(weights) // (layers * directions)
    lasts: list[list[Tensor]] = [[] for _ in states]
    for layer in range(layers):
        outputs: list[Tensor] = []
        for direction in range(directions):
            n = layer * directions + direction
            first = [b.squeeze(b.slice_axis(v, 0, n, 1), [0]) for v in states]
            own = weights[n * each : (n + 1) * each]
            result, finals = _run_layer(cell, x, first, own, biased, direction == 1, sizes)
            outputs.append(result)
            for kept, final in zip(lasts, finals, strict=True):
                kept.append(b.unsqueeze(final, [0]))
        x = b.concatenate(outputs, 2)
    if batch_first:
        x = b.transpose(x, [1, 0, 2])
    results = [x, *(b.concatenate(kept, 0) for kept in lasts)]
    if not batched:
        results = [b.squeeze(results[0], [0 if batch_first else 1]), *(b.squeeze(v, [1]) for v in results[1:])]
    return tuple(results)


CELLS: dict[str, Cell] = {
    "lstm": _lstm_cell,
    "gru": _gru_cell,
    "rnn_tanh": _plain_cell(s.tanh),
    "rnn_relu": _plain_cell(lambda a: s.maximum(a, 0.0)),
}


def _register(name: str) -> None:
    def function(op: Op, x: Tensor, states: Any, weights: Sequence[Tensor], *settings: Any) -> tuple[Tensor, ...]:
        return network(CELLS[name], x, [states] if isinstance(states, Tensor) else states, weights, *settings)

    aten(f"{name}.input")(function)
    aten(f"{name}_whole", namespace="mlirage")(function)  # what it is traced as


for _name in CELLS:
    _register(_name)
