"""Writes the tables of docs/performance.md from docs/performance.json.

`python docs/make_performance.py PART=FILE …` first takes over what `python -m benchmarks --json FILE` measured, for the
parts models, one_thread, memory, operators and programs; `--check` compares alone.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from generated_parts import table, write

_PAGE = Path(__file__).with_name("performance.md")
_FIGURES = Path(__file__).with_name("performance.json")
_KEPT = ("median_s", "compile_s", "error", "dispatches", "flops", "peak_bytes")
_NAMES = {"mlirage": "mlirage", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "iree": "IREE", "xla": "XLA"}
Result = dict[str, Any]


def _trimmed(results: list[Result]) -> list[Result]:
    return [
        {
            "model": result["model"],
            "threads": result["threads"],
            "fma_flops": float(f"{result['peaks']['fma_flops']:.3e}"),
            "contenders": {
                name: {key: float(f"{figures[key]:.3g}") for key in _KEPT if key in figures}
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


def _times(results: list[Result], peers: tuple[str, ...], *, detailed: bool) -> str:
    head = ["", "mlirage", *(_NAMES[peer] for peer in peers), "ratio"]
    head += ["of peak", "error", "dispatches", "compile s"] if detailed else ["error"]
    rows: list[list[str]] = []
    for result in results:
        ratio, ours = _ratio(result, peers), result["contenders"].get("mlirage")
        row = [result["model"], *(_milliseconds(result, name) for name in ("mlirage", *peers))]
        row.append(f"{ratio:.2f}" if ratio is not None else "")
        if ours is not None:
            peak = ours["flops"] / (result["fma_flops"] * result["threads"]) / ours["median_s"]
            error = f"{ours['error']:.0e}"
            row += (
                [f"{peak:.2f}", error, f"{ours['dispatches']:.0f}", f"{ours['compile_s']:.1f}"] if detailed else [error]
            )
        rows.append(row)
    return f"{table(head, rows)}\n\n{_means(results, peers)}"


def _threads(one: list[Result], two: list[Result]) -> str:
    """The time of one thread over that of two."""
    pairs = {result["model"]: result for result in two}
    rows: list[list[str]] = []
    for result in one:
        other = pairs[result["model"]]
        row = [result["model"]]
        for name in ("mlirage", "onnxruntime", "openvino"):
            both = name in result["contenders"] and name in other["contenders"]
            speedup = result["contenders"][name]["median_s"] / other["contenders"][name]["median_s"] if both else None
            row.append(f"{speedup:.2f}" if speedup is not None else "")
        rows.append([row[0], _milliseconds(result, "mlirage"), *row[1:]])
    return table(["", "1 thread, ms", "mlirage", "ONNX Runtime", "OpenVINO"], rows)


def _memory(results: list[Result]) -> str:
    rows = [
        [
            result["model"],
            *(
                f"{result['contenders'][name]['peak_bytes'] / 1e6:.0f}" if name in result["contenders"] else "fails"
                for name in ("mlirage", "onnxruntime", "openvino")
            ),
        ]
        for result in results
    ]
    return table(["", "mlirage", "ONNX Runtime", "OpenVINO"], rows)


def _parts(figures: dict[str, list[Result]]) -> dict[str, str]:
    made = {
        "models": _times(figures["models"], ("onnxruntime", "openvino"), detailed=True),
        "operators": _times(figures["operators"], ("onnxruntime", "openvino"), detailed=False),
        "programs": _times(figures["programs"], ("xla",), detailed=False),
    }
    if "one_thread" in figures:
        made["threads"] = _threads(figures["one_thread"], figures["models"])
    if "memory" in figures:
        made["memory"] = _memory(figures["memory"])
    return made


def main() -> int:
    """Writes the page, or compares."""
    figures = json.loads(_FIGURES.read_text()) if _FIGURES.exists() else {}
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    for part, path in given.items():
        figures[part] = _trimmed(json.loads(Path(path).read_text()))
    if given:
        _FIGURES.write_text(json.dumps(figures, indent=0) + "\n")
    return write(_PAGE, _parts(figures))


if __name__ == "__main__":
    sys.exit(main())
