"""Reproducers: the program as it was before the pass that failed, as a file that is a test.

Compilation is deterministic, so nothing is kept on the good path: after a failure the program is read again, the
passes before the failing one run again, and the result is saved:

    // RUN: mlirage opt --passes=flow-outline-dispatches %s
    module { … }
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mlirage.errors import CompileError, MlirageError
from mlirage.passes import Observer, Pass, run_passes
from mlirage.program import Program

FILE_NAME = "mlirage-repro.mlir"


def with_reproducer(
    error: CompileError, read: Callable[[], Program], pipeline: Sequence[Pass], folder: Path
) -> CompileError:
    """`error` with the path of a reproducer for it in its text.

    `read` makes the program anew; `pipeline` are all passes that were to run on it.
    """
    try:
        failing = _failing_pass(read, pipeline)
    except MlirageError:
        return error  # reading failed: the input itself is the reproducer
    if failing is None:
        return error
    program = read()
    run_passes(program, pipeline[:failing])
    step = pipeline[failing]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    program.save(path)
    name = step if isinstance(step, str) else step.pass_name
    shared = f" {program.options.shared_flags}" if program.options.shared_flags else ""
    command = f"mlirage opt --passes='{name}'{shared}"
    path.write_text(f"// RUN: {command} --target='{program.options.target}' %s\n{path.read_text()}")
    return type(error)(f"{error}\nreproducer: {command} {path}")


def _failing_pass(read: Callable[[], Program], pipeline: Sequence[Pass]) -> int | None:
    """The index of the first pass that fails or leaves invalid IR (every pass is verified)."""
    program, observer = read(), Observer(verify_each=True)
    try:
        run_passes(program, pipeline, observer)
    except MlirageError:
        return len(observer.times) if len(observer.times) < len(pipeline) else None
    return None
