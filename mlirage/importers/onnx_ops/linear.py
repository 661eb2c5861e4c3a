"""Matrix products."""

from __future__ import annotations

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops
from mlirage.input.builders import scalar as s


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
    return b.map_(lambda a: s.cast(s.cast(a, b.FLOAT32) * factor, x.dtype), x)


@onnx_op()
def Einsum(node: Node, *operands: Tensor) -> Tensor:
    return b.einsum(node.require("equation"), operands)


@onnx_op()
def Det(node: Node, x: Tensor) -> Tensor:
    """The determinant by elimination with row pivoting, a column at a time, for all matrices at once."""
    size = x.shape[-1]
    count = b.product(x.shape[:-2])
    wide = b.compute_dtype(x.dtype)
    start = b.cast(b.reshape(x, (count, size, size)), wide)

    def body(k: Dim, values: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        matrices, total = values
        column = b.squeeze(b.slice_axis(matrices, 2, k, 1), [2])
        step = b.dim_scalar(k)

        def candidate(a: Scalar) -> Scalar:
            return s.select(s.index_of(1) >= step, s.absolute(a), s.coerce(-1.0, a.dtype))

        pivot = b.arg_extreme(b.map_(candidate, column), 1, largest=True, last=False, keepdims=False)

        def swapped(n: Scalar, row: Scalar, col: Scalar) -> Scalar:
            p = s.cast(s.read(pivot, [n]), b.INDEX)
            source = s.select(row.eq(step), p, s.select(row.eq(p), step, row))
            return s.read(matrices, [n, source, col])

        turned = b.tabulate(matrices.shape, wide, swapped)

        def eliminated(a: Scalar) -> Scalar:
            n, row, col = (s.index_of(i) for i in range(3))
            top = s.read(turned, [n, step, step])
            factor = s.select(top.eq(0.0), s.coerce(0.0, wide), s.read(turned, [n, row, step]) / top)
            return s.select(row > step, a - factor * s.read(turned, [n, step, col]), a)

        def product(t: Scalar, p: Scalar) -> Scalar:
            diagonal = s.read(turned, [s.index_of(0), step, step])
            return t * s.select(s.cast(p, b.INDEX).eq(step), diagonal, -diagonal)

        return None, [b.map_(eliminated, turned), b.map_(product, total, pivot)], []

    (_, total), _ = loops.loop(size, None, [start, b.broadcast_to(Tensor.of(1, wide), (count,))], body)
    return b.cast(b.reshape(total, x.shape[:-2]), x.dtype)
