"""Every case of StableHLO's operations, a section at a time; those known to fail must."""

from __future__ import annotations

import pytest

from tests.importers.stablehlo_cases import EXPECTED_FAILURES, SECTIONS, cases
from tests.importers.stablehlo_oracle import failures


@pytest.mark.parametrize("section", SECTIONS)
def test_section(section: str) -> None:
    every = cases(section)
    found = failures(every)
    expected = {case.name for case in every if EXPECTED_FAILURES.fullmatch(case.name)}
    assert {name: found[name] for name in found if name not in expected} == {}
    assert sorted(expected - set(found)) == [], "these pass now"
