"""A few whole networks from TensorFlow's converter, at every test run; `tflite_models_all.py` has the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow converts the networks")
pytest.importorskip("ai_edge_litert", reason="the reference interpreter is ai-edge-litert")

from tests.importers.model_runner import ModelRunner
from tests.importers.tflite_networks import check


@pytest.fixture(scope="module")
def converter() -> Iterator[ModelRunner]:
    runner = ModelRunner("tests.importers.tflite_networks:convert_in_child", timeout=300)
    yield runner
    runner.close()


@pytest.mark.parametrize(
    ("name", "kind", "batches"),
    [("ds_cnn", "int8", (1, 2, 7)), ("text_lstm", "dynamic", (1,)), ("ssd", "uint8_io", (3,))],
)
def test_network(name: str, kind: str, batches: tuple[int, ...], converter: ModelRunner) -> None:
    """Integers to the last bit, real numbers to 1e-5, at several batch sizes where the batch is open."""
    data: object = converter.run((name, kind), [])
    assert isinstance(data, bytes)
    check(data, batches)
