"""Functions of TensorFlow with every element type: `pytest tests/importers/tensorflow_functions_all.py` (ten minutes).

`EXPECTED_FAILURES` says what does not work, by a case's name or its name without the type, and why; it is strict.
"""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow functions need tensorflow")

import mlirage
from tests.importers.tensorflow_cases import Case, cases, compare, flat, traced

_NO_FORM = "TensorFlow's lowering does not know it, nor do we"
_BOUNDS = "TensorFlow's lowering leaves extents with bounds or of two kinds"

EXPECTED_FAILURES: dict[str, str] = {
    **dict.fromkeys(
        [
            "linalg.logm", "linalg.sqrtm", "nn.ctc_greedy_decoder", "nn.fractional_max_pool", "image.extract_glimpse",
            "image.non_max_suppression", "image.non_max_suppression_padded", "image.draw_bounding_boxes",
            "image.resize.cubic.gradient", "hessians",
        ],
        _NO_FORM,
    ),
    **dict.fromkeys(
        ["math.is_non_decreasing", "math.is_strictly_increasing", "image.rot90", "nn.collapse_repeated"], _BOUNDS
    ),
    "stateless_uniform": "XLA's generator is not that of TensorFlow's CPU kernels",
    "bitcast-complex64": "the bits of complex numbers have no form",
    "linalg.norm.euclidean": "a list of matrices whose extents TensorFlow's graph leaves open",
    "TensorArray.growing": "an array that grows: its number of rows is not known when it is made",
    "linalg.lu-complex64": "rows are exchanged by |re| + |im|, as LAPACK does; TensorFlow compares sizes",
    "linalg.svd.product-float64": "TensorFlow's lowering iterates to the precision of f32",
}  # fmt: skip


def reason(name: str) -> str | None:
    """Why a case fails, if it does."""
    whole, _, _ = name.rpartition("-")
    return EXPECTED_FAILURES.get(name) or EXPECTED_FAILURES.get(whole)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases()])
def test_function(case: Case, request: pytest.FixtureRequest) -> None:
    """TensorFlow's and our results agree."""
    made = traced(case)
    if made is None:
        pytest.skip("TensorFlow refuses this element type")
    if told := reason(case.name):
        request.applymarker(pytest.mark.xfail(reason=told, strict=True))
    concrete, expected = made
    session = mlirage.load(mlirage.compile(concrete, jobs=1, cache_dir="off"), device="local-sync")
    compare(expected, flat(session(*case.inputs)), case.tolerance)
