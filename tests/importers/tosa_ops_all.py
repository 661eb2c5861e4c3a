"""Every case of TOSA's operators, a chapter at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.importers.stablehlo_oracle import failures
from tests.importers.tosa_cases import SECTIONS, cases

EXPECTED_FAILURES = {"tile:f32:dynamic": "all extents are open: upstream reshapes to several open ones"}


@pytest.mark.parametrize("section", SECTIONS)
def test_section(section: str, record_property: Callable[[str, object], None]) -> None:
    every = cases(section)
    record_property("cases", len(every))
    expected = EXPECTED_FAILURES.keys() & {case.name for case in every}
    for name in expected:
        record_property("fails", f"{name}: {EXPECTED_FAILURES[name]}")
    assert set(failures(every)) == expected
