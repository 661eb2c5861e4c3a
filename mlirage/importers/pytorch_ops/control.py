"""Control flow: conditionals, loops, scans, graphs called by graphs; assertions; numbers taken out of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mlirage.importers.pytorch_ops.registry import Op, RuntimeNumber, as_tensor, aten, numpy_dtype
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Sym, Tensor, loops


def _higher(name: str) -> Any:
    return aten(name, namespace="higher_order")


def _carried(value: Any) -> Tensor:
    """What a branch or loop hands on: numbers go as tensors of rank 0."""
    return as_tensor(value)


def _back(tensor: Tensor, like: Any) -> Any:
    """A tensor as the kind of value that PyTorch says it is."""
    if isinstance(like, torch.SymInt) or (isinstance(like, int) and not isinstance(like, bool)):
        return tensor.dims()[0]
    if isinstance(like, torch.SymFloat | float):
        return RuntimeNumber(tensor, float)
    return RuntimeNumber(tensor, bool) if isinstance(like, torch.SymBool | bool) else tensor


@_higher("cond")
def cond(op: Op, predicate: Any, then: Any, otherwise: Any, operands: Sequence[Any] = ()) -> tuple[Any, ...]:
    if isinstance(predicate, bool):
        return tuple(op.importer.subgraph(then if predicate else otherwise, operands))

    def branch(graph: Any) -> Any:
        return lambda: [_carried(v) for v in op.importer.subgraph(graph, operands)]

    results = loops.if_(as_tensor(predicate, b.BOOL), branch(then), branch(otherwise))
    return tuple(_back(r, v) for r, v in zip(results, op.node.meta["val"], strict=True))


@_higher("while_loop")
def while_loop(op: Op, condition: Any, body: Any, carried: Sequence[Any], more: Sequence[Any] = ()) -> tuple[Any, ...]:
    kinds = [v if not isinstance(v, Sym) else torch.SymInt for v in carried]

    def values(tensors: Sequence[Tensor]) -> list[Any]:
        return [
            t.dims()[0] if kind is torch.SymInt or isinstance(kind, int) else t
            for t, kind in zip(tensors, kinds, strict=True)
        ]

    def holds(tensors: Sequence[Tensor]) -> Tensor:
        (result,) = op.importer.subgraph(condition, [*values(tensors), *more])
        return as_tensor(result, b.BOOL)

    def step(_: Dim, tensors: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        following = [_carried(v) for v in op.importer.subgraph(body, [*values(tensors), *more])]
        following = [b.cast(v, t.dtype) for v, t in zip(following, tensors, strict=True)]
        return holds(following), following, []

    first = [_carried(v) for v in carried]
    results, _ = loops.loop(None, holds(first), first, step)
    return tuple(_back(r, v) for r, v in zip(results, op.node.meta["val"], strict=True))


@_higher("scan")
def scan(
    op: Op, body: Any, initial: Sequence[Tensor], xs: Sequence[Tensor], more: Sequence[Any] = ()
) -> tuple[Tensor, ...]:
    """The body takes state and a slice of every x along axis 0; it gives state and what is stacked."""
    count = xs[0].shape[0]

    def step(i: Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        slices = [b.squeeze(b.slice_axis(x, 0, i, 1), [0]) for x in xs]
        results = op.importer.subgraph(body, [*state, *slices, *more])
        return None, results[: len(state)], results[len(state) :]

    finals, stacks = loops.loop(count, None, list(initial), step)
    return (*finals, *stacks)


@_higher("map_impl")
def map_impl(op: Op, body: Any, xs: Sequence[Tensor], more: Sequence[Any] = ()) -> tuple[Tensor, ...]:
    def step(i: Dim, _: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        slices = [b.squeeze(b.slice_axis(x, 0, i, 1), [0]) for x in xs]
        return None, [], op.importer.subgraph(body, [*slices, *more])

    return tuple(loops.loop(xs[0].shape[0], None, [], step)[1])


@_higher("associative_scan")
def associative_scan(op: Op, combine: Any, xs: Sequence[Tensor], more: Sequence[Any] = ()) -> tuple[Tensor, ...]:
    """Running combinations along axis 0, one after the other."""
    first = [b.squeeze(b.slice_axis(x, 0, 0, 1), [0]) for x in xs]

    def step(i: Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        slices = [b.squeeze(b.slice_axis(x, 0, i + 1, 1), [0]) for x in xs]
        results = op.importer.subgraph(combine, [*state, *slices, *more])
        return None, results, results

    _, stacks = loops.loop(xs[0].shape[0] - 1, None, first, step)
    return tuple(b.concatenate([b.unsqueeze(start, [0]), stack], 0) for start, stack in zip(first, stacks, strict=True))


@_higher("wrap_with_set_grad_enabled")
def wrap_with_set_grad_enabled(op: Op, enabled: bool, graph: Any, *operands: Any) -> tuple[Any, ...]:
    return tuple(op.importer.subgraph(graph, operands))


@_higher("wrap_with_autocast")
def wrap_with_autocast(
    op: Op, device: str, dtype: Any, enabled: bool, cache: Any, graph: Any, *operands: Any
) -> tuple[Any, ...]:
    return tuple(op.importer.subgraph(graph, operands))


@_higher("invoke_subgraph")
def invoke_subgraph(op: Op, graph: Any, name: Any, *operands: Any) -> tuple[Any, ...]:
    return tuple(op.importer.subgraph(graph, operands))


@_higher("tag_activation_checkpoint")
def tag_activation_checkpoint(op: Op, graph: Any, *operands: Any, **_: Any) -> tuple[Any, ...]:
    return tuple(op.importer.subgraph(graph, operands))


@_higher("hints_wrapper")
def hints_wrapper(op: Op, graph: Any, operands: Sequence[Any], keywords: Any, **_: Any) -> tuple[Any, ...]:
    return tuple(op.importer.subgraph(graph, operands))


@aten("_local_scalar_dense", "item")
def item(op: Op, x: Tensor) -> Any:
    if b.is_integer(x.dtype):
        return b.reshape(x, ()).dims()[0]
    kind = bool if x.dtype == b.BOOL else float
    flat = b.reshape(x, ())
    return RuntimeNumber(flat if kind is bool else as_tensor(flat, b.FLOAT64), kind)


def _require(condition: Any, message: str) -> None:
    if isinstance(condition, bool):
        if not condition:
            raise ValueError(message)
        return
    tensor = condition.tensor if isinstance(condition, RuntimeNumber) else as_tensor(condition, b.BOOL)
    b.TensorBuilder.current().require(loops.scalar_condition(tensor), message)


@aten("_assert_scalar", "_assert_async.msg", "_functional_assert_scalar")
def assert_scalar(op: Op, condition: Any, message: str, *_: Any) -> None:
    _require(condition, message)


@aten("_assert_async")
def assert_async(op: Op, condition: Any) -> None:
    _require(condition, "an assertion of the model does not hold")


@aten("_assert_tensor_metadata")
def assert_tensor_metadata(
    op: Op, x: Tensor, size: Any = None, stride: Any = None, dtype: torch.dtype | None = None, **_: Any
) -> None:
    if dtype is not None and numpy_dtype(dtype) != x.dtype:
        raise ValueError(f"the model expects {dtype}, this is {x.dtype}")


@aten("sym_constrain_range", "sym_constrain_range_for_size")
def sym_constrain_range(op: Op, size: Any, *, min: int | None = None, max: int | None = None) -> None:
    builder = b.TensorBuilder.current()
    if min is not None:
        builder.require_at_least(size, min, f"a size must be at least {min}")
    if max is not None and max < 2**31:
        builder.require_at_least(max, size, f"a size must be at most {max}")


@aten("sym_size.int")
def sym_size(op: Op, x: Tensor, dim: int) -> Dim:
    return x.shape[dim]


@aten("sym_numel")
def sym_numel(op: Op, x: Tensor) -> Dim:
    return b.product(x.shape)


@aten("sym_stride.int")
def sym_stride(op: Op, x: Tensor, dim: int) -> Dim:
    return b.product(x.shape[b.normalize_axis(dim, x.rank) + 1 :])


@aten("sym_storage_offset")
def sym_storage_offset(op: Op, x: Tensor) -> Dim:
    return 0


@aten("sym_is_contiguous")
def sym_is_contiguous(op: Op, x: Tensor, *_: Any) -> bool:
    return True


@aten("equal")
def equal(op: Op, x: Tensor, y: Tensor) -> Any:
    if x.rank != y.rank:
        return False
    same = b.map_(lambda p, q: p.eq(q), x, y, dtype=b.BOOL)
    return RuntimeNumber(b.amin(same), bool)


@_higher("with_effects")
def with_effects(op: Op, token: Any, target: Any, *operands: Any, **keywords: Any) -> tuple[Any, ...]:
    """An operator that is kept for its effect, with a token that orders such operators: they stand in order here."""
    result = op.importer.call(op.node, target, operands, keywords)
    return (token, *result) if isinstance(result, tuple | list) else (token, result)
