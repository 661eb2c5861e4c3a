"""How a convolution by Winograd's algorithm is cut into workgroups, and what that costs beside the direct form.

A workgroup transforms a block of tiles, multiplies them by the weights of a block of filters, point by point, and
transforms the products back. Blocks of few tiles read the weights often; blocks of few filters transform tiles often;
few blocks leave threads without work. Costs are in cycles, with two vector multiply-adds each, measured on x86-64 with
AVX-512.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mlirage.codegen.target import CpuTarget

# Transforms of one vector of channels: of a tile of the image, of a tile of the result, by the number of points.
_IMAGE_CYCLES = {4: 34.0, 6: 130.0}
_RESULT_CYCLES = {4: 34.0, 6: 130.0}
_WEIGHT_CYCLES = {4: 90.0, 6: 250.0}  # of the weights of a vector of filters and one channel
_START_CYCLES = 3000.0  # of a workgroup
_STEP_CYCLES = 24.0  # of a register tile
_DIRECT = 0.9  # of the peak in direct convolutions
_MEMORY_BYTES = 7.0  # per cycle, of one thread
_CACHE_BYTES = 20.0  # per cycle, from the last cache
_MOST_WEIGHT_BYTES = 3 << 20  # of weights that are kept transformed: they are up to four times as large
_SCRATCH_BYTES = 6 << 20
_THREADS = (1, 2, 4)  # counts on which workgroups should be spread evenly
_GUESS = 56  # a dynamic extent of the result
_WORTH = 0.9  # of the direct form's cycles


@dataclass(frozen=True)
class Convolution:
    """The numbers of a convolution; None for a dynamic extent.

    Attributes:
      batch: images.
      height: of the result.
      width: of the result.
      groups: of channels.
      channels: of the image, per group.
      filters: of the result, per group.
      window: its extent in both dims.
    """

    batch: int | None
    height: int | None
    width: int | None
    groups: int
    channels: int
    filters: int
    window: int


@dataclass(frozen=True)
class Blocks:
    """What one workgroup computes.

    Attributes:
      images: of the batch.
      rows: of tiles.
      columns: of tiles.
      filters: a multiple of the panels' width.
    """

    images: int
    rows: int
    columns: int
    filters: int

    @property
    def tiles(self) -> int:
        """Tiles of the image."""
        return self.images * self.rows * self.columns


@dataclass(frozen=True)
class Plan:
    """How a convolution is computed by Winograd's algorithm.

    Attributes:
      tile: results per tile and dim.
      transforms_weights: whether workgroups transform the weights; else they come transformed.
    """

    tile: int
    transforms_weights: bool


def choose_plan(shape: Convolution, panel: int, target: CpuTarget) -> Plan | None:
    """The fastest way; None if the direct form is."""
    if not target.has_fma or target.vector_registers < 16 or target.vector_bytes < 16:
        return None
    lanes = target.vector_bytes // 4
    macs = math.prod(
        (*_known(shape), shape.groups, shape.channels, -(-shape.filters // lanes) * lanes, shape.window**2)
    )
    best = _WORTH * max(macs / (2 * lanes * _DIRECT), _bytes(shape, shape.window) / _MEMORY_BYTES)
    chosen = None
    for tile in (2, 4) if shape.window == 3 else (2,):
        for plain in (True, False):
            if not plain and _bytes(shape, tile + shape.window - 1) > _MOST_WEIGHT_BYTES:
                continue
            _, cycles = choose_blocks(shape, tile, panel, target, transforms_weights=plain)
            if cycles < best:
                best, chosen = cycles, Plan(tile, plain)
    return chosen


def _bytes(shape: Convolution, side: int) -> int:
    """Of weights that are square matrices."""
    return 4 * shape.groups * shape.channels * shape.filters * side**2


def choose_blocks(
    shape: Convolution, tile: int, panel: int, target: CpuTarget, *, transforms_weights: bool
) -> tuple[Blocks, float]:
    """The best blocks, and the cycles that all workgroups take together."""
    return min(
        (
            (blocks, _cycles(shape, tile, blocks, panel, target, transforms_weights))
            for blocks in _candidates(shape, tile, panel)
        ),
        key=lambda candidate: candidate[1],
    )


def _known(shape: Convolution) -> tuple[int, int, int]:
    batch = 1 if shape.batch is None else shape.batch
    height, width = (_GUESS if extent is None else extent for extent in (shape.height, shape.width))
    return batch, height, width


def _candidates(shape: Convolution, tile: int, panel: int) -> Iterator[Blocks]:
    batch, height, width = _known(shape)
    points = tile + shape.window - 1
    down, along = -(-height // tile), -(-width // tile)
    panels = -(-shape.filters // panel)
    smallest: Blocks | None = None
    fits = False
    for filters in dict.fromkeys(-(-panels // parts) * panel for parts in range(1, min(panels, 16) + 1)):
        for columns in dict.fromkeys(-(-along // parts) for parts in (1, 2, 3, 4, 6, 8, along)):
            for rows in dict.fromkeys(-(-down // parts) for parts in range(1, down + 1)) if columns == along else (1,):
                whole = rows == down and columns == along and shape.height is not None and shape.width is not None
                for images in dict.fromkeys((1, 2, 4, 8, batch)) if whole else (1,):
                    blocks = Blocks(min(images, batch), rows, columns, filters)
                    bytes_ = 4 * points**2 * blocks.tiles * (shape.channels + filters)
                    if bytes_ <= _SCRATCH_BYTES:
                        fits = True
                        yield blocks
                    elif smallest is None or blocks.tiles * filters < smallest.tiles * smallest.filters:
                        smallest = blocks
    if smallest is not None and not fits:
        yield smallest


def _cycles(
    shape: Convolution, tile: int, blocks: Blocks, panel: int, target: CpuTarget, transforms_weights: bool
) -> float:
    batch, height, width = _known(shape)
    points = tile + shape.window - 1
    lanes = target.vector_bytes // 4
    down, along = -(-height // tile), -(-width // tile)
    count = -(-batch // blocks.images) * -(-shape.filters // blocks.filters) * shape.groups
    count *= -(-down // blocks.rows) * -(-along // blocks.columns)
    filters = min(blocks.filters, -(-shape.filters // panel) * panel)
    rows = 8 if target.vector_registers >= 32 else 6
    steps = -(-blocks.tiles // rows) * -(-filters // panel)
    filled = steps * rows * panel if blocks.tiles < rows // 2 else blocks.tiles * filters
    products = points**2 * (filled * shape.channels / lanes / 2 / 0.95 + steps * _STEP_CYCLES)
    # the first workgroup that reads weights takes them from memory, others from a cache
    side = shape.window if transforms_weights else points
    read = 4 * side**2 * shape.channels * filters
    fresh = _bytes(shape, side) / count
    loads = fresh / _MEMORY_BYTES + max(0.0, read - fresh) / _CACHE_BYTES
    if transforms_weights:
        products += max(loads, shape.channels * filters / lanes * _WEIGHT_CYCLES[points])
    else:
        products = max(products, loads)
    transforms = blocks.tiles * (
        -(-shape.channels // lanes) * _IMAGE_CYCLES[points] + -(-filters // lanes) * _RESULT_CYCLES[points]
    )
    scratch = 4 * points**2 * blocks.tiles * (shape.channels + filters)
    beyond = 2 * max(0, scratch - target.l2_bytes // 2) / _CACHE_BYTES
    each = _START_CYCLES + products + transforms + beyond
    # all threads are busy until the last one is done
    return sum(threads * -(-count // threads) * each for threads in _THREADS) / len(_THREADS)
