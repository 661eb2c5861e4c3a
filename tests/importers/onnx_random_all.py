"""Random graphs of ONNX operators against ONNX Runtime, with static and with open extents (`make test-all`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner, difference

pytest.importorskip("onnxruntime")
from tests.importers.onnx_random import model_of

FIRST, COUNT = int(os.environ.get("ONNX_RANDOM_FIRST", "0")), int(os.environ.get("ONNX_RANDOM_COUNT", "100"))


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner(timeout=200)
    yield runner
    runner.close()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_graph(runner: ModelRunner, seed: int) -> None:
    data, inputs, wanted = model_of(seed, is_open=seed % 2 == 1)
    wrong: list[str] = []
    for (name, want, exact), got in zip(wanted, runner.run(data, inputs), strict=True):
        narrow = want.dtype.name == "float16"
        problem = difference(
            want, got, 0 if exact else 1e-2 if narrow else 1e-3, 0 if exact else 1e-2 if narrow else 1e-4
        )
        wrong += [f"{name}: {problem}"] if problem else []
    assert not wrong
