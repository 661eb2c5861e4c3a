"""Every case of CHLO's operations."""

from __future__ import annotations

from collections.abc import Callable

from tests.importers.chlo_cases import cases
from tests.importers.stablehlo_oracle import failures


def test_all(record_property: Callable[[str, object], None]) -> None:
    every = list(cases())
    record_property("cases", len(every))
    assert failures(every) == {}
