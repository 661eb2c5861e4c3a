"""A sample of the ops of the dialects below StableHLO; `make test-all` runs all of them (mlir_ops_all.py)."""

from __future__ import annotations

import zlib

from tests.importers.mlir_ops_cases import REFUSED, cases
from tests.importers.stablehlo_oracle import failures

_SAMPLED = 20
_ALWAYS = ("scf.", "cf.", "mixed:", "ml_program.")


def test_sample() -> None:
    chosen = [c for c in cases() if c.name.startswith(_ALWAYS) or zlib.crc32(c.name.encode()) % _SAMPLED == 0]
    assert failures([case for case in chosen if case.name not in REFUSED]) == {}
