"""No hot loop of the light models computes on single elements (`--check-vectorization`)."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlirage
from mlirage.module_file import ModuleFile
from tests.end_to_end.light_models_test import EXAMPLES, LIGHT

MODELS = [*sorted(LIGHT.glob("light_*.onnx")), EXAMPLES / "digits/digits.onnx"]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_light_model(path: Path) -> None:
    facts = ModuleFile.read_dispatches(mlirage.compile(path, check_vectorization=True))
    found = {name: fact["scalar_loops"] for name, fact in facts.items() if fact["scalar_loops"]}
    assert found == {}
