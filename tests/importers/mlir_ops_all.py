"""Every op of the dialects below StableHLO, TOSA and torch; what is refused is named, and never crashes."""

from __future__ import annotations

from collections.abc import Callable

from tests.importers.mlir_ops_cases import REFUSED, cases
from tests.importers.stablehlo_oracle import failures


def test_all(record_property: Callable[[str, object], None]) -> None:
    every = list(cases())
    record_property("cases", len(every))
    for name in REFUSED:
        record_property("fails", f"{name}: refused, with an error that names the operation")
    assert len({case.name for case in every}) == len(every)
    found = failures(every)
    assert {name: problem for name, problem in found.items() if name not in REFUSED} == {}
    assert set(found) == REFUSED
    assert all("these operations are not supported" in problem for problem in found.values())
