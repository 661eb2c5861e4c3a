"""Functions of TensorFlow whose extents are all open: `pytest tests/importers/tensorflow_open_all.py` (ten minutes).

Each case of `tensorflow_cases.py` that TensorFlow traces with nothing but ranks gives what TensorFlow gives, for two
sizes of its inputs' first axis where it takes both; or an error that names the operation (`-rx` lists those).
"""

from __future__ import annotations

import re

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow functions need tensorflow")

import mlirage
from mlirage.errors import ImportFailure
from tests.importers.tensorflow_cases import Case, compare, flat, open_cases, traced_open
from tests.importers.tensorflow_functions_all import reason

_NAMED = re.compile(r"tf\.\w+|node '|no rank")
_GROUPS = "a run finds that channels differ: the number of groups is not known before"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in open_cases()])
def test_function(case: Case, request: pytest.FixtureRequest) -> None:
    """TensorFlow's and our results agree, or an error says what is not supported."""
    made = traced_open(case)
    if made is None:
        pytest.skip("TensorFlow needs known extents, or refuses this element type")
    told = _GROUPS if "conv2d.groups" in case.name else reason(case.name)
    if told and "rot90" not in case.name:  # of open extents its branches agree
        request.applymarker(pytest.mark.xfail(reason=told, strict=True))
    concrete, examples = made
    try:
        module = mlirage.compile(concrete, jobs=1, cache_dir="off")
    except ImportFailure as error:
        if "internal error" in str(error) or not _NAMED.search(str(error)):
            raise
        pytest.xfail(str(error)[:300])
    session = mlirage.load(module, device="local-sync")
    for inputs, expected in examples:
        compare(expected, flat(session(*inputs)), case.tolerance)
