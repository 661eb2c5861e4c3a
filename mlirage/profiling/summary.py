"""Events of a profile by dispatch: time, share, floating-point operations, bytes.

The time of a run of a dispatch is that from its first workgroup's start to its last one's end, on all threads. What
it computes and reads is told by the compiler (`facts`, of the module file); where that depends on dynamic extents,
they are among the dispatch's constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlirage.runtime.profiling import Event

Facts = Mapping[str, Mapping[str, Any]]


@dataclass
class Row:
    """Everything that a profile saw of one dispatch, or of all fills, copies or updates.

    Attributes:
      name: of the entry point, or the kind of command.
      nodes: of the model; empty if they are not known.
      kind: of the schedule, "" if there is none.
      runs: how often it ran.
      seconds: of all runs, from the first thread's start to the last one's end.
      busy_seconds: of all runs, summed over threads.
      flops: of all runs; None if that is not known.
      bytes: read and written by all runs, at least.
      grid: workgroups of the largest run.
      threads: how many worked on it at most.
    """

    name: str
    nodes: tuple[str, ...] = ()
    kind: str = ""
    runs: int = 0
    seconds: float = 0.0
    busy_seconds: float = 0.0
    flops: int | None = 0
    bytes: int = 0
    grid: tuple[int, int, int] = (0, 0, 0)
    threads: int = 0

    @property
    def gflops(self) -> float | None:
        """Billions of operations per second."""
        return None if self.flops is None or not self.seconds else self.flops / self.seconds * 1e-9

    @property
    def gigabytes(self) -> float:
        """Billions of bytes per second."""
        return self.bytes / self.seconds * 1e-9 if self.seconds else 0.0


@dataclass
class Summary:
    """A profile, by dispatch.

    Attributes:
      rows: those that took longest first.
      seconds: of executions of command buffers.
      idle_seconds: of these, those in which no thread ran a command.
      executions: how many there were.
      dropped: events that were lost: then times are too small.
    """

    rows: list[Row] = field(default_factory=list[Row])
    seconds: float = 0.0
    idle_seconds: float = 0.0
    executions: int = 0
    dropped: int = 0

    def to_json(self, calls: int) -> dict[str, Any]:
        """Plain data; times and counts of rows are per call of the function that was profiled."""
        return {
            "calls": calls,
            "executions": self.executions,
            "device_us": self.seconds / calls * 1e6,
            "idle_us": self.idle_seconds / calls * 1e6,
            "dropped": self.dropped,
            "dispatches": [
                {
                    "name": row.name,
                    "nodes": list(row.nodes),
                    "kind": row.kind,
                    "runs": row.runs / calls,
                    "us": row.seconds / calls * 1e6,
                    "busy_us": row.busy_seconds / calls * 1e6,
                    "share": row.seconds / self.seconds if self.seconds else 0.0,
                    "flops": None if row.flops is None else row.flops / calls,
                    "bytes": row.bytes / calls,
                    "gflops": row.gflops,
                    "gigabytes": row.gigabytes,
                    "grid": list(row.grid),
                    "threads": row.threads,
                }
                for row in self.rows
            ],
        }


def evaluate(amount: Any, constants: Sequence[int]) -> int | None:
    """A number of the facts for the constants of one run; None if it is not known."""
    if not isinstance(amount, list):
        return None if amount is None else int(amount)
    total = 0
    for factor, *words in amount:
        for word in words:
            if word + 1 >= len(constants):
                return None
            factor *= constants[word] | constants[word + 1] << 32
        total += factor
    return total


def summarize(events: Iterable[Event], facts: Facts, dropped: int = 0) -> Summary:
    """Sums events up by dispatch."""
    runs: dict[tuple[int, int], list[Event]] = {}
    summary = Summary(dropped=dropped)
    executions: dict[int, Event] = {}
    for event in events:
        if event.kind == "execute":
            executions[event.execution] = event
        else:
            runs.setdefault((event.execution, event.command), []).append(event)
    rows: dict[str, Row] = {}
    spans: dict[int, list[tuple[int, int]]] = {}
    for (execution, _), parts in runs.items():
        _add_run(rows, parts, facts)
        spans.setdefault(execution, []).extend((part.start_ns, part.end_ns) for part in parts)
    for number, execution in executions.items():
        summary.executions += 1
        summary.seconds += (execution.end_ns - execution.start_ns) * 1e-9
        idle = execution.end_ns - execution.start_ns - _covered(spans.get(number, []))
        summary.idle_seconds += max(0, idle) * 1e-9
    summary.rows = sorted(rows.values(), key=lambda row: -row.seconds)
    return summary


def _add_run(rows: dict[str, Row], parts: list[Event], facts: Facts) -> None:
    """Adds one run of a command, which several threads may have shared."""
    first = parts[0]
    name = first.name or first.kind
    known = facts.get(name, {})
    row = rows.setdefault(name, Row(name, tuple(known.get("nodes", ())), known.get("kind", "")))
    row.runs += 1
    row.seconds += (max(part.end_ns for part in parts) - min(part.start_ns for part in parts)) * 1e-9
    row.busy_seconds += sum(part.end_ns - part.start_ns for part in parts) * 1e-9
    flops = evaluate(known.get("flops"), first.constants) if first.name else 0
    row.flops = None if row.flops is None or flops is None else row.flops + flops
    traffic = evaluate(known.get("bytes"), first.constants)
    row.bytes += first.bytes * (2 if first.kind == "copy" else 1) if traffic is None else traffic
    row.grid = max(row.grid, first.grid)
    row.threads = max(row.threads, len({part.worker for part in parts}))


def _covered(spans: list[tuple[int, int]]) -> int:
    """The length of the union of intervals."""
    total, reached = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
