"""`mlirage run`: calls a function of a compiled module with inputs from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlirage.cli.values import Array, ArrayReader, array_text, type_text
from mlirage.errors import UsageError

# Types of one width that the notation may mean with the same letters: i8 is of either sign.
_EITHER_SIGN = [{f"i{size}", f"u{size}"} for size in (1, 2, 4, 8)]


def parameter_options(command: Any) -> Any:
    """Gives a command the flags of weights that are kept outside of the module."""
    mode = click.option(
        "--parameter-mode",
        "--parameter_mode",
        type=click.Choice(["mmap", "preload", "file"]),
        default="mmap",
        show_default=True,
        help="Use the files' pages in place, read them at once, or copy what the module loads.",
    )
    files = click.option(
        "--parameters",
        multiple=True,
        help="Weights of a module compiled with --parameters: [SCOPE=]FILE (.safetensors, .irpa, .gguf).",
    )
    return files(mode(command))


@click.command("run")
@click.argument("module", type=click.Path(path_type=Path))
@click.option("--function", default=None, help="Function to call. [default: main, or the only one]")
@click.option("--input", "inputs", multiple=True, help="An argument: 2x3xf32=[1 2 3][4 5 6], f32=1.5, @x.npy, …")
@click.option("--output", "outputs", multiple=True, help="Where a result goes: @y.npy, +y.npy (append), or -.")
@click.option(
    "--expected-output",
    "--expected_output",
    "expected",
    multiple=True,
    help="What a result must be; (ignored): anything.",
)
@click.option("--rtol", default=1e-4, show_default=True, help="Relative tolerance of --expected-output.")
@click.option("--atol", default=1e-5, show_default=True, help="Absolute tolerance of --expected-output.")
@click.option("--device", default="local-task", show_default=True, help="Device to run on (mlirage devices).")
@parameter_options
@click.option("--threads", type=int, default=None, help="Threads of local-task. [default: one per core]")
@click.option("--trace", is_flag=True, help="Print every instruction of the host program to standard error.")
def command(
    module: Path,
    function: str | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    expected: tuple[str, ...],
    rtol: float,
    atol: float,
    device: str,
    parameters: tuple[str, ...],
    parameter_mode: str,
    threads: int | None,
    trace: bool,
) -> int:
    """Run a function of MODULE and print its results, or compare them."""
    loaded = load_module(module, device, threads, parameters, parameter_mode, trace)
    name, call, signature = choose_function(loaded, function)
    arguments = read_arguments(inputs, signature)
    reader = ArrayReader()
    wanted = [None if text == "(ignored)" else reader.read(text) for text in expected]
    results = [
        np.asarray(result, told.dtype if told.scalar else None)
        for result, told in zip(leaves(call(*arguments)), signature.results, strict=True)
    ]
    if expected:
        return _compare(results, wanted, rtol, atol)
    if outputs and len(outputs) != len(results):
        raise UsageError(f"--output is given {len(outputs)} times, @{name} has {len(results)} results")
    sys.stdout.write(f"EXEC @{name}\n")
    for number, result in enumerate(results):
        _write(number, result, outputs[number] if outputs else "-")
    return 0


def load_module(
    path: Path,
    device: str,
    threads: int | None,
    parameters: tuple[str, ...] = (),
    parameter_mode: str = "mmap",
    trace: bool = False,
) -> Any:
    """The module file, loaded.

    Raises:
      UsageError: there is no such file or device.
      DeviceError: it is no valid module.
    """
    from mlirage import runtime

    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    weights = runtime.Parameters()
    for text in parameters:
        scope, equals, file = text.partition("=")
        if equals and not Path(text).exists():
            weights.add_file(file, scope, parameter_mode)
        else:
            weights.add_file(text, mode=parameter_mode)
    return runtime.load(path, device, threads, weights, trace=_print_line if trace else None)


def _print_line(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def choose_function(loaded: Any, name: str | None) -> tuple[str, Any, Any]:
    """Name, callable and signature of the function `name`, of `main`, or of the only one.

    Raises:
      UsageError: no such function, or several and none named.
    """
    names: list[str] = list(loaded.signatures)
    if name is None:
        if "main" not in names and len(names) != 1:
            raise UsageError(f"the module has several functions, choose with --function: {', '.join(names)}")
        name = "main" if "main" in names else names[0]
    return name, loaded[name], loaded.signatures.get(name)


def read_arguments(inputs: tuple[str, ...], signature: Any) -> list[Any]:
    """The arguments that `--input` flags say; integers take the signedness and width that the function wants.

    Raises:
      UsageError: a wrong number of them, or one not in the notation.
    """
    if len(inputs) != len(signature.arguments):
        raise UsageError(f"{signature} takes {len(signature.arguments)} inputs, {len(inputs)} --input are given")
    reader = ArrayReader()
    arguments: list[Any] = []
    for text, argument in zip(inputs, signature.arguments, strict=True):
        value: Any = reader.read(text)
        if argument.scalar:
            if value.ndim != 0:
                raise UsageError(f"{text!r}: argument {argument} is one number: give it as {argument.dtype}=7")
            value = value[()].item()
        elif argument.dtype and {value.dtype.str[1:], np.dtype(argument.dtype).str[1:]} in _EITHER_SIGN:
            value = value.view(argument.dtype)
        arguments.append(value)
    return arguments


def leaves(tree: Any) -> list[Any]:
    """The arrays of a result, which may be a tree of tuples, lists and dicts."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, tuple | list):
        return [leaf for value in tree for leaf in leaves(value)]
    return [] if tree is None else [tree]


