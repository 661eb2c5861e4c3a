"""What classifiers and regressors of ai.onnx.ml do with their scores, and the labels of the chosen classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.onnx_values import Strings
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s


def post_transform(scores: Tensor, name: str) -> Tensor:
    """The transform of that name of scores [rows, classes].

    Raises:
      ValueError: there is none of that name.
    """
    match name:
        case "NONE":
            return scores
        case "LOGISTIC":
            return b.map_(logistic, scores)
        case "PROBIT":
            return b.map_(_probit, scores)
        case "SOFTMAX":
            return b.softmax(scores, [1])
        case "SOFTMAX_ZERO":
            return _softmax_zero(scores)
        case _:
            raise ValueError(f"post_transform is {name!r}")


def two_scores(score: Tensor, name: str, from_one: bool) -> Tensor:
    """The scores of both classes from one, [rows, 1]: what is left of one, or the negative.

    As ONNX Runtime has it: a score goes through the logistic function on both sides, and softmax is not applied.
    """
    rest = from_one and name != "LOGISTIC"
    other = b.map_(lambda a: s.coerce(1.0, a.dtype) - a if rest else -a, score)
    both = b.concatenate([other, score], 1)
    return post_transform(both, name) if name in ("LOGISTIC", "PROBIT") else both


def logistic(x: Scalar) -> Scalar:
    """1 / (1 + exp(-x)), exact for large negative numbers too."""
    one = s.coerce(1.0, x.dtype)
    v = one / (s.exp(-s.absolute(x)) + 1.0)
    return s.select(x < 0.0, one - v, v)


def _probit(x: Scalar) -> Scalar:
    """The inverse of the normal distribution, by the approximation of ONNX's reference (Winitzki's inverse erf)."""
    y = x * 2.0 - 1.0
    log = s.log((s.coerce(1.0, x.dtype) - y) * (y + 1.0))
    v = log * 0.5 + 2.0 / (np.pi * 0.147)
    root = s.sqrt(s.sqrt(v * v - log * (1 / 0.147)) - v)
    return s.select(y < 0.0, -root, root) * 1.41421356


def _softmax_zero(scores: Tensor) -> Tensor:
    """Softmax in which scores of 0 stay 0."""
    top = b.amax(scores, [1], keepdims=True)

    def weight(a: Scalar, m: Scalar) -> Scalar:
        return s.select(s.absolute(a) > 0.0000001, s.exp(a - m), a * s.exp(-m))

    weights = b.map_(weight, scores, top)
    total = b.sum_(weights, [1], keepdims=True)
    return b.map_(lambda w, t: s.select(t.eq(0.0), 0.5, w / t), weights, total)


def class_labels(chosen: Tensor, labels: Sequence[Any]) -> Any:
    """The labels of classes by number: integers; strings only as something that cannot be used."""
    if not labels:
        return chosen
    if isinstance(labels[0], str):
        return Strings(f"the labels {', '.join(map(repr, labels[:3]))}{', …' if len(labels) > 3 else ''}")
    return b.gather(Tensor.of(np.array(labels, np.int64), name="labels"), chosen, 0)
