"""Every operator in every older form: `pytest tests/importers/onnx_old_versions_all.py -n 2` (some 10 minutes)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner, RunFailure

pytest.importorskip("onnxruntime")
from tests.importers.onnx_old_versions import cases, operator_names


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize("operator", operator_names())
def test_operator(operator: str, runner: ModelRunner) -> None:
    wrong: list[str] = []
    for case in cases(operator):
        try:
            case.check(runner)
        except (RunFailure, AssertionError) as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong
