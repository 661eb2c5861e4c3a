"""RNN, GRU and LSTM: all directions, activations, sequence lengths, peepholes, clipping, both layouts.

The product of inputs and weights is made for all steps at once; a `scf.for` over time does the recurrent part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

Activation = Callable[[Scalar], Scalar]

_DEFAULTS = {"leakyrelu": (0.01, 0.0), "elu": (1.0, 0.0), "hardsigmoid": (0.2, 0.5), "thresholdedrelu": (1.0, 0.0)}


def activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    """The function that ONNX's recurrent operators call by this name.

    Raises:
      ValueError: there is none.
    """
    key = name.lower()
    first, second = _DEFAULTS.get(key, (1.0, 0.0))
    alpha = first if alpha is None else alpha
    beta = second if beta is None else beta
    functions: dict[str, Activation] = {
        "relu": lambda a: s.select(a < 0.0, 0.0, a),
        "tanh": s.tanh,
        "sigmoid": s.sigmoid,
        "affine": lambda a: a * alpha + beta,
        "leakyrelu": lambda a: s.select(a < 0.0, a * alpha, a),
        "thresholdedrelu": lambda a: s.select(a >= alpha, a, 0.0),
        "scaledtanh": lambda a: s.tanh(a * beta) * alpha,
        "hardsigmoid": lambda a: s.clamp(a * alpha + beta, 0.0, 1.0),
        "elu": lambda a: s.select(a < 0.0, s.expm1(a) * alpha, a),
        "softsign": lambda a: a / (s.absolute(a) + 1.0),
        "softplus": s.softplus,
    }
    if key not in functions:
        raise ValueError(f"activation {name!r} is unknown")
    return functions[key]


@dataclass
class _Direction:
    """One direction's part of the node.

    Attributes:
      number: 0 or 1.
      backwards: whether time runs backwards.
      activations: in the order of the operator.
    """

    number: int
    backwards: bool
    activations: list[Activation]


def _directions(node: Node, per_direction: Sequence[str]) -> list[_Direction]:
    kind = node.get("direction", "forward")
    count = 2 if kind == "bidirectional" else 1
    names = node.get("activations", list(per_direction) * count)
    alphas, betas = iter(node.get("activation_alpha", [])), iter(node.get("activation_beta", []))
    takes_alpha = {"affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"}
    takes_beta = {"affine", "scaledtanh", "hardsigmoid"}
    functions: list[Activation] = []
    for name in names:
        alpha = next(alphas, None) if name.lower() in takes_alpha else None
        beta = next(betas, None) if name.lower() in takes_beta else None
        functions.append(activation(name, alpha, beta))
    size = len(per_direction)
    return [_Direction(i, kind == "reverse" or i == 1, functions[i * size : (i + 1) * size]) for i in range(count)]


def _of_direction(x: Tensor, number: int) -> Tensor:
    return b.squeeze(b.slice_axis(x, 0, number, 1), [0])


def _clipped(node: Node) -> Activation:
    limit = node.get("clip")
    return (lambda a: a) if limit is None else (lambda a: s.clamp(a, -limit, limit))


Step = Callable[[Tensor, list[Tensor]], list[Tensor]]


def _run(
    direction: _Direction, projected: Tensor, lengths: Tensor | None, states: list[Tensor], step: Step
) -> tuple[Tensor, list[Tensor]]:
    """Runs `step(projection of the time step, states) -> states`; the first state is the output.

    Batches whose sequence is over keep their states, and their outputs are 0. A backward run reads each sequence
    from its own end.
    """
    time = projected.shape[0]

    def body(i: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        position = time - 1 - i if direction.backwards else i
        row = b.squeeze(b.slice_axis(projected, 0, position, 1), [0])
        following = step(row, carried)
        output = following[0]
        if lengths is not None:
            moment = b.cast(Tensor.of_dims(_scalar(position)), lengths.dtype)
            alive = b.reshape(b.less(moment, lengths), (lengths.shape[0], 1))
            following = [b.where(alive, new, old) for new, old in zip(following, carried, strict=True)]
            output = b.map_(lambda a, y: s.select(a, y, 0.0), alive, output, dtype=output.dtype)
        return None, following, [output]

    finals, (outputs,) = loops.loop(time, None, states, body)
    return (b.reverse(outputs, [0]) if direction.backwards else outputs), finals


def _scalar(dim: Dim) -> Any:
    import numpy as np

    array = np.empty((), object)
    array[()] = dim
    return array


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[time, batch, input] with [gates, input] to [time, batch, gates]."""
    result = b.matmul(x, b.transpose(weight, [1, 0]))
    return result if bias is None else b.add(result, bias)


