"""Compiles many of jax_cases.py's functions as one program in a child process and compares with JAX itself.

A batch that fails is halved until the cases at fault are alone: compiling costs more per program than per function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.importers.model_runner import ModelRunner, RunFailure

ENTRY = "tests.end_to_end.jax_runner:compare_batch"


def failures(names: Sequence[str], runner: ModelRunner) -> dict[str, str]:
    """What is wrong with each of the cases that fail."""
    try:
        answers: Any = runner.run(list(names), [])
    except RunFailure as error:
        if len(names) == 1:
            return {names[0]: str(error)}
        half = len(names) // 2
        return failures(names[:half], runner) | failures(names[half:], runner)
    return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}


def compare_batch(names: list[str], _inputs: list[Any]) -> list[str | None]:
    """Runs in the child: per case what differs from JAX, None if nothing does."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import mlirage
    from tests.end_to_end.jax_cases import CASES

    cases = [CASES[name] for name in names]
    values = [case.values() for case in cases]

    def program(arguments: Any) -> Any:
        return [case.function(*group) for case, group in zip(cases, arguments, strict=True)]

    jitted = jax.jit(program)
    expected = [jax.tree.leaves(group) for group in jitted(values)]
    module = mlirage.compile(jitted, [values], jobs=1)
    found = [jax.tree.leaves(group) for group in mlirage.load(module, device="local-sync")(values)]
    return [compare(want, got, case.rtol, case.atol) for case, want, got in zip(cases, expected, found, strict=True)]


def compare(expected: list[Any], found: list[Any], rtol: float, atol: float) -> str | None:
    """The first of the results that differs, and how."""
    if len(expected) != len(found):
        return f"{len(found)} results, not {len(expected)}"
    for number, (want, got) in enumerate(zip(map(np.asarray, expected), map(np.asarray, found), strict=True)):
        if (want.shape, want.dtype) != (got.shape, got.dtype):
            return f"result {number}: {got.dtype}{got.shape}, not {want.dtype}{want.shape}"
        if want.dtype.kind in "biu":
            wrong = np.flatnonzero(want.ravel() != got.ravel())
        else:
            wide = np.complex128 if want.dtype.kind == "c" else np.float64
            with np.errstate(all="ignore"):
                close = np.isclose(
                    got.astype(wide).ravel(), want.astype(wide).ravel(), rtol=rtol, atol=atol, equal_nan=True
                )
            wrong = np.flatnonzero(~close)
        if len(wrong):
            i = wrong[0]
            return (
                f"result {number}: {len(wrong)} of {want.size} differ, first at {i}: "
                f"{got.ravel()[i]!r}, not {want.ravel()[i]!r}"
            )
    return None
