"""All operators on all their types: `pytest tests/importers/pytorch_types_all.py -n 2`, an hour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.importers.model_runner import ModelRunner
from tests.importers.pytorch_types_cases import known_failures, names, new_runner


def _parameters() -> list[Any]:
    reasons = known_failures()
    return [
        pytest.param(
            name, marks=[pytest.mark.xfail(reason=reasons[name], strict=True)] if name in reasons else [], id=name
        )
        for name in names()
    ]


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = new_runner()
    yield runner
    runner.close()


@pytest.mark.parametrize("name", _parameters())
def test_operator(name: str, runner: ModelRunner) -> None:
    runner.run(name, [])
