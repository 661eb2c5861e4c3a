"""`python -m benchmarks.tuned FOLDER`: tunes the benchmark's models, each with a budget, into FOLDER/MODEL.tuning.

`python -m benchmarks --tuning FOLDER` then measures ours with and without them. What is printed for a model: by how
much tuning says that its dispatches get faster, together and each. A model takes its budget and about ten seconds
more; a folder that has files already is added to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click


def tune(name: str, path: Path, budget: float, threads: int, least_share: float) -> dict[str, Any]:
    """Tunes one model in this process; what came of its dispatches."""
    from benchmarks.models import built
    from mlirage.codegen.tuned import TuningFile
    from mlirage.options import make_options
    from mlirage.tuning.model import ModelTuner

    model, inputs = built(name)
    file = TuningFile.read(path) if path.exists() else TuningFile()
    tuner = ModelTuner(model, make_options(), lambda _: list(inputs.values()), "local-task", threads)
    rows: list[dict[str, Any]] = []
    faster = 1.0
    for result in tuner.tune([share for share in tuner.shares() if share.share >= least_share], budget):
        found = result.outcome
        row: dict[str, Any] = {"name": result.name, "share": result.share, "reason": result.reason}
        if found is not None:
            row |= {"gain": found.gain, "seconds": found.default_seconds, "tried": found.tried}
            row |= {"refused": found.refused, "wrong": [str(wrong) for wrong in found.wrong]}
            row["default"], row["tuned"] = str(result.default), str(found.configuration)
            faster -= result.share * (1 - 1 / found.gain)
            if (tuned := result.tuned()) is not None:
                file.dispatches[result.key] = tuned
            else:
                file.dispatches.pop(result.key, None)
        rows.append(row)
    file.write(path)
    return {"model": name, "threads": threads, "tuned_part": faster, "dispatches": rows}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--models", default="models", show_default=True, help="Names or sets, as `python -m benchmarks` takes.")
@click.option("--budget", default=30.0, show_default=True, help="Seconds to search for, a model.")
@click.option("--threads", default=2, show_default=True)
@click.option("--least-share", default=2.0, show_default=True, help="Per cent of the time that is worth tuning.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the figures.")
@click.option("--here", is_flag=True, help="In this process, as a line of JSON.")
def main(
    folder: Path, models: str, budget: float, threads: int, least_share: float, json_path: Path | None, here: bool
) -> None:
    """Tune models into files of FOLDER."""
    from benchmarks.one import model_names

    folder.mkdir(parents=True, exist_ok=True)
    names = model_names(models)
    if here:
        for name in names:
            found = tune(name, folder / f"{name}.tuning", budget, threads, least_share / 100)
            sys.stdout.write(json.dumps(found) + "\n")
        return
    results: list[dict[str, Any]] = []
    for name in names:
        command = [sys.executable, "-m", "benchmarks.tuned", str(folder), "--models", name, "--budget", str(budget),
                   "--threads", str(threads), "--least-share", str(least_share), "--here"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            click.echo(f"{name}: not tuned, the process ended with {done.returncode}\n{done.stderr[-2000:]}")
            continue
        results.append(json.loads(done.stdout.splitlines()[-1]))
        click.echo(summary(results[-1]))
        if json_path:
            json_path.write_text(json.dumps(results, indent=1))


def summary(result: dict[str, Any]) -> str:
    """What was found, for people."""
    lines = [f"{result['model']}: {result['tuned_part']:.3f} of the time with defaults, by its dispatches"]
    for row in result["dispatches"]:
        if row.get("gain", 1.0) > 1.0:
            lines.append(f"  {100 * row['share']:5.1f}%  {row['gain']:.2f}  {row['name']}")
            lines.append(f"         {row['default']}\n         {row['tuned']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
