"""One model, ours beside the peers, interleaved; a line of JSON. `python -m benchmarks` gives it a process of its own.

python -m benchmarks.one mobilenet_v2 --contenders mlirage,onnxruntime,openvino --threads 2
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.measure import interleaved
from benchmarks.memory import tree_bytes
from benchmarks.models import Array, built
from benchmarks.peers import PEERS, READS, Compiled
from benchmarks.roofline import copy_kernel, fma_kernel, read_kernel
from benchmarks.roofline import interleaved as take_turns


def error_of(ours: list[Array], reference: list[Array]) -> float:
    """Largest difference of any element, in units of the largest magnitude of its array."""
    largest = 0.0
    for a, b in zip(ours, reference, strict=True):
        if b.size:
            scale = max(float(np.abs(b.astype(np.float64)).max()), 1e-30)
            largest = max(largest, float(np.abs(a.astype(np.float64) - b).max()) / scale)
    return largest


def peaks() -> dict[str, float]:
    """What one thread of this machine can do now: multiply-adds, bytes copied, bytes read, per second."""
    (fma, flops), (copy, copied), (read, seen) = fma_kernel(), copy_kernel(), read_kernel()
    times = take_turns({"fma": fma, "copy": copy, "read": read}, 0.2)
    return {
        "fma_flops": flops / times["fma"],
        "copy_bytes": copied / times["copy"],
        "read_bytes": seen / times["read"],
    }


def cache_bytes() -> int:
    """Size of the largest cache that Linux tells of; 0 where it tells of none."""
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((int(file.read_text().rstrip("K\n")) * 1024 for file in files), default=0)


def measure(name: str, contenders: list[str], threads: int, rounds: int) -> dict[str, Any]:
    """Figures of every contender that can run the model; what the others said instead."""
    path, inputs = built(name)
    compiled: dict[str, Compiled] = {}
    failed: dict[str, str] = {}
    for contender in contenders:
        if READS.get(contender, path.suffix) != path.suffix:
            continue
        try:
            compiled[contender] = PEERS[contender](path, inputs, threads)
            compiled[contender].call()
        except Exception as error:  # a peer that cannot run a model is a result, not an end
            compiled.pop(contender, None)
            failed[contender] = f"{type(error).__name__}: {error}"[:500]
    outputs = {contender: one.call() for contender, one in compiled.items()}
    reference = outputs.get("onnxruntime", outputs.get("xla", next(iter(outputs.values()), [])))
    timings = interleaved({contender: one.call for contender, one in compiled.items()}, rounds=rounds)
    return {
        "model": name,
        "threads": threads,
        "weight_bytes": path.stat().st_size,
        "cache_bytes": cache_bytes(),
        "peaks": peaks(),
        "failed": failed,
        "contenders": {
            contender: {
                "median_s": timings[contender].median,
                "fastest_s": timings[contender].fastest,
                "compile_s": one.compile_seconds,
                "error": error_of(outputs[contender], reference),
                **one.facts,
            }
            for contender, one in compiled.items()
        },
    }


def peak_memory(name: str, contender: str, threads: int) -> int:
    """Most memory that compiling a model and running it took at any time, over all processes, in bytes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.one", name, "--contenders", contender, "--threads", str(threads), "--once"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(0.02)
    return peak if process.returncode == 0 else 0


@click.command()
@click.argument("model")
@click.option("--contenders", default="mlirage,onnxruntime,openvino", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=21, show_default=True)
@click.option("--memory", is_flag=True, help="Compile and run once more in processes of their own; take their peaks.")
@click.option("--once", is_flag=True, help="Compile, call once, print nothing.")
def main(model: str, contenders: str, threads: int, rounds: int, memory: bool, once: bool) -> None:
    """Measure MODEL, ours beside the peers."""
    names = contenders.split(",")
    if once:
        path, inputs = built(model)
        PEERS[names[0]](path, inputs, threads).call()
        return
    result = measure(model, names, threads, rounds)
    if memory:
        for name, figures in result["contenders"].items():
            figures["peak_bytes"] = peak_memory(model, name, threads)
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
