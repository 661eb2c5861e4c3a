"""Reads what could kill the process in a process of its own first, so that the worst model is an error message.

MLIR's parser and verifier call themselves for every level of nesting: text that is nested some thousand levels deep
overflows the stack, which nothing in the process can catch. Such text is rare, so only what is nested deeper than any
program of a framework (`DEEP`) pays for a worker.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from mlirage.errors import ImportFailure

DEEP = 200
"""Levels of brackets from which on text is tried in a worker."""

_TIMEOUT = 120.0
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
