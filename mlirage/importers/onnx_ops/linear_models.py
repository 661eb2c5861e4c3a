"""Linear models and support-vector machines of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.importers.onnx_ops.post_transforms import class_labels, logistic, post_transform, two_scores
from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, loops
from mlirage.input.builders import scalar as s

_ML = "ai.onnx.ml"


def _rows(x: Tensor) -> Tensor:
    """The input as rows of f32."""
    x = b.cast(x, b.FLOAT32)
    return b.unsqueeze(x, [0]) if x.rank == 1 else x


def _floats(values: Any, shape: tuple[int, ...], name: str) -> Tensor:
    return Tensor.of(np.array(values, np.float32).reshape(shape), name=name)


@onnx_op(_ML)
def LinearRegressor(node: Node, x: Tensor) -> Tensor:
    targets = node.get("targets", 1)
    weights = _floats(node.require("coefficients"), (targets, -1), "coefficients")
    result = b.matmul(_rows(x), b.transpose(weights, [1, 0]))
    if node.get("intercepts"):
        result = b.add(result, _floats(node.get("intercepts"), (-1,), "intercepts"))
    return post_transform(result, node.get("post_transform", "NONE"))


@onnx_op(_ML)
def LinearClassifier(node: Node, x: Tensor) -> Any:
    """Labels and scores; one row of coefficients for two classes gives a score and its negative."""
    labels = node.get("classlabels_ints") or node.get("classlabels_strings") or []
    coefficients = node.require("coefficients")
    x = _rows(x)
    features = x.shape[1]
    intercepts = node.get("intercepts") or []
    rows = len(intercepts) or (len(coefficients) // features if isinstance(features, int) else 1)
    weights = _floats(coefficients, (rows, -1), "coefficients")
    scores = b.matmul(x, b.transpose(weights, [1, 0]))
    if intercepts:
        scores = b.add(scores, _floats(intercepts, (-1,), "intercepts"))
    transform = node.get("post_transform", "NONE")
    if rows == 1:
        chosen = b.cast(b.map_(lambda a: a > 0.0, b.squeeze(scores, [1]), dtype=b.BOOL), b.INT64)
        if len(labels) == 1:
            chosen = b.fill(chosen.shape, 0, b.INT64)
        elif len(labels) == 2:
            return class_labels(chosen, labels), two_scores(scores, transform, from_one=True)
    else:
        chosen = b.arg_extreme(scores, 1, largest=True, last=False, keepdims=False)
    return class_labels(chosen, labels), post_transform(scores, transform)


def _kernel(node: Node, x: Tensor, vectors: Tensor) -> Tensor:
    """The kernel of each row with each vector: [rows, vectors]."""
    kind = node.get("kernel_type", "LINEAR")
    gamma, shift, degree = node.get("kernel_params") or (0.0, 0.0, 0.0)
    if kind == "RBF":

        def squares(total: Scalar, p: Scalar, q: Scalar) -> Scalar:
            return total + (p - q) * (p - q)

        distance = b.reduce_(squares, 0.0, [b.unsqueeze(x, [1]), b.unsqueeze(vectors, [0])], [2], b.FLOAT32)
        return b.map_(lambda d: s.exp(d * -gamma), distance)
    products = b.matmul(x, b.transpose(vectors, [1, 0]))
    match kind:
        case "LINEAR":
            return products
        case "POLY":
            return b.map_(lambda p: _power(p * gamma + shift, degree), products)
        case "SIGMOID":
            return b.map_(lambda p: s.tanh(p * gamma + shift), products)
        case _:
            raise ValueError(f"kernel_type is {kind!r}")


def _power(x: Scalar, exponent: float) -> Scalar:
    """x to a constant power, by multiplication where it is a small whole number."""
    if exponent != int(exponent) or not 0 <= exponent <= 16:
        return s.power(x, s.coerce(exponent, x.dtype))
    result = s.coerce(1.0, x.dtype)
    for _ in range(int(exponent)):
        result = result * x
    return result


@onnx_op(_ML)
def SVMRegressor(node: Node, x: Tensor) -> Tensor:
    x, supports = _rows(x), node.get("n_supports", 0)
    coefficients, rho = node.require("coefficients"), node.require("rho")
    if supports:
        kernels = _kernel(node, x, _floats(node.require("support_vectors"), (supports, -1), "support_vectors"))
        result = b.matmul(kernels, _floats(coefficients, (supports, 1), "coefficients"))
    else:
        result = b.matmul(x, _floats(coefficients, (-1, 1), "coefficients"))
    result = b.add(result, _floats(rho[:1], (1,), "rho"))
    if node.get("one_class", 0):
        return b.map_(lambda a: s.select(a > 0.0, s.coerce(1.0, a.dtype), -1.0), result)
    return post_transform(result, node.get("post_transform", "NONE"))


@onnx_op(_ML)
def SVMClassifier(node: Node, x: Tensor) -> Any:
    """Labels, and probabilities or scores: of each class (linear), or of each pair of classes."""
    x = _rows(x)
    labels = node.get("classlabels_ints") or node.get("classlabels_strings") or []
    transform = node.get("post_transform", "NONE")
    classes = max(len(labels), 1)
    rho, counts = node.require("rho"), node.get("vectors_per_class") or []
    if not counts:
        return _linear(node, x, labels, classes, transform)
    supports = sum(counts)
    vectors = _floats(node.require("support_vectors"), (supports, -1), "support_vectors")
    coefficients = np.array(node.require("coefficients"), np.float32).reshape(-1, supports)
    starts = np.cumsum([0, *counts])
    # The decision for classes i < j adds what the vectors of both say: a column of weights per pair.
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    columns = np.zeros((supports, len(pairs)), np.float32)
    for number, (i, j) in enumerate(pairs):
        mine, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        columns[mine, number] = coefficients[j - 1, mine]
        columns[other, number] = coefficients[i, other]
    kernels = _kernel(node, x, vectors)
    scores = b.add(b.matmul(kernels, Tensor.of(columns, name="coefficients")), _floats(rho, (-1,), "rho"))
    votes = _votes(scores, pairs, classes)
    chosen = b.arg_extreme(votes, 1, largest=True, last=False, keepdims=False)
    if node.get("prob_a"):
        probabilities = _probabilities(scores, pairs, classes, node.require("prob_a"), node.require("prob_b"))
        return class_labels(chosen, labels), post_transform(probabilities, transform)
    if len(pairs) == 1:
        both = b.concatenate([b.map_(lambda a: -a, scores), scores], 1)
        return class_labels(chosen, labels), post_transform(both, transform)
    return class_labels(chosen, labels), post_transform(scores, transform)


def _linear(node: Node, x: Tensor, labels: list[Any], classes: int, transform: str) -> Any:
    weights = _floats(node.require("coefficients"), (classes, -1), "coefficients")
    scores = b.matmul(x, b.transpose(weights, [1, 0]))
    scores = b.add(scores, _floats(node.require("rho")[:1], (1,), "rho"))
    chosen = b.arg_extreme(scores, 1, largest=True, last=False, keepdims=False)
    return class_labels(chosen, labels), post_transform(scores, transform)


def _votes(scores: Tensor, pairs: list[tuple[int, int]], classes: int) -> Tensor:
    """How many of its pairs each class wins: [rows, classes]."""
    gains, losses = (np.zeros((len(pairs), classes), np.float32) for _ in range(2))
    for number, (i, j) in enumerate(pairs):
        gains[number, i] = losses[number, j] = 1
    won = b.map_(lambda a: s.select(a > 0.0, s.coerce(1.0, a.dtype), 0.0), scores)
    lost = b.map_(lambda a: s.coerce(1.0, a.dtype) - a, won)
    return b.add(b.matmul(won, Tensor.of(gains)), b.matmul(lost, Tensor.of(losses)))


def _probabilities(
    scores: Tensor, pairs: list[tuple[int, int]], classes: int, slopes: list[float], shifts: list[float]
) -> Tensor:
    """Probabilities of the classes from those of the pairs, by libsvm's iteration (Wu, Lin, Weng 2004, method 2)."""

    def pair(a: Scalar, slope: Scalar, shift: Scalar) -> Scalar:
        return s.clamp(s.coerce(1.0, a.dtype) - logistic(a * slope + shift), 1e-7, 1 - 1e-7)

    first = b.map_(pair, scores, _floats(slopes, (-1,), "prob_a"), _floats(shifts, (-1,), "prob_b"))
    # r[n, i, j]: the probability of i against j.
    place = np.zeros((classes, classes), np.int64)
    upper = np.zeros((classes, classes), np.float32)
    for number, (i, j) in enumerate(pairs):
        place[i, j] = place[j, i] = number
        upper[i, j] = 1
    spread = b.gather(first, Tensor.of(place, name="pairs"), 1)

    def against(p: Scalar, above: Scalar) -> Scalar:
        same = s.index_of(1).eq(s.index_of(2))
        return s.select(same, 0.0, s.select(above.ne(0.0), p, s.coerce(1.0, p.dtype) - p))

    r = b.map_(against, spread, Tensor.of(upper, name="upper"))
    other = b.transpose(r, [0, 2, 1])
    eye = Tensor.of(np.eye(classes, dtype=np.float32))
    diagonal = b.sum_(b.map_(lambda p: p * p, other), [2], keepdims=True)
    q = b.map_(lambda d, p, o, e: s.select(e.ne(0.0), d, -(p * o)), diagonal, r, other, eye)
    start = b.fill((scores.shape[0], classes), 1.0 / classes, b.FLOAT32)
    going = b.fill((scores.shape[0], 1), 1.0, b.FLOAT32)
    epsilon = 0.005 / classes

    def times(p: Tensor) -> Tensor:
        return b.squeeze(b.matmul(q, b.unsqueeze(p, [2])), [2])

    def body(_: b.Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        p, active = state
        qp = times(p)
        pqp = b.sum_(b.multiply(p, qp), [1], keepdims=True)
        error = b.amax(b.map_(lambda a, c: s.absolute(a - c), qp, pqp), [1], keepdims=True)
        active = b.map_(lambda a, e: s.select(e < epsilon, 0.0, a), active, error)
        new = p
        for t in range(classes):
            row = b.squeeze(b.slice_axis(q, 1, t, 1), [1])
            pivot = b.slice_axis(row, 1, t, 1)
            step = b.map_(lambda a, c, d: (c - a) / d, b.slice_axis(qp, 1, t, 1), pqp, pivot)
            column = Tensor.of(np.eye(classes, dtype=np.float32)[t])
            pqp = b.map_(
                lambda c, k, d, a: (c + k * (k * d + a * 2.0)) / ((k + 1.0) * (k + 1.0)),
                pqp,
                step,
                pivot,
                b.slice_axis(qp, 1, t, 1),
            )
            new = b.map_(lambda a, k, e: (a + k * e) / (k + 1.0), new, step, column)
            qp = b.map_(lambda a, k, w: (a + k * w) / (k + 1.0), qp, step, row)
        kept = b.map_(lambda a, o, n: s.select(a.ne(0.0), n, o), active, p, new)
        return None, [kept, active], []

    (result, _), _ = loops.loop(max(100, classes), None, [start, going], body)
    return result
