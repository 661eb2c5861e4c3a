"""Every case of linalg's named ops; those known to fail must."""

from __future__ import annotations

from tests.importers.linalg_cases import cases
from tests.importers.stablehlo_oracle import failures

# The transforms of Winograd's convolutions as ops of a source program are an error that names them.
EXPECTED_FAILURES = {"winograd"}


def test_all() -> None:
    found = failures(list(cases()))
    assert {name: problem for name, problem in found.items() if name not in EXPECTED_FAILURES} == {}
    assert set(found) == EXPECTED_FAILURES
