"""A fifteenth of ONNX's backend cases, and the digits model, on every architecture that kernels are made for.

python -m pytest tests/codegen/cross_all.py
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from tests.codegen.cross import ARCHITECTURES, Machine, check_cases
from tests.codegen.cross_test import SAMPLE, digits_on
from tests.importers.onnx_backend_cases import Case, cases, expected_failures


def _is_plain(case: Case) -> bool:
    values: list[Any] = [x for inputs, outputs in case.runs for x in [*inputs, *outputs] if x is not None]
    arrays = all(isinstance(x, np.ndarray | np.generic) for x in values)
    return arrays and not case.is_random and case.name not in expected_failures()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name: str) -> None:
    Machine.get(name)
    chosen = [
        case
        for case in cases()
        if _is_plain(case) and (case.name in SAMPLE or zlib.crc32(case.name.encode()) % 15 == 4)
    ]
    assert check_cases(name, chosen) == []
    digits_on(name)
