"""Operators that make constants and move elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from mlirage.importers.onnx_ops.registry import Node, numpy_type, onnx_op, pairs, static_ints
from mlirage.importers.onnx_weights import as_splat
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Sym, Tensor
from mlirage.input.builders import scalar as s
from mlirage.input.builders.slicing import slice_between
from mlirage.input.builders.small_floats import encode


@onnx_op()
def Constant(node: Node) -> Tensor:
    attributes = node.attributes
    if "value" in attributes:
        return Tensor.of(attributes["value"])
    for name, dtype in (("value_float", b.FLOAT32), ("value_int", b.INT64)):
        if name in attributes:
            return Tensor.of(attributes[name], dtype)
        if name + "s" in attributes:
            return Tensor.of(as_splat(np.array(attributes[name + "s"], dtype)))
    raise ValueError(
        "the constant has no value that can be computed with (strings and sparse tensors are not supported)"
    )


@onnx_op()
def ConstantOfShape(node: Node, shape: Tensor) -> Tensor:
    value = node.get("value", np.zeros(1, np.float32))
    return b.fill(shape.dims(), value.reshape(-1)[0], value.dtype)


@onnx_op(takes_sequences=True)
def Identity(node: Node, x: Any) -> Any:
    return x


@onnx_op()
def Shape(node: Node, x: Tensor) -> Tensor:
    start, end = node.get("start", 0), node.get("end")
    return Tensor.of_dims(_dims_array(x.shape[slice(start, end)]))


def _dims_array(dims: Sequence[Dim]) -> np.ndarray[Any, Any]:
    array = np.empty(len(dims), object)
    array[:] = dims
    return array


@onnx_op()
def Size(node: Node, x: Tensor) -> Tensor:
    total = np.empty((), object)
    total[()] = b.product(x.shape)
    return Tensor.of_dims(total)


@onnx_op()
def Reshape(node: Node, x: Tensor, shape: Tensor | None = None) -> Tensor:
    shape = shape if shape is not None else Tensor.of(node.require("shape"), b.INT64)
    wanted = shape.dims()
    copies = not node.get("allowzero", 0)
    runtime = shape.known is None
    dims: list[Dim] = []
    for i, dim in enumerate(wanted):
        if copies and isinstance(dim, int) and dim == 0:
            if i >= x.rank:
                raise ValueError(f"extent {i} of the new shape is 0 (copied), but the input has only {x.rank} axes")
            dim = x.shape[i]
        elif copies and runtime and i < x.rank:
            dim = b.dims.select("eq", dim, 0, x.shape[i], dim)
        dims.append(dim)
    return b.reshape(x, _infer_rest(x, dims, runtime))


def _infer_rest(x: Tensor, dims: list[Dim], runtime: bool) -> list[Dim]:
    """Replaces -1 by what is left of the number of elements."""
    total = b.product(x.shape)
    unknown = [i for i, dim in enumerate(dims) if isinstance(dim, int) and dim == -1]
    if len(unknown) > 1:
        raise ValueError(f"more than one extent of the new shape {dims} is -1")
    if unknown:
        rest = b.product(dim for i, dim in enumerate(dims) if i != unknown[0])
        if isinstance(rest, int) and rest == 0:
            raise ValueError("an extent of -1 beside one of 0 is ambiguous")
        dims[unknown[0]] = total // rest
    elif runtime:
        rest = b.product(b.dims.select("eq", dim, -1, 1, dim) for dim in dims)
        rest = b.dims.maximum(rest, 1)
        dims = [b.dims.select("eq", dim, -1, total // rest, dim) for dim in dims]
    return [_nonnegative(dim) for dim in dims]


def _nonnegative(dim: Dim) -> Dim:
    if isinstance(dim, int) and dim < 0:
        raise ValueError(f"negative extent {dim}")
    return dim


@onnx_op()
def Flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    return b.flatten(x, axis + x.rank if axis < 0 else axis)


def axes_of(node: Node, given: Tensor | None) -> list[int] | None:
    """The `axes` of an operator that has them as attribute in old opsets and as input in newer ones."""
    return static_ints(given, "axes") if given is not None else node.get("axes")


@onnx_op()
def Squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    if axes is not None and axes.known is None:
        return _squeeze_at_run_time(x, axes.dims())
    return b.squeeze(x, axes_of(node, axes))


@onnx_op()
def Unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    if axes is not None and axes.known is None:
        return _unsqueeze_at_run_time(x, axes.dims())
    positions = axes_of(node, axes)
    if positions is None:
        raise ValueError("axes are missing")
    return b.unsqueeze(x, positions)


def _is_among(i: int, axes: list[Dim], rank: int) -> Dim:
    """1 if axis `i` is one of `axes`, which are known at run time; else 0."""
    found: Dim = 0
    for axis in axes:
        place = b.dims.select("slt", axis, 0, axis + rank, axis)
        found = b.dims.select("eq", place, i, 1, found)
    return found


def _pick(dims: Sequence[Dim], index: Dim) -> Dim:
    """dims[index] for a run-time index."""
    result: Dim = 1
    for i, dim in enumerate(dims):
        result = b.dims.select("eq", index, i, dim, result)
    return result


def _unsqueeze_at_run_time(x: Tensor, axes: list[Dim]) -> Tensor:
    rank = x.rank + len(axes)
    shape: list[Dim] = []
    source: Dim = 0
    for i in range(rank):
        new = _is_among(i, axes, rank)
        shape.append(b.dims.select("eq", new, 1, 1, _pick(x.shape, source)))
        source = source + 1 - new
    return b.reshape(x, shape)


def _squeeze_at_run_time(x: Tensor, axes: list[Dim]) -> Tensor:
    kept = [1 - _is_among(i, axes, x.rank) for i in range(x.rank)]
    shape: list[Dim] = []
    for j in range(x.rank - len(axes)):
        extent: Dim = 1
        position: Dim = 0
        for i, stays in enumerate(kept):
            here = b.dims.select("eq", position, j, stays, 0)
            extent = b.dims.select("eq", here, 1, x.shape[i], extent)
            position = position + stays
        shape.append(extent)
    return b.reshape(x, shape)


@onnx_op()
def Transpose(node: Node, x: Tensor) -> Tensor:
    return b.transpose(x, node.get("perm", list(reversed(range(x.rank)))))


@onnx_op()
def Concat(node: Node, *parts: Tensor) -> Tensor:
    return b.concatenate(parts, node.get("axis", 1))


@onnx_op()
def Expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    return b.expand(x, shape.dims())


@onnx_op()
def Tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    return b.tile(x, repeats.dims())


@onnx_op()
def Gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    return b.gather(x, indices, node.get("axis", 0))


@onnx_op()
def GatherElements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    return b.gather_elements(x, indices, node.get("axis", 0))


@onnx_op()
def GatherND(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    return b.gather_nd(x, indices, node.get("batch_dims", 0))


@onnx_op()
def Slice(
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    if node.opset < 10:
        begin: list[Dim] = node.require("starts")
        end: list[Dim] = node.require("ends")
        where: list[Dim] = node.get("axes", list(range(len(begin))))
        step: list[Dim] = [1] * len(begin)
    else:
        if starts is None or ends is None:
            raise ValueError("starts and ends are missing")
        begin, end = starts.dims(), ends.dims()
        where = axes.dims() if axes is not None else list(range(len(begin)))
        step = steps.dims() if steps is not None else [1] * len(begin)
    if any(isinstance(axis, Sym) for axis in where):
        begin, end, step = _by_axis(x, where, begin, end, step)
        where = list(range(x.rank))
    on = [b.normalize_axis(axis, x.rank) for axis in where]  # pyright: ignore
    return slice_between(x, begin, end, on, step, least_start=0)


def _by_axis(
    x: Tensor, where: list[Dim], begin: list[Dim], end: list[Dim], step: list[Dim]
) -> tuple[list[Dim], list[Dim], list[Dim]]:
    """Starts, ends and steps for every axis, from lists that name their axes at run time."""
    starts: list[Dim] = [0] * x.rank
    ends: list[Dim] = [2**31 - 1] * x.rank
    steps: list[Dim] = [1] * x.rank
    for i in range(x.rank):
        for axis, first, last, stride in zip(where, begin, end, step, strict=True):
            place = b.dims.select("slt", axis, 0, axis + x.rank, axis)
            starts[i] = b.dims.select("eq", place, i, first, starts[i])
            ends[i] = b.dims.select("eq", place, i, last, ends[i])
            steps[i] = b.dims.select("eq", place, i, stride, steps[i])
    return starts, ends, steps


@onnx_op()
def Split(node: Node, x: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
    axis = b.normalize_axis(node.get("axis", 0), x.rank)
    count = node.get("num_outputs", len(node.proto.output))
    given: list[Dim]
    if sizes is not None or "split" in node.attributes:
        given = sizes.dims() if sizes is not None else node.get("split")
    else:
        extent = x.shape[axis]
        chunk = b.dims.ceiling_quotient(extent, count)
        given = [chunk] * (count - 1)
        given.append(extent - chunk * (count - 1))
        b.TensorBuilder.current().require_at_least(given[-1], 0, f"the axis cannot be split into {count} parts")
    total: Dim = 0
    parts: list[Tensor] = []
    for size in given:
        parts.append(b.slice_axis(x, axis, total, size))
        total = total + size
    b.TensorBuilder.current().require_equal(total, x.shape[axis], "split sizes do not add up to the axis")
    return parts


@onnx_op()
def Pad(
    node: Node, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    mode = node.get("mode", "constant") or "constant"
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise ValueError(f"mode is {mode!r}")
    amounts: list[Dim] | None = pads.dims() if pads is not None else node.get("pads", node.get("paddings"))
    if amounts is None:
        raise ValueError("pads are missing")
    where: list[Dim] = axes.dims() if axes is not None else list(range(x.rank))
    low: list[Dim] = [0] * x.rank
    high: list[Dim] = [0] * x.rank
    for axis, before, after in zip(where, *pairs(amounts), strict=True):
        if isinstance(axis, int):
            low[b.normalize_axis(axis, x.rank)], high[b.normalize_axis(axis, x.rank)] = before, after
            continue
        place = b.dims.select("slt", axis, 0, axis + x.rank, axis)
        for i in range(x.rank):
            low[i] = b.dims.select("eq", place, i, before, low[i])
            high[i] = b.dims.select("eq", place, i, after, high[i])
    if mode == "constant":
        fill = value if value is not None else Tensor.of(node.get("value", 0.0), x.dtype)
        return b.pad(x, low, high, b.reshape(fill, ()))
    return b.pad_by_position(x, low, high, mode)


@onnx_op()
def Cast(node: Node, x: Tensor) -> Tensor:
    target = node.get("to")
    if isinstance(target, str):  # opset 1
        target = onnx.TensorProto.DataType.Value(target)
    return cast_to(node, x, numpy_type(target))


@onnx_op()
def CastLike(node: Node, x: Tensor, like: Tensor) -> Tensor:
    return cast_to(node, x, like.dtype)


def cast_to(node: Node, x: Tensor, dtype: b.DType) -> Tensor:
    """ONNX's conversion: `saturate` and `round_mode` matter for the 8-bit and 4-bit floats."""
    if b.is_small_float(dtype) and x.dtype != dtype:
        saturate, mode = bool(node.get("saturate", 1)), node.get("round_mode", "up")

        def body(a: Scalar) -> Scalar:
            return encode(s.cast(a, b.FLOAT32), dtype, saturate, mode)

        return b.map_(body, x, dtype=dtype)
    return b.cast(x, dtype)


@onnx_op()
def Range(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return b.arange(start, limit, delta)


@onnx_op()
def EyeLike(node: Node, x: Tensor) -> Tensor:
    dtype = node.dtype("dtype") if "dtype" in node.attributes else x.dtype
    offset = node.get("k", 0)

    def body(row: Scalar, column: Scalar) -> Scalar:
        return s.cast((row + offset).eq(column), b.compute_dtype(dtype))

    return b.tabulate(x.shape, dtype, body)


@onnx_op()
def Trilu(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    offset = k.dims()[0] if k is not None else 0
    upper = node.get("upper", 1)

    def body(a: Scalar) -> Scalar:
        row, column = s.index_of(x.rank - 2), s.index_of(x.rank - 1)
        diagonal = row + b.dim_scalar(offset)
        return s.select(column >= diagonal if upper else column <= diagonal, a, s.coerce(0, a.dtype))

    return b.map_(body, x)