def _gate(x: Tensor, number: int, hidden: int) -> Tensor:
    return b.slice_axis(x, x.rank - 1, number * hidden, hidden)


@dataclass
class _Inputs:
    x: Tensor
    lengths: Tensor | None
    hidden: int
    batch_first: bool
    initial: list[Tensor | None]


def _inputs(node: Node, x: Tensor, recurrent: Tensor, lengths: Tensor | None, *initial: Tensor | None) -> _Inputs:
    batch_first = bool(node.get("layout", 0))
    hidden = recurrent.shape[-1]
    if not isinstance(hidden, int):
        raise ValueError("the hidden size must be known")
    states = [b.transpose(h, [1, 0, 2]) if h is not None and batch_first else h for h in initial]
    return _Inputs(b.transpose(x, [1, 0, 2]) if batch_first else x, lengths, hidden, batch_first, states)


def _state(given: Tensor | None, number: int, inputs: _Inputs) -> Tensor:
    if given is not None:
        return _of_direction(given, number)
    return b.fill((inputs.x.shape[1], inputs.hidden), 0, inputs.x.dtype)


def _outputs(inputs: _Inputs, sequences: list[Tensor], *finals: list[Tensor]) -> tuple[Tensor, ...]:
    """Stacks the directions: Y [time, directions, batch, hidden], states [directions, batch, hidden]."""
    y = b.concatenate([b.unsqueeze(sequence, [1]) for sequence in sequences], 1)
    states = [b.concatenate([b.unsqueeze(state, [0]) for state in state_of], 0) for state_of in finals]
    if inputs.batch_first:
        y = b.transpose(y, [2, 0, 1, 3])
        states = [b.transpose(state, [1, 0, 2]) for state in states]
    return (y, *states)


def _biases(bias: Tensor | None, number: int, gates: int, hidden: int) -> tuple[Tensor | None, Tensor | None]:
    if bias is None:
        return None, None
    own = _of_direction(bias, number)
    return b.slice_axis(own, 0, 0, gates * hidden), b.slice_axis(own, 0, gates * hidden, gates * hidden)


@onnx_op()
def RNN(
    node: Node,
    x: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    initial: Tensor | None = None,
) -> tuple[Tensor, ...]:
    inputs = _inputs(node, x, recurrent, lengths, initial)
    clip = _clipped(node)
    sequences: list[Tensor] = []
    finals: list[Tensor] = []
    for direction in _directions(node, ["Tanh"]):
        w, r = _of_direction(weight, direction.number), _of_direction(recurrent, direction.number)
        input_bias, state_bias = _biases(bias, direction.number, 1, inputs.hidden)
        total = input_bias if state_bias is None or input_bias is None else b.add(input_bias, state_bias)
        turned, function = b.transpose(r, [1, 0]), direction.activations[0]

        def step(row: Tensor, states: list[Tensor], turned: Tensor = turned, f: Activation = function) -> list[Tensor]:
            return [b.map_(lambda p, q: f(clip(p + q)), row, b.matmul(states[0], turned))]

        start = _state(inputs.initial[0], direction.number, inputs)
        sequence, (last,) = _run(direction, _project(inputs.x, w, total), lengths, [start], step)
        sequences.append(sequence)
        finals.append(last)
    return _outputs(inputs, sequences, finals)


