"""Random operators. A seed gives the same numbers at every call and on every machine.

Without a seed the numbers still repeat from call to call: they depend on the node's name, so that nodes differ.
"""

from __future__ import annotations

from typing import Any

import onnx

from mlirage.importers.onnx_ops.registry import Node, numpy_type, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import DType, Scalar, Shape, Tensor, random
from mlirage.input.builders import scalar as s


def seed_of(node: Node) -> int:
    """The seed of a node's numbers."""
    return random.seed_of("seed", float(node.get("seed"))) if "seed" in node.attributes else random.seed_of(node.label)


def _result_dtype(node: Node, like: Tensor | None) -> DType:
    if "dtype" in node.attributes:
        return numpy_type(node.get("dtype"))
    dtype = b.FLOAT32 if like is None else like.dtype
    if not b.is_float(dtype):
        raise ValueError(f"an input of {dtype} needs the attribute dtype, of a floating-point type")
    return dtype


def _uniform(node: Node, shape: Shape, dtype: DType) -> Tensor:
    low, high = node.get("low", 0.0), node.get("high", 1.0)
    wide = b.compute_dtype(dtype)
    return b.map_(lambda a: a * (high - low) + low, random.uniform(shape, wide, seed_of(node)), dtype=dtype)


def _normal(node: Node, shape: Shape, dtype: DType) -> Tensor:
    mean, scale = node.get("mean", 0.0), node.get("scale", 1.0)
    wide = b.compute_dtype(dtype)
    return b.map_(lambda a: a * scale + mean, random.normal(shape, wide, seed_of(node)), dtype=dtype)


@onnx_op()
def RandomUniform(node: Node) -> Tensor:
    return _uniform(node, tuple(node.require("shape")), _result_dtype(node, None))


@onnx_op()
def RandomUniformLike(node: Node, x: Tensor) -> Tensor:
    return _uniform(node, x.shape, _result_dtype(node, x))


@onnx_op()
def RandomNormal(node: Node) -> Tensor:
    return _normal(node, tuple(node.require("shape")), _result_dtype(node, None))


@onnx_op()
def RandomNormalLike(node: Node, x: Tensor) -> Tensor:
    return _normal(node, x.shape, _result_dtype(node, x))


@onnx_op()
def Bernoulli(node: Node, x: Tensor) -> Tensor:
    """1 with the probability that the input says."""
    dtype = numpy_type(node.get("dtype")) if "dtype" in node.attributes else x.dtype
    wide = b.compute_dtype(x.dtype)
    draws = random.uniform(x.shape, wide, seed_of(node))
    return b.cast(b.map_(lambda p, u: u < p, x, draws, dtype=b.BOOL), dtype)


@onnx_op()
def Multinomial(node: Node, x: Tensor) -> Tensor:
    """Classes drawn with unnormalized log probabilities, independently: the largest logit plus Gumbel noise."""
    dtype = node.dtype("dtype", onnx.TensorProto.INT32)
    batch, classes = x.shape
    count = node.get("sample_size", 1)
    wide = b.compute_dtype(x.dtype)
    draws = random.uniform((batch, count, classes), wide, seed_of(node))

    def noisy(logit: Scalar, u: Scalar) -> Scalar:
        return logit - s.log(-s.log(u * (1 - 2.0**-23) + 2.0**-25))

    noise = b.map_(noisy, b.unsqueeze(b.cast(x, wide), [1]), draws)
    return b.cast(b.arg_extreme(noise, 2, largest=True, last=False, keepdims=False), dtype)


@onnx_op()
def Dropout(node: Node, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> Any:
    """In training mode, elements are 0 with probability `ratio` and the others scaled; else all are kept."""
    mask_dtype = b.BOOL if node.opset >= 10 else x.dtype
    share = Tensor.of(0.5, b.FLOAT32) if ratio is None else b.reshape(ratio, ())
    # Before opset 12 models for training had an attribute (is_test, before 7) or no sign: inference is meant.
    if node.opset < 12 or training is None or _is(training, 0) or _is(share, 0):
        return (x, b.fill(x.shape, 1, mask_dtype)) if node.wants(1) else x
    wide = b.compute_dtype(x.dtype)
    draws = random.uniform(x.shape, wide, seed_of(node))
    active = b.reshape(training, ())

    def keeps(u: Scalar, p: Scalar, on: Scalar) -> Scalar:
        return (u >= s.cast(p, wide)) | ~on

    mask = b.map_(keeps, draws, share, active, dtype=b.BOOL)

    def scaled(a: Scalar, kept: Scalar, p: Scalar, on: Scalar) -> Scalar:
        left = s.coerce(1.0, wide) - s.cast(p, wide)
        factor = s.select(on, s.coerce(1.0, wide) / left, 1.0)
        return s.select(kept, a * factor, 0.0)

    result = b.map_(scaled, x, mask, share, active, dtype=x.dtype)
    return (result, b.cast(mask, mask_dtype)) if node.wants(1) else result


def _is(x: Tensor, number: float) -> bool:
    splat = x.splat()
    return splat is not None and splat == number
