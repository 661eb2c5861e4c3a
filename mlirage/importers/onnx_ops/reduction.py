"""Reductions over axes that are attributes (old opsets), constants or run-time inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith, scf, tensor

Reducer = Callable[[Tensor, list[int]], Tensor]


def reduce_axes(node: Node, x: Tensor, axes: Tensor | None, reducer: Reducer) -> Tensor:
    """Applies `reducer(x, axes)` (which keeps reduced axes as 1) over the node's axes.

    Axes that only the running program knows are tested one by one: each is reduced under an `scf.if`. The reducer must
    therefore compose: reducing over axis 0 and then over axis 1 is reducing over both.
    """
    keep = bool(node.get("keepdims", 1))
    if axes is None:
        where: list[Dim] | None = node.get("axes")
    else:
        where = axes.dims()
    if not where:
        if node.get("noop_with_empty_axes", 0):
            return x
        where = list(range(x.rank))
    if all(isinstance(axis, int) for axis in where):
        static = [b.normalize_axis(axis, x.rank) for axis in where]  # pyright: ignore[reportArgumentType]
        result = reducer(x, static)
        return result if keep else b.reshape(result, [d for i, d in enumerate(x.shape) if i not in static])
    return _reduce_runtime_axes(x, where, keep, reducer)


def _reduce_runtime_axes(x: Tensor, where: list[Dim], keep: bool, reducer: Reducer) -> Tensor:
    builder = b.TensorBuilder.current()
    picked: list[Dim] = []
    for i in range(x.rank):
        found: Dim = 0
        for axis in where:
            place = b.dims.select("slt", axis, 0, axis + x.rank, axis)
            found = b.dims.select("eq", place, i, 1, found)
        picked.append(found)
    result = x
    for i, found in enumerate(picked):
        shape = list(result.shape)
        shape[i] = b.dims.select("eq", found, 1, 1, shape[i])
        kind = b.tensor_type(shape, x.dtype)
        condition = arith.cmpi(arith.CmpIPredicate.eq, builder.index(found), builder.index(1))
        for dim in shape:
            builder.index(dim)
        branch = scf.IfOp(condition, [kind], has_else=True)
        with builder.block(branch.then_block):
            reduced = reducer(result, [i]).value
            scf.yield_([reduced if reduced.type == kind else tensor.cast(kind, reduced)])
        with builder.block(branch.else_block):
            scf.yield_([result.value if result.value.type == kind else tensor.cast(kind, result.value)])
        result = Tensor(shape, x.dtype, value=branch.results[0])
    if keep:
        return result
    # The extents that stay, in order: position j of the result is the j-th axis that is not picked.
    rank = x.rank - len(where)
    shape = [Dim.__args__[0](1)] * rank  # pyright: ignore
    position: Dim = 0
    for i, found in enumerate(picked):
        stays = b.dims.select("eq", found, 1, 0, 1)
        for j in range(rank):
            here = b.dims.select("eq", position, j, stays, 0)
            shape[j] = b.dims.select("eq", here, 1, x.shape[i], shape[j])
        position = position + stays
    return b.reshape(result, shape)


@onnx_op()
def ReduceSum(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return reduce_axes(node, x, axes, lambda a, where: b.sum_(a, where, keepdims=True))


@onnx_op()
def ReduceProd(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return reduce_axes(node, x, axes, lambda a, where: b.prod(a, where, keepdims=True))


@onnx_op()
def ReduceMax(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return reduce_axes(node, x, axes, lambda a, where: b.amax(a, where, keepdims=True))


@onnx_op()
def ReduceMin(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return reduce_axes(node, x, axes, lambda a, where: b.amin(a, where, keepdims=True))


@onnx_op()
def ReduceMean(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    if b.is_float(x.dtype) or axes is None or axes.known is not None:
        return reduce_axes(node, x, axes, lambda a, where: b.mean(a, where, keepdims=True))
    total = reduce_axes(node, x, axes, lambda a, where: b.sum_(a, where, keepdims=True))
    number = b.divide(Tensor.of_dims(b.product(x.shape)), Tensor.of_dims(b.dims.maximum(b.product(total.shape), 1)))
    return b.divide(total, b.cast(number, x.dtype))


def _around_sum(before: Callable[[Scalar], Scalar] | None, after: Callable[[Scalar], Scalar] | None) -> Any:
    def function(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        wide = b.compute_dtype(x.dtype)
        start = b.map_(before, x, dtype=wide) if before else b.cast(x, wide)
        total = reduce_axes(node, start, axes, lambda a, where: b.sum_(a, where, keepdims=True))
        return b.map_(after, total, dtype=x.dtype) if after else b.cast(total, x.dtype)

    return function


def _in_float(function: Callable[[Scalar], Scalar]) -> Callable[[Scalar], Scalar]:
    """A function of reals; integers are calculated in f64 and cut."""

    def body(a: Scalar) -> Scalar:
        return function(a) if b.is_float(a.dtype) else s.cast(function(s.cast(a, b.FLOAT64)), a.dtype)

    return body


def _square(a: Scalar) -> Scalar:
    return a * a


for _name, _before, _after in (
    ("ReduceL1", s.absolute, None),
    ("ReduceL2", _square, _in_float(s.sqrt)),
    ("ReduceLogSum", None, _in_float(s.log)),
    ("ReduceSumSquare", _square, None),
):
    _function = _around_sum(_before, _after)
    _function.__name__ = _name
    onnx_op()(_function)


@onnx_op()
def ReduceLogSumExp(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    def reducer(a: Tensor, where: list[int]) -> Tensor:
        top = b.map_(_finite, b.amax(a, where, keepdims=True))
        powers = b.map_(lambda e, m: s.exp(e - m), a, top)
        return b.map_(lambda t, m: s.log(t) + m, b.sum_(powers, where, keepdims=True), top)

    if not b.is_float(x.dtype):
        return b.cast(reduce_axes(node, b.cast(x, b.FLOAT64), axes, reducer), x.dtype)
    return b.cast(reduce_axes(node, b.cast(x, b.compute_dtype(x.dtype)), axes, reducer), x.dtype)


def _finite(m: Scalar) -> Scalar:
    """The maximum to subtract: 0 in place of an infinity, so that no NaN arises."""
    return s.select(s.absolute(m).eq(float("inf")), 0.0, m)


@onnx_op()
def ArgMax(node: Node, x: Tensor) -> Tensor:
    return _extreme(node, x, largest=True)


@onnx_op()
def ArgMin(node: Node, x: Tensor) -> Tensor:
    return _extreme(node, x, largest=False)


def _extreme(node: Node, x: Tensor, largest: bool) -> Tensor:
    return b.arg_extreme(
        x, node.get("axis", 0), largest, bool(node.get("select_last_index", 0)), bool(node.get("keepdims", 1))
    )
