"""`python -m benchmarks`: models, ours beside the peers, interleaved in one run; a table and JSON.

python -m benchmarks --models resnet50,lstm --threads 2 --peers onnxruntime,iree --json result.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measure import interleaved
from benchmarks.models import MODELS
from benchmarks.peers import PEERS, Compiled


@click.command()
@click.option("--models", default=",".join(MODELS), show_default=True, help="Models, separated by commas.")
@click.option("--peers", default="onnxruntime,iree", show_default=True, help="Peers, separated by commas; '' for none.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=21, show_default=True, help="Turns of every contender.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the figures.")
def main(models: str, peers: str, threads: int, rounds: int, json_path: Path | None) -> None:
    """Measure models, ours beside the peers."""
    contenders = ["mlirage", *filter(None, peers.split(","))]
    table = Table("model", *(f"{name} ms" for name in contenders), *(f"ours/{name}" for name in contenders[1:]),
                  "max error", *(f"{name} compile s" for name in contenders))  # fmt: skip
    results: dict[str, object] = {"threads": threads, "models": {}}
    console = Console(width=None if sys.stdout.isatty() else 200)
    for name in models.split(","):
        model, inputs = MODELS[name]()
        compiled: dict[str, Compiled] = {}
        for contender in contenders:
            console.print(f"{name}: compiling with {contender}", style="dim")
            compiled[contender] = PEERS[contender](model, inputs, threads)
        outputs = {contender: one.call() for contender, one in compiled.items()}
        reference = outputs[contenders[1]] if len(contenders) > 1 else outputs["mlirage"]
        error = max(float(np.abs(a - b).max()) for a, b in zip(outputs["mlirage"], reference, strict=True))
        timings = interleaved({contender: one.call for contender, one in compiled.items()}, rounds=rounds)
        ours = timings["mlirage"].median
        table.add_row(
            name,
            *(f"{timings[contender].median * 1e3:.3f}" for contender in contenders),
            *(f"{ours / timings[contender].median:.2f}" for contender in contenders[1:]),
            f"{error:.1e}",
            *(f"{compiled[contender].compile_seconds:.2f}" for contender in contenders),
        )
        results["models"][name] = {  # pyright: ignore[reportIndexIssue]
            contender: {"median_s": timings[contender].median, "fastest_s": timings[contender].fastest,
                        "compile_s": compiled[contender].compile_seconds, **compiled[contender].facts}
            for contender in contenders
        }  # fmt: skip
    console.print(table)
    if json_path:
        json_path.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    sys.exit(main())
