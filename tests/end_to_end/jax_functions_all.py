"""All of jax_cases.py against JAX, in batches; jax_expected_failures.txt lists what does not pass, strictly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import jax_runner
from tests.end_to_end.jax_cases import CASES
from tests.importers.model_runner import ModelRunner

_LINES = (Path(__file__).parent / "jax_expected_failures.txt").read_text().splitlines()
EXPECTED = {line.split(" ", 1)[0] for line in _LINES if line and not line.startswith("#")}
_BATCH = 12
_NAMES = [name for name in CASES if name not in EXPECTED]


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner(jax_runner.ENTRY, timeout=300)
    yield runner
    runner.close()


@pytest.mark.parametrize("start", range(0, len(_NAMES), _BATCH), ids=lambda start: _NAMES[start])
def test_functions(start: int, runner: ModelRunner) -> None:
    assert jax_runner.failures(_NAMES[start : start + _BATCH], runner) == {}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_failing_functions_still_fail(name: str, runner: ModelRunner) -> None:
    assert jax_runner.failures([name], runner), f"{name} passes: take it off the list"
