"""The verbs of the command line, loaded when used: a verb is a click command in the module of its name."""

from __future__ import annotations

import importlib

import click

VERBS = ("compile", "run", "check", "bench", "tune", "report", "reduce", "opt", "dump", "import", "params", "devices")
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
