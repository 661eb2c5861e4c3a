"""ONNX's backend cases on vmvx: `pytest tests/codegen/vmvx_all.py` (a seventh of them; MLIRAGE_ALL_CASES=1: all)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.importers.model_runner import ModelRunner
from tests.importers.onnx_backend_cases import Case, cases, expected_failures

EXPECTED_FAILURES = Path(__file__).with_name("vmvx_expected_failures.txt")


def compile_and_run(model: Any, inputs: list[Any]) -> list[Any]:
    """As model_runner's, with kernels of the virtual machine."""
    import mlirage

    plain = all(isinstance(x, np.ndarray) for x in inputs)
    examples = () if plain else inputs
    module = mlirage.compile(model, examples, target_backend="vmvx", jobs=1, cache_dir="off")
    results = mlirage.load(module, device="local-sync")(*inputs)
    return [y if isinstance(y, list) or y is None else np.asarray(y) for y in results]


def parameters() -> list[Any]:
    """Cases; those that fail on the CPU too and those that only fail here are strict xfails."""
    lines = [line for line in EXPECTED_FAILURES.read_text().splitlines() if line and not line.startswith("#")]
    reasons = expected_failures() | {name.strip(): why.strip() for name, _, why in (x.partition("#") for x in lines)}
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.xfail(reason=reasons[case.name], strict=True)] if case.name in reasons else [],
        )
        for case in cases()
        if case.is_sampled or "MLIRAGE_ALL_CASES" in os.environ
    ]


@pytest.fixture(scope="module")
def runner() -> Iterator[ModelRunner]:
    runner = ModelRunner(f"{__name__}:compile_and_run", timeout=240.0)
    yield runner
    runner.close()


@pytest.mark.parametrize("case", parameters())
def test_case(case: Case, runner: ModelRunner) -> None:
    case.check(runner)
