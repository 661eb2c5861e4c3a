"""`mlirage bench`: how long a call of a module's function takes."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlirage.cli.run import choose_function, load_module, parameter_options, read_arguments
from mlirage.errors import UsageError
from mlirage.runtime.arrays import dtype as numpy_dtype


@click.command("bench")
@click.argument("module", type=click.Path(path_type=Path))
@click.option("--function", default=None, help="Function to call. [default: main, or the only one]")
@click.option("--input", "inputs", multiple=True, help="An argument, as in mlirage run. [default: random numbers]")
@click.option("--device", default="local-task", show_default=True, help="Device to run on (mlirage devices).")
@parameter_options
@click.option("--threads", type=int, default=None, help="Threads of local-task. [default: one per core]")
@click.option("--seconds", default=2.0, show_default=True, help="How long to measure, after a warm-up.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
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
) -> None:
    """Call a function of MODULE again and again and print the latency."""
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
        return
    texts = "  ".join(f"{key[:-3]} {_duration(row[key])}" for key in ("median_us", "min_us", "p90_us"))
    sys.stdout.write(f"@{name}: {texts}  ({len(times)} calls)\n")


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
