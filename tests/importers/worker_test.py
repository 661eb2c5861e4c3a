"""Models that would kill the process are errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mlirage
from mlirage.errors import ImportFailure, MlirageError
from mlirage.importers import worker


@pytest.mark.parametrize(
    ("text", "depth"),
    [("", 0), ("module {}", 1), ("([{}])", 3), ("}}}", 0), ("{" * 5 + "}" * 9 + "{" * 3, 5), ("{}" * 1000, 1)],
)
def test_nesting(text: str, depth: int) -> None:
    assert worker.nesting(text) == depth


def test_nesting_goes_on_over_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PIECE", 3)
    assert worker.nesting("a{b{c{d}e{f{g}}}}") == 4


def nested_regions(depth: int) -> str:
    head = "func.func @main() {\n" + "scf.execute_region {\n" * depth
    return head + "scf.yield\n}\n" * depth + "return\n}\n"


def nested_attributes(depth: int) -> str:
    return f"module attributes {{a = {'[' * depth}{']' * depth}}} {{ }}"


# In a process of its own all the same: this test must fail, not die, if the worker misses something.
@pytest.mark.parametrize(
    ("make", "depth"), [("nested_attributes", 250), ("nested_attributes", 20_000), ("nested_regions", 20_000)]
)
def test_deep_nesting(make: str, depth: int) -> None:
    program = f"""
import mlirage
from tests.importers.worker_test import {make}
try:
    mlirage.compile({make}({depth}), compile_to="end")
except mlirage.MlirageError as error:
    print(type(error).__name__, str(error)[:200])
else:
    print("fine")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    if depth > 1000:
        assert "ImportFailure" in done.stdout


def test_shallow_text_needs_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(worker.subprocess, "run", refuse)
    worker.try_text("<text>", "func.func @f() { return }")


def test_error_of_deep_text_is_the_parsers() -> None:
    with pytest.raises(ImportFailure):
        mlirage.compile("module attributes {a = " + "[" * 300 + "nonsense" + "]" * 300 + "} { }")
    assert issubclass(ImportFailure, MlirageError)
