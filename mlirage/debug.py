"""The environment variables of mlirage, all of them.

| variable        | effect                                                                                        |
|-----------------|-----------------------------------------------------------------------------------------------|
| `MLIRAGE_DEBUG` | 1: full tracebacks, a reproducer for every failure                                            |
|                 | 3: and IR at the end of each phase, every pass verified                                       |
| `MLIRAGE_FLAGS` | options of `mlirage compile`, where there is no command line: `MLIRAGE_FLAGS="--dump-ir=/tmp/x"` |
"""

from __future__ import annotations

import os
import shlex

from mlirage.errors import UsageError


def level() -> int:
    """The number in MLIRAGE_DEBUG, 0 when unset.

    Raises:
      UsageError: it is not a number.
    """
    text = os.environ.get("MLIRAGE_DEBUG", "") or "0"
    if not text.isdecimal():
        raise UsageError(f"MLIRAGE_DEBUG={text!r}: expected a number from 0 to 4")
    return int(text)


def flags() -> list[str]:
    """The words of MLIRAGE_FLAGS.

    Raises:
      UsageError: a quote is not closed.
    """
    text = os.environ.get("MLIRAGE_FLAGS", "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"MLIRAGE_FLAGS={text!r}: {error}") from error
