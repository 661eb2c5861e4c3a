"""Every case of CHLO's operations."""

from __future__ import annotations

from tests.importers.chlo_cases import cases
from tests.importers.stablehlo_oracle import failures


def test_all() -> None:
    assert failures(list(cases())) == {}
