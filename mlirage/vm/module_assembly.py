"""Whole modules as text, both ways: `mlirage dump --format=vm-asm` and back.

    module "model" version 0
    import "hal.device_get" "I_r"
    global "state" r 0
    rodata "weights" 0000803f00000040
    function "main" "r_r" scalars=4 refs=3
      const_64_short 0 -> s1
      return r0
    end
    export "main" 0 "{…}"

`parse_module(print_module(module)).encode() == module.encode()`. Members stand in the order of their numbers. A splat
says to how many bytes which part is repeated: `rodata "zeros" 00000000 repeated=4096:4`. Where texts do not lie in the
file in the order in which the module mentions them, `strings […]` comes first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np

from mlirage.errors import UsageError
from mlirage.module_file import Executable, Export, Function, Global, Import, ModuleFile, Rodata
from mlirage.vm.assembly import assemble_lines, disassemble

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')


def print_module(module: ModuleFile) -> str:
    """The module as text.

    Raises:
      ValueError: its code is malformed.
    """
    text = "\n".join(_lines(module)) + "\n"
    if list(_strings_of(parse_module(text))) == list(_strings_of(module)):
        return text
    strings = json.dumps(list(module.strings.offsets), ensure_ascii=False)
    return f"strings {strings}\n{text}"


def _strings_of(module: ModuleFile) -> dict[str, int]:
    """Texts in the order of the file that the module is or becomes."""
    module.encode()
    return module.strings.offsets


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(module: ModuleFile) -> Iterator[str]:
    yield f"module {_text(module.name)} version {module.version}"
    for item in module.imports:
        version = f" version={item.version}" if item.version else ""
        yield f"import {_text(item.name)} {_text(item.convention)}{version}{' optional' if item.optional else ''}"
    for item in module.globals:
        yield f"global {_text(item.name)} {item.kind} {item.initial_value}"
    for item in module.rodata:
        repeated = f" repeated={item.repeated_size}:{item.pattern_length}" if item.pattern_length else ""
        yield f"rodata {_text(item.name)} {item.data.tobytes().hex() or '-'}{repeated}"
    for item in module.executables:
        yield f"executable {_text(item.name)} {_text(item.format)} {item.rodata}"
    for item in module.functions:
        registers = f"scalars={item.scalar_registers} refs={item.ref_registers}"
        yield f"function {_text(item.name)} {_text(item.convention)} {registers}"
        yield disassemble(module, item, directives=True)
        yield "end"
    for item in module.exports:
        yield f"export {_text(item.name)} {item.function}{f' {_text(item.signature)}' if item.signature else ''}"
    for name, facts in module.dispatches.items():
        yield f"dispatch {_text(name)} {json.dumps(facts, ensure_ascii=False)}"


def parse_module(text: str) -> ModuleFile:
    """A module from text.

    Raises:
      UsageError: the text has a mistake; says the line.
    """
    module = ModuleFile()
    bodies: list[tuple[int, int]] = []  # first line of the code and the one after it, of each function
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        tokens = _TOKEN.findall(lines[at])
        try:
            if tokens and tokens[0] == "function":
                end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "end")
                bodies.append((at + 1, end))
                module.functions.append(_function(tokens))
                at = end
            elif tokens and not tokens[0].startswith(";"):
                _parse_line(tokens, lines[at], module)
        except (KeyError, ValueError, IndexError, TypeError, StopIteration) as error:
            reason = "no end" if isinstance(error, StopIteration) else error
            raise UsageError(f"line {at + 1}: {lines[at].strip()[:200]!r}: {reason}") from error
        at += 1
    # Code names functions that follow it: it is assembled when all are known.
    for function, (first, end) in zip(module.functions, bodies, strict=True):
        function.code, function.locations = assemble_lines(lines[first:end], module, first + 1)
    return module


def _function(tokens: list[str]) -> Function:
    name, convention = (json.loads(token) for token in tokens[1:3])
    counts = dict(token.split("=") for token in tokens[3:5])
    return Function(name, convention, np.zeros(0, np.uint16), int(counts["scalars"]), int(counts["refs"]))


def _parse_line(tokens: list[str], line: str, module: ModuleFile) -> None:
    """Adds what a line other than a function's says."""
    match tokens:
        case ["strings", *_]:
            for item in json.loads(line.partition("strings")[2]):
                module.strings.add(item)
        case ["module", name, "version", version]:
            module.name, module.version = json.loads(name), int(version)
        case ["import", name, convention, *rest]:
            least = next((int(token.partition("=")[2]) for token in rest if token.startswith("version=")), 0)
            module.imports.append(Import(json.loads(name), json.loads(convention), least, "optional" in rest))
        case ["global", name, kind, value]:
            module.globals.append(Global(json.loads(name), kind, int(value)))
        case ["rodata", name, data, *rest]:
            stored = np.frombuffer(b"" if data == "-" else bytes.fromhex(data), np.uint8)
            size, _, pattern = rest[0].removeprefix("repeated=").partition(":") if rest else ("0", "", "0")
            module.rodata.append(Rodata(json.loads(name), stored, int(pattern), int(size)))
        case ["executable", name, kind, rodata]:
            module.executables.append(Executable(json.loads(name), json.loads(kind), int(rodata)))
        case ["export", name, function, *rest]:
            signature = json.loads(rest[0]) if rest else ""
            module.exports.append(Export(json.loads(name), int(function), signature))
        case ["dispatch", name, *_]:
            module.dispatches[json.loads(name)] = json.loads(line.partition(name)[2])
        case _:
            raise ValueError("no such line")
