"""All of onnx_microsoft_cases.py, at static and open extents (`make test-all`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner

pytest.importorskip("onnxruntime")
from tests.importers.onnx_microsoft_cases import CASES, check


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner()
    yield runner
    runner.close()


@pytest.mark.parametrize("is_open", [False, True], ids=["static", "open"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_case(runner: ModelRunner, number: int, is_open: bool) -> None:
    check(runner, number, is_open)
