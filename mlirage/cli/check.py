"""`mlirage check`: does the compiled model give what the framework's reference gives?"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlirage.cli.compile import option_flags
from mlirage.cli.run import read_arguments
from mlirage.comparison import Difference, compare, random_array
from mlirage.errors import MlirageError, UsageError
from mlirage.options import CompileOptions, make_options
from mlirage.runtime.arrays import dtype as numpy_dtype

# Kinds of models that have a reference, by the suffix of their files: "module:class" in mlirage.importers.
REFERENCES = {".onnx": "onnx_reference:OnnxReference"}


@click.command("check")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--input", "inputs", multiple=True, help="An argument: 2x3xf32=[1 2 3][4 5 6], @x.npy, … [default: random]"
)
@click.option("--dim", "dims", multiple=True, help="Extent of a dimension for random inputs: NAME=N. [default: 2]")
@click.option("--seed", default=0, show_default=True, help="Of random inputs.")
@click.option("--rtol", default=1e-3, show_default=True, help="Relative tolerance.")
@click.option("--atol", default=1e-5, show_default=True, help="Absolute tolerance.")
@click.option("--reference", default="auto", show_default=True, help="What to compare with: onnxruntime, onnx.")
@click.option("--device", default="local-sync", show_default=True, help="Device to run on (mlirage devices).")
@option_flags
def command(
    model: Path,
    inputs: tuple[str, ...],
    dims: tuple[str, ...],
    seed: int,
    rtol: float,
    atol: float,
    reference: str,
    device: str,
    **flags: Any,
) -> int:
    """Compile MODEL, run it and its reference on the same inputs, and say how the outputs differ.

    Where they do, the first node whose value differs is named. Exit code 1 if they differ, 0 if not.
    """
    options = make_options(**{name: value for name, value in flags.items() if value is not None})
    if options.compile_to != "end":
        raise UsageError("check compiles to the end: no --compile-to")
    source = _reference(model, reference)
    run = _compiled(model, options, device)
    signature = run.signatures["main"]
    arguments = read_arguments(inputs, signature) if inputs else random_arguments(signature, dims, seed)
    wanted = source.run(arguments)
    results = list(run(*arguments))
    found = [
        compare(name, want, got, rtol, atol) for name, want, got in zip(source.outputs(), wanted, results, strict=True)
    ]
    for difference in found:
        sys.stdout.write(f"[{'FAILED' if difference.problem else 'ok'}] {difference}\n")
    if not any(difference.problem for difference in found):
        return 0
    sys.stdout.write(f"{first_difference(source, arguments, options, device, rtol, atol)}\n")
    return 1


def _reference(model: Path, engine: str) -> Any:
    if not model.is_file():
        raise UsageError(f"there is no file {model}")
    place = REFERENCES.get(model.suffix)
    if place is None:
        raise UsageError(f"{model}: no reference is known for {model.suffix!r} files, only for {', '.join(REFERENCES)}")
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"mlirage.importers.{module}"), name)(model, engine)


def _compiled(model: Any, options: CompileOptions, device: str) -> Any:
    from mlirage import compiler, runtime

    return runtime.load(compiler.compile_with(model, options), device)


def random_arguments(signature: Any, dims: tuple[str, ...], seed: int) -> list[Any]:
    """Random arguments of a function; extents that it leaves open are 2, or what `dims` says for their names.

    Raises:
      UsageError: a malformed extent, or one of a name that no argument has.
    """
    extents: dict[str, int] = {}
    names = {extent for argument in signature.arguments for extent in argument.shape or () if isinstance(extent, str)}
    for text in dims:
        name, _, number = text.partition("=")
        if name not in names or not number.isdecimal():
            raise UsageError(f"--dim={text}: expected NAME=N; names are {', '.join(sorted(names)) or 'none'}")
        extents[name] = int(number)
    random = np.random.default_rng(seed)
    if signature.in_tree is not None:
        raise UsageError("the model takes sequences or optionals: random inputs are not made for these")
    return [
        random_array(
            numpy_dtype(argument.dtype or "float32"),
            [e if isinstance(e, int) else extents.get(e or "", 2) for e in argument.shape or ()],
            random,
        )
        for argument in signature.arguments
    ]


def first_difference(
    source: Any, arguments: list[Any], options: CompileOptions, device: str, rtol: float, atol: float
) -> str:
    """Which node's value is the first that differs, found by making all values results."""
    try:
        model, values = source.inside()
        wanted = source.run_model(model, arguments)
        results = list(_compiled(model, options, device)(*arguments))
    except MlirageError as error:
        return f"the first node that differs cannot be found: {error}"
    for (name, node), want, got in zip(values, wanted, results, strict=True):
        difference: Difference = compare(name, want, got, rtol, atol)
        if difference.problem:
            return f"the first node that differs is {node}: {difference}"
    return "no node differs when the values of all nodes are results: the fault lies in how nodes are combined"
