"""Reads what could kill the process in a process of its own, so that the worst model is an error message.

Files that are read by frameworks in C++ or that can run code when they are read (PyTorch's archives) are imported by a
worker, which leaves the program in a folder; its arrays are mapped, not copied.

MLIR's parser and verifier call themselves for every level of nesting: text that is nested some thousand levels deep
overflows the stack, which nothing in the process can catch. Such text is rare, so only what is nested deeper than any
program of a framework (`DEEP`) pays for a worker.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mlirage.errors import ImportFailure, MlirageError, UsageError
from mlirage.options import CompileOptions
from mlirage.program import Program

DEEP = 200
"""Levels of brackets from which on text is tried in a worker."""

_TIMEOUT = 120.0
_IMPORT_TIMEOUT = 1800.0
_OPEN, _CLOSE = b"([{", b")]}"
_PIECE = 1 << 22

# What the worker runs: it parses and verifies standard input, and is dead, or not, afterwards.
_PROGRAM = """
import sys
from mlirage.mlir import ir, new_context
try:
    module = ir.Module.parse(sys.stdin.buffer.read().decode(), new_context())
    module.operation.verify()
except ir.MLIRError:
    pass  # an error is an answer; the importer will get the same one
"""


def nesting(text: str) -> int:
    """The deepest level of brackets in `text`; those in strings and comments count, too."""
    data = np.frombuffer(text.encode(), np.uint8)
    step = np.zeros(256, np.int8)
    step[list(_OPEN)], step[list(_CLOSE)] = 1, -1
    level = deepest = 0
    for start in range(0, data.size, _PIECE):
        levels = np.cumsum(step[data[start : start + _PIECE]], dtype=np.int64)
        deepest = max(deepest, level + int(levels.max(initial=0)))
        level += int(levels[-1]) if levels.size else 0
    return deepest


def try_text(name: str, text: str) -> None:
    """Parses deeply nested text in a worker.

    Raises:
      ImportFailure: the worker died, or took too long.
    """
    depth = nesting(text)
    if depth <= DEEP:
        return
    command = [sys.executable, "-c", _PROGRAM]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise ImportFailure(
            f"{name}: nested {depth} levels deep; reading it takes longer than {_TIMEOUT:.0f} s"
        ) from None
    if done.returncode < 0:
        raise ImportFailure(
            f"{name}: nested {depth} levels deep, which overflows the stack of MLIR's parser; flatten the program"
        )


def import_in_worker(importer: str, path: Path, options: CompileOptions) -> Program:
    """Imports a file by the function `importer` ("module:function") in a worker.

    Raises:
      UsageError, ImportFailure: as that function; or the worker died, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="mlirage-import-") as scratch:
        folder = Path(scratch)
        command = [sys.executable, "-m", "mlirage.importers.worker", importer, str(path.absolute()), scratch]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_IMPORT_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise ImportFailure(f"{path}: reading it takes longer than {_IMPORT_TIMEOUT:.0f} s") from None
        told = folder / "error.json"
        if told.exists():
            error = json.loads(told.read_text())
            text = str(error["text"]).replace(str(path.absolute()), str(path))
            raise (UsageError if error["kind"] == "UsageError" else ImportFailure)(text)
        if done.returncode < 0:
            raise ImportFailure(
                f"{path}: the process that read it died ({signal.Signals(-done.returncode).name}); is the file damaged?"
            )
        if done.returncode:
            last = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise ImportFailure(f"{path}: the process that read it ended with code {done.returncode}: {last}")
        return Program.load(folder / "program.mlir", options)


def main() -> None:
    """Imports the file in the second argument by the function in the first; the folder in the third takes all."""
    importer, path, scratch = sys.argv[1:]
    module, _, name = importer.partition(":")
    folder = Path(scratch)
    try:
        read = getattr(importlib.import_module(f"mlirage.importers.{module}"), name)
        program: Program = read(Path(path), CompileOptions())
        program.save(folder / "program.mlir")
    except (MlirageError, ModuleNotFoundError) as error:
        kind = "ImportFailure" if isinstance(error, ImportFailure) else "UsageError"
        text = f"this needs the package {error.name!r}" if isinstance(error, ModuleNotFoundError) else str(error)
        (folder / "error.json").write_text(json.dumps({"kind": kind, "text": text}))


if __name__ == "__main__":
    main()
