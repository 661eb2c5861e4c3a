"""Matrix products."""

from __future__ import annotations

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Tensor


@onnx_op()
def MatMul(node: Node, left: Tensor, right: Tensor) -> Tensor:
    return b.matmul(left, right)


@onnx_op()
def Gemm(node: Node, left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    if left.rank != 2 or right.rank != 2:
        raise ValueError(f"Gemm multiplies matrices, not shapes {list(left.shape)} and {list(right.shape)}")
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    left = b.transpose(left, [1, 0]) if node.get("transA", 0) else left
    right = b.transpose(right, [1, 0]) if node.get("transB", 0) else right
    result = b.matmul(left, right)
    if alpha != 1.0:
        result = scaled(result, alpha)
    if bias is None or beta == 0.0:
        return result
    return b.map_(lambda a, c: a + c, result, bias if beta == 1.0 else scaled(bias, beta), shape=result.shape)


def scaled(x: Tensor, factor: float) -> Tensor:
    """x times a number, integers calculated in f32 and cut."""
    if b.is_float(x.dtype):
        return b.map_(lambda a: a * factor, x)
    return b.map_(lambda a: b.scalar.cast(b.scalar.cast(a, b.FLOAT32) * factor, x.dtype), x)


@onnx_op()
def Einsum(node: Node, *operands: Tensor) -> Tensor:
    return b.einsum(node.require("equation"), operands)
