"""Events by dispatch: times, shares, operations and bytes; timelines."""

from __future__ import annotations

import json

from mlirage.polynomial import Polynomial
from mlirage.profiling import chrome_trace, summarize
from mlirage.profiling.summary import evaluate
from mlirage.runtime import Event

FACTS = {
    "main$0": {"nodes": ["/conv", "/relu"], "flops": 2000, "bytes": 300, "kind": "contraction"},
    "main$1": {"nodes": [], "flops": [[2, 0, 2], [5]], "bytes": None, "kind": "loops"},
}


def _event(name: str, execution: int, command: int, worker: int, began: int, ended: int, **fields: object) -> Event:
    values = {
        "name": name, "kind": "dispatch", "execution": execution, "command": command, "worker": worker,
        "start_ns": began, "end_ns": ended, "first": 0, "end": 1, "units": 1, "bytes": 64, "grid": (1, 1, 1),
        "constants": (),
    }  # fmt: skip
    return Event(**(values | fields))  # type: ignore[arg-type]


EVENTS = [
    _event("main$0", 0, 0, 0, 100, 200, first=0, end=2, units=4, grid=(4, 1, 1)),
    _event("main$0", 0, 0, 1, 120, 250, first=2, end=4, units=4, grid=(4, 1, 1)),
    _event("main$1", 0, 1, 0, 260, 300, constants=(3, 0, 7, 0)),
    _event("", 0, 2, 0, 300, 310, kind="copy", bytes=50),
    _event("", 0, 0, 0, 90, 400, kind="execute", end=3, units=3),
]


def test_rows() -> None:
    summary = summarize(EVENTS, FACTS)
    assert [row.name for row in summary.rows] == ["main$0", "main$1", "copy"]
    conv, other, copy = summary.rows
    assert (conv.runs, conv.nodes, conv.threads, conv.grid) == (1, ("/conv", "/relu"), 2, (4, 1, 1))
    assert abs(conv.seconds - 150e-9) < 1e-15
    assert abs(conv.busy_seconds - 230e-9) < 1e-15
    assert conv.flops == 2000
    assert conv.bytes == 300
    assert abs((conv.gflops or 0) - 2000 / 150) < 1e-9
    assert other.flops == 2 * 3 * 7 + 5
    assert other.bytes == 64  # what was bound, for nothing better is known
    assert copy.bytes == 100  # read and written
    assert abs(summary.seconds - 310e-9) < 1e-15
    assert abs(summary.idle_seconds - (310 - 150 - 40 - 10) * 1e-9) < 1e-15
    row = json.loads(json.dumps(summary.to_json(2)))["dispatches"][0]
    assert abs(row["us"] - 0.075) < 1e-12
    assert row["runs"] == 0.5


def test_what_is_not_known_stays_so() -> None:
    assert evaluate(None, ()) is None
    assert evaluate([[2, 0]], (5,)) is None  # the constants end before the second word
    assert evaluate([[2, 0]], (5, 1)) == 2 * (5 + (1 << 32))
    (row,) = summarize([_event("main$1", 0, 0, 0, 0, 10)], FACTS).rows
    assert row.flops is None
    assert row.gflops is None


def test_trace() -> None:
    late = [_event("", 1, 0, 0, 300, 500, kind="execute"), _event("main$0", 1, 0, 0, 310, 320)]
    trace = json.loads(json.dumps(chrome_trace([*EVENTS, *late], FACTS, [(80, 410)])))
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    names = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert slices[0]["name"] == "call"
    assert slices[0]["ts"] == 0
    assert [s["name"] for s in slices if names[s["tid"]] == "thread 1"] == ["/conv …"]
    # Another thread called while the first execution ran.
    assert [s["name"] for s in slices if names[s["tid"]] == "caller 1"] == ["command buffer", "/conv …"]
    conv = next(s for s in slices if s["name"] == "/conv …")
    assert conv["args"]["workgroups"] == "0 to 2 of 4"
    assert conv["args"]["gflops"] == 10.0
    assert abs(conv["dur"] - 0.1) < 1e-9


def test_polynomials() -> None:
    x, y, one = Polynomial.variable(0), Polynomial.variable(2), Polynomial.constant(1)
    assert ((x + one) * (y + one) * 3).encode() == [[3], [3, 0], [3, 0, 2], [3, 2]]
    assert (x * y * x).encode() == [[1, 0, 0, 2]]
    assert (x * Polynomial.constant(0)).encode() == 0
    assert Polynomial().encode() == 0
    assert (x + x * -1).encode() == 0
