"""Every case of StableHLO's operations, a section at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.importers.stablehlo_cases import SECTIONS, cases
from tests.importers.stablehlo_oracle import failures


@pytest.mark.parametrize("section", SECTIONS)
def test_section(section: str, record_property: Callable[[str, object], None]) -> None:
    every = cases(section)
    record_property("cases", len(every))
    assert len({case.name for case in every}) == len(every)
    assert failures(every) == {}
