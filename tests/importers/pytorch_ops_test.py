"""A twentieth of the operators of PyTorch's OpInfo; pytorch_ops_all.py has all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner
from tests.importers.pytorch_ops_cases import Case, new_runner, parameters


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = new_runner()
    yield runner
    runner.close()


@pytest.mark.parametrize("case", parameters(sampled_only=True))
def test_operator(case: Case, runner: ModelRunner) -> None:
    case.check(runner)
