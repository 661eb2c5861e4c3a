"""Every network in every kind of quantization: `pytest tests/importers/tflite_models_all.py` (half an hour).

`-s` prints the largest differences and times that docs/tflite.md shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.importers.model_runner import ModelRunner
from tests.importers.tflite_networks import KINDS, NETWORKS, check

_STATEFUL = ("lstm", "text_lstm", "gru")  # made for one batch size
_CALIBRATOR = "TensorFlow 2.21's calibrator ends with a segmentation fault"
EXPECTED_FAILURES: dict[tuple[str, str], str] = {
    **{(name, kind): _CALIBRATOR for name in ("lstm", "text_lstm", "gru") for kind in KINDS[3:]},
    ("mobilenet_v3", "int16x8"): "TensorFlow's converter has no 16-bit HARD_SWISH",
    ("bert", "int16x8"): "TensorFlow's converter finds no range of the tokens",
}
"""What TensorFlow's converter cannot make."""


@pytest.fixture(scope="module")
def converter() -> Iterator[ModelRunner]:
    runner = ModelRunner("tests.importers.tflite_networks:convert_in_child", timeout=600)
    yield runner
    runner.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, kind: str, converter: ModelRunner, request: pytest.FixtureRequest) -> None:
    """Integers to the last bit, real numbers to 1e-5."""
    if (name, kind) in EXPECTED_FAILURES:
        request.applymarker(pytest.mark.xfail(reason=EXPECTED_FAILURES[name, kind], strict=True))
    data: object = converter.run((name, kind), [])
    assert isinstance(data, bytes)
    start = time.perf_counter()
    largest = check(data, (1,) if name in _STATEFUL else (1, 3))
    print(f"{name} {kind}: {largest:.1e}, {time.perf_counter() - start:.1f} s")
