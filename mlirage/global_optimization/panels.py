"""Arrays in the order in which kernels read them: panels of columns, groups of neighbours in depth."""

from __future__ import annotations

import numpy as np

from mlirage.program import Array, is_splat


def into_panels(array: Array, axis: int, width: int) -> Array:
    """[…, columns, depth…] as […, columns / width, depth…, width], filled up with zeros."""
    columns = array.shape[axis]
    panels = -(-columns // width)
    shape = (*array.shape[:axis], panels, *array.shape[axis + 1 :], width)
    if is_splat(array):
        return np.broadcast_to(array.reshape(-1)[0], shape)
    packed = np.empty(shape, array.dtype)
    whole = columns // width
    before = (slice(None),) * axis
    divided = array[(*before, slice(whole * width))]
    divided = divided.reshape((*array.shape[:axis], whole, width, *array.shape[axis + 1 :]))
    packed[(*before, slice(whole))] = np.moveaxis(divided, axis + 1, -1)
    if whole < panels:
        last = packed[(*before, whole)]
        last[...] = 0
        last[..., : columns - whole * width] = np.moveaxis(array[(*before, slice(whole * width, None))], axis, -1)
    return packed


def into_groups(panels: Array, group: int) -> Array:
    """[…, k, width] as […, k / group, width * group], filled up with zeros."""
    *outer, depth, width = panels.shape
    groups = -(-depth // group)
    shape = (*outer, groups, width * group)
    if is_splat(panels):
        return np.broadcast_to(panels.reshape(-1)[0], shape)
    if depth % group:
        filled = np.zeros((*outer, groups * group, width), panels.dtype)
        filled[..., :depth, :] = panels
        panels = filled
    return np.ascontiguousarray(panels.reshape(*outer, groups, group, width).swapaxes(-1, -2)).reshape(shape)
