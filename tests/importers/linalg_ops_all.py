"""Every case of linalg's named ops."""

from __future__ import annotations

from tests.importers.linalg_cases import cases
from tests.importers.stablehlo_oracle import failures


def test_all() -> None:
    assert failures(list(cases())) == {}
