"""One model, ours beside the peers, interleaved; a line of JSON. `python -m benchmarks` gives it a process of its own.

python -m benchmarks.one mobilenet_v2 --contenders mlirage,onnxruntime,openvino --threads 1,2
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.measure import interleaved
from benchmarks.models import SETS, Array, built
from benchmarks.peers import PEERS, Compiled, Request, takes_part
from benchmarks.roofline import copy_kernel, fma_kernel, read_kernel
from benchmarks.roofline import interleaved as take_turns


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of threads in "1,2"."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"--threads {text}: expected numbers, separated by commas") from error


def model_names(text: str) -> list[str]:
    """The models that `--models` means: names, or sets of them."""
    names = [name for given in text.split(",") for name in SETS.get(given, (given,))]
    known = [name for one in SETS.values() for name in one]
    for name in names:
        if name not in known:
            raise click.UsageError(f"there is no model {name!r}; there are {', '.join(known)}")
    return names


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


def measure(
    name: str,
    contenders: Sequence[str],
    threads: int | Sequence[int],
    rounds: int,
    tuning: Path | None = None,
    cache_dir: str = "off",
) -> dict[str, Any]:
    """Figures of every contender that can run the model; what the others said instead.

    Args:
      threads: of several numbers the last is the one whose times are `median_s`; all are in `seconds`.
      tuning: folder with a tuning file for each model that was tuned.
      cache_dir: of our compiler.
    """
    path, inputs = built(name)
    counts = (threads,) if isinstance(threads, int) else tuple(threads)
    request = Request(path, inputs, counts, tuning and tuning / f"{name}.tuning", cache_dir)
    compiled: dict[str, Compiled] = {}
    failed: dict[str, str] = {}
    for contender in contenders:
        if not takes_part(contender, request):
            continue
        try:
            compiled[contender] = PEERS[contender](request)
            for call in compiled[contender].calls.values():
                call()
        except Exception as error:  # a peer that cannot run a model is a result, not an end
            compiled.pop(contender, None)
            failed[contender] = f"{type(error).__name__}: {error}"[:500]
    outputs = {contender: one.calls[counts[-1]]() for contender, one in compiled.items()}
    reference = outputs.get("onnxruntime", outputs.get("xla", next(iter(outputs.values()), [])))
    turns = {f"{contender} {count}": call for contender, one in compiled.items() for count, call in one.calls.items()}
    timings = interleaved(turns, rounds=rounds)
    return {
        "model": name,
        "threads": counts[-1],
        "weight_bytes": path.stat().st_size,
        "cache_bytes": cache_bytes(),
        "peaks": peaks(),
        "failed": failed,
        "contenders": {
            contender: {
                "median_s": timings[f"{contender} {counts[-1]}"].median,
                "fastest_s": timings[f"{contender} {counts[-1]}"].fastest,
                "seconds": {str(count): timings[f"{contender} {count}"].median for count in one.calls},
                "compile_s": one.compile_seconds,
                "error": error_of(outputs[contender], reference),
                **one.facts,
            }
            for contender, one in compiled.items()
        },
    }


@click.command()
@click.argument("model")
@click.option("--contenders", default="mlirage,onnxruntime,openvino", show_default=True)
@click.option("--threads", default="2", show_default=True)
@click.option("--rounds", default=21, show_default=True)
@click.option("--tuning", type=click.Path(path_type=Path), help="Folder of MODEL.tuning.")
@click.option("--cached", is_flag=True, help="Take our kernels from the cache.")
def main(model: str, contenders: str, threads: str, rounds: int, tuning: Path | None, cached: bool) -> None:
    """Measure MODEL, ours beside the peers."""
    result = measure(model, contenders.split(","), numbers(threads), rounds, tuning, "" if cached else "off")
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
