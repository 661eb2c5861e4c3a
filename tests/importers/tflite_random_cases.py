"""Cases of random numbers: the first call's; the state tests make several calls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.importers.tflite_cases import I32, I64, Case, F, T, f, ints, op, scalar


def cases() -> Iterator[Case]:
    """Seeds of 32 and 64 bits, numbers of elements that fill no block of four."""
    for seeds in ((1, 2), (0, 7), (2**40 + 3, -5)):
        options = {"RandomOptions": {"Seed": seeds[0], "Seed2": seeds[1]}}
        label = f"{seeds[0]}-{seeds[1]}"
        yield op("RANDOM_UNIFORM", [ints(3, 7)], [f(3, 7)], options, label)
        yield op("RANDOM_STANDARD_NORMAL", [ints(3, 8)], [f(3, 8)], options, label, tolerance=1e-5)
        for dtype in (I32, I64):
            given = [T((3, 5), F), scalar(11)]
            name = f"{label}-{np.dtype(dtype).name}"
            yield op("MULTINOMIAL", given, [T((3, 11), dtype)], options, name)
    spread = T((2, 4), F, value=[[0.0, -np.inf, 2.0, 1.0], [-np.inf, 5.0, -np.inf, -np.inf]])
    options = {"RandomOptions": {"Seed": 9, "Seed2": 9}}
    yield op("MULTINOMIAL", [spread, scalar(33)], [T((2, 33), I64)], options, "infinite")
