"""Passes: functions on a Program, and the runner that names, times, prints, verifies and explains them.

A pipeline is a tuple that mixes upstream passes, as text (`"canonicalize"`,
`"func.func(linalg-fold-unit-extent-dims)"`), and ours, as functions marked `@module_pass("flow-outline-dispatches")`.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from mlirage.errors import CompileError, MlirageError, UsageError
from mlirage.mlir import describe_location, ir, run_pipeline
from mlirage.program import Program


class ModulePass(Protocol):
    """A pass of ours: changes a program in place."""

    pass_name: str

    def __call__(self, program: Program) -> None: ...


Pass = str | ModulePass
REGISTRY: dict[str, ModulePass] = {}


def module_pass(name: str) -> Callable[[Callable[[Program], None]], ModulePass]:
    """Gives a pass its one command-line name."""

    def register(function: Callable[[Program], None]) -> ModulePass:
        if name in REGISTRY:
            raise ValueError(f"pass {name!r} is defined twice")
        function.pass_name = name  # pyright: ignore[reportFunctionMemberAccess]
        REGISTRY[name] = function  # pyright: ignore[reportArgumentType]
        return REGISTRY[name]

    return register


def find_pass(name: str) -> Pass:
    """Our pass of that name, else `name` as upstream pipeline text."""
    return REGISTRY.get(name, name)


def parse_pipeline(text: str) -> tuple[Pass, ...]:
    """Splits `a,func.func(b,c),d{x=1,2}` at the commas outside brackets.

    Raises:
      UsageError: brackets do not match.
    """
    names, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "({") - (char in ")}")
        if depth < 0:
            break
        if char == "," and depth == 0:
            names.append(text[start:i])
            start = i + 1
    if depth != 0:
        raise UsageError(f"pass pipeline {text!r}: brackets do not match")
    names.append(text[start:])
    return tuple(find_pass(name.strip()) for name in names if name.strip())


@dataclass
class Observer:
    """Watches passes: prints IR after those asked for, and keeps their times and the phases'."""

    print_after: str = ""
    verify_each: bool = False
    times: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    phases: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def after(self, name: str, program: Program, seconds: float) -> None:
        """Called by the runner after each pass."""
        self.times.append((name, seconds))
        if self.print_after and re.search(self.print_after, name):
            sys.stderr.write(f"// -----// IR after {name} ({seconds * 1e3:.1f} ms) //----- //\n{program.module}\n")


def run_passes(program: Program, pipeline: Iterable[Pass], observer: Observer | None = None) -> None:
    """Runs upstream passes (text) and ours (functions) in order.

    Raises:
      CompileError: a pass failed; the text names the pass, the location and the reason.
    """
    observer = observer or Observer()
    for step in pipeline:
        name = step if isinstance(step, str) else step.pass_name
        start = time.perf_counter()
        try:
            with program.context, ir.Location.unknown():
                if isinstance(step, str):
                    run_pipeline(program.module.operation, step)
                else:
                    step(program)
                if observer.verify_each:
                    program.module.operation.verify()
        except MlirageError:
            raise
        except ir.MLIRError as error:
            raise CompileError(f"pass {name!r} failed: {explain(error)}") from error
        except ValueError as error:
            if isinstance(step, str) and "pipeline" in str(error).lower():
                raise UsageError(f"no pass is called {name!r}: {error}") from error
            raise CompileError(f"pass {name!r} failed: {error}") from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise CompileError(f"pass {name!r} failed on its own account, please report it: {what}") from error
        observer.after(name, program, time.perf_counter() - start)


def explain(error: ir.MLIRError) -> str:
    """The diagnostics of an MLIR error: location and message, without dumps of IR."""
    lines = [f"{describe_location(d.location)}: {d.message}" for d in error.error_diagnostics]
    return "\n".join(lines) if lines else str(error)
