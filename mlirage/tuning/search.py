"""The search for a faster configuration of one dispatch: along one knob after another, for as long as that helps.

    default ── turn a knob up or down while it gets faster ──> next knob … ──> until no knob helps, or time is over
                                                                  └──> the best once more beside the default

Every time is measured beside the default's, in turn (timer.py), so that a noisy machine is noisy for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlirage.codegen.configuration import Configuration
from mlirage.errors import CompileError, DeviceError
from mlirage.tuning.knobs import Knob
from mlirage.tuning.timer import Timer, Timing

# What the best must be to be taken, in samples of its own: that much faster at the median, and faster in so many pairs.
LEAST_GAIN = 1.03
LEAST_WINS = 0.8
_FINAL_PAIRS, _FINAL_SECONDS = 40, 1.0
# While searching: pairs of a first look, and the step that counts as progress.
_PAIRS, _SECONDS = 9, 0.12
_PROGRESS = 1.01


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
      configuration: the best, or the default.
      gain: how many times faster it is than the default; 1.0 for the default itself.
      default_seconds: time of the default, at the median of the last comparison; 0.0 if there was none.
      tried: configurations that were timed.
      refused: that did not compile, or failed.
      wrong: that gave other results than the default: faults of the compiler.
    """

    configuration: Configuration
    gain: float = 1.0
    default_seconds: float = 0.0
    tried: int = 0
    refused: int = 0
    wrong: tuple[Configuration, ...] = ()


def gain_of(timing: Timing) -> float:
    """How many times faster the second module is, at the median of the pairs; 0.0 if its results differ."""
    return float(np.median([first / second for first, second in timing.pairs])) if timing.pairs else 0.0


def is_faster(timing: Timing) -> bool:
    """Whether the second module is faster by more than noise."""
    if not timing.pairs:
        return False
    wins = sum(second < first for first, second in timing.pairs) / len(timing.pairs)
    return gain_of(timing) >= LEAST_GAIN and wins >= LEAST_WINS


class Search:
    """The search for one dispatch.

    Args:
      default: its configuration without tuning.
      knobs: what may be changed.
      compile_: makes a module with a configuration.
      timer: times modules; has the dispatch's arguments.
    """

    def __init__(
        self, default: Configuration, knobs: Sequence[Knob], compile_: Callable[[Configuration], bytes], timer: Timer
    ) -> None:
        self.default, self.knobs, self.compile, self.timer = default, knobs, compile_, timer
        self.gains: dict[str, float] = {_key(default): 1.0}
        self.refused = 0
        self.wrong: list[Configuration] = []
        self.default_seconds = 0.0

    def run(self, deadline: float, on_try: Callable[[Configuration, float], None]) -> Outcome:
        """Searches until `deadline` (of time.monotonic) at most.

        Args:
          on_try: told each configuration that was tried, and its gain.

        Raises:
          CompileError, DeviceError: the default itself fails.
        """
        self.module = self.compile(self.default)
        best, best_gain = self.default, 1.0
        improved = True
        while improved and time.monotonic() < deadline:
            improved = False
            for knob in self.knobs:
                found, gain = self._turn(knob, best, best_gain, deadline, on_try)
                if found != best:
                    best, best_gain, improved = found, gain, True
        return self._confirmed(best)

    def _turn(
        self,
        knob: Knob,
        best: Configuration,
        best_gain: float,
        deadline: float,
        on_try: Callable[[Configuration, float], None],
    ) -> tuple[Configuration, float]:
        """Follows one knob from `best`, both ways, two steps past the last progress."""
        start = knob.values.index(knob.get(best))
        for step in (1, -1):
            position, misses = start, 0
            while misses < 2 and 0 <= (position := position + step) < len(knob.values):
                if time.monotonic() >= deadline:
                    return best, best_gain
                candidate = knob.set(best, knob.values[position])
                gain = self._gain(candidate)
                on_try(candidate, gain)
                if gain > best_gain * _PROGRESS:
                    best, best_gain, misses = candidate, gain, 0
                else:
                    misses += 1
        return best, best_gain

    def _gain(self, candidate: Configuration) -> float:
        key = _key(candidate)
        if key not in self.gains:
            self.gains[key] = self._measure(candidate)
        return self.gains[key]

    def _measure(self, candidate: Configuration) -> float:
        try:
            timing = self.timer.compare(self.module, self.compile(candidate), _SECONDS, _PAIRS)
        except (CompileError, DeviceError):
            self.refused += 1  # told in the outcome
            return 0.0
        if timing.difference:
            self.wrong.append(candidate)
            return 0.0
        self.default_seconds = float(np.median([first for first, _ in timing.pairs]))
        return gain_of(timing)

    def _confirmed(self, best: Configuration) -> Outcome:
        """The outcome: `best` if it is faster in new samples, else the default."""
        found = Outcome(self.default, 1.0, self.default_seconds, len(self.gains) - 1, self.refused, tuple(self.wrong))
        if best == self.default:
            return found
        timing = self.timer.compare(self.module, self.compile(best), _FINAL_SECONDS, _FINAL_PAIRS)
        if timing.pairs:
            found = replace(found, default_seconds=float(np.median([first for first, _ in timing.pairs])))
        return replace(found, configuration=best, gain=gain_of(timing)) if is_faster(timing) else found


def _key(configuration: Configuration) -> str:
    return f"{configuration.kind} {configuration.workgroup_tiles} {sorted(configuration.data.items())}"
