"""The process that runs candidates: what crashes or hangs there takes nothing else with it.

Messages are those of codegen/worker.py. A task is a method of `_State` and its arguments; the answer is its result, or
the text of what went wrong. Needs the runtime alone.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.codegen.worker import receive_message, send_message
from mlirage.comparison import compare
from mlirage.errors import DeviceError, MlirageError
from mlirage.runtime.profiling import make_event

Array = np.ndarray[Any, Any]
# Of each dim of an array the first element and how many.
Part = Sequence[tuple[int, int]]
# A sample is the median of so many calls that it takes about this long.
_SAMPLE_SECONDS = 300e-6
_MOST_CALLS = 15
_WARM_UP_CALLS = 6


@dataclass(frozen=True)
class Timing:
    """Two modules beside each other.

    Attributes:
      pairs: seconds of a sample of the first and of one of the second, taken one after the other.
      difference: how the second's results differ from the first's; "" if they do not.
    """

    pairs: tuple[tuple[float, float], ...]
    difference: str


@dataclass(frozen=True)
class Arguments:
    """What modules are called with.

    Attributes:
      arrays: the arguments.
      constant: numbers of those that are weights.
      cold_bytes: these take turns with copies of theirs, so that so many bytes are read before one comes again.
      written: for each result the parts that modules write: nothing is said of the rest; None for all of it.
    """

    arrays: Sequence[Any]
    constant: Sequence[int] = ()
    cold_bytes: int = 0
    written: Sequence[Sequence[Part] | None] = (None,)


class Timer:
    """Times modules in a process of its own, which is started again when it dies.

    Args:
      device, threads: what runs them.
      seconds: after which a task counts as hung.
    """

    def __init__(self, device: str, threads: int | None, seconds: float = 60.0) -> None:
        self._device, self._threads, self._seconds = device, threads, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._arguments = Arguments(())

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call_with(self, arguments: Arguments) -> None:
        """Says what all modules are called with from now on."""
        self._arguments = arguments
        self._ask("call_with", arguments)

    def compare(self, first: bytes, second: bytes, seconds: float, least: int) -> Timing:
        """Times two modules in turn, for `seconds` or `least` pairs, whichever is more.

        Raises:
          DeviceError: the process died or hung, or a module failed.
        """
        return self._ask("compare", first, second, seconds, least)

    def close(self) -> None:
        """Ends the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._connection = self._process = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).parent.parent.parent)
        program = (
            f"import sys; sys.path.insert(0, {root!r}); from mlirage.tuning.timer import main; "
            f"main({theirs.fileno()}, {self._device!r}, {self._threads!r})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        return ours

    def _ask(self, task: str, *arguments: Any) -> Any:
        if self._connection is None:
            self._connection = self._start()
            if task != "call_with":
                self._ask("call_with", self._arguments)
        try:
            send_message(self._connection, (task, arguments))
            ready, _, _ = select.select([self._connection], [], [], self._seconds)
            if not ready:
                raise TimeoutError
            answer = receive_message(self._connection)
        except (EOFError, OSError) as error:
            hung = isinstance(error, TimeoutError)
            if self._process is not None:
                self._process.kill()
            self.close()
            raise DeviceError(f"the process that times kernels {'hung' if hung else 'died'}") from error
        if isinstance(answer, str):
            raise DeviceError(answer)
        return answer


def main(descriptor: int, device: str, threads: int | None) -> None:
    """Runs in the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this decides what an interrupt ends
    connection = socket.socket(fileno=descriptor)
    state = _State(device, threads)
    with contextlib.suppress(EOFError):
        while True:
            task, arguments = receive_message(connection)
            try:
                answer = getattr(state, task)(*arguments)
            except MlirageError as error:
                answer = str(error)
            send_message(connection, answer)


class _State:
    def __init__(self, device: str, threads: int | None) -> None:
        from mlirage import runtime

        self.device = runtime.device(device, threads)
        self.sets: list[list[Any]] = [[]]
        self.written: Sequence[Sequence[Part] | None] = ()
        self.turn = 0

    def call_with(self, arguments: Arguments) -> None:
        arrays, constant = arguments.arrays, arguments.constant
        self.written = arguments.written
        size = sum(arrays[number].nbytes for number in constant)
        copies = 1 if size == 0 else max(1, min(64, -(-arguments.cold_bytes // size)))
        first = [_aligned(array) for array in arrays]
        self.sets = [first]
        for _ in range(copies - 1):
            copy = list(first)
            for number in constant:
                copy[number] = _aligned(arrays[number])
            self.sets.append(copy)

    def compare(self, first: bytes, second: bytes, seconds: float, least: int) -> Timing:
        from mlirage import runtime

        runs = [runtime.load(module, self.device) for module in (first, second)]
        wanted, got = (self._written_parts(run(*self.sets[0])) for run in runs)
        problems = [_difference(a, b) for a, b in zip(wanted, got, strict=True)]
        if any(problems):
            return Timing((), next(filter(None, problems)))
        with runs[0].profile(1 << 12):  # of both: they share the device
            return Timing(tuple(self._pairs(runs, seconds, least)), "")

    def _written_parts(self, results: Any) -> list[Any]:
        """Of the results of a call, one after the other, what was written."""
        found: list[Any] = []
        arrays = results if isinstance(results, tuple) else (results,)
        for array, parts in zip(arrays, self.written, strict=True):
            whole = np.asarray(array)
            slices = [tuple(slice(start, start + size) for start, size in part) for part in parts or ()]
            found += [whole] if parts is None else [whole[part] for part in slices]
        return found

    def _pairs(self, runs: Sequence[Any], seconds: float, least: int) -> list[tuple[float, float]]:
        calls = 1
        for run in runs:
            times = [self._call(run) for _ in range(_WARM_UP_CALLS)]
            calls = max(calls, int(min(_MOST_CALLS, _SAMPLE_SECONDS / max(min(times), 1e-7))))
        pairs: list[tuple[float, float]] = []
        end = time.monotonic() + seconds
        while len(pairs) < least or time.monotonic() < end:
            order = (0, 1) if len(pairs) % 2 == 0 else (1, 0)
            pair = [0.0, 0.0]
            for which in order:
                pair[which] = float(np.median([self._call(runs[which]) for _ in range(calls)]))
            pairs.append((pair[0], pair[1]))
        return pairs

    def _call(self, run: Any) -> float:
        """Seconds that the device took for the dispatches of one call."""
        self.turn = (self.turn + 1) % len(self.sets)
        run(*self.sets[self.turn])
        rows, _ = self.device.profiling_read()
        parts = [event for event in map(make_event, rows) if event.kind == "dispatch"]
        if not parts:
            return 0.0
        return (max(e.end_ns for e in parts) - min(e.start_ns for e in parts)) * 1e-9


def _aligned(array: Any) -> Any:
    """A copy whose memory begins as that of weights does."""
    if not isinstance(array, np.ndarray):
        return array
    block = np.empty(array.nbytes + 64, np.uint8)
    start = -block.ctypes.data % 64
    copy = block[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _difference(wanted: Any, got: Any) -> str:
    """How results differ; another order of summation is no difference."""
    wanted = np.asarray(wanted)
    size = 0.0
    if wanted.dtype.kind == "f":
        finite = wanted[np.isfinite(wanted)]
        size = float(np.max(np.abs(finite), initial=0.0))
    return compare("result", wanted, got, 1e-3, 1e-4 * size).problem
