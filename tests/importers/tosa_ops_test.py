"""A sample of the cases of TOSA's operators; `make test-all` runs all of them (tosa_ops_all.py)."""

from __future__ import annotations

import zlib

import pytest

from tests.importers.stablehlo_oracle import failures
from tests.importers.tosa_cases import SECTIONS, cases

_SAMPLED = 20


@pytest.mark.parametrize("section", SECTIONS)
def test_sample(section: str) -> None:
    every = cases(section)
    assert failures([case for case in every if zlib.crc32(case.name.encode()) % _SAMPLED == 0]) == {}
