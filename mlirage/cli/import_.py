"""`mlirage import`: a model as the MLIR that compilation starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlirage.cli.compile import compile_to_file
from mlirage.options import make_options


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", default=None, help="File to write, with weights in OUTPUT.weights. [default: print]")
@click.option("--input-type", default=None, help="Kind of the input, where its name does not tell.")
def command(model: Path, output: str | None, input_type: str | None) -> None:
    """Import MODEL and write the MLIR module that compilation starts from."""
    chosen: dict[str, Any] = {"input_type": input_type} if input_type else {}
    compile_to_file(model, output, make_options(**chosen, compile_to="start"))
