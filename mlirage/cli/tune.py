"""`mlirage tune`: finds configurations of a model's dispatches that are faster on this machine, for later compiles."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlirage.checking import random_arguments
from mlirage.cli.check import read_extents
from mlirage.cli.compile import option_flags
from mlirage.cli.run import read_arguments
from mlirage.errors import UsageError
from mlirage.options import make_options

if TYPE_CHECKING:
    from mlirage.tuning.model import Result


@click.command("tune")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write or add to. [default: MODEL.tuning]"
)
@click.option("--budget", default=60.0, show_default=True, help="Seconds to search for, about.")
@click.option("--least-share", default=1.0, show_default=True, help="Per cent of the time that is worth tuning.")
@click.option("--input", "inputs", multiple=True, help="An argument, as in mlirage run. [default: random]")
@click.option("--dim", "dims", multiple=True, help="Extent of a dimension for random inputs: NAME=N. [default: 2]")
@click.option("--device", default="local-task", show_default=True, help="Device to tune for (mlirage devices).")
@click.option("--threads", type=int, default=None, help="Threads of local-task. [default: one per core]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@option_flags
def command(
    model: Path,
    output: Path | None,
    budget: float,
    least_share: float,
    inputs: tuple[str, ...],
    dims: tuple[str, ...],
    device: str,
    threads: int | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Search for faster configurations of MODEL's dispatches on this machine, and keep them in a file.

    `mlirage compile --tuning FILE` uses them. Nothing is kept that is not faster than the default by more than noise,
    or that gives other results.
    """
    from mlirage.codegen.tuned import TuningFile
    from mlirage.tuning.model import ModelTuner

    options = make_options(**{name: value for name, value in flags.items() if value is not None})
    if not budget > 0:
        raise UsageError(f"--budget={budget:g}: expected a number of seconds above 0")
    path = output or Path(f"{model.with_suffix('')}.tuning")
    file = TuningFile.read(path) if path.exists() else TuningFile()

    def arguments(signature: Any) -> Sequence[Any]:
        return (
            read_arguments(inputs, signature)
            if inputs
            else random_arguments(signature, read_extents(dims, [signature]), 0)
        )

    with _Progress() as progress:
        progress.say("compiling")
        tuner = ModelTuner(model, options, arguments, device, threads)
        progress.say("profiling")
        shares = [share for share in tuner.shares() if 100 * share.share >= least_share]
        results: list[Result] = []
        for result in tuner.tune(
            shares, budget, lambda share, _, gain: progress.tried(share.benchmark.name, share.share, gain)
        ):
            results.append(result)
            progress.done(result)
            tuned = result.tuned()
            if tuned is not None:
                file.dispatches[result.key] = tuned
            elif result.outcome is not None:
                file.dispatches.pop(result.key, None)  # what was faster once is not anymore
    file.write(path)
    if as_json:
        sys.stdout.write(json.dumps({"file": str(path), "dispatches": [_row(result) for result in results]}) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _table(results, path))


def _row(result: Result) -> dict[str, Any]:
    row: dict[str, Any] = {"name": result.name, "share": result.share, "key": result.key, "reason": result.reason}
    if result.outcome is not None:
        found = result.outcome
        row |= {
            "gain": found.gain,
            "default_us": found.default_seconds * 1e6,
            "tried": found.tried,
            "refused": found.refused,
            "wrong": [str(configuration) for configuration in found.wrong],
            "configuration": None if found.gain <= 1.0 else str(found.configuration),
        }
    return row


def _table(results: Sequence[Result], path: Path) -> list[str]:
    """What was found, for people."""
    lines = [f"{'share':>6}  {'default':>10}  {'gain':>5}  {'tried':>5}  dispatch"]
    saved = 0.0
    for result in results:
        found = result.outcome
        if found is None:
            lines.append(f"{100 * result.share:5.1f}%  {'':>10}  {'':>5}  {'':>5}  {result.name}: {result.reason}")
            continue
        gain = f"{found.gain:.2f}" if found.gain > 1.0 else "-"
        notes = f"  {_choice(found.configuration)}" if found.gain > 1.0 else ""
        notes += f"  {found.refused} did not compile or run" if found.refused else ""
        if found.wrong:
            notes += f"  {len(found.wrong)} GAVE OTHER RESULTS, please report: {_choice(found.wrong[0])}"
        lines.append(
            f"{100 * result.share:5.1f}%  {found.default_seconds * 1e6:7.1f} us  {gain:>5}  {found.tried:>5}  "
            f"{result.name}{notes}"
        )
        saved += result.share * (1 - 1 / found.gain)
    count = sum(result.tuned() is not None for result in results)
    total = f"the model should be {1 / (1 - saved):.2f} times as fast"
    return [*lines, f"{path}: {count} of {len(results)} dispatches are faster; {total}"]


def _choice(configuration: Any) -> str:
    data = " ".join(f"{name}={value}" for name, value in sorted(configuration.data.items()))
    return f"tiles={list(configuration.workgroup_tiles)} {data}"


class _Progress:
    """What is being tried, on a terminal; nothing elsewhere."""

    def __enter__(self) -> _Progress:
        self.status: Any = None
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True).status("")
            self.status.start()
        self.name, self.count, self.best = "", 0, 1.0
        return self

    def say(self, text: str) -> None:
        """Shows `text`."""
        if self.status is not None:
            self.status.update(text)

    def tried(self, name: str, share: float, gain: float) -> None:
        """A candidate of a dispatch was timed."""
        if name != self.name:
            self.name, self.count, self.best = name, 0, 1.0
        self.count += 1
        self.best = max(self.best, gain)
        self.say(f"{name} ({100 * share:.1f}%): {self.count} tried, best {self.best:.2f}")

    def done(self, result: Result) -> None:
        """A dispatch is finished."""
        if self.status is not None:
            tuned = result.tuned()
            self.status.console.print(f"{result.name}: {f'{tuned.gain:.2f} times as fast' if tuned else 'the default'}")

    def __exit__(self, *_: object) -> None:
        if self.status is not None:
            self.status.stop()
