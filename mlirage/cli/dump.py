"""`mlirage dump`: what is in a module file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mlirage.errors import UsageError
from mlirage.module_file import Export, ModuleFile, Rodata
from mlirage.vm.assembly import disassemble
from mlirage.vm.module_assembly import parse_module, print_module
from mlirage.vm.opcodes import KINDS, Convention


@click.command("dump")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--code/--no-code", default=True, help="Whether to disassemble the functions.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "vm-asm", "module"]),
    default="text",
    help="A description; everything as text; or, of such text, the module file (on standard output).",
)
def command(file: Path, code: bool, form: str) -> None:
    """Print the contents of the module FILE: functions, executables, data, code."""
    contents = file.read_bytes()
    if form == "module":
        sys.stdout.buffer.write(parse_module(contents.decode()).encode())
        return
    if form == "vm-asm":
        sys.stdout.write(print_module(ModuleFile.decode(contents)))
        return
    for line in describe(ModuleFile.decode(contents), len(contents), code):
        sys.stdout.write(f"{line}\n")


def describe(module: ModuleFile, size: int, code: bool = True) -> Iterator[str]:
    """The lines of a dump."""
    yield f"module {module.name} version {module.version}: {_bytes(size)}"
    yield from _table("exports", [_describe_export(export, module) for export in module.exports])
    yield from _table(
        "imports", [f"{i.name} ({i.convention}){' optional' if i.optional else ''}" for i in module.imports]
    )
    yield from _table(
        "executables",
        [f"{e.name} {e.format} {_bytes(module.rodata[e.rodata].size)} (#{e.rodata})" for e in module.executables],
    )
    yield from _table("globals", [f"{g.name}: {KINDS[g.kind]} = {g.initial_value}" for g in module.globals])
    yield from _table("rodata", [f"#{number} {_describe_rodata(entry)}" for number, entry in enumerate(module.rodata)])
    if not code:
        return
    for function in module.functions:
        yield ""
        registers = f"scalars={function.scalar_registers} refs={function.ref_registers}"
        yield f"{function.name} ({function.convention}) {registers} {_bytes(2 * len(function.code))}"
        try:
            yield disassemble(module, function)
        except (ValueError, KeyError, IndexError) as error:
            raise UsageError(f"function {function.name!r} has malformed code: {error}") from error


def _table(title: str, rows: list[str]) -> Iterator[str]:
    if rows:
        yield f"{title}:"
        yield from (f"  {row}" for row in rows)


def _bytes(count: int) -> str:
    return f"{count:,} bytes"


def _describe_rodata(entry: Rodata) -> str:
    size = f"{entry.name or '(no name)'} {_bytes(entry.size)}"
    return f"{size}, a splat of {entry.data.tobytes().hex()}" if entry.pattern_length else size


def _describe_export(export: Export, module: ModuleFile) -> str:
    """`main(x: float32[batch,3], y: int64[]) -> (float32[batch])`."""
    convention = module.functions[export.function].convention
    if not export.signature:
        parsed = Convention.parse(convention)
        sides = [", ".join(KINDS[kind] for kind in kinds) for kinds in (parsed.arguments, parsed.results)]
        return f"{export.name}({sides[0]}) -> ({sides[1]})"
    signature: dict[str, Any] = json.loads(export.signature)
    arguments, results = (
        ", ".join(_describe_value(value) for value in signature.get(side, [])) for side in ("arguments", "results")
    )
    return f"{export.name}({arguments}) -> ({results})"


def _describe_value(value: dict[str, Any]) -> str:
    name = f"{value['name']}: " if value.get("name") else ""
    if "dtype" not in value:
        return f"{name}{value}"
    dims = ",".join("?" if dim is None else str(dim) for dim in value.get("shape", []))
    return f"{name}{value['dtype']}[{dims}]"
