"""`mlirage reduce`: a small part of a failing model that still fails the same way."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlirage.cli.check import read_extents
from mlirage.cli.compile import option_flags
from mlirage.comparison import compare
from mlirage.errors import MlirageError, UsageError
from mlirage.options import CompileOptions, make_options

# What models are taken apart by, by suffix: "module:class" in mlirage.importers.
_PARTS = {
    ".onnx": "onnx_reduction:OnnxParts",
    ".mlir": "mlir_reduction:MlirParts",
    ".mlirbc": "mlir_reduction:MlirParts",
}
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[@%#]?\b[\w$]*\d[\w$.]*|loc\(.*?\)")

Failure = Callable[[Path], str]


@click.command("reduce")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write. [default: MODEL.reduced.SUFFIX]")
@click.option(
    "--failure",
    type=click.Choice(["compile", "results"]),
    default="compile",
    show_default=True,
    help="That it does not compile, or that its results differ from the reference's (ONNX).",
)
@click.option(
    "--command", "test", default="", help="Instead: a command that exits with 0 if the model {} fails as it should."
)
@click.option("--dim", "dims", multiple=True, help="Extent of a dimension for random inputs: NAME=N. [default: 2]")
@click.option("--rtol", default=1e-3, show_default=True, help="Relative tolerance of results.")
@click.option("--atol", default=1e-5, show_default=True, help="Absolute tolerance of results.")
@option_flags
def command(
    model: Path,
    output: Path | None,
    failure: str,
    test: str,
    dims: tuple[str, ...],
    rtol: float,
    atol: float,
    **flags: Any,
) -> int:
    """Leave out as much of MODEL (.onnx, .mlir) as possible so that it still fails in the same way.

    A model that takes the compiler's process with it needs --command 'sh -c "! mlirage compile {} -o /dev/null"'.
    """
    from mlirage.delta_debugging import minimize

    if not model.is_file():
        raise UsageError(f"there is no file {model}")
    options = make_options(**{name: value for name, value in flags.items() if value is not None})
    place = _PARTS.get(model.suffix)
    if place is None:
        raise UsageError(f"{model}: models of {', '.join(_PARTS)} are reduced")
    module, _, name = place.partition(":")
    parts = getattr(importlib.import_module(f"mlirage.importers.{module}"), name)(model)
    how = _failure(failure, test, options, dims, rtol, atol, model.suffix)
    wanted = how(model)
    if not wanted:
        raise UsageError(f"{model} does not fail: there is nothing to reduce")
    sys.stderr.write(f"{model}: {wanted}\n")
    path = output or model.with_suffix(f".reduced{'.mlir' if model.suffix == '.mlirbc' else model.suffix}")
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / f"candidate{path.suffix}"

        def fails(numbers: Sequence[int]) -> bool:
            nonlocal asked
            data = parts.part(numbers)
            if data is None:
                return False
            asked += 1
            candidate.write_bytes(data)
            return _alike(how(candidate), wanted)

        everything = parts.elements()
        if not fails(everything):
            raise UsageError(f"{model}: taken apart and put together again it does not fail in the same way")
        kept = minimize(everything, fails)
        path.write_bytes(parts.part(kept))
    sys.stdout.write(f"{path}: {len(kept)} of {len(everything)} are left, after {asked} attempts\n")
    sys.stdout.writelines(f"  {text}\n" for text in parts.describe(kept))
    return 0


def _alike(found: str, wanted: str) -> bool:
    """Whether two failures are of one kind: the same error with the same words, whatever names and numbers it has."""
    return bool(found) and _VARYING.sub("_", found) == _VARYING.sub("_", wanted)


def _failure(
    kind: str, test: str, options: CompileOptions, dims: tuple[str, ...], rtol: float, atol: float, suffix: str
) -> Failure:
    """What says how a model fails: '' if it does not."""
    if test:
        if "{}" not in test:
            raise UsageError(f"--command={test}: put {{}} where the model's path belongs")
        words = shlex.split(test)
        return lambda path: _command_fails([word.replace("{}", str(path)) for word in words])
    if kind == "results":
        if suffix != ".onnx":
            raise UsageError(f"--failure=results: there is no reference for {suffix} files; use --command")
        return lambda path: _results_differ(path, options, dims, rtol, atol)
    return lambda path: _does_not_compile(path, options)


def _command_fails(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except OSError as error:
        raise UsageError(f"--command: {words[0]}: {error.strerror}") from error
    return "the command says so" if done.returncode == 0 else ""


def _does_not_compile(path: Path, options: CompileOptions) -> str:
    from mlirage import compiler

    try:
        if options.compile_to == "end":
            compiler.compile_with(path, options)
        else:
            compiler.lower(path, options)
    except MlirageError as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def _results_differ(path: Path, options: CompileOptions, dims: tuple[str, ...], rtol: float, atol: float) -> str:
    from mlirage import compiler, runtime
    from mlirage.checking import random_arguments, reference_of
    from mlirage.importers import Model

    try:
        run = runtime.load(compiler.compile_with(path, options), "local-sync")
        signature = run.signatures["main"]
        named = {extent for argument in signature.arguments for extent in argument.shape or ()}
        own = tuple(text for text in dims if text.partition("=")[0] in named)
        arguments = random_arguments(signature, read_extents(own, [signature]), 0)
        wanted = reference_of(Model(path)).run("main", arguments)
        found = [np.asarray(result) if not isinstance(result, list) else result for result in run(*arguments)]
    except MlirageError:
        return ""  # another failure than the one that is looked for
    pairs = zip(wanted, found, strict=True)
    return "the results differ" if any(compare("", want, got, rtol, atol).problem for want, got in pairs) else ""
