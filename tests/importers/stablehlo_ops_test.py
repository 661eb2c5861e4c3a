"""A sample of the cases of StableHLO's operations; `make test-all` runs all of them (stablehlo_ops_all.py)."""

from __future__ import annotations

import pytest

from tests.importers.stablehlo_cases import SECTIONS, sampled
from tests.importers.stablehlo_oracle import failures


@pytest.mark.parametrize("section", SECTIONS)
def test_sample(section: str) -> None:
    assert failures(sampled(section)) == {}
