"""Every op of the dialects below StableHLO, TOSA and torch; what is refused is named, and never crashes."""

from __future__ import annotations

from tests.importers.mlir_ops_cases import REFUSED, cases
from tests.importers.stablehlo_oracle import failures


def test_all() -> None:
    every = list(cases())
    assert len({case.name for case in every}) == len(every)
    found = failures(every)
    assert {name: problem for name, problem in found.items() if name not in REFUSED} == {}
    assert set(found) == REFUSED
    assert all("these operations are not supported" in problem for problem in found.values())
