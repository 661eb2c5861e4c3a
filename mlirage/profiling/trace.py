"""A profile as a timeline in the trace event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

One row for each thread of the device. What the calling thread runs lies inside of a slice for the command buffer; where
several threads call at the same time, each has a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mlirage.profiling.summary import Facts, evaluate
from mlirage.runtime.profiling import Event

_CALLS, _CALLERS = 9000, 1000  # numbers of rows beside those of workers


def chrome_trace(events: Iterable[Event], facts: Facts, calls: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """The trace as an object to be written as JSON.

    Args:
      events: of a profile.
      facts: what the module file tells of its dispatches.
      calls: start and end in nanoseconds of calls of the function, for a row of their own.
    """
    found = list(events)
    origin = min([start for start, _ in calls] + [event.start_ns for event in found], default=0)
    rows = _rows_of_callers(found)
    slices = [_slice("call", start, end, origin, _CALLS, {"call": number}) for number, (start, end) in enumerate(calls)]
    for event in found:
        row = rows.get(event.execution, 0) if event.worker == 0 else event.worker
        slices.append(_slice(_title(event, facts), event.start_ns, event.end_ns, origin, row, _arguments(event, facts)))
    names = {_CALLS: "calls", 0: "thread 0 (caller)"} | {
        row: f"thread {row}" for row in {e.worker for e in found} - {0}
    }
    names |= {row: f"caller {row - _CALLERS}" for row in set(rows.values()) - {0}}
    order = {_CALLS: -1}
    about: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "mlirage"}}]
    for row in sorted({item["tid"] for item in slices}):
        about.append({"ph": "M", "pid": 1, "tid": row, "name": "thread_name", "args": {"name": names[row]}})
        index = order.get(row, row)
        about.append({"ph": "M", "pid": 1, "tid": row, "name": "thread_sort_index", "args": {"sort_index": index}})
    return {"displayTimeUnit": "ns", "traceEvents": about + sorted(slices, key=lambda item: (item["ts"], -item["dur"]))}


def _rows_of_callers(events: list[Event]) -> dict[int, int]:
    """The row of the calling thread of each execution: 0, or another for those that overlap."""
    rows: dict[int, int] = {}
    ends: list[int] = []
    for event in sorted((e for e in events if e.kind == "execute"), key=lambda e: e.start_ns):
        lane = next((i for i, end in enumerate(ends) if end <= event.start_ns), len(ends))
        ends[lane : lane + 1] = [event.end_ns]
        rows[event.execution] = _CALLERS + lane if lane else 0
    return rows


def _slice(name: str, start: int, end: int, origin: int, row: int, arguments: dict[str, Any]) -> dict[str, Any]:
    microseconds = {"ts": (start - origin) / 1e3, "dur": (end - start) / 1e3}
    return {"ph": "X", "pid": 1, "tid": row, "name": name, **microseconds, "args": arguments}


def _title(event: Event, facts: Facts) -> str:
    nodes = facts.get(event.name, {}).get("nodes", ())
    if event.kind == "execute":
        return "command buffer"
    return f"{nodes[0]}{' …' if len(nodes) > 1 else ''}" if nodes else event.name or event.kind


def _arguments(event: Event, facts: Facts) -> dict[str, Any]:
    known = facts.get(event.name, {})
    arguments: dict[str, Any] = {"execution": event.execution}
    if event.kind == "execute":
        return arguments | {"commands": event.units}
    arguments |= {"command": event.command, "bytes bound": event.bytes}
    if event.kind != "dispatch":
        return arguments
    grid = " x ".join(map(str, event.grid))
    arguments |= {"dispatch": event.name, "grid": grid, "workgroups": f"{event.first} to {event.end} of {event.units}"}
    if known.get("nodes"):
        arguments["nodes"] = ", ".join(known["nodes"])
    flops = evaluate(known.get("flops"), event.constants)
    if flops:
        arguments["flops"] = flops
        # Of this part: workgroups are nearly alike.
        seconds = (event.end_ns - event.start_ns) * 1e-9
        if seconds > 0 and event.units:
            arguments["gflops"] = round(flops * (event.end - event.first) / event.units / seconds * 1e-9, 1)
    return arguments
