"""`python -m benchmarks.footprint`: what models take beside the peers: time and memory to compile, memory to run.

python -m benchmarks.footprint --models resnet50 --contenders mlirage,iree,onnxruntime --json footprint.json

Each step is a process of its own that imports no more than it needs. Compiling: from the model's file to a module file,
nothing cached; `compile_s` and the peak over all its processes, `compile_bytes`. Running: from the module file (ours,
IREE) or the model's file (ONNX Runtime, OpenVINO, which compile when they load it) through three calls; `peak_bytes` is
the most memory that the process ever held, weights read from mapped files included, and `load_s` the time until it is
ready. All models take about eight minutes with mlirage, ONNX Runtime and OpenVINO; IREE's compiler alone takes as long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

_CALLS = 3
_INTERVAL = 0.02
_SUFFIX = {"mlirage": ".mlirage", "iree": ".vmfb"}  # of those that compile ahead


def compile_ahead(contender: str, model: Path, output: Path) -> None:
    """Compiles in this process, and writes the module; says how long that took, without the imports."""
    if contender == "mlirage":
        import mlirage

        start = time.perf_counter()
        output.write_bytes(mlirage.compile(model, cache_dir="off"))
    else:
        from benchmarks.peers import compile_iree

        start = time.perf_counter()
        output.write_bytes(compile_iree(model, []))
    sys.stdout.write(json.dumps({"compile_s": time.perf_counter() - start, "module_bytes": output.stat().st_size}))


def run_once(contender: str, path: Path, model: Path, arrays: Path, threads: int) -> None:
    """Loads and calls in this process; says the most memory that it ever held."""
    with np.load(arrays) as loaded:
        inputs = {key: loaded[key] for key in loaded.files}
    start = time.perf_counter()
    if contender == "mlirage":
        import mlirage

        function = mlirage.load(path, device="local-task", threads=threads)

        def call() -> Any:
            return function(*inputs.values())
    elif contender == "iree":
        from benchmarks.peers import load_iree

        call = load_iree(path.read_bytes(), model, inputs, threads)
    else:
        from benchmarks.peers import PEERS, Request

        call = PEERS[contender](Request(path, inputs, (threads,))).calls[threads]
    seconds = time.perf_counter() - start
    for _ in range(_CALLS):
        call()
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(json.dumps({"peak_bytes": int(line.split()[1]) * 1024, "load_s": seconds}))


def _step(*words: str) -> tuple[dict[str, Any], int]:
    """Runs a step in a process; what it says, and the most memory of it and its descendants."""
    from benchmarks.memory import tree_bytes

    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.footprint", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(_INTERVAL)
    said, complaints = process.communicate()
    if process.returncode:
        raise RuntimeError(complaints.decode(errors="replace")[-500:])
    return json.loads(said.splitlines()[-1]), peak


def measure(name: str, contenders: list[str], threads: int) -> dict[str, Any]:
    """What one model takes with every contender; what the others said instead."""
    from benchmarks.models import built

    model, _ = built(name)
    result: dict[str, Any] = {"model": name, "threads": threads, "contenders": {}, "failed": {}}
    for contender in contenders:
        with tempfile.TemporaryDirectory() as folder:
            figures: dict[str, Any] = {}
            path = model
            try:
                if contender in _SUFFIX:
                    path = Path(folder) / f"model{_SUFFIX[contender]}"
                    figures, peak = _step("compile", contender, str(model), str(path))
                    figures["compile_bytes"] = peak
                arrays = str(model.with_suffix(".npz"))
                figures |= _step("run", contender, str(path), str(model), arrays, str(threads))[0]
                result["contenders"][contender] = figures
            except RuntimeError as error:  # a peer that cannot run a model is a result, not an end
                result["failed"][contender] = str(error)
    return result


def table_of(results: list[dict[str, Any]], contenders: list[str]) -> Table:
    """A row per model."""
    compiling = [name for name in contenders if name in _SUFFIX]
    table = Table("model", *(f"{name} compile s" for name in compiling), *(f"{name} compile MB" for name in compiling),
                  *(f"{name} module MB" for name in compiling), *(f"{name} run MB" for name in contenders))  # fmt: skip
    for result in results:
        ran = result["contenders"]

        def said(names: list[str], key: str, unit: float, digits: int, ran: dict[str, Any] = ran) -> list[str]:
            return [f"{ran[name][key] / unit:.{digits}f}" if name in ran else "fails" for name in names]

        table.add_row(
            result["model"],
            *said(compiling, "compile_s", 1, 1),
            *said(compiling, "compile_bytes", 1e6, 0),
            *said(compiling, "module_bytes", 1e6, 1),
            *said(contenders, "peak_bytes", 1e6, 0),
        )
    return table


@click.command()
@click.option("--models", default="models", show_default=True, help="Names or sets, as `python -m benchmarks` takes.")
@click.option("--contenders", default="mlirage,onnxruntime,openvino", show_default=True,
              help="Of mlirage, iree, onnxruntime, openvino.")  # fmt: skip
@click.option("--threads", default=2, show_default=True, help="While running.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the figures.")
def main(models: str, contenders: str, threads: int, json_path: Path | None) -> None:
    """Measure time and memory of compiling, and memory of running."""
    from benchmarks.one import model_names

    console = Console(width=None if sys.stdout.isatty() else 200)
    results: list[dict[str, Any]] = []
    for name in model_names(models):
        console.print(f"{name} …", style="dim")
        results.append(measure(name, contenders.split(","), threads))
        for contender, text in results[-1]["failed"].items():
            console.print(f"{name}: {contender} fails: {text}")
        if json_path:
            json_path.write_text(json.dumps(results, indent=1))
    console.print(table_of(results, contenders.split(",")))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", given, source, target]:
            compile_ahead(given, Path(source), Path(target))
        case ["run", given, module, source, given_arrays, count]:
            run_once(given, Path(module), Path(source), Path(given_arrays), int(count))
        case _:
            main()
