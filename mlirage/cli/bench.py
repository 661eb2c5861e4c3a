"""`mlirage bench`: how long a call of a module's function takes, and with --profile where the time goes."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlirage.cli.run import choose_function, load_module, parameter_options, read_arguments
from mlirage.errors import UsageError
from mlirage.module_file import ModuleFile
from mlirage.profiling import Row, Summary, chrome_trace, summarize
from mlirage.profiling.summary import Facts
from mlirage.runtime.arrays import dtype as numpy_dtype
from mlirage.runtime.profiling import Event


@click.command("bench")
@click.argument("module", type=click.Path(path_type=Path))
@click.option("--function", default=None, help="Function to call. [default: main, or the only one]")
@click.option("--input", "inputs", multiple=True, help="An argument, as in mlirage run. [default: random numbers]")
@click.option("--device", default="local-task", show_default=True, help="Device to run on (mlirage devices).")
@parameter_options
@click.option("--threads", type=int, default=None, help="Threads of local-task. [default: one per core]")
@click.option("--seconds", default=2.0, show_default=True, help="How long to measure, after a warm-up.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--profile", is_flag=True, help="Print a table of the dispatches: time, share, GFLOP/s, GB/s, grid.")
@click.option("--profile-json", type=click.Path(path_type=Path), help="File for the figures of the profile.")
@click.option("--trace", type=click.Path(path_type=Path), help="File for a timeline that ui.perfetto.dev opens.")
def command(
    module: Path,
    function: str | None,
    inputs: tuple[str, ...],
    device: str,
    parameters: tuple[str, ...],
    parameter_mode: str,
    threads: int | None,
    seconds: float,
    as_json: bool,
    profile: bool,
    profile_json: Path | None,
    trace: Path | None,
) -> None:
    """Call a function of MODULE again and again and print the latency.

    A profile is taken of calls of its own, after those whose latency is printed.
    """
    if not 0 < seconds < math.inf:
        raise UsageError(f"--seconds={seconds:g}: expected a number above 0")
    loaded = load_module(module, device, threads, parameters, parameter_mode)
    name, call, signature = choose_function(loaded, function)
    arguments = read_arguments(inputs, signature) if inputs else [_random(a) for a in signature.arguments]
    times = measure(lambda: call(*arguments), seconds)
    row = {
        "function": name,
        "device": device,
        "threads": threads,
        "calls": len(times),
        "median_us": float(np.median(times)) * 1e6,
        "min_us": float(np.min(times)) * 1e6,
        "p90_us": float(np.quantile(times, 0.9)) * 1e6,
    }
    if as_json:
        sys.stdout.write(json.dumps(row) + "\n")
    else:
        texts = "  ".join(f"{key[:-3]} {_duration(row[key])}" for key in ("median_us", "min_us", "p90_us"))
        sys.stdout.write(f"@{name}: {texts}  ({len(times)} calls)\n")
    if not (profile or profile_json or trace):
        return
    facts = ModuleFile.read_dispatches(module.read_bytes())
    taken = record(loaded, lambda: call(*arguments), min(seconds, 1.0), facts)
    if profile_json:
        _write(profile_json, row | taken.summary.to_json(len(taken.calls)))
    if trace:
        _write(trace, chrome_trace(taken.events, taken.facts, taken.calls))
    if profile:
        sys.stdout.writelines(f"{line}\n" for line in table(taken.summary, len(taken.calls)))


@dataclass(frozen=True)
class Recording:
    """Some calls under the profiler.

    Attributes:
      calls: start and end of each, in nanoseconds of the clock of the events.
      facts: what the module file tells of its dispatches.
    """

    events: list[Event]
    calls: list[tuple[int, int]]
    facts: Facts
    summary: Summary


def record(loaded: Any, call: Callable[[], Any], seconds: float, facts: Facts) -> Recording:
    """Profiles calls for about `seconds`, one at least, a thousand at most.

    Raises:
      UsageError: the module runs without a device.
    """
    call()
    calls: list[tuple[int, int]] = []
    end = time.monotonic_ns() + int(seconds * 1e9)
    with loaded.profile() as profile:
        while not calls or (time.monotonic_ns() < end and len(calls) < 1000):
            start = time.monotonic_ns()
            call()
            calls.append((start, time.monotonic_ns()))
            profile.read()
    if not profile.events:
        raise UsageError(
            "no dispatch was recorded: the module has none, or runs them without a device (execution models "
            "inline-static and inline-dynamic)"
        )
    return Recording(profile.events, calls, facts, summarize(profile.events, facts, profile.dropped))


def table(summary: Summary, calls: int) -> Iterator[str]:
    """The lines of a table of the dispatches, per call."""
    yield (
        f"per call: {_duration(summary.seconds / calls * 1e6)} in {summary.executions / calls:g} command buffers, "
        f"{_duration(summary.idle_seconds / calls * 1e6)} of that between commands ({calls} calls profiled)"
    )
    if summary.dropped:
        yield f"{summary.dropped} events were dropped: the figures below are too low"
    rows = [("time", "share", "runs", "GFLOP/s", "GB/s", "threads", "workgroups", "kind", "dispatch", "nodes")]
    rows += [_cells(row, summary, calls) for row in summary.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [text.rjust(w) if i < 7 else text.ljust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def _cells(row: Row, summary: Summary, calls: int) -> tuple[str, ...]:
    nodes = ", ".join(row.nodes[:4]) + (f", … {len(row.nodes) - 4} more" if len(row.nodes) > 4 else "")
    return (
        _duration(row.seconds / calls * 1e6),
        f"{100 * row.seconds / summary.seconds:.1f}%" if summary.seconds else "",
        f"{row.runs / calls:g}",
        "?" if row.gflops is None else f"{row.gflops:.1f}",
        f"{row.gigabytes:.1f}",
        f"{row.busy_seconds / row.seconds:.2f}" if row.seconds else "",
        "x".join(map(str, row.grid)).removesuffix("x1x1"),
        row.kind,
        row.name,
        nodes,
    )


def _write(path: Path, value: Any) -> None:
    try:
        path.write_text(json.dumps(value) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def measure(call: Callable[[], Any], seconds: float) -> np.ndarray[Any, Any]:
    """The times of calls in seconds: as many as fit, three at least, after a warm-up."""
    end = time.perf_counter() + seconds / 4
    call()
    while time.perf_counter() < end:
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return np.array(times)


def _random(argument: Any) -> Any:
    """A value for an argument whose shape is static.

    Raises:
      UsageError: it is not, so that the user must choose.
    """
    if argument.scalar:
        return 1
    if argument.shape is None or argument.dtype is None or not all(isinstance(e, int) for e in argument.shape):
        raise UsageError(f"{argument}: give --input, for its shape is not fixed")
    generator = np.random.default_rng(0)
    kind = numpy_dtype(argument.dtype)
    if kind.kind in "biu":
        return generator.integers(0, 2, argument.shape).astype(kind)
    return generator.standard_normal(argument.shape).astype(kind)


def _duration(microseconds: Any) -> str:
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3f} s"
    return f"{microseconds / 1e3:.3f} ms" if microseconds >= 1e3 else f"{microseconds:.2f} us"
