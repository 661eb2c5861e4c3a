"""Collects *.mlir files as tests: each RUN line is executed in this process.

// RUN: [not] mlirage ARGS... %s [2>&1] | filecheck %s [FLAGS...]
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import parse_argv_options
from filecheck.parser import Parser

from mlirage.cli import main

# Objects that a test run compiled serve the next one, and nothing that others left behind serves a test.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parent.parent / ".cache")

_RUN = re.compile(r"^// RUN: *(.+)$", re.MULTILINE)


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.File | None:
    """Takes *.mlir files that have RUN lines."""
    if file_path.suffix == ".mlir" and _RUN.search(file_path.read_text()):
        return MlirFile.from_parent(parent, path=file_path)
    return None


class MlirFile(pytest.File):
    """A file of RUN lines."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test per RUN line."""
        for number, run in enumerate(_RUN.findall(self.path.read_text())):
            yield RunLine.from_parent(self, name=str(number), run=run)


class RunLine(pytest.Item):
    """One RUN line: a mlirage command and, after `|`, the filecheck of its output."""

    def __init__(self, *, run: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run

    def runtest(self) -> None:
        """Runs the command in this process and matches its output."""
        command, _, check = self.run.replace("%s", str(self.path)).partition(" | ")
        words = shlex.split(command)
        expect_failure = words[0] == "not"
        merge = words[-1] == "2>&1"
        arguments = words[2 if expect_failure else 1 : -1 if merge else None]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out if merge else err):
            code = main(arguments)
        if bool(code) != expect_failure:
            raise CheckFailed(f"exit code {code}\n{err.getvalue()}{out.getvalue()}")
        if check:
            options = parse_argv_options(shlex.split(check))
            complaint = io.StringIO()
            with contextlib.redirect_stderr(complaint):
                failed = Matcher(options, FInput("<output>", out.getvalue()), Parser.from_opts(options)).run()
            if failed:
                raise CheckFailed(f"{complaint.getvalue()}\n--- full output ---\n{out.getvalue()}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The unmatched line and the output, nothing else."""
        return str(excinfo.value) if excinfo.errisinstance(CheckFailed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """File and RUN line."""
        return self.path, None, f"RUN: {self.run}"


class CheckFailed(Exception):
    """Output that does not match."""