@onnx_op()
def GRU(
    node: Node,
    x: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    initial: Tensor | None = None,
) -> tuple[Tensor, ...]:
    inputs = _inputs(node, x, recurrent, lengths, initial)
    hidden, clip = inputs.hidden, _clipped(node)
    reset_after = bool(node.get("linear_before_reset", 0))
    sequences: list[Tensor] = []
    finals: list[Tensor] = []
    for direction in _directions(node, ["Sigmoid", "Tanh"]):
        w, r = _of_direction(weight, direction.number), _of_direction(recurrent, direction.number)
        input_bias, state_bias = _biases(bias, direction.number, 3, hidden)
        f, g = direction.activations
        turned = b.transpose(r, [1, 0])
        r_gates, r_new = b.slice_axis(turned, 1, 0, 2 * hidden), b.slice_axis(turned, 1, 2 * hidden, hidden)

        def step(
            row: Tensor,
            states: list[Tensor],
            turned: Tensor = turned,
            r_gates: Tensor = r_gates,
            r_new: Tensor = r_new,
            state_bias: Tensor | None = state_bias,
            f: Activation = f,
            g: Activation = g,
        ) -> list[Tensor]:
            (h,) = states
            if reset_after:
                product = b.matmul(h, turned)
                product = product if state_bias is None else b.add(product, state_bias)
                z = b.map_(lambda p, q: f(clip(p + q)), _gate(row, 0, hidden), _gate(product, 0, hidden))
                reset = b.map_(lambda p, q: f(clip(p + q)), _gate(row, 1, hidden), _gate(product, 1, hidden))
                new = b.map_(
                    lambda p, q, k: g(clip(p + k * q)), _gate(row, 2, hidden), _gate(product, 2, hidden), reset
                )
            else:
                product = b.matmul(h, r_gates)
                if state_bias is not None:
                    product = b.add(product, b.slice_axis(state_bias, 0, 0, 2 * hidden))
                z = b.map_(lambda p, q: f(clip(p + q)), _gate(row, 0, hidden), _gate(product, 0, hidden))
                reset = b.map_(lambda p, q: f(clip(p + q)), _gate(row, 1, hidden), _gate(product, 1, hidden))
                kept = b.matmul(b.multiply(reset, h), r_new)
                if state_bias is not None:
                    kept = b.add(kept, b.slice_axis(state_bias, 0, 2 * hidden, hidden))
                new = b.map_(lambda p, q: g(clip(p + q)), _gate(row, 2, hidden), kept)
            return [b.map_(lambda u, n, old: n - u * n + u * old, z, new, h)]

        start = _state(inputs.initial[0], direction.number, inputs)
        sequence, (last,) = _run(direction, _project(inputs.x, w, input_bias), lengths, [start], step)
        sequences.append(sequence)
        finals.append(last)
    return _outputs(inputs, sequences, finals)


@onnx_op()
def LSTM(
    node: Node,
    x: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    initial: Tensor | None = None,
    initial_cell: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> tuple[Tensor, ...]:
    inputs = _inputs(node, x, recurrent, lengths, initial, initial_cell)
    hidden, clip = inputs.hidden, _clipped(node)
    coupled = bool(node.get("input_forget", 0))
    sequences: list[Tensor] = []
    finals: list[Tensor] = []
    cells: list[Tensor] = []
    for direction in _directions(node, ["Sigmoid", "Tanh", "Tanh"]):
        w, r = _of_direction(weight, direction.number), _of_direction(recurrent, direction.number)
        input_bias, state_bias = _biases(bias, direction.number, 4, hidden)
        total = input_bias if state_bias is None or input_bias is None else b.add(input_bias, state_bias)
        peeps = None
        if peepholes is not None:
            peeps = [_gate(_of_direction(peepholes, direction.number), i, hidden) for i in range(3)]
        f, g, h = direction.activations
        turned = b.transpose(r, [1, 0])

        def step(
            row: Tensor,
            states: list[Tensor],
            turned: Tensor = turned,
            peeps: list[Tensor] | None = peeps,
            f: Activation = f,
            g: Activation = g,
            h: Activation = h,
        ) -> list[Tensor]:
            previous, cell = states
            gates = b.add(row, b.matmul(previous, turned))

            def gate(number: int, peep: int | None, c: Tensor) -> Tensor:
                part = _gate(gates, number, hidden)
                if peeps is None or peep is None:
                    return b.map_(lambda a: f(clip(a)), part)
                return b.map_(lambda a, k, v: f(clip(a + k * v)), part, peeps[peep], c)

            enter = gate(0, 0, cell)
            forget = b.map_(lambda a: s.coerce(1.0, a.dtype) - a, enter) if coupled else gate(2, 2, cell)
            after = b.map_(lambda k, c, p, n, g=g: k * c + p * g(clip(n)), forget, cell, enter, _gate(gates, 3, hidden))
            leave = gate(1, 1, after)
            return [b.map_(lambda o, c: o * h(c), leave, after), after]

        starts = [_state(inputs.initial[i], direction.number, inputs) for i in range(2)]
        sequence, (last, cell) = _run(direction, _project(inputs.x, w, total), lengths, starts, step)
        sequences.append(sequence)
        finals.append(last)
        cells.append(cell)
    return _outputs(inputs, sequences, finals, cells)
