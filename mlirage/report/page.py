"""A report as one HTML page that needs nothing else: pictures inline, light and dark, a table that can be searched."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from mlirage.report import charts
from mlirage.report.text import duration, overview, size

_FOLDER = Path(__file__).parent


def render(data: dict[str, Any]) -> str:
    """The page of a report (`collect`)."""
    run, facts = data.get("run"), data["module"]["dispatches"]
    labels = {name: _label(fact["nodes"]) for name, fact in facts.items() if fact["nodes"]}
    kinds = {name: fact["kind"] for name, fact in facts.items()}
    sections = [_overview(data)]
    if run:
        rows = run["profile"]["dispatches"]
        stretch = '<label class="note">stretch <input type="range" id="stretch" min="1" max="40" value="1"></label>'
        line = f'<div class="scroll">{charts.timeline(run, kinds, labels)}</div>'
        sections.append(_section("Timeline of a call", stretch + charts.legend(kinds.values()) + line))
        sections.append(_section("Dispatches", _table(rows)))
        if any(row["flops"] and row["bytes"] for row in rows):
            note = '<p class="note">A disk for each dispatch, as large as its share of the time.</p>'
            sections.append(_section("Roofline", note + charts.roofline(run, labels)))
    else:
        sections.append(_section("Entry points", _entries(facts)))
    times = dict(charts.command_times(run)) if run else {}
    for number, execution in enumerate(data["memory"]):
        which = f" of command buffer {number}" if len(data["memory"]) > 1 else ""
        note = f'<p class="note">{escape(_arena_note(execution))}</p>'
        sections.append(_section(f"Memory plan{which}", note + charts.arena(execution, kinds, labels)))
        own = {command: time for (of, command), time in times.items() if of == number}
        drawing = f'<div class="scroll tall">{charts.graph(execution, own, labels)}</div>'
        sections.append(_section(f"Graph{which}", drawing, is_open=len(execution["commands"]) <= 200))
    if data.get("compile"):
        sections.append(_section("Compile time", charts.phases(data["compile"]["phases"])))
    if data.get("scalar_loops") is not None:
        sections.append(_section("Loops without vectors", _scalar_loops(data["scalar_loops"])))
    style, script = (_FOLDER / "page.css").read_text(), (_FOLDER / "page.js").read_text()
    title = escape(f"{data['name']} — mlirage report")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head>\n<body><main>'
        f"<h1>{escape(data['name'])}</h1>{''.join(sections)}</main><script>{script}</script></body></html>\n"
    )


def _label(nodes: list[str]) -> str:
    """The first two nodes; the others are in the table."""
    more = f" +{len(nodes) - 2}" if len(nodes) > 2 else ""
    return ", ".join(nodes[:2]) + more


def _section(title: str, body: str, is_open: bool = True) -> str:
    opened = ' open=""' if is_open else ""
    return f"<details{opened}><summary>{escape(title)}</summary>{body}</details>\n"


def _overview(data: dict[str, Any]) -> str:
    items = (f"<div><dt>{escape(title)}</dt><dd>{escape(value)}</dd></div>" for title, value in overview(data))
    return f'<dl class="figures">{"".join(items)}</dl>'


def _table(rows: list[dict[str, Any]]) -> str:
    """The dispatches; the page's script sorts by the `data-v` of cells."""
    heads = (
        "time",
        "share",
        "runs",
        "GFLOP/s",
        "GB/s",
        "of roofline",
        "threads",
        "workgroups",
        "kind",
        "nodes",
        "name",
    )
    head = "".join(f'<th scope="col" tabindex="0">{text}</th>' for text in heads)
    body = "".join(_row(row) for row in rows)
    search = '<input type="search" id="search" placeholder="search nodes, names, kinds" aria-label="search">'
    table = f'<table id="dispatches"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'{search}<div class="scroll tall">{table}</div>'


def _row(row: dict[str, Any]) -> str:
    roof = row["roofline"]
    threads = row["busy_us"] / row["us"] if row["us"] else 0.0
    bar = "" if roof is None else f'<span class="bar"><i style="width:{min(100.0, 100 * roof):.0f}%"></i></span>'
    grid = "x".join(map(str, row["grid"])).removesuffix("x1x1")
    cells = [
        (row["us"], duration(row["us"])),
        (row["share"], f"{100 * row['share']:.1f}%"),
        (row["runs"], f"{row['runs']:g}"),
        (row["gflops"] or 0, "?" if row["gflops"] is None else f"{row['gflops']:.1f}"),
        (row["gigabytes"], f"{row['gigabytes']:.1f}"),
        (roof or 0, "" if roof is None else f"{100 * roof:.0f}% {bar}"),
        (threads, f"{threads:.2f}"),
        (row["grid"][0] * row["grid"][1] * row["grid"][2], grid),
    ]
    numbers = "".join(f'<td class="n" data-v="{value}">{text}</td>' for value, text in cells)
    kind = f'<td class="kind"><i class="dot {charts.kind_class(row["kind"])}"></i>{escape(row["kind"])}</td>'
    nodes = escape(", ".join(row["nodes"]))
    name = escape(row["name"])
    return f'<tr data-name="{name}">{numbers}{kind}<td class="nodes">{nodes}</td><td class="name">{name}</td></tr>'


def _entries(facts: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(fact['kind'])}</td><td>{escape(str(fact['flops']))}</td>"
        f"<td>{escape(str(fact['bytes']))}</td><td>{escape(', '.join(fact['nodes']))}</td></tr>"
        for name, fact in facts.items()
    )
    head = "".join(f"<th>{text}</th>" for text in ("name", "kind", "operations", "bytes", "nodes"))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _arena_note(execution: dict[str, Any]) -> str:
    parts = [f"{kind} {size(count)}" for kind, count in execution["bytes"].items()]
    live = size(execution["largest_live_bytes"])
    text = f"Resources: {', '.join(parts) or 'none'}. Largest sum of what is live: {live}."
    return text if execution["complete"] else f"{text} Some sizes depend on data and are not counted."


def _scalar_loops(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return '<p class="note">Every hot loop computes on vectors.</p>'
    items = "".join(f"<li>{escape(', '.join(row['nodes']))}: {escape(row['text'])}</li>" for row in rows)
    return f"<ul>{items}</ul>"
