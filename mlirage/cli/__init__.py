"""The command line: `mlirage VERB …`. The verbs are in verbs.py and the files beside it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from mlirage import debug
from mlirage.errors import MlirageError, UsageError, missing_package


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code: 0 fine, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        verbose = debug.level() >= 1
    except UsageError as error:
        return _report(error, verbose=False)
    try:
        return _run(argv)
    except MlirageError as error:
        return _report(error, verbose)
    except ModuleNotFoundError as error:
        return _report(missing_package(error), verbose)
    except MemoryError as error:
        sys.stderr.write(f"mlirage: there is not enough memory{f': {error}' if str(error) else ''}\n")
        return 1


def _run(argv: Sequence[str] | None) -> int:
    import click  # of the extra `compiler`: an install of the runtime alone is told so

    from mlirage.cli.verbs import mlirage

    try:
        result = mlirage.main(args=argv, prog_name="mlirage", standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        return 2
    except click.exceptions.Abort:
        return 130
    return result if isinstance(result, int) else 0


def _report(error: MlirageError, verbose: bool) -> int:
    sys.stderr.write(f"mlirage: {error}\n")
    if verbose:
        traceback.print_exception(error)
    return 2 if isinstance(error, UsageError) else 1
