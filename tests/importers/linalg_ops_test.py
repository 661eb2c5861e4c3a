"""A sample of the cases of linalg's named ops; `make test-all` runs all of them (linalg_ops_all.py)."""

from __future__ import annotations

import zlib

from tests.importers.linalg_cases import cases
from tests.importers.stablehlo_oracle import failures

_SAMPLED = 20


def test_sample() -> None:
    assert failures([case for case in cases() if zlib.crc32(case.name.encode()) % _SAMPLED == 0]) == {}
