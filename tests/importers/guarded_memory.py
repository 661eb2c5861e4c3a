"""Runs programs with every operand, result and scratch between pages that may not be touched.

An access outside of an array ends the child process that runs it (`ModelRunner` says so). Each program runs with its
arrays at the ends of their pages, then with them at the starts.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.importers.model_runner import ModelRunner, RunFailure
from tests.importers.stablehlo_oracle import COMPILER, Array, Case

ENTRY = "tests.importers.guarded_memory:run_guarded"


def violations(cases: Sequence[Case], batch_size: int = 16) -> dict[str, str]:
    """What goes wrong with each case whose results are not those of a plain run, or that leaves its memory."""
    found: dict[str, str] = {}
    plain, guarded = ModelRunner(COMPILER, timeout=300), ModelRunner(ENTRY, timeout=300)
    try:
        for start in range(0, len(cases), batch_size):
            batch = cases[start : start + batch_size]
            try:
                wanted: Any = plain.run([case.text for case in batch], [list(case.inputs) for case in batch])  # type: ignore
            except RunFailure as error:
                found[batch[0].name] = f"plain run: {error}"
                continue
            found |= _compare(batch, wanted, guarded)
    finally:
        plain.close()
        guarded.close()
    return found


def _compare(batch: Sequence[Case], wanted: Sequence[Any], guarded: ModelRunner) -> dict[str, str]:
    model = [case.text for case in batch]
    arguments: Any = [(list(case.inputs), results) for case, results in zip(batch, wanted, strict=True)]
    try:
        problems: Any = guarded.run(model, arguments)
    except RunFailure as error:
        if len(batch) == 1:
            return {batch[0].name: str(error)}
        half = len(batch) // 2
        return _compare(batch[:half], wanted[:half], guarded) | _compare(batch[half:], wanted[half:], guarded)
    return {case.name: problem for case, problem in zip(batch, problems, strict=True) if problem}


# --- In the child. ---


class _Guarded:
    """An array whose pages lie between two that may not be touched; it ends at the last byte or starts at the first."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], at_end: bool) -> None:
        page = mmap.PAGESIZE
        size = int(np.prod(shape)) * dtype.itemsize
        pages = max(1, -(-size // page))
        self.memory = mmap.mmap(-1, (pages + 2) * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (base, base + (pages + 1) * page):
            if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = page + (pages * page - size if at_end else 0)
        self.array: Array = np.ndarray(shape, dtype, self.memory, offset)


def _copy(value: Array, at_end: bool) -> Array:
    array = np.asarray(value)
    copy = _Guarded(array.shape, array.dtype, at_end).array
    copy[...] = array
    return copy


def run_guarded(texts: list[str], arguments: list[tuple[list[Array], list[Array]]]) -> list[str]:
    """Per program what differs from the results that are given with its operands; empty if nothing does."""
    import mlirage

    functions = [re.sub(r"@(\w+)", rf"@c{i}_\1", text) for i, text in enumerate(texts)]
    compiled = mlirage.compile("\n".join(functions), jobs=1, cache_dir="off", outputs="caller")
    module = mlirage.load(compiled, device="local-sync")
    problems: list[str] = []
    for i, (inputs, wanted) in enumerate(arguments):
        problem = ""
        for at_end in (True, False):
            operands = [_copy(x, at_end) for x in inputs]
            out = tuple(_Guarded(np.asarray(w).shape, np.asarray(w).dtype, at_end).array for w in wanted)
            size = module[f"c{i}_main.scratch_size"]
            takes = module.signatures[f"c{i}_main.scratch_size"].arguments
            (count,) = np.ravel(size(*operands) if takes else size())
            scratch = _Guarded((int(count),), np.dtype(np.uint8), at_end).array
            module[f"c{i}_main"](*operands, out=out, scratch=scratch)
            for number, (want, have) in enumerate(zip(wanted, out, strict=True)):
                if np.asarray(want).tobytes() != have.tobytes():
                    problem = f"result {number} differs"
        problems.append(problem)
    return problems


def touch(offset: int, _inputs: list[Any]) -> int:
    """Reads a byte that far behind the start of an array of a page's quarter; outside of it that is the end."""
    array = _Guarded((1024,), np.dtype(np.uint8), at_end=offset > 0).array
    return ctypes.c_uint8.from_address(array.ctypes.data + offset).value
