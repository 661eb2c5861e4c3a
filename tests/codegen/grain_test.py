"""How work is cut: enough for two threads is a few workgroups, less is one, and none of them waits for long."""

from __future__ import annotations

import pytest

from mlirage.codegen.cpu.contraction_blocks import _even_part, _waiting
from mlirage.codegen.cpu.grain import workgroup_tiles
from mlirage.codegen.cpu.window_op import _evenly


def _grid(extents: list[int], tiles: tuple[int, ...]) -> int:
    count = 1
    for extent, tile in zip(extents, tiles, strict=True):
        count *= -(-extent // tile) if tile else 1
    return count


@pytest.mark.parametrize(
    ("total_ns", "least", "most"),
    [(100.0, 1, 1), (4_900.0, 1, 1), (5_100.0, 2, 4), (12_000.0, 4, 4), (40_000.0, 4, 4), (200_000.0, 10, 28)],
)
def test_workgroups_of_rows(total_ns: float, least: int, most: int) -> None:
    extents = [1, 28, 28, 120]
    tiles = workgroup_tiles(extents, [False] * 4, {0, 1, 2, 3}, total_ns, [0, 1, 2, 3])
    assert least <= _grid(extents, tiles) <= most


def test_rows_of_an_odd_number() -> None:
    for extent in (1, 7, 13, 31):
        tiles = workgroup_tiles([extent, 96], [False, False], {0, 1}, 12_000.0, [0, 1])
        assert 1 <= _grid([extent, 96], tiles) <= 6


@pytest.mark.parametrize(("extent", "most"), [(28, 4), (56, 5), (14, 3), (7, 2), (13, 13), (1, 1), (0, 3)])
def test_a_half_of_the_rows_for_each_of_two_threads(extent: int, most: int) -> None:
    def longest(tile: int) -> int:
        blocks = -(-extent // tile)
        return -(-blocks // 2) * tile

    tile = _evenly(extent, most)
    assert max(1, most // 2) <= tile <= most
    assert longest(tile) <= longest(most)


def test_odd_numbers_of_blocks_make_a_thread_wait() -> None:
    assert [_waiting(blocks) for blocks in (1, 2, 3, 8)] == [2, 1, pytest.approx(4 / 3), 1]
    assert _even_part(28, 3, 1) == 2  # 14 blocks, not 7
    assert _even_part(1, 1, 8) == 0
