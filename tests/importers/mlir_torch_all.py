"""Every case of the torch dialect as text; those known to fail must, with the error that is listed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.importers.mlir_torch_cases import EXPECTED_FAILURES, cases, failures

_PIECE = 40
_NAMES = list(cases())


@pytest.mark.parametrize("first", range(0, len(_NAMES), _PIECE))
def test_piece(first: int, record_property: Callable[[str, object], None]) -> None:
    names = _NAMES[first : first + _PIECE]
    record_property("cases", len(names))
    for name in names:
        if name in EXPECTED_FAILURES:
            record_property("fails", f"{name}: {EXPECTED_FAILURES[name]}")
    found = failures(names)
    wrong = {
        name: problem
        for name, problem in found.items()
        if name not in EXPECTED_FAILURES or EXPECTED_FAILURES[name] not in problem
    }
    assert wrong == {}
    assert set(EXPECTED_FAILURES) & set(names) == set(found)
