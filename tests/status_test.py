"""docs/status.md is complete and its proofs exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
COUNTS = {"S": 16, "A": 9, "B": 5, "C": 10, "D": 9, "E": 4, "F": 6, "J": 5, "M": 2, "P": 3, "Q": 4, "R": 7}
_ROW = re.compile(r"^\| ([A-Z]\d+) \| ([^|]+) \|([^|]*)\|([^|]*)\|$", re.MULTILINE)


def test_every_promise_has_a_state_and_a_proof() -> None:
    """Each id once, a known state, a proof that is in the repository, and something said unless nothing is there."""
    rows = _ROW.findall((ROOT / "docs/status.md").read_text())
    assert [row[0] for row in rows] == sorted({row[0] for row in rows}, key=[row[0] for row in rows].index)
    assert {row[0] for row in rows} == {f"{group}{i}" for group, count in COUNTS.items() for i in range(1, count + 1)}
    for name, state, what, proof in rows:
        assert state in ("works", "partly", "not yet"), name
        assert not proof.strip() or (ROOT / proof.strip()).exists(), f"{name}: {proof} does not exist"
        if state != "not yet":
            assert what.strip(), f"{name} claims something without saying what"
            assert proof.strip(), f"{name} claims something without showing it"
