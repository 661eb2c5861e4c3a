"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.fixed_point import activation_range
from mlirage.importers.tflite_ops.registry import Node, is_quantized, tflite_op
from mlirage.importers.tflite_ops.windows import (
    accumulator,
    centered,
    finish_float,
    finish_integer,
    folded_bias,
    is_hybrid,
    product_factors,
    quantized_rows,
    signed,
    to_nearest,
)
from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.input.builders.contraction import zeros
from mlirage.mlir import ir, linalg


def by_rows(x: Tensor, weight: Tensor, dtype: DType) -> Tensor:
    """x [n, k] with weight [m, k] to [n, m]: linalg.matmul that reads its right operand by rows."""
    b.TensorBuilder.current().require_equal(
        x.shape[1], weight.shape[1], f"rows of {x.shape[1]} numbers and weights for {weight.shape[1]}"
    )
    if x.dtype != weight.dtype and dtype != b.INT64:
        x, weight = (
            (b.cast(t, np.dtype(np.int16)) for t in (x, weight)) if dtype == b.INT32 else (x, b.cast(weight, x.dtype))
        )
    shape = (x.shape[0], weight.shape[0])
    n, m, k = (ir.AffineExpr.get_dim(i) for i in range(3))
    maps: Any = [ir.AffineMap.get(3, 0, results) for results in ([n, k], [m, k], [n, m])]
    value = linalg.matmul(x.value, weight.value, outs=[zeros(shape, dtype)], indexing_maps=maps)
    return Tensor(shape, dtype, value=value)


def hybrid_product(x: Tensor, weight: Tensor, scales: np.ndarray, asymmetric: bool) -> Tensor:
    """Real rows [n, k], quantized each, with integer weights [m, k]: sums in i32 times both scales."""
    rows, scale, zero = quantized_rows(x, asymmetric)
    total = by_rows(rows, weight, b.INT32)
    factors = Tensor.of(scales, name="weight_scales")
    if zero is None:
        return b.map_(
            lambda a, k, f: s.cast(a, b.FLOAT32) * (k * f), total, scale, factors, dtype=b.FLOAT32, shape=total.shape
        )
    if weight.known is not None:
        sums = Tensor.of(weight.known.astype(np.int32).sum(1, dtype=np.int32), name="row_sums")
    else:
        sums = b.reduce_(lambda t, a: t + s.cast(a, b.INT32), 0, [weight], [1], b.INT32)

    def body(a: Scalar, k: Scalar, z: Scalar, n: Scalar, f: Scalar) -> Scalar:
        return s.cast(a - z * n, b.FLOAT32) * (k * f)

    return b.map_(body, total, scale, zero, sums, factors, dtype=b.FLOAT32, shape=total.shape)


@tflite_op
def FULLY_CONNECTED(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.rank != 2 or node.option("WeightsFormat"):
        raise NotImplementedError(f"weights {list(weight.shape)} in format {node.option('WeightsFormat')}")
    depth = weight.shape[1]
    if depth == 0:
        raise ValueError(f"weights {list(weight.shape)}")
    out: list[Dim] = [b.product(x.shape) // depth, weight.shape[0]]
    if node.option("KeepNumDims", False):
        out = [*x.shape[:-1], weight.shape[0]]
    rows = b.reshape(x, [b.product(x.shape) // depth, depth])
    return b.reshape(_product(node, rows, weight, bias), out)


def _product(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if is_hybrid(node, x, 1):
        scales = node.quantization(1).scales
        asymmetric = bool(node.option("AsymmetricQuantizeInputs", False))
        return finish_float(node, hybrid_product(x, weight, scales, asymmetric), bias)
    if not node.is_quantized():
        return finish_float(node, by_rows(x, b.cast(weight, x.dtype), b.compute_dtype(x.dtype)), bias)
    dtype = accumulator(x, bias)
    factors = product_factors(node, 0, 1, node.quantization(1).scales.size > 1)
    x, zero = signed(x, node.quantization(0).zero_point)
    kernel = centered(weight, node.quantization(1).zero_point)
    total, bias = by_rows(x, kernel, dtype), folded_bias(kernel, [1], zero, bias, dtype)
    if node.input(0).dtype == b.UINT8:
        return finish_integer(node, total, bias, factors)
    return _finish_exact(node, total, bias)


def _finish_exact(node: Node, total: Tensor, bias: Tensor | None) -> Tensor:
    """Sums on the output's scale, rounded once: this kernel alone multiplies with f64."""
    source, weights, target = node.quantization(0), node.quantization(1), node.output_quantization()
    dtype = node.dtype()
    low, high = activation_range(node.option("FusedActivationFunction"), target, dtype)
    factors = Tensor.of(
        float(source.scale) * weights.scales.astype(np.float64) / float(target.scale), name="output_factors"
    )

    def body(a: Scalar, factor: Scalar, *more: Scalar) -> Scalar:
        a = a + s.cast(more[0], a.dtype) if more else a
        number = to_nearest(s.cast(a, b.FLOAT64) * factor) + float(target.zero_point)
        return s.cast(s.clamp(number, float(low), float(high)), dtype)

    return b.map_(body, total, factors, *([] if bias is None else [bias]), dtype=dtype, shape=total.shape)


@tflite_op
def BATCH_MATMUL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    def turned(a: Tensor, swap: bool) -> Tensor:
        return b.transpose(a, [*range(a.rank - 2), a.rank - 1, a.rank - 2]) if swap else a

    left, right = turned(x, bool(node.option("AdjX", False))), turned(y, bool(node.option("AdjY", False)))
    if b.is_float(x.dtype) and is_quantized(node.input(1)):
        return _hybrid_batches(node, left, right)
    if not node.is_quantized():
        if x.dtype == b.INT8:
            return b.matmul(b.cast(left, b.INT32), b.cast(right, b.INT32))
        return b.matmul(left, right)
    dtype = b.INT64 if x.dtype == np.int16 else b.INT32
    factors = product_factors(node, 0, 1, per_channel=False)
    zeros_ = [node.quantization(i).zero_point for i in range(2)]
    total = b.matmul(*(_moved(t, z, dtype) for t, z in zip((left, right), zeros_, strict=True)), dtype)  # type: ignore
    return finish_integer(node, total, None, factors)


def _moved(x: Tensor, zero_point: int, dtype: DType) -> Tensor:
    """Integers minus their zero point; without one they stay narrow."""
    if not zero_point and x.dtype != np.int16:
        return x
    return b.map_(lambda a: s.cast(a, dtype) - zero_point, x, dtype=dtype)


def _hybrid_batches(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """Real rows with integer matrices: each row is quantized."""
    rows = b.reshape(x, [b.product(x.shape[:-1]), x.shape[-1]])
    integers, scale, zero = quantized_rows(rows, bool(node.option("AsymmetricQuantizeInputs", False)))
    wide = integers if zero is None else b.map_(lambda a, z: s.cast(a, b.INT32) - z, integers, zero, dtype=b.INT32)
    total = b.matmul(b.reshape(b.cast(wide, b.INT32), x.shape), b.cast(y, b.INT32))
    factor = float(node.quantization(1).scale)
    spread = b.reshape(scale, [*x.shape[:-1], 1])
    return b.map_(lambda a, k: s.cast(a, b.FLOAT32) * (k * factor), total, spread, dtype=b.FLOAT32, shape=total.shape)
