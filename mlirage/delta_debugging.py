"""Delta debugging: the smallest part of something that still fails, found by leaving parts out.

Zeller and Hildebrandt's ddmin on lists: large parts first, then smaller ones, until no single element can go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Element = TypeVar("Element")


def minimize(elements: Sequence[Element], fails: Callable[[Sequence[Element]], bool]) -> list[Element]:
    """A part of `elements`, in their order, that fails, and does not without any one of its elements.

    Args:
      elements: they fail together.
      fails: whether a part does; asked once for each part.
    """
    known: dict[tuple[int, ...], bool] = {}

    def check(numbers: Sequence[int]) -> bool:
        key = tuple(numbers)
        if key not in known:
            known[key] = fails([elements[number] for number in key])
        return known[key]

    kept = list(range(len(elements)))
    size = max(1, len(kept) // 2)
    while kept:
        start, shrunk = 0, False
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if check(rest):
                kept, shrunk = rest, True
            else:
                start += size
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2) if not shrunk or size > 1 else 1
    return [elements[number] for number in kept]
