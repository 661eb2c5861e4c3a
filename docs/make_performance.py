"""Writes the tables of docs/performance.md from docs/performance.json.

`python docs/make_performance.py PART=FILE …` first takes over what was measured: for the parts models, operators and
programs `python -m benchmarks --json FILE`, for threads the same with `--threads 1,2`, for tuned with `--tuning FOLDER`
(one file may serve for models and tuned), for footprint and iree
`python -m benchmarks.footprint --json FILE`, for kernels several files,
separated by commas, of `python -m benchmarks.kernels WHAT --json FILE`; `--check` compares alone.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from generated_parts import table, write

_PAGE = Path(__file__).with_name("performance.md")
_FIGURES = Path(__file__).with_name("performance.json")
_KEPT = ("median_s", "compile_s", "error", "dispatches", "flops", "peak_bytes", "compile_bytes", "module_bytes")
_NAMES = {"mlirage": "mlirage", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "iree": "IREE", "xla": "XLA"}
_PEERS = ("onnxruntime", "openvino")
_LITTLE_WORK = 1e6  # operations: below, a kernel is over before it is at its speed
_POOLING = re.compile(r"_conv_(\d+x){5}\d+_")  # or depthwise: one extent less than sums over channels have
Result = dict[str, Any]


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _trimmed(results: list[Result]) -> list[Result]:
    """What the tables need, in few digits."""
    return [
        {
            "model": result["model"],
            "threads": result["threads"],
            **({"fma_flops": float(f"{result['peaks']['fma_flops']:.3e}")} if "peaks" in result else {}),
            "contenders": {
                name: {key: _short(figures[key]) for key in _KEPT if key in figures}
                | ({"seconds": {n: _short(t) for n, t in figures["seconds"].items()}} if "seconds" in figures else {})
                for name, figures in result["contenders"].items()
            },
        }
        for result in results
    ]


def _milliseconds(result: Result, contender: str) -> str:
    figures = result["contenders"].get(contender)
    return f"{figures['median_s'] * 1e3:.3g}" if figures else "fails"


def _ratio(result: Result, against: tuple[str, ...]) -> float | None:
    """Our time over that of the fastest of `against`."""
    ran = result["contenders"]
    times = [ran[name]["median_s"] for name in against if name in ran]
    return ran["mlirage"]["median_s"] / min(times) if times and "mlirage" in ran else None


def _means(results: list[Result], peers: tuple[str, ...]) -> str:
    """Geometric means of the ratios, and how often we are the faster."""
    said: list[str] = []
    for names in [(peer,) for peer in peers] + ([peers] if len(peers) > 1 else []):
        ratios = [ratio for result in results if (ratio := _ratio(result, names)) is not None]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        whose = _NAMES[names[0]] if len(names) == 1 else "the faster one"
        said.append(f"{mean:.2f} of {whose}'s time ({sum(ratio < 1 for ratio in ratios)} of {len(ratios)} faster)")
    return f"Geometric means: {', '.join(said)}."


def _times(results: list[Result], peers: tuple[str, ...], compiled: list[Result] | None = None) -> str:
    """Times and ratios; with `compiled`, runs that compiled from nothing, more of each model."""
    head = ["", "mlirage", *(_NAMES[peer] for peer in peers), "ratio"]
    head += ["of peak", "error", "dispatches", "compile s"] if compiled else ["error"]
    seconds = {result["model"]: _figure(result, "mlirage", "compile_s", 1, 1) for result in compiled or ()}
    rows: list[list[str]] = []
    for result in results:
        ratio, ours = _ratio(result, peers), result["contenders"].get("mlirage")
        row = [result["model"], *(_milliseconds(result, name) for name in ("mlirage", *peers))]
        row.append(f"{ratio:.2f}" if ratio is not None else "")
        if ours is not None and compiled:
            peak = ours["flops"] / (result["fma_flops"] * result["threads"]) / ours["median_s"]
            row += [f"{peak:.2f}", f"{ours['error']:.0e}", f"{ours['dispatches']:.0f}", seconds[result["model"]]]
        elif ours is not None:
            row.append(f"{ours['error']:.0e}")
        rows.append(row)
    return f"{table(head, rows)}\n\n{_means(results, peers)}"


def _threads(results: list[Result]) -> str:
    """Times of one thread, and how many times faster two are."""
    names = ("mlirage", *_PEERS)
    rows: list[list[str]] = []
    ratios: list[float] = []
    for result in results:
        seconds = {name: result["contenders"][name]["seconds"] for name in names if name in result["contenders"]}
        ratio = seconds["mlirage"]["1"] / min(seconds[name]["1"] for name in _PEERS if name in seconds)
        ratios.append(ratio)
        rows.append(
            [
                result["model"],
                *(f"{seconds[name]['1'] * 1e3:.3g}" if name in seconds else "fails" for name in names),
                f"{ratio:.2f}",
                *(f"{seconds[name]['1'] / seconds[name]['2']:.2f}" if name in seconds else "" for name in names),
            ]
        )
    head = ["", *(_NAMES[name] for name in names), "ratio", *(f"1 / 2, {_NAMES[name]}" for name in names)]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    faster = sum(ratio < 1 for ratio in ratios)
    said = f"One thread: {mean:.2f} of the faster one's time ({faster} of {len(ratios)} faster)."
    return f"{table(head, rows)}\n\n{said}"


def _tuned(results: list[Result]) -> str:
    """Models that tuning made a file for: with defaults, with the file, and what is between them."""
    rows: list[list[str]] = []
    gains: list[float] = []
    for result in results:
        ours, tuned = (result["contenders"].get(name) for name in ("mlirage", "mlirage_tuned"))
        if ours is None or tuned is None:
            continue
        gains.append(tuned["median_s"] / ours["median_s"])
        ratio = _ratio({"contenders": {**result["contenders"], "mlirage": tuned}}, _PEERS)
        times = [_milliseconds(result, name) for name in ("mlirage", "mlirage_tuned")]
        rows.append([result["model"], *times, f"{gains[-1]:.2f}", f"{ratio:.2f}" if ratio is not None else ""])
    mean = math.exp(sum(map(math.log, gains)) / len(gains))
    said = f"Tuned over defaults: {mean:.3f} in the geometric mean, {min(gains):.2f} to {max(gains):.2f}."
    return f"{table(['', 'defaults', 'tuned', 'tuned / defaults', 'ratio, tuned'], rows)}\n\n{said}"


def _figure(result: Result, contender: str, key: str, unit: float, digits: int) -> str:
    figures = result["contenders"].get(contender)
    if figures is None:
        return "fails"
    return f"{figures[key] / unit:.{digits}f}" if key in figures else ""


def _footprint(results: list[Result]) -> str:
    rows = [
        [
            result["model"],
            _figure(result, "mlirage", "compile_bytes", 1e6, 0),
            _figure(result, "mlirage", "module_bytes", 1e6, 1),
            *(_figure(result, name, "peak_bytes", 1e6, 0) for name in ("mlirage", *_PEERS)),
        ]
        for result in results
    ]
    return table(["", "compile MB", "module MB", "run MB", *(f"{_NAMES[peer]} MB" for peer in _PEERS)], rows)


def _iree(results: list[Result]) -> str:
    columns = (("compile_s", "compile s", 1.0, 1), ("compile_bytes", "compile MB", 1e6, 0),
               ("module_bytes", "module MB", 1e6, 1), ("peak_bytes", "run MB", 1e6, 0))  # fmt: skip
    head = [""] + [f"{said}, {_NAMES[name]}" for _, said, _, _ in columns for name in ("mlirage", "iree")]
    rows = [
        [result["model"]]
        + [_figure(result, name, key, unit, digits) for key, _, unit, digits in columns for name in ("mlirage", "iree")]
        for result in results
    ]
    return table(head, rows)


Kernel = dict[str, Any]


def _kernels(paths: str) -> dict[str, list[Kernel]]:
    """Rows of `benchmarks.kernels`, by what was measured: those that multiply and add."""
    found: dict[str, list[Kernel]] = {}
    for path in paths.split(","):
        text = json.loads(Path(path).read_text())
        found[text["what"]] = [
            {"name": row["name"], "kind": row["kind"], "count": row["count"], "flops": row["flops"]}
            | {key: _short(row[key]) for key in ("seconds", "share", "of_read") if row.get(key) is not None}
            for row in text["kernels"]
            if row["kind"] in ("contraction", "window") and not _POOLING.search(row["name"])
        ]
    return found


def _shapes(kernels: list[Kernel]) -> str:
    """Each product, and the median of those that do not wait for memory."""
    rows = [
        [
            row["name"].replace("matmul_", ""),
            f"{row['seconds'] * 1e6:.3g}",
            f"{row['flops'] / row['seconds'] / 1e9:.0f}",
            f"{row['share']:.2f}",
            f"{row['of_read']:.2f}" if "of_read" in row else "",
        ]
        for row in kernels
    ]
    shares = sorted(row["share"] for row in kernels if int(re.findall(r"\d+", row["name"])[0]) > 8)
    said = f"Median of those with more than eight rows: {statistics.median(shares):.2f} of the peak."
    return f"{table(['', 'µs', 'GFLOP/s', 'of peak', 'of read'], rows)}\n\n{said}"


def _narrow(kernels: list[Kernel]) -> str:
    """Shares of the f32 peak: a row per shape, a column per kind of factors."""
    kinds = list(dict.fromkeys(row["name"].split()[0] for row in kernels))
    shapes: dict[str, dict[str, float]] = {}
    for row in kernels:
        kind, name = row["name"].split()
        extents = re.findall(r"\d+x\d+x\d+", name)[0]
        shapes.setdefault(extents, {})[kind] = row["share"]
    rows = [[shape, *(f"{by[kind]:.2f}" if kind in by else "" for kind in kinds)] for shape, by in shapes.items()]
    return table(["", *kinds], rows)


def _model_kernels(kernels: dict[str, list[Kernel]]) -> str:
    """For each model: its direct contractions and convolutions, all, the median one, and the worst."""
    rows: list[list[str]] = []
    for model, given in kernels.items():
        measured = [row for row in given if row["flops"] > _LITTLE_WORK]
        least = sum(row["share"] * row["seconds"] * row["count"] for row in measured)
        worst = min(measured, key=lambda row: row["share"])
        rows.append(
            [
                model,
                str(sum(row["count"] for row in measured)),
                f"{least / sum(row['seconds'] * row['count'] for row in measured):.2f}",
                f"{statistics.median(row['share'] for row in measured for _ in range(row['count'])):.2f}",
                f"{worst['share']:.2f} {worst['name'].partition('$')[2]}",
            ]
        )
    return table(["", "dispatches", "all", "median", "worst"], rows)


def _parts(figures: dict[str, Any]) -> dict[str, str]:
    kernels = dict(figures["kernels"])
    return {
        "shapes": _shapes(kernels.pop("shapes")),
        "narrow": _narrow(kernels.pop("narrow")),
        "kernels": _model_kernels(kernels),
        "models": _times(figures["models"], _PEERS, figures["threads"]),
        "threads": _threads(figures["threads"]),
        "tuned": _tuned(figures["tuned"]),
        "footprint": _footprint(figures["footprint"]),
        "iree": _iree(figures["iree"]),
        "operators": _times(figures["operators"], _PEERS),
        "programs": _times(figures["programs"], ("xla",)),
    }


def main() -> int:
    """Writes the page, or compares."""
    figures = json.loads(_FIGURES.read_text()) if _FIGURES.exists() else {}
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    for part, path in given.items():
        figures[part] = _kernels(path) if part == "kernels" else _trimmed(json.loads(Path(path).read_text()))
    if given:
        _FIGURES.write_text(json.dumps(figures, indent=0) + "\n")
    return write(_PAGE, _parts(figures))


if __name__ == "__main__":
    sys.exit(main())