def _write(number: int, result: Array, where: str) -> None:
    if where == "-":
        sys.stdout.write(f"result[{number}]: {'hal.buffer_view' if result.ndim else 'scalar'}\n{array_text(result)}\n")
        return
    if where[:1] not in ("@", "+"):
        raise UsageError(f"--output={where}: expected @file.npy, +file.npy or -")
    try:
        with Path(where[1:]).open("ab" if where[0] == "+" else "wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(result), allow_pickle=False)
    except OSError as error:
        raise UsageError(f"cannot write {where[1:]}: {error.strerror}") from error


def _compare(results: list[Array], wanted: list[Array | None], rtol: float, atol: float) -> int:
    """Prints the first difference of every result; 1 if there is one."""
    if len(results) != len(wanted):
        raise UsageError(f"{len(wanted)} outputs are expected, the function has {len(results)}")
    failures = 0
    for number, (result, expected) in enumerate(zip(results, wanted, strict=True)):
        difference = None if expected is None else _difference(result, expected, rtol, atol)
        if difference:
            failures += 1
            sys.stdout.write(f"[FAILED] result[{number}]: {difference}\n")
    if not failures:
        sys.stdout.write("[SUCCESS] all function outputs matched their expected values.\n")
    return 1 if failures else 0


def _difference(result: Array, expected: Array, rtol: float, atol: float) -> str:
    found, wanted = type_text(result.shape, result.dtype), type_text(expected.shape, expected.dtype)
    if result.dtype.kind in "iu" and expected.dtype.kind in "iu" and result.dtype.itemsize == expected.dtype.itemsize:
        expected = expected.view(result.dtype)
    if result.shape != expected.shape or result.dtype != expected.dtype:
        return f"it is a {found}, expected is a {wanted}"
    if result.dtype.kind in "biu":
        wrong = result != expected
    else:
        kind = np.complex128 if result.dtype.kind == "c" else np.float64
        wrong = ~np.isclose(result.astype(kind), expected.astype(kind), rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = ", ".join(map(str, place))
    return (
        f"element [{where}] is {result[place]}, expected is {expected[place]}; "
        f"{int(wrong.sum())} of {result.size} elements differ (rtol={rtol:g}, atol={atol:g})"
    )
