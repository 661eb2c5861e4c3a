"""`mlirage report`: where a model's time and memory go, as a page, text or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mlirage.checking import random_arguments
from mlirage.cli.check import read_extents
from mlirage.cli.compile import option_flags
from mlirage.cli.run import read_arguments
from mlirage.errors import UsageError
from mlirage.module_file import MAGIC
from mlirage.options import make_options


@click.command("report")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", default=None, help="File to write; '-': standard output. [default: MODEL.html, or '-']")
@click.option("--format", "form", type=click.Choice(["html", "json", "text"]), default="html", show_default=True)
@click.option("--function", default="", help="Function to call. [default: main, or the only one]")
@click.option("--input", "inputs", multiple=True, help="An argument, as in mlirage run. [default: random]")
@click.option("--dim", "dims", multiple=True, help="Extent of a dimension for random inputs: NAME=N. [default: 2]")
@click.option("--device", default="local-task", show_default=True, help="Device to run on (mlirage devices).")
@click.option("--threads", type=int, default=None, help="Threads of local-task. [default: one per core]")
@click.option("--seconds", default=2.0, show_default=True, help="How long to measure; 0: do not run it.")
@option_flags
def command(
    model: Path,
    output: str | None,
    form: str,
    function: str,
    inputs: tuple[str, ...],
    dims: tuple[str, ...],
    device: str,
    threads: int | None,
    seconds: float,
    **flags: Any,
) -> None:
    """Run MODEL (a model, which is compiled, or a module) and report where its time and memory go.

    The page has everything in it and needs no network. Of a module that is not compiled here the memory plan and the
    times of phases are not known.
    """
    from mlirage.report.collect import Settings, of_model, of_module
    from mlirage.report.page import render
    from mlirage.report.text import lines

    if not model.is_file():
        raise UsageError(f"there is no file {model}")
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"--seconds={seconds:g}: expected a number from 0 on")
    given = {name: value for name, value in flags.items() if value is not None}
    options = make_options(**{"check_vectorization": True, **given})  # a report tells of every loop without vectors
    settings = Settings(device, threads, seconds, function)

    def arguments(signature: Any) -> Sequence[Any]:
        return (
            read_arguments(inputs, signature)
            if inputs
            else random_arguments(signature, read_extents(dims, [signature]), 0)
        )

    with model.open("rb") as file:
        is_module = file.read(len(MAGIC)) == MAGIC
    data = of_module(model, settings, arguments) if is_module else of_model(model, options, settings, arguments)
    if form == "html":
        text = render(data)
    else:
        text = json.dumps(data, indent=1) + "\n" if form == "json" else "".join(f"{line}\n" for line in lines(data))
    path = output or (f"{model.with_suffix('')}.html" if form == "html" else "-")
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    sys.stderr.write(f"{path}: {len(text):,} bytes\n")
