"""Interleaved timing: contenders take turns in one run, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds per call of one contender."""

    median: float
    fastest: float
    slowest: float
    rounds: int


def interleaved(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int = 21, round_seconds: float = 0.1
) -> dict[str, Timing]:
    """Times every contender in turn (A, B, …, A, B, …) for `rounds` rounds.

    A turn repeats the call until about `round_seconds` have passed, so that short calls are not lost in the clock. It
    starts with a pause and an untimed call: some runtimes' threads spin on for milliseconds after their last call,
    which would be charged to whoever comes next.
    """
    repeats: dict[str, int] = {}
    for name, call in contenders.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(round_seconds / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            time.sleep(_PAUSE_SECONDS)
            call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: Timing(statistics.median(values), min(values), max(values), rounds) for name, values in times.items()}
