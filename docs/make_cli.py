"""Writes docs/cli.md from the command line's own help: `python docs/make_cli.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlirage.cli.verbs import VERBS, mlirage

PAGE = Path(__file__).parent / "cli.md"
HEAD = """# The command line

<!-- Written by docs/make_cli.py from --help; a test keeps it current. -->

Exit codes: 0 fine, 1 it failed (the model, the module or the comparison), 2 wrong usage. Errors go to stderr, without a
traceback unless `MLIRAGE_DEBUG` is 1 or more. `MLIRAGE_FLAGS` gives options of `mlirage compile` where there is no
command line.
"""


def write_page() -> str:
    """The whole page."""
    parts = [HEAD]
    root = click.Context(mlirage, info_name="mlirage", terminal_width=100, max_content_width=100)
    for verb in VERBS:
        command = mlirage.get_command(root, verb)
        assert command is not None
        context = click.Context(command, info_name=verb, parent=root, terminal_width=100, max_content_width=100)
        parts.append(f"## mlirage {verb}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Writes or checks the page."""
    page = write_page()
    if "--check" in sys.argv:
        return 0 if PAGE.read_text() == page else 1
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
