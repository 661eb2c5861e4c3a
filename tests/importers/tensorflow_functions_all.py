"""Functions of TensorFlow with every element type: `pytest tests/importers/tensorflow_functions_all.py` (ten minutes).

`EXPECTED_FAILURES` says what does not work, by the beginning of the case's name, and why; it is strict.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow functions need tensorflow")

import mlirage
from tests.importers.tensorflow_cases import Case, cases, flat, traced

EXPECTED_FAILURES: dict[str, str] = {}


def _reason(name: str) -> str | None:
    whole, _, _ = name.rpartition("-")
    return EXPECTED_FAILURES.get(name) or EXPECTED_FAILURES.get(whole)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases()])
def test_function(case: Case, request: pytest.FixtureRequest) -> None:
    """TensorFlow's and our results agree."""
    made = traced(case)
    if made is None:
        pytest.skip("TensorFlow refuses this element type")
    if reason := _reason(case.name):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    concrete, expected = made
    session = mlirage.load(mlirage.compile(concrete, jobs=1, cache_dir="off"), device="local-sync")
    results = flat(session(*case.inputs))
    assert len(results) == len(expected)
    for want, got in zip(expected, results, strict=True):
        assert want.shape == got.shape
        assert want.dtype == got.dtype
        if want.dtype.kind in "fc":
            np.testing.assert_allclose(got, want, rtol=case.tolerance, atol=case.tolerance)
        else:
            np.testing.assert_array_equal(got, want)
