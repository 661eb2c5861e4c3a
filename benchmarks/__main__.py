"""`python -m benchmarks`: models, ours beside the peers, interleaved in one run; a table, JSON and a plot.

python -m benchmarks --models resnet50,lstm --threads 2 --peers onnxruntime,openvino --json out.json --plot out.svg

With `--threads 1,2` all take turns on one thread and on two, and a second table tells how much faster two are. With
`--tuning FOLDER` ours takes part a second time, as `mlirage_tuned`, where the folder has a file of the model
(`python -m benchmarks.tuned` makes them). A model takes ten to forty seconds, compilation included.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.models import SETS
from benchmarks.one import model_names, numbers
from benchmarks.peers import OURS


def ratio_to_best(result: dict[str, Any]) -> float | None:
    """Our time over that of the fastest peer; None where we or all peers failed."""
    peers = [one["median_s"] for name, one in result["contenders"].items() if name not in OURS]
    ours = result["contenders"].get("mlirage")
    return ours["median_s"] / min(peers) if ours and peers else None


def share_of_roofline(result: dict[str, Any]) -> float:
    """The time the machine needs at least over ours: arithmetic at FMA peak, or reading what caches cannot keep."""
    ours, peaks = result["contenders"]["mlirage"], result["peaks"]
    arithmetic = ours["flops"] / (peaks["fma_flops"] * result["threads"])
    return (
        max(arithmetic, max(0, result["weight_bytes"] - result["cache_bytes"]) / peaks["read_bytes"]) / ours["median_s"]
    )


def table_of(results: Sequence[dict[str, Any]], contenders: Sequence[str]) -> Table:
    """A row per model; the last tells the geometric mean of the ratios."""
    table = Table("model", *(f"{name} ms" for name in contenders), "ours/best peer", "of roofline", "error",
                  "dispatches", "module MB", *(f"{name} compile s" for name in contenders))  # fmt: skip
    for result in results:
        ran = result["contenders"]
        ours, ratio = ran.get("mlirage"), ratio_to_best(result)
        times = [
            f"{ran[name]['median_s'] * 1e3:.3f}" if name in ran else "fails" if name in result["failed"] else ""
            for name in contenders
        ]
        compiles = [f"{ran[name]['compile_s']:.2f}" if name in ran else "" for name in contenders]
        about = ["", "", "", ""]
        if ours:
            about = [f"{share_of_roofline(result):.2f}", f"{ours['error']:.1e}", f"{ours['dispatches']}",
                     f"{ours['module_bytes'] / 1e6:.1f}"]  # fmt: skip
        table.add_row(result["model"], *times, f"{ratio:.2f}" if ratio else "", *about, *compiles)
    ratios = [ratio for result in results if (ratio := ratio_to_best(result))]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        table.add_row("geometric mean", *("" for _ in contenders), f"{mean:.3f}")
    return table


def table_of_threads(results: Sequence[dict[str, Any]], contenders: Sequence[str], counts: Sequence[int]) -> Table:
    """How many times faster the last number of threads is than the first."""
    first, last = str(counts[0]), str(counts[-1])
    table = Table("model", *(f"{name}, {first} ms" for name in contenders),
                  *(f"{name}, {first} / {last}" for name in contenders))  # fmt: skip
    for result in results:
        both = [result["contenders"].get(name, {}).get("seconds", {}) for name in contenders]
        table.add_row(
            result["model"],
            *(f"{one[first] * 1e3:.3f}" if first in one else "" for one in both),
            *(f"{one[first] / one[last]:.2f}" if first in one and last in one else "" for one in both),
        )
    return table


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars of our time over each peer's; below 1 we are faster."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    peers = sorted({name for result in results for name in result["contenders"]} - set(OURS))
    shown = [result for result in results if "mlirage" in result["contenders"]]
    figure, axes = pyplot.subplots(figsize=(2 + 0.5 * len(shown), 4.5))
    width = 0.8 / max(len(peers), 1)
    for index, peer in enumerate(peers):
        heights = [
            result["contenders"]["mlirage"]["median_s"] / result["contenders"][peer]["median_s"]
            if peer in result["contenders"] else 0.0
            for result in shown
        ]  # fmt: skip
        axes.bar([x + index * width for x in range(len(shown))], heights, width, label=peer)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(shown))])
    axes.set_xticklabels([result["model"] for result in shown], rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("our time / theirs")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


@click.command()
@click.option(
    "--models",
    default="models",
    show_default=True,
    help=f"Names, or {', '.join(SETS)} for all of a kind, separated by commas.",
)
@click.option("--peers", default="onnxruntime,openvino,xla", show_default=True,
              help="Of onnxruntime, openvino, iree, iree_untiled, xla, separated by commas; '' for none.")  # fmt: skip
@click.option("--threads", default="2", show_default=True,
              help="Or several, as 1,2: all are measured, tables show the last and how it scales.")  # fmt: skip
@click.option("--rounds", default=21, show_default=True, help="Turns of every contender.")
@click.option("--tuning", type=click.Path(path_type=Path),
              help="Folder of tuning files: ours takes part with them, too.")  # fmt: skip
@click.option("--cached", is_flag=True, help="Take our kernels from the cache: its compile times mean nothing then.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the figures.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="File for a plot, svg or png.")
def main(
    models: str,
    peers: str,
    threads: str,
    rounds: int,
    tuning: Path | None,
    cached: bool,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Measure models, ours beside the peers, each model in a process of its own."""
    contenders = ["mlirage", *(["mlirage_tuned"] if tuning else []), *filter(None, peers.split(","))]
    counts = numbers(threads)
    results: list[dict[str, Any]] = []
    console = Console(width=None if sys.stdout.isatty() else 220)
    for name in model_names(models):
        console.print(f"{name} …", style="dim")
        command = [sys.executable, "-m", "benchmarks.one", name, "--contenders", ",".join(contenders),
                   "--threads", threads, "--rounds", str(rounds), *(["--tuning", str(tuning)] if tuning else []),
                   *(["--cached"] if cached else [])]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            console.print(f"{name}: no figures, the process ended with {done.returncode}\n{done.stderr[-2000:]}")
            continue
        results.append(json.loads(done.stdout.splitlines()[-1]))
        for contender, text in results[-1]["failed"].items():
            console.print(f"{name}: {contender} fails: {text}")
        if json_path:
            json_path.write_text(json.dumps(results, indent=1))
    console.print(table_of(results, contenders))
    if len(counts) > 1:
        console.print(table_of_threads(results, contenders, counts))
    if plot_path and results:
        plot(results, plot_path)


if __name__ == "__main__":
    main()
