"""`mlirage check`: does the compiled model give what the framework's reference gives?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mlirage.cli.compile import option_flags
from mlirage.cli.run import read_arguments
from mlirage.errors import UsageError
from mlirage.importers import Model
from mlirage.options import make_options


@click.command("check")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--function", default=None, help="Function to check. [default: all that the model has]")
@click.option(
    "--input", "inputs", multiple=True, help="An argument: 2x3xf32=[1 2 3][4 5 6], @x.npy, … [default: random]"
)
@click.option("--dim", "dims", multiple=True, help="Extent of a dimension for random inputs: NAME=N. [default: 2]")
@click.option("--seed", default=0, show_default=True, help="Of random inputs.")
@click.option("--rtol", default=1e-3, show_default=True, help="Relative tolerance.")
@click.option("--atol", default=1e-5, show_default=True, help="Absolute tolerance.")
@click.option(
    "--reference",
    default="auto",
    show_default=True,
    help="What to compare with: onnxruntime or onnx; litert-reference or litert; other kinds have one.",
)
@click.option("--device", default="local-sync", show_default=True, help="Device to run on (mlirage devices).")
@option_flags
def command(
    model: Path,
    function: str | None,
    inputs: tuple[str, ...],
    dims: tuple[str, ...],
    seed: int,
    rtol: float,
    atol: float,
    reference: str,
    device: str,
    **flags: Any,
) -> int:
    """Compile MODEL, run it and its framework on the same inputs, and say how the outputs differ.

    Where they do, the first node whose value differs is named. Exit code 1 if they differ, 0 if not.
    """
    options = make_options(**{name: value for name, value in flags.items() if value is not None})
    if options.compile_to != "end" or options.compile_from != "start":
        raise UsageError("check takes models and compiles to the end: no --compile-to, no --compile-from")
    from mlirage.checking import Checker, Tolerance, random_arguments, reference_of

    source = reference_of(Model(model), reference, options.input_type)
    checker = Checker(source, options, device, Tolerance(rtol, atol))
    signatures: dict[str, Any] = checker.run.signatures
    if not signatures:
        raise UsageError(f"{model} has no function: there is nothing to check")
    if function is not None and function not in signatures:
        raise UsageError(f"no function {function!r}; the model has {', '.join(signatures)}")
    names = [function] if function is not None else list(signatures)
    if inputs and len(names) > 1:
        raise UsageError(f"the model has several functions, choose with --function: {', '.join(names)}")
    extents = read_extents(dims, [signatures[name] for name in names])
    failed = False
    for name in names:
        signature = signatures[name]
        arguments = read_arguments(inputs, signature) if inputs else random_arguments(signature, extents, seed)
        report = checker.check(name, arguments)
        if len(names) > 1:
            sys.stdout.write(f"{name}:\n")
        for difference in report.outputs:
            sys.stdout.write(f"[{'FAILED' if difference.problem else 'ok'}] {difference}\n")
        if not report.is_equal:
            failed = True
            sys.stdout.write(f"{report.first}\n")
    return 1 if failed else 0


def read_extents(dims: tuple[str, ...], signatures: list[Any]) -> dict[str, int]:
    """The extents that `--dim` flags say.

    Raises:
      UsageError: a malformed one, or one of a name that no argument has.
    """
    arguments = [argument for signature in signatures for argument in signature.arguments]
    names = {extent for argument in arguments for extent in argument.shape or () if isinstance(extent, str)}
    extents: dict[str, int] = {}
    for text in dims:
        name, _, number = text.partition("=")
        if name not in names or not number.isdecimal():
            raise UsageError(f"--dim={text}: expected NAME=N; names are {', '.join(sorted(names)) or 'none'}")
        extents[name] = int(number)
    return extents
