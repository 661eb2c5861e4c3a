"""Nothing that StableHLO cases over indices, windows, sorts and open extents do touches memory beside their arrays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.importers.guarded_memory import violations
from tests.importers.stablehlo_cases import cases


@pytest.mark.parametrize("section", ["structural", "indexing", "dynamic", "programs", "quantized"])
def test_section(section: str, record_property: Callable[[str, object], None]) -> None:
    every = cases(section)
    record_property("cases", len(every))
    assert violations(every) == {}
