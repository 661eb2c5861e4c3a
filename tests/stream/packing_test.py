"""The packer: nothing that lives together overlaps, and arenas are near the bound."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from mlirage.stream.packing import ALIGNMENT, Slice, aligned, lower_bound, pack

_SLICES = st.lists(
    st.builds(
        lambda size, first, length: Slice(size, first, first + length),
        st.integers(0, 5000),
        st.integers(0, 40),
        st.integers(0, 15),
    ),
    max_size=40,
)


@given(_SLICES)
def test_slices_that_live_together_do_not_overlap(slices: list[Slice]) -> None:
    offsets, total = pack(slices)
    assert lower_bound(slices) <= total
    for i, (a, offset_a) in enumerate(zip(slices, offsets, strict=True)):
        assert offset_a % ALIGNMENT == 0
        assert offset_a + aligned(a.size) <= total
        for b, offset_b in list(zip(slices, offsets, strict=True))[:i]:
            if a.lives_with(b):
                assert offset_a + a.size <= offset_b or offset_b + b.size <= offset_a


def _residual_network() -> list[Slice]:
    """Activations of a ResNet-50-like chain: each block reads its input at its end again."""
    slices, time, size = [], 0, 56 * 56 * 256 * 4
    for stage in range(4):
        for _ in range((3, 4, 6, 3)[stage]):
            slices += [
                Slice(size, time, time + 3),  # the block's input, added at its end
                Slice(size // 4, time + 1, time + 2),
                Slice(size // 4, time + 2, time + 3),
            ]
            time += 3
        size //= 2
    return slices


def test_residual_network_is_within_five_percent_of_the_bound() -> None:
    slices = _residual_network()
    assert pack(slices)[1] <= 1.05 * lower_bound(slices)


def test_random_intervals_are_within_five_percent_of_the_bound() -> None:
    generator = random.Random(0)
    ratios = []
    for _ in range(30):
        slices = []
        for _ in range(60):
            first = generator.randrange(60)
            slices.append(
                Slice(generator.choice([64, 256, 1024, 4096, 10000]) * 16, first, first + generator.randrange(8))
            )
        ratios.append(pack(slices)[1] / lower_bound(slices))
    assert max(ratios) <= 1.05
