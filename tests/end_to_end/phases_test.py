"""Every phase's dump parses, and compiling on from it gives the bytes of the straight run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mlirage
from benchmarks import models
from mlirage.compiler import PHASES

MODELS: dict[str, Callable[[], models.Built]] = {
    "resnet50": lambda: models.light("resnet50"),
    "transformer_layer": lambda: models.transformer_layer(sequence=16, width=64, heads=4),
    "lstm": lambda: models.lstm(sequence=5, width=16),
}


@pytest.mark.parametrize("name", MODELS)
def test_compile_from_every_phase(name: str, tmp_path: Path) -> None:
    """The straight run dumps all phases; each dump is compiled to the end."""
    model, _ = MODELS[name]()
    straight = bytes(mlirage.compile(model, dump_ir=str(tmp_path)))
    for number, phase in enumerate(PHASES, 1):
        dump = tmp_path / f"{number:02}-{phase.name}.mlir"
        again = bytes(mlirage.compile(dump, compile_from=phase.name))
        assert again == straight, f"compiling from {phase.name} gives another module"


def test_same_bytes_with_one_and_many_workers() -> None:
    """The number of code-generation workers does not show in the module."""
    model, _ = MODELS["transformer_layer"]()
    one = bytes(mlirage.compile(model, jobs=1, cache_dir="off"))
    many = bytes(mlirage.compile(model, jobs=4, cache_dir="off"))
    assert one == many
