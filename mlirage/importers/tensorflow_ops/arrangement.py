"""Moving elements: operations that TensorFlow's lowering takes for known extents only, here for open ones."""

from __future__ import annotations

import numpy as np

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor
from mlirage.input.builders import scalar as s


def _axis(axis: Tensor, rank: int) -> int:
    if axis.known is None:
        raise NotImplementedError("an axis that only a run knows")
    return b.normalize_axis(int(axis.known.reshape(-1)[0]), rank)


def _pairs(x: Tensor) -> tuple[list[Dim], list[Dim]]:
    """The two columns of a table."""
    numbers = b.reshape(x, [2 * len_of(x)]).dims()
    return numbers[::2], numbers[1::2]


def len_of(x: Tensor) -> int:
    """The known extent of a list of numbers.

    Raises:
      NotImplementedError: it is open.
    """
    count = x.shape[0] if x.rank else 1
    if not isinstance(count, int):
        raise NotImplementedError("a list of extents whose length only a run knows")
    return count


def numbers(x: Tensor) -> list[Dim]:
    """The numbers of a list or a scalar."""
    return b.reshape(x, [len_of(x)]).dims()


@tf_op("Slice")
def slice_of(_: Call, x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """From `begin`, `size` elements; -1: all that follow."""
    starts = numbers(begin)
    sizes: list[Dim] = []
    for extent, start, count in zip(x.shape, starts, numbers(size), strict=True):
        rest = extent - start
        sizes.append(b.dims.select("eq", count, -1, rest, count) if not isinstance(count, int) else count)
        if count == -1:
            sizes[-1] = rest
    return b.slice_(x, starts, sizes)


@tf_op("Range")
def counted(_: Call, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """TensorFlow's lowering takes the step's sign for that of the count, and wrong directions for right ones."""
    return b.arange(start, limit, delta, away="tf.range: the step leads away from the limit")


@tf_op("SplitV")
def split_by_sizes(_: Call, x: Tensor, sizes: Tensor, axis: Tensor) -> list[Tensor]:
    """Parts of given sizes; -1: what the others leave."""
    place = _axis(axis, x.rank)
    counts = numbers(sizes)
    if any(not isinstance(count, int) for count in counts):
        raise NotImplementedError("sizes of parts that only a run knows")
    known = b.product([]) * 0 + sum(count for count in counts if isinstance(count, int) and count >= 0)
    return b.split(x, place, [x.shape[place] - known if count == -1 else count for count in counts])


@tf_op("Split")
def split_evenly(call: Call, axis: Tensor, x: Tensor) -> list[Tensor]:
    place, count = _axis(axis, x.rank), len(call.results)
    return b.split(x, place, [x.shape[place] // count] * count)


@tf_op("Pad", "PadV2")
def pad(_: Call, x: Tensor, amounts: Tensor, value: Tensor | None = None) -> Tensor:
    low, high = _pairs(amounts)
    return b.pad(x, low, high, 0 if value is None else b.reshape(value, ()))


@tf_op("MirrorPad")
def mirror_pad(call: Call, x: Tensor, amounts: Tensor) -> Tensor:
    """About the last element, or behind it."""
    low, high = _pairs(amounts)
    step = 1 if call.text("mode") == "SYMMETRIC" else 0
    shape = [d + p + q for d, p, q in zip(x.shape, low, high, strict=True)]

    def place(position: list[Scalar]) -> list[Scalar]:
        result: list[Scalar] = []
        for axis, p in enumerate(position):
            if low[axis] == 0 and high[axis] == 0:
                result.append(p)
                continue
            last = b.dim_scalar(x.shape[axis]) - 1
            at = p - b.dim_scalar(low[axis])
            at = s.select(at < 0, -at - step, at)
            result.append(s.clamp(s.select(at > last, last * 2 - at + step, at), 0, last))
        return result

    return b.remap(x, shape, place)


@tf_op("Roll")
def roll(_: Call, x: Tensor, shift: Tensor, axis: Tensor) -> Tensor:
    """Axes turned round; an axis may be named twice."""
    if axis.known is None:
        raise NotImplementedError("axes that only a run knows")
    shifts: dict[int, Dim] = {}
    for place, amount in zip(axis.known.reshape(-1).tolist(), numbers(shift), strict=True):
        where = b.normalize_axis(int(place), x.rank)
        shifts[where] = shifts.get(where, 0) + amount

    def source(position: list[Scalar]) -> list[Scalar]:
        result = list(position)
        for where, amount in shifts.items():
            extent = s.maximum(b.dim_scalar(x.shape[where]), 1)
            rest = (position[where] - b.dim_scalar(amount)) % extent
            result[where] = s.select(rest < 0, rest + extent, rest)
        return result

    return b.remap(x, x.shape, source)


@tf_op("ReverseSequence")
def reverse_sequences(call: Call, x: Tensor, lengths: Tensor) -> Tensor:
    """The first elements of each row turned round."""
    (along,), (rows,) = call.numbers("seq_dim"), call.numbers("batch_dim") or [0]

    def place(position: list[Scalar]) -> list[Scalar]:
        length = s.cast(s.read(lengths, [position[rows]]), b.INDEX)
        result = list(position)
        at = position[along]
        result[along] = s.select(at < length, s.maximum(length - 1 - at, 0), at)
        return result

    return b.remap(x, x.shape, place)


@tf_op("OneHot")
def one_hot(call: Call, places: Tensor, depth: Tensor, on: Tensor, off: Tensor) -> Tensor:
    axis = (call.numbers("axis") or [-1])[0]
    where = places.rank if axis == -1 else axis
    (count,) = numbers(depth)
    shape = [*places.shape[:where], b.dims.maximum(count, 0), *places.shape[where:]]
    wanted = b.cast(places, b.INT64)

    def body(*position: Scalar) -> Scalar:
        rest = [p for i, p in enumerate(position) if i != where]
        hit = s.read(wanted, rest).eq(s.cast(position[where], b.INT64))
        return s.select(hit, s.read(on, []), s.read(off, []))

    return b.tabulate(shape, on.dtype, body)


def _blocks(block: Tensor) -> list[int]:
    if block.known is None:
        raise NotImplementedError("a block whose size only a run knows")
    return [int(v) for v in block.known.reshape(-1).tolist()]


@tf_op("SpaceToBatchND")
def space_to_batch(_: Call, x: Tensor, block: Tensor, amounts: Tensor) -> Tensor:
    sizes, (low, high) = _blocks(block), _pairs(amounts)
    count, rest = len(sizes), x.rank - 1 - len(sizes)
    x = b.pad(x, [0, *low, *[0] * rest], [0, *high, *[0] * rest], 0)
    split: list[Dim] = [x.shape[0]]
    for d, k in zip(x.shape[1 : count + 1], sizes, strict=True):
        split += [d // k, k]
    tail = list(x.shape[count + 1 :])
    wide = b.reshape(x, [*split, *tail])
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, wide.rank)]
    moved = b.transpose(wide, order)
    batch = x.shape[0] * int(np.prod(sizes))
    return b.reshape(moved, [batch, *(split[1 + 2 * i] for i in range(count)), *tail])


@tf_op("BatchToSpaceND")
def batch_to_space(_: Call, x: Tensor, block: Tensor, crops: Tensor) -> Tensor:
    sizes, (low, high) = _blocks(block), _pairs(crops)
    count = len(sizes)
    batch = x.shape[0] // int(np.prod(sizes))
    tail = list(x.shape[count + 1 :])
    wide = b.reshape(x, [*sizes, batch, *x.shape[1:]])
    order = [count]
    for i in range(count):
        order += [count + 1 + i, i]
    moved = b.transpose(wide, [*order, *range(2 * count + 1, wide.rank)])
    space = [d * k for d, k in zip(x.shape[1 : count + 1], sizes, strict=True)]
    whole = b.reshape(moved, [batch, *space, *tail])
    starts = [0, *low, *[0] * len(tail)]
    return b.slice_(whole, starts, [batch, *(d - p - q for d, p, q in zip(space, low, high, strict=True)), *tail])


@tf_op("SpaceToDepth")
def space_to_depth(call: Call, x: Tensor) -> Tensor:
    (k,) = call.numbers("block_size")
    if call.text("data_format", "NHWC") != "NHWC":
        raise NotImplementedError(f"data format {call.text('data_format')}")
    n, h, w, c = x.shape
    wide = b.transpose(b.reshape(x, [n, h // k, k, w // k, k, c]), [0, 1, 3, 2, 4, 5])
    return b.reshape(wide, [n, h // k, w // k, c * (k * k)])


@tf_op("DepthToSpace")
def depth_to_space(call: Call, x: Tensor) -> Tensor:
    (k,) = call.numbers("block_size")
    if call.text("data_format", "NHWC") != "NHWC":
        raise NotImplementedError(f"data format {call.text('data_format')}")
    n, h, w, c = x.shape
    wide = b.transpose(b.reshape(x, [n, h, w, k, k, c // (k * k)]), [0, 1, 3, 2, 4, 5])
    return b.reshape(wide, [n, h * k, w * k, c // (k * k)])


@tf_op("ParallelConcat")
def parallel_concatenation(_: Call, *parts: Tensor) -> Tensor:
    return b.concatenate(list(parts), 0)


@tf_op("Tile")
def tile(_: Call, x: Tensor, repeats: Tensor) -> Tensor:
    return b.tile(x, numbers(repeats))


@tf_op("ShapeN")
def shapes(call: Call, *tensors: Tensor) -> list[Tensor]:
    return [Tensor.of_dims(list(x.shape), dtype) for x, dtype in zip(tensors, call.results, strict=True)]


@tf_op("BroadcastArgs")
def common_shape(call: Call, left: Tensor, right: Tensor) -> Tensor:
    """The shape to which two shapes broadcast."""
    shapes_ = [numbers(left), numbers(right)]
    rank = max(map(len, shapes_))
    first, second = ([1] * (rank - len(shape)) + shape for shape in shapes_)
    dims = [b.dims.select("eq", p, 1, q, p) if p != 1 else q for p, q in zip(first, second, strict=True)]
    return Tensor.of_dims(dims, call.results[0])
