"""Operators that make constants, ask for shapes, and move elements as their positions say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.activation import activated
from mlirage.importers.tflite_ops.registry import Node, static_ints, tflite_op
from mlirage.importers.tflite_ops.windows import to_nearest
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s
from mlirage.input.builders.slicing import slice_between

_FAR = 2**31 - 1


def dims_array(dims: Sequence[Dim]) -> np.ndarray[Any, Any]:
    """A list of dims as an array of objects."""
    array = np.empty(len(dims), object)
    array[:] = dims
    return array


def one_axis(tensor: Tensor, rank: int) -> int:
    """The one axis that a tensor names."""
    (axis,) = static_ints(tensor, "the axis")
    return b.normalize_axis(axis, rank)


@tflite_op
def RESHAPE(node: Node, x: Tensor, shape: Tensor | None = None) -> Tensor:
    wanted: list[Dim] = shape.dims() if shape is not None else [int(d) for d in node.option("NewShape", [])]
    return b.reshape(x, _with_rest(x, wanted))


def _with_rest(x: Tensor, dims: list[Dim]) -> list[Dim]:
    """Replaces -1 by what is left of the number of elements."""
    total = b.product(x.shape)
    unknown = [i for i, dim in enumerate(dims) if isinstance(dim, int) and dim == -1]
    if len(unknown) > 1 or any(isinstance(dim, int) and dim < -1 for dim in dims):
        raise ValueError(f"new shape {dims}")
    if unknown:
        rest = b.product(dim for i, dim in enumerate(dims) if i != unknown[0])
        if isinstance(rest, int) and rest == 0:
            raise ValueError("an extent of -1 beside one of 0 is ambiguous")
        dims[unknown[0]] = total // rest
    elif any(not isinstance(dim, int) for dim in dims):
        rest = b.dims.maximum(b.product(b.dims.select("eq", dim, -1, 1, dim) for dim in dims), 1)
        dims = [b.dims.select("eq", dim, -1, total // rest, dim) for dim in dims]
    return dims


@tflite_op
def SHAPE(node: Node, x: Tensor) -> Tensor:
    return Tensor.of_dims(dims_array(x.shape), node.dtype())


@tflite_op
def RANK(node: Node, x: Tensor) -> Tensor:
    return Tensor.of(x.rank, node.dtype())


@tflite_op
def SQUEEZE(node: Node, x: Tensor) -> Tensor:
    axes = [int(a) for a in node.option("SqueezeDims", [])]
    return b.squeeze(x, axes or None)


@tflite_op
def EXPAND_DIMS(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    (place,) = static_ints(axis, "the axis")
    return b.unsqueeze(x, [place])


@tflite_op
def TRANSPOSE(node: Node, x: Tensor, permutation: Tensor) -> Tensor:
    return b.transpose(x, static_ints(permutation, "the permutation"))


@tflite_op
def CONCATENATION(node: Node, *parts: Tensor) -> Tensor:
    axis = b.normalize_axis(node.option("Axis"), parts[0].rank)
    if parts[0].dtype == b.UINT8 and node.is_quantized():
        parts = tuple(_on_output_scale(node, i, part) for i, part in enumerate(parts))
    return activated(b.concatenate(parts, axis), node.option("FusedActivationFunction"))


def _on_output_scale(node: Node, position: int, x: Tensor) -> Tensor:
    """uint8 parts may have scales of their own."""
    source, target = node.quantization(position), node.output_quantization()
    if source.scale == target.scale and source.zero_point == target.zero_point:
        return x
    scale = source.scale * (np.float32(1) / target.scale)
    bias = np.float32(-source.zero_point) * scale

    def body(a: Scalar) -> Scalar:
        number = to_nearest(s.cast(a, b.FLOAT32) * float(scale) + float(bias))
        return s.cast(s.clamp(s.cast(number, b.INT32) + target.zero_point, 0, 255), b.UINT8)

    return b.map_(body, x)


@tflite_op
def PACK(node: Node, *parts: Tensor) -> Tensor:
    axis = b.normalize_axis(node.option("Axis"), parts[0].rank + 1)
    return b.concatenate([b.unsqueeze(part, [axis]) for part in parts], axis)


@tflite_op
def UNPACK(node: Node, x: Tensor) -> list[Tensor]:
    axis = b.normalize_axis(node.option("Axis"), x.rank)
    count = node.option("Num")
    b.TensorBuilder.current().require_equal(x.shape[axis], count, f"unpacking {count} parts of axis {axis}")
    return [b.squeeze(b.slice_axis(x, axis, i, 1), [axis]) for i in range(count)]


def _parts(x: Tensor, axis: int, sizes: Sequence[Dim]) -> list[Tensor]:
    total: Dim = 0
    parts: list[Tensor] = []
    for size in sizes:
        parts.append(b.slice_axis(x, axis, total, size))
        total = total + size
    b.TensorBuilder.current().require_equal(total, x.shape[axis], f"split sizes do not add up to axis {axis}")
    return parts


@tflite_op
def SPLIT(node: Node, axis: Tensor, x: Tensor) -> list[Tensor]:
    place, count = one_axis(axis, x.rank), node.option("NumSplits")
    if count < 1:
        raise ValueError(f"split into {count} parts")
    return _parts(x, place, [x.shape[place] // count] * count)


@tflite_op
def SPLIT_V(node: Node, x: Tensor, sizes: Tensor, axis: Tensor) -> list[Tensor]:
    place, wanted = one_axis(axis, x.rank), sizes.dims()
    rest = [i for i, d in enumerate(wanted) if isinstance(d, int) and d == -1]
    for i in rest[:1]:
        others: Dim = 0
        for j, d in enumerate(wanted):
            others = others + d if j != i else others
        wanted[i] = x.shape[place] - others
    return _parts(x, place, wanted)


@tflite_op
def TILE(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    return b.tile(x, repeats.dims())


@tflite_op
def BROADCAST_TO(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    return b.expand(x, shape.dims())


@tflite_op
def BROADCAST_ARGS(node: Node, left: Tensor, right: Tensor) -> Tensor:
    return Tensor.of_dims(dims_array(b.broadcast_shapes([tuple(left.dims()), tuple(right.dims())])), left.dtype)


@tflite_op
def FILL(node: Node, shape: Tensor, value: Tensor) -> Tensor:
    splat = value.splat()
    if splat is not None:
        return b.fill(shape.dims(), splat, value.dtype)
    return b.broadcast_to(b.reshape(value, [1] * len(shape.dims())), shape.dims())


@tflite_op
def ZEROS_LIKE(node: Node, x: Tensor) -> Tensor:
    return b.fill(x.shape, 0, x.dtype)


@tflite_op
def RANGE(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    dtype = start.dtype
    if b.is_integer(dtype):
        first, last, step = (x.dims()[0] for x in (start, limit, delta))
        if not isinstance(step, int) or step == 0:
            raise ValueError("the step of RANGE must be known at compile time and not 0")
        distance = last - first if step > 0 else first - last
        count = b.dims.maximum(b.dims.ceiling_quotient(distance, abs(step)), 0)
        if isinstance(count, int) and count <= 4096:
            return Tensor.of_dims(dims_array([first + i * step for i in range(count)]), dtype)
        return b.tabulate(
            [count],
            dtype,
            lambda i: s.cast(i, dtype) * step + s.cast(b.dim_scalar(first), dtype),
        )
    known = [x.splat() for x in (start, limit, delta)]
    if any(k is None for k in known):
        raise ValueError("start, limit and step of a RANGE of real numbers must be known at compile time")
    first_, last_, step_ = (float(k) for k in known)  # pyright: ignore[reportArgumentType]
    count = max(int(np.ceil(np.abs((last_ - first_) / step_))), 0)
    # The kernel adds the step again and again.
    values = np.full(count, np.float32(step_), np.float32)
    values[:1] = np.float32(first_)
    return Tensor.of(np.add.accumulate(values, dtype=np.float32), name="range")


@tflite_op
def SLICE(node: Node, x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    starts, sizes = begin.dims(), size.dims()
    builder = b.TensorBuilder.current()
    found: list[Dim] = []
    for start, wanted, extent in zip(starts, sizes, x.shape, strict=True):
        rest = extent - start
        if isinstance(wanted, int):
            wanted = rest if wanted == -1 else wanted
        else:
            wanted = b.dims.select("eq", wanted, -1, rest, wanted)
        builder.require_at_least(start, 0, "SLICE starts before the tensor")
        builder.require_at_least(rest, wanted, "SLICE ends beyond the tensor")
        found.append(wanted)
    return b.slice_(x, starts, found)


@tflite_op
def STRIDED_SLICE(node: Node, x: Tensor, begin: Tensor, end: Tensor, strides: Tensor) -> Tensor:
    steps = static_ints(strides, "strides")
    starts, ends = begin.dims(), end.dims()
    if node.option("Offset", False):
        ends = [p + q for p, q in zip(starts, ends, strict=True)]
    masks = {k: node.option(k) for k in ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")}

    def has(mask: str, i: int) -> bool:
        return bool(masks[mask] >> i & 1)

    count = len(steps)
    consumed = sum(not has("NewAxisMask", i) and not has("EllipsisMask", i) for i in range(count))
    axis = 0
    first: list[Dim] = []
    last: list[Dim] = []
    step: list[Dim] = []
    axes: list[int] = []
    shape: list[int | None] = []  # None: this axis of the slice; -1: a new unit axis; axes that shrink leave nothing
    for i in range(count):
        if has("EllipsisMask", i):
            shape += [None] * (x.rank - consumed)
            axis += x.rank - consumed
        elif has("NewAxisMask", i):
            shape.append(-1)
        elif axis >= x.rank:
            raise ValueError(f"{consumed} axes are sliced of a tensor with {x.rank}")
        else:
            axes.append(axis)
            if has("ShrinkAxisMask", i):
                at = starts[i]
                after = b.dims.select("eq", at, -1, _FAR, at + 1) if not isinstance(at, int) else at + 1 or _FAR
                first, last, step = [*first, at], [*last, after], [*step, 1]
                shape.append(0)
            else:
                back = steps[i] < 0
                first.append((_FAR if back else 0) if has("BeginMask", i) else starts[i])
                last.append((-_FAR if back else _FAR) if has("EndMask", i) else ends[i])
                step.append(steps[i])
                shape.append(None)
            axis += 1
    shape += [None] * (x.rank - axis)
    return _reshaped(slice_between(x, first, last, axes, step), shape)


def _reshaped(x: Tensor, form: Sequence[int | None]) -> Tensor:
    dropped: list[int] = []
    position = 0
    for kind in form:
        if kind == 0:
            dropped.append(position)
        position += kind != -1
    x = b.squeeze(x, dropped) if dropped else x
    added = [i for i, kind in enumerate([k for k in form if k != 0]) if kind == -1]
    return b.unsqueeze(x, added) if added else x


def _pad_amounts(x: Tensor, paddings: Tensor) -> tuple[list[Dim], list[Dim]]:
    if paddings.known is None:
        flat = b.reshape(paddings, [2 * x.rank])
        amounts = flat.dims()
    else:
        amounts = paddings.dims()
    if len(amounts) != 2 * x.rank:
        raise ValueError(f"paddings {list(paddings.shape)} for {x.rank} axes")
    return amounts[0::2], amounts[1::2]


@tflite_op
def PAD(node: Node, x: Tensor, paddings: Tensor) -> Tensor:
    value = node.output_quantization().zero_point if node.is_quantized() else 0
    return b.pad(x, *_pad_amounts(x, paddings), value)


@tflite_op
def PADV2(node: Node, x: Tensor, paddings: Tensor, value: Tensor) -> Tensor:
    return b.pad(x, *_pad_amounts(x, paddings), b.reshape(value, ()))


@tflite_op
def MIRROR_PAD(node: Node, x: Tensor, paddings: Tensor) -> Tensor:
    low, high = _pad_amounts(x, paddings)
    if node.option("Mode") == 0:
        return b.pad_by_position(x, low, high, "reflect")
    shape = [d + p + q for d, p, q in zip(x.shape, low, high, strict=True)]

    def place(position: list[Scalar]) -> list[Scalar]:
        return [_mirrored(p, x.shape[i], low[i], high[i]) for i, p in enumerate(position)]

    return b.remap(x, shape, place)


def _mirrored(position: Scalar, extent: Dim, low: Dim, high: Dim) -> Scalar:
    """Where a position beyond the edge lies in the mirror image that repeats the edge."""
    if low == 0 and high == 0:
        return position
    p, size = position - b.dim_scalar(low), b.dim_scalar(extent)
    p = s.select(p < 0, -p - 1, p)
    return s.clamp(s.select(p < size, p, size * 2 - p - 1), 0, size - 1)


@tflite_op
def REVERSE_V2(node: Node, x: Tensor, axes: Tensor) -> Tensor:
    return b.reverse(x, static_ints(axes, "axes"))


@tflite_op
def REVERSE_SEQUENCE(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    along, batch = (b.normalize_axis(node.option(k), x.rank) for k in ("SeqDim", "BatchDim"))

    def place(position: list[Scalar]) -> list[Scalar]:
        length = s.cast(s.read(lengths, [position[batch]]), b.INDEX)
        length = s.clamp(length, 0, b.dim_scalar(x.shape[along]))
        p = position[along]
        return [s.select(p < length, length - 1 - p, p) if i == along else q for i, q in enumerate(position)]

    return b.remap(x, x.shape, place)


def _block(node: Node) -> int:
    size = node.option("BlockSize")
    if size < 1:
        raise ValueError(f"block size {size}")
    return size


@tflite_op
def SPACE_TO_DEPTH(node: Node, x: Tensor) -> Tensor:
    k = _block(node)
    n, h, w, c = x.shape
    parts = b.reshape(x, [n, h // k, k, w // k, k, c])
    return b.reshape(b.transpose(parts, [0, 1, 3, 2, 4, 5]), [n, h // k, w // k, c * (k * k)])


@tflite_op
def DEPTH_TO_SPACE(node: Node, x: Tensor) -> Tensor:
    k = _block(node)
    n, h, w, c = x.shape
    parts = b.reshape(x, [n, h, w, k, k, c // (k * k)])
    return b.reshape(b.transpose(parts, [0, 1, 3, 2, 4, 5]), [n, h * k, w * k, c // (k * k)])


@tflite_op
def SPACE_TO_BATCH_ND(node: Node, x: Tensor, block: Tensor, paddings: Tensor) -> Tensor:
    sizes = static_ints(block, "the block shape")
    count = len(sizes)
    amounts = paddings.dims() if paddings.known is not None else b.reshape(paddings, [2 * count]).dims()
    rest = x.rank - 1 - count
    zero = node.output_quantization().zero_point if node.is_quantized() else 0
    x = b.pad(x, [0, *amounts[0::2], *([0] * rest)], [0, *amounts[1::2], *([0] * rest)], zero)
    split: list[Dim] = [x.shape[0]]
    for d, k in zip(x.shape[1:], sizes, strict=False):
        split += [d // k, k]
    parts = b.reshape(x, [*split, *x.shape[1 + count :]])
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, parts.rank)]
    out = [x.shape[0] * int(np.prod(sizes)), *(d // k for d, k in zip(x.shape[1:], sizes, strict=False))]
    return b.reshape(b.transpose(parts, order), [*out, *x.shape[1 + count :]])


@tflite_op
def BATCH_TO_SPACE_ND(node: Node, x: Tensor, block: Tensor, crops: Tensor) -> Tensor:
    sizes = static_ints(block, "the block shape")
    count = len(sizes)
    amounts = crops.dims() if crops.known is not None else b.reshape(crops, [2 * count]).dims()
    batch = x.shape[0] // int(np.prod(sizes))
    parts = b.reshape(x, [*sizes, batch, *x.shape[1:]])
    order = [count]
    for i in range(count):
        order += [count + 1 + i, i]
    order += range(2 * count + 1, parts.rank)
    spread = [batch, *(d * k for d, k in zip(x.shape[1:], sizes, strict=False)), *x.shape[1 + count :]]
    x = b.reshape(b.transpose(parts, order), spread)
    rest = x.rank - 1 - count
    low, high = ([-d for d in amounts[i::2]] for i in range(2))
    return b.pad(x, [0, *low, *([0] * rest)], [0, *high, *([0] * rest)], 0)


@tflite_op
def DILATE(node: Node, x: Tensor, dilations: Tensor, value: Tensor) -> Tensor:
    steps = static_ints(dilations, "dilations")
    if any(step < 1 for step in steps):
        raise ValueError(f"dilations {steps}")
    shape = [(d - 1) * step + 1 for d, step in zip(x.shape, steps, strict=True)]
    splat = b.reshape(value, [1] * x.rank)
    return b.insert_slice(x, b.broadcast_to(splat, shape), [0] * x.rank, steps)


@tflite_op
def CAST(node: Node, x: Tensor) -> Tensor:
    dtype = node.dtype()
    if b.is_complex(x.dtype) and not b.is_complex(dtype):
        return b.map_(lambda a: s.cast(s.real(a), dtype), x, dtype=dtype)
    if b.is_complex(dtype) and not b.is_complex(x.dtype):
        part = b.FLOAT64 if dtype.itemsize == 16 else b.FLOAT32
        return b.map_(lambda a: s.make_complex(s.cast(a, part), s.coerce(0.0, part)), x, dtype=dtype)
    return b.cast(x, dtype)


@tflite_op
def BITCAST(node: Node, x: Tensor) -> Tensor:
    dtype = node.dtype()
    if b.bit_width(dtype) != b.bit_width(x.dtype):
        raise NotImplementedError(f"BITCAST of {x.dtype} to {dtype}: only between types of one width")
    return b.map_(lambda a: s.bitcast(a, dtype), x, dtype=dtype)
