"""The VM built once a session, in both ways of dispatch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from machine import Library, build


@pytest.fixture(scope="session", params=["goto", "switch"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The C virtual machine."""
    path = tmp_path_factory.mktemp("vm") / f"vm_{request.param}.so"
    flag = f"-DMLIRAGE_VM_COMPUTED_GOTO={int(request.param == 'goto')}"
    return Library(build(path, "-O1", "-fPIC", "-shared", flag))
