"""Places slices with lifetimes in one arena: no two that live at the same time overlap, and it is small.

    size 128, live 0..=1   ─>  offset 0        |AAAAAAAA|BBBB|
    size  64, live 0..=2   ─>  offset 128      |CCCC    |BBBB|
    size  64, live 2..=3   ─>  offset 0         time runs down

Best fit in several orders; the smallest arena wins. Deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Slice:
    """`size` bytes that live from `first` to `last`, both included."""

    size: int
    first: int
    last: int

    def lives_with(self, other: Slice) -> bool:
        """Whether both live at some time."""
        return self.first <= other.last and other.first <= self.last


def aligned(size: int) -> int:
    """`size` rounded up to the alignment of slices."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def lower_bound(slices: Sequence[Slice]) -> int:
    """Bytes that live at the same time at most: no arena is smaller."""
    changes: dict[int, int] = {}
    for item in slices:
        changes[item.first] = changes.get(item.first, 0) + aligned(item.size)
        changes[item.last + 1] = changes.get(item.last + 1, 0) - aligned(item.size)
    live = most = 0
    for time in sorted(changes):
        live += changes[time]
        most = max(most, live)
    return most


_ORDERS: tuple[Callable[[Slice], tuple[int, ...]], ...] = (
    lambda s: (-s.size, s.first),
    lambda s: (-s.size * (s.last - s.first + 1), s.first),
    lambda s: (-(s.last - s.first), -s.size, s.first),
    lambda s: (s.first, -s.size),
    lambda s: (-s.last, -s.size),
)


def pack(slices: Sequence[Slice]) -> tuple[list[int], int]:
    """Offsets, multiples of 64, and the size of the arena."""
    bound = lower_bound(slices)
    best: tuple[list[int], int] | None = None
    for order in _ORDERS:
        found = _pack_in_order(slices, sorted(range(len(slices)), key=lambda i: (*order(slices[i]), i)))
        if best is None or found[1] < best[1]:
            best = found
        if best[1] == bound:
            break
    assert best is not None
    return best


def _pack_in_order(slices: Sequence[Slice], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [0] * len(slices)
    placed: list[int] = []
    total = 0
    for index in order:
        item = slices[index]
        size = aligned(item.size)
        if not size:
            continue
        taken = sorted((offsets[i], offsets[i] + aligned(slices[i].size)) for i in placed if slices[i].lives_with(item))
        offsets[index] = _best_gap(taken, size)
        total = max(total, offsets[index] + size)
        placed.append(index)
    return offsets, total


def _best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Where `size` bytes fit tightest between the sorted ranges `taken`; behind them if nowhere."""
    end, best, best_gap = 0, -1, 0
    for first, last in taken:
        gap = first - end
        if gap >= size and (best < 0 or gap < best_gap):
            best, best_gap = end, gap
        end = max(end, last)
    return end if best < 0 else best
