"""Nothing a program does touches memory beside its arrays: a sample; `make test-all` runs guarded_memory_all.py."""

from __future__ import annotations

import zlib

import pytest

from tests.importers.guarded_memory import ENTRY, violations
from tests.importers.model_runner import ModelRunner, RunFailure
from tests.importers.stablehlo_cases import cases

_SAMPLED = 23


@pytest.mark.parametrize("section", ["structural", "indexing", "dynamic"])
def test_sample(section: str) -> None:
    assert violations([case for case in cases(section) if zlib.crc32(case.name.encode()) % _SAMPLED == 1]) == {}


@pytest.mark.parametrize("offset", [-1, 1024])
def test_guards_end_the_process(offset: int) -> None:
    runner = ModelRunner(ENTRY.replace("run_guarded", "touch"))
    try:
        with pytest.raises(RunFailure, match="exit code -11"):
            runner.run(offset, [])
    finally:
        runner.close()
