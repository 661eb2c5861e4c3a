"""A report as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def lines(data: dict[str, Any]) -> Iterator[str]:
    """The lines of a report."""
    for title, value in overview(data):
        yield f"{title:<22} {value}"
    if data.get("compile"):
        yield ""
        yield f"{'ms':>10}  phase"
        for row in data["compile"]["phases"]:
            yield f"{row['ms']:10.1f}  {row['name']}"
    if data.get("run"):
        yield ""
        yield from _dispatches(data["run"]["profile"]["dispatches"])


def overview(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures that come first: titles and values."""
    module, run, memory = data["module"], data.get("run"), data["memory"]
    yield "model", data["name"]
    if run:
        yield "function", run["function"]
        yield "latency (median)", f"{duration(run['median_us'])}, {run['device']}, {run['threads']} threads"
        yield "between commands", f"{duration(run['profile']['idle_us'])} of {duration(run['profile']['device_us'])}"
        flops = [row["flops"] for row in run["profile"]["dispatches"]]
        unknown = flops.count(None)
        total = sum(value or 0 for value in flops)
        known = f"{'at least ' if unknown else ''}{total * 1e-9:.3g} GFLOP a call"
        yield "arithmetic", f"{known}, {total / run['median_us'] * 1e-3:.1f} GFLOP/s"
        peaks = run["peaks"]
        yield "peaks measured", f"{peaks['gflops']:.0f} GFLOP/s, {peaks['gigabytes']:.1f} GB/s"
        yield "of the roofline", f"{100 * of_roofline(run['profile']['dispatches']):.0f}% of the time of its dispatches"
        yield "dispatches run", f"{sum(row['runs'] for row in run['profile']['dispatches'] if row['kind']):g} a call"
    yield "entry points", f"{module['entry_points']}"
    if memory:
        yield "arena", f"{size(sum(e['arena_bytes'] for e in memory))}"
        yield "largest live", f"{size(max(e['largest_live_bytes'] for e in memory))}"
    yield "constants", size(module["constants_bytes"])
    yield "executables", f"{size(module['executable_bytes'])} ({', '.join(map(_short, module['formats'])) or 'none'})"
    yield "module", size(module["bytes"])
    if data.get("compile"):
        yield "compile time", f"{data['compile']['seconds']:.2f} s"


def _short(form: str) -> str:
    """A format; of its features only how many they are."""
    name, _, features = form.partition(":")
    return f"{name} and {features.count(',') + 1} features" if features else name


def of_roofline(rows: list[dict[str, Any]]) -> float:
    """The time that the machine's peaks allow, over the time that the dispatches took."""
    known = [row for row in rows if row["roofline"] is not None]
    total = sum(row["us"] for row in known)
    return sum(row["roofline"] * row["us"] for row in known) / total if total else 0.0


def _dispatches(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'time':>11} {'share':>6} {'runs':>5} {'GFLOP/s':>8} {'GB/s':>6} {'roof':>5}  dispatch  (nodes)"
    for row in rows:
        gflops = "?" if row["gflops"] is None else f"{row['gflops']:.1f}"
        roof = "" if row["roofline"] is None else f"{100 * row['roofline']:.0f}%"
        yield (
            f"{duration(row['us']):>11} {100 * row['share']:5.1f}% {row['runs']:5g} {gflops:>8} "
            f"{row['gigabytes']:6.1f} {roof:>5}  {row['name']}  ({', '.join(row['nodes'])})"
        )


def duration(microseconds: float) -> str:
    """A time for people."""
    for limit, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= limit:
            return f"{microseconds / limit:.3g} {unit}"
    return f"{microseconds:.3g} us"


def size(count: float) -> str:
    """A number of bytes for people."""
    for limit, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count:g} bytes"
