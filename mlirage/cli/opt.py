"""`mlirage opt`: runs passes on MLIR text, for tests and for looking."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import mlirage.compiler  # noqa: F401  # pyright: ignore[reportUnusedImport]  # registers every pass
from mlirage.errors import CompileError
from mlirage.importers.mlir import parse_program
from mlirage.mlir import ir
from mlirage.options import CompileOptions
from mlirage.passes import Observer, explain, parse_pipeline, run_passes
from mlirage.program import Program

_SPLIT = "// -----"


@click.command("opt")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--passes", default="", help="Pass pipeline: our passes and upstream's, separated by commas.")
@click.option("--split-input-file", is_flag=True, help=f"Treat the parts between '{_SPLIT}' lines as files.")
@click.option("--print-ir-after", default="", help="Regular expression of pass names.")
@click.option("--target", default="host", help="Target that target-dependent passes see.")
@click.option("--target-backend", default="llvm-cpu", help="As the option of compile.")
@click.option("--execution-model", default="async-internal", help="As the option of compile.")
@click.option("--outputs", default="callee", help="As the option of compile.")
def command(file: Path, passes: str, split_input_file: bool, print_ir_after: str, **values: Any) -> None:
    """Run PASSES on FILE and print the result."""
    options = CompileOptions(**values)
    for program in _parts(file, options) if split_input_file else [parse_program(file, options)]:
        run_passes(program, parse_pipeline(passes), Observer(print_ir_after, verify_each=True))
        try:
            program.module.operation.verify()
        except ir.MLIRError as error:
            raise CompileError(f"{file}: {explain(error)}") from error
        sys.stdout.write(f"{program.module}\n")
        if split_input_file:
            sys.stdout.write(f"{_SPLIT}\n")


def _parts(file: Path, options: CompileOptions) -> Iterator[Program]:
    """The parts of a file, each parsed when those before it are done; lines are the file's."""
    line = 0
    for part in file.read_text().split(_SPLIT):
        yield parse_program("\n" * line + part, options)
        line += part.count("\n")
