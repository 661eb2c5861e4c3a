"""Functions of TensorFlow whose extents are all open: `pytest tests/importers/tensorflow_open_all.py` (ten minutes).

Each case of `tensorflow_cases.py` that TensorFlow traces with nothing but ranks must give what TensorFlow gives, for
two sizes of its inputs' first axis where it takes both. `EXPECTED_FAILURES` is strict.
"""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow functions need tensorflow")

import mlirage
from tests.importers.tensorflow_cases import Case, compare, flat, open_cases, traced_open
from tests.importers.tensorflow_functions_all import reason

EXPECTED_FAILURES: dict[str, str] = {}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in open_cases()])
def test_function(case: Case, request: pytest.FixtureRequest) -> None:
    """TensorFlow's and our results agree."""
    made = traced_open(case)
    if made is None:
        pytest.skip("TensorFlow needs known extents, or refuses this element type")
    if told := EXPECTED_FAILURES.get(case.name) or reason(case.name):
        request.applymarker(pytest.mark.xfail(reason=told, strict=True))
    concrete, examples = made
    session = mlirage.load(mlirage.compile(concrete, jobs=1, cache_dir="off"), device="local-sync")
    for inputs, expected in examples:
        compare(expected, flat(session(*inputs)), case.tolerance)
