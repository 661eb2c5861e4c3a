"""`mlirage params`: files of weights are made, converted, and shown."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlirage.archives import Archive, Parameter, read_archive, write_archive
from mlirage.archives.archive import is_splat, parameter_of
from mlirage.cli.values import ArrayReader, array_text, type_text
from mlirage.errors import UsageError
from mlirage.runtime.arrays import dtype as numpy_dtype

_FLOATS = ("float16", "bfloat16", "float32", "float64")


@click.group("params")
def command() -> None:
    """Make, convert and show files of weights: .safetensors, .irpa (IREE's) and .gguf."""


@command.command("create")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", multiple=True, metavar="KEY=VALUE", help="A parameter: w=2x3xf32=[1 2 3][4 5 6], w=@x.npy, …")
@click.option("--splat", multiple=True, metavar="KEY=VALUE", help="One element everywhere: w=1024x1024xf32=0.5.")
@click.option("--metadata", multiple=True, metavar="KEY=TEXT", help="Text about the whole file.")
def create(output: Path, data: tuple[str, ...], splat: tuple[str, ...], metadata: tuple[str, ...]) -> None:
    """Write the file OUTPUT with the parameters that are given."""
    reader = ArrayReader()
    parameters = [parameter_of(key, reader.read(value)) for key, value in map(_pair, data)]
    for key, value in map(_pair, splat):
        array = reader.read(value)
        if array.size and not (array == array.reshape(-1)[0]).all():
            raise UsageError(f"--splat={key}=…: more than one value")
        element = array.reshape(-1)[0] if array.size else array.dtype.type(0)
        parameters.append(parameter_of(key, np.broadcast_to(np.asarray(element, array.dtype), array.shape)))
    _write(output, Archive(tuple(parameters), dict(map(_pair, metadata))))


@command.command("convert")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--only", default="", metavar="REGEX", help="Keep the parameters whose whole key matches.")
@click.option("--rename", multiple=True, metavar="REGEX=KEY", help="New keys; \\1 is what the first group matched.")
@click.option("--to", "to", type=click.Choice(_FLOATS), default=None, help="Convert floating-point elements.")
@click.option("--dequantize", is_flag=True, help="Decode GGUF's blocks to float32, or to the type of --to.")
@click.option("--strip", is_flag=True, help="Replace all values by zeros, which take no space in .irpa files.")
def convert(
    inputs: tuple[Path, ...],
    output: Path,
    only: str,
    rename: tuple[str, ...],
    to: str | None,
    dequantize: bool,
    strip: bool,
) -> None:
    """Write all parameters of the files INPUTS to the file OUTPUT, in the format that its name says."""
    parameters: list[Parameter] = []
    metadata: dict[str, str] = {}
    for path in inputs:
        archive = read_archive(path)
        metadata |= archive.metadata
        parameters += archive.parameters
    chosen = [p for p in parameters if not only or _expression(only).fullmatch(p.key)]
    if only and not chosen:
        raise UsageError(f"--only={only}: no key of {', '.join(map(str, inputs))} matches")
    changed: list[Parameter] = []
    for parameter in chosen:
        for pattern, replacement in map(_pair, rename):
            try:
                parameter = replace(parameter, key=_expression(pattern).sub(replacement, parameter.key))
            except (re.error, IndexError) as error:
                raise UsageError(f"--rename={pattern}={replacement}: {error}") from error
        changed.append(_changed(parameter, to, dequantize, strip))
    if to or dequantize or strip or rename or only or len(inputs) > 1:
        # What was said of the files is not true of their parts.
        for key in ("mlirage.program", "mlirage.checksum"):
            metadata.pop(key, None)
    _write(output, Archive(tuple(changed), metadata))


@command.command("dump")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--values", is_flag=True, help="Print the elements too.")
def dump(file: Path, values: bool) -> None:
    """Print what is in the file FILE."""
    archive = read_archive(file)
    total = sum(parameter.length for parameter in archive.parameters)
    sys.stdout.write(f"{file}: {len(archive.parameters):,} parameters, {total:,} bytes\n")
    for key, text in archive.metadata.items():
        sys.stdout.write(f"  {key} = {text}\n")
    width = max((len(parameter.key) for parameter in archive.parameters), default=0)
    for parameter in archive.parameters:
        kind = "x".join([*map(str, parameter.shape), parameter.encoding]) if parameter.encoding else ""
        kind = kind or type_text(parameter.shape, numpy_dtype(parameter.dtype))
        splat = " (splat)" if parameter.splat else ""
        sys.stdout.write(f"  {parameter.key:{width}}  {kind}  {parameter.length:,} bytes{splat}\n")
        if values and not parameter.encoding:
            sys.stdout.write(f"    {array_text(parameter.read())}\n")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"{text!r}: expected KEY=VALUE")
    return key, value


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"{text!r} is no regular expression: {error}") from error


def _changed(parameter: Parameter, to: str | None, dequantize: bool, strip: bool) -> Parameter:
    """The parameter with other values; they are made when it is written."""
    if parameter.encoding and not dequantize:
        return parameter
    dtype = "float32" if parameter.encoding else parameter.dtype
    dtype = to if to and dtype in _FLOATS else dtype
    element = numpy_dtype(dtype)

    def values() -> Any:
        if strip:
            return np.broadcast_to(np.zeros((), element), parameter.shape)
        if parameter.encoding:
            from mlirage.archives.gguf import dequantize as decode

            return decode(parameter).astype(element)
        return _cast(parameter.read(), element)

    length = int(np.prod(parameter.shape, dtype=object)) * element.itemsize
    return Parameter(parameter.key, dtype, parameter.shape, length, values, splat=strip or parameter.splat)


def _cast(array: Any, dtype: np.dtype[Any]) -> Any:
    """`array` as `dtype`; a splat stays one."""
    if array.dtype == dtype:
        return array
    if is_splat(array):
        return np.broadcast_to(array.reshape(-1)[0].astype(dtype), array.shape)
    return array.astype(dtype)


def _write(path: Path, archive: Archive) -> None:
    write_archive(path, archive)
    sys.stdout.write(f"{path}: {len(archive.parameters):,} parameters, {path.stat().st_size:,} bytes\n")
