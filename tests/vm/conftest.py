"""The VM built once a session, in both ways of dispatch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from machine import Library, build


def _build(tmp_path_factory: pytest.TempPathFactory, dispatch: str) -> Library:
    path = tmp_path_factory.mktemp("vm") / f"vm_{dispatch}.so"
    return Library(build(path, "-O1", "-fPIC", "-shared", f"-DMLIRAGE_VM_COMPUTED_GOTO={int(dispatch == 'goto')}"))


@pytest.fixture(scope="session", params=["goto", "switch"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The C virtual machine, in both ways of dispatch: for what the interpreter does."""
    return _build(tmp_path_factory, request.param)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The C virtual machine: for what the compiler does."""
    return _build(tmp_path_factory, "goto")
