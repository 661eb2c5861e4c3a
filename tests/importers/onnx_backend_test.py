"""A seventh of ONNX's own backend cases through the whole compiler; `onnx_backend_all.py` runs all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner
from tests.importers.onnx_backend_cases import Case, expected_failures, parameters


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize("case", parameters(sampled_only=True))
def test_case(case: Case, runner: ModelRunner) -> None:
    case.check(runner)


def test_expected_failures_are_explained() -> None:
    assert all(expected_failures().values())
