"""A sixth of the TFLite operator cases, at every test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("tflite", reason="TFLite models need the package tflite")
pytest.importorskip("ai_edge_litert", reason="the reference interpreter is ai-edge-litert")

from tests.importers.model_runner import ModelRunner
from tests.importers.tflite_cases import Case, parameters


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize("case", parameters(sampled_only=True))
def test_case(case: Case, runner: ModelRunner) -> None:
    case.check(runner)
