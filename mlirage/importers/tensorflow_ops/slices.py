"""Slices of tensors of open extents, with TensorFlow's masks."""

from __future__ import annotations

from mlirage.importers.tensorflow_ops.arrangement import numbers
from mlirage.importers.tensorflow_ops.registry import Call, constant, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor
from mlirage.input.builders.slicing import slice_between


@tf_op("StridedSlice")
def strided_slice(call: Call, x: Tensor, begin: Tensor, end: Tensor, strides: Tensor) -> Tensor:
    """numpy's basic indexing: a bit of a mask says what an entry is."""
    known = constant(strides)
    if known is None:
        raise NotImplementedError("steps that only a run knows")
    starts, ends, steps = numbers(begin), numbers(end), [int(v) for v in known.reshape(-1)]
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    masks = {name: (call.numbers(f"{name}_mask") or [0])[0] for name in names}

    def has(name: str, position: int) -> bool:
        return bool(masks[name] >> position & 1)

    count = len(starts)
    taken = sum(not has("new_axis", i) and not has("ellipsis", i) for i in range(count))
    axis = 0
    keep: list[bool | None] = []  # of the sliced axes: kept or dropped; None: a new one
    axes: list[int] = []
    low: list[Dim] = []
    high: list[Dim] = []
    step: list[Dim] = []
    for i in range(count):
        if has("ellipsis", i):
            skipped = x.rank - taken
            keep += [True] * skipped
            axis += skipped
        elif has("new_axis", i):
            keep.append(None)
        else:
            shrink = has("shrink_axis", i)
            size = x.shape[axis]
            first: Dim = starts[i]
            if shrink:
                first = b.dims.select("slt", first, 0, first + size, first)
                low.append(first)
                high.append(first + 1)
                step.append(1)
            else:
                backwards = steps[i] < 0
                low.append((size - 1 if backwards else 0) if has("begin", i) else first)
                whole: Dim = -(2**31) if backwards else size
                high.append(whole if has("end", i) else ends[i])
                step.append(steps[i])
            axes.append(axis)
            keep.append(not shrink)
            axis += 1
    keep += [True] * (x.rank - axis)
    made = slice_between(x, low, high, axes, step)
    shape: list[Dim] = []
    place = 0
    for kind in keep:
        if kind is None:
            shape.append(1)
            continue
        if kind:
            shape.append(made.shape[place])
        place += 1
    return b.reshape(made, shape)


@tf_op("Unpack")
def unpack(call: Call, x: Tensor) -> list[Tensor]:
    """The parts along an axis, which they lose."""
    axis = b.normalize_axis((call.numbers("axis") or [0])[0], x.rank)
    return [b.squeeze(b.slice_axis(x, axis, i, 1), [axis]) for i in range(len(call.results))]
