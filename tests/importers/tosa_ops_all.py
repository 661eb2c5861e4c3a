"""Every case of TOSA's operators, a chapter at a time."""

from __future__ import annotations

import pytest

from tests.importers.stablehlo_oracle import failures
from tests.importers.tosa_cases import SECTIONS, cases

# Repeats of a tensor of which nothing is known: upstream reshapes it to several open extents.
EXPECTED_FAILURES = {"tile:f32:dynamic"}


@pytest.mark.parametrize("section", SECTIONS)
def test_section(section: str) -> None:
    assert set(failures(cases(section))) == EXPECTED_FAILURES & {case.name for case in cases(section)}
