"""`mlirage compile`: a model file becomes a module file, or what `--output-format` says."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from mlirage.errors import UsageError
from mlirage.options import CompileOptions, flag_name, make_options

_OTHER_SPELLINGS = {
    "opt_level": "-O",
    "execution_model": "--iree-execution-model",
    "target_backend": "--iree-hal-target-backends",
}


def option_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a click command one flag per field of CompileOptions; those not given are absent from its keywords."""
    for item in reversed(dataclasses.fields(CompileOptions)):
        names = [flag_name(item.name), item.name]
        if item.name in _OTHER_SPELLINGS:
            names.append(_OTHER_SPELLINGS[item.name])
        settings: dict[str, Any] = {"help": item.metadata["help"], "default": None}
        if isinstance(item.default, bool):
            settings["is_flag"] = True
        elif item.metadata["choices"]:
            settings["type"] = click.Choice(item.metadata["choices"])
        else:
            settings["type"] = type(item.default)
        if item.default not in ("", False, 0):
            settings["help"] += f" [default: {item.default}]"
        command = click.option(*names, **settings)(command)
    return command


@click.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", default=None, help="File to write; '-': standard output. [default: MODEL.mlirage]")
@option_flags
def command(model: Path, output: str | None, **flags: Any) -> None:
    """Compile MODEL (.onnx, .mlir, .mlirbc) to a module, or with --compile-to print it after a phase."""
    options = make_options(**{name: value for name, value in flags.items() if value is not None})
    compile_to_file(model, output, options)


def compile_to_file(model: Path, output: str | None, options: CompileOptions) -> None:
    """Compiles `model` and writes the module, or the program of the phase `options.compile_to`."""
    from mlirage import compiler
    from mlirage.compiled_module import write_atomically

    if output and output != "-" and not Path(output).absolute().parent.is_dir():
        raise UsageError(f"cannot write {output}: there is no folder {Path(output).parent}")
    start = time.perf_counter()
    if options.output_format != "module" and options.compile_to == "end":
        _compile_files(model, output, options, start)
        return
    module: Iterable[bytes | memoryview] = ()
    program = None
    with _Progress() as progress:
        if options.compile_to == "end":
            module = compiler.compile_chunks(model, options, progress.phase)
        else:
            program = compiler.lower(model, options, progress.phase)
    seconds = time.perf_counter() - start
    try:
        if program is not None:
            _write_program(program, output)
        elif output == "-":
            sys.stdout.buffer.writelines(module)
        else:
            path = Path(output or f"{model.with_suffix('')}.mlirage")
            write_atomically(path, module)
            sys.stderr.write(f"{path}: {_size(path.stat().st_size)}, compiled in {seconds:.2f} s\n")
    except OSError as error:
        raise UsageError(f"cannot write {output or model.with_suffix('.mlirage')}: {error.strerror}") from error


def _compile_files(model: Path, output: str | None, options: CompileOptions, start: float) -> None:
    """Writes the files of another output format beside `output`; they and public names are called as it is."""
    from mlirage.c_source.interface import identifier
    from mlirage.compiled_module import write_atomically
    from mlirage.outputs import compile_files

    path = Path(model if output in (None, "-") else output)
    name = identifier(path.stem)
    with _Progress() as progress:
        files = compile_files(model, options, name.lower() if name.isupper() else name, progress.phase)
    seconds = time.perf_counter() - start
    if output == "-":
        for data in files.values():
            sys.stdout.buffer.write(data)
        return
    try:
        for name, data in files.items():
            write_atomically(path.parent / name, [data])
            sys.stderr.write(f"{path.parent / name}: {_size(len(data))}, compiled in {seconds:.2f} s\n")
    except OSError as error:
        raise UsageError(f"cannot write {path.parent}: {error.strerror}") from error


def _write_program(program: Any, output: str | None) -> None:
    if output not in (None, "-"):
        program.save(Path(output))
        return
    sys.stdout.write(program.module.operation.get_asm(enable_debug_info=True))
    if program.constants:
        total = sum(array.nbytes for array in program.constants.values())
        sys.stderr.write(f"{_size(total)} of weights are not printed; -o FILE writes them to FILE.weights\n")


def _size(count: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


class _Progress:
    """A line on the terminal that names the phase at work, once a compilation takes longer than a moment."""

    def __enter__(self) -> _Progress:
        self.status: Any = None
        self.start = time.perf_counter()
        return self

    def phase(self, name: str) -> None:
        """Shows `name`; between phases only, for nothing else runs while MLIR's passes do."""
        if not sys.stderr.isatty() or time.perf_counter() - self.start < 0.3:
            return
        if self.status is None:
            from rich.console import Console

            self.status = Console(stderr=True).status(name)
            self.status.start()
        self.status.update(name)

    def __exit__(self, *_: object) -> None:
        if self.status is not None:
            self.status.stop()
