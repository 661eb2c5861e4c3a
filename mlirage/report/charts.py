"""The pictures of a report, as SVG: timeline, roofline, arena, phases. Colors are classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mlirage.report.text import duration, size

_WIDTH = 1100
_ROW = 26
_KINDS = (
    "contraction", "window", "loops", "special", "default", "winograd", "attention", "rows", "fourier", "planes",
)  # fmt: skip


def kind_class(kind: str) -> str:
    """The class of a schedule's color."""
    return f"k{_KINDS.index(kind)}" if kind in _KINDS else "k10"


def legend(kinds: Iterable[str]) -> str:
    """What the colors mean, of those that occur."""
    shown = [kind for kind in _KINDS if kind in set(kinds)]
    items = [f'<span class="key"><i class="{kind_class(kind)}"></i>{kind}</span>' for kind in (*shown, "fill, copy")]
    return f'<p class="legend">{"".join(items)}</p>'


def timeline(run: Mapping[str, Any], kinds: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """One row for each thread, idle ones too; positions are in per cent, so that the page can stretch it."""
    line = run["timeline"]
    threads = sorted({event["thread"] for event in line["events"]} | set(range(run["threads"])))
    rows = {thread: number for number, thread in enumerate(threads)}
    height = _ROW * len(threads) + 22
    parts = [f'<svg id="timeline" width="100%" height="{height}" role="img" aria-label="timeline">']
    for thread, row in rows.items():
        parts.append(f'<rect class="lane" x="0" y="{row * _ROW + 1}" width="100%" height="{_ROW - 2}"/>')
        del thread
    for event in line["events"]:
        if event["kind"] == "execute":
            continue
        left, wide = 100 * event["start_us"] / line["us"], 100 * event["us"] / line["us"]
        first, end, units = event["workgroups"]
        title = f"{labels.get(event['name'], event['name'])}\n{event['name']}\n{duration(event['us'])} from "
        title += f"{duration(event['start_us'])}, workgroups {first} to {end} of {units}, thread {event['thread']}"
        parts.append(
            f'<rect class="{kind_class(kinds.get(event["name"], ""))} part" x="{left:.3f}%" '
            f'y="{rows[event["thread"]] * _ROW + 3}" width="{max(wide, 0.02):.3f}%" height="{_ROW - 6}" '
            f'data-name="{escape(event["name"])}"><title>{escape(title)}</title></rect>'
        )
    for thread, row in rows.items():
        parts.append(f'<text class="small" x="4" y="{row * _ROW + 17}">thread {thread}</text>')
    for tick in range(11):
        anchor = "end" if tick == 10 else "start" if tick == 0 else "middle"
        text = duration(line["us"] * tick / 10)
        parts.append(f'<text class="small" x="{10 * tick}%" y="{height - 5}" text-anchor="{anchor}">{text}</text>')
    return "".join([*parts, "</svg>"])


def roofline(run: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Operations per second over operations per byte, both logarithmic, under what the machine can do."""
    height, left, bottom = 420, 60, 380
    peaks = run["peaks"]
    rows = [row for row in run["profile"]["dispatches"] if row["flops"] and row["bytes"] and row["gflops"]]
    intensities = [row["flops"] / row["bytes"] for row in rows] + [peaks["gflops"] / peaks["gigabytes"]]
    speeds = [row["gflops"] for row in rows] + [peaks["gflops"]]
    x0, x1 = math.floor(math.log10(min(intensities))), math.ceil(math.log10(max(intensities)) + 0.1)
    y0, y1 = math.floor(math.log10(max(min(speeds), 1e-3))), math.ceil(math.log10(max(speeds)) + 0.05)

    def x(intensity: float) -> float:
        return left + (math.log10(intensity) - x0) / (x1 - x0) * (_WIDTH - left - 20)

    def y(speed: float) -> float:
        return bottom - (math.log10(max(speed, 10.0**y0)) - y0) / (y1 - y0) * (bottom - 20)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="roofline">']
    for power in range(x0, x1 + 1):
        at = x(10.0**power)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="20" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="small" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{10.0**power:g}</text>')
    for power in range(y0, y1 + 1):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{_WIDTH - 20}" y2="{at:.1f}"/>')
        parts.append(f'<text class="small" x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    ridge = peaks["gflops"] / peaks["gigabytes"]
    start = max(10.0**x0, 10.0**y0 / peaks["gigabytes"])
    points = [(start, start * peaks["gigabytes"]), (ridge, peaks["gflops"]), (10.0**x1, peaks["gflops"])]
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    parts.append(f'<polyline class="roof" points="{path}"/>')
    roof = f"{peaks['gflops']:.0f} GFLOP/s, {peaks['gigabytes']:.1f} GB/s ({peaks['threads']} threads)"
    parts.append(
        f'<text class="small" x="{_WIDTH - 24}" y="{y(peaks["gflops"]) - 6:.1f}" text-anchor="end">{roof}</text>'
    )
    for row in sorted(rows, key=lambda row: -row["share"]):
        radius = 3 + 26 * math.sqrt(row["share"])
        title = f"{labels.get(row['name'], row['name'])}\n{row['name']}\n{row['gflops']:.1f} GFLOP/s, "
        title += f"{row['flops'] / row['bytes']:.2f} FLOP/byte, {100 * row['roofline']:.0f}% of the roofline, "
        title += f"{100 * row['share']:.1f}% of the time"
        parts.append(
            f'<circle class="{kind_class(row["kind"])} part" cx="{x(row["flops"] / row["bytes"]):.1f}" '
            f'cy="{y(row["gflops"]):.1f}" r="{radius:.1f}" data-name="{escape(row["name"])}">'
            f"<title>{escape(title)}</title></circle>"
        )
    parts.append(f'<text class="small" x="{_WIDTH / 2}" y="{height - 6}" text-anchor="middle">FLOP per byte</text>')
    parts.append(
        '<text class="small" x="14" y="200" transform="rotate(-90 14 200)" text-anchor="middle">GFLOP/s</text>'
    )
    return "".join([*parts, "</svg>"])


def arena(execution: Mapping[str, Any], kinds: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Transient memory: commands from left to right, addresses from the bottom up."""
    count, total = len(execution["commands"]), execution["arena_bytes"]
    if not total or not execution["slices"]:
        return '<p class="note">No transient memory, or its size depends on data.</p>'
    height, left, bottom = 340, 80, 310
    step = (_WIDTH - left - 10) / count
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="arena">']
    for quarter in range(5):
        at = bottom - quarter / 4 * (bottom - 10)
        parts.append(f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{_WIDTH - 10}" y2="{at:.1f}"/>')
        label = size(total * quarter / 4)
        parts.append(f'<text class="small" x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    for one in execution["slices"]:
        wide = (one["last"] - one["first"] + 1) * step
        tall = max(0.5, one["length"] / total * (bottom - 10))
        top = bottom - one["offset"] / total * (bottom - 10) - tall
        title = f"{size(one['length'])} at {one['offset']:,}, commands {one['first']} to {one['last']}\nmade by "
        title += f"{labels.get(one['writer'], one['writer'])}\n{one['writer']}"
        parts.append(
            f'<rect class="{kind_class(kinds.get(one["writer"], ""))} part slice" '
            f'x="{left + one["first"] * step:.1f}" y="{top:.1f}" width="{max(wide - 0.5, 0.5):.1f}" '
            f'height="{tall:.1f}" data-name="{escape(one["writer"])}"><title>{escape(title)}</title></rect>'
        )
    for number in range(0, count, max(1, count // 20)):
        at = left + (number + 0.5) * step
        parts.append(f'<text class="small" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{number}</text>')
    parts.append(f'<text class="small" x="{_WIDTH / 2}" y="{height - 1}" text-anchor="middle">command</text>')
    return "".join([*parts, "</svg>"])


def phases(rows: Sequence[Mapping[str, Any]]) -> str:
    """Bars of the times of phases."""
    longest = max((row["ms"] for row in rows), default=0) or 1
    parts = [f'<svg viewBox="0 0 {_WIDTH} {22 * len(rows) + 4}" role="img" aria-label="phases">']
    for number, row in enumerate(rows):
        top = 22 * number
        wide = 700 * row["ms"] / longest
        parts.append(f'<text class="small" x="190" y="{top + 15}" text-anchor="end">{escape(row["name"])}</text>')
        parts.append(f'<rect class="k0" x="200" y="{top + 3}" width="{max(wide, 1):.1f}" height="16"/>')
        parts.append(f'<text class="small" x="{206 + wide:.1f}" y="{top + 15}">{duration(row["ms"] * 1e3)}</text>')
    return "".join([*parts, "</svg>"])


def graph(execution: Mapping[str, Any], times: Mapping[int, float], labels: Mapping[str, str]) -> str:
    """Commands from top to bottom, each below those it reads from; shaded by the time that it takes."""
    count = len(execution["commands"])
    ranks, places = _layers(count, execution["edges"])
    columns = max(places, default=0) + 1
    wide, tall, gap = 230, 34, 20
    width, height = columns * (wide + gap) + gap, (max(ranks, default=0) + 1) * (tall + gap) + gap
    longest = max(times.values(), default=0) or 1
    parts = [f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="graph">']

    def corner(number: int) -> tuple[float, float]:
        return gap + places[number] * (wide + gap), gap + ranks[number] * (tall + gap)

    for source, target in execution["edges"]:
        (a, b), (c, d) = corner(source), corner(target)
        start, end = (a + wide / 2, b + tall), (c + wide / 2, d)
        bend = max(12.0, (end[1] - start[1]) / 2)
        side = 0 if ranks[target] == ranks[source] + 1 else wide * 0.62
        parts.append(
            f'<path class="edge" d="M{start[0]:.0f},{start[1]:.0f} C{start[0] + side:.0f},{start[1] + bend:.0f} '
            f'{end[0] + side:.0f},{end[1] - bend:.0f} {end[0]:.0f},{end[1]:.0f}"/>'
        )
    for number, command in enumerate(execution["commands"]):
        left, top = corner(number)
        name, taken = command["name"], times.get(number)
        label = labels.get(name, name)
        short = label if len(label) <= 30 else f"{label[:29]}…"
        share = 0.08 + 0.8 * (taken or 0) / longest
        spent = duration(taken) if taken is not None else ""
        title = f"command {number}: {label}\n{name}\n{spent}"
        box = f'x="{left}" y="{top}" width="{wide}" height="{tall}" rx="5"'
        parts.append(
            f'<g class="part" data-name="{escape(name)}"><title>{escape(title)}</title>'
            f'<rect class="node" {box}/><rect class="heat" style="opacity:{share:.2f}" {box}/>'
            f'<text class="small" x="{left + 8}" y="{top + 15}">{escape(short)}</text>'
            f'<text class="tiny" x="{left + 8}" y="{top + 28}">{spent}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def _layers(count: int, edges: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """For each command its row, below all that it reads from, and its place in the row."""
    before: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        before[target].append(source)
    ranks: list[int] = []
    for number in range(count):
        ranks.append(max((ranks[source] + 1 for source in before[number]), default=0))
    taken: dict[int, int] = {}
    places = [0] * count
    for number in sorted(range(count), key=lambda n: (ranks[n], _wish(before[n], places), n)):
        places[number] = taken.get(ranks[number], 0)
        taken[ranks[number]] = places[number] + 1
    return ranks, places


def _wish(sources: Sequence[int], places: Sequence[int]) -> float:
    return sum(places[source] for source in sources) / len(sources) if sources else 0.0


def command_times(run: Mapping[str, Any]) -> Iterator[tuple[tuple[int, int], float]]:
    """The time of each command of the call in the timeline: ((execution, command), microseconds)."""
    spans: dict[tuple[int, int], tuple[float, float]] = {}
    for event in run["timeline"]["events"]:
        if event["kind"] != "execute":
            key = event["execution"], event["command"]
            start, end = spans.get(key, (math.inf, 0.0))
            spans[key] = min(start, event["start_us"]), max(end, event["start_us"] + event["us"])
    return ((key, end - start) for key, (start, end) in spans.items())
