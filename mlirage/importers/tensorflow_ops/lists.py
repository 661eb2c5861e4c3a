"""Lists of tensors as tensors with one more axis (`tensorflow_lists.py` makes these calls)."""

from __future__ import annotations

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor


@tf_op("ListNew")
def new_list(call: Call, like: Tensor, count: Tensor) -> Tensor:
    """Zeros."""
    (length,) = b.reshape(count, [1]).dims()
    return b.fill([length, *like.shape], 0, call.results[0])


def _place(items: Tensor, index: Tensor) -> Dim:
    """An index held inside the list."""
    (place,) = b.reshape(index, [1]).dims()
    return b.dims.maximum(b.dims.minimum(place, items.shape[0] - 1), 0)


@tf_op("ListSet")
def set_item(call: Call, items: Tensor, index: Tensor, item: Tensor) -> Tensor:
    return b.insert_slice(b.unsqueeze(item, [0]), items, [_place(items, index)] + [0] * item.rank)


@tf_op("ListGet")
def get_item(call: Call, items: Tensor, index: Tensor) -> Tensor:
    return b.squeeze(b.slice_axis(items, 0, _place(items, index), 1), [0])
