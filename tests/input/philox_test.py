"""`stablehlo.rng_bit_generator` with Philox and a counter of 128 bits, beside the generator in Python's integers."""

from __future__ import annotations

import numpy as np
import pytest

import mlirage

_WORD, _LONG = 0xFFFFFFFF, 2**64 - 1


def _block(counter: int, key: int) -> list[int]:
    """Philox 4x32-10 of Random123: the four words of one counter."""
    words = [counter >> 32 * i & _WORD for i in range(4)]
    low, high = key & _WORD, key >> 32
    for _ in range(10):
        first, second = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
        words = [second >> 32 ^ words[1] ^ low, second & _WORD, first >> 32 ^ words[3] ^ high, first & _WORD]
        low, high = low + 0x9E3779B9 & _WORD, high + 0xBB67AE85 & _WORD
    return words


def test_reference() -> None:
    """Two of the vectors that Random123 comes with (kat_vectors)."""
    assert _block(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert _block(2**128 - 1, _LONG) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("state", [(5, 6, 7), (2**63 + 1, _LONG, 7), (0, 0, 0), (1, _LONG - 1, _LONG)])
@pytest.mark.parametrize(("dtype", "shape"), [("ui32", (7,)), ("ui64", (3, 3)), ("ui32", (0, 2)), ("f32", (4,))])
def test_wide_counter(state: tuple[int, int, int], dtype: str, shape: tuple[int, ...]) -> None:
    extents = "".join(f"{extent}x" for extent in shape)
    kinds = f"tensor<3xui64>, tensor<{extents}{dtype}>"
    run = mlirage.load(
        mlirage.compile(
            f"func.func @main(%s: tensor<3xui64>) -> ({kinds}) {{\n"
            f"  %a, %b = stablehlo.rng_bit_generator %s, algorithm = PHILOX : (tensor<3xui64>) -> ({kinds})\n"
            f"  return %a, %b : {kinds}\n}}"
        )
    )
    after, bits = run(np.array(state, np.uint64))
    counter = state[1] | state[2] << 64
    each = 2 if dtype == "ui64" else 4
    count = int(np.prod(shape))
    blocks = -(-count // each)
    words = [word for i in range(blocks) for word in _block((counter + i) % 2**128, state[0])]
    expected = words if each == 4 else [a | b << 32 for a, b in zip(words[::2], words[1::2], strict=True)]
    unsigned = np.dtype(f"u{bits.dtype.itemsize}")
    np.testing.assert_array_equal(bits.view(unsigned).ravel(), np.array(expected[:count], unsigned))
    following = (counter + blocks) % 2**128
    np.testing.assert_array_equal(after, np.array([state[0], following & _LONG, following >> 64], np.uint64))
