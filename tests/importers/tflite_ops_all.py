"""All TFLite operator cases: `pytest tests/importers/tflite_ops_all.py -n 2` (some 6 minutes on 2 cores)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner
from tests.importers.tflite_cases import Case, parameters


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize("case", parameters(sampled_only=False))
def test_case(case: Case, runner: ModelRunner) -> None:
    case.check(runner)
