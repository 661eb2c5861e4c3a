"""The command line: `mlirage VERB …`, one file per verb; a verb is a click command in the module of its name."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence

import click

from mlirage import debug
from mlirage.errors import MlirageError, UsageError

VERBS = ("compile", "run", "bench", "opt", "dump", "import", "devices")
_MODULES = {"import": "import_"}  # a word that Python keeps for itself


class _Verbs(click.Group):
    """Loads the module of a verb when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"mlirage.cli.{_MODULES.get(cmd_name, cmd_name)}").command


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def mlirage() -> None:
    """Compiles machine-learning models to small native modules and runs them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code: 0 fine, 1 failed, 2 wrong usage."""
    try:
        result = mlirage.main(args=argv, prog_name="mlirage", standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        return 2
    except click.exceptions.Abort:
        return 130
    except MlirageError as error:
        sys.stderr.write(f"mlirage: {error}\n")
        if debug.level() >= 1:
            traceback.print_exception(error)
        return 2 if isinstance(error, UsageError) else 1
    return result if isinstance(result, int) else 0
